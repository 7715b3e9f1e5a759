#include "query/range_fn.h"

#include <string.h>

#include "base/ensure.h"
#include "query/extend.h"
#include "query/kind_fn.h"
#include "query/select.h"
#include "query/series_set.h"
#include "query/series_view.h"
#include "query/subquery.h"

static range_fn *find_fn(enum function_id id)
{
    switch (id) {
    case FN_RATE: return range_rate;
    case FN_INCREASE: return range_increase;
    case FN_DELTA: return range_delta;
    case FN_IRATE: return range_irate;
    case FN_IDELTA: return range_idelta;
    case FN_SUM_OVER_TIME: return range_sum;
    case FN_AVG_OVER_TIME: return range_avg;
    case FN_MIN_OVER_TIME: return range_min;
    case FN_MAX_OVER_TIME: return range_max;
    case FN_COUNT_OVER_TIME: return range_count;
    case FN_PRESENT_OVER_TIME: return range_present;
    case FN_ABSENT_OVER_TIME: return range_present; /* turned round at the end */
    case FN_FIRST_OVER_TIME: return range_first;
    case FN_LAST_OVER_TIME: return range_last;
    case FN_STDDEV_OVER_TIME: return range_stddev;
    case FN_STDVAR_OVER_TIME: return range_stdvar;
    case FN_QUANTILE_OVER_TIME: return range_quantile;
    case FN_MAD_OVER_TIME: return range_mad;
    case FN_TS_OF_FIRST_OVER_TIME: return range_ts_of_first;
    case FN_TS_OF_LAST_OVER_TIME: return range_ts_of_last;
    case FN_TS_OF_MIN_OVER_TIME: return range_ts_of_min;
    case FN_TS_OF_MAX_OVER_TIME: return range_ts_of_max;
    case FN_DERIV: return range_deriv;
    case FN_PREDICT_LINEAR: return range_predict_linear;
    case FN_DOUBLE_EXPONENTIAL_SMOOTHING: return range_smoothing;
    case FN_CHANGES: return range_changes;
    case FN_RESETS: return range_resets;
    default: unreachable("function over ranges");
    }
}

/* ---- annotations ---- */

void note_ignored_histograms(const struct range_call *call)
{
    eval_info(call->eval, call->range,
        "ignored histograms in a range containing both floats and histograms for metric name "
        "\"%.*s\"",
        SLICE_FMT(call->metric));
}

void warn_mixed_types(const struct range_call *call)
{
    eval_warn(call->eval, call->range,
        "encountered a mix of histograms and floats for metric name \"%.*s\"",
        SLICE_FMT(call->metric));
}

void warn_mixed_schemas(const struct range_call *call)
{
    eval_warn(call->eval, call->range,
        "vector contains a mix of histograms with exponential and custom buckets schemas for "
        "metric name \"%.*s\"",
        SLICE_FMT(call->metric));
}

void warn_wrong_type(const struct range_call *call, bool counter)
{
    eval_warn(call->eval, call->range, "this native histogram metric is not a %s: \"%.*s\"",
        counter ? "counter" : "gauge", SLICE_FMT(call->metric));
}

static bool ends_in(struct slice s, const char *end)
{
    size_t n = strlen(end);
    return s.len >= n && memcmp(s.ptr + s.len - n, end, n) == 0;
}

/* Prometheus guesses from the name whether a float series is a counter. */
static void note_counter_name(
    const struct range_call *call, const struct vector *out, size_t series)
{
    struct slice name = call->metric;
    if ((call->id != FN_RATE && call->id != FN_INCREASE) || name.len == 0 ||
        ends_in(name, "_total") || ends_in(name, "_sum") || ends_in(name, "_count") ||
        ends_in(name, "_bucket"))
        return;
    for (size_t k = 0; k < out->n_steps; k++) {
        size_t at = series * out->n_steps + k;
        if (!out->present[at] || (out->h && out->h[at]))
            continue;
        eval_info(call->eval, call->range,
            "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "
            "\"%.*s\"",
            SLICE_FMT(name));
        return;
    }
}

