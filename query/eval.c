#include "query/vector.h"

#include "base/ensure.h"
#include "query/function.h"
#include "query/histogram_math.h"
#include "query/range_fn.h"
#include "query/select.h"
#include "query/series_set.h"

/*
 * The walk over the tree: operands first, then the operator's file does the work. A node whose
 * value cannot change from step to step is evaluated at one step and marked invariant; Prometheus
 * calls this a step-invariant expression. The depth of the recursion is bounded by the parser.
 */

/* ---- what can change between steps ---- */

/* Functions whose value depends on the time of evaluation, whatever their arguments are. */
static bool depends_on_time(enum function_id id)
{
    switch (id) {
    case FN_DAYS_IN_MONTH:
    case FN_DAY_OF_MONTH:
    case FN_DAY_OF_WEEK:
    case FN_DAY_OF_YEAR:
    case FN_HOUR:
    case FN_MINUTE:
    case FN_MONTH:
    case FN_YEAR:
    case FN_PREDICT_LINEAR:
    case FN_TIME:
    case FN_TIMESTAMP: return true;
    default: return false;
    }
}

static bool is_invariant(const struct node *node);

static bool call_is_invariant(const struct node *node)
{
    if (depends_on_time(node->u.call.function->id))
        return false;
    for (size_t i = 0; i < node->u.call.n_args; i++)
        if (!is_invariant(node->u.call.args[i]))
            return false;
    return true;
}

static bool is_invariant(const struct node *node)
{
    switch (node->type) {
    case NODE_NUMBER:
    case NODE_STRING:
    case NODE_DURATION: return true;
    case NODE_SELECTOR: return node->u.selector.when.at != AT_NONE;
    case NODE_MATRIX: return is_invariant(node->u.matrix.selector);
    case NODE_SUBQUERY: return node->u.subquery.when.at != AT_NONE;
    case NODE_CALL: return call_is_invariant(node);
    case NODE_AGGREGATE:
        return is_invariant(node->u.aggregate.expr) &&
               (!node->u.aggregate.param || is_invariant(node->u.aggregate.param));
    case NODE_BINARY: return is_invariant(node->u.binary.lhs) && is_invariant(node->u.binary.rhs);
    case NODE_UNARY: return is_invariant(node->u.unary.expr);
    case NODE_PAREN: return is_invariant(node->u.paren);
    }
    unreachable("node type");
}

/* ---- nodes ---- */

static bool eval_number(
    struct eval *eval, const struct node *node, struct vector *out, struct err *err)
{
    if (!vector_new(eval, 1, eval->n_steps, false, out, err))
        return false;
    out->type = VALUE_SCALAR;
    for (size_t k = 0; k < eval->n_steps; k++) {
        out->v[k] = node->u.number.v;
        out->present[k] = true;
    }
    return true;
}

static bool negate(struct eval *eval, struct vector *x, struct err *err)
{
    for (size_t i = 0; i < x->n * x->n_steps; i++) {
        if (!x->present[i])
            continue;
        x->v[i] = -x->v[i];
        if (x->h && x->h[i] && !(x->h[i] = hist_multiply(eval->arena, x->h[i], -1)))
            return eval_no_memory(eval, err);
    }
    return true;
}

static bool eval_unary(
    struct eval *eval, const struct node *node, struct vector *out, struct err *err)
{
    if (!eval_node(eval, node->u.unary.expr, out, err))
        return false;
    if (!node->u.unary.minus)
        return true;
    if (!negate(eval, out, err))
        return false;
    if (out->type == VALUE_SCALAR)
        return true;
    return series_lose_names(eval, out, err);
}

static bool eval_call(
    struct eval *eval, const struct node *node, struct vector *out, struct err *err)
{
    size_t n = node->u.call.n_args;
    for (size_t i = 0; i < n; i++)
        if (node->u.call.args[i]->value == VALUE_MATRIX)
            return eval_range_function(eval, node, out, err);
    /* timestamp() of a selector sees the points' own times, which no vector keeps. */
    if (node->u.call.function->id == FN_TIMESTAMP) {
        const struct node *arg = node_inner(node->u.call.args[0]);
        if (arg->type == NODE_SELECTOR)
            return eval_selector(eval, arg, true, out, err) && series_lose_names(eval, out, err);
    }
    struct vector *args = arena_array(eval->arena, n, sizeof *args);
    if (!args)
        return eval_no_memory(eval, err);
    for (size_t i = 0; i < n; i++)
        if (!eval_node(eval, node->u.call.args[i], &args[i], err))
            return false;
    return eval_instant_function(eval, node, args, n, out, err);
}

static bool eval_aggregation(
    struct eval *eval, const struct node *node, struct vector *out, struct err *err)
{
    struct vector param, in;
    const struct node *arg = node->u.aggregate.param;
    if (arg && !eval_node(eval, arg, &param, err))
        return false;
    return eval_node(eval, node->u.aggregate.expr, &in, err) &&
           eval_aggregate(eval, node, arg ? &param : NULL, &in, out, err);
}

static bool eval_any(
    struct eval *eval, const struct node *node, struct vector *out, struct err *err)
{
    struct vector lhs, rhs;
    switch (node->type) {
    case NODE_NUMBER: return eval_number(eval, node, out, err);
    case NODE_STRING:
        *out = (struct vector){.type = VALUE_STRING, .string = node->u.string};
        return true;
    case NODE_SELECTOR: return eval_selector(eval, node, false, out, err);
    case NODE_CALL: return eval_call(eval, node, out, err);
    case NODE_AGGREGATE: return eval_aggregation(eval, node, out, err);
    case NODE_BINARY:
        return eval_node(eval, node->u.binary.lhs, &lhs, err) &&
               eval_node(eval, node->u.binary.rhs, &rhs, err) &&
               eval_binary(eval, node, &lhs, &rhs, out, err);
    case NODE_UNARY: return eval_unary(eval, node, out, err);
    case NODE_PAREN: return eval_node(eval, node->u.paren, out, err);
    case NODE_MATRIX:
    case NODE_SUBQUERY:
    case NODE_DURATION: break;
    }
    unreachable("a range vector is evaluated by the function that takes it");
}

bool eval_node(struct eval *eval, const struct node *node, struct vector *out, struct err *err)
{
    if (!eval_check(eval, err))
        return false;
    if (eval->n_steps == 1 || !is_invariant(node))
        return eval_any(eval, node, out, err);
    size_t n_steps = eval->n_steps;
    eval->n_steps = 1;
    bool ok = eval_any(eval, node, out, err);
    eval->n_steps = n_steps;
    out->invariant = true;
    return ok;
}
