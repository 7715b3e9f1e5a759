/*
 * The points of one series that a range function looks at, and windows over them. Floats and
 * histograms are kept apart, each oldest first, as the functions want them; staleness markers are
 * gone. A window (from, to] moves forward by cursors: all steps of a query together cost one pass.
 */
#ifndef QUERY_POINTS_H
#define QUERY_POINTS_H

#include <stddef.h>
#include <stdint.h>

#include "store/histogram.h"

struct points {
    size_t n, n_h;
    int64_t *t; /* of the floats */
    double *v;
    int64_t *h_t; /* of the histograms */
    const struct hist **h;
    const size_t *resets; /* of rate, increase and resets: the i with v[i] < v[i - 1] */
    size_t n_resets;
};

struct window {
    const struct points *points;
    int64_t before_ms, after_ms; /* an extended range also holds points so far outside of it */
    int64_t from_ms, to_ms;      /* (from, to] */
    int64_t eval_ms;             /* time of the step */
    size_t lo, hi;               /* floats [lo, hi) */
    size_t h_lo, h_hi;           /* histograms [h_lo, h_hi) */
};

/* from and to must not go back between two calls. A window begins with zeros but for points, before
 * and after. */
static inline void window_move(struct window *w, int64_t from, int64_t to, int64_t eval)
{
    const struct points *p = w->points;
    w->from_ms = from;
    w->to_ms = to;
    w->eval_ms = eval;
    from -= w->before_ms;
    to += w->after_ms;
    while (w->hi < p->n && p->t[w->hi] <= to)
        w->hi++;
    while (w->lo < w->hi && p->t[w->lo] <= from)
        w->lo++;
    while (w->h_hi < p->n_h && p->h_t[w->h_hi] <= to)
        w->h_hi++;
    while (w->h_lo < w->h_hi && p->h_t[w->h_lo] <= from)
        w->h_lo++;
}

static inline size_t window_floats(const struct window *w)
{
    return w->hi - w->lo;
}

static inline size_t window_hists(const struct window *w)
{
    return w->h_hi - w->h_lo;
}

#endif
