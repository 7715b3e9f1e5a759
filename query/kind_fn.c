#include "query/kind_fn.h"

#include <stdio.h>

#include "base/ensure.h"
#include "base/rfc3339.h"

static bool is_gauge_fn(enum function_id id)
{
    return id == FN_MIN_OVER_TIME || id == FN_MAX_OVER_TIME || id == FN_SUM_OVER_TIME ||
           id == FN_COUNT_OVER_TIME || id == FN_AVG_OVER_TIME;
}

bool kind_fn_applies(enum kind kind, enum function_id id)
{
    if (kind == KIND_GAUGE)
        return is_gauge_fn(id);
    return (kind == KIND_COUNTER || kind == KIND_HISTOGRAM) && function_sees_windows(id);
}

/* ---- counters and histograms ---- */

/* What the steps of one series covered, for the annotations. */
struct covered {
    bool any;
    int64_t least_ms, most_ms;
    bool past_frontier;
};

static void note_covered(struct covered *covered, int64_t ms)
{
    if (!covered->any || ms < covered->least_ms)
        covered->least_ms = ms;
    if (!covered->any || ms > covered->most_ms)
        covered->most_ms = ms;
    covered->any = true;
}

/* The cells [first, end), divided by the length of the windows for a rate (0: not divided). */
static bool put_amount(struct range_call *call, struct series_view *view, size_t first, size_t end,
    int64_t length_ms, struct vector *out, size_t at, struct err *err)
{
    double divisor = length_ms ? (double)length_ms / 1000 : 1;
    out->present[at] = true;
    if (view->def->kind == KIND_COUNTER) {
        out->v[at] =
            scaled_to_double(view->sums[end] - view->sums[first], view->def->digits) / divisor;
        return true;
    }
    hist_tally_move(&view->tally, first, end);
    if (!vector_histograms(call->eval, out, err))
        return false;
    out->h[at] = hist_tally_value(&view->tally, call->eval->arena, view->def, divisor, HIST_GAUGE);
    return out->h[at] ? true : eval_no_memory(call->eval, err);
}

static void put_float(struct vector *out, size_t at, double v)
{
    out->present[at] = true;
    out->v[at] = v;
}

/* A range in which no window ends: rates take the newest window that ended by its end. */
static struct counter_span last_window(const struct series_view *view, int64_t t)
{
    int64_t end = time_floor(t, view->def->every_ms);
    return counter_windows(&view->counter, end - view->def->every_ms, end);
}

static bool counter_step(struct range_call *call, struct series_view *view,
    const struct ranges *ranges, int64_t t, struct vector *out, size_t at, struct covered *covered,
    struct err *err)
{
    int64_t every = view->def->every_ms;
    struct counter_span span = counter_windows(&view->counter, t - ranges->range_ms, t);
    bool is_rate = call->id == FN_RATE || call->id == FN_IRATE;
    if (time_floor(t, every) > view->counter.frontier_ms && view->counter.frontier_ms != INT64_MIN)
        covered->past_frontier = true;
    if (span.windows == 0 && is_rate)
        span = last_window(view, t);
    if (call->id == FN_RATE || call->id == FN_INCREASE)
        note_covered(covered, (int64_t)span.windows * every);
    if (!span.any)
        return true;
    switch (call->id) {
    case FN_INCREASE: return put_amount(call, view, span.first, span.end, 0, out, at, err);
    case FN_RATE:
        return put_amount(
            call, view, span.first, span.end, (int64_t)span.windows * every, out, at, err);
    case FN_IRATE:
        span = last_window(view, span.newest_ms);
        return put_amount(call, view, span.first, span.end, every, out, at, err);
    case FN_CHANGES: put_float(out, at, (double)(span.end - span.first)); return true;
    default: put_float(out, at, 0); return true;
    }
}

/* "7s" or "7.500s" */
static void format_seconds(int64_t ms, char *out, size_t size)
{
    if (ms % 1000)
        snprintf(out, size, "%lld.%03llds", (long long)(ms / 1000), (long long)(ms % 1000));
    else
        snprintf(out, size, "%llds", (long long)(ms / 1000));
}

static void note_span(const struct range_call *call, const struct series_view *view,
    const struct ranges *ranges, const struct covered *covered)
{
    char range[32], every[32], least[32], most[32];
    format_seconds(ranges->range_ms, range, sizeof range);
    format_seconds(view->def->every_ms, every, sizeof every);
    format_seconds(covered->least_ms, least, sizeof least);
    format_seconds(covered->most_ms, most, sizeof most);
    bool same = covered->least_ms == covered->most_ms;
    eval_info(call->eval, call->range,
        "metric \"%.*s\" has windows of %s: the range of %s covered %s%s%s",
        SLICE_FMT(view->def->name), every, range, least, same ? "" : " to ", same ? "" : most);
}

