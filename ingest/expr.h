/*
 * The expressions of larder.yml: when:, value: and labels. Fields, numbers, strings, + - * /,
 * comparison, in [..], and / or / not, parentheses. Types are checked against the contract when the
 * config loads; evaluating cannot fail but for absent fields and numbers that do not fit.
 *
 *     type == "level" and level >= 0        delivered - promised        market in ["a", "b"]
 *
 * Numbers are scaled integers all the way: an expression has a fixed number of digits, known when it
 * is compiled. + and - take the larger of both sides, * the sum (at most 18), / gives 6 more than the
 * left side has (at most 18), half to even. The difference of two times is in seconds, 3 digits.
 */
#ifndef INGEST_EXPR_H
#define INGEST_EXPR_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "ingest/contract.h"

enum expr_type { EXPR_BOOL, EXPR_NUMBER, EXPR_STRING, EXPR_TIME };

struct expr;

/* file, line and col are where the text stands in the config: errors point into it. The expression lives
 * in the arena. Fields of personal data are refused when `label` is set. */
bool expr_compile(struct slice text, const struct contract *contract, bool label, const char *file,
    int line, int col, struct arena *arena, const struct expr **out, struct err *err);

enum expr_type expr_type(const struct expr *expr);
/* Digits of a number; 0 otherwise. */
int expr_digits(const struct expr *expr);
/* The smallest value the contract allows, when it is known: for "a counter cannot be negative". False:
 * not known. */
bool expr_min(const struct expr *expr, int64_t *min);

enum expr_result {
    EXPR_OK,
    EXPR_ABSENT, /* a field that it needs is not there: no cell, no label; as a condition: false */
    EXPR_RANGE,  /* does not fit 64 bits, or division by zero */
};

/* Result in *out: num for numbers, times and booleans, str for strings. `and` and `or` are false-friendly: an absent side
 * counts as false. */
enum expr_result expr_eval(const struct expr *expr, const struct event *event, struct field_value *out);

#endif
