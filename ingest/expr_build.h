/*
 * Makes the checked nodes of an expression: each function takes finished sides and says what is
 * wrong with them, or returns the node that joins them. All return NULL after an error, which is in
 * *err, at the column of the byte that broke a rule.
 */
#ifndef INGEST_EXPR_BUILD_H
#define INGEST_EXPR_BUILD_H

#include "ingest/expr_lex.h"
#include "ingest/expr_node.h"

struct expr_build {
    const struct contract *contract;
    bool label; /* refuse what is never a label */
    struct arena *arena;
    const char *file;
    int line, col;
    struct err *err;
};

/* Returns NULL. */
const struct expr *build_fail(struct expr_build *b, size_t at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

const struct expr *build_field(struct expr_build *b, struct token name);
const struct expr *build_literal(struct expr_build *b, struct token token, bool negative);
const struct expr *build_negative(struct expr_build *b, size_t at, const struct expr *of);
const struct expr *build_arithmetic(
    struct expr_build *b, struct token sign, const struct expr *left, const struct expr *right);
const struct expr *build_comparison(
    struct expr_build *b, struct token sign, const struct expr *left, const struct expr *right);
/* and, or; not with right NULL. */
const struct expr *build_logic(
    struct expr_build *b, struct token word, const struct expr *left, const struct expr *right);
/* test: a condition; the sides are of one type. */
const struct expr *build_if(struct expr_build *b, size_t at, const struct expr *test,
    const struct expr *left, const struct expr *right);
/* literals: strings or numbers as left is, at least one. */
const struct expr *build_in(
    struct expr_build *b, const struct expr *left, const struct expr *const *literals, size_t n);

#endif
