/*
 * The expressions of larder.yml: when:, value: and labels. Fields, numbers, strings, true and
 * false,
 * + - * /, comparison, in [..], not in [..], and / or / not, parentheses. Types are checked against
 * the contract when the config loads; evaluating cannot fail but for absent fields and numbers that
 * do not fit. A field whose name is no plain word or is a keyword stands in backquotes.
 *
 *     type == "level" and level >= 0        delivered - promised        market in ["a", "b"]
 *     if(type == "restocked", units, -units)
 *
 * Numbers are scaled integers all the way: an expression has a fixed number of digits, known when
 * it is compiled. + and - take the larger of both sides, * the sum (at most 18), / gives 6 more
 * than the left side has (at most 18), half to even; `if` those of the larger side. The difference
 * of two times is in seconds, 3 digits. `not` binds closer than `and`, `and` closer than `or`;
 * comparisons do not chain.
 */
#ifndef INGEST_EXPR_H
#define INGEST_EXPR_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "ingest/contract.h"

enum expr_type { EXPR_BOOL, EXPR_NUMBER, EXPR_STRING, EXPR_TIME };

struct expr;

#define EXPR_BYTES_MAX 4096
#define EXPR_DEPTH_MAX 64 /* of the tree: what evaluation may need of the stack */

/* file, line and col are where the text stands in the config: an error at byte i of the text is at
 * col + i. The expression lives in the arena and borrows nothing from text. With `label` set,
 * fields that are never labels are refused: personal data, the event id, unbounded fields. */
bool expr_compile(struct slice text, const struct contract *contract, bool label, const char *file,
    int line, int col, struct arena *arena, const struct expr **out, struct err *err);

enum expr_type expr_type(const struct expr *expr);
/* Digits of a number; 0 otherwise. */
int expr_digits(const struct expr *expr);
/* The smallest value the contract allows, when it is known: for "a counter cannot be negative".
 * False: not known. */
bool expr_min(const struct expr *expr, int64_t *min);
/* The field's index when the expression is nothing but a field; -1 otherwise. */
int expr_field(const struct expr *expr);

/* A bit for each field that it has. */
uint64_t expr_fields(const struct expr *expr);

enum expr_result {
    EXPR_OK,
    EXPR_ABSENT, /* a field that it needs is not there: no cell, no label; as a condition: false */
    EXPR_RANGE,  /* does not fit 64 bits, or division by zero */
};

/* Result in *out: num for numbers, times and booleans, str for strings. `and` and `or` are
 * false-friendly: an absent side counts as false. They look at the right side only when the left
 * has not decided. */
enum expr_result expr_eval(
    const struct expr *expr, const struct event *event, struct field_value *out);

#endif
