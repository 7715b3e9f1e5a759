#include "query/engine.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "query/extend.h"
#include "query/select.h"
#include "query/series_set.h"
#include "query/series_view.h"
#include "query/subquery.h"

/*
 * One query, from its text to its answer:
 *
 *     parse -> supported? -> plan every selector -> fetch (one snapshot) -> evaluate -> copy out
 *
 * Everything that evaluation makes lives in the caller's arena; labels and histograms that belong
 * to the snapshot are copied into it at the end, for the points that are answered only.
 */

#define LOOKBACK_DEFAULT_MS 300000
#define MAX_SAMPLES_DEFAULT 50000000u
#define CELLS_PER_SAMPLE    4 /* cells read for a point held: a counter reads its day */

/* ---- checking the request ---- */

static bool check_times(const struct query *query, const struct engine_options *options,
    size_t *n_steps, struct err *err)
{
    if (query->start_ms != time_clamp(query->start_ms) ||
        query->end_ms != time_clamp(query->end_ms))
        return err_set(err, ERR_INVALID, "time of the query is out of range");
    if (query->end_ms < query->start_ms)
        return err_set(err, ERR_INVALID, "end of the query is before its start");
    if (query->step_ms < 0 || (query->step_ms == 0 && query->start_ms != query->end_ms))
        return err_set(err, ERR_INVALID, "step of a range query must be above 0");
    int64_t n = query->step_ms ? (query->end_ms - query->start_ms) / query->step_ms + 1 : 1;
    if ((uint64_t)n > options->max_samples)
        return err_set(err, ERR_LIMIT,
            "query needs more memory than allowed: %lld steps, allowed are %llu points",
            (long long)n, (unsigned long long)options->max_samples);
    *n_steps = (size_t)n;
    return true;
}

static bool check_type(const struct query *query, const struct node *root, struct err *err)
{
    bool instant = query->step_ms == 0;
    if (instant || root->value == VALUE_SCALAR || root->value == VALUE_VECTOR)
        return true;
    return err_set(err, ERR_INVALID,
        "invalid expression type \"%s\" for range query, must be Scalar or instant Vector",
        value_type_name(root->value));
}

/* ---- copying out ---- */

/* The answer outlives the snapshot. */
static bool put_point(struct eval *eval, struct series *series, int64_t t, double v,
    const struct hist *h, struct err *err)
{
    struct point *point = &series->points[series->n];
    *point = (struct point){.t_ms = t, .v = h ? 0 : v};
    if (h && !(point->h = hist_copy(eval->arena, h)))
        return eval_no_memory(eval, err);
    series->n++;
    return true;
}

static bool new_series(struct eval *eval, struct value *value, struct labels labels,
    size_t n_points, struct series **out, struct err *err)
{
    struct series *series = &value->series[value->n];
    *series = (struct series){.labels = labels_copy(eval->arena, labels),
        .points = arena_array(eval->arena, n_points, sizeof *series->points)};
    if ((labels.n && !series->labels.items) || !series->points)
        return eval_no_memory(eval, err);
    value->n++;
    *out = series;
    return true;
}

static int cmp_series(const void *a, const void *b)
{
    return labels_cmp(((const struct series *)a)->labels, ((const struct series *)b)->labels);
}

static void sort_series(struct value *value)
{
    if (value->n > 1)
        qsort(value->series, value->n, sizeof *value->series, cmp_series);
}

static bool new_value(
    struct eval *eval, enum value_type type, size_t n, struct value *out, struct err *err)
{
    *out = (struct value){.type = type,
        .t_ms = eval->query->start_ms,
        .series = arena_array(eval->arena, n, sizeof *out->series)};
    return out->series ? true : eval_no_memory(eval, err);
}

