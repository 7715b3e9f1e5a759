/*
 * The rules, and the words of the errors, are those of Prometheus' lexer. Where it accepts more
 * than can be parsed (numbers such as 1e5.5), so does this one, and the parser refuses.
 */
#include "query/lex.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/ensure.h"
#include "query/lex_literal.h"
#include "query/quote.h"

void lexer_init(struct lexer *lexer, struct slice text)
{
    ensure(text.len < UINT32_MAX);
    *lexer = (struct lexer){.text = text};
}

struct token lex_token(const struct lexer *l, enum token_type type, uint32_t start)
{
    return (struct token){type, start, slice_of(l->text.ptr + start, l->at - start)};
}

static struct token emit(struct lexer *l, enum token_type type, uint32_t start, uint32_t len)
{
    l->at = start + len;
    return lex_token(l, type, start);
}

struct token lex_failed(const struct lexer *l)
{
    return (struct token){TOKEN_ERROR, l->error_at, {NULL, 0}};
}

struct token lex_fail(struct lexer *l, uint32_t start, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(l->message, sizeof l->message, fmt, ap);
    va_end(ap);
    l->failed = true;
    l->error_at = start;
    return lex_failed(l);
}

/* The message, and behind it the character at `at` in quotes. */
struct token lex_fail_rune(struct lexer *l, uint32_t start, const char *message, uint32_t at)
{
    struct buf quoted;
    buf_init(&quoted, 64);
    int width;
    if (at < l->text.len)
        quote_rune(rune_at(l->text, at, &width), &quoted);
    else
        buf_str(&quoted, "end of input");
    struct token token = lex_fail(l, start, "%s%s", message, buf_cstr(&quoted));
    buf_fini(&quoted);
    return token;
}

/* The message, and behind it the text from start to where the lexer is, in quotes. */
struct token lex_fail_text(struct lexer *l, uint32_t start, const char *message)
{
    struct buf quoted;
    buf_init(&quoted, 120);
    quote_text(slice_of(l->text.ptr + start, l->at - start), &quoted);
    struct token token = lex_fail(l, start, "%s%s", message, buf_cstr(&quoted));
    buf_fini(&quoted);
    return token;
}

static void skip_blanks(struct lexer *l)
{
    for (;;) {
        while (is_space(peek(l)))
            l->at++;
        if (peek(l) != '#')
            return;
        while (peek(l) >= 0 && peek(l) != '\n' && peek(l) != '\r')
            l->at++;
    }
}

/* ---- the three places ---- */

static bool paren_follows(const struct lexer *l)
{
    uint32_t n = 0;
    while (is_space(ahead(l, n)))
        n++;
    return ahead(l, n) == '(';
}

static struct token word(struct lexer *l)
{
    uint32_t start = l->at;
    while (is_alnum(peek(l)) || peek(l) == ':')
        l->at++;
    struct token token = lex_token(l, TOKEN_IDENTIFIER, start);
    token.type = token_of_word(token.text);
    /* fill is a keyword only where it is called, so that metrics of that name stay usable. */
    if (token.type >= TOKEN_FILL && token.type <= TOKEN_FILL_RIGHT && !paren_follows(l))
        token.type = TOKEN_IDENTIFIER;
    return token;
}

static struct token in_braces(struct lexer *l)
{
    uint32_t start = l->at;
    int c = peek(l), next = ahead(l, 1);
    if (c < 0)
        return lex_fail(l, start, "unexpected end of input inside braces");
    if (is_alpha(c)) {
        while (is_alnum(peek(l)))
            l->at++;
        return lex_token(l, TOKEN_IDENTIFIER, start);
    }
    switch (c) {
    case ',': return emit(l, TOKEN_COMMA, start, 1);
    case '"':
    case '\'':
    case '`': return lex_string(l);
    case '=':
        return next == '~' ? emit(l, TOKEN_EQL_REGEX, start, 2) : emit(l, TOKEN_EQL, start, 1);
    case '!':
        if (next == '~' || next == '=')
            return emit(l, next == '~' ? TOKEN_NEQ_REGEX : TOKEN_NEQ, start, 2);
        return lex_fail_rune(l, start, "unexpected character after '!' inside braces: ", start + 1);
    case '{': return lex_fail_rune(l, start, "unexpected left brace ", start);
    case '}': l->in_braces = false; return emit(l, TOKEN_RIGHT_BRACE, start, 1);
    default: return lex_fail_rune(l, start, "unexpected character inside braces: ", start);
    }
}

