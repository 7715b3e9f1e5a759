/*
 * The modifiers anchored and smoothed, which look beyond the ends of a range (or at both sides of
 * an instant) instead of extrapolating:
 *
 *              from                      to
 *       x   x   |   x      x      x      |   x
 *           ^anchored                    |
 *           '---o smoothed: on the line  o---'
 *
 * They reach as far as the look-back does.
 */
#ifndef QUERY_EXTEND_H
#define QUERY_EXTEND_H

#include "query/points.h"
#include "query/range_fn.h"
#include "query/series_view.h"

/* How far points outside of (from, to] are looked for. */
static inline int64_t extend_before(enum range_extend extend, int64_t lookback_ms)
{
    return extend == EXTEND_NONE ? 0 : lookback_ms;
}

static inline int64_t extend_after(enum range_extend extend, int64_t lookback_ms)
{
    return extend == EXTEND_SMOOTHED ? lookback_ms : 0;
}

/* The range vector itself: the floats inside, with a point at each end of the range. Histograms are
 * an error of execution. */
bool extend_range(struct eval *eval, const struct window *window, bool smoothed,
    struct arena *scratch, struct points *out, struct err *err);

/* A smoothed selector: the value at the window's end, which has points at both sides of it. */
bool extend_instant(
    struct range_call *call, const struct window *window, struct view_value *out, struct err *err);

#endif
