#include "query/series_view.h"

#include <string.h>

#include "base/double_bits.h"
#include "base/ensure.h"
#include "query/histogram_math.h"

/* ---- opening ---- */

static int64_t view_lookback(const struct metric_def *def, int64_t lookback_ms)
{
    if (def->kind == KIND_GAUGE || def->kind == KIND_LEVEL)
        return def->stale_after_ms;
    return def->every_ms > lookback_ms ? def->every_ms : lookback_ms;
}

void series_view_reach(const struct metric_def *def, int64_t lookback_ms, struct view_need need,
    int64_t *from, int64_t *to)
{
    int64_t lookback = view_lookback(def, lookback_ms);
    if (need.instant || need.extend != EXTEND_NONE)
        *from -= lookback;
    if (need.extend == EXTEND_SMOOTHED)
        *to += lookback;
    switch (def->kind) {
    case KIND_SAMPLE:
        *from -= lookback_ms;
        break; /* the histogram before the first: for its hint */
    case KIND_COUNTER:
    case KIND_HISTOGRAM:
        /* rate of a range without a window takes the one before it. */
        if (need.windows_only)
            *from -= def->every_ms;
        counter_reach(def->every_ms, def->stale_after_ms, need.windows_only, from, to);
        break;
    case KIND_LEVEL:
        /* Whether windows are alive; where a selector looks, that is what it sees. */
        if (!need.instant || need.extend != EXTEND_NONE)
            *from -= def->stale_after_ms;
        break;
    case KIND_GAUGE: break;
    }
}

static bool is_stale(const struct series_view *view, size_t i)
{
    const struct hist *h = view->cells.hist ? view->cells.hist[i] : NULL;
    return (h ? double_bits(h->sum) : view->cells.bits[i]) == STALE_BITS;
}

static bool same_layout(const struct hist *a, const struct hist *b)
{
    return a->schema == b->schema && a->zero_threshold == b->zero_threshold &&
           a->n_bounds == b->n_bounds &&
           (a->n_bounds == 0 || memcmp(a->bounds, b->bounds, a->n_bounds * sizeof *a->bounds) == 0);
}

/*
 * The hint that Prometheus' storage gives: a histogram that goes on where the last one was is
 * "no reset", one that begins anew (or whose predecessor is not known) is "unknown".
 */
static enum hist_reset_hint stored_hint(const struct hist *h, const struct hist *before)
{
    if (h->reset_hint == HIST_GAUGE)
        return HIST_GAUGE;
    if (!before || before->reset_hint == HIST_GAUGE || h->reset_hint == HIST_RESET_YES ||
        !same_layout(h, before))
        return HIST_RESET_UNKNOWN;
    struct hist plain = *h;
    plain.reset_hint = HIST_RESET_UNKNOWN;
    return hist_detect_reset(&plain, before) ? HIST_RESET_UNKNOWN : HIST_RESET_NO;
}

/*
 * histogram_count and its like need no buckets, and Prometheus then looks for resets while it
 * reads: what is not known becomes "reset" or "no reset" by the histogram before.
 */
static enum hist_reset_hint detected_hint(
    enum hist_reset_hint hint, const struct hist *h, const struct hist *last)
{
    if (hint != HIST_RESET_UNKNOWN || !last)
        return hint;
    struct hist plain = *h;
    plain.reset_hint = HIST_RESET_UNKNOWN;
    return hist_detect_reset(&plain, last) ? HIST_RESET_YES : HIST_RESET_NO;
}

