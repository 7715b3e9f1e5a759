#include "ingest/expr_build.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/nearest.h"
#include "ingest/expr_node.h"

const struct expr *build_fail(struct expr_build *b, size_t at, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    err_set(b->err, ERR_INVALID, "%s", text);
    err_at(b->err, b->file, b->line, b->col + (int)at);
    return NULL;
}

static const char *type_name(enum expr_type type)
{
    static const char *const names[] = {"a condition", "a number", "a string", "a time"};
    return names[type];
}

static struct expr *node_new(struct expr_build *b, enum expr_op op, enum expr_type type, size_t at)
{
    struct expr *node = arena_zalloc(b->arena, sizeof *node);
    if (!node) {
        build_fail(b, at, "the config is too large");
        return NULL;
    }
    node->op = op;
    node->type = type;
    node->at = at;
    node->field = -1;
    node->depth = 1;
    return node;
}

static const struct expr *node_join(
    struct expr_build *b, struct expr *node, const struct expr *left, const struct expr *right)
{
    if (!node)
        return NULL;
    node->left = left;
    node->right = right;
    node->depth = 1 + (right && right->depth > left->depth ? right->depth : left->depth);
    if (node->test && node->test->depth >= node->depth)
        node->depth = 1 + node->test->depth;
    if (node->depth > EXPR_DEPTH_MAX)
        return build_fail(
            b, node->at, "the expression is nested too deeply: at most %d levels", EXPR_DEPTH_MAX);
    node->range = expr_range_of(node);
    return node;
}

/* Both sides get the digits of the larger. */
static int align(struct expr *node, const struct expr *left, const struct expr *right)
{
    int digits = left->digits > right->digits ? left->digits : right->digits;
    node->shift_left = digits - left->digits;
    node->shift_right = digits - right->digits;
    return digits;
}

const struct expr *build_arithmetic(
    struct expr_build *b, struct token sign, const struct expr *left, const struct expr *right)
{
    if (sign.kind == TOKEN_MINUS && left->type == EXPR_TIME && right->type == EXPR_TIME) {
        struct expr *node = node_new(b, OP_SUBTRACT, EXPR_NUMBER, left->at);
        if (node)
            node->digits = 3; /* milliseconds are seconds with three digits */
        return node_join(b, node, left, right);
    }
    const struct expr *wrong = left->type != EXPR_NUMBER ? left : right;
    if (wrong->type == EXPR_TIME)
        return build_fail(b, wrong->at, "a time can only be compared, or subtracted from a time");
    if (wrong->type != EXPR_NUMBER)
        return build_fail(b, wrong->at, "'%s' needs a number, this is %s", token_name(sign.kind),
            type_name(wrong->type));
    struct expr *node = node_new(b, OP_ADD, EXPR_NUMBER, left->at);
    if (!node)
        return NULL;
    int sum = left->digits + right->digits;
    switch (sign.kind) {
    case TOKEN_STAR:
        node->op = OP_MULTIPLY;
        node->digits = sum < DIGITS_MAX ? sum : DIGITS_MAX;
        node->shift_left = sum - node->digits;
        break;
    case TOKEN_SLASH:
        node->op = OP_DIVIDE;
        node->digits = left->digits + 6 < DIGITS_MAX ? left->digits + 6 : DIGITS_MAX;
        node->shift_left = node->digits - left->digits + right->digits;
        break;
    default:
        node->op = sign.kind == TOKEN_PLUS ? OP_ADD : OP_SUBTRACT;
        node->digits = align(node, left, right);
    }
    return node_join(b, node, left, right);
}

/* A string that the contract does not allow would make the condition false for ever. */
static bool check_allowed(
    struct expr_build *b, const struct expr *side, struct slice text, size_t at)
{
    if (side->op != OP_FIELD || side->type != EXPR_STRING)
        return true;
    const struct field *field = &b->contract->fields[side->field];
    for (size_t i = 0; i < field->n_allowed; i++)
        if (slice_eq(field->allowed[i], text))
            return true;
    if (field->n_allowed == 0)
        return true;
    int near = nearest_find(text, field->allowed, field->n_allowed);
    if (near >= 0)
        build_fail(b, at, "'%.*s' is never \"%.*s\" by its contract, did you mean \"%.*s\"?",
            SLICE_FMT(field->name), SLICE_FMT(text), SLICE_FMT(field->allowed[near]));
    else
        build_fail(b, at, "'%.*s' is never \"%.*s\" by its contract: see its allowed values",
            SLICE_FMT(field->name), SLICE_FMT(text));
    return false;
}

