#include "query/binary.h"

#include <math.h>
#include <string.h>

#include "query/histogram_math.h"
#include "query/histogram_stat.h"

/*
 * The operators themselves. Floats are done in one loop per operator; steps with a histogram are
 * left to a second pass, as they are rare and each needs the arena.
 */

struct row row_of(const struct vector *x, size_t series)
{
    size_t at = series * x->n_steps;
    return (struct row){x->v + at, x->h ? x->h + at : NULL, x->present + at, x->invariant ? 0 : 1};
}

bool row_result_new(
    const struct binary *b, bool histograms, struct row_result *out, struct err *err)
{
    struct arena *arena = b->eval->arena;
    *out = (struct row_result){
        .v = arena_array(arena, b->n_steps, sizeof *out->v),
        .outcome = arena_array(arena, b->n_steps, sizeof *out->outcome),
        .h = histograms ? arena_array(arena, b->n_steps, sizeof *out->h) : NULL,
    };
    if (!out->v || !out->outcome || (histograms && !out->h))
        return eval_no_memory(b->eval, err);
    return true;
}

/* clang-format off */
#define EACH_STEP(value, holds)                                                                    \
    for (size_t k = 0; k < n; k++) {                                                               \
        if (!at[k])                                                                                \
            continue;                                                                              \
        double x = lhs.v[k * lhs.stride], y = rhs.v[k * rhs.stride];                               \
        out->v[k] = (value);                                                                       \
        out->outcome[k] = (holds) ? OUT_VALUE : OUT_FALSE;                                         \
    }                                                                                              \
    break
/* clang-format on */

static void arithmetic_row(enum binary_op op, struct row lhs, struct row rhs, const bool *at,
    size_t n, struct row_result *out)
{
    switch (op) {
    case OP_ADD: EACH_STEP(x + y, true);
    case OP_SUB: EACH_STEP(x - y, true);
    case OP_MUL: EACH_STEP(x * y, true);
    case OP_DIV: EACH_STEP(x / y, true);
    case OP_MOD: EACH_STEP(fmod(x, y), true);
    case OP_POW: EACH_STEP(pow(x, y), true);
    case OP_ATAN2: EACH_STEP(atan2(x, y), true);
    default: break;
    }
}

static void comparison_row(const struct binary *b, struct row lhs, struct row rhs, const bool *at,
    size_t n, struct row_result *out)
{
    bool right = b->keep_right;
    switch (b->op) {
    case OP_EQ: EACH_STEP(right ? y : x, x == y);
    case OP_NE: EACH_STEP(right ? y : x, x != y);
    case OP_LT: EACH_STEP(right ? y : x, x < y);
    case OP_LE: EACH_STEP(right ? y : x, x <= y);
    case OP_GT: EACH_STEP(right ? y : x, x > y);
    case OP_GE: EACH_STEP(right ? y : x, x >= y);
    default: break;
    }
}

static void inform_types(const struct binary *b, const struct hist *l, const struct hist *r)
{
    const char *op = binary_op_name(b->op);
    eval_info(b->eval, b->node,
        "incompatible sample types encountered for binary operator \"%s\": %s %s %s", op,
        l ? "histogram" : "float", op, r ? "histogram" : "float");
}

/* + and - of histograms, with their annotations. *out stays NULL when they do not fit. */
static bool add_histograms(const struct binary *b, const struct hist *l, const struct hist *r,
    const struct hist **out, struct err *err)
{
    struct arena *arena = b->eval->arena;
    bool add = b->op == OP_ADD;
    unsigned notes = 0;
    enum hist_status status =
        add ? hist_add(arena, l, r, &notes, out) : hist_subtract(arena, l, r, &notes, out);
    if (status == HIST_INCOMPATIBLE) {
        eval_warn(b->eval, b->node, "incompatible bucket layout encountered for binary operator %s",
            binary_op_name(b->op));
        return true;
    }
    if (status == HIST_NO_MEMORY || (!add && !(*out = hist_with_hint(arena, *out, HIST_GAUGE))))
        return eval_no_memory(b->eval, err);
    const char *what = add ? "addition" : "subtraction";
    if (notes & HIST_RESET_COLLISION)
        eval_warn(b->eval, b->node, "conflicting counter resets during histogram %s", what);
    if (notes & HIST_BOUNDS_RECONCILED)
        eval_info(b->eval, b->node, "mismatched custom buckets were reconciled during %s", what);
    return true;
}

