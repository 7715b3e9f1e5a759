#include "query/select.h"

#include <string.h>

#include "base/ensure.h"
#include "query/extend.h"
#include "query/parse.h"
#include "query/series_set.h"
#include "query/series_view.h"

/* ---- planning ---- */

/* A selector's plan, and whether it is the first one that has it. */
struct made_plan {
    const struct node *node;
    struct plan *plan;
    bool first;
};

/* The tree is walked twice: all series are selected before the snapshot's moment comes, which is
 * when the first range is planned. */
struct planner {
    struct eval *eval;
    struct selections *out;
    bool selecting;
    struct made_plan *made; /* in the order of the walk */
    size_t n_made, made_cap, at;
};

/* Evaluation times of a node, first > last: it is never evaluated. */
struct times {
    int64_t first, last;
};

static bool same_matcher(const struct matcher *a, const struct matcher *b)
{
    return a->op == b->op && slice_eq(a->name, b->name) && slice_eq(a->value, b->value);
}

static bool same_matchers(const struct node *a, const struct node *b)
{
    if (a->u.selector.n_matchers != b->u.selector.n_matchers)
        return false;
    for (size_t i = 0; i < a->u.selector.n_matchers; i++)
        if (!same_matcher(&a->u.selector.matchers[i], &b->u.selector.matchers[i]))
            return false;
    return true;
}

/* How many earlier selectors are looked at for equal matchers: bounds the cost of huge queries. */
#define SHARE_LOOK_MAX 64

static struct plan *shared_plan(const struct planner *planner, const struct node *node)
{
    size_t look = planner->n_made < SHARE_LOOK_MAX ? planner->n_made : SHARE_LOOK_MAX;
    for (size_t i = 0; i < look; i++)
        if (same_matchers(planner->made[i].node, node))
            return planner->made[i].plan;
    return NULL;
}

static bool make_plan(struct planner *planner, const struct node *node, struct err *err)
{
    struct eval *eval = planner->eval;
    struct read_budget budget = {.max_series = eval->options->max_series};
    struct plan *plan = shared_plan(planner, node);
    struct made_plan made = {node, plan, plan == NULL};
    struct made_plan *grown =
        arena_grow(eval->arena, planner->made, planner->n_made, &planner->made_cap, sizeof *grown);
    if (!grown)
        return eval_no_memory(eval, err);
    planner->made = grown;
    if (!eval_check(eval, err))
        return false;
    if (!plan && !plan_new(planner->out->snapshot, &eval->query->scope, node->u.selector.matchers,
                     node->u.selector.n_matchers, &budget, &made.plan, err))
        return false;
    planner->made[planner->n_made++] = made;
    return true;
}

/* The plan of the next selector of the walk. */
static struct plan *next_plan(struct planner *planner, const struct node *node)
{
    const struct made_plan *made = &planner->made[planner->at++];
    ensure(made->node == node);
    planner->out->series += made->first ? plan_n(made->plan) : 0;
    return made->plan;
}

static bool add_item(struct planner *planner, const struct selection *item, struct err *err)
{
    struct selections *out = planner->out;
    if (out->n == out->cap) {
        size_t more = out->cap ? out->cap * 2 : 16;
        struct selection *grown = arena_array(planner->eval->arena, more, sizeof *grown);
        if (!grown)
            return eval_no_memory(planner->eval, err);
        if (out->n)
            memcpy(grown, out->items, out->n * sizeof *grown);
        out->items = grown;
        out->cap = more;
    }
    out->items[out->n++] = *item;
    return true;
}

bool function_sees_windows(enum function_id id)
{
    return id == FN_INCREASE || id == FN_RATE || id == FN_IRATE || id == FN_RESETS ||
           id == FN_CHANGES;
}

/* What stands around a node. */
struct around {
    enum function_id call; /* whose argument it is; FN_NONE */
    bool counts;           /* somewhere above: histogram_count, _sum, _avg */
    bool buckets;          /* somewhere above: what needs whole histograms */
};

#define FN_NONE ((enum function_id) - 1)

/* range_ms 0: an instant vector. */
static bool plan_selector(struct planner *planner, const struct node *node, struct times times,
    int64_t range_ms, const struct around *around, struct err *err)
{
    struct eval *eval = planner->eval;
    struct selection item = {
        .node = node, .range_ms = range_ms, .counts_only = around->counts && !around->buckets};
    struct view_need need = {.instant = range_ms == 0, .extend = node->u.selector.extend};
    need.windows_only =
        range_ms && need.extend == EXTEND_NONE && function_sees_windows(around->call);
    if (!when_moment(eval->query, &node->u.selector.when, &item.when, err))
        return false;
    if (planner->selecting)
        return make_plan(planner, node, err);
    item.plan = next_plan(planner, node);
    if (!add_item(planner, &item, err))
        return false;
    if (times.first > times.last)
        return true;
    size_t n = plan_n(item.plan);
    for (size_t i = 0; i < n; i++) {
        int64_t from = moment_at(&item.when, times.first) - range_ms;
        int64_t to = moment_at(&item.when, times.last);
        const struct metric_def *def = plan_metric(item.plan, i);
        series_view_reach(def, eval->options->lookback_ms, need, &from, &to);
        if (def->kind != KIND_LEVEL)
            plan_range(item.plan, i, from, to);
        else if (!plan_level(item.plan, i, from, to, err))
            return false;
    }
    return true;
}

