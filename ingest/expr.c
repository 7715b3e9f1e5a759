/*
 * The parser: recursive descent, one function for each level of precedence, types checked as nodes
 * are made.
 *
 *     or      := and ("or" and)*
 *     and     := not ("and" not)*
 *     not     := "not" not | compare
 *     compare := sum (("==" | "!=" | "<" | "<=" | ">" | ">=") sum | "not"? "in" list)?
 *     list    := "[" literal ("," literal)* "]"
 *     sum     := term (("+" | "-") term)*
 *     term    := unary (("*" | "/") unary)*
 *     unary   := "-" unary | field | number | string | "true" | "false" | "(" or ")"
 *              | "if" "(" or "," or "," or ")"
 *
 * Every function returns NULL after the first error. The parser's own recursion and the tree's
 * depth are both bounded by EXPR_DEPTH_MAX.
 */
#include "ingest/expr.h"

#include "ingest/expr_build.h"

#define LIST_MAX 1024

struct parser {
    struct expr_lexer lexer;
    struct token token; /* the next one */
    int nesting;
    struct expr_build build;
};

typedef const struct expr *parse_f(struct parser *p);

static const struct expr *parse_or(struct parser *p);

static bool advance(struct parser *p)
{
    const char *why = NULL;
    if (expr_lex(&p->lexer, &p->token, &why))
        return true;
    build_fail(&p->build, p->token.at, "%s", why);
    return false;
}

static const struct expr *parse_group(struct parser *p)
{
    const struct expr *inner = NULL;
    if (advance(p))
        inner = parse_or(p);
    if (inner && p->token.kind != TOKEN_CLOSE)
        return build_fail(&p->build, p->token.at, "expected ')'");
    if (inner && !advance(p))
        return NULL;
    return inner;
}

static bool expect(struct parser *p, enum token_kind kind)
{
    if (p->token.kind == kind)
        return advance(p);
    build_fail(&p->build, p->token.at, "expected '%s'", token_name(kind));
    return false;
}

static const struct expr *parse_if(struct parser *p)
{
    const struct expr *parts[3];
    size_t at = p->token.at;
    if (!advance(p) || !expect(p, TOKEN_OPEN))
        return NULL;
    for (int i = 0; i < 3; i++) {
        parts[i] = parse_or(p);
        if (!parts[i] || !expect(p, i < 2 ? TOKEN_COMMA : TOKEN_CLOSE))
            return NULL;
    }
    return build_if(&p->build, at, parts[0], parts[1], parts[2]);
}

static const struct expr *parse_unary(struct parser *p);

static const struct expr *parse_negative(struct parser *p)
{
    struct token minus = p->token;
    if (!advance(p))
        return NULL;
    const struct expr *of = parse_unary(p);
    if (!of)
        return NULL;
    return build_negative(&p->build, minus.at, of);
}

static const struct expr *parse_leaf(struct parser *p)
{
    struct token token = p->token;
    switch (token.kind) {
    case TOKEN_MINUS: return parse_negative(p);
    case TOKEN_OPEN: return parse_group(p);
    case TOKEN_IF: return parse_if(p);
    case TOKEN_NAME: return advance(p) ? build_field(&p->build, token) : NULL;
    case TOKEN_NUMBER:
    case TOKEN_STRING:
    case TOKEN_TRUE:
    case TOKEN_FALSE: return advance(p) ? build_literal(&p->build, token, false) : NULL;
    default:
        return build_fail(&p->build, token.at, "expected a field, a number or a string, not %s%s%s",
            token.kind == TOKEN_END ? "" : "'", token_name(token.kind),
            token.kind == TOKEN_END ? "" : "'");
    }
}

/* All recursion of the grammar passes here or through parse_not. */
static const struct expr *nested(struct parser *p, parse_f *parse)
{
    if (p->nesting == EXPR_DEPTH_MAX)
        return build_fail(&p->build, p->token.at,
            "the expression is nested too deeply: at most %d levels", EXPR_DEPTH_MAX);
    p->nesting++;
    const struct expr *node = parse(p);
    p->nesting--;
    return node;
}

static const struct expr *parse_unary(struct parser *p)
{
    return nested(p, parse_leaf);
}

static const struct expr *parse_term(struct parser *p)
{
    const struct expr *left = parse_unary(p);
    while (left && (p->token.kind == TOKEN_STAR || p->token.kind == TOKEN_SLASH)) {
        struct token sign = p->token;
        const struct expr *right = advance(p) ? parse_unary(p) : NULL;
        left = right ? build_arithmetic(&p->build, sign, left, right) : NULL;
    }
    return left;
}

static const struct expr *parse_sum(struct parser *p)
{
    const struct expr *left = parse_term(p);
    while (left && (p->token.kind == TOKEN_PLUS || p->token.kind == TOKEN_MINUS)) {
        struct token sign = p->token;
        const struct expr *right = advance(p) ? parse_term(p) : NULL;
        left = right ? build_arithmetic(&p->build, sign, left, right) : NULL;
    }
    return left;
}

