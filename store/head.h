/*
 * The head: the cells of open time blocks, in memory, one growing struct columns per series and
 * block.
 *
 *     series 0 -> [block 14:00] -> [block 12:00]        newest first; mostly one
 *     series 1 -> [block 14:00]
 *
 * Block b holds the cells with t in (b * block_ms, (b + 1) * block_ms]. head_freeze takes a block
 * out, as a whole, to be written as a segment: it stays readable until the segment is there, and
 * cells that come late for it start a new chunk.
 *
 * The head has no lock of its own: the store's lock guards it.
 */
#ifndef STORE_HEAD_H
#define STORE_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/columns.h"
#include "store/transaction.h"

struct head_chunk {
    struct head_chunk *next;
    int64_t block;
    struct columns columns;
    size_t cap, buckets_cap;
};

struct head_block {
    int64_t block;
    size_t chunks;
    uint64_t cells, bytes;
};

struct segment_source;

struct frozen_chunk {
    uint32_t series;
    struct head_chunk *chunk;
};

/* A block taken out of the head; by series id. */
struct frozen {
    int64_t block;
    uint64_t lsn; /* the last transaction whose cells are in it; set by whoever froze it, as is
                     sources */
    struct segment_source *sources; /* where they stood; freed with it */
    size_t n_sources;
    struct frozen_chunk *chunks;
    size_t n;
    uint64_t cells, bytes;
};

struct head {
    int64_t block_ms;
    struct head_chunk **series;
    size_t n_series, series_cap;
    struct head_block *blocks; /* ascending */
    size_t n_blocks, blocks_cap;
    uint64_t cells, bytes;
};

void head_init(struct head *head, int64_t block_ms);
void head_fini(struct head *head);

/* The block that a cell at t lies in. */
int64_t head_block_of(const struct head *head, int64_t t);

void head_add(struct head *head, uint32_t series, enum kind kind, int64_t t, int128 amount);
void head_gauge(struct head *head, uint32_t series, int64_t t, const struct gauge_cell *cell);
void head_histogram(struct head *head, uint32_t series, int64_t t, int128 sum,
    const struct hist_bucket *b, uint32_t n);
/* histogram NULL: a float. It is borrowed for as long as the head lives. */
void head_sample(
    struct head *head, uint32_t series, int64_t t, uint64_t bits, const struct hist *histogram);

/* Newest first; NULL when the series has none. */
const struct head_chunk *head_chunks(const struct head *head, uint32_t series);

/* NULL when the block is not open. */
struct frozen *head_freeze(struct head *head, int64_t block);
void frozen_free(struct frozen **frozen);
const struct head_chunk *frozen_chunk(const struct frozen *frozen, uint32_t series);

#endif
