/*
 * Binary operators inside the engine: what the files binary*.c share. An operator works on rows:
 * the steps of two series, or of a series and a scalar, in one pass.
 */
#ifndef QUERY_BINARY_H
#define QUERY_BINARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "query/label_set.h"
#include "query/vector.h"

/* One operand at all steps. stride 0: the same at every step. present NULL: always there. */
struct row {
    const double *v;
    const struct hist *const *h; /* NULL: no histograms */
    const bool *present;
    size_t stride;
};

struct row row_of(const struct vector *x, size_t series);

/* What became of a step. */
enum outcome {
    OUT_NONE,  /* an operand is absent, or the operator is not made for these types */
    OUT_FALSE, /* a comparison that does not hold: matched, and filtered out */
    OUT_VALUE,
};

struct row_result {
    double *v;
    const struct hist **h; /* NULL when no operand has histograms */
    uint8_t *outcome;      /* enum outcome */
};

struct binary {
    struct eval *eval;
    const struct node *node;
    enum binary_op op;
    bool return_bool;
    bool keep_right; /* a comparison keeps the value of the right operand: scalar < vector */
    size_t n_steps;
};

bool row_result_new(
    const struct binary *b, bool histograms, struct row_result *out, struct err *err);
/* The operator at the steps where at[k] holds. */
bool binary_row(const struct binary *b, struct row lhs, struct row rhs, const bool *at,
    struct row_result *out, struct err *err);

static inline bool op_is_comparison(enum binary_op op)
{
    return op >= OP_EQ && op <= OP_GE;
}

/* The result of + - * / % ^ atan2 is no longer what the metric's name says. */
static inline bool op_changes_meaning(enum binary_op op)
{
    return op <= OP_ATAN2;
}

/* Vector with vector, by labels. */
bool binary_match(const struct binary *b, const struct vector *lhs, const struct vector *rhs,
    struct vector *out, struct err *err);
/* and, or, unless */
bool binary_set(const struct binary *b, const struct vector *lhs, const struct vector *rhs,
    struct vector *out, struct err *err);
/* The labels that matching compares: on(...), or all but ignoring(...) and the name. */
struct label_pick binary_pick(const struct node *node);

#endif
