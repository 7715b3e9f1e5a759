#include "store/catalog.h"

#include <stdlib.h>

#include "base/checksum.h"
#include "base/ensure.h"
#include "base/mem.h"
#include "store/catalog/catalog_priv.h"

struct pair_key {
    uint32_t name;
    struct slice value;
};

void catalog_init(struct catalog *catalog)
{
    pthread_rwlockattr_t attr;
    *catalog = (struct catalog){0};
    arena_init(&catalog->strings, 0);
    pool_init(&catalog->pool);
    ensure(pthread_rwlockattr_init(&attr) == 0);
    ensure(pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP) == 0);
    ensure(pthread_rwlock_init(&catalog->lock, &attr) == 0);
    pthread_rwlockattr_destroy(&attr);
}

void catalog_fini(struct catalog *catalog)
{
    for (size_t i = 0; i < catalog->n_names; i++)
        free(catalog->names[i].pairs);
    for (size_t i = 0; i * CATALOG_CHUNK < catalog->n_pairs; i++)
        free(catalog->pairs[i]);
    for (size_t i = 0; i * CATALOG_CHUNK < catalog->n_series; i++)
        free(catalog->series[i]);
    for (size_t i = 0; i < CATALOG_MAPS; i++) {
        map_fini(&catalog->pair_maps[i]);
        map_fini(&catalog->series_maps[i]);
    }
    free(catalog->metrics);
    free(catalog->metric_series);
    free(catalog->metric_described);
    free(catalog->names);
    free(catalog->pairs);
    free(catalog->series);
    free(catalog->group_metric);
    free(catalog->chunk_live);
    free(catalog->garbage[0].strings);
    free(catalog->garbage[1].strings);
    map_fini(&catalog->metric_map);
    map_fini(&catalog->name_map);
    pool_fini(&catalog->pool);
    arena_fini(&catalog->strings);
    pthread_rwlock_destroy(&catalog->lock);
}

void catalog_lock_read(struct catalog *catalog)
{
    ensure(pthread_rwlock_rdlock(&catalog->lock) == 0);
}

void catalog_lock_write(struct catalog *catalog)
{
    ensure(pthread_rwlock_wrlock(&catalog->lock) == 0);
}

void catalog_unlock(struct catalog *catalog)
{
    ensure(pthread_rwlock_unlock(&catalog->lock) == 0);
}

/* ---- finding ---- */

static bool metric_matches(const void *ctx, const void *key, uint32_t id)
{
    const struct catalog *c = ctx;
    return slice_eq(c->metrics[id]->name, *(const struct slice *)key);
}

static bool name_matches(const void *ctx, const void *key, uint32_t id)
{
    const struct catalog *c = ctx;
    return slice_eq(c->names[id].name, *(const struct slice *)key);
}

static bool pair_matches(const void *ctx, const void *key, uint32_t id)
{
    const struct catalog *c = ctx;
    const struct pair_key *k = key;
    return catalog_pair_at(c, id)->name == k->name && slice_eq(catalog_value(c, id), k->value);
}

static bool series_matches(const void *ctx, const void *key, uint32_t id)
{
    const struct catalog *c = ctx;
    const struct labels *labels = key;
    struct catalog_row row = catalog_row_of(c, id);
    if (row.n != labels->n)
        return false;
    for (uint32_t i = 0; i < row.n; i++) {
        const struct catalog_pair *p = catalog_pair_at(c, row.pairs[i]);
        if (!slice_eq(catalog_value(c, row.pairs[i]), labels->items[i].value) ||
            !slice_eq(c->names[p->name].name, labels->items[i].name))
            return false;
    }
    return true;
}

static uint64_t slice_hash(struct slice s)
{
    return hash64(s.ptr, s.len);
}

static uint64_t pair_hash(const struct pair_key *key)
{
    return slice_hash(key->value) + key->name * 0x9e3779b97f4a7c15u;
}

/* By the upper bits, of which the map itself makes little use. */
static size_t map_of(uint64_t hash)
{
    return hash >> 58;
}

uint32_t catalog_find_metric(const struct catalog *catalog, struct slice name)
{
    return map_find(&catalog->metric_map, slice_hash(name), metric_matches, catalog, &name);
}

