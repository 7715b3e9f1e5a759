#include "base/hash_set.h"

#include <stdlib.h>

#include "base/mem.h"

void hash_set_init(struct hash_set *set)
{
    *set = (struct hash_set){0};
    map_init(&set->map);
}

void hash_set_fini(struct hash_set *set)
{
    map_fini(&set->map);
    free(set->all);
}

void hash_set_clear(struct hash_set *set)
{
    map_clear(&set->map);
    set->n = 0;
}

static bool is(const void *ctx, const void *key, uint32_t id)
{
    const struct hash_set *set = ctx;
    return hash128_eq(set->all[id], *(const struct hash128 *)key);
}

bool hash_set_has(const struct hash_set *set, struct hash128 hash)
{
    return map_find(&set->map, hash.lo, is, set, &hash) != MAP_NONE;
}

bool hash_set_add(struct hash_set *set, struct hash128 hash)
{
    if (hash_set_has(set, hash))
        return false;
    GROW(set->all, set->cap, set->n + 1);
    map_insert(&set->map, hash.lo, (uint32_t)set->n);
    set->all[set->n++] = hash;
    return true;
}