/* The vector at its steps from start, step_ms apart. */
static bool copy_vector(struct eval *eval, const struct vector *x, enum value_type type,
    int64_t start, int64_t step_ms, size_t n_steps, struct value *out, struct err *err)
{
    if (!new_value(eval, type, x->n, out, err))
        return false;
    for (size_t s = 0; s < x->n; s++) {
        struct series *series;
        if (!eval_check(eval, err) || !new_series(eval, out, x->labels[s], n_steps, &series, err))
            return false;
        for (size_t k = 0; k < n_steps; k++) {
            size_t at = vector_at(x, s, k);
            const struct hist *h = x->h ? x->h[at] : NULL;
            if (!eval_work(eval, 1, err))
                return false;
            if (x->present[at] &&
                !put_point(eval, series, start + (int64_t)k * step_ms, x->v[at], h, err))
                return false;
        }
        if (series->n == 0)
            out->n--;
    }
    return true;
}

/* ---- range vectors as the answer of an instant query ---- */

static bool copy_points(
    struct eval *eval, const struct points *p, struct series *series, struct err *err)
{
    size_t f = 0, h = 0;
    while (f < p->n || h < p->n_h) {
        bool is_float = h == p->n_h || (f < p->n && p->t[f] < p->h_t[h]);
        bool ok = is_float ? put_point(eval, series, p->t[f], p->v[f], NULL, err)
                           : put_point(eval, series, p->h_t[h], 0, p->h[h], err);
        if (!ok)
            return false;
        f += is_float;
        h += !is_float;
    }
    return true;
}

/* The points of (from, to], with points at the ends when the selector is anchored or smoothed. */
static bool matrix_points(struct eval *eval, const struct selection *selection,
    struct series_view *view, struct arena *scratch, struct points *out, struct err *err)
{
    enum range_extend extend = selection->node->u.selector.extend;
    int64_t to = moment_at(&selection->when, eval->start_ms), from = to - selection->range_ms;
    struct points points;
    struct window window = {.points = &points,
        .before_ms = extend_before(extend, view->lookback_ms),
        .after_ms = extend_after(extend, view->lookback_ms)};
    if (extend == EXTEND_NONE)
        return series_view_points(eval, view, from, to, scratch, out, err);
    if (!series_view_points(
            eval, view, from - window.before_ms, to + window.after_ms, scratch, &points, err))
        return false;
    window_move(&window, from, to, to);
    return extend_range(eval, &window, extend == EXTEND_SMOOTHED, scratch, out, err);
}

static bool matrix_series(struct eval *eval, const struct selection *selection, size_t i,
    struct arena *scratch, struct value *out, struct err *err)
{
    struct series_view view;
    struct points points;
    struct series *series;
    if (!eval_check(eval, err) || !series_view_open(eval, selection, i, scratch, &view, err) ||
        !matrix_points(eval, selection, &view, scratch, &points, err))
        return false;
    if (points.n + points.n_h == 0)
        return true;
    return new_series(eval, out, view.labels, points.n + points.n_h, &series, err) &&
           copy_points(eval, &points, series, err);
}

static bool answer_matrix(
    struct eval *eval, const struct node *node, struct value *out, struct err *err)
{
    const struct selection *selection = selections_find(eval->selections, node->u.matrix.selector);
    size_t n = plan_n(selection->plan);
    if (!new_value(eval, VALUE_MATRIX, n, out, err))
        return false;
    struct arena scratch;
    arena_init(&scratch, eval->arena->limit_bytes);
    bool ok = true;
    for (size_t i = 0; i < n && ok; i++) {
        ok = matrix_series(eval, selection, i, &scratch, out, err);
        arena_reset(&scratch);
    }
    arena_fini(&scratch);
    return ok;
}

static bool answer_subquery(
    struct eval *eval, const struct node *node, struct value *out, struct err *err)
{
    struct subquery subquery;
    if (!subquery_eval(eval, node, &subquery, err) ||
        !series_finish_names(eval, &subquery.inner, err))
        return false;
    return copy_vector(eval, &subquery.inner, VALUE_MATRIX, subquery.steps.start_ms,
        subquery.steps.step_ms, subquery.steps.n, out, err);
}

/* ---- the query ---- */