const struct expr *build_comparison(
    struct expr_build *b, struct token sign, const struct expr *left, const struct expr *right)
{
    static const enum expr_op ops[] = {[TOKEN_EQ] = OP_EQ,
        [TOKEN_NE] = OP_NE,
        [TOKEN_LT] = OP_LT,
        [TOKEN_LE] = OP_LE,
        [TOKEN_GT] = OP_GT,
        [TOKEN_GE] = OP_GE};
    if (left->type != right->type)
        return build_fail(
            b, sign.at, "cannot compare %s with %s", type_name(left->type), type_name(right->type));
    bool ordered = sign.kind != TOKEN_EQ && sign.kind != TOKEN_NE;
    if (ordered && (left->type == EXPR_STRING || left->type == EXPR_BOOL))
        return build_fail(b, sign.at, "%s has no order: use '==', '!=' or 'in'",
            left->type == EXPR_STRING ? "a string" : "a condition");
    if (right->op == OP_LITERAL && !check_allowed(b, left, right->literal.str, right->at))
        return NULL;
    if (left->op == OP_LITERAL && !check_allowed(b, right, left->literal.str, left->at))
        return NULL;
    struct expr *node = node_new(b, ops[sign.kind], EXPR_BOOL, left->at);
    if (!node)
        return NULL;
    align(node, left, right);
    if (node->op == OP_EQ && left->type == EXPR_STRING && left->op == OP_FIELD &&
        right->op == OP_LITERAL) {
        node->op = OP_IS;
        node->field = left->field;
        node->literal = right->literal;
    }
    return node_join(b, node, left, right);
}

const struct expr *build_logic(
    struct expr_build *b, struct token word, const struct expr *left, const struct expr *right)
{
    const struct expr *wrong = left->type != EXPR_BOOL ? left : right;
    if (wrong && wrong->type != EXPR_BOOL)
        return build_fail(b, wrong->at, "'%s' needs a condition, this is %s", token_name(word.kind),
            type_name(wrong->type));
    enum expr_op op = word.kind == TOKEN_AND ? OP_AND : word.kind == TOKEN_OR ? OP_OR : OP_NOT;
    return node_join(b, node_new(b, op, EXPR_BOOL, right ? left->at : word.at), left, right);
}

const struct expr *build_if(struct expr_build *b, size_t at, const struct expr *test,
    const struct expr *left, const struct expr *right)
{
    if (test->type != EXPR_BOOL)
        return build_fail(b, test->at, "'if' needs a condition, this is %s", type_name(test->type));
    if (left->type != right->type)
        return build_fail(b, right->at, "both sides of 'if' must be of one type: %s, and %s",
            type_name(left->type), type_name(right->type));
    struct expr *node = node_new(b, OP_IF, left->type, at);
    if (!node)
        return NULL;
    node->test = test;
    node->digits = align(node, left, right);
    return node_join(b, node, left, right);
}

static const struct expr *unknown_field(struct expr_build *b, struct token name)
{
    struct slice names[FIELDS_MAX];
    for (size_t i = 0; i < b->contract->n_fields; i++)
        names[i] = b->contract->fields[i].name;
    int near = nearest_find(name.text, names, b->contract->n_fields);
    if (near >= 0)
        return build_fail(b, name.at, "unknown field '%.*s', did you mean '%.*s'?",
            SLICE_FMT(name.text), SLICE_FMT(names[near]));
    return build_fail(b, name.at, "unknown field '%.*s' in stream '%.*s'", SLICE_FMT(name.text),
        SLICE_FMT(b->contract->stream));
}

/* Labels show their values to everybody, and each new value is a new series. */
static bool check_label(struct expr_build *b, int i, size_t at)
{
    const struct field *field = &b->contract->fields[i];
    const char *why = field->personal              ? "personal data"
                      : i == b->contract->event_id ? "the event id, new for every event"
                      : field->unbounded           ? "unbounded"
                                                   : NULL;
    if (b->label && why)
        build_fail(b, at, "'%.*s' is never a label: it is %s", SLICE_FMT(field->name), why);
    return !b->label || !why;
}

