/*
 * The catalogue: every metric and series that the store knows, and an index over their labels.
 *
 *     names     name -> pairs that have it
 *     pairs     name=value -> series that have it, as a list of differences (catalog/id_list.h)
 *     series    id -> metric and row; row := pair id u32*, in order of label names
 *     maps      from the labels, and from a pair's text, to ids: 64 maps each, chosen by the hash,
 *               so that none takes long to grow
 *
 * Rows, value strings and lists lie in a pool. A series with 6 labels takes about 60 bytes.
 *
 * Ids are dense from 0 and never reused. A series can be removed: its id stays dead, its memory and
 * that of pairs that nobody has any more is used again.
 *
 * Concurrency. One thread, the store's writer, changes the catalogue, and looks things up without
 * the lock; its changes take the lock for writing. Every other thread reads under the lock, or by
 * the functions of "selection", which take it themselves, for well under a millisecond at a time:
 * regular expressions are evaluated, and strings compared, outside. Metric definitions are never
 * freed. Label strings that a reader keeps after the lock is gone live while it holds a pin.
 */
#ifndef STORE_CATALOG_H
#define STORE_CATALOG_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/map.h"
#include "store/catalog/id_list.h"
#include "store/catalog/pool.h"
#include "store/cell.h"
#include "store/labels.h"
#include "store/read.h"

#define CATALOG_MAPS        64
#define CATALOG_CHUNK       4096 /* records of a table that are allocated together */
#define CATALOG_METRICS_MAX (1u << 24)
#define CATALOG_GROUP       64 /* series with ids that come one after another */
#define CATALOG_MIXED       UINT32_MAX

struct catalog_name {
    struct slice name;
    uint32_t *pairs; /* ascending */
    size_t n_pairs, pairs_cap;
};

struct catalog_pair {
    uint32_t name;
    uint32_t value, value_len; /* in the pool, a NUL behind it; POOL_NONE: the pair is dead */
    struct id_list series;
};

struct catalog_series {
    uint32_t row;    /* in the pool; POOL_NONE: dead */
    uint32_t metric; /* id, and the row's length in the low 7 bits */
};

/* Value strings that were removed while somebody held a pin. */
struct catalog_garbage {
    struct catalog_string {
        uint32_t ref, len;
    } * strings;
    size_t n, cap;
};

struct catalog {
    pthread_rwlock_t lock;
    struct arena strings; /* of metrics and label names */
    struct pool pool;
    const struct metric_def **metrics;
    size_t n_metrics, metrics_cap;
    uint32_t *metric_series; /* by metric, how many are not dead */
    size_t metric_series_cap;
    uint64_t *metric_described; /* by metric, what descriptions was when it was described anew */
    size_t metric_described_cap;
    uint64_t descriptions; /* how often a metric was */
    struct catalog_name *names;
    size_t n_names, names_cap;
    struct catalog_pair **pairs; /* in chunks */
    size_t n_pairs, pairs_cap;
    struct catalog_series **series; /* in chunks; NULL: all of a chunk are dead */
    size_t n_series, series_cap;
    uint32_t *group_metric; /* by group of series: their metric, or CATALOG_MIXED; the writer's */
    size_t group_metric_cap;
    uint16_t *chunk_live; /* by chunk of series, how many are not dead */
    size_t chunk_live_cap, n_dead;
    struct map metric_map, name_map, pair_maps[CATALOG_MAPS], series_maps[CATALOG_MAPS];
    uint64_t removals; /* changes when series were removed */
    atomic_uint pins[2];
    unsigned epoch; /* which of pins new readers take; garbage of it waits for two turns */
    struct catalog_garbage garbage[2];
};

void catalog_init(struct catalog *catalog);
void catalog_fini(struct catalog *catalog);
void catalog_lock_read(struct catalog *catalog);
void catalog_unlock(struct catalog *catalog);

/* ---- for the writer, or under the lock ---- */

/* MAP_NONE: unknown. */
uint32_t catalog_find_metric(const struct catalog *catalog, struct slice name);
uint32_t catalog_find_series(const struct catalog *catalog, struct labels labels);
/* The metric of a series that is not dead. */
uint32_t catalog_metric_of(const struct catalog *catalog, uint32_t series);
const struct metric_def *catalog_def(const struct catalog *catalog, uint32_t series);
/* How many series the metric has. */
uint32_t catalog_series_of_metric(const struct catalog *catalog, uint32_t metric);
/* Whether the id was given and its series not removed. */
bool catalog_has(const struct catalog *catalog, uint32_t series);
/* Labels of a series that is not dead; the array comes from the arena, the strings are the
 * catalogue's. items NULL: the arena's limit. */
struct labels catalog_labels(const struct catalog *catalog, uint32_t series, struct arena *arena);
/* Whether the series has labels that all matchers match; a dead one never. */
bool catalog_matches(const struct catalog *catalog, uint32_t series,
    const struct matcher *const *matchers, size_t n_matchers);
