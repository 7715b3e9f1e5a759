/*
 * Numbers, durations and strings. What a number may look like is checked loosely here: the parser
 * computes it and has the last word.
 */
#include "query/lex_literal.h"

#include "query/quote.h"

/* ---- numbers and durations ---- */

/* Digits with single underscores between them, as 1_000. False: an underscore stands wrongly. */
static bool scan_separator(struct lexer *l)
{
    l->at++;
    if (!one_of(peek(l), "._eE") && peek(l) >= 0)
        return true;
    accept(l, "._eE");
    return false;
}

static bool scan_hex(struct lexer *l)
{
    l->at += 2;
    accept(l, "_");
    while (is_hex(peek(l)) || peek(l) == '_') {
        if (peek(l) != '_')
            l->at++;
        else if (!scan_separator(l))
            return false;
    }
    return !is_alnum(peek(l)) && peek(l) != '.';
}

static bool scan_exponent(struct lexer *l)
{
    l->at++;
    accept(l, "+-");
    return !accept(l, "._eE") && peek(l) >= 0;
}

/* A number that is not followed by a letter. On false the lexer stands where the number ends: a
 * duration may go on there. */
static bool scan_number(struct lexer *l)
{
    bool dot = false, exponent = false;
    if (peek(l) == '0' && one_of(ahead(l, 1), "xX"))
        return scan_hex(l);
    while (is_digit(peek(l)) || one_of(peek(l), "._eE")) {
        if (is_digit(peek(l))) {
            l->at++;
        } else if (peek(l) == '.') {
            l->at++;
            if (dot || accept(l, "_."))
                return false;
            dot = true;
        } else if (peek(l) == '_') {
            if (!scan_separator(l))
                return false;
        } else {
            if (exponent || !scan_exponent(l))
                return false;
            exponent = true;
        }
    }
    return !is_alnum(peek(l));
}

static bool scan_duration_rest(struct lexer *l)
{
    if (!accept(l, "smhdwy"))
        return false;
    accept(l, "s");
    while (is_digit(peek(l))) {
        while (is_digit(peek(l)))
            l->at++;
        if (!accept(l, "smhdw"))
            return false;
        accept(l, "s");
    }
    return !is_alnum(peek(l));
}

struct token lex_number(struct lexer *l)
{
    uint32_t start = l->at;
    l->got_duration = true;
    if (scan_number(l))
        return lex_token(l, TOKEN_NUMBER, start);
    if (scan_duration_rest(l))
        return lex_token(l, TOKEN_DURATION, start);
    if (is_alnum(peek(l)))
        l->at++;
    return lex_fail_text(l, start, "bad number or duration syntax: ");
}

/* ---- strings ---- */

/* n digits of the base; the value must be a byte (max 255) or a code point. */
static bool scan_code(struct lexer *l, uint32_t start, int n, int base, uint32_t max)
{
    uint64_t v = 0;
    for (int i = 0; i < n; i++) {
        int c = peek(l);
        if (c < 0) {
            lex_fail(l, start, "escape sequence not terminated");
            return false;
        }
        if (base == 8 ? c < '0' || c > '7' : !is_hex(c)) {
            lex_fail_rune(l, start, "illegal character in escape sequence: ", l->at);
            return false;
        }
        v = v * (uint64_t)base + (uint64_t)(is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
        l->at++;
    }
    if (v <= max && (max == 255 || v < 0xd800 || v >= 0xe000))
        return true;
    lex_fail(l, start, "escape sequence is an invalid Unicode code point");
    return false;
}

/* Behind a backslash. */
static bool scan_escape(struct lexer *l, uint32_t start, char quote)
{
    int c = peek(l);
    if (c < 0) {
        lex_fail(l, start, "escape sequence not terminated");
        return false;
    }
    if (c >= '0' && c <= '7')
        return scan_code(l, start, 3, 8, 255);
    l->at++;
    if (c == 'x')
        return scan_code(l, start, 2, 16, 255);
    if (c == 'u')
        return scan_code(l, start, 4, 16, 0x10ffff);
    if (c == 'U')
        return scan_code(l, start, 8, 16, 0x10ffff);
    if (c == quote || one_of(c, "abfnrtv\\"))
        return true;
    lex_fail_rune(l, start, "unknown escape sequence ", l->at - 1);
    return false;
}

struct token lex_string(struct lexer *l)
{
    uint32_t start = l->at;
    char quote = l->text.ptr[l->at++];
    for (;;) {
        int c = peek(l), width;
        if (c < 0 || (c == '\n' && quote != '`'))
            return lex_fail(
                l, start, quote == '`' ? "unterminated raw string" : "unterminated quoted string");
        if (rune_at(l->text, l->at, &width) == RUNE_ERROR && width == 1)
            return lex_fail(l, start, "invalid UTF-8 rune");
        l->at += (uint32_t)width;
        if (c == quote)
            return lex_token(l, TOKEN_STRING, start);
        if (c == '\\' && quote != '`' && !scan_escape(l, start, quote))
            return lex_failed(l);
    }
}
