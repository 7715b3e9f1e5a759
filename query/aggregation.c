#include "query/aggregation.h"

#include <string.h>

#include "query/label_set.h"

/* Puts every input series into its group. count_values groups by more than labels, and does it
 * itself. */
static bool make_groups(struct aggregation *a, struct err *err)
{
    const struct node *node = a->node;
    struct label_pick pick = {
        .keep = !node->u.aggregate.without,
        .drop_name = true,
        .names = node->u.aggregate.labels,
        .n = node->u.aggregate.n_labels,
    };
    struct label_ids ids;
    bool ok = true;
    label_ids_init(&ids, a->eval->arena);
    a->group = arena_array(a->eval->arena, a->in->n, sizeof *a->group);
    ok = a->group != NULL;
    for (size_t s = 0; ok && s < a->in->n; s++)
        ok = label_ids_pick(&ids, a->in->labels[s], &pick, &a->group[s]);
    a->n_groups = ids.n;
    a->labels = ids.sets;
    label_ids_fini(&ids);
    return ok || eval_no_memory(a->eval, err);
}

/* A counting sort of the series by group. */
static bool order_by_group(struct aggregation *a, struct err *err)
{
    a->start = arena_zalloc(a->eval->arena, (a->n_groups + 2) * sizeof *a->start);
    a->order = arena_array(a->eval->arena, a->in->n, sizeof *a->order);
    if (!a->start || !a->order)
        return eval_no_memory(a->eval, err);
    for (size_t s = 0; s < a->in->n; s++)
        a->start[a->group[s] + 2]++;
    for (size_t g = 2; g < a->n_groups + 2; g++)
        a->start[g] += a->start[g - 1];
    for (size_t s = 0; s < a->in->n; s++)
        a->order[a->start[a->group[s] + 1]++] = (uint32_t)s;
    return true;
}

/* A group loses its name when one of its series, that has a value, does. */
static bool mark_names(const struct aggregation *a, struct vector *out, struct err *err)
{
    const struct vector *in = a->in;
    if (!in->drop_name)
        return true;
    if (!vector_drop_names(a->eval, out, err))
        return false;
    for (size_t s = 0; s < in->n; s++)
        if (in->drop_name[s] &&
            memchr(in->present + s * in->n_steps, true, in->n_steps * sizeof *in->present))
            out->drop_name[a->group[s]] = true;
    return true;
}

bool aggregation_out(
    const struct aggregation *a, bool histograms, struct vector *out, struct err *err)
{
    if (!vector_new(a->eval, a->n_groups, a->n_steps, histograms, out, err))
        return false;
    out->invariant = a->invariant;
    if (a->n_groups)
        memcpy(out->labels, a->labels, a->n_groups * sizeof *out->labels);
    return mark_names(a, out, err);
}

void aggregation_ignore_histograms(const struct aggregation *a, const struct node *place)
{
    const struct vector *in = a->in;
    if (!in->h)
        return;
    for (size_t i = 0; i < in->n * in->n_steps; i++)
        if (in->present[i] && in->h[i]) {
            eval_info(a->eval, place, "ignored histogram in %s aggregation",
                aggregate_op_name(a->node->u.aggregate.op));
            return;
        }
}

bool eval_aggregate(struct eval *eval, const struct node *node, const struct vector *param,
    const struct vector *in, struct vector *out, struct err *err)
{
    enum aggregate_op op = node->u.aggregate.op;
    struct aggregation a = {
        .eval = eval,
        .node = node,
        .in = in,
        .param = param,
        .n_steps = vector_steps(eval, in, op == AGG_COUNT_VALUES ? NULL : param),
    };
    a.invariant = in->invariant && (op == AGG_COUNT_VALUES || !param || param->invariant);
    if (op == AGG_COUNT_VALUES)
        return aggregate_count_values(&a, out, err);
    if (!make_groups(&a, err) || !order_by_group(&a, err))
        return false;
    switch (op) {
    case AGG_QUANTILE: return aggregate_quantile(&a, out, err);
    case AGG_TOPK:
    case AGG_BOTTOMK:
    case AGG_LIMITK:
    case AGG_LIMIT_RATIO: return aggregate_select(&a, out, err);
    default: return aggregate_values(&a, out, err);
    }
}
