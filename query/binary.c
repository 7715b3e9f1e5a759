#include "query/binary.h"

#include <string.h>

#include "query/series_set.h"

/*
 * Dispatch, and the operators with a scalar. Two scalars give a scalar; a scalar and a vector give
 * the vector's series, each step for itself.
 */

struct label_pick binary_pick(const struct node *node)
{
    return (struct label_pick){
        .keep = node->u.binary.on,
        .drop_name = true,
        .names = node->u.binary.labels,
        .n = node->u.binary.n_labels,
    };
}

static bool scalars(const struct binary *b, const struct vector *lhs, const struct vector *rhs,
    bool invariant, struct vector *out, struct err *err)
{
    struct binary scalar = *b;
    scalar.return_bool = op_is_comparison(b->op);
    if (!vector_new(b->eval, 1, b->n_steps, false, out, err))
        return false;
    out->type = VALUE_SCALAR;
    out->invariant = invariant;
    memset(out->present, true, b->n_steps * sizeof *out->present);
    struct row_result result;
    if (!row_result_new(b, false, &result, err) ||
        !binary_row(&scalar, row_of(lhs, 0), row_of(rhs, 0), out->present, &result, err))
        return false;
    memcpy(out->v, result.v, b->n_steps * sizeof *out->v);
    return true;
}

static void take_row(
    const struct binary *b, const struct row_result *result, size_t s, struct vector *out)
{
    for (size_t k = 0; k < b->n_steps; k++) {
        size_t i = s * b->n_steps + k;
        out->present[i] = result->outcome[k] == OUT_VALUE;
        out->v[i] = result->v[k];
        if (out->h)
            out->h[i] = result->h[k];
    }
}

static bool with_scalar(const struct binary *b, const struct vector *lhs, const struct vector *rhs,
    bool invariant, struct vector *out, struct err *err)
{
    bool swap = lhs->type == VALUE_SCALAR;
    const struct vector *in = swap ? rhs : lhs;
    struct binary op = *b;
    op.keep_right = swap;
    struct row_result result;
    bool *at = arena_array(b->eval->arena, b->n_steps, sizeof *at);
    if (!at)
        return eval_no_memory(b->eval, err);
    if (!row_result_new(b, in->h != NULL, &result, err) ||
        !vector_new(b->eval, in->n, b->n_steps, in->h != NULL, out, err))
        return false;
    out->invariant = invariant;
    for (size_t s = 0; s < in->n; s++) {
        for (size_t k = 0; k < b->n_steps; k++)
            at[k] = in->present[vector_at(in, s, k)];
        if (!eval_check(b->eval, err) ||
            !binary_row(&op, swap ? row_of(lhs, 0) : row_of(lhs, s),
                swap ? row_of(rhs, s) : row_of(rhs, 0), at, &result, err))
            return false;
        take_row(b, &result, s, out);
        out->labels[s] = in->labels[s];
    }
    if (op_changes_meaning(b->op) || b->return_bool)
        return series_lose_names(b->eval, out, err);
    if (in->drop_name) {
        if (!vector_drop_names(b->eval, out, err))
            return false;
        memcpy(out->drop_name, in->drop_name, in->n * sizeof *in->drop_name);
    }
    return true;
}

bool eval_binary(struct eval *eval, const struct node *node, const struct vector *lhs,
    const struct vector *rhs, struct vector *out, struct err *err)
{
    struct binary b = {
        .eval = eval,
        .node = node,
        .op = node->u.binary.op,
        .return_bool = node->u.binary.return_bool,
        .n_steps = vector_steps(eval, lhs, rhs),
    };
    bool invariant = lhs->invariant && rhs->invariant;
    if (lhs->type == VALUE_SCALAR && rhs->type == VALUE_SCALAR)
        return scalars(&b, lhs, rhs, invariant, out, err);
    if (lhs->type == VALUE_SCALAR || rhs->type == VALUE_SCALAR)
        return with_scalar(&b, lhs, rhs, invariant, out, err);
    bool set = b.op == OP_AND || b.op == OP_OR || b.op == OP_UNLESS;
    if (!(set ? binary_set : binary_match)(&b, lhs, rhs, out, err))
        return false;
    out->invariant = invariant;
    return true;
}
