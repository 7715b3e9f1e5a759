#include "store/forget.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/checkpoint.h"
#include "store/store_priv.h"

static void mark(uint64_t *live, uint32_t series)
{
    live[series / 64] |= 1ull << (series % 64);
}

/* Series that came since are not looked at. */
static void mark_block(uint64_t *live, size_t n_series, const struct head_block *block)
{
    size_t n;
    uint32_t *ids = head_block_series(block, &n);
    for (size_t i = 0; i < n; i++)
        if (ids[i] < n_series)
            mark(live, ids[i]);
    free(ids);
}

static bool mark_segment(uint64_t *live, size_t n_series, const struct attached *a, struct err *err)
{
    uint32_t *ids;
    size_t n;
    if (!attached_ids(a, &ids, &n, err))
        return false;
    for (size_t i = 0; i < n; i++)
        if (ids[i] < n_series)
            mark(live, ids[i]);
    free(ids);
    return true;
}

/* Where nobody knows what cells there are: (t0, t1], up to a transaction. */
struct unknown {
    int64_t t0, t1;
    uint64_t lsn;
};

/* What is known of the series of a store. */
struct living {
    size_t n_series;
    uint64_t *live; /* those in segments, a bit for each */
    struct unknown *unknown;
    size_t n_unknown, cap;
};

static void add_unknown(struct living *l, int64_t t0, int64_t t1, uint64_t lsn)
{
    GROW(l->unknown, l->cap, l->n_unknown + 1);
    l->unknown[l->n_unknown++] = (struct unknown){t0, t1, lsn};
}

static void add_set_aside(struct living *l, const struct store *store)
{
    for (size_t i = 0; i < store->n_quarantined; i++) {
        const struct quarantined *q = &store->quarantined[i];
        if (!q->mark)
            add_unknown(l, q->t0, q->t1, q->lsn);
    }
}

/* *again: a segment was set aside, so the list is another one. */
static bool mark_segments(struct store *store, struct living *l, bool *again, struct err *err)
{
    size_t set_aside = store->n_quarantined;
    *again = false;
    for (size_t i = 0; i < store->n_segments && !*again; i++) {
        const struct attached *a = &store->segments[i];
        const struct segment_info *info = segment_info(a->segment);
        struct err why = {0};
        if (mark_segment(l->live, l->n_series, a, &why))
            continue;
        add_unknown(l, info->t0, info->t1, a->lsn);
        if (!input_set_aside(store, info->name, info->t0, info->t1, &why, err))
            return false;
        *again = store->n_quarantined > set_aside;
    }
    return true;
}

static void living_fini(struct living *l)
{
    free(l->live);
    free(l->unknown);
}

static bool look(struct store *store, struct living *l, struct err *err)
{
    bool again = true, ok = true;
    *l = (struct living){0};
    while (ok && again) {
        living_fini(l);
        *l = (struct living){0};
        catalog_lock_read(&store->catalog);
        l->n_series = store->catalog.n_series;
        catalog_unlock(&store->catalog);
        l->live = xcalloc(l->n_series / 64 + 1, sizeof *l->live);
        ok = mark_segments(store, l, &again, err);
    }
    add_set_aside(l, store);
    return ok;
}

/* Whether the series was deleted wherever nobody knows. */
static bool is_deleted(const struct store *store, const struct living *l, uint32_t series)
{
    for (size_t i = 0; i < l->n_unknown; i++) {
        const struct unknown *u = &l->unknown[i];
        bool deleted = false;
        for (size_t k = 0; k < store->n_deletions && !deleted; k++) {
            const struct deletion *d = &store->deletions[k];
            deleted = u->lsn <= d->lsn && d->from <= u->t0 && d->to >= u->t1 &&
                      deletion_covers(d, series);
        }
        if (!deleted)
            return false;
    }
    return true;
}

/* The writer is stopped. */
static void remove_dead(struct store *store, const struct living *l)
{
    size_t n = 0, stay = 0, cap = 0;
    uint32_t *dead = NULL;
    for (size_t i = 0; i < store->head.n_blocks; i++)
        mark_block(l->live, l->n_series, store->head.blocks[i]);
    if (store->frozen)
        mark_block(l->live, l->n_series, store->frozen->block);
    for (uint32_t id = 0; id < l->n_series; id++) {
        if ((l->live[id / 64] >> (id % 64) & 1) || !catalog_has(&store->catalog, id))
            continue;
        if (!is_deleted(store, l, id)) {
            stay++;
            continue;
        }
        GROW(dead, cap, n + 1);
        dead[n++] = id;
    }
    if (n) {
        catalog_remove(&store->catalog, dead, n);
        log_info("%zu series have no cell left and are forgotten", n);
    }
    store->maintenance.series_left = stay > 0 && forget_waits(store);
    free(dead);
}

/* *any: some were. */
static bool forget(struct store *store, bool *any, struct err *err)
{
    struct living l;
    bool ok = look(store, &l, err);
    if (ok) {
        struct txn *none = txn_begin_alone(store);
        uint64_t before = store->catalog.removals;
        store_lock_write(store);
        remove_dead(store, &l);
        store_unlock(store);
        *any = store->catalog.removals != before;
        txn_abort(&none);
    }
    living_fini(&l);
    return ok;
}

bool forget_waits(const struct store *store)
{
    for (size_t i = 0; i < store->n_quarantined; i++)
        if (!store->quarantined[i].mark)
            return true;
    return false;
}

bool forget_series(struct store *store, struct err *err)
{
    bool any;
    return forget(store, &any, err) && (!any || checkpoint_write(store, err));
}

bool forget_deleted(struct store *store, struct err *err)
{
    bool any;
    return forget(store, &any, err) && checkpoint_write(store, err);
}
