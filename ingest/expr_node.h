/*
 * The compiled form: a tree of checked nodes in the config's arena, immutable. expr.c makes it and
 * expr_eval.c runs it; nobody else looks inside.
 */
#ifndef INGEST_EXPR_NODE_H
#define INGEST_EXPR_NODE_H

#include "base/number.h"
#include "ingest/expr.h"

enum expr_op {
    OP_FIELD,   /* field */
    OP_LITERAL, /* literal */
    OP_IS,      /* field == literal, of strings: the most common condition by far */
    OP_IN,      /* left in items */
    OP_NEGATE,  /* -left */
    OP_ADD,
    OP_SUBTRACT, /* of times too: then 3 digits */
    OP_MULTIPLY,
    OP_DIVIDE,
    OP_EQ,
    OP_NE,
    OP_LT,
    OP_LE,
    OP_GT,
    OP_GE,
    OP_IF, /* test: left, else right */
    OP_NOT,
    OP_AND,
    OP_OR,
};

/* What a number can be by the contract, at its node's digits. */
struct expr_range {
    bool has_min, has_max;
    int64_t min, max;
};

struct expr {
    enum expr_op op;
    enum expr_type type;
    int digits;
    int field;
    const struct expr *left, *right;
    const struct expr *test; /* of OP_IF */
    struct field_value literal;
    const struct field_value *items; /* of OP_IN, numbers at left's digits */
    size_t n_items;
    /* Powers of ten: sides of + - if and comparisons are multiplied by them to have the same
     * digits; the product of * is divided by shift_left; the dividend of / is multiplied by
     * shift_left. */
    int shift_left, shift_right;
    struct expr_range range;
    int depth;
    size_t at; /* byte in the text, for errors */
};

/* The range of a number from those of its sides. */
struct expr_range expr_range_of(const struct expr *expr);

/* Half to even. */
int128 expr_round(int128 v, int128 unit);

#endif
