#include "store/segment/page_cache.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/ensure.h"
#include "base/mem.h"

#define BUCKETS_FIRST 256

struct segment_cache {
    pthread_mutex_t lock;
    size_t references;
    uint64_t owners; /* given out */
    struct cache_entry **buckets;
    size_t n_buckets, n;
    size_t bytes, limit;
    struct cache_entry *newest, *oldest;
};

struct segment_cache *segment_cache_new(size_t limit_bytes)
{
    struct segment_cache *cache = xcalloc(1, sizeof *cache);
    pthread_mutex_init(&cache->lock, NULL);
    cache->references = 1;
    cache->limit = limit_bytes;
    cache->n_buckets = BUCKETS_FIRST;
    cache->buckets = xcalloc(cache->n_buckets, sizeof(struct cache_entry *));
    return cache;
}

struct segment_cache *segment_cache_get(struct segment_cache *cache)
{
    pthread_mutex_lock(&cache->lock);
    cache->references++;
    pthread_mutex_unlock(&cache->lock);
    return cache;
}

size_t segment_cache_bytes(struct segment_cache *cache)
{
    pthread_mutex_lock(&cache->lock);
    size_t bytes = cache->bytes;
    pthread_mutex_unlock(&cache->lock);
    return bytes;
}

uint64_t cache_owner(struct segment_cache *cache)
{
    pthread_mutex_lock(&cache->lock);
    uint64_t owner = ++cache->owners;
    pthread_mutex_unlock(&cache->lock);
    return owner;
}

/* ---- inside, under the lock ---- */

static size_t entry_bytes(const struct cache_entry *entry)
{
    return sizeof *entry + entry->arena.used_bytes;
}

static struct cache_entry **bucket_of(struct segment_cache *cache, uint64_t owner, uint32_t page)
{
    uint64_t hash = (owner << 32 ^ page) * UINT64_C(0x9e3779b97f4a7c15);
    return &cache->buckets[(hash >> 32) & (cache->n_buckets - 1)];
}

static struct cache_entry *look_up(struct segment_cache *cache, uint64_t owner, uint32_t page)
{
    struct cache_entry *e = *bucket_of(cache, owner, page);
    while (e && (e->owner != owner || e->page != page))
        e = e->next;
    return e;
}

static void list_remove(struct segment_cache *cache, struct cache_entry *e)
{
    *(e->newer ? &e->newer->older : &cache->newest) = e->older;
    *(e->older ? &e->older->newer : &cache->oldest) = e->newer;
}

static void list_add(struct segment_cache *cache, struct cache_entry *e)
{
    e->newer = NULL;
    e->older = cache->newest;
    *(cache->newest ? &cache->newest->newer : &cache->oldest) = e;
    cache->newest = e;
}

static void drop(struct segment_cache *cache, struct cache_entry *e)
{
    struct cache_entry **at = bucket_of(cache, e->owner, e->page);
    ensure(e->holders == 0);
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    list_remove(cache, e);
    cache->n--;
    cache->bytes -= entry_bytes(e);
    arena_fini(&e->arena);
    free(e);
}

static void evict(struct segment_cache *cache)
{
    for (struct cache_entry *e = cache->oldest, *newer; e && cache->bytes > cache->limit;
         e = newer) {
        newer = e->newer;
        if (e->holders == 0)
            drop(cache, e);
    }
}

static void grow(struct segment_cache *cache)
{
    free(cache->buckets);
    cache->n_buckets *= 2;
    cache->buckets = xcalloc(cache->n_buckets, sizeof(struct cache_entry *));
    for (struct cache_entry *e = cache->newest; e; e = e->older) {
        struct cache_entry **at = bucket_of(cache, e->owner, e->page);
        e->next = *at;
        *at = e;
    }
}

static struct cache_entry *hold(struct segment_cache *cache, struct cache_entry *e)
{
    e->holders++;
    list_remove(cache, e);
    list_add(cache, e);
    return e;
}

static void insert(struct segment_cache *cache, struct cache_entry *e)
{
    if (cache->n >= cache->n_buckets)
        grow(cache);
    struct cache_entry **at = bucket_of(cache, e->owner, e->page);
    e->next = *at;
    *at = e;
    list_add(cache, e);
    cache->n++;
    cache->bytes += entry_bytes(e);
    evict(cache);
}

/* ---- from outside ---- */

struct cache_entry *cache_find(struct segment_cache *cache, uint64_t owner, uint32_t page)
{
    pthread_mutex_lock(&cache->lock);
    struct cache_entry *e = look_up(cache, owner, page);
    if (e)
        hold(cache, e);
    pthread_mutex_unlock(&cache->lock);
    return e;
}

struct cache_entry *cache_put(struct segment_cache *cache, uint64_t owner, uint32_t page,
    const void *value, struct arena *arena_take)
{
    struct cache_entry *mine = xmalloc(sizeof *mine);
    *mine = (struct cache_entry){
        .value = value, .arena = *arena_take, .owner = owner, .page = page, .holders = 1};
    *arena_take = (struct arena){0};
    pthread_mutex_lock(&cache->lock);
    struct cache_entry *there = look_up(cache, owner, page);
    if (there)
        hold(cache, there);
    else
        insert(cache, mine);
    pthread_mutex_unlock(&cache->lock);
    if (!there)
        return mine;
    arena_fini(&mine->arena);
    free(mine);
    return there;
}

void cache_release(struct segment_cache *cache, struct cache_entry *entry)
{
    if (!entry)
        return;
    pthread_mutex_lock(&cache->lock);
    ensure(entry->holders > 0);
    entry->holders--;
    evict(cache);
    pthread_mutex_unlock(&cache->lock);
}

void cache_forget(struct segment_cache *cache, uint64_t owner)
{
    pthread_mutex_lock(&cache->lock);
    for (struct cache_entry *e = cache->newest, *older; e; e = older) {
        older = e->older;
        if (e->owner == owner)
            drop(cache, e);
    }
    pthread_mutex_unlock(&cache->lock);
}

void segment_cache_put(struct segment_cache **cache)
{
    struct segment_cache *c = *cache;
    *cache = NULL;
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    bool last = --c->references == 0;
    pthread_mutex_unlock(&c->lock);
    if (!last)
        return;
    ensure(c->n == 0); /* its segments are closed */
    pthread_mutex_destroy(&c->lock);
    free(c->buckets);
    free(c);
}