/* ---- arguments ---- */

/* The range vector argument and the scalars beside it. */
struct range_args {
    const struct node *range; /* NODE_MATRIX or NODE_SUBQUERY */
    struct ranges ranges;
    const struct selection *selection; /* of a matrix */
    struct subquery subquery;
    size_t n; /* series */
    struct vector scalars[2];
    size_t n_scalars;
};

static bool eval_args(
    struct eval *eval, const struct node *call, struct range_args *out, struct err *err)
{
    *out = (struct range_args){0};
    for (size_t i = 0; i < call->u.call.n_args; i++) {
        const struct node *arg = node_inner(call->u.call.args[i]);
        if (arg->value == VALUE_MATRIX) {
            out->range = arg;
            continue;
        }
        ensure(out->n_scalars < 2);
        if (!eval_node(eval, arg, &out->scalars[out->n_scalars++], err))
            return false;
    }
    ensure(out->range);
    const struct node *range = out->range;
    if (range->type == NODE_MATRIX) {
        out->selection = selections_find(eval->selections, range->u.matrix.selector);
        out->ranges = (struct ranges){out->selection->when, out->selection->range_ms};
        out->n = plan_n(out->selection->plan);
        return true;
    }
    ensure(range->type == NODE_SUBQUERY);
    if (!when_moment(eval->query, &range->u.subquery.when, &out->ranges.when, err) ||
        !duration_ms(eval->query, &range->u.subquery.range, false, &out->ranges.range_ms, err) ||
        !subquery_eval(eval, range, &out->subquery, err))
        return false;
    out->n = out->subquery.inner.n;
    return true;
}

/* ---- series by series ---- */

/* The places where a counter fell; used by rate and increase at every step. */
static bool find_resets(struct range_call *call, struct points *points, struct err *err)
{
    if (call->id != FN_RATE && call->id != FN_INCREASE)
        return true;
    size_t n = 0;
    for (size_t i = 1; i < points->n; i++)
        n += points->v[i] < points->v[i - 1];
    size_t *resets = arena_array(call->scratch, n, sizeof *resets);
    if (!resets)
        return eval_no_memory(call->eval, err);
    n = 0;
    for (size_t i = 1; i < points->n; i++)
        if (points->v[i] < points->v[i - 1])
            resets[n++] = i;
    points->resets = resets;
    points->n_resets = n;
    return true;
}

static bool eval_windows(struct range_call *call, const struct range_args *args, range_fn *fn,
    struct window window, struct vector *out, size_t series, struct err *err)
{
    struct eval *eval = call->eval;
    for (size_t k = 0; k < eval->n_steps; k++) {
        int64_t now = eval_time(eval, k), to = moment_at(&args->ranges.when, now);
        window_move(&window, to - args->ranges.range_ms, to, now);
        if (!eval_work(eval, 1 + window_floats(&window) + window_hists(&window), err))
            return false;
        if (window_floats(&window) + window_hists(&window) == 0)
            continue;
        for (size_t p = 0; p < args->n_scalars; p++)
            call->param[p] = args->scalars[p].v[vector_at(&args->scalars[p], 0, k)];
        struct range_result result = {0};
        if (!fn(call, &window, &result, err))
            return false;
        if (!result.present)
            continue;
        size_t at = series * eval->n_steps + k;
        out->present[at] = true;
        out->v[at] = result.v;
        if (result.h && !vector_histograms(eval, out, err))
            return false;
        if (result.h)
            out->h[at] = result.h;
    }
    note_counter_name(call, out, series);
    return true;
}

