/*
 * Selectors, and what may stand behind an expression:
 *
 *     name{label="value", "other.label"=~"regex"}   {"name", ...}
 *     [range]   [range:step]   offset duration   @ time   @ start()   @ end()   anchored   smoothed
 */
#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/number.h"
#include "query/parser.h"
#include "query/quote.h"

/* ---- matchers ---- */

struct matchers {
    struct matcher *items;
    size_t n, cap;
};

static bool is_match_op(enum token_type type, enum match_op *op)
{
    switch (type) {
    case TOKEN_EQL: *op = MATCH_EQUAL; return true;
    case TOKEN_NEQ: *op = MATCH_NOT_EQUAL; return true;
    case TOKEN_EQL_REGEX: *op = MATCH_REGEX; return true;
    case TOKEN_NEQ_REGEX: *op = MATCH_NOT_REGEX; return true;
    default: return false;
    }
}

/* The tree keeps the compiled expression. */
static bool compile(struct parser *p, struct matcher *m, uint32_t at)
{
    struct regex *regex;
    struct err err = {0};
    if (!regex_new(m->value, &regex, &err)) {
        parser_fail(p, at, "%s", err.text);
        p->err->code = err.code;
        return false;
    }
    struct ast *ast = p->ast;
    GROW(ast->regexes, ast->regexes_cap, ast->n_regexes + 1);
    ast->regexes[ast->n_regexes++] = regex;
    m->regex = regex;
    return true;
}

static bool add_matcher(struct parser *p, struct matchers *list, struct matcher m, uint32_t at)
{
    list->items = parser_grow(p, list->items, list->n, &list->cap, sizeof *list->items);
    if (!list->items)
        return false;
    if ((m.op == MATCH_REGEX || m.op == MATCH_NOT_REGEX) && !compile(p, &m, at))
        return false;
    list->items[list->n++] = m;
    return true;
}

/* name op "value", "name" op "value", or "name" alone: the metric's. */
static bool parse_matcher(struct parser *p, struct matchers *list)
{
    if (p->now.type != TOKEN_IDENTIFIER && p->now.type != TOKEN_STRING)
        return parser_unexpected(p, "label matching", "identifier or \"}\"");
    struct token name = parser_take(p);
    bool quoted = name.type == TOKEN_STRING;
    struct matcher m = {.op = MATCH_EQUAL, .name = name.text};
    if (quoted && !(m.name = unquote_text(name.text, p->arena)).ptr)
        return parser_full(p);
    if (!is_match_op(p->now.type, &m.op)) {
        if (!quoted)
            return parser_unexpected(p, "label matching", "label matching operator");
        m.value = m.name;
        m.name = SLICE(LABEL_METRIC_NAME);
        return add_matcher(p, list, m, name.start);
    }
    parser_take(p);
    if (p->now.type != TOKEN_STRING)
        return parser_unexpected(p, "label matching", "string");
    m.value = unquote_text(parser_take(p).text, p->arena);
    if (!m.value.ptr)
        return parser_full(p);
    return add_matcher(p, list, m, name.start);
}

static bool parse_matchers(struct parser *p, struct matchers *list)
{
    parser_take(p);
    while (!parser_accept(p, TOKEN_RIGHT_BRACE)) {
        if (!parse_matcher(p, list))
            return false;
        if (!parser_accept(p, TOKEN_COMMA) && p->now.type != TOKEN_RIGHT_BRACE)
            return parser_unexpected(p, "label matching", "\",\" or \"}\"");
    }
    return true;
}

struct node *parse_vector_selector(struct parser *p)
{
    struct matchers list = {0};
    struct node *node = parser_node(p, NODE_SELECTOR, VALUE_VECTOR, p->now.start);
    if (!node)
        return NULL;
    if (p->now.type != TOKEN_LEFT_BRACE)
        node->u.selector.name = parser_take(p).text;
    if (p->now.type == TOKEN_LEFT_BRACE && !parse_matchers(p, &list))
        return NULL;
    /* The name in front is the last matcher: parse_check.c relies on that. */
    struct matcher name = {
        .op = MATCH_EQUAL, .name = SLICE(LABEL_METRIC_NAME), .value = node->u.selector.name};
    if (name.value.len > 0 && !add_matcher(p, &list, name, node->start))
        return NULL;
    node->u.selector.matchers = list.items;
    node->u.selector.n_matchers = list.n;
    return parser_close(p, node, NULL, NULL);
}

/* ---- brackets ---- */

/* An expression with its modifiers: node, and whose time they set: the selector in a matrix. */
struct modified {
    struct node *node, *selector;
};

static struct when *when_of(const struct modified *m)
{
    if (m->node->type == NODE_SUBQUERY)
        return &m->node->u.subquery.when;
    return m->selector ? &m->selector->u.selector.when : NULL;
}

static bool may_have_range(struct parser *p, const struct node *node, uint32_t at)
{
    if (node->type != NODE_SELECTOR)
        return parser_fail(p, at, "ranges only allowed for vector selectors");
    const struct when *when = &node->u.selector.when;
    if (when->offset.ms != 0 || when->offset.expr)
        return parser_fail(p, at, "no offset modifiers allowed before range");
    if (when->at != AT_NONE)
        return parser_fail(p, at, "no @ modifiers allowed before range");
    return true;
}

static struct node *close_matrix(
    struct parser *p, const struct node *selector, const struct duration *range, uint32_t bracket)
{
    if (!parser_accept(p, TOKEN_RIGHT_BRACKET))
        return parser_unexpected(p, "subquery or range", "\":\" or \"]\"");
    if (!may_have_range(p, selector, bracket))
        return NULL;
    struct node *node = parser_node(p, NODE_MATRIX, VALUE_MATRIX, selector->start);
    if (!node)
        return NULL;
    node->u.matrix.selector = selector;
    node->u.matrix.range = *range;
    return parser_close(p, node, selector, range->expr);
}

