#include "store/state/run_cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"

#define SETS_MAX 1024

void run_cache_init(struct run_cache *cache, size_t max_bytes)
{
    size_t n = max_bytes / RUN_CACHE_SET_BYTES;
    *cache = (struct run_cache){.n_sets = n == 0 ? 1 : n < SETS_MAX ? n : SETS_MAX};
    mutex_init(&cache->mutex);
    cache->sets = xcalloc(cache->n_sets, sizeof *cache->sets);
}

void run_cache_fini(struct run_cache *cache)
{
    for (size_t s = 0; s < cache->n_sets; s++)
        for (size_t i = 0; i < RUN_CACHE_SET_PAGES; i++)
            free(cache->sets[s][i].ptr);
    free(cache->sets);
    pthread_mutex_destroy(&cache->mutex);
}

static struct cached_page *set_of(struct run_cache *cache, uint64_t run, uint32_t page)
{
    uint64_t h = (run * UINT64_C(0x9e3779b97f4a7c15) + page) * UINT64_C(0xc2b2ae3d27d4eb4f);
    return cache->sets[(h >> 32) * cache->n_sets >> 32];
}

static struct cached_page *find(struct cached_page *set, uint64_t run, uint32_t page)
{
    for (size_t i = 0; i < RUN_CACHE_SET_PAGES && set[i].ptr; i++)
        if (set[i].run == run && set[i].page == page)
            return &set[i];
    return NULL;
}

static void to_front(struct cached_page *set, struct cached_page *at)
{
    struct cached_page used = *at;
    memmove(set + 1, set, (size_t)(at - set) * sizeof *set);
    set[0] = used;
}

bool run_cache_use(struct run_cache *cache, uint64_t run, uint32_t page, run_page_f *use, void *ctx)
{
    mutex_lock(&cache->mutex);
    struct cached_page *set = set_of(cache, run, page), *at = find(set, run, page);
    if (at) {
        to_front(set, at);
        use(ctx, set[0].ptr);
        cache->hits++;
    } else {
        cache->misses++;
    }
    mutex_unlock(&cache->mutex);
    return at != NULL;
}

/* Drops the oldest pages until one more of `bytes` fits. */
static void make_room(struct run_cache *cache, struct cached_page *set, uint32_t bytes)
{
    size_t n = 0, total = bytes;
    while (n < RUN_CACHE_SET_PAGES && set[n].ptr)
        total += set[n++].bytes;
    while (n && (n == RUN_CACHE_SET_PAGES || total > RUN_CACHE_SET_BYTES)) {
        n--;
        total -= set[n].bytes;
        cache->bytes -= set[n].bytes;
        free(set[n].ptr);
        set[n] = (struct cached_page){0};
    }
}

void run_cache_add(
    struct run_cache *cache, uint64_t run, uint32_t page, uint8_t *ptr_take, uint32_t bytes)
{
    mutex_lock(&cache->mutex);
    struct cached_page *set = set_of(cache, run, page);
    if (find(set, run, page)) { /* another thread read it too */
        free(ptr_take);
    } else {
        make_room(cache, set, bytes);
        memmove(set + 1, set, (RUN_CACHE_SET_PAGES - 1) * sizeof *set);
        set[0] = (struct cached_page){run, page, bytes, ptr_take};
        cache->bytes += bytes;
    }
    mutex_unlock(&cache->mutex);
}

size_t run_cache_bytes(struct run_cache *cache)
{
    mutex_lock(&cache->mutex);
    size_t bytes = cache->bytes + cache->n_sets * sizeof *cache->sets;
    mutex_unlock(&cache->mutex);
    return bytes;
}
