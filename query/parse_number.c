/*
 * Number literals as Go reads them: 12, 0x1F, 017 (octal), 1_000, .5, 1e3, Inf, NaN; and durations,
 * which are numbers of seconds.
 */
#include <math.h>
#include <stdlib.h>

#include "base/buf.h"
#include "query/parser.h"
#include "query/quote.h"

/* Go's ParseInt with base 0: a leading 0 is octal, 0x is hexadecimal. False: not such an integer,
 * or one past 63 bits. */
static bool parse_integer(struct slice text, double *out)
{
    uint64_t base = 10, v = 0;
    size_t at = 0;
    if (text.len > 1 && text.ptr[0] == '0') {
        base = (text.ptr[1] | 0x20) == 'x' ? 16 : 8;
        at = base == 16 ? 2 : 1;
    }
    if (at == text.len)
        return false;
    for (; at < text.len; at++) {
        char c = text.ptr[at];
        if (c == '_')
            continue;
        uint64_t digit = c >= '0' && c <= '9' ? (uint64_t)(c - '0')
                         : (c | 0x20) >= 'a' && (c | 0x20) <= 'f'
                             ? (uint64_t)((c | 0x20) - 'a' + 10)
                             : 99;
        if (digit >= base || v > (INT64_MAX - digit) / base)
            return false;
        v = v * base + digit;
    }
    *out = (double)v;
    return true;
}

/* Inf and NaN come as words; the lexer has compared them. */
static bool parse_word(struct slice text, double *out)
{
    char c = (char)(text.ptr[0] | 0x20);
    if (c == 'i')
        *out = INFINITY;
    else if (c == 'n')
        *out = NAN;
    return c == 'i' || c == 'n';
}

/* The lexer has let through nothing but digits, points, signs and exponents. Hexadecimal floats
 * need an exponent with p, which PromQL does not have. */
static bool parse_float(struct slice text, double *out)
{
    if (text.len > 1 && (text.ptr[1] | 0x20) == 'x')
        return false;
    struct buf plain; /* without underscores */
    buf_init(&plain, 0);
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] != '_')
            buf_char(&plain, text.ptr[i]);
    char *end;
    *out = strtod(buf_cstr(&plain), &end);
    bool ok = plain.len > 0 && end == plain.ptr + plain.len;
    buf_fini(&plain);
    return ok;
}

static bool number_value(struct parser *p, const struct token *token, double *out)
{
    struct slice text = token->text;
    if (parse_word(text, out) || parse_integer(text, out))
        return true;
    bool ok = parse_float(text, out);
    if (ok && isfinite(*out))
        return true;
    struct buf quoted;
    buf_init(&quoted, 256);
    quote_text(text, &quoted);
    parser_fail(p, token->start, "error parsing number: strconv.ParseFloat: parsing %s: %s",
        buf_cstr(&quoted), ok ? "value out of range" : "invalid syntax");
    buf_fini(&quoted);
    return false;
}

bool parser_is_number(const struct parser *p)
{
    return p->now.type == TOKEN_NUMBER || p->now.type == TOKEN_DURATION;
}

static bool parse_number(struct parser *p, double *out)
{
    *out = 0;
    if (!parser_is_number(p))
        return parser_unexpected(p, NULL, NULL);
    struct token token = parser_take(p);
    if (token.type == TOKEN_NUMBER)
        return number_value(p, &token, out);
    int64_t ms;
    struct err err = {0};
    if (!parse_duration(token.text, &ms, &err))
        return parser_fail(p, token.start, "%s", err.text);
    *out = (double)ms / 1000;
    return true;
}

struct node *parse_number_node(struct parser *p)
{
    struct token token = p->now;
    double v;
    if (!parse_number(p, &v))
        return NULL;
    struct node *node = parser_node(p, NODE_NUMBER, VALUE_SCALAR, token.start);
    if (!node)
        return NULL;
    node->u.number.v = v;
    node->u.number.is_duration = token.type == TOKEN_DURATION;
    return node;
}

bool parse_signed_number(struct parser *p, double *out)
{
    bool minus = p->now.type == TOKEN_SUB;
    if (minus || p->now.type == TOKEN_ADD)
        parser_take(p);
    if (!parse_number(p, out))
        return false;
    if (minus)
        *out = -*out;
    return true;
}
