/*
 * A pool: many small blocks of memory that come and go, in chunks of 256 KiB, addressed by 32-bit
 * references in units of 8 bytes, so that a structure of a million entries holds references of
 * half a pointer's size and no allocator's headers.
 *
 *     chunk 0: | none | block | block | ...        chunk 1: | block ...
 *
 * A freed block is zeroed and kept for the next one of its size. Addresses are stable for as long
 * as the block lives. Not thread-safe: who owns the pool has a lock.
 */
#ifndef STORE_CATALOG_POOL_H
#define STORE_CATALOG_POOL_H

#include <stddef.h>
#include <stdint.h>

#define POOL_BYTES_MAX (128u << 10) /* of one block */
#define POOL_NONE      0            /* no block has this reference */

#define POOL_UNIT        8
#define POOL_CHUNK_UNITS (1u << 15)
#define POOL_CLASSES     128 /* sizes up to 1 KiB are kept apart when freed */

struct pool {
    char **chunks;
    size_t n_chunks, chunks_cap;
    uint32_t at, end; /* free units of the newest chunk */
    uint32_t free[POOL_CLASSES + 1];
};

void pool_init(struct pool *pool);
void pool_fini(struct pool *pool);
/* 1 to POOL_BYTES_MAX bytes, aligned to 8, not zeroed. */
uint32_t pool_alloc(struct pool *pool, size_t size);
/* size: as it was allocated. */
void pool_free(struct pool *pool, uint32_t ref, size_t size);
size_t pool_bytes(const struct pool *pool);

static inline void *pool_at(const struct pool *pool, uint32_t ref)
{
    return pool->chunks[ref / POOL_CHUNK_UNITS] + (size_t)(ref % POOL_CHUNK_UNITS) * POOL_UNIT;
}

#endif