static bool derive_hints(struct eval *eval, bool detect, struct series_view *view,
    struct arena *scratch, struct err *err)
{
    size_t n = view->cells.n;
    view->hist = arena_array(scratch, n, sizeof *view->hist);
    if (!view->hist)
        return eval_no_memory(eval, err);
    const struct hist *before = NULL, *last = NULL;
    for (size_t i = 0; i < n; i++) {
        const struct hist *h = view->cells.hist[i];
        view->hist[i] = h;
        if (!h || is_stale(view, i)) {
            before = NULL;
            continue;
        }
        enum hist_reset_hint hint = stored_hint(h, before);
        if (detect)
            hint = detected_hint(hint, h, last);
        if (hint != h->reset_hint && !(view->hist[i] = hist_with_hint(eval->arena, h, hint)))
            return eval_no_memory(eval, err);
        before = last = h;
    }
    return true;
}

/* INT64_MIN: no clock. */
static int64_t frontier_of(const struct eval *eval, const struct metric_def *def)
{
    int64_t frontier, watermark;
    bool has = def->clock.len &&
               snapshot_clock(eval->selections->snapshot, def->clock, &frontier, &watermark);
    return has ? frontier : INT64_MIN;
}

/* before: what was before the cells. */
static bool sum_cells(struct eval *eval, int128 before, struct series_view *view,
    struct arena *scratch, struct err *err)
{
    int128 *sums = arena_array(scratch, view->cells.n + 1, sizeof *sums);
    if (!sums)
        return eval_no_memory(eval, err);
    sums[0] = before;
    for (size_t i = 0; i < view->cells.n; i++)
        sums[i + 1] = sum_add(sums[i], view->cells.amount[i]);
    view->sums = sums;
    return true;
}

static bool open_counter(
    struct eval *eval, struct series_view *view, struct arena *scratch, struct err *err)
{
    const struct metric_def *def = view->def;
    view->counter = (struct counter_view){.t = view->cells.t,
        .n = view->cells.n,
        .every_ms = def->every_ms,
        .stale_after_ms = def->stale_after_ms,
        .frontier_ms = frontier_of(eval, def)};
    if (def->kind == KIND_HISTOGRAM)
        return hist_tally_init(&view->tally, scratch, &view->cells) ? true
                                                                    : eval_no_memory(eval, err);
    return sum_cells(eval, 0, view, scratch, err);
}

static void note_coarse(
    struct eval *eval, const struct selection *selection, const struct metric_def *def, int64_t ms)
{
    eval_info(eval, selection->node,
        "metric \"%.*s\": retention has left cells of %s of a part of the range: between their "
        "ends it is what it was at the last one",
        SLICE_FMT(def->name),
        ms < 3600000  ? "a minute"
        : ms < DAY_MS ? "an hour"
                      : "a day");
}

static bool open_level(struct eval *eval, const struct selection *selection, size_t i,
    struct series_view *view, struct arena *scratch, struct err *err)
{
    const struct metric_def *def = view->def;
    int128 before;
    if (!plan_opening_sum(selection->plan, i, scratch, &before, err))
        return false;
    int64_t step = plan_level_step(selection->plan, i);
    if (step > def->every_ms)
        note_coarse(eval, selection, def, step);
    view->level = (struct level_view){.t = view->cells.t,
        .n = view->cells.n,
        .every_ms = def->every_ms,
        .stale_after_ms = def->stale_after_ms,
        .frontier_ms = frontier_of(eval, def)};
    return sum_cells(eval, before, view, scratch, err);
}

/* Histograms among the samples go on living in the vectors that refer to them. */
static bool keep_histograms(struct eval *eval, struct columns *cells, struct err *err)
{
    for (size_t i = 0; cells->hist && i < cells->n; i++)
        if (cells->hist[i] && !(cells->hist[i] = hist_copy(eval->arena, cells->hist[i])))
            return eval_no_memory(eval, err);
    return true;
}

