/*
 * Classic histograms as native ones with custom buckets: what load_with_nhcb adds. Series x_bucket
 * with label le, x_count and x_sum that agree in their other labels become histograms of metric x.
 */
#ifndef QUERY_SCRIPT_NHCB_H
#define QUERY_SCRIPT_NHCB_H

#include "query/script.h"

/* The converted series of the load, in the arena. ERR_INVALID: buckets that fall, or a count that
 * is not that of the last bucket. */
bool script_nhcb(const struct script_load *load, struct arena *arena, struct script_series **out,
    size_t *n, struct err *err);

#endif
