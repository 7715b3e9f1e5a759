/*
 * How PromQL sees a series of kind level. Its cells are signed changes of windows (end - every,
 * end]; what the level stands at is the sum of all changes since ever. The engine shows it as a
 * Prometheus gauge that was sampled at the end of every window:
 *
 *     changes         +3       -1                      +2
 *     windows     -----|---|----|---|---|---|- - - - ---|---     every
 *     points           3   3    2   2   2   2           4
 *                                           ^ last change + stale_after: gone until the next one
 *
 *   alive   a window end w, when a change ends in (w - stale_after, w].
 *   known   an alive window without a change is a point if it ends by the frontier. Changes are
 *           points wherever they are; without a clock they are the only ones.
 *   at t    a selector sees what the level stands at, all changes up to t counted, when one of them
 *           ends in (t - stale_after, t]: also behind the frontier, as far as it is known.
 *
 * Where retention has left coarser cells alone, a change stands at the end of its minute or hour.
 * Everything here is about times and numbers of cells; sums are the caller's: after cell i - 1 the
 * level is at sums[i] (series_view.h).
 */
#ifndef QUERY_LEVEL_VIEW_H
#define QUERY_LEVEL_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct level_view {
    const int64_t *t; /* ends of the cells, increasing, multiples of every_ms */
    size_t n;
    int64_t every_ms, stale_after_ms;
    int64_t frontier_ms; /* INT64_MIN: no clock */
};

/* A point: the level after cells [0, end). */
struct level_point {
    int64_t t_ms;
    size_t end;
};

/* What a selector sees at t, with the time of the newest point by then. Needs the cells in
 * (t - stale_after, t]. */
bool level_at(const struct level_view *view, int64_t t, struct level_point *out);

/* The first point after `after`. Needs the cells of stale_after before it. */
bool level_next(const struct level_view *view, int64_t after, struct level_point *out);

#endif
