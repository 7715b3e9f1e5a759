#include "store/publish.h"

#include <stdlib.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "base/thread.h"
#include "store/store_priv.h"

/* Cells that are applied before readers are let in: about a millisecond's. */
#define SLICE_CELLS 8192

struct pending *pending_get(struct pending *pending)
{
    atomic_fetch_add_explicit(&pending->refs, 1, memory_order_relaxed);
    return pending;
}

void pending_put(struct pending **pending)
{
    struct pending *p = *pending;
    *pending = NULL;
    if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
        return;
    transaction_fini(&p->data);
    free(p);
}

/* The first of the list is in the head, all of it. */
static void drop_first(struct store *store)
{
    mutex_lock(&store->lock);
    struct pending *p = store->pending;
    store->pending = p->next;
    if (!p->next)
        store->pending_last = &store->pending;
    store->pending_bytes -= p->bytes;
    mutex_unlock(&store->lock);
    pending_put(&p);
}

static struct pending *first(struct store *store)
{
    mutex_lock(&store->lock);
    struct pending *p = store->pending;
    mutex_unlock(&store->lock);
    return p;
}

/* Applies at most max cells; the gate is closed. False when nothing is left. */
static bool apply(struct store *store, size_t max)
{
    struct pending *p;
    while (max > 0 && (p = first(store)) != NULL) {
        size_t before = p->at;
        bool all = head_apply(&store->head, &p->data, &p->at, max, NULL);
        max -= p->at - before;
        if (all)
            drop_first(store);
    }
    return first(store) != NULL;
}

/* Alone at the gate, or not at all; with `wait` once readers have left. */
static bool get_in(struct store *store, bool wait)
{
    if (gate_try(&store->gate))
        return true;
    if (!wait)
        return false;
    mutex_lock(&store->lock);
    store->pending_waits++;
    mutex_unlock(&store->lock);
    gate_close(&store->gate);
    return true;
}

static bool publish_slice(struct store *store, bool wait)
{
    if (!first(store) || !get_in(store, wait))
        return false;
    bool more = apply(store, SLICE_CELLS);
    gate_open(&store->gate);
    return more;
}

bool publish_some(struct store *store)
{
    return publish_slice(store, false);
}

bool store_publish(struct store *store)
{
    return publish_some(store);
}

void publish_all(struct store *store)
{
    while (apply(store, SIZE_MAX))
        ;
}

/* True: others have left too much. */
static bool push(struct store *store, struct pending *p, uint64_t lsn, uint64_t wal_bytes)
{
    mutex_lock(&store->lock);
    store_apply_state(store, &p->data);
    store->lsn = lsn;
    store->commits++;
    store->wal_written += wal_bytes;
    change_log_append(&store->changes, store->changed.items, store->changed.n);
    bool over = store->pending_bytes > PENDING_BYTES_MAX;
    if (transaction_cells(&p->data) > 0) {
        *store->pending_last = pending_get(p);
        store->pending_last = &p->next;
        store->pending_bytes += p->bytes;
    }
    mutex_unlock(&store->lock);
    return over;
}

void publish_transaction(
    struct store *store, struct transaction *take, uint64_t lsn, uint64_t wal_bytes, bool leave)
{
    struct pending *p = xcalloc(1, sizeof *p);
    atomic_init(&p->refs, 1);
    p->data = *take;
    p->bytes = sizeof *p + transaction_bytes(take);
    transaction_init(take);
    change_set_of(&store->changed, &store->catalog, &p->data);
    change_log_reserve(&store->changes, store->changed.n);
    /* As much again as it has itself, of what others left: so it gets less, and none waits long. */
    size_t slices = 2 * (transaction_cells(&p->data) / SLICE_CELLS + 1);
    bool over = push(store, p, lsn, wal_bytes), more = over || !leave;
    pending_put(&p);
    for (size_t i = 0; i < slices && more; i++)
        more = publish_slice(store, over);
}
