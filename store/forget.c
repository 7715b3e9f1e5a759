#include "store/forget.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/checkpoint.h"
#include "store/store_priv.h"
#include "store/unread.h"

static void mark(uint64_t *live, uint32_t series)
{
    live[series / 64] |= 1ull << (series % 64);
}

static void mark_block(uint64_t *live, const struct head_block *block)
{
    size_t n;
    uint32_t *ids = head_block_series(block, &n);
    for (size_t i = 0; i < n; i++)
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

/* What is live in segments; false, with its place, when one cannot be read. */
static bool mark_segments(
    struct store *store, uint64_t *live, size_t n_series, size_t *bad, struct err *err)
{
    for (size_t i = 0; i < store->n_segments; i++)
        if (!mark_segment(live, n_series, &store->segments[i], err)) {
            *bad = i;
            return false;
        }
    return true;
}

static void remove_dead(struct store *store, uint64_t *live, size_t n_series)
{
    size_t n = 0, cap = 0;
    uint32_t *dead = NULL;
    for (size_t i = 0; i < store->head.n_blocks; i++)
        mark_block(live, store->head.blocks[i]);
    if (store->frozen)
        mark_block(live, store->frozen->block);
    for (size_t id = 0; id < n_series; id++)
        if (!(live[id / 64] >> (id % 64) & 1) && catalog_has(&store->catalog, (uint32_t)id)) {
            GROW(dead, cap, n + 1);
            dead[n++] = (uint32_t)id;
        }
    if (n) {
        catalog_remove(&store->catalog, dead, n);
        log_info("%zu series have no cell left and are forgotten", n);
    }
    free(dead);
}

/* The writer is stopped. *done false: a segment cannot be read, which has been seen to. */
static bool forget(struct store *store, bool *done, struct err *err)
{
    size_t n_series = store->catalog.n_series, bad = 0;
    if (unread_any(store)) { /* nobody knows which series have cells there */
        *done = false;
        return true;
    }
    uint64_t *live = xcalloc(n_series / 64 + 1, sizeof *live);
    struct err why = {0};
    *done = mark_segments(store, live, n_series, &bad, &why);
    if (*done) {
        store_lock_write(store);
        remove_dead(store, live, n_series);
        store_unlock(store);
    }
    free(live);
    if (*done)
        return true;
    const struct segment_info *info = segment_info(store->segments[bad].segment);
    return input_set_aside(store, info->name, info->t0, info->t1, &why, err);
}

static bool forget_stopped(struct store *store, bool *done, bool *any, struct err *err)
{
    struct txn *none = txn_begin_alone(store);
    uint64_t before = store->catalog.removals;
    bool ok = forget(store, done, err);
    *any = store->catalog.removals != before;
    txn_abort(&none);
    return ok;
}

bool forget_series(struct store *store, struct err *err)
{
    bool done, any;
    return forget_stopped(store, &done, &any, err) && (!any || checkpoint_write(store, err));
}

bool forget_deleted(struct store *store, bool *done, struct err *err)
{
    bool any;
    return forget_stopped(store, done, &any, err) && (!*done || checkpoint_write(store, err));
}
