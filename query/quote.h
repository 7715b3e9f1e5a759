/*
 * Quoted strings as Go writes and reads them: PromQL's literals, and the quotes in its messages.
 */
#ifndef QUERY_QUOTE_H
#define QUERY_QUOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"

/* Go's strconv.Quote: double quotes; control and invisible characters and broken UTF-8 escaped. */
void quote_text(struct slice text, struct buf *out);
/* One character as in Go's %q of a rune: '$', '\n', '\u00a0'. */
void quote_rune(uint32_t rune, struct buf *out);

/* The contents of a literal with its quotes (" ' or `), whose syntax the lexer has checked.
 * {NULL, 0}: the arena is full. */
struct slice unquote_text(struct slice literal, struct arena *arena);

/* The character at text[at], and its bytes in *width (1 for a broken one, with rune 0xfffd). */
uint32_t rune_at(struct slice text, size_t at, int *width);
#define RUNE_ERROR 0xfffdu

#endif