static bool evaluate(struct eval *eval, const struct node *root, struct value *out, struct err *err)
{
    const struct query *query = eval->query;
    root = node_inner(root);
    bool ok;
    if (root->type == NODE_MATRIX || root->type == NODE_SUBQUERY) {
        ok = root->type == NODE_MATRIX ? answer_matrix(eval, root, out, err)
                                       : answer_subquery(eval, root, out, err);
        sort_series(out);
        return ok;
    }
    struct vector x;
    if (!eval_node(eval, root, &x, err))
        return false;
    if (x.type == VALUE_STRING) {
        *out = (struct value){.type = VALUE_STRING, .string = x.string, .t_ms = query->start_ms};
        return true;
    }
    if (!series_finish_names(eval, &x, err))
        return false;
    enum value_type type = query->step_ms ? VALUE_MATRIX : x.type;
    ok = copy_vector(eval, &x, type, query->start_ms, query->step_ms, eval->n_steps, out, err);
    if (ok && type == VALUE_MATRIX)
        sort_series(out);
    return ok;
}

static uint64_t count_points(const struct value *value)
{
    uint64_t n = 0;
    for (size_t i = 0; i < value->n; i++)
        n += value->series[i].n;
    return n;
}

/* How long it may wait for the store; 0: for ever. */
static int64_t patience_ms(const struct query *query)
{
    if (!query->deadline_ns)
        return 0;
    int64_t ms = (query->deadline_ns - clock_mono_ns()) / 1000000;
    return ms > 0 ? ms : 1;
}

/* Plans and fetches all selectors. */
static bool read_store(
    struct eval *eval, struct snapshot *snapshot, const struct node *root, struct err *err)
{
    struct read_budget budget = {.max_series = eval->options->max_series,
        .max_cells = eval->options->max_samples * CELLS_PER_SAMPLE,
        .max_bytes = eval->arena->limit_bytes};
    snapshot_limit(snapshot, eval->arena->limit_bytes);
    snapshot_cancel(snapshot, eval->query->cancel);
    snapshot_patience(snapshot, patience_ms(eval->query));
    return selections_plan(eval, snapshot, root, eval->selections, err) &&
           snapshot_fetch(snapshot, &budget, eval->query->cancel, err);
}

static bool run(struct eval *eval, struct store *store, const struct node *root, struct answer *out,
    struct err *err)
{
    struct selections selections;
    struct snapshot *snapshot = snapshot_get(store);
    selections = (struct selections){0};
    eval->selections = &selections;
    bool ok = read_store(eval, snapshot, root, err);
    struct metric_clock *clocks = NULL;
    ok = ok && evaluate(eval, root, &out->value, err) &&
         metric_clocks_of(eval, &selections, &clocks, &out->n_clocks, err);
    out->clocks = clocks;
    if (ok)
        out->stats = (struct query_stats){.series = selections.series,
            .cells = selections.cells,
            .points = count_points(&out->value),
            .lsn = snapshot_lsn(snapshot)};
    out->notes = eval->notes;
    snapshot_put(&snapshot);
    return ok;
}

bool engine_query(struct store *store, const struct engine_options *options,
    const struct query *query, struct arena *arena, struct answer *out, struct err *err)
{
    struct engine_options known = *options;
    known.lookback_ms = known.lookback_ms ? known.lookback_ms : LOOKBACK_DEFAULT_MS;
    known.max_samples = known.max_samples ? known.max_samples : MAX_SAMPLES_DEFAULT;
    struct ast ast;
    *out = (struct answer){0};
    if (!parse_query(query->text, arena, &ast, err))
        return false;
    struct eval eval = {.options = &known,
        .query = query,
        .text = ast.text,
        .arena = arena,
        .start_ms = query->start_ms,
        .step_ms = query->step_ms};
    bool ok = check_type(query, ast.root, err) && check_times(query, &known, &eval.n_steps, err) &&
              engine_supports(&ast, &known, err) && eval_check(&eval, err) &&
              run(&eval, store, ast.root, out, err);
    ast_free(&ast);
    return ok;
}
