/*
 * Views: the whole head at one moment, for a checkpoint, and the way back.
 *
 * head_view_take copies the tails and takes references to everything else: a tenth of a second for
 * a million series, during which the head must not change. The rest is done at leisure; blocks that
 * are sealed meanwhile stay until the view goes.
 *
 *     piece  := kind u8, unit varint (ms), number of mini-chunks varint, mini-chunk*, tail
 *     chunk  := form u8, cells varint, first time varint (ms since the block's start), last time
 * varint (ms since the first), length varint, bytes        oldest first; mini_chunk.h tail   :=
 * cells u8, bytes to the end                        cell_run.h
 *
 * A piece holds the cells of one series in one block. There may be several of one pair: then the
 * later one's cells are the later commits.
 */
#ifndef STORE_HEAD_HEAD_VIEW_H
#define STORE_HEAD_HEAD_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct head;
struct head_block;
struct head_view;

/* A view without blocks. */
struct head_view *head_view_new(void);
/* Adds a block: the frozen one first, then those of the head. The block does not change meanwhile.
 */
void head_view_add(struct head_view *view, struct head_block *block);
/* Adds what the block has of the series in [first, end): so the head may be viewed in runs, each
 * under a short hold of the lock. */
void head_view_add_series(
    struct head_view *view, struct head_block *block, uint32_t first, uint32_t end);
void head_view_free(struct head_view **view);
uint64_t head_view_pieces(const struct head_view *view);
/* Of whole blocks. */
uint64_t head_view_cells(const struct head_view *view);

/* Calls each with every piece, by blocks in the order they were added in. The bytes are borrowed
 * for the call; each returns false to stop, with *err set. */
typedef bool head_piece_f(
    void *ctx, int64_t block, uint32_t series, struct slice piece, struct err *err);
bool head_view_each(const struct head_view *view, head_piece_f *each, void *ctx, struct err *err);

/* Adds the cells of a piece to the head. The catalogue knows the series (the caller has checked).
 * ERR_CORRUPT: these are no such bytes, or cells of another kind; mini-chunks are only measured
 * here, a damaged one shows when it is read. */
bool head_restore(
    struct head *head, int64_t block, uint32_t series, struct slice piece, struct err *err);

#endif