static const struct expr *parse_item(struct parser *p)
{
    bool negative = p->token.kind == TOKEN_MINUS;
    size_t at = p->token.at;
    if (negative && !advance(p))
        return NULL;
    struct token token = p->token;
    if (token.kind != TOKEN_NUMBER && (token.kind != TOKEN_STRING || negative))
        return build_fail(&p->build, at, "expected a string or a number in the list");
    token.at = at;
    return advance(p) ? build_literal(&p->build, token, negative) : NULL;
}

static const struct expr *parse_in(struct parser *p, const struct expr *left)
{
    const struct expr *items[LIST_MAX];
    size_t n = 0;
    if (!advance(p))
        return NULL;
    if (p->token.kind != TOKEN_LIST_OPEN)
        return build_fail(&p->build, p->token.at, "expected '[' and a list behind 'in'");
    do {
        if (n == LIST_MAX)
            return build_fail(&p->build, p->token.at, "a list has at most %d values", LIST_MAX);
        if (!advance(p) || !(items[n++] = parse_item(p)))
            return NULL;
    } while (p->token.kind == TOKEN_COMMA);
    if (p->token.kind != TOKEN_LIST_CLOSE)
        return build_fail(&p->build, p->token.at, "expected ',' or ']'");
    return advance(p) ? build_in(&p->build, left, items, n) : NULL;
}

static const struct expr *parse_not_in(struct parser *p, const struct expr *left)
{
    struct token word = p->token;
    if (!advance(p))
        return NULL;
    if (p->token.kind != TOKEN_IN)
        return build_fail(&p->build, p->token.at, "expected 'in' behind 'not'");
    const struct expr *in = parse_in(p, left);
    word.at = left->at;
    return in ? build_logic(&p->build, word, in, NULL) : NULL;
}

static bool is_comparison(enum token_kind kind)
{
    return kind >= TOKEN_EQ && kind <= TOKEN_GE;
}

static const struct expr *parse_compare(struct parser *p)
{
    const struct expr *left = parse_sum(p);
    if (!left)
        return NULL;
    if (p->token.kind == TOKEN_IN)
        return parse_in(p, left);
    if (p->token.kind == TOKEN_NOT)
        return parse_not_in(p, left);
    if (!is_comparison(p->token.kind))
        return left;
    struct token sign = p->token;
    const struct expr *right = advance(p) ? parse_sum(p) : NULL;
    if (right && is_comparison(p->token.kind))
        return build_fail(&p->build, p->token.at, "comparisons do not chain: join them with 'and'");
    return right ? build_comparison(&p->build, sign, left, right) : NULL;
}

static const struct expr *parse_not(struct parser *p)
{
    if (p->token.kind != TOKEN_NOT)
        return parse_compare(p);
    struct token word = p->token;
    const struct expr *of = advance(p) ? nested(p, parse_not) : NULL;
    return of ? build_logic(&p->build, word, of, NULL) : NULL;
}

static const struct expr *parse_and(struct parser *p)
{
    const struct expr *left = parse_not(p);
    while (left && p->token.kind == TOKEN_AND) {
        struct token word = p->token;
        const struct expr *right = advance(p) ? parse_not(p) : NULL;
        left = right ? build_logic(&p->build, word, left, right) : NULL;
    }
    return left;
}

static const struct expr *parse_or(struct parser *p)
{
    const struct expr *left = parse_and(p);
    while (left && p->token.kind == TOKEN_OR) {
        struct token word = p->token;
        const struct expr *right = advance(p) ? parse_and(p) : NULL;
        left = right ? build_logic(&p->build, word, left, right) : NULL;
    }
    return left;
}

bool expr_compile(struct slice text, const struct contract *contract, bool label, const char *file,
    int line, int col, struct arena *arena, const struct expr **out, struct err *err)
{
    struct parser p = {.lexer = {text.ptr, text.ptr, text.ptr + text.len},
        .build = {contract, label, arena, file, line, col, err}};
    if (text.len > EXPR_BYTES_MAX) {
        build_fail(&p.build, 0, "the expression is too long: at most %d bytes", EXPR_BYTES_MAX);
        return false;
    }
    if (!advance(&p))
        return false;
    const struct expr *root = parse_or(&p);
    if (root && p.token.kind != TOKEN_END) {
        build_fail(&p.build, p.token.at, "unexpected '%.*s' behind the expression",
            SLICE_FMT(p.token.text));
        return false;
    }
    *out = root;
    return root != NULL;
}

enum expr_type expr_type(const struct expr *expr)
{
    return expr->type;
}

int expr_digits(const struct expr *expr)
{
    return expr->type == EXPR_NUMBER ? expr->digits : 0;
}

bool expr_min(const struct expr *expr, int64_t *min)
{
    if (expr->type == EXPR_NUMBER && expr->range.has_min)
        *min = expr->range.min;
    return expr->type == EXPR_NUMBER && expr->range.has_min;
}

int expr_field(const struct expr *expr)
{
    return expr->op == OP_FIELD ? expr->field : -1;
}

/* As deep as EXPR_DEPTH_MAX. */
uint64_t expr_fields(const struct expr *expr)
{
    if (!expr)
        return 0;
    uint64_t own = expr->op == OP_FIELD || expr->op == OP_IS ? UINT64_C(1) << expr->field : 0;
    return own | expr_fields(expr->left) | expr_fields(expr->right) | expr_fields(expr->test);
}
