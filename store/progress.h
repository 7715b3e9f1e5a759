/*
 * Progress: how far every source and every stream was at one transaction's end, so that an answer
 * can say what it is complete up to. Immutable and counted: snapshots share one until a transaction
 * moves something.
 */
#ifndef STORE_PROGRESS_H
#define STORE_PROGRESS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "store/read.h"

struct store;
struct stream_clock;

struct progress {
    atomic_uint refs;
    size_t n_sources, n_clocks;
    struct source_position *sources; /* in the order in which they were first committed */
    struct stream_clock *clocks;
};

/* As of store->lsn, with a reference for the caller. store.lock is held. */
struct progress *progress_get(struct store *store);
void progress_put(struct progress **progress);
/* Something has moved: the next one is made anew. store.lock is held. */
void progress_moved(struct store *store);

#endif
