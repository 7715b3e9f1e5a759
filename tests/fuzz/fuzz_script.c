/*
 * The reader of scripts on any bytes: it reads them, or says why not and where. What it reads of
 * classic histograms converts or is refused.
 */
#include <stdint.h>

#include "base/ensure.h"
#include "query/script_nhcb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void convert(const struct script *script, struct arena *arena)
{
    for (size_t i = 0; i < script->n; i++) {
        struct script_series *series;
        size_t n;
        struct err err = {0};
        if (script->commands[i].type != SCRIPT_LOAD)
            continue;
        if (!script_nhcb(&script->commands[i].u.load, arena, &series, &n, &err))
            ensure(err.code == ERR_INVALID || err.code == ERR_LIMIT);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct script script;
    struct err err = {0};
    arena_init(&arena, 16 << 20);
    if (script_parse(slice_of(data, size), &arena, &script, &err)) {
        convert(&script, &arena);
        script_free(&script);
    } else {
        ensure(err.code == ERR_LIMIT || err.code == ERR_INVALID);
        ensure(err.line > 0);
    }
    arena_fini(&arena);
    return 0;
}
