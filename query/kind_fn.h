/*
 * Range functions that look at the cells of their series instead of points, and so are exact: no
 * extrapolation, no midnight.
 *
 *     counter, histogram   increase, rate, irate, resets, changes     over windows
 *     gauge                min, max, sum, count, avg _over_time        over the readings of windows
 *
 * increase is the sum of the windows that end in (t - r, t], converted once; rate divides it by the
 * time that these windows cover. A window without a cell is zero where counter_view.h knows it.
 */
#ifndef QUERY_KIND_FN_H
#define QUERY_KIND_FN_H

#include "query/range_fn.h"
#include "query/series_view.h"

bool kind_fn_applies(enum kind kind, enum function_id id);

/* The ranges of a selection: (t - range, t] for t = when at every step. */
struct ranges {
    struct moment when;
    int64_t range_ms;
};

/* Evaluates call->id for one series at every step into out; notes which time was covered. */
bool kind_fn_eval(struct range_call *call, struct series_view *view, const struct ranges *ranges,
    struct vector *out, size_t series, struct err *err);

#endif
