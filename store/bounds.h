/*
 * What the store can keep. The same bounds hold where something enters (txn_metric, txn_add, ...),
 * where the log and checkpoints are read, and in a segment: what a transaction has committed is
 * never refused later, by a replay, a seal or a start.
 *
 *     times              (-2^62, 2^62) ms, so that no sum of two, and no edge of a block, overflows
 *     window histograms  indexes in (-2^14, 2^14): more than any scaled integer of 64 bits has at
 *                        any schema, and all of them together fit into one chunk, however many
 *                        cells of a window are merged
 *     amounts, sums      (-2^112, 2^112)
 *     counts             of a bucket, or a gauge's readings: (-2^48, 2^48), so that 2^15 cells of
 *                        one time at these bounds add up without overflow
 *     sample histograms  65,535 buckets and 32,768 custom bounds: what a chunk has room for
 *     metrics            digits 0..18, schema -4..8; clock, help and unit 65,536 bytes each
 *     label sets         labels.h
 *     sources            names of 1..65,536 bytes, states of 4,096
 */
#ifndef STORE_BOUNDS_H
#define STORE_BOUNDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "store/cell.h"
#include "store/histogram.h"
#include "store/labels.h"

#define TIME_BOUND_MS    (INT64_C(1) << 62)
#define HIST_INDEX_BOUND (1 << 14) /* |i| of a window histogram's bucket stays below */
#define METRIC_TEXT_MAX  65536     /* bytes of clock, help, unit each */
#define SUM_BOUND        ((int128)1 << 112)
#define COUNT_BOUND      (INT64_C(1) << 48)

static inline bool sum_fits(int128 sum)
{
    return sum > -SUM_BOUND && sum < SUM_BOUND;
}

static inline bool count_fits(int64_t count)
{
    return count > -COUNT_BOUND && count < COUNT_BOUND;
}

/* Of a cell, and of an event that becomes one. */
static inline bool time_fits(int64_t t_ms)
{
    return t_ms > -TIME_BOUND_MS && t_ms < TIME_BOUND_MS;
}
/* As time_fits; the error names the time. */
bool time_check(int64_t t_ms, struct err *err);

/* What is wrong with it, its name apart; NULL: nothing. */
const char *metric_def_fault(const struct metric_def *def);
/* All of these: ERR_INVALID says what is wrong. */
bool metric_def_check(const struct metric_def *def, struct err *err);
bool hist_fits(const struct hist *hist, struct err *err);
/* A histogram of samples that enters: it fits, and is one by Prometheus' model. With custom bounds
 * these ascend and are finite, and there are neither negative buckets nor a zero bucket, nor
 * buckets beyond the bounds; without, there are no bounds. Logs and segments from before this was
 * asked may hold others, so they are read by hist_fits. */
bool hist_check(const struct hist *hist, struct err *err);
bool hist_cell_check(const struct hist_cell *cell, struct err *err);
bool amount_check(int128 amount, struct err *err);
bool gauge_cell_check(const struct gauge_cell *cell, struct err *err);
/* Sorted, nothing empty; ERR_LIMIT: too many, or too long. */
bool labels_check(struct labels labels, struct err *err);
/* newest_ms is INT64_MIN, or a time that fits. */
bool source_check(struct slice name, int64_t newest_ms, struct slice state, struct err *err);
bool clock_check(struct slice name, struct err *err);

/* Whether a window histogram can have a bucket with this key. */
static inline bool hist_key_fits(int32_t key)
{
    int64_t negative = (int64_t)HIST_NEGATIVE(0) - key;
    return (key > -HIST_INDEX_BOUND && key < HIST_INDEX_BOUND) || key == HIST_ZERO ||
           (negative > -HIST_INDEX_BOUND && negative < HIST_INDEX_BOUND);
}

#endif
