/*
 * Timestamp vectors: the times of up to CHUNK_CELLS_MAX cells, ascending. Equal vectors are stored
 * once in a segment, and chunks refer to a piece of one, so series that share a grid share its
 * times.
 *
 *     constant step   codec 255: first and step say it all, nothing else is stored
 *     others          a stream of n values in a page of times
 *
 * A series' cells are cut every CHUNK_CELLS_MAX; each piece has one vector. Histogram chunks, which
 * may be shorter, refer to parts of it.
 */
#ifndef STORE_SEGMENT_TIMES_H
#define STORE_SEGMENT_TIMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checksum.h"
#include "base/err.h"
#include "base/map.h"
#include "store/segment.h"
#include "store/segment/page.h"

struct vector {
    int64_t first, last;
    int64_t step;                 /* 0: one time only, or no constant step */
    uint32_t n;                   /* 1..CHUNK_CELLS_MAX */
    uint32_t page, offset, bytes; /* where its stream is; 0 for a constant step */
    uint8_t codec;                /* CODEC_NONE: constant step */
};

/* True when the times have a constant step (a single one has), which is then *step. */
bool times_step(const int64_t *t, size_t n, int64_t *step);
/* n times, of a vector with a constant step. */
void times_fill(const struct segment_times *times, size_t n, int64_t *out);
/* The same of a vector with a stream, which is `bytes`. place is that of its page. */
bool times_decode(const struct segment_times *times, struct slice bytes, size_t n,
    const struct place *place, int64_t *out, struct err *err);

/* Finds equal vectors by a 128-bit hash of their times; the times are not kept. */
struct times_index {
    struct map map;
    struct hash128 *hash; /* by id */
    size_t n, cap;
};

void times_index_init(struct times_index *index);
void times_index_fini(struct times_index *index);
/* The id of the vector; *is_new when it was not there. Ids are dense from 0. */
uint32_t times_index_add(struct times_index *index, const int64_t *t, size_t n, bool *is_new);

#endif
