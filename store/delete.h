/*
 * Deletion: series and ranges of time go for good, down to the last byte in the store's folder.
 *
 *   store_delete    1  the writer is stopped, and the open blocks that the range touches are
 *                      sealed: what the deletion covers is now in segments with an LSN up to its
 *                      own, and what is committed later is not
 *                   2  the file `deletions` says so, synced: from here on it happens
 *                   3  readers leave the cells out
 *   maintenance     4  rewrites the segments that hold such cells, one at a time (store/rewrite.h)
 *                   5  removes series that have no cell left from the catalogue, writes a
 *                      checkpoint, which forgets the log, removes what a repair has put away
 *                      (store/put_away.h), and takes the deletion from the file
 *
 * A crash repeats what was not done: every step does nothing the second time. A later cell of the
 * same series and time counts. Coarser cells go when their window touches the range, and are made
 * anew from what finer ones are left. What is readable of quarantined segments is kept without the
 * cells (store/salvage.h). Backups (store/backup.h) are not reached, nor what a source of segments
 * that lie elsewhere keeps of those that were rewritten here.
 *
 * A series that is in quarantined segments alone is not counted among those that match, and goes
 * all the same.
 */
#ifndef STORE_DELETE_H
#define STORE_DELETE_H

#include <stdatomic.h>
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
 * for a range in which nothing lies. When it returns false nothing is deleted, unless the text says
 * that it is, and not durable: then it may be asked for again. No transaction is open in this
 * thread. ERR_LIMIT: DELETIONS_MAX wait already. ERR_UNSUPPORTED: a store in memory only. */
bool store_delete(struct store *store, const struct matcher *matchers, size_t n, int64_t from_ms,
    int64_t to_ms, uint64_t *series, struct err *err);
/* Does what maintenance would do with all that wait. */
bool store_delete_finish(struct store *store, struct err *err);

/* ---- inside the store ---- */

/* The series of a deletion, for good. */
struct deleted_ids {
    atomic_uint refs;
    size_t n;
    uint32_t ids[]; /* ascending */
};

struct deletion {
    uint64_t number; /* counted since the start, from 1 */
    uint64_t lsn;    /* the last one that it covers */
    int64_t from, to;
    struct deleted_ids *ids;  /* counted; NULL: none */
    struct matcher *matchers; /* with their strings in `arena` */
    size_t n_matchers;
    struct arena arena;
};

/* Reads the file, once segments are attached. ERR_CORRUPT names file and cause. */
bool deletions_load(struct store *store, struct err *err);
void deletions_fini(struct store *store);

/* The deletions that somebody sees: the store's own, or what a reader has noted of them. */
struct deletion_list {
    const struct deletion *all;
    size_t n;
};
/* Notes what holds now; matchers are no part of it. The lock is held. */
struct deletion_list deletions_get(const struct store *store);
void deletions_put(struct deletion_list *list);
/* What readers leave out of a series in a segment of that LSN and resolution (0: raw; coarser cells
 * go when their windows touch a deletion): ranges ascending and apart, how many is returned. */
size_t deleted_ranges(const struct deletion_list *list, uint32_t series, uint64_t lsn,
    int64_t resolution_ms, struct merge_range *out);
struct attached;
/* Whether a deletion may cover cells of the series in it: coarser cells are then read only where
 * there are no raw ones. */
bool deletion_touches(
    const struct deletion_list *list, uint32_t series, const struct attached *segment);
/* The same of any segment in (t0, t1]. */
bool deletion_in_window(const struct deletion_list *list, uint32_t series, int64_t t0, int64_t t1);
/* Adds up ranges that overlap; they are ascending and apart afterwards. How many are left. */
size_t deletion_join(struct merge_range *ranges, size_t n);
bool deletion_covers(const struct deletion *deletion, uint32_t series);
/* Takes the ranges out; false at the arena's limit. */
bool columns_without(
    struct arena *arena, const struct merge_range *ranges, size_t n, struct columns *columns);

#endif
