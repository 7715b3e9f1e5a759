/*
 * Numbers and words inside of a script's line. A number ends where it cannot go on, so that 1x5 and
 * 1+2x5 can be taken apart; there is no hexadecimal form, since 0x5 is six times 0.
 */
#ifndef QUERY_SCRIPT_SCAN_H
#define QUERY_SCRIPT_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* Each moves *at behind what it has read; on false *at is as before. */
bool scan_char(struct slice text, size_t *at, char c);
bool scan_word(struct slice text, size_t *at, const char *word);
/* With a sign or without. */
bool scan_signed(struct slice text, size_t *at, double *out);
/* Decimal digits; false also when they pass max. */
bool scan_count(struct slice text, size_t *at, uint64_t max, uint64_t *out);
/* Blanks and tabs; true when there was one. */
bool scan_blanks(struct slice text, size_t *at);

#endif
