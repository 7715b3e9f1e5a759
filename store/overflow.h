/*
 * Folding: which metrics put their new label sets into one overflow series, since when, and until
 * when. limits.h says why.
 *
 *     label set over a limit -> the transaction folds the metric -> commit: until the next UTC day
 *                                                                -> the log, checkpoints
 *
 * That a metric folds is part of the transaction in which it began: an abort takes it back, and a
 * restart knows it. When it ends is not written, for it follows from what is: the first transaction
 * after one that has moved the event time past the day begins without.
 *
 * The event time is the greatest that a source has read; in a store whose sources have read nothing
 * yet, the greatest frontier of a clock; without one too, the time of the newest cell since the
 * start. When not even that is known, a metric folds for the one transaction.
 */
#ifndef STORE_OVERFLOW_H
#define STORE_OVERFLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "store/labels.h"

struct metric_def;
struct store;
struct transaction;
struct txn;

/* That a metric begins to fold, in a transaction. */
struct fold_entry {
    uint32_t metric;
    int64_t until_ms;
    struct slice label; /* the one with the most values; empty: the metric has no labels */
    uint64_t values;
};

/* Of a metric, as of the last commit. */
struct folding {
    bool now;
    struct fold_entry what;
};

/* What an open transaction has done to a metric. */
struct metric_growth {
    uint32_t series; /* new ones */
    uint32_t fold;   /* 1 + the number of the transaction's fold_entry; 0: none */
};

/* The metric's; grows the transaction's array. */
struct metric_growth *overflow_growth(struct txn *txn, uint32_t metric);
/* What is said of the metric when it folds, else NULL. `over`: it has reached a limit, so that it
 * begins to fold with these labels when it does not yet. */
const struct fold_entry *overflow_of(struct txn *txn, uint32_t metric, const struct metric_def *def,
    struct labels labels, bool over);

/* A transaction begins: metrics whose day is over fold no more. */
void overflow_begin(struct store *store);
/* Before the transaction is encoded: says until when, now that all is there that knows the day. */
void overflow_settle(struct txn *txn);
/* The transaction is durable. */
void overflow_commit(struct txn *txn);
/* The same for one that is replayed; false: it refers to metrics that are not there. The
 * definitions were applied. */
bool overflow_replay(struct store *store, const struct transaction *t, struct err *err);
/* Adds an entry for every metric that folds, for a checkpoint. */
void overflow_put(struct store *store, struct transaction *out);

#endif
