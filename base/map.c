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
    if (map->size > 1024 && map->used * 16 < map->size) {
        map_fini(map);
        return;
    }
    for (size_t i = 0; i < map->size; i++)
        map->slots[i] = (struct map_slot){0, MAP_NONE};
    map->used = 0;
}

/* Callers' hashes may be weak in their upper half, which decides the home: a multiplication by an
 * odd number carries the lower half there and loses nothing. */
static uint32_t fold(uint64_t hash)
{
    return (uint32_t)(hash ^ hash >> 32) * 0x9e3779b1u;
}

static size_t home(const struct map *map, uint32_t hash)
{
    return (size_t)(((uint64_t)hash * map->size) >> 32);
}

static size_t next(const struct map *map, size_t i)
{
    return i + 1 < map->size ? i + 1 : 0;
}

static void place(struct map *map, uint32_t hash, uint32_t id)
{
    size_t i = home(map, hash);
    while (map->slots[i].id != MAP_NONE)
        i = next(map, i);
    map->slots[i] = (struct map_slot){hash, id};
}

static void rehash(struct map *map, size_t n)
{
    struct map_slot *old = map->slots;
    size_t old_n = map->size;
    ensure(n <= UINT32_MAX);
    map->slots = xreallocarray(NULL, n, sizeof *map->slots);
    map->size = n;
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
    uint32_t h = fold(hash);
    for (size_t i = home(map, h); map->slots[i].id != MAP_NONE; i = next(map, i))
        if (map->slots[i].hash == h && match(ctx, key, map->slots[i].id))
            return map->slots[i].id;
    return MAP_NONE;
}

void map_prefetch(const struct map *map, uint64_t hash)
{
    if (map->slots)
        __builtin_prefetch(&map->slots[home(map, fold(hash))], 1);
}

void map_insert(struct map *map, uint64_t hash, uint32_t id)
{
    ensure(id != MAP_NONE);
    if (!map->slots)
        rehash(map, 16);
    else if ((map->used + 1) * 5 > map->size * 4)
        rehash(map, map->size + map->size / 2);
    place(map, fold(hash), id);
    map->used++;
}

/* Whether an entry at home h, found at `at`, may move back to the hole: the hole must lie between
 * its home and where it is, the table being a ring. */
static bool may_move(size_t hole, size_t h, size_t at)
{
    return h <= at ? h <= hole && hole < at : h <= hole || hole < at;
}

void map_remove(struct map *map, uint64_t hash, uint32_t id)
{
    ensure(map->slots != NULL);
    size_t hole = home(map, fold(hash));
    while (map->slots[hole].id != id) {
        ensure(map->slots[hole].id != MAP_NONE);
        hole = next(map, hole);
    }
    for (size_t i = next(map, hole); map->slots[i].id != MAP_NONE; i = next(map, i)) {
        if (!may_move(hole, home(map, map->slots[i].hash), i))
            continue;
        map->slots[hole] = map->slots[i];
        hole = i;
    }
    map->slots[hole] = (struct map_slot){0, MAP_NONE};
    map->used--;
}

size_t map_bytes(const struct map *map)
{
    return map->size * sizeof *map->slots;
}
