/*
 * Tokens of the config's expression language. The lexer borrows from the text; a token knows at
 * which byte it stands.
 */
#ifndef INGEST_EXPR_LEX_H
#define INGEST_EXPR_LEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum token_kind {
    TOKEN_END,
    TOKEN_NAME,   /* text: without backquotes; words may be joined by dots */
    TOKEN_NUMBER, /* num, digits */
    TOKEN_STRING, /* text: between the quotes, with its escapes */
    TOKEN_TRUE,
    TOKEN_FALSE,
    TOKEN_AND,
    TOKEN_OR,
    TOKEN_NOT,
    TOKEN_IN,
    TOKEN_IF,
    TOKEN_EQ,
    TOKEN_NE,
    TOKEN_LT,
    TOKEN_LE,
    TOKEN_GT,
    TOKEN_GE,
    TOKEN_PLUS,
    TOKEN_MINUS,
    TOKEN_STAR,
    TOKEN_SLASH,
    TOKEN_OPEN,
    TOKEN_CLOSE,
    TOKEN_LIST_OPEN,
    TOKEN_LIST_CLOSE,
    TOKEN_COMMA,
};

struct token {
    enum token_kind kind;
    size_t at; /* its first byte in the text */
    struct slice text;
    int64_t num;
    int digits;
};

struct expr_lexer {
    const char *start, *at, *end;
};

/* The next token. False: *why says what is wrong at out->at. */
bool expr_lex(struct expr_lexer *lexer, struct token *out, const char **why);

/* How a token of this kind is written, for messages. */
const char *token_name(enum token_kind kind);

#endif
