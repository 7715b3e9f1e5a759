/*
 * What a native histogram says about its observations: quantiles, fractions, variance; cutting its
 * tails off; its text. Estimates interpolate inside a bucket: linearly in custom buckets and in the
 * zero bucket, on a logarithmic scale in exponential ones, as Prometheus 3.
 */
#ifndef QUERY_HISTOGRAM_STAT_H
#define QUERY_HISTOGRAM_STAT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "store/histogram.h"

/* One bucket with its bounds; the zero bucket is [-threshold, threshold]. */
struct hist_range {
    double lower, upper, count;
    bool lower_inclusive, upper_inclusive;
};

/* Walks over all buckets from the lowest values to the highest, or back. The zero bucket is among
 * them when it is populated, and its neighbours are cut where they overlap it. */
struct hist_walk {
    const struct hist *h;
    bool reverse;
    uint32_t at;
};

struct hist_walk hist_walk(const struct hist *h, bool reverse);
bool hist_walk_next(struct hist_walk *walk, struct hist_range *out);

/* Bits for the caller's annotations: NaN was observed. */
#define HIST_NAN_RESULT 1u /* the quantile is among the NaN */
#define HIST_NAN_SKEW   2u /* they count as larger than all */

/* q < 0: -Inf, q > 1: +Inf, NaN or no observations: NaN. */
double hist_quantile(double q, const struct hist *h, unsigned *notes);
/* The share of observations between lower and upper. HIST_NAN_SKEW: some were NaN, and are in none.
 */
double hist_fraction(double lower, double upper, const struct hist *h, unsigned *notes);
double hist_variance(const struct hist *h);

/* The observations below (upper) or above at; count and sum are estimated. NULL: arena full. */
const struct hist *hist_trim(struct arena *arena, const struct hist *h, double at, bool upper);

/* "{count:3, sum:5, [-0.5,-0.25):1, ...}", as count_values shows it. */
void hist_text(const struct hist *h, struct buf *out);

#endif
