/*
 * Evaluation: a walk over the tree, at most EXPR_DEPTH_MAX deep. Sides are widened to 128 bits
 * before they are brought to the same digits, so that only a result can fail to fit.
 */
#include "base/ensure.h"
#include "ingest/expr_node.h"

static enum expr_result eval(
    const struct expr *expr, const struct event *event, struct field_value *out);

int128 expr_round(int128 v, int128 unit)
{
    int128 q = v / unit, rest = v % unit;
    int128 twice = 2 * (rest < 0 ? -rest : rest);
    if (twice > unit || (twice == unit && q % 2 != 0))
        q += v < 0 ? -1 : 1;
    return q;
}

static enum expr_result fit(int128 v, int64_t *out)
{
    if (v < INT64_MIN || v > INT64_MAX)
        return EXPR_RANGE;
    *out = (int64_t)v;
    return EXPR_OK;
}

/* Long division, digit by digit: a * 10^shift would not fit 128 bits. */
static enum expr_result divide(int64_t a, int64_t b, int shift, int64_t *out)
{
    if (b == 0)
        return EXPR_RANGE;
    bool negative = (a < 0) != (b < 0);
    uint64_t dividend = a < 0 ? 0 - (uint64_t)a : (uint64_t)a;
    uint64_t divisor = b < 0 ? 0 - (uint64_t)b : (uint64_t)b;
    uint128 quotient = dividend / divisor, rest = dividend % divisor;
    for (int i = 0; i < shift; i++) {
        rest *= 10;
        quotient = quotient * 10 + rest / divisor;
        rest %= divisor;
        if (quotient > (uint64_t)INT64_MAX + 1)
            return EXPR_RANGE;
    }
    if (2 * rest > divisor || (2 * rest == divisor && (quotient & 1)))
        quotient++;
    return fit(negative ? -(int128)quotient : (int128)quotient, out);
}

static enum expr_result arithmetic(const struct expr *expr, int64_t a, int64_t b, int64_t *out)
{
    int128 left = a, right = b;
    switch (expr->op) {
    case OP_ADD:
        return fit(left * pow10_int(expr->shift_left) + right * pow10_int(expr->shift_right), out);
    case OP_SUBTRACT:
        return fit(left * pow10_int(expr->shift_left) - right * pow10_int(expr->shift_right), out);
    case OP_MULTIPLY: return fit(expr_round(left * right, pow10_int(expr->shift_left)), out);
    case OP_DIVIDE: return divide(a, b, expr->shift_left, out);
    default: unreachable("not arithmetic");
    }
}

static bool compare(
    const struct expr *expr, const struct field_value *a, const struct field_value *b)
{
    int order;
    if (expr->left->type == EXPR_STRING) {
        order = slice_eq(a->str, b->str) ? 0 : 1; /* only == and != are compiled */
    } else {
        int128 left = (int128)a->num * pow10_int(expr->shift_left);
        int128 right = (int128)b->num * pow10_int(expr->shift_right);
        order = (left > right) - (left < right);
    }
    switch (expr->op) {
    case OP_EQ: return order == 0;
    case OP_NE: return order != 0;
    case OP_LT: return order < 0;
    case OP_LE: return order <= 0;
    case OP_GT: return order > 0;
    case OP_GE: return order >= 0;
    default: unreachable("not a comparison");
    }
}

static enum expr_result eval_binary(
    const struct expr *expr, const struct event *event, struct field_value *out)
{
    struct field_value a, b;
    enum expr_result result = eval(expr->left, event, &a);
    if (result == EXPR_OK)
        result = eval(expr->right, event, &b);
    if (result != EXPR_OK)
        return result;
    out->present = true;
    if (expr->type == EXPR_NUMBER)
        return arithmetic(expr, a.num, b.num, &out->num);
    out->num = compare(expr, &a, &b);
    return EXPR_OK;
}

static enum expr_result eval_in(
    const struct expr *expr, const struct event *event, struct field_value *out)
{
    struct field_value v;
    enum expr_result result = eval(expr->left, event, &v);
    if (result != EXPR_OK)
        return result;
    bool string = expr->left->type == EXPR_STRING, found = false;
    for (size_t i = 0; i < expr->n_items && !found; i++)
        found = string ? slice_eq(v.str, expr->items[i].str) : v.num == expr->items[i].num;
    *out = (struct field_value){.present = true, .num = found};
    return EXPR_OK;
}

static enum expr_result eval_logic(
    const struct expr *expr, const struct event *event, struct field_value *out)
{
    bool decides = expr->op == OP_OR; /* the value of a side that needs no other */
    const struct expr *sides[] = {expr->left, expr->right};
    for (int i = 0; i < 2; i++) {
        struct field_value v;
        enum expr_result result = eval(sides[i], event, &v);
        if (result == EXPR_RANGE)
            return result;
        bool truth = result == EXPR_OK && v.num;
        *out = (struct field_value){.present = true, .num = truth};
        if (truth == decides)
            break;
    }
    return EXPR_OK;
}

/* A test that lacks a field does not hold. */
static enum expr_result eval_if(
    const struct expr *expr, const struct event *event, struct field_value *out)
{
    enum expr_result result = eval(expr->test, event, out);
    if (result == EXPR_RANGE)
        return result;
    bool holds = result == EXPR_OK && out->num;
    result = eval(holds ? expr->left : expr->right, event, out);
    if (result != EXPR_OK || expr->type != EXPR_NUMBER)
        return result;
    return fit(
        (int128)out->num * pow10_int(holds ? expr->shift_left : expr->shift_right), &out->num);
}

static enum expr_result eval(
    const struct expr *expr, const struct event *event, struct field_value *out)
{
    enum expr_result result;
    switch (expr->op) {
    case OP_FIELD: *out = event->v[expr->field]; return out->present ? EXPR_OK : EXPR_ABSENT;
    case OP_LITERAL: *out = expr->literal; return EXPR_OK;
    case OP_IS: {
        const struct field_value *v = &event->v[expr->field];
        *out = (struct field_value){.present = true, .num = slice_eq(v->str, expr->literal.str)};
        return v->present ? EXPR_OK : EXPR_ABSENT;
    }
    case OP_IN: return eval_in(expr, event, out);
    case OP_NEGATE:
        result = eval(expr->left, event, out);
        return result == EXPR_OK ? fit(-(int128)out->num, &out->num) : result;
    case OP_IF: return eval_if(expr, event, out);
    case OP_NOT:
        result = eval(expr->left, event, out);
        if (result == EXPR_OK)
            out->num = !out->num;
        return result;
    case OP_AND:
    case OP_OR: return eval_logic(expr, event, out);
    default: return eval_binary(expr, event, out);
    }
}

enum expr_result expr_eval(
    const struct expr *expr, const struct event *event, struct field_value *out)
{
    return eval(expr, event, out);
}
