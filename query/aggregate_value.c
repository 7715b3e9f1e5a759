#include "query/aggregation.h"

#include <math.h>

#include "query/histogram_math.h"
#include "query/label_set.h"

/*
 * One value per group and step: sum, avg, count, min, max, group, stddev, stdvar. Floats are taken
 * series by series, each in one pass over its steps; histograms, which only sum, avg, count and
 * group take, group by group, so that one running sum serves all.
 */

struct deviation {
    double mean, squares, n;
};

/* The running state of the [group][step] of an operator; the value itself is in out->v. */
struct state {
    double *comp;                /* sum */
    struct mean *mean;           /* avg */
    struct deviation *deviation; /* stddev, stdvar */
};

/* Whether input point i is a float at hand. */
static bool has_float(const struct vector *in, size_t i)
{
    return in->present[i] && !vector_hist(in, i);
}

static void take_sum(const struct aggregation *a, struct state *st, size_t s, struct vector *out)
{
    size_t row = a->group[s] * a->n_steps;
    for (size_t k = 0; k < a->n_steps; k++) {
        size_t i = vector_at(a->in, s, k);
        if (!has_float(a->in, i))
            continue;
        struct kahan sum = {out->v[row + k], st->comp[row + k]};
        if (!out->present[row + k])
            sum = (struct kahan){a->in->v[i], 0};
        else
            kahan_add(&sum, a->in->v[i]);
        out->v[row + k] = sum.sum;
        st->comp[row + k] = sum.comp;
        out->present[row + k] = true;
    }
}

static void take_avg(const struct aggregation *a, struct state *st, size_t s, struct vector *out)
{
    size_t row = a->group[s] * a->n_steps;
    for (size_t k = 0; k < a->n_steps; k++) {
        size_t i = vector_at(a->in, s, k);
        if (!has_float(a->in, i))
            continue;
        if (!out->present[row + k])
            st->mean[row + k] = (struct mean){{a->in->v[i], 0}, 1, false};
        else
            mean_add(&st->mean[row + k], a->in->v[i]);
        out->present[row + k] = true;
    }
}

static void take_count(const struct aggregation *a, struct state *st, size_t s, struct vector *out)
{
    size_t row = a->group[s] * a->n_steps;
    (void)st;
    for (size_t k = 0; k < a->n_steps; k++) {
        if (!a->in->present[vector_at(a->in, s, k)])
            continue;
        out->v[row + k] = out->present[row + k] ? out->v[row + k] + 1 : 1;
        out->present[row + k] = true;
    }
}

static void take_group(const struct aggregation *a, struct state *st, size_t s, struct vector *out)
{
    size_t row = a->group[s] * a->n_steps;
    (void)st;
    for (size_t k = 0; k < a->n_steps; k++) {
        if (!a->in->present[vector_at(a->in, s, k)])
            continue;
        out->v[row + k] = 1;
        out->present[row + k] = true;
    }
}

static void take_min(const struct aggregation *a, struct state *st, size_t s, struct vector *out)
{
    size_t row = a->group[s] * a->n_steps;
    (void)st;
    for (size_t k = 0; k < a->n_steps; k++) {
        size_t i = vector_at(a->in, s, k);
        if (!has_float(a->in, i))
            continue;
        if (!out->present[row + k] || out->v[row + k] > a->in->v[i] || isnan(out->v[row + k]))
            out->v[row + k] = a->in->v[i];
        out->present[row + k] = true;
    }
}

static void take_max(const struct aggregation *a, struct state *st, size_t s, struct vector *out)
{
    size_t row = a->group[s] * a->n_steps;
    (void)st;
    for (size_t k = 0; k < a->n_steps; k++) {
        size_t i = vector_at(a->in, s, k);
        if (!has_float(a->in, i))
            continue;
        if (!out->present[row + k] || out->v[row + k] < a->in->v[i] || isnan(out->v[row + k]))
            out->v[row + k] = a->in->v[i];
        out->present[row + k] = true;
    }
}

/* Welford's method. An infinity or NaN makes the result NaN, also when it comes first. */
static void take_deviation(
    const struct aggregation *a, struct state *st, size_t s, struct vector *out)
{
    size_t row = a->group[s] * a->n_steps;
    for (size_t k = 0; k < a->n_steps; k++) {
        size_t i = vector_at(a->in, s, k);
        if (!has_float(a->in, i))
            continue;
        double v = a->in->v[i];
        struct deviation *d = &st->deviation[row + k];
        if (!out->present[row + k]) {
            *d = (struct deviation){v, isfinite(v) ? 0 : NAN, 1};
        } else {
            double delta = v - d->mean;
            d->n++;
            d->mean += delta / d->n;
            d->squares += delta * (v - d->mean);
        }
        out->present[row + k] = true;
    }
}

typedef void take_f(const struct aggregation *, struct state *, size_t, struct vector *);

static take_f *const takes[] = {
    [AGG_SUM] = take_sum,
    [AGG_AVG] = take_avg,
    [AGG_COUNT] = take_count,
    [AGG_MIN] = take_min,
    [AGG_MAX] = take_max,
    [AGG_GROUP] = take_group,
    [AGG_STDDEV] = take_deviation,
    [AGG_STDVAR] = take_deviation,
};

