/*
 * Chunks of derived cells (columns.h): twelve streams of n values.
 *
 *     0 count   1 first   2 last   3 min   4 max   5 sum.lo   6 sum.hi   7 reset_sum   8 resets
 *     9 first_ms   10 last_ms   11 digits
 *
 * FORM_DERIVED, which is read only, has the first eleven as they are, and inexact sums. FORM_COARSE
 * has what does not follow from other streams, and leaves out streams of zeros:
 *
 *     chunk  := digits u8 | mask u16: bit s, stream s is there | stream *
 *     stream := codec u8 | values, or STREAM_SAME u8 | the number of an earlier one that it equals
 *
 * digits 0 to 9: all cells are decimals with so many, and first, last, min, max are integers over
 * 10^digits, stored as differences:
 *
 *     first       less the last of the cell before; of the first cell, less its own last
 *     min, max    the lesser of first and last, less min; max, less the greater of them
 *     sum         less count * (first + last) / 2, rounded towards zero
 *
 * DIGITS_MIXED: all of them as they are, and stream 11 says the digits of each cell, plus one.
 * Times are stored as the end of the cell less the time. Differences wrap around.
 */
#ifndef STORE_SEGMENT_CHUNK_DERIVED_H
#define STORE_SEGMENT_CHUNK_DERIVED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "store/columns.h"
#include "store/segment/page.h"

#define STREAM_SAME  254 /* in the place of a codec */
#define DIGITS_MIXED 255

/* Appends cells [from, from + n) as FORM_COARSE. */
void chunk_derived_encode(const struct columns *columns, size_t from, size_t n, struct buf *out);
/* Fills everything but the times of *out, whose arrays come from the arena. first_ms and last_ms of
 * FORM_COARSE are still what they are less than the end of the cell: chunk_derived_finish. */
bool chunk_derived_decode(struct reader *in, int form, size_t n, const struct place *place,
    struct arena *arena, struct columns *out, struct err *err);
/* Once the times are there, too. */
void chunk_derived_finish(struct columns *columns);

#endif
