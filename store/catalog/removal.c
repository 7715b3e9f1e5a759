/*
 * Removing series that have no cell left. Their rows and lists go at once, since readers look at
 * them under the lock alone. The text of values is handed out, so it stays while a reader that may
 * have seen it holds a pin: there are two pins, and new readers take the one that is not waited
 * for.
 */
#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "store/catalog/catalog_priv.h"

/* Series that are removed under one hold of the lock. A list of which some stay is written anew for
 * each slice. */
#define AT_ONCE 2048

unsigned catalog_pin(struct catalog *catalog)
{
    catalog_lock_read(catalog);
    unsigned pin = catalog->epoch;
    atomic_fetch_add(&catalog->pins[pin], 1);
    catalog_unlock(catalog);
    return pin;
}

void catalog_unpin(struct catalog *catalog, unsigned pin)
{
    ensure(atomic_fetch_sub(&catalog->pins[pin], 1) > 0);
}

/* Readers that hold a pin may use strings that were removed since. New readers take the other pin
 * once nobody holds it any more; what was removed two turns ago is then seen by nobody. */
static void turn_epoch(struct catalog *catalog)
{
    for (int turn = 0; turn < 2; turn++) {
        unsigned other = catalog->epoch ^ 1;
        if (atomic_load(&catalog->pins[other]) > 0)
            return;
        struct catalog_garbage *g = &catalog->garbage[other];
        for (size_t i = 0; i < g->n; i++)
            pool_free(&catalog->pool, g->strings[i].ref, g->strings[i].len + 1);
        g->n = 0;
        catalog->epoch = other;
    }
}

/* ---- what a slice of series uses ---- */

/* Two ids in one number, in the order of the first. */
static uint64_t couple(uint32_t a, uint32_t b)
{
    return (uint64_t)a << 32 | b;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

struct couples {
    uint64_t *items;
    size_t n, cap;
};

static void add_couple(struct couples *all, uint32_t a, uint32_t b)
{
    GROW(all->items, all->cap, all->n + 1);
    all->items[all->n++] = couple(a, b);
}

static void sort_couples(struct couples *all)
{
    if (all->n)
        qsort(all->items, all->n, sizeof *all->items, by_number);
}

/* Where the couples with the same first id as the one at i end. */
static size_t run_end(const struct couples *all, size_t i)
{
    uint64_t first = all->items[i] >> 32;
    while (i < all->n && all->items[i] >> 32 == first)
        i++;
    return i;
}

/* The pairs of the series, each with the series that have it. */
static void gather_uses(
    const struct catalog *catalog, const uint32_t *ids, size_t n, struct couples *uses)
{
    for (size_t i = 0; i < n; i++) {
        struct catalog_row row = catalog_row_of(catalog, ids[i]);
        ensure(row.pairs != NULL && (i == 0 || ids[i - 1] < ids[i]));
        for (uint32_t k = 0; k < row.n; k++)
            add_couple(uses, row.pairs[k], ids[i]);
    }
    sort_couples(uses);
}

/* ---- lists ---- */

/* Takes the ids, which are the second ones of n couples, out of the pair's list. */
static void list_without(
    struct catalog *catalog, struct id_list *list, const uint64_t *couples, size_t n)
{
    struct id_list kept = {0};
    struct id_cursor cursor = id_cursor_new(&catalog->pool, list);
    uint32_t id;
    if (n < list->n)
        for (size_t i = 0; id_cursor_next(&cursor, &id);) {
            while (i < n && (uint32_t)couples[i] < id)
                i++;
            if (i == n || (uint32_t)couples[i] != id)
                id_list_add(&catalog->pool, &kept, id);
        }
    id_list_fini(&catalog->pool, list);
    *list = kept;
}

/* A pair that no series has any more. */
static void drop_pair(struct catalog *catalog, uint32_t id)
{
    struct catalog_pair *p = catalog_pair_at(catalog, id);
    catalog_unmap_pair(catalog, id);
    struct catalog_garbage *g = &catalog->garbage[catalog->epoch];
    GROW(g->strings, g->cap, g->n + 1);
    g->strings[g->n++] = (struct catalog_string){p->value, p->value_len};
    *p = (struct catalog_pair){.name = p->name};
}

/* Takes the pairs, which are the second ones of n couples, out of the name's. */
static void name_without(struct catalog_name *name, const uint64_t *couples, size_t n)
{
    size_t lo = 0, hi = name->n_pairs;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (name->pairs[mid] < (uint32_t)couples[0])
            lo = mid + 1;
        else
            hi = mid;
    }
    size_t kept = lo, at = lo;
    for (size_t i = 0; i < n; at++) {
        ensure(at < name->n_pairs);
        if (name->pairs[at] == (uint32_t)couples[i])
            i++;
        else
            name->pairs[kept++] = name->pairs[at];
    }
    memmove(&name->pairs[kept], &name->pairs[at], (name->n_pairs - at) * sizeof *name->pairs);
    name->n_pairs -= n;
}

/* ---- removing ---- */

static void drop_series(struct catalog *catalog, uint32_t id)
{
    struct catalog_row row = catalog_row_of(catalog, id);
    struct catalog_series *chunk = catalog->series[id / CATALOG_CHUNK];
    pool_free(&catalog->pool, chunk[id % CATALOG_CHUNK].row, row.n * sizeof(uint32_t));
    chunk[id % CATALOG_CHUNK] = (struct catalog_series){0};
    catalog->metric_series[row.metric]--;
    catalog->n_dead++;
    if (--catalog->chunk_live[id / CATALOG_CHUNK] == 0 &&
        (id / CATALOG_CHUNK + 1) * (size_t)CATALOG_CHUNK <= catalog->n_series) {
        free(chunk);
        catalog->series[id / CATALOG_CHUNK] = NULL;
    }
}

static void unmap_all(struct catalog *catalog, const uint32_t *ids, size_t n)
{
    struct arena arena;
    arena_init(&arena, 0);
    for (size_t i = 0; i < n; i++) {
        catalog_unmap_series(catalog, ids[i], catalog_labels(catalog, ids[i], &arena));
        arena_reset(&arena);
        drop_series(catalog, ids[i]);
    }
    arena_fini(&arena);
}

/* Under one hold of the lock. What can be found out before is: the writer reads without it. */
static void remove_slice(struct catalog *catalog, const uint32_t *ids, size_t n)
{
    struct couples uses = {0}, dropped = {0}; /* by pair, series; by name, pairs */
    gather_uses(catalog, ids, n, &uses);
    catalog_lock_write(catalog);
    unmap_all(catalog, ids, n);
    for (size_t i = 0, end; i < uses.n; i = end) {
        uint32_t pair = (uint32_t)(uses.items[i] >> 32);
        struct catalog_pair *p = catalog_pair_at(catalog, pair);
        end = run_end(&uses, i);
        list_without(catalog, &p->series, uses.items + i, end - i);
        if (p->series.n == 0) {
            add_couple(&dropped, p->name, pair);
            drop_pair(catalog, pair);
        }
    }
    sort_couples(&dropped);
    for (size_t i = 0, end; i < dropped.n; i = end) {
        end = run_end(&dropped, i);
        name_without(&catalog->names[dropped.items[i] >> 32], dropped.items + i, end - i);
    }
    catalog->removals++;
    turn_epoch(catalog);
    catalog_unlock(catalog);
    free(uses.items);
    free(dropped.items);
}

void catalog_remove(struct catalog *catalog, const uint32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i += AT_ONCE)
        remove_slice(catalog, ids + i, n - i < AT_ONCE ? n - i : AT_ONCE);
}
