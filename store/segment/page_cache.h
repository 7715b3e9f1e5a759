/*
 * A bounded cache of unpacked pages: pieces of directories, label columns, dictionaries, postings.
 * Several segments share one. An entry that is held is not evicted, so the cache may pass its limit
 * by what is held at once, and by no more.
 *
 * Thread-safe: one mutex, held for a look-up and no I/O. Two threads that miss the same page both
 * read it, and the first to put it wins.
 */
#ifndef STORE_SEGMENT_PAGE_CACHE_H
#define STORE_SEGMENT_PAGE_CACHE_H

#include <stdint.h>

#include "base/arena.h"
#include "store/segment.h"

struct cache_entry {
    const void *value;  /* what the page was unpacked to */
    struct arena arena; /* holds it */
    uint64_t owner;
    uint32_t page;
    uint32_t holders;
    struct cache_entry *next;          /* in its bucket */
    struct cache_entry *newer, *older; /* by last use */
};

struct segment_cache *segment_cache_get(struct segment_cache *cache);
/* A number that no other owner of the cache has had. */
uint64_t cache_owner(struct segment_cache *cache);
/* The entry, held, or NULL. */
struct cache_entry *cache_find(struct segment_cache *cache, uint64_t owner, uint32_t page);
/* Puts a page and returns its entry, held. The arena is taken over. */
struct cache_entry *cache_put(struct segment_cache *cache, uint64_t owner, uint32_t page,
    const void *value, struct arena *arena_take);
/* Lets an entry go; NULL is fine. */
void cache_release(struct segment_cache *cache, struct cache_entry *entry);
/* Drops all pages of an owner, none of which is held. */
void cache_forget(struct segment_cache *cache, uint64_t owner);

#endif
