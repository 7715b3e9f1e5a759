/*
 * Chunks of derived cells (columns.h): eleven streams, each behind a byte with its codec, or with
 * STREAM_SAME and the number of an earlier one that it equals, as the least of a counter equals its
 * first value.
 *
 *     0 count   1 first   2 last   3 min   4 max   5 sum.lo   6 sum.hi   7 reset_sum   8 resets
 *     9 first_ms   10 last_ms
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

#define STREAM_SAME 254 /* in the place of a codec */

/* Appends cells [from, from + n). */
void chunk_derived_encode(const struct columns *columns, size_t from, size_t n, struct buf *out);
/* Fills everything but the times of *out, whose arrays come from the arena. */
bool chunk_derived_decode(struct reader *in, size_t n, const struct place *place,
    struct arena *arena, struct columns *out, struct err *err);

#endif
