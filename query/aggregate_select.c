#include "query/aggregation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/number.h"
#include "query/label_set.h"

/*
 * Aggregations that look at the values of a group at one step together: quantile, and those that
 * choose some of the input's series: topk, bottomk, limitk, limit_ratio.
 *
 * topk keeps the k best in a heap with the worst on top, so a step costs n log k. Equal values: the
 * earlier series stays. In an instant query the series come out group by group, best first; in a
 * range query they keep the input's order, and what was not chosen at a step is absent there.
 */

/* ---- the parameter ---- */

struct param_range {
    double min, max;
    bool nan;
};

/* Without series there are steps that hold no point: only as many are looked at as the parameter
 * has values of its own. */
static struct param_range param_range(const struct aggregation *a)
{
    struct param_range r = {INFINITY, -INFINITY, false};
    for (size_t k = 0; k < a->n_steps && k < a->param->n_steps; k++) {
        double v = aggregation_param(a, k);
        r.nan |= isnan(v);
        r.min = v < r.min ? v : r.min;
        r.max = v > r.max ? v : r.max;
    }
    return r;
}

static void warn_quantile(const struct aggregation *a, double q)
{
    char text[NUMBER_MAX];
    number_format_g(q, text);
    eval_warn(a->eval, node_inner(a->node->u.aggregate.param),
        "quantile value should be between 0 and 1, got %s", text);
}

static void warn_ratio(const struct aggregation *a, double v, int to)
{
    char text[NUMBER_MAX];
    number_format_g(v, text);
    eval_warn(a->eval, node_inner(a->node->u.aggregate.param),
        "ratio value should be between -1 and 1, got %s, capping to %d", text, to);
}

/* ---- quantile ---- */

static int compare_nan_first(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    if (isnan(x) || isnan(y))
        return isnan(y) - isnan(x);
    return (x > y) - (x < y);
}

/* The q-quantile of n values, which are sorted in place; NaN are the smallest. */
static double quantile_of(double q, double *values, size_t n)
{
    if (n == 0 || isnan(q))
        return NAN;
    if (q < 0)
        return -INFINITY;
    if (q > 1)
        return INFINITY;
    qsort(values, n, sizeof *values, compare_nan_first);
    double rank = q * (double)(n - 1);
    size_t lower = (size_t)rank;
    size_t upper = lower + 1 < n ? lower + 1 : n - 1;
    double weight = rank - floor(rank);
    return values[lower] * (1 - weight) + values[upper] * weight;
}

static size_t gather(const struct aggregation *a, size_t g, size_t k, double *values)
{
    size_t n = 0;
    for (size_t i = a->start[g]; i < a->start[g + 1]; i++) {
        size_t at = vector_at(a->in, a->order[i], k);
        if (a->in->present[at] && !vector_hist(a->in, at))
            values[n++] = a->in->v[at];
    }
    return n;
}

bool aggregate_quantile(const struct aggregation *a, struct vector *out, struct err *err)
{
    struct param_range range = param_range(a);
    if (range.nan)
        warn_quantile(a, NAN);
    if (range.max > 1)
        warn_quantile(a, range.max);
    if (range.min < 0)
        warn_quantile(a, range.min);
    double *values = arena_array(a->eval->arena, a->in->n, sizeof *values);
    if (!values)
        return eval_no_memory(a->eval, err);
    if (!aggregation_out(a, false, out, err))
        return false;
    for (size_t g = 0; g < a->n_groups; g++) {
        if (!eval_check(a->eval, err))
            return false;
        for (size_t k = 0; k < a->n_steps; k++) {
            if (!eval_work(a->eval, 1 + a->start[g + 1] - a->start[g], err))
                return false;
            size_t n = gather(a, g, k, values);
            out->present[g * a->n_steps + k] = n > 0;
            out->v[g * a->n_steps + k] = quantile_of(aggregation_param(a, k), values, n);
        }
    }
    aggregation_ignore_histograms(a, node_inner(a->node->u.aggregate.expr));
    return true;
}

/* ---- choosing ---- */

struct candidate {
    double v;
    uint32_t series;
};

/* The chosen of one group at one step; for topk and bottomk a heap with the worst at [0]. */
struct choice {
    bool bottom;
    size_t k, n;
    struct candidate *items;
};

