/*
 * The syntax tree of a PromQL expression. Nodes live in the arena that the parser was given and are
 * immutable afterwards. Every node knows its bytes in the query text, for errors and annotations.
 */
#ifndef QUERY_AST_H
#define QUERY_AST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "store/read.h"

enum node_type {
    NODE_NUMBER,
    NODE_STRING,
    NODE_SELECTOR, /* instant vector selector */
    NODE_MATRIX,   /* range over a selector: x[5m] */
    NODE_SUBQUERY, /* expr[r:s] */
    NODE_CALL,
    NODE_AGGREGATE,
    NODE_BINARY,
    NODE_UNARY,
    NODE_PAREN,
    NODE_DURATION, /* operator of a duration expression: arithmetic, step(), range(), min_of, max_of
                    */
};

enum value_type { VALUE_SCALAR, VALUE_VECTOR, VALUE_MATRIX, VALUE_STRING };

/* "scalar", "instant vector", "range vector", "string" */
const char *value_type_name(enum value_type type);

enum binary_op {
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_MOD,
    OP_POW,
    OP_ATAN2,
    OP_EQ,
    OP_NE,
    OP_LT,
    OP_LE,
    OP_GT,
    OP_GE,
    OP_AND,
    OP_OR,
    OP_UNLESS,
    OP_TRIM_UPPER, /* </ */
    OP_TRIM_LOWER, /* >/ */
};

const char *binary_op_name(enum binary_op op);

enum aggregate_op {
    AGG_SUM,
    AGG_AVG,
    AGG_COUNT,
    AGG_MIN,
    AGG_MAX,
    AGG_GROUP,
    AGG_STDDEV,
    AGG_STDVAR,
    AGG_TOPK,
    AGG_BOTTOMK,
    AGG_QUANTILE,
    AGG_COUNT_VALUES,
    AGG_LIMITK,
    AGG_LIMIT_RATIO,
};

const char *aggregate_op_name(enum aggregate_op op);

bool binary_op_is_comparison(enum binary_op op); /* == != < <= > >= */
bool binary_op_is_set(enum binary_op op);        /* and, or, unless */
bool aggregate_op_has_param(enum aggregate_op op);

/* How @ is given. */
enum at_kind { AT_NONE, AT_TIME, AT_START, AT_END };

enum match_card { CARD_ONE_TO_ONE, CARD_MANY_TO_ONE, CARD_ONE_TO_MANY, CARD_MANY_TO_MANY };

enum range_extend { EXTEND_NONE, EXTEND_ANCHORED, EXTEND_SMOOTHED };

struct node;

/* A duration in ms: a literal, or an expression that is computed when the query's step is known. */
struct duration {
    int64_t ms;              /* when expr is NULL */
    const struct node *expr; /* NODE_NUMBER (seconds), NODE_DURATION, NODE_UNARY, NODE_PAREN */
};

/* The modifiers that selectors and subqueries share. */
struct when {
    struct duration offset; /* positive: into the past */
    enum at_kind at;
    int64_t at_ms; /* for AT_TIME */
};

struct fill {
    bool set;
    double value;
};

/* A function of the catalogue, see function.h. */
struct function;

struct node {
    enum node_type type;
    enum value_type value; /* what evaluating it gives */
    uint32_t start, end;   /* bytes [start, end) of the query text */
    uint32_t height;       /* of the tree below and here: at most PARSE_DEPTH_MAX */
    union {
        struct {
            double v;
            bool is_duration; /* written as 5m: printed so again */
        } number;
        struct slice string; /* unescaped */
        struct {
            struct slice name;              /* {NULL,0}: no name in front of the braces */
            const struct matcher *matchers; /* __name__ included */
            size_t n_matchers;
            struct when when;
            enum range_extend extend;
        } selector;
        struct {
            const struct node *selector;
            struct duration range;
        } matrix;
        struct {
            const struct node *expr;
            struct duration range;
            struct duration step; /* 0 and no expr: the default step */
            struct when when;
        } subquery;
        struct {
            const struct function *function;
            struct slice name; /* as written */
            const struct node *const *args;
            size_t n_args;
        } call;
        struct {
            enum aggregate_op op;
            const struct node *expr, *param; /* param NULL when the operator takes none */
            bool without;
            bool grouped; /* by or without was written */
            const struct slice *labels;
            size_t n_labels;
        } aggregate;
        struct {
            enum binary_op op;
            const struct node *lhs, *rhs;
            bool return_bool;
            enum match_card card;
            bool on;       /* on(...), else ignoring(...) */
            bool matching; /* on or ignoring was written */
            const struct slice *labels;
            size_t n_labels;
            const struct slice *include; /* group_left(...)/group_right(...) */
            size_t n_include;
            struct fill fill_left, fill_right;
        } binary;
        struct {
            bool minus;
            const struct node *expr;
        } unary;
        const struct node *paren;
        struct {
            char op; /* + - * / % ^, 's' step(), 'r' range(), 'm' min_of, 'M' max_of */
            const struct node *lhs, *rhs; /* NULL where the operator takes none */
        } duration;
    } u;
};

#endif
