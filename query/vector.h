/*
 * What evaluating a node gives inside the engine: for every series a value at every step, in
 * columns.
 *
 *     labels[s]         of series s, without duplicates when evaluation of the node is complete
 *     v[s * n_steps + k], present[s * n_steps + k]
 *                       float; histogram when h and h[s * n_steps + k] are set
 *
 * An instant query has one step. A node whose value cannot change between steps (`@`, literals) may
 * be evaluated once: n_steps 1, `invariant`, and readers use step_at(). All arrays live in the
 * query's arena.
 */
#ifndef QUERY_VECTOR_H
#define QUERY_VECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "query/ast.h"
#include "query/engine.h"
#include "store/histogram.h"
#include "store/labels.h"

struct vector {
    enum value_type type; /* VALUE_SCALAR: one series without labels, always present */
    size_t n, n_steps;
    bool invariant;
    struct labels *labels;
    bool *drop_name; /* NULL or per series: __name__ goes at the end (delayed name removal) */
    double *v;
    bool *present;
    const struct hist **h; /* NULL: no histogram anywhere */
    struct slice string;   /* VALUE_STRING */
};

static inline size_t vector_at(const struct vector *x, size_t series, size_t step)
{
    return series * x->n_steps + (x->invariant ? 0 : step);
}

struct selections;

/* The evaluation of one query. Annotations are collected without repeats, in order of first
 * occurrence. */
struct eval {
    const struct engine_options *options;
    const struct query *query;
    struct slice text; /* of the query, for places */
    struct arena *arena;
    struct selections *selections; /* the query's selectors, read: see select.h */
    int64_t start_ms, step_ms;     /* of the node being evaluated: subqueries have their own */
    size_t n_steps;
    uint64_t samples; /* points held, against options->max_samples */
    uint64_t work;    /* points looked at since the last eval_check of eval_work */
    struct notes notes;
    size_t warnings_cap, infos_cap;
};

static inline int64_t eval_time(const struct eval *eval, size_t step)
{
    return eval->start_ms + (int64_t)step * eval->step_ms;
}

/* A vector of n series and n_steps, nothing present; false: arena or max_samples at its limit. */
bool vector_new(struct eval *eval, size_t n, size_t n_steps, bool histograms, struct vector *out,
    struct err *err);

/* The room for histograms in a vector that was made without; nothing happens when it is there. */
bool vector_histograms(struct eval *eval, struct vector *x, struct err *err);
/* The array drop_name, all false, unless it is there already. */
bool vector_drop_names(struct eval *eval, struct vector *x, struct err *err);

/* The steps of an operation on these: 1 when both are invariant. b may be NULL. */
size_t vector_steps(const struct eval *eval, const struct vector *a, const struct vector *b);

static inline const struct hist *vector_hist(const struct vector *x, size_t at)
{
    return x->h ? x->h[at] : NULL;
}

/* Without the parentheses around it: what annotations point at. */
static inline const struct node *node_inner(const struct node *node)
{
    while (node->type == NODE_PAREN)
        node = node->u.paren;
    return node;
}

/* Adds "PromQL warning: text (line:col)", the place of the node, unless it is there already;
 * eval_info begins with "PromQL info: ". node NULL: no place. */
void eval_warn(struct eval *eval, const struct node *node, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void eval_info(struct eval *eval, const struct node *node, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The text in quotes, as Go's %q writes it; in the arena. */
const char *eval_quote(struct eval *eval, struct slice text);
/* As eval_warn, with the metric's name in quotes behind the text. */
void eval_warn_named(
    struct eval *eval, const struct node *node, struct labels labels, const char *text);

/* An error of execution (not of parsing): ERR_INVALID with sys = 1. Returns false. */
bool eval_fail(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The arena is full: ERR_LIMIT. Returns false. */
static inline bool eval_no_memory(const struct eval *eval, struct err *err)
{
    return err_set(err, ERR_LIMIT, "query needs more memory than allowed (%zu bytes)",
        eval->arena->limit_bytes);
}

/* Cancellation and deadline; call it once per series or block of steps. False: *err is set. */
bool eval_check(const struct eval *eval, struct err *err);

#define WORK_BETWEEN_CHECKS 65536

/* eval_check once in so many points: for loops over the steps or points of one series, which have
 * no bound of their own. points: how many the turn looks at, a window that is read anew included.
 */
static inline bool eval_work(struct eval *eval, size_t points, struct err *err)
{
    eval->work += points;
    if (eval->work < WORK_BETWEEN_CHECKS)
        return true;
    eval->work = 0;
    return eval_check(eval, err);
}

/* Evaluates any node (eval.c). Range vectors exist only as arguments of functions, which evaluate
 * them themselves: see range_fn.h. */
bool eval_node(struct eval *eval, const struct node *node, struct vector *out, struct err *err);

/* aggregation.c: the operand and the parameter are evaluated already. */
bool eval_aggregate(struct eval *eval, const struct node *node, const struct vector *param,
    const struct vector *in, struct vector *out, struct err *err);
/* binary.c: any two of scalars and vectors. */
bool eval_binary(struct eval *eval, const struct node *node, const struct vector *lhs,
    const struct vector *rhs, struct vector *out, struct err *err);
/* instant_fn.c: every function whose arguments are scalars, strings and instant vectors. */
bool eval_instant_function(struct eval *eval, const struct node *node, const struct vector *args,
    size_t n_args, struct vector *out, struct err *err);

#endif
