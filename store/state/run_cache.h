/*
 * Pages of runs that were read lately, for all tables of a store. Set-associative: a page belongs
 * to one set, of as many as its memory is for, each of which keeps the pages that were used last
 * within 32 KiB (or one page that is larger). One mutex; it is held for a search in one page, never
 * for I/O.
 */
#ifndef STORE_STATE_RUN_CACHE_H
#define STORE_STATE_RUN_CACHE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUN_CACHE_SET_PAGES 8
#define RUN_CACHE_SET_BYTES (32u << 10)

struct cached_page {
    uint64_t run; /* number of the run within the process */
    uint32_t page, bytes;
    uint8_t *ptr; /* NULL: free place */
};

struct run_cache {
    pthread_mutex_t mutex;
    struct cached_page (*sets)[RUN_CACHE_SET_PAGES]; /* newest first */
    size_t n_sets;
    size_t bytes;
    uint64_t hits, misses;
};

/* At most max_bytes of pages, or one set; never more than 32 MiB. */
void run_cache_init(struct run_cache *cache, size_t max_bytes);
void run_cache_fini(struct run_cache *cache);
/* Called with the page's bytes, under the mutex. */
typedef void run_page_f(void *ctx, const uint8_t *page);
/* False: the page is not here. */
bool run_cache_use(
    struct run_cache *cache, uint64_t run, uint32_t page, run_page_f *use, void *ctx);
/* Takes a page over that was read and checked (free() frees it). */
void run_cache_add(
    struct run_cache *cache, uint64_t run, uint32_t page, uint8_t *ptr_take, uint32_t bytes);
size_t run_cache_bytes(struct run_cache *cache);

#endif
