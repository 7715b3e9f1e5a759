/*
 * How PromQL sees one series of the store, by its kind:
 *
 *     sample      its points, staleness markers included
 *     counter     C of counter_view.h as floats
 *     histogram   C as native histograms
 *     gauge       the last reading of each window, or what it is reduced to (enum gauge_reduce), at
 *                 the window's end; it looks back stale_after
 *     level       what it stands at, of level_view.h, as floats; it looks back stale_after
 *
 * A view belongs to one selector in one evaluation. Histograms that it hands out live in the
 * query's arena or in the snapshot; everything else in the scratch arena that it was opened with.
 */
#ifndef QUERY_SERIES_VIEW_H
#define QUERY_SERIES_VIEW_H

#include "query/counter_view.h"
#include "query/hist_tally.h"
#include "query/level_view.h"
#include "query/points.h"
#include "query/select.h"

struct series_view {
    const struct metric_def *def;
    struct labels labels;
    struct columns cells;
    int64_t lookback_ms;
    const struct hist **hist;    /* of samples, with reset hints; NULL: none */
    struct counter_view counter; /* counter, histogram */
    struct level_view level;
    const int128 *sums; /* counter, level: sums[i] is the sum of the cells [0, i), of a level with
                           all that was before them */
    struct hist_tally tally; /* histogram */
};

struct view_value {
    bool found;
    int64_t t_ms;
    double v;
    const struct hist *h;
};

bool series_view_open(struct eval *eval, const struct selection *selection, size_t i,
    struct arena *scratch, struct series_view *out, struct err *err);
/* The newest point at or before t that the look-back still reaches. */
bool series_view_at(struct eval *eval, struct series_view *view, int64_t t, struct view_value *out,
    struct err *err);
/* All points in (from, to] but staleness markers. */
bool series_view_points(struct eval *eval, struct series_view *view, int64_t from, int64_t to,
    struct arena *scratch, struct points *out, struct err *err);

/* What is asked of a view: points in (from, to], or the newest at from to to (instant). */
struct view_need {
    bool instant;
    bool windows_only; /* see counter_reach */
    enum range_extend extend;
};

/* The time range of cells that decides what the view shows. */
void series_view_reach(const struct metric_def *def, int64_t lookback_ms, struct view_need need,
    int64_t *from, int64_t *to);

#endif
