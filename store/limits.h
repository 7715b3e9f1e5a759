/*
 * Limits: what keeps one bad label from taking the store down.
 *
 * A new label set of a metric that has its number of series already, or of a store that has its
 * number, folds: its cells go to one series of that metric, {__name__="...", overflow="true"}, by
 * the same merge rule, so that totals stay exact. The metric goes on folding until the next UTC day
 * of event time (the greatest that a source has read), even when there is room before. Series of
 * samples do not fold, because samples do not add up: they are refused. Known series are never
 * touched. What folds depends on the transactions and their order, and on when series were removed.
 *
 * When a metric begins to fold, the label with the most distinct values is named in the log and
 * kept for store_each_fold.
 */
#ifndef STORE_LIMITS_H
#define STORE_LIMITS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "store/cell.h"
#include "store/labels.h"

struct store;
struct txn;

/* 0: no limit, but for those of labels.h. */
struct limits {
    uint64_t series, series_per_metric;
    uint32_t labels_per_series, label_name_bytes, label_value_bytes;
    int64_t sample_age_ms, sample_ahead_ms; /* of pushed samples, against a clock */
};

/* Since the start. */
struct limit_stats {
    uint64_t folding_metrics; /* now */
    uint64_t folded;          /* times that a label set was given the overflow series */
    uint64_t refused_series, refused_old, refused_ahead;
};

/* A metric that folds. */
struct folded_metric {
    struct slice metric;
    struct slice label; /* the one with the most values; borrowed for ever */
    uint64_t values;    /* how many when it began */
    int64_t until_ms;   /* event time */
};
typedef bool fold_f(void *ctx, const struct folded_metric *metric);
/* Calls each for every metric that folds, until it returns false. */
void store_each_fold(struct store *store, fold_f *each, void *ctx);

/* Whether a pushed sample of this time may be written; one that may not is counted. */
bool txn_accepts(struct txn *txn, int64_t t_ms, int64_t now_ms);

/* ---- inside the store ---- */

struct folding {
    int64_t until_ms; /* 0: not folding */
    struct slice label;
    uint64_t values;
};

/* The mutex guards it for who is not the writer; it is taken last. */
struct limit_state {
    pthread_mutex_t mutex;
    struct folding *of_metric; /* by id */
    size_t n, cap;
    struct limit_stats stats;
    uint64_t ended; /* times that a metric stopped folding */
};

void limits_stats(struct store *store, struct limit_stats *out);
/* A transaction begins: metrics whose day is over fold no more. The writer calls. */
void limits_begin(struct store *store);
#define OVERFLOW_LABELS 2
/* Checks a label set that is new. False: it is refused, err says why. *fold: it folds, into the
 * series with the labels that are put into `out`, an array of OVERFLOW_LABELS. */
bool limits_admit(struct txn *txn, uint32_t metric, const struct metric_def *def,
    struct labels labels, bool *fold, struct label *out, struct err *err);

#endif
