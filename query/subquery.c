#include "query/subquery.h"

#include "query/histogram_math.h"

bool subquery_eval(
    struct eval *eval, const struct node *node, struct subquery *out, struct err *err)
{
    int64_t start = eval->start_ms, step = eval->step_ms;
    size_t n_steps = eval->n_steps;
    int64_t last = n_steps ? eval_time(eval, n_steps - 1) : start - 1;
    *out = (struct subquery){0};
    if (!subquery_steps(eval->query, eval->options, node, start, last, &out->steps, err))
        return false;
    if (out->steps.n == 0)
        return true;
    eval->start_ms = out->steps.start_ms;
    eval->step_ms = out->steps.step_ms;
    eval->n_steps = out->steps.n;
    bool ok = eval_node(eval, node->u.subquery.expr, &out->inner, err);
    eval->start_ms = start;
    eval->step_ms = step;
    eval->n_steps = n_steps;
    return ok;
}

/*
 * Hints of counter resets say how a histogram follows its predecessor in the store, which the
 * subquery may have left out or repeated: unknown again.
 */
static const struct hist *without_hint(struct arena *arena, const struct hist *h)
{
    if (h->reset_hint != HIST_RESET_YES && h->reset_hint != HIST_RESET_NO)
        return h;
    return hist_with_hint(arena, h, HIST_RESET_UNKNOWN);
}

bool subquery_points(struct eval *eval, const struct subquery *subquery, size_t series,
    struct arena *scratch, struct points *out, struct err *err)
{
    const struct vector *x = &subquery->inner;
    size_t n = subquery->steps.n;
    size_t n_h = x->h ? n : 0;
    *out = (struct points){.t = arena_array(scratch, n, sizeof *out->t),
        .v = arena_array(scratch, n, sizeof *out->v),
        .h_t = arena_array(scratch, n_h, sizeof *out->h_t),
        .h = arena_array(scratch, n_h, sizeof *out->h)};
    if (!out->t || !out->v || !out->h_t || !out->h)
        return eval_no_memory(eval, err);
    for (size_t k = 0; k < n; k++) {
        size_t at = vector_at(x, series, k);
        int64_t t = subquery->steps.start_ms + (int64_t)k * subquery->steps.step_ms;
        if (!eval_work(eval, 1, err))
            return false;
        if (!x->present[at])
            continue;
        if (x->h && x->h[at]) {
            out->h_t[out->n_h] = t;
            out->h[out->n_h] = without_hint(eval->arena, x->h[at]);
            if (!out->h[out->n_h++])
                return eval_no_memory(eval, err);
        } else {
            out->t[out->n] = t;
            out->v[out->n++] = x->v[at];
        }
    }
    return true;
}