static bool make_state(const struct aggregation *a, struct state *st, struct err *err)
{
    struct arena *arena = a->eval->arena;
    size_t cells = a->n_groups * a->n_steps;
    const void *made = a;
    switch (a->node->u.aggregate.op) {
    case AGG_SUM: made = st->comp = arena_array(arena, cells, sizeof *st->comp); break;
    case AGG_AVG: made = st->mean = arena_array(arena, cells, sizeof *st->mean); break;
    case AGG_STDDEV:
    case AGG_STDVAR: made = st->deviation = arena_array(arena, cells, sizeof *st->deviation); break;
    default: break;
    }
    return made ? true : eval_no_memory(a->eval, err);
}

static void finish(const struct aggregation *a, const struct state *st, struct vector *out)
{
    for (size_t i = 0; i < out->n * out->n_steps; i++) {
        if (!out->present[i])
            continue;
        switch (a->node->u.aggregate.op) {
        case AGG_SUM: out->v[i] += st->comp[i]; break;
        case AGG_AVG: out->v[i] = mean_result(&st->mean[i]); break;
        case AGG_STDVAR: out->v[i] = st->deviation[i].squares / st->deviation[i].n; break;
        case AGG_STDDEV: out->v[i] = sqrt(st->deviation[i].squares / st->deviation[i].n); break;
        default: break;
        }
    }
}

bool aggregate_values(const struct aggregation *a, struct vector *out, struct err *err)
{
    enum aggregate_op op = a->node->u.aggregate.op;
    bool adds = op == AGG_SUM || op == AGG_AVG;
    struct state st = {0};
    if (!aggregation_out(a, adds && a->in->h, out, err) || !make_state(a, &st, err))
        return false;
    for (size_t s = 0; s < a->in->n; s++) {
        if (!eval_check(a->eval, err))
            return false;
        takes[op](a, &st, s, out);
    }
    finish(a, &st, out);
    if (adds && a->in->h)
        return aggregate_histograms(a, out, err);
    if (op != AGG_COUNT && op != AGG_GROUP)
        aggregation_ignore_histograms(a, node_inner(a->node->u.aggregate.expr));
    return true;
}

/* ---- histograms ---- */

/* What the histograms of one group at one step gave. */
struct tally {
    bool any, incompatible, reset, no_reset;
};

static bool add_histogram(const struct aggregation *a, struct hist_sum *sum, struct tally *tally,
    size_t s, const struct hist *h, struct err *err)
{
    const struct node *place = node_inner(a->node->u.aggregate.expr);
    unsigned notes = 0;
    tally->any = true;
    tally->reset |= h->reset_hint == HIST_RESET_YES;
    tally->no_reset |= h->reset_hint == HIST_RESET_NO;
    enum hist_status status = a->node->u.aggregate.op == AGG_SUM ? hist_sum_add(sum, h, &notes)
                                                                 : hist_mean_add(sum, h, &notes);
    if (status == HIST_NO_MEMORY)
        return eval_no_memory(a->eval, err);
    if (status == HIST_INCOMPATIBLE) {
        tally->incompatible = true;
        eval_warn_named(a->eval, place, a->in->labels[s],
            "vector contains a mix of histograms with exponential and custom buckets schemas for "
            "metric name ");
    }
    if (notes & HIST_BOUNDS_RECONCILED)
        eval_info(a->eval, place, "mismatched custom buckets were reconciled during aggregation");
    return true;
}

static bool add_group(const struct aggregation *a, struct hist_sum *sum, struct tally *tally,
    size_t g, size_t k, struct err *err)
{
    hist_sum_clear(sum);
    *tally = (struct tally){0};
    for (size_t i = a->start[g]; i < a->start[g + 1] && !tally->incompatible; i++) {
        size_t s = a->order[i], at = vector_at(a->in, s, k);
        if (a->in->present[at] && a->in->h[at] &&
            !add_histogram(a, sum, tally, s, a->in->h[at], err))
            return false;
    }
    return true;
}

bool aggregate_histograms(const struct aggregation *a, struct vector *out, struct err *err)
{
    const struct node *place = node_inner(a->node->u.aggregate.expr);
    struct hist_sum sum;
    hist_sum_init(&sum, a->eval->arena);
    for (size_t g = 0; g < a->n_groups; g++) {
        if (!eval_check(a->eval, err))
            return false;
        for (size_t k = 0; k < a->n_steps; k++) {
            size_t i = g * a->n_steps + k;
            struct tally tally;
            if (!eval_work(a->eval, 1 + a->start[g + 1] - a->start[g], err) ||
                !add_group(a, &sum, &tally, g, k, err))
                return false;
            if (!tally.any)
                continue;
            if (out->present[i])
                eval_warn(
                    a->eval, place, "encountered a mix of histograms and floats for aggregation");
            else if (!tally.incompatible) {
                out->h[i] = a->node->u.aggregate.op == AGG_SUM ? hist_sum_result(&sum)
                                                               : hist_mean_result(&sum);
                if (!out->h[i])
                    return eval_no_memory(a->eval, err);
                if (tally.reset && tally.no_reset)
                    eval_warn(
                        a->eval, place, "conflicting counter resets during histogram aggregation");
            }
            out->present[i] = !out->present[i] && !tally.incompatible;
        }
    }
    return true;
}