uint32_t catalog_find_series(const struct catalog *catalog, struct labels labels)
{
    uint64_t hash = labels_hash(labels);
    return map_find(&catalog->series_maps[map_of(hash)], hash, series_matches, catalog, &labels);
}

uint32_t catalog_find_name(const struct catalog *catalog, struct slice name)
{
    return map_find(&catalog->name_map, slice_hash(name), name_matches, catalog, &name);
}

uint32_t catalog_find_pair(const struct catalog *catalog, uint32_t name, struct slice value)
{
    struct pair_key key = {name, value};
    uint64_t hash = pair_hash(&key);
    return map_find(&catalog->pair_maps[map_of(hash)], hash, pair_matches, catalog, &key);
}

void catalog_unmap_pair(struct catalog *catalog, uint32_t pair)
{
    struct pair_key key = {catalog_pair_at(catalog, pair)->name, catalog_value(catalog, pair)};
    uint64_t hash = pair_hash(&key);
    map_remove(&catalog->pair_maps[map_of(hash)], hash, pair);
}

void catalog_unmap_series(struct catalog *catalog, uint32_t series, struct labels labels)
{
    uint64_t hash = labels_hash(labels);
    map_remove(&catalog->series_maps[map_of(hash)], hash, series);
}

bool catalog_has(const struct catalog *catalog, uint32_t series)
{
    return series < catalog->n_series && catalog_row_of(catalog, series).pairs != NULL;
}

uint32_t catalog_metric_of(const struct catalog *catalog, uint32_t series)
{
    struct catalog_row row = catalog_row_of(catalog, series);
    ensure(row.pairs != NULL);
    return row.metric;
}

uint32_t catalog_series_of_metric(const struct catalog *catalog, uint32_t metric)
{
    ensure(metric < catalog->n_metrics);
    return catalog->metric_series[metric];
}

const struct metric_def *catalog_def(const struct catalog *catalog, uint32_t series)
{
    return catalog->metrics[catalog_metric_of(catalog, series)];
}

struct labels catalog_labels(const struct catalog *catalog, uint32_t series, struct arena *arena)
{
    struct catalog_row row = catalog_row_of(catalog, series);
    struct label *items = arena_array(arena, row.n, sizeof *items);
    if (!items)
        return (struct labels){NULL, 0};
    for (uint32_t i = 0; i < row.n; i++)
        items[i] = (struct label){catalog->names[catalog_pair_at(catalog, row.pairs[i])->name].name,
            catalog_value(catalog, row.pairs[i])};
    return (struct labels){items, row.n};
}

bool catalog_matches(const struct catalog *catalog, uint32_t series,
    const struct matcher *const *matchers, size_t n_matchers)
{
    struct catalog_row row = catalog_row_of(catalog, series);
    if (!row.pairs)
        return false;
    for (size_t i = 0; i < n_matchers; i++) {
        struct slice value = {"", 0};
        for (uint32_t k = 0; k < row.n; k++) {
            const struct catalog_pair *p = catalog_pair_at(catalog, row.pairs[k]);
            if (slice_eq(catalog->names[p->name].name, matchers[i]->name))
                value = catalog_value(catalog, row.pairs[k]);
        }
        if (!matcher_matches(matchers[i], value))
            return false;
    }
    return true;
}

size_t catalog_bytes(const struct catalog *catalog)
{
    size_t bytes =
        catalog->strings.used_bytes + pool_bytes(&catalog->pool) + map_bytes(&catalog->metric_map) +
        map_bytes(&catalog->name_map) + catalog->metrics_cap * sizeof *catalog->metrics +
        catalog->names_cap * sizeof *catalog->names + catalog->pairs_cap * sizeof *catalog->pairs +
        catalog->series_cap * sizeof *catalog->series +
        catalog->group_metric_cap * sizeof *catalog->group_metric;
    for (size_t i = 0; i < CATALOG_MAPS; i++)
        bytes += map_bytes(&catalog->pair_maps[i]) + map_bytes(&catalog->series_maps[i]);
    for (size_t i = 0; i < catalog->n_names; i++)
        bytes += catalog->names[i].pairs_cap * sizeof(uint32_t);
    for (size_t i = 0; i * CATALOG_CHUNK < catalog->n_pairs; i++)
        bytes += CATALOG_CHUNK * sizeof(struct catalog_pair);
    for (size_t i = 0; i * CATALOG_CHUNK < catalog->n_series; i++)
        bytes += catalog->series[i] ? CATALOG_CHUNK * sizeof(struct catalog_series) : 0;
    return bytes;
}

