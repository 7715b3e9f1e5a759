#include "ingest/lifecycle/life_cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/pages.h"

#define WAYS 4
#define LINE 64
/* In a stamp: the entity has a life that goes on. Below it: the batch that has put it. */
#define OPEN (UINT32_C(1) << 31)

/* Two lines of the processor's cache. */
struct set {
    struct hash128 keys[WAYS];
    int64_t generations[WAYS];
    uint32_t stamps[WAYS]; /* 0: free */
    uint32_t spare[4];
};

struct life_cache {
    size_t record_bytes, n; /* sets */
    struct set *sets;
    uint8_t *records;
};

struct life_cache *life_cache_new(size_t record_bytes, size_t bytes)
{
    struct life_cache *c = xcalloc(1, sizeof *c);
    size_t n = bytes / (sizeof(struct set) + WAYS * record_bytes);
    c->record_bytes = record_bytes;
    c->n = n ? n : 1;
    c->sets = pages_new(c->n * sizeof *c->sets);
    c->records = pages_new(c->n * WAYS * record_bytes);
    return c;
}

void life_cache_free(struct life_cache **cache)
{
    struct life_cache *c = *cache;
    *cache = NULL;
    if (!c)
        return;
    pages_free(c->sets, c->n * sizeof *c->sets);
    pages_free(c->records, c->n * WAYS * c->record_bytes);
    free(c);
}

static struct set *set_of(const struct life_cache *c, struct hash128 key)
{
    return &c->sets[(size_t)((unsigned __int128)key.hi * c->n >> 64)];
}

static uint8_t *record_of(const struct life_cache *c, const struct set *set, size_t way)
{
    return c->records + ((size_t)(set - c->sets) * WAYS + way) * c->record_bytes;
}

/* WAYS: it is not here. */
static size_t way_of(const struct set *set, struct hash128 key)
{
    size_t way = 0;
    while (way < WAYS && !(set->stamps[way] && hash128_eq(set->keys[way], key)))
        way++;
    return way;
}

void life_cache_prefetch(const struct life_cache *cache, struct hash128 key)
{
    const struct set *set = set_of(cache, key);
    __builtin_prefetch(set->keys);
    __builtin_prefetch(set->generations);
}

const uint8_t *life_cache_find(
    const struct life_cache *cache, struct hash128 key, int64_t *generation)
{
    const struct set *set = set_of(cache, key);
    size_t way = way_of(set, key);
    if (way == WAYS)
        return NULL;
    const uint8_t *record = record_of(cache, set, way);
    for (size_t at = 0; at < cache->record_bytes; at += LINE)
        __builtin_prefetch(record + at);
    *generation = set->generations[way];
    return record;
}

static size_t victim_of(const struct set *set)
{
    size_t least = 0;
    for (size_t way = 1; way < WAYS; way++)
        if (set->stamps[way] < set->stamps[least])
            least = way;
    return least;
}

void life_cache_put(struct life_cache *cache, struct hash128 key, int64_t generation,
    const uint8_t *record, bool ended, uint32_t batch)
{
    struct set *set = set_of(cache, key);
    size_t way = way_of(set, key);
    if (way == WAYS)
        way = victim_of(set);
    set->keys[way] = key;
    set->generations[way] = generation;
    set->stamps[way] = (batch % (OPEN - 1) + 1) | (ended ? 0 : OPEN);
    memcpy(record_of(cache, set, way), record, cache->record_bytes);
}

void life_cache_remove(struct life_cache *cache, struct hash128 key)
{
    struct set *set = set_of(cache, key);
    size_t way = way_of(set, key);
    if (way < WAYS)
        set->stamps[way] = 0;
}
