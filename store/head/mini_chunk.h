/*
 * Mini-chunks: immutable runs of a series' cells inside the head, made of its tail whenever that is
 * full. They hang together, newest first, and live as long as their block, so that a reader takes
 * all of them by taking the first.
 *
 *     bytes := step varint, 0: no constant step, then codec u8 and the times' differences, a stream
 *            | number of codecs u8, codecs        as the segment's chunks have them
 *            | the streams of the cells           store/segment/chunk.h
 *
 * or, when that would be larger, or the columns have no such streams, or the cells are few and
 * large: the cells as a run (cell_run.h). The cells of a column form are sorted and merged, those
 * of a run may be; those of two mini-chunks may share times, and the newer is the later commit.
 */
#ifndef STORE_HEAD_MINI_CHUNK_H
#define STORE_HEAD_MINI_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/head/block_memory.h"
#include "store/head/cell_run.h"

enum mini_form { MINI_COLUMNS = 1, MINI_RUN = 2 };

struct mini_chunk {
    const struct mini_chunk *older;
    uint32_t min_t, max_t; /* ms since the block's start */
    uint32_t len;          /* of bytes */
    uint16_t n;            /* cells */
    uint8_t form;
    uint8_t bytes[];
};

/* Makes one of the n cells of a run, n at most CHUNK_CELLS_MAX. scratch is reset. */
const struct mini_chunk *mini_chunk_make(struct block_memory *memory, struct arena *scratch,
    struct slice run, const struct run_shape *shape, size_t n, int64_t block_start,
    const struct mini_chunk *older);

/* Its cells, sorted and merged. ERR_LIMIT: the arena is full; ERR_CORRUPT: only for one that was
 * restored. */
bool mini_chunk_decode(const struct mini_chunk *chunk, const struct run_shape *shape,
    int64_t block_start, struct arena *arena, struct columns *out, struct err *err);

#endif
