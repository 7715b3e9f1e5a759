/*
 * A native histogram as PromQL sees it: float counts, exponential buckets (schema -4..8) or custom
 * bounds (schema -53). Samples that are histograms, and the values that queries compute, have this
 * form. Immutable once made; who made it owns the arrays (as a rule an arena).
 */
#ifndef STORE_HISTOGRAM_H
#define STORE_HISTOGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

#define HIST_SCHEMA_CUSTOM (-53)

enum hist_reset_hint { HIST_RESET_UNKNOWN, HIST_RESET_YES, HIST_RESET_NO, HIST_GAUGE };

/* Positive: (b^(index-1), b^index]; negative mirrored; custom: (bounds[index-1], bounds[index]]. */
struct hist_fbucket {
    int32_t index;
    double count;
};

struct hist {
    int schema;
    enum hist_reset_hint reset_hint;
    double zero_threshold, zero_count;
    double count, sum;
    uint32_t n_positive, n_negative; /* by index ascending; counts of 0 may occur */
    const struct hist_fbucket *positive, *negative;
    uint32_t n_bounds; /* custom upper bounds, +Inf not among them */
    const double *bounds;
};

/* A deep copy in the arena; NULL at its limit. */
const struct hist *hist_copy(struct arena *arena, const struct hist *hist);

#endif
