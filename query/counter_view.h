/*
 * How PromQL sees a series of kind counter or histogram. Its cells are exact amounts of windows
 * (end - every, end]; the engine shows them as a counter C, which is what a process would have
 * exported that restarted at every midnight (UTC):
 *
 *     cells            5        2                 4
 *     windows    ------|---|----|---|---|---|-----|-------------     every
 *     C          0     5   5    7   7   7   7  0  4                  points
 *                ^                             ^
 *                one window before the         1 ms after midnight, when it lies
 *                first cell of a life          inside a life
 *
 *   day     of a time t: (00:00, 24:00]. C(t) is the sum of the cells of t's day that end by t.
 *   alive   a window end w is alive when some cell ends in (w - stale_after, w]. A run of
 *           alive windows is a life.
 *   known   an alive window without a cell is a zero, and a point, if it ends by the frontier.
 * Without a clock there are no zeros. Cells are points wherever they are.
 *
 * The cells must reach back far enough: counter_reach says from where to where they are needed.
 * Everything here is about times and indexes of cells; sums are the caller's (prefix sums for
 * counters, hist_tally.h for histograms).
 */
#ifndef QUERY_COUNTER_VIEW_H
#define QUERY_COUNTER_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DAY_MS INT64_C(86400000)

struct counter_view {
    const int64_t *t; /* ends of the cells, increasing, multiples of every_ms */
    size_t n;
    int64_t every_ms, stale_after_ms;
    int64_t frontier_ms; /* INT64_MIN: no clock */
};

/* A point of C: its value is the sum of cells [first, end). */
struct counter_point {
    int64_t t_ms;
    size_t first, end;
};

/* The windows with end in a range. */
struct counter_span {
    size_t first, end; /* cells [first, end) */
    size_t windows;    /* how many windows end in the range */
    bool any;          /* a cell or a known zero is among them */
    int64_t newest_ms; /* end of the newest of these; when any */
};

/* The newest point of C at or before t. */
bool counter_newest(const struct counter_view *view, int64_t t, struct counter_point *out);

/* The windows with end in (from, to]. */
struct counter_span counter_windows(const struct counter_view *view, int64_t from, int64_t to);

/* The cells with t in (*from, *to] decide C and its points in (from, to], or with windows_only what
 * counter_windows says of ranges inside (from, to]. */
void counter_reach(
    int64_t every_ms, int64_t stale_after_ms, bool windows_only, int64_t *from, int64_t *to);

#endif
