/*
 * What a transaction touches. The writer does this for every cell, so it takes a few loads from
 * small tables for most: series that came one after another mostly are of one metric, and so are
 * cells.
 */
#include "store/changes.h"

#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "store/catalog/catalog_priv.h"
#include "store/change_ranges.h"
#include "store/transaction.h"

#define NONE       UINT32_MAX
#define SMALL      2048 /* cells of a transaction whose series are told apart */
#define RANGES_MAX 8    /* of one series or metric */

void change_set_fini(struct change_set *set)
{
    free(set->items);
    *set = (struct change_set){0};
}

/* The ranges of each key, in chains. */
struct ranges {
    struct change_set *set;
    uint32_t *next; /* by item: the next one of its key */
    size_t next_cap, keys;
};

static struct ranges ranges_of(struct change_set *set)
{
    struct ranges r = {.set = set};
    GROW(r.next, r.next_cap, 1);
    return r;
}

static uint64_t distance(const struct change *c, int64_t t)
{
    return t > c->to_ms      ? (uint64_t)t - (uint64_t)c->to_ms
           : t <= c->from_ms ? (uint64_t)c->from_ms + 1 - (uint64_t)t
                             : 0;
}

/* The greatest time that is not in a range that begins with t. */
static int64_t before(int64_t t)
{
    return t > INT64_MIN ? t - 1 : t;
}

static void widen(struct change *c, int64_t t)
{
    c->to_ms = t > c->to_ms ? t : c->to_ms;
    c->from_ms = t <= c->from_ms ? before(t) : c->from_ms;
}

/* *first: the chain of the key. Returns the item that t is in now. */
static uint32_t add(struct ranges *r, uint32_t *first, uint32_t metric, uint32_t series, int64_t t)
{
    struct change_set *set = r->set;
    uint32_t nearest = NONE, n = 0;
    uint64_t best = UINT64_MAX;
    ensure(r->next);
    for (uint32_t i = *first; i != NONE; i = r->next[i], n++) {
        uint64_t d = distance(&set->items[i], t);
        if (d < best)
            best = d, nearest = i;
    }
    if (nearest != NONE && (best <= (uint64_t)CHANGE_NEAR_MS || n == RANGES_MAX)) {
        widen(&set->items[nearest], t);
        return nearest;
    }
    r->keys += n == 0;
    GROW(set->items, set->cap, set->n + 1);
    GROW(r->next, r->next_cap, set->n + 1);
    set->items[set->n] = (struct change){metric, series, before(t), t};
    r->next[set->n] = *first;
    return *first = (uint32_t)set->n++;
}

/* ---- cells of all kinds ---- */

/* All kinds' entries begin with these two. */
struct cells {
    const char *first;
    size_t n, size;
};
#define CELLS(array, n)                                                                            \
    {                                                                                              \
        (const char *)(array), n, sizeof *(array)                                                  \
    }
_Static_assert(offsetof(struct add_cell, t) == 8 && offsetof(struct gauge_entry, t) == 8 &&
                   offsetof(struct hist_entry, t) == 8 && offsetof(struct sample_entry, t) == 8,
    "series, then t");

static uint32_t series_at(const struct cells *c, size_t i)
{
    return *(const uint32_t *)(const void *)(c->first + i * c->size);
}

static int64_t time_at(const struct cells *c, size_t i)
{
    return *(const int64_t *)(const void *)(c->first + i * c->size + 8);
}

static uint32_t metric_of(const struct catalog *catalog, uint32_t series)
{
    return catalog->series[series / CATALOG_CHUNK][series % CATALOG_CHUNK].metric >>
           CATALOG_ROW_BITS;
}

/* ---- by series ---- */

struct slots {
    uint32_t *chain; /* first item; NONE: free */
    uint32_t mask;
};

static uint32_t *slot_of(struct slots *slots, const struct change_set *set, uint32_t series)
{
    uint32_t at = series * 0x9e3779b1u >> 16;
    for (;; at++) {
        uint32_t *chain = &slots->chain[at & slots->mask];
        if (*chain == NONE || set->items[*chain].series == series)
            return chain;
    }
}