/* Whether x comes before y in the result. NaN come last. */
static bool is_better(const struct choice *c, struct candidate x, struct candidate y)
{
    if (isnan(x.v) || isnan(y.v))
        return isnan(x.v) == isnan(y.v) ? x.series < y.series : isnan(y.v);
    if (x.v == y.v)
        return x.series < y.series;
    return c->bottom ? x.v < y.v : x.v > y.v;
}

static void sift_down(struct choice *c, size_t at, size_t n)
{
    for (;;) {
        size_t worst = at;
        for (size_t child = 2 * at + 1; child < n && child <= 2 * at + 2; child++)
            if (is_better(c, c->items[worst], c->items[child]))
                worst = child;
        if (worst == at)
            return;
        struct candidate swap = c->items[at];
        c->items[at] = c->items[worst];
        c->items[worst] = swap;
        at = worst;
    }
}

static void choice_offer(struct choice *c, struct candidate candidate)
{
    if (c->n < c->k) {
        size_t at = c->n++;
        for (; at > 0 && is_better(c, c->items[(at - 1) / 2], candidate); at = (at - 1) / 2)
            c->items[at] = c->items[(at - 1) / 2];
        c->items[at] = candidate;
    } else if (is_better(c, candidate, c->items[0])) {
        c->items[0] = candidate;
        sift_down(c, 0, c->n);
    }
}

/* Heap sort: the worst goes to the end, again and again. */
static void choice_sort(struct choice *c)
{
    for (size_t n = c->n; n > 1; n--) {
        struct candidate worst = c->items[0];
        c->items[0] = c->items[n - 1];
        c->items[n - 1] = worst;
        sift_down(c, 0, n - 1);
    }
}

static void add_sized(struct buf *out, struct slice text)
{
    if (text.len < 255) {
        buf_u8(out, (uint8_t)text.len);
    } else {
        buf_u8(out, 255);
        for (int shift = 0; shift < 24; shift += 8)
            buf_u8(out, (uint8_t)(text.len >> shift));
    }
    buf_slice(out, text);
}

/* The series' place in [0, 1], by its labels: the same in every query, and the same as in
 * Prometheus, so that both choose the same series. Hashed are the names and values, each behind its
 * length: a byte, or 255 and three. */
static double ratio_place(struct labels labels, struct buf *scratch)
{
    buf_clear(scratch);
    for (size_t i = 0; i < labels.n; i++) {
        add_sized(scratch, labels.items[i].name);
        add_sized(scratch, labels.items[i].value);
    }
    return (double)xxh64(scratch->ptr, scratch->len) / 18446744073709551615.0;
}

static void set_places(const struct aggregation *a, double *places)
{
    struct buf scratch;
    buf_init(&scratch, 0); /* labels are bounded */
    for (size_t s = 0; s < a->in->n; s++)
        places[s] = ratio_place(a->in->labels[s], &scratch);
    buf_fini(&scratch);
}

static bool in_ratio(double place, double ratio)
{
    return ratio >= 0 ? place < ratio : place >= 1 + ratio;
}

static void choose(
    const struct aggregation *a, const double *places, size_t g, size_t k, struct choice *c)
{
    enum aggregate_op op = a->node->u.aggregate.op;
    double param = aggregation_param(a, k);
    size_t all = a->start[g + 1] - a->start[g];
    c->n = 0;
    c->k = op == AGG_LIMIT_RATIO || param >= (double)all ? all : param >= 1 ? (size_t)param : 0;
    c->bottom = op == AGG_BOTTOMK;
    for (size_t i = a->start[g]; i < a->start[g + 1]; i++) {
        uint32_t s = a->order[i];
        size_t at = vector_at(a->in, s, k);
        if (!a->in->present[at])
            continue;
        struct candidate candidate = {a->in->v[at], s};
        if (op == AGG_LIMIT_RATIO) {
            if (in_ratio(places[s], param))
                c->items[c->n++] = candidate;
        } else if (op == AGG_LIMITK) {
            if (c->n < c->k)
                c->items[c->n++] = candidate;
        } else if (c->k && !vector_hist(a->in, at)) {
            choice_offer(c, candidate);
        }
    }
    if (op == AGG_TOPK || op == AGG_BOTTOMK)
        choice_sort(c);
}

