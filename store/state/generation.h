/*
 * A generation of a state table, and what one sees of it.
 *
 *     view:  mem (the writer adds)  |  frozen (being flushed)  |  runs, newest first
 *
 * Views are immutable but for what `mem` holds: whoever flushes, merges or drops puts a new view in
 * the old one's place, and those who still look at the old one hold a reference to it. So the
 * writer reads its view without any lock (nobody else changes `mem`), and other threads look into
 * `mem` under the state's mutex, into the rest without it.
 */
#ifndef STORE_STATE_GENERATION_H
#define STORE_STATE_GENERATION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct memtable;
struct run;

struct state_view {
    atomic_uint refs;
    struct memtable *mem, *frozen; /* NULL: none */
    size_t n_runs;
    struct run *runs[];
};

/* References to memtables and runs are added. */
struct state_view *state_view_new(
    struct memtable *mem, struct memtable *frozen, struct run *const *runs, size_t n_runs);
struct state_view *state_view_ref(struct state_view *view);
/* NULL is fine. */
void state_view_unref(struct state_view **view);

/* What a purge (store/state/state_purge.c) has still to do. */
enum purge { PURGE_NONE, PURGE_FLUSH, PURGE_MERGE };

struct generation {
    int64_t number;
    struct state_view *view;
    uint64_t changed_lsn; /* of the last change in mem */
    uint64_t frozen_lsn;  /* of the last change in view->frozen */
    enum purge purge;
    uint64_t quiet;  /* rounds of flushing since it was part of one */
    bool damaged;    /* merging its runs met a damaged page */
    unsigned unread; /* how often merging met a page that could not be read now */
    uint64_t until;  /* in which round of maintenance they are merged again */
};

#endif