/* ---- adding ---- */

static const struct metric_def *keep_metric(struct catalog *catalog, const struct metric_def *def)
{
    struct metric_def *kept = arena_alloc(&catalog->strings, sizeof *kept);
    *kept = *def;
    kept->name = arena_slice(&catalog->strings, def->name);
    kept->clock = arena_slice(&catalog->strings, def->clock);
    kept->help = arena_slice(&catalog->strings, def->help);
    kept->unit = arena_slice(&catalog->strings, def->unit);
    return kept;
}

uint32_t catalog_add_metric(struct catalog *catalog, const struct metric_def *def)
{
    ensure(catalog->n_metrics < CATALOG_METRICS_MAX);
    catalog_lock_write(catalog);
    uint32_t id = (uint32_t)catalog->n_metrics;
    GROW(catalog->metrics, catalog->metrics_cap, catalog->n_metrics + 1);
    GROW(catalog->metric_series, catalog->metric_series_cap, catalog->n_metrics + 1);
    GROW(catalog->metric_described, catalog->metric_described_cap, catalog->n_metrics + 1);
    catalog->metric_series[catalog->n_metrics] = 0;
    catalog->metric_described[catalog->n_metrics] = 0;
    catalog->metrics[catalog->n_metrics++] = keep_metric(catalog, def);
    map_insert(&catalog->metric_map, slice_hash(def->name), id);
    catalog_unlock(catalog);
    return id;
}

void catalog_update_metric(struct catalog *catalog, uint32_t metric, const struct metric_def *def)
{
    catalog_lock_write(catalog);
    struct metric_def next = *catalog->metrics[metric];
    next.clock = def->clock;
    next.help = def->help;
    next.unit = def->unit;
    next.stale_after_ms = def->stale_after_ms;
    next.schema = def->schema;
    catalog->metrics[metric] = keep_metric(catalog, &next);
    catalog->metric_described[metric] = ++catalog->descriptions;
    catalog_unlock(catalog);
}

static uint32_t intern_name(struct catalog *catalog, struct slice name)
{
    uint32_t id = catalog_find_name(catalog, name);
    if (id != MAP_NONE)
        return id;
    id = (uint32_t)catalog->n_names;
    GROW(catalog->names, catalog->names_cap, catalog->n_names + 1);
    catalog->names[catalog->n_names++] =
        (struct catalog_name){.name = arena_slice(&catalog->strings, name)};
    map_insert(&catalog->name_map, slice_hash(name), id);
    return id;
}

/* The chunk of record i of a table; a new one when i is the first of its chunk. */
#define CHUNK_FOR(chunks, cap, i)                                                                  \
    do {                                                                                           \
        GROW(chunks, cap, (i) / CATALOG_CHUNK + 1);                                                \
        if ((i) % CATALOG_CHUNK == 0)                                                              \
            (chunks)[(i) / CATALOG_CHUNK] = xcalloc(CATALOG_CHUNK, sizeof **(chunks));             \
    } while (0)

static void name_add_pair(struct catalog_name *name, uint32_t pair)
{
    if (name->n_pairs == name->pairs_cap) { /* by a quarter: a name may have a million values */
        name->pairs_cap += name->pairs_cap / 4 + 4;
        name->pairs = xreallocarray(name->pairs, name->pairs_cap, sizeof *name->pairs);
    }
    name->pairs[name->n_pairs++] = pair;
}

