/*
 * Inside of the lexer: literals, and what lex.c and lex_literal.c share. Nobody else includes this.
 */
#ifndef QUERY_LEX_LITERAL_H
#define QUERY_LEX_LITERAL_H

#include <string.h>

#include "query/lex.h"

/* The literal that begins where the lexer stands, or TOKEN_ERROR. */
struct token lex_number(struct lexer *lexer); /* or a duration */
struct token lex_string(struct lexer *lexer);

/* A token of this type from start to where the lexer stands. */
struct token lex_token(const struct lexer *lexer, enum token_type type, uint32_t start);
/* Fails at start: the token to return. */
struct token lex_fail(struct lexer *lexer, uint32_t start, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
struct token lex_failed(const struct lexer *lexer);
/* The message, and behind it in quotes the character at `at`, or the text from start to here. */
struct token lex_fail_rune(struct lexer *lexer, uint32_t start, const char *message, uint32_t at);
struct token lex_fail_text(struct lexer *lexer, uint32_t start, const char *message);

static inline bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static inline bool is_alpha(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static inline bool is_alnum(int c)
{
    return is_alpha(c) || is_digit(c);
}

static inline bool is_space(int c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static inline bool is_hex(int c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* The byte ahead by n, or -1 at the end. */
static inline int ahead(const struct lexer *l, uint32_t n)
{
    return l->text.len - l->at > n ? (unsigned char)l->text.ptr[l->at + n] : -1;
}

static inline int peek(const struct lexer *l)
{
    return ahead(l, 0);
}

static inline bool one_of(int c, const char *set)
{
    return c > 0 && strchr(set, c);
}

static inline bool accept(struct lexer *l, const char *set)
{
    if (!one_of(peek(l), set))
        return false;
    l->at++;
    return true;
}

#endif
