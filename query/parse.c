/*
 * Entry points, and the rules of expressions: binary and unary operators, parentheses, literals.
 *
 * Precedence, from low to high; ^ is right-associative, and a sign binds as * does, so that -1 ^ 2
 * is
 * -(1 ^ 2):
 *
 *     or | and unless | == != <= < >= > </ >/ | + - | * / % atan2 | ^ | modifiers: [] offset @
 */
#include "query/parse.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "query/parser.h"
#include "query/quote.h"

static void place_error(struct parser *p, uint32_t at)
{
    int line, col;
    text_place(p->ast->text, at, &line, &col);
    err_at(p->err, NULL, line, col);
}

void *parser_fail(struct parser *p, uint32_t at, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    err_set(p->err, ERR_INVALID, "parse error: %s", text);
    place_error(p, at);
    return NULL;
}

void *parser_unexpected(struct parser *p, const char *context, const char *expected)
{
    if (p->now.type == TOKEN_ERROR)
        return parser_fail(p, p->now.start, "%s", p->lexer.message);
    if (!context) {
        context = p->context;
        expected = p->expected;
    }
    struct buf token;
    buf_init(&token, 256);
    token_describe(&p->now, &token);
    parser_fail(p, p->now.start, "unexpected %s%s%s%s%s", buf_cstr(&token), context ? " in " : "",
        context ? context : "", expected ? ", expected " : "", expected ? expected : "");
    buf_fini(&token);
    return NULL;
}

void *parser_full(struct parser *p)
{
    err_set(p->err, ERR_LIMIT, "the query needs more than the %zu bytes allowed for its tree",
        p->arena->limit_bytes);
    return NULL;
}

struct token parser_take(struct parser *p)
{
    struct token token = p->now;
    p->last_end = token.start + (uint32_t)token.text.len;
    p->now = p->next;
    /* Behind the end, and behind an error, the lexer repeats itself. */
    if (p->now.type != TOKEN_EOF)
        p->next = lexer_next(&p->lexer);
    return token;
}

bool parser_accept(struct parser *p, enum token_type type)
{
    if (p->now.type != type)
        return false;
    parser_take(p);
    return true;
}

bool parser_expect(struct parser *p, enum token_type type)
{
    if (parser_accept(p, type))
        return true;
    parser_unexpected(p, NULL, NULL);
    return false;
}

struct node *parser_node(
    struct parser *p, enum node_type type, enum value_type value, uint32_t start)
{
    struct node *node = arena_zalloc(p->arena, sizeof *node);
    if (!node)
        return parser_full(p);
    node->type = type;
    node->value = value;
    node->start = start;
    node->end = p->last_end;
    node->height = 1;
    return node;
}

static struct node *too_deep(struct parser *p, uint32_t at)
{
    return parser_fail(
        p, at, "the query is nested too deeply: more than %d levels", PARSE_DEPTH_MAX);
}

struct node *parser_close(
    struct parser *p, struct node *node, const struct node *a, const struct node *b)
{
    node->end = p->last_end;
    if (a && a->height >= node->height)
        node->height = a->height + 1;
    if (b && b->height >= node->height)
        node->height = b->height + 1;
    return node->height > PARSE_DEPTH_MAX ? too_deep(p, node->start) : node;
}

bool parser_enter(struct parser *p)
{
    if (p->depth >= PARSE_DEPTH_MAX)
        return too_deep(p, p->now.start);
    p->depth++;
    return true;
}

void *parser_grow(struct parser *p, void *array, size_t n, size_t *cap, size_t elem_size)
{
    if (n < *cap)
        return array;
    size_t more = *cap ? *cap * 2 : 4;
    void *fresh = arena_array(p->arena, more, elem_size);
    if (!fresh)
        return parser_full(p);
    if (n)
        memcpy(fresh, array, n * elem_size);
    *cap = more;
    return fresh;
}

/* ---- operators ---- */

enum { PREC_NONE, PREC_OR, PREC_AND, PREC_COMPARE, PREC_ADD, PREC_MUL, PREC_POW };

