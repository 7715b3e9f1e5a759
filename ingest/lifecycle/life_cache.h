/*
 * The records of entities that were written lately, as they are committed: an order's next event
 * comes some minutes after the last one, when its record has long gone from the store's memory to a
 * file. It is bounded by memory, and what is not here is asked of the store.
 *
 *     set := 4 ways of { key, generation, stamp }      its records stand apart, one per way
 *
 * In a full set the entities go first whose lives have ended, and of those the ones that were put
 * longest ago. Any number of threads look while nobody puts.
 */
#ifndef INGEST_LIFECYCLE_LIFE_CACHE_H
#define INGEST_LIFECYCLE_LIFE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checksum.h"

struct life_cache;

/* For records of this size, in at most `bytes`, a set at least. Memory is taken as it is used. */
struct life_cache *life_cache_new(size_t record_bytes, size_t bytes);
void life_cache_free(struct life_cache **cache);

void life_cache_prefetch(const struct life_cache *cache, struct hash128 key);
/* NULL: it is not here. Borrowed until the next put. */
const uint8_t *life_cache_find(
    const struct life_cache *cache, struct hash128 key, int64_t *generation);
/* Also in the place of what is here of the key. batch: grows. */
void life_cache_put(struct life_cache *cache, struct hash128 key, int64_t generation,
    const uint8_t *record, bool ended, uint32_t batch);
void life_cache_remove(struct life_cache *cache, struct hash128 key);

#endif
