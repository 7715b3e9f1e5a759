/*
 * The catalogue of PromQL functions: names, arities and types, as data. The parser checks calls
 * with it, the engine dispatches on the id.
 */
#ifndef QUERY_FUNCTION_H
#define QUERY_FUNCTION_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"
#include "query/ast.h"

/* One id per function: FN_ABS, FN_ABSENT, ... */
enum function_id {
#define FUNCTION(id, name, result, min, max, experimental, ...) id,
#include "query/function_table.h"
#undef FUNCTION
    FUNCTIONS
};

#define FUNCTION_ARGS_MAX 8

struct function {
    enum function_id id;
    const char *name;
    enum value_type result;
    int min_args, max_args; /* max -1: any number more of the last type */
    bool experimental;
    enum value_type args[FUNCTION_ARGS_MAX];
};

/* NULL: unknown. Names are case-sensitive. */
const struct function *function_find(struct slice name);

#endif
