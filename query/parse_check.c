/*
 * What a tree that parses must also satisfy: types of operands and arguments, numbers of arguments,
 * matching, and selectors that select something. Texts and their order follow Prometheus' checkAST:
 * the first error of a walk in which a node's own checks stand around those of its children.
 */
#include <stdio.h>

#include "query/parser.h"
#include "query/quote.h"

/* As in messages about subqueries, where Prometheus does not use the long names. */
static const char *short_type_name(enum value_type type)
{
    switch (type) {
    case VALUE_MATRIX: return "matrix";
    case VALUE_VECTOR: return "vector";
    default: return value_type_name(type);
    }
}

static bool check(struct parser *p, const struct node *node);

static bool expect_type(
    struct parser *p, const struct node *node, enum value_type want, const char *where)
{
    if (!check(p, node))
        return false;
    if (node->value == want)
        return true;
    return parser_fail(p, node->start, "expected type %s in %s, got %s", value_type_name(want),
        where, value_type_name(node->value));
}

static bool check_aggregate(struct parser *p, const struct node *node)
{
    if (!expect_type(p, node->u.aggregate.expr, VALUE_VECTOR, "aggregation expression"))
        return false;
    if (!node->u.aggregate.param)
        return true;
    enum value_type want = node->u.aggregate.op == AGG_COUNT_VALUES ? VALUE_STRING : VALUE_SCALAR;
    return expect_type(p, node->u.aggregate.param, want, "aggregation parameter");
}

/* ---- binary operators ---- */

/* Where the operator stands: the first byte behind the left side that is no blank. */
static uint32_t operator_at(const struct parser *p, const struct node *node)
{
    struct slice text = p->ast->text;
    uint32_t at = node->u.binary.lhs->end;
    while (at < text.len && strchr(" \t\r\n", text.ptr[at]))
        at++;
    return at;
}

static bool fail_label(
    struct parser *p, const struct node *node, struct slice label, const char *rest)
{
    struct buf quoted;
    buf_init(&quoted, 256);
    quote_text(label, &quoted);
    parser_fail(p, operator_at(p, node), "label %s %s", buf_cstr(&quoted), rest);
    buf_fini(&quoted);
    return false;
}

static bool check_include(struct parser *p, const struct node *node)
{
    if (!node->u.binary.on)
        return true;
    for (size_t i = 0; i < node->u.binary.n_labels; i++)
        for (size_t k = 0; k < node->u.binary.n_include; k++)
            if (slice_eq(node->u.binary.labels[i], node->u.binary.include[k]))
                return fail_label(p, node, node->u.binary.labels[i],
                    "must not occur in ON and GROUP clause at once");
    return true;
}

static bool check_operand(struct parser *p, const struct node *node)
{
    if (node->value == VALUE_SCALAR || node->value == VALUE_VECTOR)
        return true;
    return parser_fail(
        p, node->start, "binary expression must contain only scalar and instant vector types");
}

static bool check_matching(struct parser *p, const struct node *node)
{
    const struct node *lhs = node->u.binary.lhs, *rhs = node->u.binary.rhs;
    const char *name = binary_op_name(node->u.binary.op);
    bool set = binary_op_is_set(node->u.binary.op);
    bool fills = node->u.binary.fill_left.set || node->u.binary.fill_right.set;
    if (lhs->value != VALUE_VECTOR || rhs->value != VALUE_VECTOR) {
        if (node->u.binary.n_labels > 0)
            return parser_fail(
                p, node->start, "vector matching only allowed between instant vectors");
        if (fills)
            return parser_fail(
                p, node->start, "filling in missing series only allowed between instant vectors");
        if (set)
            return parser_fail(p, node->start,
                "set operator \"%s\" not allowed in binary scalar expression", name);
    } else if (set) {
        if (node->u.binary.card != CARD_MANY_TO_MANY)
            return parser_fail(p, node->start, "no grouping allowed for \"%s\" operation", name);
        if (fills)
            return parser_fail(
                p, node->start, "filling in missing series not allowed for set operators");
    }
    return true;
}

static bool check_binary(struct parser *p, const struct node *node)
{
    const struct node *lhs = node->u.binary.lhs, *rhs = node->u.binary.rhs;
    bool comparison = binary_op_is_comparison(node->u.binary.op);
    if (!check(p, lhs) || !check(p, rhs))
        return false;
    if (node->u.binary.return_bool && !comparison)
        return parser_fail(
            p, operator_at(p, node), "bool modifier can only be used on comparison operators");
    if (comparison && !node->u.binary.return_bool && lhs->value == VALUE_SCALAR &&
        rhs->value == VALUE_SCALAR)
        return parser_fail(
            p, operator_at(p, node), "comparisons between scalars must use BOOL modifier");
    return check_include(p, node) && check_operand(p, lhs) && check_operand(p, rhs) &&
           check_matching(p, node);
}

/* ---- functions ---- */

