/*
 * Limits: what keeps one bad label from taking the store down.
 *
 * A new label set of a metric that has its number of series already, or of a store that has its
 * number, folds: its cells go to one series of that metric, {__name__="...", overflow="true"}, by
 * the same merge rule, so that totals stay exact. The metric goes on folding until the next UTC day
 * of event time, even when there is room before, and across restarts (overflow.h). Series of
 * samples do not fold, because samples do not add up: they are refused. Known series are never
 * touched. What folds depends on the transactions and their order, and on when series were removed.
 *
 * Overflow series come on top of the store's number, one per metric that folds, but never more than
 * OVERFLOW_SERIES_MAX: the label sets of a metric for which none is left are refused with
 * ERR_LIMIT, as are those that break a limit of labels. So a store has at most `series` +
 * OVERFLOW_SERIES_MAX series, and never more than a segment can hold.
 *
 * The label `overflow` is the store's: label sets that have it are refused, but for samples, of
 * which no series overflows. So a series with it is what has folded, and nothing else.
 *
 * When a metric begins to fold, the label with the most distinct values is named in the log and
 * kept for store_each_fold.
 */
#ifndef STORE_LIMITS_H
#define STORE_LIMITS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "store/cell.h"
#include "store/labels.h"
#include "store/overflow.h"

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

/* Whether a sample that somebody pushes may have this time; one that may not is counted. Whoever
 * takes in pushes asks for every sample, with the time of the push, and leaves out those that may
 * not: txn_sample does not ask, because the store has no clock, and because rules and imports write
 * any time. */
bool txn_accepts(struct txn *txn, int64_t t_ms, int64_t now_ms);

/* ---- inside the store ---- */

#define LABEL_OVERFLOW      "overflow"
#define OVERFLOW_SERIES_MAX 1024

/* The mutex guards it for who is not the writer; it is taken last. */
struct limit_state {
    pthread_mutex_t mutex;
    struct folding *of_metric; /* by id */
    size_t n, cap;
    struct limit_stats stats;
    uint64_t ended;                      /* times that a metric stopped folding */
    atomic_int_least64_t newest_cell_ms; /* since the start, while there is no better clock */
};

void limits_stats(struct store *store, struct limit_stats *out);
#define OVERFLOW_LABELS 2
/* Those of the metric's overflow series. */
void overflow_labels(const struct metric_def *def, struct label out[OVERFLOW_LABELS]);
/* Checks a label set that is new. False: it is refused, err says why. *fold: it folds, into the
 * series with the labels that are put into `out`, an array of OVERFLOW_LABELS. */
bool limits_admit(struct txn *txn, uint32_t metric, const struct metric_def *def,
    struct labels labels, bool *fold, struct label *out, struct err *err);
/* Whether the metric may have an overflow series that it does not have yet. */
bool limits_reserve(struct txn *txn, const struct metric_def *def, struct err *err);

#endif
