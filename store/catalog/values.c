/*
 * Label names and values, for metadata. The lock is taken for strides; what was removed between two
 * of them is left out. Ids of pairs are never given again, so a caller may keep them.
 */
#include "store/catalog/catalog_priv.h"

#include "base/mem.h"

#define STRIDE 1024 /* rows or pairs under one lock */

bool catalog_values_next(
    struct catalog *catalog, struct slice name, int64_t last, struct catalog_values *out)
{
    out->n = 0;
    catalog_lock_read(catalog);
    uint32_t id = catalog_find_name(catalog, name);
    if (id != MAP_NONE)
        catalog_next_values(catalog, id, last, out);
    catalog_unlock(catalog);
    return out->n > 0;
}

size_t catalog_pair_ids(
    struct catalog *catalog, uint32_t pair, uint32_t least, uint32_t *out, size_t max)
{
    size_t n = 0;
    catalog_lock_read(catalog);
    struct id_cursor cursor =
        id_cursor_new(&catalog->pool, &catalog_pair_at(catalog, pair)->series);
    uint32_t id;
    for (bool more = max > 0 && id_cursor_seek(&cursor, least, &id); more;) {
        out[n++] = id;
        more = n < max && id_cursor_next(&cursor, &id);
    }
    catalog_unlock(catalog);
    return n;
}

/* The place in the row of the pair with that name; row.n when there is none. */
static uint32_t place_of(const struct catalog *catalog, struct catalog_row row, uint32_t name)
{
    uint32_t i = 0;
    while (i < row.n && catalog_pair_at(catalog, row.pairs[i])->name != name)
        i++;
    return i;
}

size_t catalog_uses(struct catalog *catalog, struct slice name, const uint32_t *ids, size_t n,
    struct catalog_use *out)
{
    size_t found = 0;
    catalog_lock_read(catalog);
    uint32_t id = catalog_find_name(catalog, name);
    for (size_t i = 0; i < n && id != MAP_NONE; i++) {
        if (i % STRIDE == STRIDE - 1) {
            catalog_unlock(catalog);
            catalog_lock_read(catalog);
        }
        struct catalog_row row = catalog_row_of(catalog, ids[i]);
        uint32_t at = place_of(catalog, row, id);
        if (!row.pairs || at == row.n)
            continue;
        out[found++] =
            (struct catalog_use){row.pairs[at], ids[i], catalog_value(catalog, row.pairs[at])};
    }
    catalog_unlock(catalog);
    return found;
}

/* ---- names ---- */

size_t catalog_names(struct catalog *catalog, struct slice **out)
{
    catalog_lock_read(catalog);
    size_t n = catalog->n_names;
    *out = xcalloc(n, sizeof **out);
    for (size_t i = 0; i < n; i++)
        if (catalog->names[i].n_pairs > 0)
            (*out)[i] = catalog->names[i].name;
    catalog_unlock(catalog);
    return n;
}

static bool has_other(
    const struct catalog *catalog, struct catalog_row row, const bool *known, size_t n_known)
{
    for (uint32_t i = 0; i < row.n; i++) {
        uint32_t name = catalog_pair_at(catalog, row.pairs[i])->name;
        if (name < n_known && !known[name])
            return true;
    }
    return false;
}

size_t catalog_with_other_names(struct catalog *catalog, const uint32_t *ids, size_t n_ids,
    size_t *at, const bool *known, size_t n_known, uint32_t *out, size_t max)
{
    size_t n = 0;
    catalog_lock_read(catalog);
    size_t end = ids ? n_ids : catalog->n_series;
    for (size_t walked = 1; *at < end && n < max; ++*at, walked++) {
        uint32_t id = ids ? ids[*at] : (uint32_t)*at;
        if (walked % STRIDE == 0) {
            catalog_unlock(catalog);
            catalog_lock_read(catalog);
        }
        if (has_other(catalog, catalog_row_of(catalog, id), known, n_known))
            out[n++] = id;
    }
    catalog_unlock(catalog);
    return n;
}

/* ---- counts ---- */

uint64_t catalog_count_pairs(
    struct catalog *catalog, const uint32_t *ids, size_t n_ids, uint32_t **counts, size_t *n)
{
    uint64_t series = 0;
    catalog_lock_read(catalog);
    *n = catalog->n_pairs;
    size_t end = ids ? n_ids : catalog->n_series;
    catalog_unlock(catalog);
    *counts = xcalloc(*n, sizeof **counts);
    catalog_lock_read(catalog);
    for (size_t i = 0; i < end; i++) {
        if (i % STRIDE == STRIDE - 1) {
            catalog_unlock(catalog);
            catalog_lock_read(catalog);
        }
        struct catalog_row row = catalog_row_of(catalog, ids ? ids[i] : (uint32_t)i);
        series += row.n > 0;
        for (uint32_t k = 0; k < row.n; k++)
            if (row.pairs[k] < *n)
                (*counts)[row.pairs[k]]++;
    }
    catalog_unlock(catalog);
    return series;
}

void catalog_each_pair(struct catalog *catalog, size_t n, catalog_pair_f *each, void *ctx)
{
    catalog_lock_read(catalog);
    for (size_t i = 0; i < n; i++) {
        if (i % STRIDE == STRIDE - 1) {
            catalog_unlock(catalog);
            catalog_lock_read(catalog);
        }
        const struct catalog_pair *pair = catalog_pair_at(catalog, (uint32_t)i);
        if (pair->value != POOL_NONE)
            each(ctx, (uint32_t)i, pair->name, catalog->names[pair->name].name,
                catalog_value(catalog, (uint32_t)i));
    }
    catalog_unlock(catalog);
}