static bool selection_series(struct range_call *call, const struct range_args *args, range_fn *fn,
    struct vector *out, size_t series, struct err *err)
{
    struct eval *eval = call->eval;
    struct series_view view;
    if (!series_view_open(eval, args->selection, series, call->scratch, &view, err))
        return false;
    out->labels[series] = view.labels;
    call->metric = view.def->name;
    if (call->extend == EXTEND_NONE && kind_fn_applies(view.def->kind, call->id))
        return kind_fn_eval(call, &view, &args->ranges, out, series, err);
    struct points points;
    struct window window = {.points = &points,
        .before_ms = extend_before(call->extend, view.lookback_ms),
        .after_ms = extend_after(call->extend, view.lookback_ms)};
    const struct moment *when = &args->ranges.when;
    int64_t from = moment_at(when, eval->start_ms) - args->ranges.range_ms - window.before_ms;
    int64_t to = moment_at(when, eval_time(eval, eval->n_steps - 1)) + window.after_ms;
    return series_view_points(eval, &view, from, to, call->scratch, &points, err) &&
           find_resets(call, &points, err) &&
           eval_windows(call, args, fn, window, out, series, err);
}

static bool subquery_series(struct range_call *call, const struct range_args *args, range_fn *fn,
    struct vector *out, size_t series, struct err *err)
{
    const struct vector *inner = &args->subquery.inner;
    struct points points;
    out->labels[series] = inner->labels[series];
    call->metric = labels_get(inner->labels[series], SLICE(LABEL_METRIC_NAME));
    if (inner->drop_name) {
        if (!vector_drop_names(call->eval, out, err))
            return false;
        out->drop_name[series] = inner->drop_name[series];
    }
    return subquery_points(call->eval, &args->subquery, series, call->scratch, &points, err) &&
           find_resets(call, &points, err) &&
           eval_windows(call, args, fn, (struct window){.points = &points}, out, series, err);
}

static bool all_series(
    struct range_call *call, const struct range_args *args, struct vector *out, struct err *err)
{
    range_fn *fn = call->extend == EXTEND_NONE ? find_fn(call->id) : range_extended;
    struct arena scratch;
    arena_init(&scratch, call->eval->arena->limit_bytes);
    bool ok = true;
    for (size_t i = 0; i < args->n && ok; i++) {
        arena_reset(&scratch);
        call->scratch = &scratch;
        call->values = NULL;
        call->values_cap = 0;
        ok = eval_check(call->eval, err);
        if (ok)
            ok = args->selection ? selection_series(call, args, fn, out, i, err)
                                 : subquery_series(call, args, fn, out, i, err);
    }
    call->scratch = NULL;
    arena_fini(&scratch);
    return ok;
}

/* ---- results ---- */

/* 1 at the steps where no series has a point. */
static bool turn_absent(struct eval *eval, const struct node *node, const struct vector *found,
    struct vector *out, struct err *err)
{
    if (!vector_new(eval, 1, eval->n_steps, false, out, err) ||
        !absent_labels(eval, node->u.call.args[0], &out->labels[0], err))
        return false;
    for (size_t k = 0; k < eval->n_steps; k++) {
        out->v[k] = 1;
        out->present[k] = true;
        for (size_t s = 0; s < found->n && out->present[k]; s++)
            out->present[k] = !found->present[s * found->n_steps + k];
    }
    series_drop_empty(eval, out);
    return true;
}

bool eval_range_function(
    struct eval *eval, const struct node *node, struct vector *out, struct err *err)
{
    struct range_args args;
    enum function_id id = node->u.call.function->id;
    if (!eval_args(eval, node, &args, err))
        return false;
    struct range_call call = {.eval = eval, .node = node, .range = args.range, .id = id};
    if (args.selection)
        call.extend = args.selection->node->u.selector.extend;
    if (!extend_check(call.extend, node->u.call.function, err))
        return false;
    hist_sum_init(&call.hist_sum, eval->arena);
    if (!vector_new(eval, args.n, eval->n_steps, false, out, err) ||
        !all_series(&call, &args, out, err))
        return false;
    series_drop_empty(eval, out);
    if (id == FN_ABSENT_OVER_TIME) {
        struct vector found = *out;
        return turn_absent(eval, node, &found, out, err);
    }
    /* The first and last point are still the metric; everything else is not. */
    if (id == FN_FIRST_OVER_TIME || id == FN_LAST_OVER_TIME)
        return true;
    return series_drop_names(eval, out, err) &&
           (eval->options->delayed_name_removal || series_check_same(eval, out, err));
}
