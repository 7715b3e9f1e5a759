#include "query/instant_fn.h"

#include <math.h>
#include <string.h>

#include "base/number.h"
#include "query/histogram_group.h"
#include "query/histogram_stat.h"
#include "query/series_set.h"

/*
 * Functions of histograms. count, sum, avg, stddev and stdvar take native ones only; quantiles and
 * fractions take both kinds (see histogram_group.h). Those are done as measures: one quantile or
 * fraction for all histograms at all steps.
 */

/* ---- native only ---- */

static double count_of(const struct hist *h)
{
    return h->count;
}

static double sum_of(const struct hist *h)
{
    return h->sum;
}

static double avg_of(const struct hist *h)
{
    return h->sum / h->count;
}

static double stddev_of(const struct hist *h)
{
    return sqrt(hist_variance(h));
}

static bool each_native(const struct instant_call *c, double (*value)(const struct hist *),
    struct vector *out, struct err *err)
{
    const struct vector *in = &c->args[0];
    if (!call_like(c, in, false, out, err))
        return false;
    for (size_t s = 0; in->h && s < in->n; s++) {
        if (!eval_check(c->eval, err))
            return false;
        for (size_t k = 0; k < c->n_steps; k++) {
            size_t from = vector_at(in, s, k), to = s * c->n_steps + k;
            out->present[to] = in->present[from] && in->h[from];
            if (out->present[to])
                out->v[to] = value(in->h[from]);
        }
    }
    return series_lose_names(c->eval, out, err);
}

bool fn_histogram_count(const struct instant_call *c, struct vector *out, struct err *err)
{
    return each_native(c, count_of, out, err);
}

bool fn_histogram_sum(const struct instant_call *c, struct vector *out, struct err *err)
{
    return each_native(c, sum_of, out, err);
}

bool fn_histogram_avg(const struct instant_call *c, struct vector *out, struct err *err)
{
    return each_native(c, avg_of, out, err);
}

bool fn_histogram_stddev(const struct instant_call *c, struct vector *out, struct err *err)
{
    return each_native(c, stddev_of, out, err);
}

bool fn_histogram_stdvar(const struct instant_call *c, struct vector *out, struct err *err)
{
    return each_native(c, hist_variance, out, err);
}

/* ---- both kinds ---- */

struct measure {
    size_t arg; /* of q; of a fraction, the lower bound, and the upper one is next */
    bool is_fraction;
    bool selective; /* only at the steps where q is `only` */
    double only;
    struct slice label, value; /* of the result, when label is not empty */
};

static bool is_wanted(const struct instant_call *c, const struct measure *m, size_t k)
{
    double q = m->selective ? call_number(c, m->arg, k) : 0;
    return !m->selective || q == m->only || (isnan(q) && isnan(m->only));
}

static bool classic_value(const struct instant_call *c, struct histogram_group *x,
    const struct measure *m, size_t g, size_t k, size_t n, double *v, struct err *err)
{
    struct monotonic_fix fix;
    double first = call_number(c, m->arg, k);
    if (m->is_fraction) {
        *v = classic_fraction(first, call_number(c, m->arg + 1, k), x->buckets, n);
        return true;
    }
    *v = classic_quantile(first, x->buckets, n, &fix);
    return !fix.forced || histogram_group_fixed(x, g, k, &fix, err);
}

static double native_value(const struct instant_call *c, const struct histogram_group *x,
    const struct measure *m, const struct hist *h, size_t s, size_t k)
{
    unsigned notes = 0;
    double v, first = call_number(c, m->arg, k);
    struct labels labels = x->in->labels[s];
    if (m->is_fraction) {
        v = hist_fraction(first, call_number(c, m->arg + 1, k), h, &notes);
        if (notes)
            histogram_group_info(x, labels,
                "input to histogram_fraction has NaN observations, which are excluded from all "
                "fractions");
        return v;
    }
    v = hist_quantile(first, h, &notes);
    if (notes & HIST_NAN_RESULT)
        histogram_group_info(
            x, labels, "input to histogram_quantile has NaN observations, result is NaN");
    if (notes & HIST_NAN_SKEW)
        histogram_group_info(
            x, labels, "input to histogram_quantile has NaN observations, result is skewed higher");
    return v;
}

static bool set_labels(const struct instant_call *c, const struct measure *m, struct labels labels,
    bool keep_name, struct labels *out, struct err *err)
{
    struct arena *arena = c->eval->arena;
    *out = keep_name ? labels : labels_without_metric(arena, labels);
    if ((out->n && !out->items) ||
        (m->label.len && !labels_with(arena, *out, m->label, m->value, out)))
        return eval_no_memory(c->eval, err);
    return true;
}

