#include "base/map.h"

#include <stdlib.h>

#include "base/ensure.h"
#include "base/mem.h"

void map_init(struct map *map)
{
    *map = (struct map){0};
}

void map_fini(struct map *map)
{
    free(map->slots);
    *map = (struct map){0};
}

void map_clear(struct map *map)
{
    if (!map->slots)
        return;
    if (map->mask + 1 > 1024 && map->used * 16 < map->mask + 1) {
        map_fini(map);
        return;
    }
    for (size_t i = 0; i <= map->mask; i++)
        map->slots[i] = (struct map_slot){0, MAP_NONE};
    map->used = 0;
}

static void place(struct map *map, uint32_t hash, uint32_t id)
{
    size_t i = hash & map->mask;
    while (map->slots[i].id != MAP_NONE)
        i = (i + 1) & map->mask;
    map->slots[i] = (struct map_slot){hash, id};
}

static void rehash(struct map *map, size_t n)
{
    struct map_slot *old = map->slots;
    size_t old_n = old ? map->mask + 1 : 0;
    map->slots = xreallocarray(NULL, n, sizeof *map->slots);
    map->mask = n - 1;
    for (size_t i = 0; i < n; i++)
        map->slots[i] = (struct map_slot){0, MAP_NONE};
    for (size_t i = 0; i < old_n; i++)
        if (old[i].id != MAP_NONE)
            place(map, old[i].hash, old[i].id);
    free(old);
}

uint32_t map_find(
    const struct map *map, uint64_t hash, map_match_f *match, const void *ctx, const void *key)
{
    if (!map->slots)
        return MAP_NONE;
    uint32_t h = (uint32_t)(hash ^ hash >> 32);
    for (size_t i = h & map->mask; map->slots[i].id != MAP_NONE; i = (i + 1) & map->mask)
        if (map->slots[i].hash == h && match(ctx, key, map->slots[i].id))
            return map->slots[i].id;
    return MAP_NONE;
}

void map_insert(struct map *map, uint64_t hash, uint32_t id)
{
    ensure(id != MAP_NONE);
    if (!map->slots)
        rehash(map, 16);
    else if ((map->used + 1) * 4 > (map->mask + 1) * 3)
        rehash(map, (map->mask + 1) * 2);
    place(map, (uint32_t)(hash ^ hash >> 32), id);
    map->used++;
}

size_t map_bytes(const struct map *map)
{
    return map->slots ? (map->mask + 1) * sizeof *map->slots : 0;
}