bool series_view_open(struct eval *eval, const struct selection *selection, size_t i,
    struct arena *scratch, struct series_view *out, struct err *err)
{
    int64_t lookback = eval->options->lookback_ms;
    *out = (struct series_view){
        .def = plan_metric(selection->plan, i), .labels = plan_labels(selection->plan, i)};
    if (!plan_columns(selection->plan, i, scratch, &out->cells, err) ||
        !keep_histograms(eval, &out->cells, err))
        return false;
    eval->selections->cells += out->cells.n;
    out->lookback_ms = view_lookback(out->def, lookback);
    switch (out->def->kind) {
    case KIND_SAMPLE:
        return !out->cells.hist || derive_hints(eval, selection->counts_only, out, scratch, err);
    case KIND_GAUGE: return true;
    case KIND_LEVEL: return open_level(eval, selection, i, out, scratch, err);
    case KIND_COUNTER:
    case KIND_HISTOGRAM: return open_counter(eval, out, scratch, err);
    }
    unreachable("kind");
}

/* ---- one point ---- */

static bool counter_value(struct eval *eval, struct series_view *view,
    const struct counter_point *point, struct view_value *out, struct err *err)
{
    out->t_ms = point->t_ms;
    if (view->def->kind == KIND_COUNTER) {
        out->v =
            scaled_to_double(view->sums[point->end] - view->sums[point->first], view->def->digits);
        return true;
    }
    if (!eval_work(eval, view->tally.n_keys, err))
        return false;
    hist_tally_move(&view->tally, point->first, point->end);
    out->h = hist_tally_value(&view->tally, eval->arena, view->def, 1, HIST_RESET_UNKNOWN);
    return out->h ? true : eval_no_memory(eval, err);
}

static double gauge_value(const struct columns *cells, size_t i, const struct metric_def *def)
{
    switch ((enum gauge_reduce)def->schema) {
    case REDUCE_AVG: return scaled_to_double(cells->sum[i], def->digits) / (double)cells->count[i];
    case REDUCE_MIN: return scaled_to_double(cells->min[i], def->digits);
    case REDUCE_MAX: return scaled_to_double(cells->max[i], def->digits);
    case REDUCE_SUM: return scaled_to_double(cells->sum[i], def->digits);
    case REDUCE_LAST: break;
    }
    return scaled_to_double(cells->last[i], def->digits);
}

static void cell_value(const struct series_view *view, size_t i, struct view_value *out)
{
    out->t_ms = view->cells.t[i];
    if (view->def->kind == KIND_GAUGE)
        out->v = gauge_value(&view->cells, i, view->def);
    else if (view->hist && view->hist[i])
        out->h = view->hist[i];
    else
        out->v = bits_double(view->cells.bits[i]);
}

static void level_value(
    const struct series_view *view, const struct level_point *point, struct view_value *out)
{
    *out = (struct view_value){.found = true,
        .t_ms = point->t_ms,
        .v = scaled_to_double(view->sums[point->end], view->def->digits)};
}

bool series_view_at(
    struct eval *eval, struct series_view *view, int64_t t, struct view_value *out, struct err *err)
{
    *out = (struct view_value){0};
    if (view->def->kind == KIND_LEVEL) {
        struct level_point point;
        if (level_at(&view->level, t, &point))
            level_value(view, &point, out);
        return true;
    }
    if (view->def->kind == KIND_COUNTER || view->def->kind == KIND_HISTOGRAM) {
        struct counter_point point;
        if (!counter_newest(&view->counter, t, &point) || point.t_ms <= t - view->lookback_ms)
            return true;
        out->found = true;
        return counter_value(eval, view, &point, out, err);
    }
    size_t after = columns_after(&view->cells, t);
    if (after == 0 || view->cells.t[after - 1] <= t - view->lookback_ms)
        return true;
    if (view->def->kind == KIND_SAMPLE && is_stale(view, after - 1))
        return true;
    out->found = true;
    cell_value(view, after - 1, out);
    return true;
}

/* ---- all points of a range ---- */

