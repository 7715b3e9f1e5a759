/*
 * Aggregation inside the engine: what the files aggregate*.c share. Series are put into groups once
 * per query, as integers; then values are accumulated into [group][step].
 *
 *     group[s]                    of input series s
 *     order[start[g] .. start[g + 1])    the series of group g, in input order
 */
#ifndef QUERY_AGGREGATION_H
#define QUERY_AGGREGATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "query/vector.h"

struct aggregation {
    struct eval *eval;
    const struct node *node;
    const struct vector *in, *param;
    size_t n_steps;
    bool invariant;
    uint32_t *group, *order, *start;
    size_t n_groups;
    struct labels *labels; /* of groups */
};

static inline double aggregation_param(const struct aggregation *a, size_t step)
{
    return a->param->v[vector_at(a->param, 0, step)];
}

/* A result with one series per group. */
bool aggregation_out(
    const struct aggregation *a, bool histograms, struct vector *out, struct err *err);
/* The info "ignored histogram in ... aggregation", when the input has one. */
void aggregation_ignore_histograms(const struct aggregation *a, const struct node *place);

/* sum, avg, count, min, max, group, stddev, stdvar */
bool aggregate_values(const struct aggregation *a, struct vector *out, struct err *err);
/* The histograms of sum and avg; out holds the result of the floats already. */
bool aggregate_histograms(const struct aggregation *a, struct vector *out, struct err *err);
bool aggregate_quantile(const struct aggregation *a, struct vector *out, struct err *err);
/* topk, bottomk, limitk, limit_ratio: some of the input's series. */
bool aggregate_select(const struct aggregation *a, struct vector *out, struct err *err);
bool aggregate_count_values(const struct aggregation *a, struct vector *out, struct err *err);

#endif