const struct expr *build_field(struct expr_build *b, struct token name)
{
    static const enum expr_type types[] = {[FIELD_STRING] = EXPR_STRING,
        [FIELD_INT] = EXPR_NUMBER,
        [FIELD_DECIMAL] = EXPR_NUMBER,
        [FIELD_TIME] = EXPR_TIME,
        [FIELD_BOOL] = EXPR_BOOL};
    size_t i = 0;
    while (i < b->contract->n_fields && !slice_eq(b->contract->fields[i].name, name.text))
        i++;
    if (i == b->contract->n_fields)
        return unknown_field(b, name);
    if (!check_label(b, (int)i, name.at))
        return NULL;
    const struct field *field = &b->contract->fields[i];
    struct expr *node = node_new(b, OP_FIELD, types[field->type], name.at);
    if (!node)
        return NULL;
    node->field = (int)i;
    if (node->type == EXPR_NUMBER) {
        node->digits = field->type == FIELD_DECIMAL ? field->digits : 0;
        node->range = (struct expr_range){field->has_min, field->has_max, field->min, field->max};
    }
    return node;
}

/* Copies the text, dropping the backslashes: only quotes and backslashes are escaped. */
static bool unquote(struct expr_build *b, struct token token, struct slice *out)
{
    char *to = arena_alloc(b->arena, token.text.len + 1);
    if (!to) {
        build_fail(b, token.at, "the config is too large");
        return false;
    }
    if (token.text.len > FIELD_STRING_MAX) {
        build_fail(b, token.at, "a string has at most %d bytes", FIELD_STRING_MAX);
        return false;
    }
    size_t n = 0;
    for (size_t i = 0; i < token.text.len; i++) {
        char c = token.text.ptr[i];
        if (c == '\\') {
            c = token.text.ptr[++i]; /* the lexer has made sure that there is one */
            if (c != '\\' && c != '"' && c != '\'') {
                build_fail(
                    b, token.at + i, "only quotes and backslashes are escaped with a backslash");
                return false;
            }
        }
        to[n++] = c;
    }
    *out = slice_of(to, n);
    return true;
}

const struct expr *build_literal(struct expr_build *b, struct token token, bool negative)
{
    enum expr_type type = token.kind == TOKEN_STRING   ? EXPR_STRING
                          : token.kind == TOKEN_NUMBER ? EXPR_NUMBER
                                                       : EXPR_BOOL;
    struct expr *node = node_new(b, OP_LITERAL, type, token.at);
    if (!node)
        return NULL;
    node->literal.present = true;
    if (type == EXPR_STRING && !unquote(b, token, &node->literal.str))
        return NULL;
    if (type == EXPR_BOOL)
        node->literal.num = token.kind == TOKEN_TRUE;
    if (type == EXPR_NUMBER) {
        int64_t num = negative ? -token.num : token.num;
        node->literal.num = num;
        node->digits = token.digits;
        node->range = (struct expr_range){true, true, num, num};
    }
    return node;
}

const struct expr *build_negative(struct expr_build *b, size_t at, const struct expr *of)
{
    if (of->type != EXPR_NUMBER)
        return build_fail(b, of->at, "'-' needs a number, this is %s", type_name(of->type));
    struct expr *node = node_new(b, OP_NEGATE, EXPR_NUMBER, at);
    if (node)
        node->digits = of->digits;
    return node_join(b, node, of, NULL);
}

/* The literal as left has its values. */
static bool build_item(struct expr_build *b, const struct expr *left, const struct expr *literal,
    struct field_value *out)
{
    if (literal->type != left->type) {
        build_fail(b, literal->at, "the list holds %s, the left side is %s",
            type_name(literal->type), type_name(left->type));
        return false;
    }
    *out = literal->literal;
    if (left->type == EXPR_STRING)
        return check_allowed(b, left, out->str, literal->at);
    int shift = left->digits - literal->digits;
    for (; shift < 0 && out->num % 10 == 0; shift++)
        out->num /= 10; /* 7.0 is 7 */
    if (shift >= 0 && !__builtin_mul_overflow(out->num, pow10_int(shift), &out->num))
        return true;
    build_fail(
        b, literal->at, "the left side has %d digits and is never this number", left->digits);
    return false;
}

const struct expr *build_in(
    struct expr_build *b, const struct expr *left, const struct expr *const *literals, size_t n)
{
    if (left->type != EXPR_STRING && left->type != EXPR_NUMBER)
        return build_fail(
            b, left->at, "'in' needs a string or a number, this is %s", type_name(left->type));
    struct expr *node = node_new(b, OP_IN, EXPR_BOOL, left->at);
    struct field_value *items = node ? arena_array(b->arena, n, sizeof *items) : NULL;
    if (!items)
        return node ? build_fail(b, left->at, "the config is too large") : NULL;
    for (size_t i = 0; i < n; i++)
        if (!build_item(b, left, literals[i], &items[i]))
            return NULL;
    node->items = items;
    node->n_items = n;
    return node_join(b, node, left, NULL);
}
