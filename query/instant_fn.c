#include "query/instant_fn.h"

#include <string.h>

static instant_fn_f *const functions[FUNCTIONS] = {
    [FN_ABS] = fn_unary,
    [FN_ABSENT] = fn_absent,
    [FN_ACOS] = fn_unary,
    [FN_ACOSH] = fn_unary,
    [FN_ASIN] = fn_unary,
    [FN_ASINH] = fn_unary,
    [FN_ATAN] = fn_unary,
    [FN_ATANH] = fn_unary,
    [FN_CEIL] = fn_unary,
    [FN_CLAMP] = fn_clamp,
    [FN_CLAMP_MAX] = fn_clamp_max,
    [FN_CLAMP_MIN] = fn_clamp_min,
    [FN_COS] = fn_unary,
    [FN_COSH] = fn_unary,
    [FN_DAY_OF_MONTH] = fn_date,
    [FN_DAY_OF_WEEK] = fn_date,
    [FN_DAY_OF_YEAR] = fn_date,
    [FN_DAYS_IN_MONTH] = fn_date,
    [FN_DEG] = fn_unary,
    [FN_END] = fn_end,
    [FN_EXP] = fn_unary,
    [FN_FLOOR] = fn_unary,
    [FN_HISTOGRAM_AVG] = fn_histogram_avg,
    [FN_HISTOGRAM_COUNT] = fn_histogram_count,
    [FN_HISTOGRAM_FRACTION] = fn_histogram_fraction,
    [FN_HISTOGRAM_QUANTILE] = fn_histogram_quantile,
    [FN_HISTOGRAM_QUANTILES] = fn_histogram_quantiles,
    [FN_HISTOGRAM_STDDEV] = fn_histogram_stddev,
    [FN_HISTOGRAM_STDVAR] = fn_histogram_stdvar,
    [FN_HISTOGRAM_SUM] = fn_histogram_sum,
    [FN_HOUR] = fn_date,
    [FN_LABEL_JOIN] = fn_label_join,
    [FN_LABEL_REPLACE] = fn_label_replace,
    [FN_LN] = fn_unary,
    [FN_LOG10] = fn_unary,
    [FN_LOG2] = fn_unary,
    [FN_MAX_OF] = fn_max_of,
    [FN_MIN_OF] = fn_min_of,
    [FN_MINUTE] = fn_date,
    [FN_MONTH] = fn_date,
    [FN_PI] = fn_pi,
    [FN_RAD] = fn_unary,
    [FN_RANGE] = fn_range,
    [FN_ROUND] = fn_round,
    [FN_SCALAR] = fn_scalar,
    [FN_SGN] = fn_unary,
    [FN_SIN] = fn_unary,
    [FN_SINH] = fn_unary,
    [FN_SORT] = fn_sort,
    [FN_SORT_BY_LABEL] = fn_sort_by_label,
    [FN_SORT_BY_LABEL_DESC] = fn_sort_by_label_desc,
    [FN_SORT_DESC] = fn_sort_desc,
    [FN_SQRT] = fn_unary,
    [FN_START] = fn_start,
    [FN_STEP] = fn_step,
    [FN_TAN] = fn_unary,
    [FN_TANH] = fn_unary,
    [FN_TIME] = fn_time,
    [FN_TIMESTAMP] = fn_timestamp,
    [FN_VECTOR] = fn_vector,
    [FN_YEAR] = fn_date,
};

/* Whether eval_instant_function has the function. It has none with range vectors, and not info and
 * start_timestamp, which read the store. */
static bool instant_fn_has(enum function_id id)
{
    return functions[id] != NULL;
}

/* Functions of the evaluation time give another value at each step whatever their arguments are. */
static bool depends_on_time(const struct node *node)
{
    switch (node->u.call.function->id) {
    case FN_TIME:
    case FN_TIMESTAMP: return true;
    case FN_DAY_OF_MONTH:
    case FN_DAY_OF_WEEK:
    case FN_DAY_OF_YEAR:
    case FN_DAYS_IN_MONTH:
    case FN_HOUR:
    case FN_MINUTE:
    case FN_MONTH:
    case FN_YEAR: return node->u.call.n_args == 0;
    default: return false;
    }
}

bool eval_instant_function(struct eval *eval, const struct node *node, const struct vector *args,
    size_t n_args, struct vector *out, struct err *err)
{
    const struct function *function = node->u.call.function;
    if (!instant_fn_has(function->id))
        return err_set(err, ERR_UNSUPPORTED, "not supported yet: %s", function->name);
    struct instant_call c = {.eval = eval, .node = node, .args = args, .n_args = n_args};
    c.invariant = !depends_on_time(node);
    for (size_t i = 0; i < n_args; i++)
        c.invariant = c.invariant && (args[i].type == VALUE_STRING || args[i].invariant);
    c.n_steps = c.invariant ? 1 : eval->n_steps;
    return functions[function->id](&c, out, err);
}

bool call_like(const struct instant_call *c, const struct vector *in, bool histograms,
    struct vector *out, struct err *err)
{
    if (!vector_new(c->eval, in->n, c->n_steps, histograms, out, err))
        return false;
    out->invariant = c->invariant;
    if (in->n)
        memcpy(out->labels, in->labels, in->n * sizeof *in->labels);
    if (!in->drop_name)
        return true;
    if (!vector_drop_names(c->eval, out, err))
        return false;
    memcpy(out->drop_name, in->drop_name, in->n * sizeof *in->drop_name);
    return true;
}

bool call_scalar(const struct instant_call *c, struct vector *out, struct err *err)
{
    if (!vector_new(c->eval, 1, c->n_steps, false, out, err))
        return false;
    out->type = VALUE_SCALAR;
    out->invariant = c->invariant;
    memset(out->present, true, c->n_steps * sizeof *out->present);
    return true;
}