static struct node *close_subquery(
    struct parser *p, const struct node *expr, const struct duration *range)
{
    struct node *node = parser_node(p, NODE_SUBQUERY, VALUE_MATRIX, expr->start);
    if (!node)
        return NULL;
    node->u.subquery.expr = expr;
    node->u.subquery.range = *range;
    p->context = "subquery selector";
    p->expected = "number, duration, step(), range(), or \"]\"";
    if (p->now.type != TOKEN_RIGHT_BRACKET && !parse_positive_duration(p, &node->u.subquery.step))
        return NULL;
    if (!parser_accept(p, TOKEN_RIGHT_BRACKET))
        return parser_unexpected(p, "subquery selector", "\"]\"");
    const struct node *step = node->u.subquery.step.expr;
    if (step && step->height >= node->height)
        node->height = step->height + 1;
    return parser_close(p, node, expr, range->expr);
}

static bool parse_brackets(struct parser *p, struct modified *m)
{
    const char *context = p->context, *expected = p->expected;
    uint32_t bracket = parser_take(p).start;
    struct duration range;
    p->context = "subquery or range selector";
    p->expected = "number, duration, step(), or range()";
    if (!parse_positive_duration(p, &range))
        return false;
    if (parser_accept(p, TOKEN_COLON)) {
        m->node = close_subquery(p, m->node, &range);
        m->selector = NULL;
    } else {
        m->node = close_matrix(p, m->node, &range, bracket);
    }
    p->context = context;
    p->expected = expected;
    return m->node;
}

/* ---- offset, @, anchored, smoothed ---- */

static bool parse_offset(struct parser *p, struct modified *m)
{
    parser_take(p);
    struct duration offset;
    if (!parse_offset_duration(p, &offset))
        return false;
    struct when *when = when_of(m);
    if (!when)
        return parser_fail(p, m->node->start,
            "offset modifier must be preceded by an instant vector selector or range vector "
            "selector "
            "or a subquery");
    if (when->offset.ms != 0 || when->offset.expr)
        return parser_fail(p, m->node->start, "offset may not be set multiple times");
    when->offset = offset;
    return parser_close(p, m->node, offset.expr, NULL);
}

/* A time in seconds, or start() or end(). */
static bool parse_at_time(struct parser *p, double *seconds, enum at_kind *kind)
{
    if (p->now.type == TOKEN_START || p->now.type == TOKEN_END) {
        *kind = parser_take(p).type == TOKEN_START ? AT_START : AT_END;
        *seconds = 0;
        return parser_expect(p, TOKEN_LEFT_PAREN) && parser_expect(p, TOKEN_RIGHT_PAREN);
    }
    *kind = AT_TIME;
    return parse_signed_number(p, seconds);
}

static bool out_of_bounds(struct parser *p, const struct node *node, double seconds)
{
    char text[NUMBER_MAX];
    if (isfinite(seconds))
        snprintf(text, sizeof text, "%f", seconds);
    else
        number_format_f(seconds, text);
    return parser_fail(p, node->start, "timestamp out of bounds for @ modifier: %s", text);
}

static bool parse_at(struct parser *p, struct modified *m)
{
    const char *context = p->context, *expected = p->expected;
    double seconds;
    enum at_kind kind;
    parser_take(p);
    p->context = "@";
    p->expected = "timestamp";
    if (!parse_at_time(p, &seconds, &kind))
        return false;
    p->context = context;
    p->expected = expected;
    /* Written so that NaN fails too. */
    if (!(fabs(seconds) < 9223372036854775.0))
        return out_of_bounds(p, m->node, seconds);
    struct when *when = when_of(m);
    if (!when)
        return parser_fail(p, m->node->start,
            "@ modifier must be preceded by an instant vector selector or range vector selector or "
            "a "
            "subquery");
    if (when->at != AT_NONE)
        return parser_fail(p, m->node->start, "@ <timestamp> may not be set multiple times");
    when->at = kind;
    when->at_ms = kind == AT_TIME ? llround(seconds * 1000) : 0;
    return parser_close(p, m->node, NULL, NULL);
}

static bool parse_extend(struct parser *p, struct modified *m)
{
    bool anchored = parser_take(p).type == TOKEN_ANCHORED;
    const char *name = anchored ? "anchored" : "smoothed";
    enum range_extend extend = anchored ? EXTEND_ANCHORED : EXTEND_SMOOTHED;
    if (m->node->type == NODE_SUBQUERY)
        return parser_fail(p, m->node->start, "%s modifier is not supported for subqueries", name);
    if (!m->selector)
        return parser_fail(p, m->node->start, "%s modifier not implemented", name);
    enum range_extend *set = &m->selector->u.selector.extend;
    if (*set != EXTEND_NONE && *set != extend)
        return parser_fail(
            p, m->node->start, "anchored and smoothed modifiers cannot be used together");
    *set = extend;
    return parser_close(p, m->node, NULL, NULL);
}

struct node *parse_modifiers(struct parser *p, struct node *node)
{
    struct modified m = {node, node->type == NODE_SELECTOR ? node : NULL};
    for (;;) {
        bool ok;
        switch (p->now.type) {
        case TOKEN_LEFT_BRACKET: ok = parse_brackets(p, &m); break;
        case TOKEN_OFFSET: ok = parse_offset(p, &m); break;
        case TOKEN_AT: ok = parse_at(p, &m); break;
        case TOKEN_ANCHORED:
        case TOKEN_SMOOTHED: ok = parse_extend(p, &m); break;
        default: return m.node;
        }
        if (!ok)
            return NULL;
    }
}
