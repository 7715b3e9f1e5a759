/*
 * What the arithmetic of native histograms and their running sums share: rules for bounds, zero
 * buckets and lower resolutions, and the sides of a running sum: its positive or negative buckets,
 * by index ascending, with a compensation beside each count.
 *
 * Buckets are added to a side by a mapping of their indices, which never changes their order. When
 * every index is there already, that is done in place: the usual case, without allocation. Else
 * both runs are merged into a spare side, and the two swap.
 */
#ifndef QUERY_HISTOGRAM_SIDE_H
#define QUERY_HISTOGRAM_SIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "query/histogram_math.h"
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

/* How the indices of the histogram that is added become indices of the sum. */
struct hist_mapping {
    int shift;
    const double *from, *to; /* custom bounds that differ; NULL: they do not */
    uint32_t n_from, n_to;
    double factor, divisor; /* counts are multiplied and divided */
};

int32_t hist_map_index(const struct hist_mapping *m, int32_t index);

/* Room for n buckets in an empty side; false: the arena is full. */
bool hist_side_reserve(struct arena *arena, struct hist_side *side, uint32_t n);
/* Rewrites the indices; neighbours that become one are added. */
void hist_side_map(struct hist_side *side, const struct hist_mapping *m);
/* False: the arena is full. */
bool hist_side_add(struct arena *arena, struct hist_side *side, struct hist_side *spare,
    const struct hist_fbucket *b, uint32_t n, const struct hist_mapping *m);

#endif
