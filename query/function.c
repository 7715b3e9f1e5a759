#include "query/function.h"

static const struct function functions[] = {
#define FUNCTION(id, name, result, min, max, experimental, ...)                                    \
    {id, name, result, min, max, experimental, {__VA_ARGS__}},
#include "query/function_table.h"
#undef FUNCTION
};

const struct function *function_find(struct slice name)
{
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
        if (slice_is(name, functions[i].name))
            return &functions[i];
    return NULL;
}
