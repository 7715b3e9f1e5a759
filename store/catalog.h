/*
 * The catalogue: every metric and series that the store knows, and an index over their labels. Ids
 * are dense from 0 and are never reused. Nothing is removed.
 *
 * The catalogue has no lock of its own: the store's lock guards it. Metric definitions and label
 * strings have stable addresses: readers may keep them after the lock is gone.
 */
#ifndef STORE_CATALOG_H
#define STORE_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/map.h"
#include "store/cell.h"
#include "store/labels.h"
#include "store/read.h"

/* One label name, and the pairs that have it. */
struct catalog_name {
    struct slice name;
    uint32_t *pairs;
    size_t n_pairs, pairs_cap;
};

/* One name=value, and the series that have it, ascending. */
struct catalog_pair {
    uint32_t name;
    struct slice value;
    uint32_t *series;
    size_t n_series, series_cap;
};

struct catalog_series {
    uint32_t metric;
    uint32_t n_pairs;
    const uint32_t *pairs; /* in order of label names */
};

struct catalog {
    struct arena strings;
    const struct metric_def **metrics;
    size_t n_metrics, metrics_cap;
    struct catalog_name *names;
    size_t n_names, names_cap;
    struct catalog_pair *pairs;
    size_t n_pairs, pairs_cap;
    struct catalog_series *series;
    size_t n_series, series_cap;
    struct map metric_map, name_map, pair_map, series_map;
};

void catalog_init(struct catalog *catalog);
void catalog_fini(struct catalog *catalog);

/* MAP_NONE: unknown. */
uint32_t catalog_find_metric(const struct catalog *catalog, struct slice name);
uint32_t catalog_find_series(const struct catalog *catalog, struct labels labels);
/* The caller has looked before: it must not be there. Returns the id. */
uint32_t catalog_add_metric(struct catalog *catalog, const struct metric_def *def);
uint32_t catalog_add_series(struct catalog *catalog, uint32_t metric, struct labels labels);
/* Replaces clock, help, unit and stale_after of a metric. Old addresses stay valid. */
void catalog_update_metric(struct catalog *catalog, uint32_t metric, const struct metric_def *def);
/* Labels of a series; the array comes from the arena, the strings are the catalogue's. items NULL:
 * the arena's limit. */
struct labels catalog_labels(const struct catalog *catalog, uint32_t series, struct arena *arena);

/* Ids of the series that all matchers match, ascending, as an array of *n in the arena; NULL with n
 * 0 when nothing matches or (ERR_LIMIT) the arena is full. */
bool catalog_select(const struct catalog *catalog, const struct matcher *const *matchers,
    size_t n_matchers, struct arena *arena, uint32_t **out, size_t *n, struct err *err);

/* Whether the series has labels that all matchers match. */
bool catalog_matches(const struct catalog *catalog, uint32_t series,
    const struct matcher *const *matchers, size_t n_matchers);

#endif
