/* Which series and metrics there are: see metadata.h and read.h. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/metadata.h"
#include "store/presence.h"
#include "store/snapshot_priv.h"

/* The ids of series that match, in order of their labels, on the arena. */
static bool ordered_ids(struct store *store, const struct listing *l, struct arena *arena,
    uint32_t **ids, size_t *n, struct err *err)
{
    size_t n_all;
    const struct matcher **all = matchers_of(arena, l->scope, l->matchers, l->n_matchers, &n_all);
    if (!all)
        return snapshot_full(err);
    if (!catalog_select_until(&store->catalog, all, n_all, l->cancel, arena, ids, n, err))
        return false;
    catalog_order(&store->catalog, *ids, n);
    return true;
}

bool store_list_series(
    struct store *store, const struct listing *listing, series_f *each, void *ctx, struct err *err)
{
    struct arena arena;
    struct presence presence;
    struct present *found;
    uint32_t *ids = NULL;
    size_t n = 0, n_found;
    bool more = true;
    arena_init(&arena, 0);
    presence_begin(&presence, store, listing);
    bool ok = ordered_ids(store, listing, &arena, &ids, &n, err);
    for (size_t at = 0; ok && more && at < n; at += PRESENCE_BATCH) {
        size_t batch = n - at < PRESENCE_BATCH ? n - at : PRESENCE_BATCH;
        ok = presence_look(&presence, ids + at, batch, &found, &n_found, err);
        for (size_t i = 0; ok && more && i < n_found; i++)
            more = !found[i].has || each(ctx, found[i].labels, found[i].def);
    }
    presence_end(&presence);
    arena_fini(&arena);
    return ok;
}

bool store_each_series(struct store *store, const struct scope *scope,
    const struct matcher *matchers, size_t n, int64_t from_ms, int64_t to_ms, series_f *each,
    void *ctx, struct err *err)
{
    struct listing listing = {
        .scope = scope, .matchers = matchers, .n_matchers = n, .from_ms = from_ms, .to_ms = to_ms};
    return store_list_series(store, &listing, each, ctx, err);
}

static int by_metric_name(const void *a, const void *b)
{
    const struct metric_def *const *x = a, *const *y = b;
    return slice_cmp((*x)->name, (*y)->name);
}

/* Which metrics have a series that the scope sees. */
static bool in_scope(
    struct store *store, const struct scope *scope, bool *seen, size_t n, struct err *err)
{
    struct catalog *c = &store->catalog;
    struct arena arena;
    uint32_t *ids = NULL;
    size_t n_all, n_ids = 0;
    arena_init(&arena, 0);
    const struct matcher **all = matchers_of(&arena, scope, NULL, 0, &n_all);
    bool ok = all ? catalog_select(c, all, n_all, &arena, &ids, &n_ids, err) : snapshot_full(err);
    for (size_t i = 0; ok && i < n_ids;) {
        size_t end = n_ids - i < PRESENCE_BATCH ? n_ids : i + PRESENCE_BATCH;
        catalog_lock_read(c);
        for (; i < end; i++)
            if (catalog_has(c, ids[i]) && catalog_metric_of(c, ids[i]) < n)
                seen[catalog_metric_of(c, ids[i])] = true;
        catalog_unlock(c);
    }
    arena_fini(&arena);
    return ok;
}

bool store_each_metric(
    struct store *store, const struct scope *scope, metric_f *each, void *ctx, struct err *err)
{
    catalog_lock_read(&store->catalog);
    size_t n = store->catalog.n_metrics, kept = 0;
    const struct metric_def **defs = xcalloc(n, sizeof(void *));
    if (n)
        memcpy(defs, store->catalog.metrics, n * sizeof(void *));
    catalog_unlock(&store->catalog);
    bool scoped = scope && scope->n_matchers > 0;
    bool *seen = xcalloc(n, sizeof *seen);
    bool ok = !scoped || in_scope(store, scope, seen, n, err);
    for (size_t i = 0; i < n; i++)
        if (!scoped || seen[i])
            defs[kept++] = defs[i];
    if (kept)
        qsort(defs, kept, sizeof(void *), by_metric_name);
    for (size_t i = 0; ok && i < kept && each(ctx, defs[i]); i++)
        ;
    free(seen);
    free(defs);
    return ok;
}
