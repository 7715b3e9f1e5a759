/*
 * Interval arithmetic over the contract's min and max: enough to prove that a counter's value is
 * never negative. What is not known, or does not fit, has no bound.
 */
#include "ingest/expr_node.h"

struct wide {
    bool has_min, has_max;
    int128 min, max;
};

static struct wide widen(const struct expr *side, int shift)
{
    int128 unit = pow10_int(shift);
    struct expr_range r = side->range;
    return (struct wide){r.has_min, r.has_max, r.min * unit, r.max * unit};
}

static struct expr_range narrow(struct wide w)
{
    return (struct expr_range){
        .has_min = w.has_min && w.min >= INT64_MIN && w.min <= INT64_MAX,
        .has_max = w.has_max && w.max >= INT64_MIN && w.max <= INT64_MAX,
        .min = (int64_t)w.min,
        .max = (int64_t)w.max,
    };
}

static struct wide negate(struct wide w)
{
    return (struct wide){w.has_max, w.has_min, -w.max, -w.min};
}

static struct wide add(struct wide a, struct wide b)
{
    return (struct wide){
        a.has_min && b.has_min, a.has_max && b.has_max, a.min + b.min, a.max + b.max};
}

/* Either of them. */
static struct wide join(struct wide a, struct wide b)
{
    return (struct wide){a.has_min && b.has_min, a.has_max && b.has_max,
        a.min < b.min ? a.min : b.min, a.max > b.max ? a.max : b.max};
}

static struct wide multiply(struct wide a, struct wide b, int shift)
{
    struct wide out = {0};
    int128 unit = pow10_int(shift);
    if (a.has_min && a.has_max && b.has_min && b.has_max) {
        int128 corners[4] = {a.min * b.min, a.min * b.max, a.max * b.min, a.max * b.max};
        out = (struct wide){true, true, corners[0], corners[0]};
        for (int i = 1; i < 4; i++) {
            out.min = corners[i] < out.min ? corners[i] : out.min;
            out.max = corners[i] > out.max ? corners[i] : out.max;
        }
    } else if (a.has_min && a.min >= 0 && b.has_min && b.min >= 0) {
        out = (struct wide){.has_min = true, .min = a.min * b.min};
    }
    out.min = expr_round(out.min, unit);
    out.max = expr_round(out.max, unit);
    return out;
}

struct expr_range expr_range_of(const struct expr *expr)
{
    if (expr->type != EXPR_NUMBER || expr->left->type != EXPR_NUMBER)
        return (struct expr_range){0};
    const struct expr *left = expr->left, *right = expr->right;
    switch (expr->op) {
    case OP_NEGATE: return narrow(negate(widen(left, 0)));
    case OP_ADD: return narrow(add(widen(left, expr->shift_left), widen(right, expr->shift_right)));
    case OP_SUBTRACT:
        return narrow(add(widen(left, expr->shift_left), negate(widen(right, expr->shift_right))));
    case OP_IF: return narrow(join(widen(left, expr->shift_left), widen(right, expr->shift_right)));
    case OP_MULTIPLY: return narrow(multiply(widen(left, 0), widen(right, 0), expr->shift_left));
    case OP_DIVIDE:
        return (struct expr_range){.has_min = left->range.has_min && left->range.min >= 0 &&
                                              right->range.has_min && right->range.min >= 0};
    default: return (struct expr_range){0};
    }
}