/* Fills the rows from `row` on: the classic histograms, then the native series. */
static bool run_measure(const struct instant_call *c, struct histogram_group *x,
    const struct measure *m, size_t row, struct vector *out, struct err *err)
{
    bool delayed = out->drop_name != NULL;
    for (size_t g = 0; g < x->n_classic; g++, row++) {
        if (!eval_check(c->eval, err) ||
            !set_labels(c, m, x->ids.sets[g], false, &out->labels[row], err))
            return false;
        for (size_t k = 0; k < c->n_steps; k++) {
            size_t i = row * c->n_steps + k;
            size_t n = is_wanted(c, m, k) ? histogram_group_pick(x, g, k) : 0;
            out->present[i] = n > 0;
            if (n && !classic_value(c, x, m, g, k, n, &out->v[i], err))
                return false;
        }
    }
    for (size_t s = 0; x->in->h && s < x->in->n; s++, row++) {
        if (!eval_check(c->eval, err) ||
            !set_labels(c, m, x->in->labels[s], delayed, &out->labels[row], err))
            return false;
        for (size_t k = 0; k < c->n_steps; k++) {
            size_t i = row * c->n_steps + k;
            const struct hist *h = is_wanted(c, m, k) ? histogram_group_native(x, s, k) : NULL;
            out->present[i] = h != NULL;
            if (h)
                out->v[i] = native_value(c, x, m, h, s, k);
        }
    }
    return true;
}

static bool run_measures(const struct instant_call *c, size_t arg, const struct measure *measures,
    size_t n, struct vector *out, struct err *err)
{
    struct histogram_group x;
    const struct vector *in = &c->args[arg];
    bool ok = histogram_group_init(&x, c->eval, in, call_arg(c, arg), err);
    size_t rows = x.n_classic + (in->h ? in->n : 0);
    bool delayed = c->eval->options && c->eval->options->delayed_name_removal;
    ok = ok && vector_new(c->eval, rows * n, c->n_steps, false, out, err) &&
         (!delayed || vector_drop_names(c->eval, out, err));
    if (ok && delayed)
        memset(out->drop_name, true, rows * n * sizeof *out->drop_name);
    for (size_t i = 0; ok && i < n; i++)
        ok = run_measure(c, &x, &measures[i], i * rows, out, err);
    if (ok) {
        out->invariant = c->invariant;
        histogram_group_tell(&x);
        ok = series_merge_same(c->eval, out, err);
    }
    histogram_group_fini(&x);
    return ok;
}

static void check_quantiles(const struct instant_call *c, size_t arg)
{
    for (size_t k = 0; k < c->args[arg].n_steps; k++) {
        double q = c->args[arg].v[k];
        char text[NUMBER_MAX];
        if (q >= 0 && q <= 1)
            continue;
        number_format_g(q, text);
        eval_warn(
            c->eval, call_arg(c, arg), "quantile value should be between 0 and 1, got %s", text);
    }
}

bool fn_histogram_quantile(const struct instant_call *c, struct vector *out, struct err *err)
{
    struct measure m = {.arg = 0};
    check_quantiles(c, 0);
    return run_measures(c, 1, &m, 1, out, err);
}

bool fn_histogram_fraction(const struct instant_call *c, struct vector *out, struct err *err)
{
    struct measure m = {.arg = 0, .is_fraction = true};
    return run_measures(c, 2, &m, 1, out, err);
}

/* The quantile as a label, as OpenMetrics writes it: whole numbers with ".0". */
static struct slice quantile_label(struct arena *arena, double q)
{
    char text[NUMBER_MAX];
    size_t n = number_format_g(q, text);
    if (isfinite(q) && !strpbrk(text, ".e")) {
        memcpy(text + n, ".0", 3);
        n += 2;
    }
    return arena_slice(arena, slice_of(text, n));
}

/* A measure for each value that the argument takes; one value as a rule. */
static bool add_measures(const struct instant_call *c, size_t arg, struct measure *measures,
    size_t *n, size_t max, struct err *err)
{
    size_t first = *n;
    for (size_t k = 0; k < c->args[arg].n_steps; k++) {
        double q = c->args[arg].v[k];
        size_t i = first;
        while (i < *n && !(measures[i].only == q || (isnan(q) && isnan(measures[i].only))))
            i++;
        if (i < *n)
            continue;
        struct measure m = {.arg = arg,
            .selective = true,
            .only = q,
            .label = c->args[1].string,
            .value = quantile_label(c->eval->arena, q)};
        if (*n == max || !m.value.ptr)
            return eval_no_memory(c->eval, err);
        measures[(*n)++] = m;
    }
    return true;
}

bool fn_histogram_quantiles(const struct instant_call *c, struct vector *out, struct err *err)
{
    size_t max = 0, n = 0;
    for (size_t arg = 2; arg < c->n_args; arg++)
        max += c->args[arg].n_steps;
    struct measure *measures = arena_array(c->eval->arena, max, sizeof *measures);
    if (!measures)
        return eval_no_memory(c->eval, err);
    for (size_t arg = 2; arg < c->n_args; arg++) {
        check_quantiles(c, arg);
        if (!add_measures(c, arg, measures, &n, max, err))
            return false;
    }
    return run_measures(c, 0, measures, n, out, err);
}
