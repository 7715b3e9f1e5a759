/*
 * Inside the catalogue: what catalog.c and its neighbours share. The functions need the lock, as
 * those "for the writer, or under the lock" in store/catalog.h.
 */
#ifndef STORE_CATALOG_CATALOG_PRIV_H
#define STORE_CATALOG_CATALOG_PRIV_H

#include "store/catalog.h"

#define CATALOG_ROW_BITS 7 /* of catalog_series.metric */

/* pairs NULL: the series is dead. */
struct catalog_row {
    const uint32_t *pairs;
    uint32_t n, metric;
};

static inline struct catalog_pair *catalog_pair_at(const struct catalog *catalog, uint32_t pair)
{
    return &catalog->pairs[pair / CATALOG_CHUNK][pair % CATALOG_CHUNK];
}

static inline struct slice catalog_value(const struct catalog *catalog, uint32_t pair)
{
    const struct catalog_pair *p = catalog_pair_at(catalog, pair);
    return slice_of(pool_at(&catalog->pool, p->value), p->value_len);
}

static inline struct catalog_row catalog_row_of(const struct catalog *catalog, uint32_t series)
{
    const struct catalog_series *chunk = catalog->series[series / CATALOG_CHUNK];
    const struct catalog_series *s = chunk ? &chunk[series % CATALOG_CHUNK] : NULL;
    if (!s || s->row == POOL_NONE)
        return (struct catalog_row){0};
    return (struct catalog_row){(const uint32_t *)pool_at(&catalog->pool, s->row),
        s->metric & ((1u << CATALOG_ROW_BITS) - 1), s->metric >> CATALOG_ROW_BITS};
}

/* Asks for the record of a series, before its row. */
static inline void catalog_prefetch(const struct catalog *catalog, uint32_t series)
{
    const struct catalog_series *chunk = catalog->series[series / CATALOG_CHUNK];
    if (chunk)
        __builtin_prefetch(&chunk[series % CATALOG_CHUNK]);
}

void catalog_lock_write(struct catalog *catalog);
/* MAP_NONE: unknown. */
uint32_t catalog_find_name(const struct catalog *catalog, struct slice name);
uint32_t catalog_find_pair(const struct catalog *catalog, uint32_t name, struct slice value);
/* They are found no more; the labels are those of the series. */
void catalog_unmap_pair(struct catalog *catalog, uint32_t pair);
void catalog_unmap_series(struct catalog *catalog, uint32_t series, struct labels labels);
/* The next values of a name, after pair `last`; by pair id, since the place of a pair changes when
 * series are removed. */
void catalog_next_values(
    const struct catalog *catalog, uint32_t name, int64_t last, struct catalog_values *out);

#endif