static bool points_alloc(struct eval *eval, struct arena *scratch, size_t n, size_t n_h,
    struct points *out, struct err *err)
{
    *out = (struct points){.t = arena_array(scratch, n, sizeof *out->t),
        .v = arena_array(scratch, n, sizeof *out->v),
        .h_t = arena_array(scratch, n_h, sizeof *out->h_t),
        .h = arena_array(scratch, n_h, sizeof *out->h)};
    return (out->t && out->v && out->h_t && out->h) ? true : eval_no_memory(eval, err);
}

static void add_point(struct points *out, const struct view_value *value)
{
    if (value->h) {
        out->h_t[out->n_h] = value->t_ms;
        out->h[out->n_h++] = value->h;
    } else {
        out->t[out->n] = value->t_ms;
        out->v[out->n++] = value->v;
    }
}

static bool cell_points(struct eval *eval, struct series_view *view, int64_t from, int64_t to,
    struct arena *scratch, struct points *out, struct err *err)
{
    size_t first = columns_after(&view->cells, from), end = columns_after(&view->cells, to);
    size_t n = end > first ? end - first : 0, n_h = view->hist ? n : 0;
    if (!points_alloc(eval, scratch, n, n_h, out, err))
        return false;
    for (size_t i = first; i < end; i++) {
        struct view_value value = {.found = true};
        if (view->def->kind == KIND_SAMPLE && is_stale(view, i))
            continue;
        cell_value(view, i, &value);
        add_point(out, &value);
    }
    return true;
}

/* C's points in (from, to], newest first. */
static bool counter_points(struct eval *eval, const struct series_view *view, int64_t from,
    int64_t to, struct arena *scratch, struct counter_point **out, size_t *n, struct err *err)
{
    size_t cap = 0;
    struct counter_point point;
    *out = NULL;
    *n = 0;
    for (int64_t t = to; counter_newest(&view->counter, t, &point) && point.t_ms > from;
         t = point.t_ms - 1) {
        if (!eval_work(eval, 1, err))
            return false;
        if (*n == cap) {
            size_t more = cap ? cap * 2 : 256;
            struct counter_point *grown = arena_array(scratch, more, sizeof *grown);
            if (!grown)
                return eval_no_memory(eval, err);
            if (cap)
                memcpy(grown, *out, cap * sizeof *grown);
            *out = grown;
            cap = more;
        }
        (*out)[(*n)++] = point;
    }
    return true;
}

static bool level_points(struct eval *eval, const struct series_view *view, int64_t from,
    int64_t to, struct arena *scratch, struct points *out, struct err *err)
{
    struct level_point point;
    size_t n = 0;
    for (int64_t t = from; level_next(&view->level, t, &point) && point.t_ms <= to; t = point.t_ms)
        if (n++, !eval_work(eval, 1, err))
            return false;
    if (!points_alloc(eval, scratch, n, 0, out, err))
        return false;
    for (int64_t t = from; out->n < n && level_next(&view->level, t, &point); t = point.t_ms) {
        struct view_value value;
        level_value(view, &point, &value);
        add_point(out, &value);
    }
    return true;
}

bool series_view_points(struct eval *eval, struct series_view *view, int64_t from, int64_t to,
    struct arena *scratch, struct points *out, struct err *err)
{
    if (view->def->kind == KIND_LEVEL)
        return level_points(eval, view, from, to, scratch, out, err);
    if (view->def->kind != KIND_COUNTER && view->def->kind != KIND_HISTOGRAM)
        return cell_points(eval, view, from, to, scratch, out, err);
    struct counter_point *points;
    size_t n;
    if (!counter_points(eval, view, from, to, scratch, &points, &n, err))
        return false;
    bool hists = view->def->kind == KIND_HISTOGRAM;
    if (!points_alloc(eval, scratch, hists ? 0 : n, hists ? n : 0, out, err))
        return false;
    for (size_t i = n; i-- > 0;) {
        struct view_value value = {.found = true};
        if (!counter_value(eval, view, &points[i], &value, err))
            return false;
        add_point(out, &value);
    }
    return true;
}
