/*
 * Classic histograms: cumulative counts with upper bounds, from the series of one x_bucket metric.
 * The functions sort out what is broken: equal bounds are added up, counts that fall are raised to
 * the count before.
 */
#ifndef QUERY_CLASSIC_HISTOGRAM_H
#define QUERY_CLASSIC_HISTOGRAM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

struct classic_bucket {
    double upper, count;
};

/* How counts were raised: between which bounds, and by how much at most. */
struct monotonic_fix {
    bool forced;
    double min_bound, max_bound, max_diff;
};

/* The value of the label le. False: it is no number. */
bool classic_bound(struct slice le, double *out);

/* The q-quantile; buckets by upper ascending, and they are changed. NaN when the last bound is not
 * +Inf, with fewer than two buckets, and without observations. */
double classic_quantile(
    double q, struct classic_bucket *buckets, size_t n, struct monotonic_fix *fix);
/* The share of observations between lower and upper. */
double classic_fraction(double lower, double upper, struct classic_bucket *buckets, size_t n);

#endif
