#include "store/catalog/pool.h"

#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"

void pool_init(struct pool *pool)
{
    *pool = (struct pool){0};
}

void pool_fini(struct pool *pool)
{
    for (size_t i = 0; i < pool->n_chunks; i++)
        free(pool->chunks[i]);
    free(pool->chunks);
    *pool = (struct pool){0};
}

static uint32_t units_of(size_t size)
{
    ensure(size > 0 && size <= POOL_BYTES_MAX);
    return (uint32_t)((size + POOL_UNIT - 1) / POOL_UNIT);
}

/* Keeps free units for later, in pieces that have a list. */
static void keep(struct pool *pool, uint32_t ref, uint32_t units)
{
    while (units > 0) {
        uint32_t piece = units < POOL_CLASSES ? units : POOL_CLASSES;
        memcpy(pool_at(pool, ref), &pool->free[piece], sizeof pool->free[piece]);
        pool->free[piece] = ref;
        ref += piece;
        units -= piece;
    }
}

static void add_chunk(struct pool *pool)
{
    keep(pool, pool->at, pool->end - pool->at);
    ensure(pool->n_chunks < UINT32_MAX / POOL_CHUNK_UNITS);
    GROW(pool->chunks, pool->chunks_cap, pool->n_chunks + 1);
    pool->chunks[pool->n_chunks] = xmalloc((size_t)POOL_CHUNK_UNITS * POOL_UNIT);
    pool->at = (uint32_t)pool->n_chunks * POOL_CHUNK_UNITS;
    pool->end = pool->at + POOL_CHUNK_UNITS;
    if (pool->n_chunks++ == 0)
        pool->at++; /* POOL_NONE */
}

uint32_t pool_alloc(struct pool *pool, size_t size)
{
    uint32_t units = units_of(size), ref;
    if (units <= POOL_CLASSES && pool->free[units] != POOL_NONE) {
        ref = pool->free[units];
        memcpy(&pool->free[units], pool_at(pool, ref), sizeof pool->free[units]);
        return ref;
    }
    if (pool->end - pool->at < units)
        add_chunk(pool);
    ref = pool->at;
    pool->at += units;
    return ref;
}

void pool_free(struct pool *pool, uint32_t ref, size_t size)
{
    uint32_t units = units_of(size);
    memset(pool_at(pool, ref), 0, (size_t)units * POOL_UNIT);
    keep(pool, ref, units);
}

size_t pool_bytes(const struct pool *pool)
{
    return pool->n_chunks * POOL_CHUNK_UNITS * POOL_UNIT + pool->chunks_cap * sizeof *pool->chunks;
}