/* An operator whose result is a histogram; *made: it is made for these types. */
static bool histogram_value(const struct binary *b, const struct hist *l, double x,
    const struct hist *r, double y, const struct hist **out, bool *made, struct err *err)
{
    struct arena *arena = b->eval->arena;
    *made = true;
    *out = NULL;
    if (l && r && (b->op == OP_ADD || b->op == OP_SUB)) {
        if (!add_histograms(b, l, r, out, err))
            return false;
        *made = *out != NULL;
        return true;
    }
    if (b->op == OP_MUL && !(l && r))
        *out = hist_multiply(arena, l ? l : r, l ? y : x);
    else if (b->op == OP_DIV && l && !r)
        *out = hist_divide(arena, l, y);
    else if ((b->op == OP_TRIM_UPPER || b->op == OP_TRIM_LOWER) && l && !r)
        *out = hist_trim(arena, l, y, b->op == OP_TRIM_UPPER);
    else {
        inform_types(b, l, r);
        *made = false;
        return true;
    }
    return *out ? true : eval_no_memory(b->eval, err);
}

static bool histogram_step(const struct binary *b, struct row lhs, struct row rhs, size_t k,
    struct row_result *out, struct err *err)
{
    const struct hist *l = lhs.h ? lhs.h[k * lhs.stride] : NULL;
    const struct hist *r = rhs.h ? rhs.h[k * rhs.stride] : NULL;
    bool made;
    if (l && r && (b->op == OP_EQ || b->op == OP_NE)) {
        out->h[k] = l;
        out->outcome[k] = hist_equal(l, r) == (b->op == OP_EQ) ? OUT_VALUE : OUT_FALSE;
        return true;
    }
    if (!histogram_value(
            b, l, lhs.v[k * lhs.stride], r, rhs.v[k * rhs.stride], &out->h[k], &made, err))
        return false;
    out->outcome[k] = made ? OUT_VALUE : OUT_NONE;
    return true;
}

/* Steps with histograms; the float loops have written nonsense there. */
static bool histogram_row(const struct binary *b, struct row lhs, struct row rhs, const bool *at,
    struct row_result *out, struct err *err)
{
    for (size_t k = 0; k < b->n_steps; k++) {
        bool l = lhs.h && at[k] && lhs.h[k * lhs.stride];
        bool r = rhs.h && at[k] && rhs.h[k * rhs.stride];
        out->h[k] = NULL;
        if ((l || r) && !histogram_step(b, lhs, rhs, k, out, err))
            return false;
    }
    return true;
}

bool binary_row(const struct binary *b, struct row lhs, struct row rhs, const bool *at,
    struct row_result *out, struct err *err)
{
    memset(out->outcome, OUT_NONE, b->n_steps);
    if (op_is_comparison(b->op)) {
        comparison_row(b, lhs, rhs, at, b->n_steps, out);
    } else if (op_changes_meaning(b->op)) {
        arithmetic_row(b->op, lhs, rhs, at, b->n_steps, out);
    } else if (memchr(at, true, b->n_steps * sizeof *at)) {
        for (size_t k = 0; k < b->n_steps; k++) /* trimming is for histograms */
            if (at[k] && !(lhs.h && lhs.h[k * lhs.stride]) && !(rhs.h && rhs.h[k * rhs.stride]))
                inform_types(b, NULL, NULL);
    }
    if ((lhs.h || rhs.h) && !histogram_row(b, lhs, rhs, at, out, err))
        return false;
    if (b->return_bool)
        for (size_t k = 0; k < b->n_steps; k++) {
            if (out->outcome[k] == OUT_NONE)
                continue;
            out->v[k] = out->outcome[k] == OUT_VALUE;
            out->outcome[k] = OUT_VALUE;
            if (out->h)
                out->h[k] = NULL;
        }
    return true;
}
