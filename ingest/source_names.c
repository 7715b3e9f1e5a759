#include "ingest/source_names.h"

#include <stdlib.h>

#include "base/mem.h"

struct taker {
    struct slice prefix;
    struct source_names *names;
};

static void keep_name(void *ctx, struct slice name)
{
    struct taker *taker = ctx;
    struct source_names *names = taker->names;
    if (!slice_starts(name, taker->prefix))
        return;
    GROW(names->items, names->cap, names->n + 1);
    names->items[names->n++] = arena_slice(&names->arena, name);
}

void source_names_read(struct store *store, struct slice prefix, struct source_names *out)
{
    struct taker taker = {prefix, out};
    *out = (struct source_names){0};
    arena_init(&out->arena, 0);
    store_each_source(store, keep_name, &taker);
}

void source_names_free(struct source_names *names)
{
    free(names->items);
    arena_fini(&names->arena);
    *names = (struct source_names){0};
}
