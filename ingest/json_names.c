#include "ingest/json_names.h"

#include <stdlib.h>

#include "base/ensure.h"
#include "base/mem.h"

void json_names_init(struct json_names *set, const struct slice *names, size_t n)
{
    ensure(n <= JSON_NAMES_MAX);
    uint32_t size = 16;
    while (size < 4 * n)
        size *= 2;
    set->mask = size - 1;
    set->slots = xcalloc(size, sizeof *set->slots);
    set->names = xcalloc(n ? n : 1, sizeof *set->names);
    for (size_t id = 0; id < n; id++) {
        if (!names[id].ptr)
            continue;
        set->names[id] = json_name_of(names[id], names[id].ptr + names[id].len);
        uint32_t i = json_name_hash(&set->names[id]) & set->mask;
        while (set->slots[i])
            i = (i + 1) & set->mask;
        set->slots[i] = (uint16_t)(id + 1);
    }
}

void json_names_fini(struct json_names *set)
{
    free(set->slots);
    free(set->names);
    *set = (struct json_names){0};
}