static void copy_point(const struct vector *in, size_t from, struct vector *out, size_t to)
{
    out->present[to] = true;
    out->v[to] = in->v[from];
    if (in->h)
        out->h[to] = in->h[from];
}

/* A range: the input's series, and at each step the chosen ones. */
static bool select_range(const struct aggregation *a, const double *places, struct choice *c,
    struct vector *out, struct err *err)
{
    const struct vector *in = a->in;
    if (!vector_new(a->eval, in->n, a->n_steps, in->h != NULL, out, err))
        return false;
    out->invariant = a->invariant;
    for (size_t s = 0; s < in->n; s++)
        out->labels[s] = in->labels[s];
    out->drop_name = in->drop_name;
    for (size_t g = 0; g < a->n_groups; g++) {
        if (!eval_check(a->eval, err))
            return false;
        for (size_t k = 0; k < a->n_steps; k++) {
            if (!eval_work(a->eval, 1 + a->start[g + 1] - a->start[g], err))
                return false;
            choose(a, places, g, k, c);
            for (size_t i = 0; i < c->n; i++)
                copy_point(in, vector_at(in, c->items[i].series, k), out,
                    c->items[i].series * a->n_steps + k);
        }
    }
    return true;
}

/* One step: the chosen series alone, in their order. */
static bool select_instant(const struct aggregation *a, const double *places, struct choice *c,
    struct vector *out, struct err *err)
{
    const struct vector *in = a->in;
    if (!vector_new(a->eval, in->n, 1, in->h != NULL, out, err) ||
        (in->drop_name && !vector_drop_names(a->eval, out, err)))
        return false;
    out->invariant = a->invariant;
    size_t n = 0;
    for (size_t g = 0; g < a->n_groups; g++) {
        choose(a, places, g, 0, c);
        for (size_t i = 0; i < c->n; i++, n++) {
            uint32_t s = c->items[i].series;
            out->labels[n] = in->labels[s];
            if (in->drop_name)
                out->drop_name[n] = in->drop_name[s];
            copy_point(in, s * in->n_steps, out, n);
        }
    }
    out->n = n;
    return true;
}

/* Checks the parameter over all steps, before any data. *none: nothing can be chosen. */
static bool check_param(const struct aggregation *a, bool *none, struct err *err)
{
    struct param_range range = param_range(a);
    bool ratio = a->node->u.aggregate.op == AGG_LIMIT_RATIO;
    char text[NUMBER_MAX];
    *none = !range.nan && (ratio ? range.max == 0 && range.min == 0 : range.max < 1);
    if (*none)
        return true;
    if (range.nan)
        return eval_fail(err, ratio ? "Ratio value is NaN" : "Parameter value is NaN");
    if (ratio) {
        if (range.max > 1)
            warn_ratio(a, range.max, 1);
        if (range.min < -1)
            warn_ratio(a, range.min, -1);
        return true;
    }
    if (range.min <= -9223372036854775808.0) {
        number_format_g(range.min, text);
        return eval_fail(err, "Scalar value %s underflows int64", text);
    }
    if (range.max >= 9223372036854774784.0) {
        number_format_g(range.max, text);
        return eval_fail(err, "Scalar value %s overflows int64", text);
    }
    return true;
}

bool aggregate_select(const struct aggregation *a, struct vector *out, struct err *err)
{
    enum aggregate_op op = a->node->u.aggregate.op;
    bool none;
    if (!check_param(a, &none, err))
        return false;
    if (none)
        return vector_new(a->eval, 0, a->n_steps, false, out, err);
    struct choice c = {.items = arena_array(a->eval->arena, a->in->n, sizeof *c.items)};
    double *places = arena_array(a->eval->arena, a->in->n, sizeof *places);
    if (!c.items || !places)
        return eval_no_memory(a->eval, err);
    if (op == AGG_LIMIT_RATIO)
        set_places(a, places);
    if (op == AGG_TOPK || op == AGG_BOTTOMK)
        aggregation_ignore_histograms(a, a->node);
    return a->n_steps == 1 ? select_instant(a, places, &c, out, err)
                           : select_range(a, places, &c, out, err);
}