static int precedence(enum token_type type)
{
    switch (type) {
    case TOKEN_OR: return PREC_OR;
    case TOKEN_AND:
    case TOKEN_UNLESS: return PREC_AND;
    case TOKEN_EQLC:
    case TOKEN_NEQ:
    case TOKEN_LSS:
    case TOKEN_LTE:
    case TOKEN_GTR:
    case TOKEN_GTE:
    case TOKEN_TRIM_UPPER:
    case TOKEN_TRIM_LOWER: return PREC_COMPARE;
    case TOKEN_ADD:
    case TOKEN_SUB: return PREC_ADD;
    case TOKEN_MUL:
    case TOKEN_DIV:
    case TOKEN_MOD:
    case TOKEN_ATAN2: return PREC_MUL;
    case TOKEN_POW: return PREC_POW;
    default: return PREC_NONE;
    }
}

static enum binary_op binary_op_of(enum token_type type)
{
    switch (type) {
    case TOKEN_OR: return OP_OR;
    case TOKEN_AND: return OP_AND;
    case TOKEN_UNLESS: return OP_UNLESS;
    case TOKEN_EQLC: return OP_EQ;
    case TOKEN_NEQ: return OP_NE;
    case TOKEN_LSS: return OP_LT;
    case TOKEN_LTE: return OP_LE;
    case TOKEN_GTR: return OP_GT;
    case TOKEN_GTE: return OP_GE;
    case TOKEN_TRIM_UPPER: return OP_TRIM_UPPER;
    case TOKEN_TRIM_LOWER: return OP_TRIM_LOWER;
    case TOKEN_ADD: return OP_ADD;
    case TOKEN_SUB: return OP_SUB;
    case TOKEN_MUL: return OP_MUL;
    case TOKEN_DIV: return OP_DIV;
    case TOKEN_MOD: return OP_MOD;
    case TOKEN_ATAN2: return OP_ATAN2;
    default: return OP_POW;
    }
}

/* Set operators match many to many. Between operands of which one is a scalar nothing is matched,
 * so an empty on() or group_left there is dropped; parse_check.c refuses the rest. */
static void settle_matching(struct node *node)
{
    if (binary_op_is_set(node->u.binary.op) && node->u.binary.card == CARD_ONE_TO_ONE)
        node->u.binary.card = CARD_MANY_TO_MANY;
    bool vectors =
        node->u.binary.lhs->value == VALUE_VECTOR && node->u.binary.rhs->value == VALUE_VECTOR;
    if (!vectors && node->u.binary.n_labels == 0) {
        node->u.binary.matching = node->u.binary.on = false;
        node->u.binary.card = CARD_ONE_TO_ONE;
        node->u.binary.n_include = 0;
    }
}

static struct node *parse_binary(struct parser *p, int least);

static struct node *parse_operator(struct parser *p, struct node *lhs, int level)
{
    struct node *node = parser_node(p, NODE_BINARY, VALUE_VECTOR, lhs->start);
    if (!node)
        return NULL;
    node->u.binary.op = binary_op_of(parser_take(p).type);
    if (!parse_matching(p, node))
        return NULL;
    struct node *rhs = parse_binary(p, level == PREC_POW ? level : level + 1);
    if (!rhs)
        return NULL;
    node->u.binary.lhs = lhs;
    node->u.binary.rhs = rhs;
    if (lhs->value == VALUE_SCALAR && rhs->value == VALUE_SCALAR)
        node->value = VALUE_SCALAR;
    settle_matching(node);
    return parser_close(p, node, lhs, rhs);
}

static struct node *parse_paren(struct parser *p)
{
    uint32_t start = parser_take(p).start;
    struct node *inner = parse_expr(p);
    if (!inner || !parser_expect(p, TOKEN_RIGHT_PAREN))
        return NULL;
    struct node *node = parser_node(p, NODE_PAREN, inner->value, start);
    if (!node)
        return NULL;
    node->u.paren = inner;
    return parser_close(p, node, inner, NULL);
}

static struct node *parse_string(struct parser *p)
{
    struct token token = parser_take(p);
    struct node *node = parser_node(p, NODE_STRING, VALUE_STRING, token.start);
    if (!node)
        return NULL;
    node->u.string = unquote_text(token.text, p->arena);
    return node->u.string.ptr ? node : parser_full(p);
}