static bool check_arity(struct parser *p, const struct node *node)
{
    const struct function *f = node->u.call.function;
    size_t n = node->u.call.n_args;
    if (f->min_args == f->max_args) {
        if (n == (size_t)f->min_args)
            return true;
        return parser_fail(p, node->start, "expected %d argument(s) in call to \"%s\", got %zu",
            f->min_args, f->name, n);
    }
    if (n < (size_t)f->min_args)
        return parser_fail(p, node->start,
            "expected at least %d argument(s) in call to \"%s\", got %zu", f->min_args, f->name, n);
    if (f->max_args >= 0 && n > (size_t)f->max_args)
        return parser_fail(p, node->start,
            "expected at most %d argument(s) in call to \"%s\", got %zu", f->max_args, f->name, n);
    return true;
}

static bool check_selector(struct parser *p, const struct node *node, bool may_be_empty);

/* The second argument of info(): labels only, and they may match everything. */
static bool check_info_selector(struct parser *p, const struct node *node)
{
    if (node->value != VALUE_VECTOR)
        return parser_fail(p, node->start,
            "expected type instant vector in call to function \"info\", got %s",
            value_type_name(node->value));
    if (node->type != NODE_SELECTOR)
        return parser_fail(p, node->start, "expected label selectors only");
    if (node->u.selector.name.len > 0)
        return parser_fail(
            p, node->start, "expected label selectors only, got vector selector instead");
    return check_selector(p, node, true);
}

static bool check_call(struct parser *p, const struct node *node)
{
    const struct function *f = node->u.call.function;
    char where[96];
    snprintf(where, sizeof where, "call to function \"%s\"", f->name);
    if (!check_arity(p, node))
        return false;
    size_t last = (size_t)f->min_args;
    for (size_t i = 0; i < node->u.call.n_args; i++) {
        const struct node *arg = node->u.call.args[i];
        bool ok = f->id == FN_INFO && i == 1
                      ? check_info_selector(p, arg)
                      : expect_type(p, arg, f->args[i > last ? last : i], where);
        if (!ok)
            return false;
    }
    return true;
}

/* ---- the others ---- */

static bool fail_named_twice(struct parser *p, const struct node *node, struct slice other)
{
    struct buf names;
    buf_init(&names, 512);
    quote_text(node->u.selector.name, &names);
    buf_str(&names, " or ");
    quote_text(other, &names);
    parser_fail(p, node->start, "metric name must not be set twice: %s", buf_cstr(&names));
    buf_fini(&names);
    return false;
}

static bool check_selector(struct parser *p, const struct node *node, bool may_be_empty)
{
    const struct matcher *m = node->u.selector.matchers;
    size_t n = node->u.selector.n_matchers;
    bool named = node->u.selector.name.len > 0;
    /* A name in front of the braces is the last matcher. */
    for (size_t i = 0; named && i + 1 < n; i++)
        if (slice_is(m[i].name, LABEL_METRIC_NAME))
            return fail_named_twice(p, node, m[i].value);
    if (named || may_be_empty)
        return true;
    for (size_t i = 0; i < n; i++)
        if (!matcher_matches(&m[i], SLICE("")))
            return true;
    return parser_fail(
        p, node->start, "vector selector must contain at least one non-empty matcher");
}

static bool check_unary(struct parser *p, const struct node *node)
{
    const struct node *expr = node->u.unary.expr;
    if (!check(p, expr))
        return false;
    if (expr->value == VALUE_SCALAR || expr->value == VALUE_VECTOR)
        return true;
    return parser_fail(p, node->start,
        "unary expression only allowed on expressions of type scalar or instant vector, got \"%s\"",
        value_type_name(expr->value));
}

static bool check_subquery(struct parser *p, const struct node *node)
{
    const struct node *expr = node->u.subquery.expr;
    if (!check(p, expr))
        return false;
    if (expr->value == VALUE_VECTOR)
        return true;
    return parser_fail(p, node->start, "subquery is only allowed on instant vector, got %s instead",
        short_type_name(expr->value));
}

/* Recursion is bounded: the tree is at most PARSE_DEPTH_MAX high. */
static bool check(struct parser *p, const struct node *node)
{
    switch (node->type) {
    case NODE_SELECTOR: return check_selector(p, node, false);
    case NODE_MATRIX: return check(p, node->u.matrix.selector);
    case NODE_SUBQUERY: return check_subquery(p, node);
    case NODE_CALL: return check_call(p, node);
    case NODE_AGGREGATE: return check_aggregate(p, node);
    case NODE_BINARY: return check_binary(p, node);
    case NODE_UNARY: return check_unary(p, node);
    case NODE_PAREN: return check(p, node->u.paren);
    case NODE_NUMBER:
    case NODE_STRING:
    case NODE_DURATION: return true;
    }
    return true;
}

bool check_types(struct parser *p, const struct node *root)
{
    return check(p, root);
}