static bool plan_node(struct planner *planner, const struct node *node, struct times times,
    const struct around *around, struct err *err);

static bool plan_subquery(struct planner *planner, const struct node *node, struct times times,
    const struct around *around, struct err *err)
{
    struct eval *eval = planner->eval;
    struct inner_steps steps;
    if (!subquery_steps(eval->query, eval->options, node, times.first, times.last, &steps, err))
        return false;
    struct times inner = {1, 0};
    if (steps.n)
        inner =
            (struct times){steps.start_ms, steps.start_ms + (int64_t)(steps.n - 1) * steps.step_ms};
    /* Resets between its points show in the buckets only. */
    struct around inside = {.call = FN_NONE, .counts = around->counts, .buckets = true};
    return plan_node(planner, node->u.subquery.expr, inner, &inside, err);
}

static bool plan_call(struct planner *planner, const struct node *node, struct times times,
    const struct around *around, struct err *err)
{
    enum function_id id = node->u.call.function->id;
    struct around inside = *around;
    inside.call = id;
    if (id == FN_HISTOGRAM_COUNT || id == FN_HISTOGRAM_SUM || id == FN_HISTOGRAM_AVG)
        inside.counts = true;
    if (id == FN_HISTOGRAM_QUANTILE || id == FN_HISTOGRAM_QUANTILES || id == FN_HISTOGRAM_FRACTION)
        inside.buckets = true;
    for (size_t i = 0; i < node->u.call.n_args; i++)
        if (!plan_node(planner, node->u.call.args[i], times, &inside, err))
            return false;
    return true;
}

static bool plan_node(struct planner *planner, const struct node *node, struct times times,
    const struct around *around, struct err *err)
{
    struct around inside = *around;
    int64_t range;
    if (node->type != NODE_PAREN && node->type != NODE_MATRIX)
        inside.call = FN_NONE;
    switch (node->type) {
    case NODE_NUMBER:
    case NODE_STRING:
    case NODE_DURATION: return true;
    case NODE_SELECTOR: return plan_selector(planner, node, times, 0, &inside, err);
    case NODE_MATRIX:
        return duration_ms(planner->eval->query, &node->u.matrix.range, false, &range, err) &&
               plan_selector(planner, node->u.matrix.selector, times, range, &inside, err);
    case NODE_SUBQUERY: return plan_subquery(planner, node, times, &inside, err);
    case NODE_CALL: return plan_call(planner, node, times, &inside, err);
    case NODE_AGGREGATE:
        return plan_node(planner, node->u.aggregate.expr, times, &inside, err) &&
               (!node->u.aggregate.param ||
                   plan_node(planner, node->u.aggregate.param, times, &inside, err));
    case NODE_BINARY:
        return plan_node(planner, node->u.binary.lhs, times, &inside, err) &&
               plan_node(planner, node->u.binary.rhs, times, &inside, err);
    case NODE_UNARY: return plan_node(planner, node->u.unary.expr, times, &inside, err);
    case NODE_PAREN: return plan_node(planner, node->u.paren, times, &inside, err);
    }
    unreachable("node type");
}

bool selections_plan(struct eval *eval, struct snapshot *snapshot, const struct node *root,
    struct selections *out, struct err *err)
{
    *out = (struct selections){.snapshot = snapshot};
    struct planner planner = {.eval = eval, .out = out, .selecting = true};
    struct times times = {eval->query->start_ms, eval->query->end_ms};
    const struct around nothing = {.call = FN_NONE};
    if (!plan_node(&planner, root, times, &nothing, err))
        return false;
    planner.selecting = false;
    return plan_node(&planner, root, times, &nothing, err);
}

/* Nodes are evaluated in much the same order as they were planned: the search goes on behind the
 * last one that was found. */
struct selection *selections_find(struct selections *selections, const struct node *node)
{
    for (size_t i = 0; i < selections->n; i++) {
        size_t at = selections->found + i;
        at -= at < selections->n ? 0 : selections->n;
        if (selections->items[at].node != node)
            continue;
        selections->found = at;
        return &selections->items[at];
    }
    unreachable("a selector that was not planned");
}

/* ---- evaluation ---- */

