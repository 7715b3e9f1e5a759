/*
 * Deletion: series and ranges of time go for good, down to the last byte in the store's folder.
 *
 *   store_delete    1  the writer is stopped, and the open blocks that the range touches are
 *                      sealed: what the deletion covers is now in segments with an LSN up to its
 *                      own, and what is committed later is not
 *                   2  the file `deletions` says so, synced: from here on it happens
 *                   3  readers leave the cells out
 *   maintenance     4  rewrites the segments that hold such cells, one at a time
 *                   5  removes series that have no cell left from the catalogue, writes a
 *                      checkpoint, which forgets the log, and takes the deletion from the file
 *
 * A crash repeats what was not done: every step does nothing the second time. A later cell of the
 * same series and time counts. Derived cells go when their window touches the range; what raw cells
 * are left make them anew. Quarantined segments are kept as they are.
 *
 *     deletions := "LDEL" | version u32 | crc32c u32 of what follows | manifest number u32 |
 *                  edits u64 | count varint | deletion*
 *     deletion  := lsn u64 | from u64 | to u64 | matchers varint | (op u8 | name lstr | value
 * lstr)*
 */
#ifndef STORE_DELETE_H
#define STORE_DELETE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "store/columns.h"
#include "store/merge.h"
#include "store/read.h"

/* So many deletions may wait for maintenance. */
#define DELETIONS_MAX 64

/* Deletes the cells with t in (from_ms, to_ms] of the series that all matchers match. When it
 * returns true it is durable, and readers do not see them any more; *series says how many match, 0
 * for a range in which nothing lies. No
 * transaction is open in this thread. ERR_LIMIT: DELETIONS_MAX wait already. ERR_UNSUPPORTED: a
 * store in memory only. */
bool store_delete(struct store *store, const struct matcher *matchers, size_t n, int64_t from_ms,
    int64_t to_ms, uint64_t *series, struct err *err);
/* Does what maintenance would do with all that wait. */
bool store_delete_finish(struct store *store, struct err *err);

/* ---- inside the store ---- */

struct deletion {
    uint64_t number; /* counted since the start, from 1 */
    uint64_t lsn;    /* the last one that it covers */
    int64_t from, to;
    uint32_t *ids; /* ascending */
    size_t n_ids;
    struct matcher *matchers; /* with their strings in `arena` */
    size_t n_matchers;
    struct arena arena;
};

/* Reads the file, once segments are attached. ERR_CORRUPT names file and cause. */
bool deletions_load(struct store *store, struct err *err);
void deletions_fini(struct store *store);
/* One bounded step of maintenance; the caller holds `seal`, and no block is frozen. */
bool deletions_step(struct store *store, bool *did, struct err *err);
/* What readers leave out of a series in a segment of that LSN: ranges ascending and apart, how many
 * is returned. The lock is held. */
size_t deleted_ranges(
    const struct store *store, uint32_t series, uint64_t lsn, struct merge_range *out);
struct attached;
/* Whether a deletion may cover cells of the series in it:
 * coarser cells are then not read. The lock is held. */
bool deletion_touches(const struct store *store, uint32_t series, const struct attached *segment);
/* Takes the ranges out; false at the arena's limit. */
bool columns_without(
    struct arena *arena, const struct merge_range *ranges, size_t n, struct columns *columns);
/* Writes segment number `at` of the store anew, as the options leave it; name[0] 0: nothing is left
 * of it. The caller holds `seal`. */
bool segment_rewrite(struct store *store, size_t at, const struct merge_options *options,
    char name[SEGMENT_NAME_MAX], struct err *err);
/* Removes series without any cell from the catalogue, and writes a checkpoint when there were some
 * or when `checkpoint`. The caller holds `seal`. */
bool forget_series(struct store *store, bool checkpoint, struct err *err);

#endif
