/*
 * Removing series that have no cell left. Their rows and lists go at once, since readers look at
 * them under the lock alone. The text of values is handed out, so it stays while a reader that may
 * have seen it holds a pin: there are two pins, and new readers take the one that is not waited
 * for.
 */
#include <stdlib.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "store/catalog/catalog_priv.h"

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

static int by_id(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Takes the ids (ascending) out of the pair's list. */
static void list_without(
    struct catalog *catalog, struct id_list *list, const uint32_t *ids, size_t n)
{
    struct id_list kept = {0};
    struct id_cursor cursor = id_cursor_new(&catalog->pool, list);
    uint32_t id;
    for (size_t i = 0; id_cursor_next(&cursor, &id);) {
        while (i < n && ids[i] < id)
            i++;
        if (i == n || ids[i] != id)
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
    catalog->names[p->name].has_dead = true;
    *p = (struct catalog_pair){.name = p->name};
}

static void name_without_dead(struct catalog *catalog, struct catalog_name *name)
{
    size_t kept = 0;
    if (!name->has_dead)
        return;
    name->has_dead = false;
    for (size_t i = 0; i < name->n_pairs; i++)
        if (catalog_pair_at(catalog, name->pairs[i])->value != POOL_NONE)
            name->pairs[kept++] = name->pairs[i];
    name->n_pairs = kept;
}

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

void catalog_remove(struct catalog *catalog, const uint32_t *ids, size_t n)
{
    uint32_t *pairs = NULL;
    size_t n_pairs = 0, cap = 0;
    struct arena arena;
    arena_init(&arena, 0);
    catalog_lock_write(catalog);
    for (size_t i = 0; i < n; i++) {
        struct catalog_row row = catalog_row_of(catalog, ids[i]);
        ensure(row.pairs != NULL && (i == 0 || ids[i - 1] < ids[i]));
        GROW(pairs, cap, n_pairs + row.n);
        for (uint32_t k = 0; k < row.n; k++)
            pairs[n_pairs++] = row.pairs[k];
        catalog_unmap_series(catalog, ids[i], catalog_labels(catalog, ids[i], &arena));
        arena_reset(&arena);
        drop_series(catalog, ids[i]);
    }
    if (n_pairs)
        qsort(pairs, n_pairs, sizeof *pairs, by_id);
    for (size_t i = 0; i < n_pairs; i++) {
        struct catalog_pair *p = catalog_pair_at(catalog, pairs[i]);
        if (i > 0 && pairs[i - 1] == pairs[i])
            continue;
        list_without(catalog, &p->series, ids, n);
        if (p->series.n == 0)
            drop_pair(catalog, pairs[i]);
    }
    for (size_t i = 0; i < catalog->n_names; i++)
        name_without_dead(catalog, &catalog->names[i]);
    catalog->removals++;
    turn_epoch(catalog);
    catalog_unlock(catalog);
    free(pairs);
    arena_fini(&arena);
}
