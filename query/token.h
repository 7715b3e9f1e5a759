/*
 * The words of PromQL: kinds of tokens, the keyword table, and how an error message names a token.
 * Keywords are case-insensitive, and most of them may also be names of metrics and labels; which,
 * is said here by token_is_metric() and token_is_label().
 */
#ifndef QUERY_TOKEN_H
#define QUERY_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

/* The order groups the kinds: operators, aggregators and keywords are ranges of it. */
/* clang-format off */
enum token_type {
    TOKEN_EOF,
    TOKEN_ERROR, /* the lexer's message says what is wrong */
    TOKEN_IDENTIFIER,
    TOKEN_METRIC_IDENTIFIER, /* has a colon */
    TOKEN_NUMBER,
    TOKEN_DURATION,
    TOKEN_STRING, /* with its quotes and escapes */
    TOKEN_LEFT_PAREN, TOKEN_RIGHT_PAREN,
    TOKEN_LEFT_BRACE, TOKEN_RIGHT_BRACE,
    TOKEN_LEFT_BRACKET, TOKEN_RIGHT_BRACKET,
    TOKEN_COMMA, TOKEN_COLON,
    TOKEN_EQL, /* = */
    TOKEN_ADD, TOKEN_SUB, TOKEN_MUL, TOKEN_DIV, TOKEN_MOD, TOKEN_POW,
    TOKEN_EQLC, TOKEN_NEQ, TOKEN_LSS, TOKEN_LTE, TOKEN_GTR, TOKEN_GTE,
    TOKEN_TRIM_UPPER, TOKEN_TRIM_LOWER, /* </ and >/ */
    TOKEN_EQL_REGEX, TOKEN_NEQ_REGEX,
    TOKEN_AND, TOKEN_OR, TOKEN_UNLESS, TOKEN_ATAN2,
    TOKEN_AT,
    TOKEN_SUM, TOKEN_AVG, TOKEN_COUNT, TOKEN_MIN, TOKEN_MAX, TOKEN_GROUP, TOKEN_STDDEV, TOKEN_STDVAR,
    TOKEN_TOPK, TOKEN_BOTTOMK, TOKEN_QUANTILE, TOKEN_COUNT_VALUES, TOKEN_LIMITK, TOKEN_LIMIT_RATIO,
    TOKEN_BOOL, TOKEN_BY, TOKEN_WITHOUT, TOKEN_ON, TOKEN_IGNORING, TOKEN_GROUP_LEFT,
    TOKEN_GROUP_RIGHT, TOKEN_OFFSET, TOKEN_ANCHORED, TOKEN_SMOOTHED,
    TOKEN_FILL, TOKEN_FILL_LEFT, TOKEN_FILL_RIGHT,
    TOKEN_START, TOKEN_END, TOKEN_STEP, TOKEN_RANGE, TOKEN_MIN_OF, TOKEN_MAX_OF,
};
/* clang-format on */

struct token {
    enum token_type type;
    uint32_t start; /* byte of the query text */
    struct slice text;
};

/* The kind of a word: a keyword's, TOKEN_NUMBER for inf and nan, or that of an identifier. */
enum token_type token_of_word(struct slice word);

bool token_is_aggregator(enum token_type type);
/* start, end, step, range, min_of, max_of: functions, and words of `@` and of durations. */
bool token_is_context(enum token_type type);
/* Whether a metric may be named so without quotes; likewise a label in by(), on() and so on. */
bool token_is_metric(enum token_type type);
bool token_is_label(enum token_type type);

/* As Prometheus puts a token into "unexpected ...": `identifier "foo"`, `<op:+>`, `")"`. */
void token_describe(const struct token *token, struct buf *out);

#endif
