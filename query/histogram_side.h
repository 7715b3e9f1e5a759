/*
 * Rules that the arithmetic of native histograms and their running sums share: how indices map to a
 * lower resolution, and what a larger zero bucket would count.
 */
#ifndef QUERY_HISTOGRAM_SIDE_H
#define QUERY_HISTOGRAM_SIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "store/histogram.h"

/* The index at the schema that is lower by shift: two neighbours become one at each level. */
static inline int32_t hist_reduced_index(int32_t index, int shift)
{
    return ((index - 1) >> shift) + 1;
}

/* The upper bound of an exponential bucket; DBL_MAX for the last one that is finite. */
double hist_exponential_bound(int32_t index, int schema);

/* The zero count that h would have with a larger threshold. When that lies inside a populated
 * bucket, *threshold moves up to the bucket's end. */
double hist_zero_count_at(const struct hist *h, double *threshold);

bool hist_bounds_equal(const struct hist *a, const struct hist *b);

#endif