/* What all of it takes, metrics and strings included. */
size_t catalog_bytes(const struct catalog *catalog);

/* ---- changes: the writer alone ---- */

/* The caller has looked before: it must not be there. Returns the id. */
uint32_t catalog_add_metric(struct catalog *catalog, const struct metric_def *def);
uint32_t catalog_add_series(struct catalog *catalog, uint32_t metric, struct labels labels);
/* An id that is given to nobody: of a series that was removed before the catalogue was written. */
void catalog_add_dead(struct catalog *catalog);
/* Replaces clock, help, unit, stale_after and schema of a metric. Old addresses stay valid. */
void catalog_update_metric(struct catalog *catalog, uint32_t metric, const struct metric_def *def);
/* Removes series: ids ascending, none dead. Readers may see some of them gone before the others. */
void catalog_remove(struct catalog *catalog, const uint32_t *ids, size_t n);

/* ---- selection: any thread, without the lock ---- */

/* Strings that are read between the two stay; what pin returned is given to unpin. */
unsigned catalog_pin(struct catalog *catalog);
void catalog_unpin(struct catalog *catalog, unsigned pin);

/* Ids of the series that all matchers match, ascending, as an array of *n in the arena; NULL with n
 * 0 when nothing matches or (ERR_LIMIT) the arena is full. Series that are added meanwhile may be
 * missed when their id is not below catalog->n_series as it was before. */
bool catalog_select(struct catalog *catalog, const struct matcher *const *matchers,
    size_t n_matchers, struct arena *arena, uint32_t **out, size_t *n, struct err *err);
/* The same, ending with ERR_CANCELED once *cancel (NULL: never). */
bool catalog_select_until(struct catalog *catalog, const struct matcher *const *matchers,
    size_t n_matchers, const atomic_bool *cancel, struct arena *arena, uint32_t **out, size_t *n,
    struct err *err);

struct catalog_entry {
    uint32_t id;
    const struct metric_def *def;
    struct labels labels;
};

/* The series with these ids in order of their labels, an array of *n in the arena; dead ones are
 * left out. The caller holds a pin for as long as it uses the strings. False at the arena's limit.
 */
bool catalog_describe(struct catalog *catalog, const uint32_t *ids, size_t n_ids,
    struct arena *arena, struct catalog_entry **out, size_t *n);
/* Puts the ids into the order of their series' labels; those of dead ones are left out. */
void catalog_order(struct catalog *catalog, uint32_t *ids, size_t *n);

/* ---- label names and values: any thread, without the lock, for strings with a pin ---- */

#define CATALOG_VALUES 1024

struct catalog_values {
    uint32_t pairs[CATALOG_VALUES]; /* ascending */
    struct slice text[CATALOG_VALUES];
    size_t n;
};
/* The next values of a name, by pair id, after pair `last`, -1 for the first; false when there are
 * no more. */
bool catalog_values_next(
    struct catalog *catalog, struct slice name, int64_t last, struct catalog_values *out);
/* Ids of series that have the pair, from `least` on, ascending; returns how many, at most max. */
size_t catalog_pair_ids(
    struct catalog *catalog, uint32_t pair, uint32_t least, uint32_t *out, size_t max);

struct catalog_use {
    uint32_t pair, id;
    struct slice text; /* of the value */
};
/* The pair with that name of each of the series that have one; out has room for n. Returns how
 * many. */
size_t catalog_uses(struct catalog *catalog, struct slice name, const uint32_t *ids, size_t n,
    struct catalog_use *out);

/* Label names by their ids, in an array on the heap of as many as are returned; {NULL, 0} where no
 * series has the name any more. The strings stay. */
size_t catalog_names(struct catalog *catalog, struct slice **out);
/* Ids of series that have a name with an id below n_known that is not known; at most max, which is
 * how many are returned when there may be more. *at: where in ids (NULL: in all) the walk is. */
size_t catalog_with_other_names(struct catalog *catalog, const uint32_t *ids, size_t n_ids,
    size_t *at, const bool *known, size_t n_known, uint32_t *out, size_t max);

/* How many of the series have each pair, by pair id, in an array of *n on the heap; ids NULL: of
 * all series. Returns how many series those are. */
uint64_t catalog_count_pairs(
    struct catalog *catalog, const uint32_t *ids, size_t n_ids, uint32_t **counts, size_t *n);
/* Calls each with every pair that is not dead and below n, in strides under the lock: it must not
 * take long. */
typedef void catalog_pair_f(
    void *ctx, uint32_t pair, uint32_t name, struct slice name_text, struct slice value);
void catalog_each_pair(struct catalog *catalog, size_t n, catalog_pair_f *each, void *ctx);

#endif
