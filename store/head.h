/*
 * The head: the cells of open time blocks, in memory (head/head_block.h).
 *
 *     block 12:00 | block 14:00         ascending; mostly one or two
 *
 * Block b holds the cells with t in (b * block_ms, (b + 1) * block_ms]. Cells come in any order, in
 * batches: head_apply asks for the memory of 64 cells ahead before it touches the first, which is
 * what appending to a million series in random order costs otherwise. head_freeze takes a block
 * out, as a whole, to be written as a segment; cells that come late for it begin a new one.
 *
 * The head has no lock of its own; store_priv.h says what guards it. The blocks are counted, and
 * what was taken of them (head_part_take) is read without any lock.
 */
#ifndef STORE_HEAD_H
#define STORE_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/columns.h"
#include "store/head/head_block.h"
#include "store/transaction.h"

struct segment_source;

/* A block taken out of the head. */
struct frozen {
    struct head_block *block;
    uint64_t lsn; /* the last transaction whose cells are in it; set by whoever froze it, as is
                     sources */
    struct segment_source *sources; /* where they stood; freed with it */
    size_t n_sources;
};

/* How the cells of a series are kept. Asked for its first cell in a block. */
typedef struct run_shape shape_f(void *ctx, uint32_t series);

struct head {
    int64_t block_ms;
    shape_f *shape;
    void *shape_ctx;
    struct head_block **blocks; /* ascending */
    size_t n_blocks, blocks_cap;
    struct head_block *last; /* where the last cell went */
    struct arena scratch;
};

/* block_ms: at most 2^30, 12 days. */
#define HEAD_BLOCK_MS_MAX (1 << 30)
void head_init(struct head *head, int64_t block_ms, shape_f *shape, void *ctx);
void head_fini(struct head *head);

/* NULL when it is not open. */
struct head_block *head_find_block(const struct head *head, int64_t number);
/* Made when it is not open. */
struct head_block *head_open_block(struct head *head, int64_t number);

/* ---- a transaction ---- */

/* Which cells are applied; a function that is NULL takes all. */
struct head_filter {
    bool (*block)(void *ctx, int64_t number);
    bool (*series)(void *ctx, uint32_t series);
    void *ctx;
};

/* Applies at most max of the cells from number *at on, counted over all kinds in the order of the
 * arrays, and moves *at on. filter may be NULL. True when all are applied. */
bool head_apply(struct head *head, const struct transaction *t, size_t *at, size_t max,
    const struct head_filter *filter);

/* ---- accounts ---- */

uint64_t head_cells(const struct head *head);
uint64_t head_bytes(const struct head *head);

/* ---- sealing ---- */

/* NULL when the block is not open. */
struct frozen *head_freeze(struct head *head, int64_t number);
void frozen_free(struct frozen **frozen);

/* The series of a block, ascending, as an array of *n on the heap. The block does not change
 * meanwhile. */
uint32_t *head_block_series(const struct head_block *block, size_t *n);
/* All cells of a series that has some, merged and canonical. As above. */
bool head_block_columns(const struct head_block *block, uint32_t series, struct arena *arena,
    struct columns *out, struct err *err);

#endif
