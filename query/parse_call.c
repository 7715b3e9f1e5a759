/*
 * Calls: aggregations, with by or without in front of their arguments or behind them, and
 * functions.
 */
#include "query/parser.h"

struct arguments {
    struct node **items;
    size_t n, cap;
};

/* The node's height is over all arguments; parser_close looks at it afterwards. */
static void measure(struct node *node, const struct arguments *args)
{
    for (size_t i = 0; i < args->n; i++)
        if (args->items[i]->height >= node->height)
            node->height = args->items[i]->height + 1;
}

static bool parse_argument(struct parser *p, struct arguments *args)
{
    struct node *arg = parse_expr(p);
    if (!arg)
        return false;
    args->items = parser_grow(p, args->items, args->n, &args->cap, sizeof(struct node *));
    if (!args->items)
        return false;
    args->items[args->n++] = arg;
    return true;
}

/* ( ) or (a, b): Prometheus allows no comma at the end here. */
static bool parse_arguments(struct parser *p, struct arguments *args)
{
    *args = (struct arguments){0};
    if (!parser_expect(p, TOKEN_LEFT_PAREN))
        return false;
    if (parser_accept(p, TOKEN_RIGHT_PAREN))
        return true;
    for (;;) {
        if (!parse_argument(p, args))
            return false;
        uint32_t at = p->now.start;
        if (parser_accept(p, TOKEN_RIGHT_PAREN))
            return true;
        if (!parser_expect(p, TOKEN_COMMA))
            return false;
        if (p->now.type == TOKEN_RIGHT_PAREN)
            return parser_fail(p, at, "trailing commas not allowed in function call args");
    }
}

/* ---- aggregations ---- */

static bool parse_by_or_without(struct parser *p, struct node *node)
{
    if (p->now.type != TOKEN_BY && p->now.type != TOKEN_WITHOUT)
        return true;
    node->u.aggregate.without = parser_take(p).type == TOKEN_WITHOUT;
    node->u.aggregate.grouped = true;
    return parse_grouping(p, &node->u.aggregate.labels, &node->u.aggregate.n_labels);
}

static bool set_operands(struct parser *p, struct node *node, const struct arguments *args)
{
    size_t want = aggregate_op_has_param(node->u.aggregate.op) ? 2 : 1;
    if (args->n == 0)
        return parser_fail(p, node->start, "no arguments for aggregate expression provided");
    if (args->n != want)
        return parser_fail(p, node->start,
            "wrong number of arguments for aggregate expression provided, expected %zu, got %zu",
            want, args->n);
    node->u.aggregate.expr = args->items[want - 1];
    node->u.aggregate.param = want == 2 ? args->items[0] : NULL;
    return true;
}

static bool parse_aggregate_body(struct parser *p, struct node *node)
{
    struct arguments args;
    if (!parse_by_or_without(p, node) || !parse_arguments(p, &args))
        return false;
    if (!node->u.aggregate.grouped && !parse_by_or_without(p, node))
        return false;
    measure(node, &args);
    return set_operands(p, node, &args);
}

struct node *parse_aggregate(struct parser *p)
{
    const char *context = p->context, *expected = p->expected;
    struct token name = parser_take(p);
    struct node *node = parser_node(p, NODE_AGGREGATE, VALUE_VECTOR, name.start);
    if (!node)
        return NULL;
    node->u.aggregate.op = (enum aggregate_op)(name.type - TOKEN_SUM + AGG_SUM);
    p->context = "aggregation";
    p->expected = NULL;
    if (!parse_aggregate_body(p, node))
        return NULL;
    p->context = context;
    p->expected = expected;
    return parser_close(p, node, NULL, NULL);
}

/* ---- functions ---- */

struct node *parse_call(struct parser *p)
{
    struct token name = parser_take(p);
    struct arguments args;
    if (!parse_arguments(p, &args))
        return NULL;
    const struct function *function = function_find(name.text);
    if (!function)
        return parser_fail(
            p, name.start, "unknown function with name \"%.*s\"", SLICE_FMT(name.text));
    struct node *node = parser_node(p, NODE_CALL, function->result, name.start);
    if (!node)
        return NULL;
    node->u.call.function = function;
    node->u.call.name = name.text;
    node->u.call.args = (const struct node *const *)args.items;
    node->u.call.n_args = args.n;
    measure(node, &args);
    return parser_close(p, node, NULL, NULL);
}