static bool put_value(struct eval *eval, struct vector *out, size_t at,
    const struct view_value *value, bool timestamps, struct err *err)
{
    if (!value->found)
        return true;
    out->present[at] = true;
    if (timestamps) {
        out->v[at] = (double)value->t_ms / 1000;
        return true;
    }
    out->v[at] = value->v;
    if (value->h) {
        if (!vector_histograms(eval, out, err))
            return false;
        out->h[at] = value->h;
    }
    return true;
}

/* x smoothed: at every step the points at both sides of it. */
static bool eval_smoothed(struct eval *eval, const struct selection *selection,
    struct series_view *view, size_t i, struct arena *scratch, struct vector *out, struct err *err)
{
    struct points points;
    struct range_call call = {.eval = eval,
        .range = selection->node,
        .extend = EXTEND_SMOOTHED,
        .metric = view->def->name};
    struct window window = {
        .points = &points, .before_ms = view->lookback_ms, .after_ms = view->lookback_ms};
    int64_t first = moment_at(&selection->when, eval->start_ms);
    int64_t last = moment_at(&selection->when, eval_time(eval, eval->n_steps - 1));
    if (!series_view_points(
            eval, view, first - view->lookback_ms, last + view->lookback_ms, scratch, &points, err))
        return false;
    for (size_t k = 0; k < eval->n_steps; k++) {
        struct view_value value;
        int64_t t = moment_at(&selection->when, eval_time(eval, k));
        window_move(&window, t, t, t);
        if (!eval_work(eval, 1 + window_floats(&window), err) ||
            !extend_instant(&call, &window, &value, err) ||
            !put_value(eval, out, i * eval->n_steps + k, &value, false, err))
            return false;
    }
    return true;
}

static bool eval_series(struct eval *eval, const struct selection *selection, size_t i,
    bool timestamps, struct arena *scratch, struct vector *out, struct err *err)
{
    struct series_view view;
    if (!eval_check(eval, err) || !series_view_open(eval, selection, i, scratch, &view, err))
        return false;
    out->labels[i] = view.labels;
    if (selection->node->u.selector.extend == EXTEND_SMOOTHED && !timestamps)
        return eval_smoothed(eval, selection, &view, i, scratch, out, err);
    for (size_t k = 0; k < eval->n_steps; k++) {
        struct view_value value;
        int64_t t = moment_at(&selection->when, eval_time(eval, k));
        if (!eval_work(eval, 1, err) || !series_view_at(eval, &view, t, &value, err) ||
            !put_value(eval, out, i * eval->n_steps + k, &value, timestamps, err))
            return false;
    }
    return true;
}

bool eval_selector(struct eval *eval, const struct node *node, bool timestamps, struct vector *out,
    struct err *err)
{
    const struct selection *selection = selections_find(eval->selections, node);
    size_t n = plan_n(selection->plan);
    if (!vector_new(eval, n, eval->n_steps, false, out, err))
        return false;
    struct arena scratch;
    arena_init(&scratch, eval->arena->limit_bytes);
    bool ok = true;
    for (size_t i = 0; i < n && ok; i++) {
        ok = eval_series(eval, selection, i, timestamps, &scratch, out, err);
        arena_reset(&scratch);
    }
    arena_fini(&scratch);
    if (ok)
        series_drop_empty(eval, out);
    return ok;
}

/* ---- absent ---- */

static void take_label(struct label *items, size_t *n, struct slice name)
{
    size_t kept = 0;
    for (size_t i = 0; i < *n; i++)
        if (!slice_eq(items[i].name, name))
            items[kept++] = items[i];
    *n = kept;
}

/* Whether an earlier matcher wants the name to be equal to something. */
static bool wanted_before(const struct matcher *matchers, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (matchers[k].op == MATCH_EQUAL && slice_eq(matchers[k].name, matchers[i].name))
            return true;
    return false;
}

bool absent_labels(struct eval *eval, const struct node *arg, struct labels *out, struct err *err)
{
    *out = (struct labels){NULL, 0};
    while (arg->type == NODE_PAREN)
        arg = arg->u.paren;
    if (arg->type == NODE_MATRIX)
        arg = arg->u.matrix.selector;
    if (arg->type != NODE_SELECTOR || arg->u.selector.n_matchers == 0)
        return true;
    const struct matcher *m = arg->u.selector.matchers;
    struct label *items = arena_array(eval->arena, arg->u.selector.n_matchers, sizeof *items);
    if (!items)
        return eval_no_memory(eval, err);
    size_t n = 0;
    for (size_t i = 0; i < arg->u.selector.n_matchers; i++) {
        if (slice_is(m[i].name, LABEL_METRIC_NAME))
            continue;
        if (m[i].op == MATCH_EQUAL && !wanted_before(m, i))
            items[n++] = (struct label){m[i].name, m[i].value};
        else
            take_label(items, &n, m[i].name);
    }
    labels_sort(items, &n);
    *out = (struct labels){items, n};
    return true;
}
