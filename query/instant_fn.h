/*
 * Functions of scalars, strings and instant vectors: what the files instant_fn*.c share. Each
 * function gets its evaluated arguments and makes the result for all steps at once.
 */
#ifndef QUERY_INSTANT_FN_H
#define QUERY_INSTANT_FN_H

#include <stdbool.h>
#include <stddef.h>

#include "query/function.h"
#include "query/vector.h"

struct instant_call {
    struct eval *eval;
    const struct node *node;
    const struct vector *args;
    size_t n_args;
    size_t n_steps; /* of the result */
    bool invariant; /* every argument is */
};

typedef bool instant_fn_f(const struct instant_call *c, struct vector *out, struct err *err);

/* A result with the series and labels of in. */
bool call_like(const struct instant_call *c, const struct vector *in, bool histograms,
    struct vector *out, struct err *err);
/* A scalar result; its values are still to be set. */
bool call_scalar(const struct instant_call *c, struct vector *out, struct err *err);

/* The argument as it was written, without parentheses. */
static inline const struct node *call_arg(const struct instant_call *c, size_t i)
{
    return node_inner(c->node->u.call.args[i]);
}

/* The scalar argument at the step. */
static inline double call_number(const struct instant_call *c, size_t i, size_t step)
{
    return c->args[i].v[vector_at(&c->args[i], 0, step)];
}

instant_fn_f fn_clamp, fn_clamp_min, fn_clamp_max, fn_round, fn_unary, fn_date, fn_timestamp;
instant_fn_f fn_time, fn_pi, fn_vector, fn_scalar, fn_start, fn_end, fn_step, fn_range, fn_min_of,
    fn_max_of;
instant_fn_f fn_absent, fn_sort, fn_sort_desc, fn_sort_by_label, fn_sort_by_label_desc,
    fn_label_replace, fn_label_join;
instant_fn_f fn_histogram_avg, fn_histogram_count, fn_histogram_sum, fn_histogram_stddev,
    fn_histogram_stdvar, fn_histogram_quantile, fn_histogram_quantiles, fn_histogram_fraction;

#endif
