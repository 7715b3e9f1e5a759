#include "query/ast.h"

#include <stdlib.h>

#include "base/ensure.h"
#include "query/parse.h"

static const char *const value_types[] = {
    [VALUE_SCALAR] = "scalar",
    [VALUE_VECTOR] = "instant vector",
    [VALUE_MATRIX] = "range vector",
    [VALUE_STRING] = "string",
};

static const char *const binary_ops[] = {
    [OP_ADD] = "+",
    [OP_SUB] = "-",
    [OP_MUL] = "*",
    [OP_DIV] = "/",
    [OP_MOD] = "%",
    [OP_POW] = "^",
    [OP_ATAN2] = "atan2",
    [OP_EQ] = "==",
    [OP_NE] = "!=",
    [OP_LT] = "<",
    [OP_LE] = "<=",
    [OP_GT] = ">",
    [OP_GE] = ">=",
    [OP_AND] = "and",
    [OP_OR] = "or",
    [OP_UNLESS] = "unless",
    [OP_TRIM_UPPER] = "</",
    [OP_TRIM_LOWER] = ">/",
};

static const char *const aggregate_ops[] = {
    [AGG_SUM] = "sum",
    [AGG_AVG] = "avg",
    [AGG_COUNT] = "count",
    [AGG_MIN] = "min",
    [AGG_MAX] = "max",
    [AGG_GROUP] = "group",
    [AGG_STDDEV] = "stddev",
    [AGG_STDVAR] = "stdvar",
    [AGG_TOPK] = "topk",
    [AGG_BOTTOMK] = "bottomk",
    [AGG_QUANTILE] = "quantile",
    [AGG_COUNT_VALUES] = "count_values",
    [AGG_LIMITK] = "limitk",
    [AGG_LIMIT_RATIO] = "limit_ratio",
};

#define NAME_OF(table, index)                                                                      \
    (ensure((size_t)(index) < sizeof(table) / sizeof(table)[0]), (table)[index])

const char *value_type_name(enum value_type type)
{
    return NAME_OF(value_types, type);
}

const char *binary_op_name(enum binary_op op)
{
    return NAME_OF(binary_ops, op);
}

const char *aggregate_op_name(enum aggregate_op op)
{
    return NAME_OF(aggregate_ops, op);
}

bool binary_op_is_comparison(enum binary_op op)
{
    return op >= OP_EQ && op <= OP_GE;
}

bool binary_op_is_set(enum binary_op op)
{
    return op >= OP_AND && op <= OP_UNLESS;
}

bool aggregate_op_has_param(enum aggregate_op op)
{
    return op >= AGG_TOPK;
}

void ast_free(struct ast *ast)
{
    for (size_t i = 0; i < ast->n_regexes; i++)
        regex_free(&ast->regexes[i]);
    free(ast->regexes);
    *ast = (struct ast){0};
}

void text_place(struct slice text, uint32_t at, int *line, int *col)
{
    size_t end = at < text.len ? at : text.len, start = 0;
    *line = 1;
    for (size_t i = 0; i < end; i++) {
        if (text.ptr[i] == '\n') {
            start = i + 1;
            ++*line;
        }
    }
    *col = (int)(end - start) + 1;
}