/* Letters in brackets: step, range, min_of, max_of and no others. */
static struct token duration_word(struct lexer *l)
{
    uint32_t start = l->at;
    while (is_alpha(peek(l)))
        l->at++;
    struct token token = lex_token(l, TOKEN_EOF, start);
    token.type = token_of_word(token.text);
    if (token.type >= TOKEN_STEP && token.type <= TOKEN_MAX_OF)
        return token;
    if (!l->got_duration)
        return lex_fail_rune(l, start, "unexpected character in duration expression: ", start);
    lex_fail_rune(l, start, "unexpected character: ", start);
    strncat(l->message, ", expected ':'", sizeof l->message - strlen(l->message) - 1);
    return lex_failed(l);
}

static struct token colon(struct lexer *l, uint32_t start)
{
    if (l->got_colon)
        return lex_fail(l, start, "unexpected colon ':'");
    l->got_colon = l->got_duration = true;
    return emit(l, TOKEN_COLON, start, 1);
}

static struct token left_bracket(struct lexer *l, uint32_t start)
{
    if (l->in_brackets)
        return lex_fail(l, start, "unexpected left bracket '['");
    l->in_brackets = true;
    l->got_colon = l->got_duration = false;
    return emit(l, TOKEN_LEFT_BRACKET, start, 1);
}

static struct token right_bracket(struct lexer *l, uint32_t start)
{
    if (!l->in_brackets)
        return lex_fail(l, start, "unexpected right bracket ']'");
    l->in_brackets = false;
    return emit(l, TOKEN_RIGHT_BRACKET, start, 1);
}

static struct token at_end(struct lexer *l)
{
    if (l->in_brackets && !l->got_duration)
        return lex_fail(l, l->at, "unexpected end of input in duration expression");
    if (l->parens > 0)
        return lex_fail(l, l->at, "unclosed left parenthesis");
    if (l->in_brackets)
        return lex_fail(l, l->at, "unclosed left bracket");
    return lex_token(l, TOKEN_EOF, l->at);
}

/* Operators with = ! < or > in front. */
static struct token comparison(struct lexer *l, uint32_t start, int c, int next)
{
    switch (c) {
    case '=':
        if (next == '~')
            return lex_fail(l, start, "unexpected character after '=': '~'");
        return next == '=' ? emit(l, TOKEN_EQLC, start, 2) : emit(l, TOKEN_EQL, start, 1);
    case '!':
        if (next != '=')
            return lex_fail_rune(l, start, "unexpected character after '!': ", start + 1);
        return emit(l, TOKEN_NEQ, start, 2);
    case '<':
        if (next == '=' || next == '/')
            return emit(l, next == '=' ? TOKEN_LTE : TOKEN_TRIM_UPPER, start, 2);
        return emit(l, TOKEN_LSS, start, 1);
    default:
        if (next == '=' || next == '/')
            return emit(l, next == '=' ? TOKEN_GTE : TOKEN_TRIM_LOWER, start, 2);
        return emit(l, TOKEN_GTR, start, 1);
    }
}

static struct token punctuation(struct lexer *l, uint32_t start, int c)
{
    switch (c) {
    case ',': return emit(l, TOKEN_COMMA, start, 1);
    case '*': return emit(l, TOKEN_MUL, start, 1);
    case '/': return emit(l, TOKEN_DIV, start, 1);
    case '%': return emit(l, TOKEN_MOD, start, 1);
    case '+': return emit(l, TOKEN_ADD, start, 1);
    case '-': return emit(l, TOKEN_SUB, start, 1);
    case '^': return emit(l, TOKEN_POW, start, 1);
    case '@': return emit(l, TOKEN_AT, start, 1);
    case '(': l->parens++; return emit(l, TOKEN_LEFT_PAREN, start, 1);
    case ')':
        if (l->parens == 0)
            return lex_fail(l, start, "unexpected right parenthesis ')'");
        l->parens--;
        return emit(l, TOKEN_RIGHT_PAREN, start, 1);
    case '{': l->in_braces = true; return emit(l, TOKEN_LEFT_BRACE, start, 1);
    case '[': return left_bracket(l, start);
    case ']': return right_bracket(l, start);
    default: return lex_fail_rune(l, start, "unexpected character: ", start);
    }
}

struct token lexer_next(struct lexer *l)
{
    if (l->failed)
        return lex_failed(l);
    skip_blanks(l);
    if (l->in_braces)
        return in_braces(l);
    uint32_t start = l->at;
    int c = peek(l), next = ahead(l, 1);
    if (c < 0)
        return at_end(l);
    if (is_digit(c) || (c == '.' && is_digit(next)))
        return lex_number(l);
    if (l->in_brackets && c == ':')
        return colon(l, start);
    if (is_alpha(c) || c == ':')
        return l->in_brackets ? duration_word(l) : word(l);
    if (one_of(c, "\"'`"))
        return lex_string(l);
    if (one_of(c, "=!<>"))
        return comparison(l, start, c, next);
    return punctuation(l, start, c);
}
