/*
 * Text of a server on its way to a terminal. Labels come from events, so from anybody: what would
 * steer the terminal, or turn around what a person reads, is shown as '?'.
 */
#ifndef CMD_TERMINAL_H
#define CMD_TERMINAL_H

#include <stdbool.h>

#include "base/buf.h"

/* Adds the text, UTF-8, with one '?' for each control character (C0, DEL, C1) and each control of
 * Unicode's bidirectional algorithm. */
void terminal_text(struct buf *out, const char *text);

/* Writes all of it to standard output. That nobody reads on, `| head` say, is no failure. False: it
 * cannot be written, and standard error says why, beginning with the command's name. */
bool terminal_print(const char *command, const struct buf *text);

#endif
