/*
 * The lexer of PromQL: query text to tokens, one at a time. It knows three places with words of
 * their own: outside, inside {braces} (no keywords) and inside [brackets] (durations). Comments and
 * blanks are skipped. After an error every further token is TOKEN_ERROR.
 *
 * Its state is plain data: a copy of a lexer looks ahead.
 */
#ifndef QUERY_LEX_H
#define QUERY_LEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "query/token.h"

struct lexer {
    struct slice text; /* less than 4 GiB */
    uint32_t at;
    uint32_t parens; /* open ones */
    bool in_braces;
    bool in_brackets;
    bool got_duration; /* in the brackets: a number or duration was seen, or a colon */
    bool got_colon;
    bool failed;
    uint32_t error_at;
    char message[160]; /* of the error, in Prometheus' words, when failed */
};

void lexer_init(struct lexer *lexer, struct slice text);
struct token lexer_next(struct lexer *lexer);

#endif