static void note_frontier(const struct range_call *call, const struct series_view *view)
{
    char time[RFC3339_MAX];
    rfc3339_format(view->counter.frontier_ms, time);
    eval_info(call->eval, call->range,
        "metric \"%.*s\" is known up to %s, the frontier of \"%.*s\": what came later is counted "
        "as "
        "far as it is known",
        SLICE_FMT(view->def->name), time, SLICE_FMT(view->def->clock));
}

static bool counter_steps(struct range_call *call, struct series_view *view,
    const struct ranges *ranges, struct vector *out, size_t series, struct err *err)
{
    struct eval *eval = call->eval;
    struct covered covered = {0};
    for (size_t k = 0; k < eval->n_steps; k++) {
        int64_t t = moment_at(&ranges->when, eval_time(eval, k));
        /* A step of a counter costs two searches, one of a histogram looks at all keys. */
        if (!eval_work(eval, 1 + view->tally.n_keys, err) ||
            !counter_step(call, view, ranges, t, out, series * eval->n_steps + k, &covered, err))
            return false;
    }
    if (covered.any &&
        (covered.least_ms != ranges->range_ms || covered.most_ms != ranges->range_ms))
        note_span(call, view, ranges, &covered);
    if (covered.past_frontier)
        note_frontier(call, view);
    return true;
}

/* ---- gauges ---- */

/*
 * A window that moves over the cells of a gauge: a cell is added once and taken away once, so all
 * steps together cost the cells and not their windows. Sums are integers, so nothing is lost. For
 * min or max the queue holds the cells that may yet be the extreme: each is better than all behind
 * it, the first is the extreme of the window.
 */
struct gauge_window {
    const struct columns *cells;
    const int64_t *extreme; /* the cells' min or max; NULL: the function needs none */
    int sign;               /* -1: the greatest is sought */
    size_t lo, hi;          /* cells [lo, hi) */
    int128 sum, count;
    size_t *queue; /* room for every cell: none comes twice */
    size_t first, end;
};

static void gauge_enter(struct gauge_window *w)
{
    size_t i = w->hi++;
    w->sum += w->cells->sum[i];
    w->count += w->cells->count[i];
    if (!w->extreme)
        return;
    const int64_t *v = w->extreme;
    while (w->end > w->first &&
           (w->sign > 0 ? v[i] <= v[w->queue[w->end - 1]] : v[i] >= v[w->queue[w->end - 1]]))
        w->end--;
    w->queue[w->end++] = i;
}

static void gauge_leave(struct gauge_window *w)
{
    size_t i = w->lo++;
    w->sum -= w->cells->sum[i];
    w->count -= w->cells->count[i];
    if (w->extreme && w->queue[w->first] == i)
        w->first++;
}

static double gauge_value(enum function_id id, const struct gauge_window *w, int digits)
{
    switch (id) {
    case FN_MIN_OVER_TIME:
    case FN_MAX_OVER_TIME: return scaled_to_double(w->extreme[w->queue[w->first]], digits);
    case FN_SUM_OVER_TIME: return scaled_to_double(w->sum, digits);
    case FN_COUNT_OVER_TIME: return (double)w->count;
    case FN_AVG_OVER_TIME: return scaled_to_double(w->sum, digits) / (double)w->count;
    default: unreachable("function of a gauge");
    }
}

static bool gauge_open(struct range_call *call, const struct series_view *view,
    struct gauge_window *out, struct err *err)
{
    *out = (struct gauge_window){.cells = &view->cells, .sign = 1};
    if (call->id == FN_MIN_OVER_TIME)
        out->extreme = view->cells.min;
    if (call->id == FN_MAX_OVER_TIME) {
        out->extreme = view->cells.max;
        out->sign = -1;
    }
    if (!out->extreme)
        return true;
    out->queue = arena_array(call->scratch, view->cells.n, sizeof *out->queue);
    return out->queue ? true : eval_no_memory(call->eval, err);
}

static bool gauge_steps(struct range_call *call, const struct series_view *view,
    const struct ranges *ranges, struct vector *out, size_t series, struct err *err)
{
    struct eval *eval = call->eval;
    const struct columns *cells = &view->cells;
    struct gauge_window w;
    if (!gauge_open(call, view, &w, err))
        return false;
    for (size_t k = 0; k < eval->n_steps; k++) {
        int64_t to = moment_at(&ranges->when, eval_time(eval, k));
        if (!eval_work(eval, 1, err))
            return false;
        while (w.hi < cells->n && cells->t[w.hi] <= to)
            gauge_enter(&w);
        while (w.lo < w.hi && cells->t[w.lo] <= to - ranges->range_ms)
            gauge_leave(&w);
        if (w.lo < w.hi)
            put_float(
                out, series * eval->n_steps + k, gauge_value(call->id, &w, view->def->digits));
    }
    return true;
}

bool kind_fn_eval(struct range_call *call, struct series_view *view, const struct ranges *ranges,
    struct vector *out, size_t series, struct err *err)
{
    return view->def->kind == KIND_GAUGE ? gauge_steps(call, view, ranges, out, series, err)
                                         : counter_steps(call, view, ranges, out, series, err);
}