static uint32_t intern_pair(struct catalog *catalog, uint32_t name, struct slice value)
{
    struct pair_key key = {name, value};
    uint64_t hash = pair_hash(&key);
    struct map *map = &catalog->pair_maps[map_of(hash)];
    uint32_t id = map_find(map, hash, pair_matches, catalog, &key);
    if (id != MAP_NONE)
        return id;
    ensure(catalog->n_pairs < MAP_NONE);
    id = (uint32_t)catalog->n_pairs;
    CHUNK_FOR(catalog->pairs, catalog->pairs_cap, catalog->n_pairs);
    catalog->n_pairs++;
    struct catalog_pair *p = catalog_pair_at(catalog, id);
    *p = (struct catalog_pair){.name = name,
        .value = pool_alloc(&catalog->pool, value.len + 1),
        .value_len = (uint32_t)value.len};
    char *text = pool_at(&catalog->pool, p->value);
    memcpy(text, value.ptr, value.len);
    text[value.len] = 0;
    map_insert(map, hash, id);
    name_add_pair(&catalog->names[name], id);
    return id;
}

/* Series of one metric come one after another: the name at a place is mostly the one that the last
 * series had there. */
static uint32_t name_at(
    struct catalog *catalog, struct catalog_row last, uint32_t i, struct slice name)
{
    if (i < last.n) {
        uint32_t id = catalog_pair_at(catalog, last.pairs[i])->name;
        if (slice_eq(catalog->names[id].name, name))
            return id;
    }
    return intern_name(catalog, name);
}

static void note_metric(struct catalog *catalog, uint32_t id, uint32_t metric)
{
    uint32_t group = id / CATALOG_GROUP;
    GROW(catalog->group_metric, catalog->group_metric_cap, group + 1);
    if (id % CATALOG_GROUP == 0)
        catalog->group_metric[group] = metric;
    else if (catalog->group_metric[group] != metric)
        catalog->group_metric[group] = CATALOG_MIXED;
}

uint32_t catalog_add_series(struct catalog *catalog, uint32_t metric, struct labels labels)
{
    ensure(catalog->n_series < MAP_NONE && labels.n > 0 && labels.n <= LABELS_MAX);
    catalog_lock_write(catalog);
    uint32_t id = (uint32_t)catalog->n_series, n = (uint32_t)labels.n;
    struct catalog_row last = id > 0 ? catalog_row_of(catalog, id - 1) : (struct catalog_row){0};
    uint32_t ref = pool_alloc(&catalog->pool, n * sizeof(uint32_t));
    uint32_t *row = pool_at(&catalog->pool, ref);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t name = name_at(catalog, last, i, labels.items[i].name);
        row[i] = intern_pair(catalog, name, labels.items[i].value);
        id_list_add(&catalog->pool, &catalog_pair_at(catalog, row[i])->series, id);
    }
    CHUNK_FOR(catalog->series, catalog->series_cap, catalog->n_series);
    GROW(catalog->chunk_live, catalog->chunk_live_cap, id / CATALOG_CHUNK + 1);
    if (id % CATALOG_CHUNK == 0)
        catalog->chunk_live[id / CATALOG_CHUNK] = 0;
    catalog->chunk_live[id / CATALOG_CHUNK]++;
    catalog->series[id / CATALOG_CHUNK][id % CATALOG_CHUNK] =
        (struct catalog_series){ref, metric << CATALOG_ROW_BITS | n};
    catalog->metric_series[metric]++;
    note_metric(catalog, id, metric);
    catalog->n_series++;
    uint64_t hash = labels_hash(labels);
    map_insert(&catalog->series_maps[map_of(hash)], hash, id);
    catalog_unlock(catalog);
    return id;
}

void catalog_add_dead(struct catalog *catalog)
{
    ensure(catalog->n_series < MAP_NONE);
    catalog_lock_write(catalog);
    size_t id = catalog->n_series;
    CHUNK_FOR(catalog->series, catalog->series_cap, id);
    GROW(catalog->chunk_live, catalog->chunk_live_cap, id / CATALOG_CHUNK + 1);
    if (id % CATALOG_CHUNK == 0)
        catalog->chunk_live[id / CATALOG_CHUNK] = 0;
    note_metric(catalog, (uint32_t)id, CATALOG_MIXED);
    catalog->n_series++;
    catalog->n_dead++;
    if (catalog->n_series % CATALOG_CHUNK == 0 && catalog->chunk_live[id / CATALOG_CHUNK] == 0) {
        free(catalog->series[id / CATALOG_CHUNK]);
        catalog->series[id / CATALOG_CHUNK] = NULL;
    }
    catalog_unlock(catalog);
}