/* False: there are too many. */
static bool by_series(struct change_set *set, const struct catalog *catalog,
    const struct cells *cells, size_t n_kinds, size_t total)
{
    struct ranges r = ranges_of(set);
    struct slots slots = {.mask = 15};
    while (slots.mask < 2 * total && slots.mask < 4 * CHANGE_SERIES_MAX)
        slots.mask = slots.mask * 2 + 1;
    slots.chain = xmalloc((slots.mask + 1) * sizeof *slots.chain);
    memset(slots.chain, 0xff, (slots.mask + 1) * sizeof *slots.chain);
    for (size_t k = 0; k < n_kinds; k++)
        for (size_t i = 0; i < cells[k].n && r.keys <= CHANGE_SERIES_MAX; i++) {
            uint32_t series = series_at(&cells[k], i);
            add(&r, slot_of(&slots, set, series), metric_of(catalog, series), series,
                time_at(&cells[k], i));
        }
    free(slots.chain);
    free(r.next);
    return r.keys <= CHANGE_SERIES_MAX;
}

/* ---- by metric ---- */

static void one_kind(
    struct ranges *r, uint32_t *chains, const struct catalog *catalog, const struct cells *c)
{
    uint32_t metric = NONE;
    struct change in = {0};
    for (size_t i = 0; i < c->n; i++) {
        uint32_t series = series_at(c, i), m = catalog->group_metric[series / CATALOG_GROUP];
        int64_t t = time_at(c, i);
        if (m == CATALOG_MIXED)
            m = metric_of(catalog, series);
        if (m == metric && t > in.from_ms && t <= in.to_ms)
            continue;
        metric = m;
        uint32_t item = add(r, &chains[m], m, CHANGE_ALL, t);
        in = r->set->items[item];
    }
}

static void by_metric(struct change_set *set, const struct catalog *catalog,
    const struct cells *cells, size_t n_kinds)
{
    struct ranges r = ranges_of(set);
    uint32_t *chains = xmalloc((catalog->n_metrics + 1) * sizeof *chains);
    memset(chains, 0xff, (catalog->n_metrics + 1) * sizeof *chains);
    for (size_t k = 0; k < n_kinds; k++)
        one_kind(&r, chains, catalog, &cells[k]);
    free(chains);
    free(r.next);
    if (set->n <= CHANGE_METRICS_MAX)
        return;
    for (size_t i = 0; i < set->n; i++)
        set->items[i].metric = CHANGE_ALL;
    set->n = changes_join(set->items, set->n);
}

void change_set_of(
    struct change_set *set, const struct catalog *catalog, const struct transaction *t)
{
    const struct cells cells[] = {CELLS(t->adds, t->n_adds), CELLS(t->gauges, t->n_gauges),
        CELLS(t->hists, t->n_hists), CELLS(t->samples, t->n_samples)};
    enum { KINDS = sizeof cells / sizeof *cells };
    size_t total = transaction_cells(t);
    set->n = 0;
    if (total <= SMALL && by_series(set, catalog, cells, KINDS, total))
        return;
    set->n = 0;
    by_metric(set, catalog, cells, KINDS);
}

/* ---- what is no transaction ---- */

void change_set_series(struct change_set *set, const struct catalog *catalog, const uint32_t *ids,
    size_t n, int64_t from_ms, int64_t to_ms)
{
    bool few = n <= CHANGE_SERIES_MAX;
    set->n = 0;
    for (size_t i = 0; i < n; i++) {
        if (!catalog_has(catalog, ids[i]))
            continue;
        GROW(set->items, set->cap, set->n + 1);
        set->items[set->n++] =
            (struct change){metric_of(catalog, ids[i]), few ? ids[i] : CHANGE_ALL, from_ms, to_ms};
        if (set->n > CHANGE_METRICS_MAX)
            set->n = changes_join(set->items, set->n);
        if (set->n <= CHANGE_METRICS_MAX)
            continue;
        set->items[0] = (struct change){CHANGE_ALL, CHANGE_ALL, from_ms, to_ms};
        set->n = 1;
        return;
    }
    set->n = changes_join(set->items, set->n);
}