/* Names of aggregations and functions are metrics where nothing that calls them follows. */
static struct node *parse_primary(struct parser *p)
{
    enum token_type type = p->now.type, next = p->next.type;
    bool called = next == TOKEN_LEFT_PAREN;
    if (type == TOKEN_LEFT_PAREN)
        return parse_paren(p);
    if (type == TOKEN_STRING)
        return parse_string(p);
    if (parser_is_number(p))
        return parse_number_node(p);
    if (token_is_aggregator(type) && (called || next == TOKEN_BY || next == TOKEN_WITHOUT))
        return parse_aggregate(p);
    if (called && (type == TOKEN_IDENTIFIER || token_is_context(type)))
        return parse_call(p);
    if (type == TOKEN_LEFT_BRACE || token_is_metric(type))
        return parse_vector_selector(p);
    return parser_unexpected(p, NULL, NULL);
}

/* A sign in front of a number belongs to the number. */
static struct node *parse_sign(struct parser *p)
{
    struct token sign = parser_take(p);
    struct node *operand = parse_binary(p, PREC_MUL + 1);
    if (!operand)
        return NULL;
    if (operand->type == NODE_NUMBER) {
        if (sign.type == TOKEN_SUB)
            operand->u.number.v = -operand->u.number.v;
        operand->start = sign.start;
        return operand;
    }
    struct node *node = parser_node(p, NODE_UNARY, operand->value, sign.start);
    if (!node)
        return NULL;
    node->u.unary.minus = sign.type == TOKEN_SUB;
    node->u.unary.expr = operand;
    return parser_close(p, node, operand, NULL);
}

static struct node *parse_operand(struct parser *p)
{
    if (p->now.type == TOKEN_ADD || p->now.type == TOKEN_SUB)
        return parse_sign(p);
    struct node *node = parse_primary(p);
    return node ? parse_modifiers(p, node) : NULL;
}

/* An expression of operators that bind at least as strongly as `least`. */
static struct node *parse_binary(struct parser *p, int least)
{
    if (!parser_enter(p))
        return NULL;
    struct node *node = parse_operand(p);
    while (node) {
        int level = precedence(p->now.type);
        if (level == PREC_NONE || level < least)
            break;
        node = parse_operator(p, node, level);
    }
    p->depth--;
    return node;
}

struct node *parse_expr(struct parser *p)
{
    return parse_binary(p, PREC_OR);
}

/* ---- entry points ---- */

static bool begin(
    struct parser *p, struct slice text, struct arena *arena, struct ast *out, struct err *err)
{
    *out = (struct ast){0};
    *p = (struct parser){.arena = arena, .ast = out, .err = err};
    if (text.len > PARSE_TEXT_MAX)
        return err_set(err, ERR_INVALID, "the query has %zu bytes, at most %u are allowed",
            text.len, PARSE_TEXT_MAX);
    out->text = arena_slice(arena, text);
    if (!out->text.ptr)
        return parser_full(p);
    lexer_init(&p->lexer, out->text);
    p->now = lexer_next(&p->lexer);
    p->next = lexer_next(&p->lexer);
    return true;
}

/* Everything must be read; types are checked when that is so. */
static bool finish(struct parser *p, const struct node *root)
{
    if (root && p->now.type != TOKEN_EOF)
        root = parser_unexpected(p, NULL, NULL);
    if (root && check_types(p, root)) {
        p->ast->root = root;
        return true;
    }
    ast_free(p->ast);
    return false;
}

bool parse_query(struct slice text, struct arena *arena, struct ast *out, struct err *err)
{
    struct parser p;
    if (!begin(&p, text, arena, out, err))
        return false;
    if (p.now.type == TOKEN_EOF)
        return finish(&p, parser_fail(&p, 0, "no expression found in input"));
    return finish(&p, parse_expr(&p));
}

static bool selects_something(const struct node *selector)
{
    for (size_t i = 0; i < selector->u.selector.n_matchers; i++)
        if (!matcher_matches(&selector->u.selector.matchers[i], SLICE("")))
            return true;
    return false;
}

bool parse_selector(struct slice text, struct arena *arena, struct ast *out, struct err *err)
{
    struct parser p;
    if (!begin(&p, text, arena, out, err))
        return false;
    const struct node *root = NULL;
    if (p.now.type == TOKEN_LEFT_BRACE || token_is_metric(p.now.type))
        root = parse_vector_selector(&p);
    else
        parser_unexpected(&p, NULL, NULL);
    if (root && p.now.type == TOKEN_EOF && !selects_something(root)) {
        err_set(err, ERR_INVALID, "match[] must contain at least one non-empty matcher");
        root = NULL;
    }
    return finish(&p, root);
}
