/*
 * Arithmetic of native histograms, with the rules of Prometheus 3: what PromQL's operators and
 * functions need of struct hist. Results are new histograms in an arena; NULL or HIST_NO_MEMORY
 * means that its limit is reached. Inputs are never changed, results may share arrays with them.
 *
 *   zero bucket   two histograms meet at the smallest zero threshold that lies in no populated
 * bucket of either; what falls below it is counted as zero. schema        the lower resolution of
 * the two. custom        only with custom; different bounds meet at those that both have
 * (HIST_BOUNDS_RECONCILED). reset hint    equal hints stay, gauge wins, then unknown; reset against
 * no reset is unknown and a collision (HIST_RESET_COLLISION).
 */
#ifndef QUERY_HISTOGRAM_MATH_H
#define QUERY_HISTOGRAM_MATH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "query/kahan.h"
#include "store/histogram.h"

enum hist_status {
    HIST_OK,
    HIST_INCOMPATIBLE, /* exponential and custom buckets */
    HIST_NO_MEMORY,
};

/* What an operation noticed: bits for the caller's annotations. */
#define HIST_RESET_COLLISION   1u
#define HIST_BOUNDS_RECONCILED 2u

static inline bool hist_is_custom(const struct hist *h)
{
    return h->schema == HIST_SCHEMA_CUSTOM;
}

/* The upper bound of the positive bucket; of the last that a double can hold, DBL_MAX. Custom: +Inf
 * for the last. The lower bound is that of index - 1 (custom: -Inf below 0). */
double hist_upper_bound(const struct hist *h, int32_t index);

/* ---- new histograms ---- */

/* a + b and a - b, compacted. *notes gets bits added. The difference keeps the hint that the sum
 * would have: the operator "-" makes it a gauge. */
enum hist_status hist_add(struct arena *arena, const struct hist *a, const struct hist *b,
    unsigned *notes, const struct hist **out);
enum hist_status hist_subtract(struct arena *arena, const struct hist *a, const struct hist *b,
    unsigned *notes, const struct hist **out);
/* Times factor, divided by divisor. A negative one makes a gauge; division by 0 loses the buckets.
 */
const struct hist *hist_multiply(struct arena *arena, const struct hist *h, double factor);
const struct hist *hist_divide(struct arena *arena, const struct hist *h, double divisor);
/* Without buckets of count 0; h itself when there are none. */
const struct hist *hist_compact(struct arena *arena, const struct hist *h);
/* At a lower resolution: schema <= h->schema, exponential. */
const struct hist *hist_reduce(struct arena *arena, const struct hist *h, int schema);
/* The same histogram with another hint (shares the buckets). */
const struct hist *hist_with_hint(
    struct arena *arena, const struct hist *h, enum hist_reset_hint hint);

/* ---- comparing ---- */

/* Bit for bit; empty buckets and hints do not count. */
bool hist_equal(const struct hist *a, const struct hist *b);
/* True when counting must have begun anew between previous and current. */
bool hist_detect_reset(const struct hist *current, const struct hist *previous);

/* ---- running sums and means ---- */

/* Buckets of a running sum, by index, with compensations beside them. */
struct hist_side {
    struct hist_fbucket *bucket;
    double *comp;
    uint32_t n, cap;
};

/*
 * The compensated sum of many histograms, changed in place: adding one of the same layout allocates
 * nothing. h is valid while any; its bucket pointers are those of the sides.
 */
struct hist_sum {
    struct arena *arena;
    bool any;
    struct hist h;
    struct hist_side positive, negative, spare;
    double zero_comp, count_comp, sum_comp;
    double n;     /* of a mean: histograms so far */
    bool is_mean; /* h is the mean already: the plain sum would have overflowed */
};

void hist_sum_init(struct hist_sum *sum, struct arena *arena);
/* Empties it and keeps its memory. */
void hist_sum_clear(struct hist_sum *sum);
/* After HIST_INCOMPATIBLE the sum is as before. */
enum hist_status hist_sum_add(struct hist_sum *sum, const struct hist *h, unsigned *notes);
/* As hist_sum_add, for hist_mean_result: a plain sum until it would overflow, from then on the
 * mean. */
enum hist_status hist_mean_add(struct hist_sum *sum, const struct hist *h, unsigned *notes);
/* Copies out, compacted. The sum must not be empty. */
const struct hist *hist_sum_result(const struct hist_sum *sum);
const struct hist *hist_mean_result(const struct hist_sum *sum);

#endif
