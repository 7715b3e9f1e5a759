#include "store/commit.h"

#include <stdlib.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "base/thread.h"
#include "store/front.h"
#include "store/store_priv.h"

/* A group takes no more payload than that, unless its first transaction has it. */
#define GROUP_BYTES (8u << 20)

void commit_queue_init(struct commit_queue *queue)
{
    *queue = (struct commit_queue){0};
    mutex_init(&queue->mutex);
    queue->last = &queue->first;
    queue->ready_last = &queue->ready;
}

void commit_queue_fini(struct commit_queue *queue)
{
    ensure(!queue->taken && !queue->first && queue->in_flight == 0);
    pthread_mutex_destroy(&queue->mutex);
}

void commit_waiter_init(struct commit_waiter *waiter)
{
    *waiter = (struct commit_waiter){0};
    cond_init(&waiter->wake);
}

void commit_waiter_fini(struct commit_waiter *waiter)
{
    pthread_cond_destroy(&waiter->wake);
}

static void wake(struct commit_waiter *waiter)
{
    ensure(pthread_cond_signal(&waiter->wake) == 0);
}

static void sleep_on(struct commit_queue *queue, struct commit_waiter *waiter)
{
    ensure(pthread_cond_wait(&waiter->wake, &queue->mutex) == 0);
}

/* ---- the turn ---- */

/* Gives the turn to the first who waits, when it is free. The mutex is held, as in all of these. */
static void grant(struct commit_queue *queue)
{
    struct commit_waiter *w = queue->first;
    if (queue->taken || !w || (w->alone && queue->in_flight > 0))
        return;
    queue->first = w->next;
    if (!queue->first)
        queue->last = &queue->first;
    queue->taken = w->has_turn = true;
    wake(w);
}

static void wait_last(struct commit_queue *queue, struct commit_waiter *waiter)
{
    waiter->next = NULL;
    *queue->last = waiter;
    queue->last = &waiter->next;
}

static void wait_first(struct commit_queue *queue, struct commit_waiter *waiter)
{
    waiter->next = queue->first;
    queue->first = waiter;
    if (!waiter->next)
        queue->last = &waiter->next;
}

bool commit_turn_take(struct commit_queue *queue, struct commit_waiter *waiter)
{
    mutex_lock(&queue->mutex);
    wait_last(queue, waiter);
    grant(queue);
    while (!waiter->has_turn)
        sleep_on(queue, waiter);
    bool quiet = queue->in_flight == 0;
    mutex_unlock(&queue->mutex);
    return quiet;
}

static void give(struct commit_queue *queue, struct commit_waiter *waiter)
{
    queue->taken = waiter->has_turn = false;
    grant(queue);
}

void commit_turn_give(struct commit_queue *queue, struct commit_waiter *waiter)
{
    mutex_lock(&queue->mutex);
    give(queue, waiter);
    mutex_unlock(&queue->mutex);
}

/* ---- getting ready ---- */

bool txn_is_plain(const struct txn *txn)
{
    const struct transaction *t = &txn->data;
    return t->n_metrics == 0 && t->n_updates == 0 && t->n_series == 0 && t->n_sources == 0 &&
           t->n_clocks == 0 && t->n_folds == 0 && t->state.n_tables == 0 && t->state.n_batches == 0;
}

static bool check(struct txn *txn, struct err *err)
{
    struct store *store = txn->store;
    return state_check(&store->state, &txn->data.state, err) &&
           (!store->path || transaction_check(&txn->data, txn->payload.len, err));
}

bool txn_make_ready(struct txn *txn, struct err *err)
{
    struct store *store = txn->store;
    struct commit_queue *queue = &store->commit_queue;
    if (txn->refused) {
        *err = txn->refusal;
        return false;
    }
    overflow_settle(txn);
    buf_clear(&txn->payload);
    transaction_encode(&txn->data, &txn->payload);
    if (txn->payload.len == 0)
        return true;
    if (!check(txn, err))
        return false;
    bool plain = txn_is_plain(txn);
    txn->phase = TXN_READY;
    txn->next_ready = NULL;
    if (plain)
        store->txn = NULL;
    mutex_lock(&queue->mutex);
    *queue->ready_last = txn;
    queue->ready_last = &txn->next_ready;
    queue->in_flight++;
    if (plain)
        give(queue, &txn->waiter);
    mutex_unlock(&queue->mutex);
    return true;
}

/* ---- leading ---- */

/* Transactions that are written together. */
struct group {
    struct txn *first;
    size_t n;
};

static struct group take_group(struct commit_queue *queue)
{
    struct group g = {.first = queue->ready};
    size_t bytes = 0;
    ensure(g.first != NULL); /* who leads is ready himself */
    struct txn *t = g.first, *last = t;
    for (; t && g.n < WAL_GROUP_MAX; t = t->next_ready) {
        if (g.n > 0 && bytes + t->payload.len > GROUP_BYTES)
            break;
        bytes += t->payload.len;
        last = t;
        g.n++;
    }
    last->next_ready = NULL;
    queue->ready = t;
    if (!t)
        queue->ready_last = &queue->ready;
    return g;
}

static bool may_write(struct store *store, struct err *err)
{
    if (!replay_went_well(store, err))
        return false;
    mutex_lock(&store->lock);
    bool failed = store->failed, held = store->tail_held;
    if (held && !failed)
        *err = store->held;
    mutex_unlock(&store->lock);
    if (held && !failed)
        return false;
    return !failed || err_set(err, ERR_IO, "%s failed to sync earlier: read only until the restart",
                          store->path);
}

static bool write_ahead(struct store *store, const struct group *group, struct err *err)
{
    struct frame_front all = {0};
    struct slice one, *payloads = &one;
    struct buf front;
    if (!store->path)
        return true;
    if (!may_write(store, err))
        return false;
    if (group->n > 1)
        payloads = xreallocarray(NULL, group->n, sizeof *payloads);
    size_t n = 0;
    for (const struct txn *t = group->first; t; t = t->next_ready) {
        front_add(&all, &t->data, store->options.block_ms);
        payloads[n++] = buf_view(&t->payload);
    }
    buf_init(&front, 0);
    front_encode(&all, &front);
    bool ok = wal_append(store->wal, store->lsn + 1, buf_view(&front), payloads, n, err);
    buf_fini(&front);
    if (payloads != &one)
        free(payloads);
    mutex_lock(&store->lock);
    store->fsyncs = wal_syncs(store->wal);
    store->failed = store->failed || wal_failed(store->wal);
    mutex_unlock(&store->lock);
    return ok;
}

/* It is on disk. */
static void publish(struct store *store, struct txn *t)
{
    struct err broken;
    t->lsn = store->lsn + 1;
    state_apply(&store->state, &t->data.state, t->lsn, false);
    state_changes_fini(&t->data.state); /* readers need cells alone */
    state_changes_init(&t->data.state);
    ensure(store_define(store, &t->data, &broken));
    overflow_commit(t);
    publish_transaction(store, &t->data, t->lsn, t->payload.len, t->leave);
}

/* Those that failed are first in line for the turn, unless they have it. */
static void fail(struct commit_queue *queue, struct txn *t, const struct err *err)
{
    t->phase = TXN_FAILED;
    t->err = *err;
    if (!t->waiter.has_turn)
        wait_first(queue, &t->waiter);
}

/* From the last to the first, so that they wait in their order. */
static void fail_all(struct commit_queue *queue, struct txn *t, const struct err *err)
{
    struct txn *reversed = NULL, *next;
    for (; t; t = next) {
        next = t->next_ready;
        t->next_ready = reversed;
        reversed = t;
    }
    for (t = reversed; t; t = next) {
        next = t->next_ready;
        fail(queue, t, err);
        wake(&t->waiter);
    }
}

static void end_all(struct txn *t)
{
    for (struct txn *next; t; t = next) {
        next = t->next_ready;
        t->phase = TXN_DONE;
        wake(&t->waiter);
    }
}

/* Writes a group. The mutex is held, and let go meanwhile. */
static void lead(struct store *store)
{
    struct commit_queue *queue = &store->commit_queue;
    struct err err = {0};
    struct group group = take_group(queue);
    queue->writing = true;
    mutex_unlock(&queue->mutex);
    bool ok = write_ahead(store, &group, &err);
    for (struct txn *t = group.first; ok && t; t = t->next_ready)
        publish(store, t);
    mutex_lock(&queue->mutex);
    queue->writing = false;
    queue->in_flight -= group.n;
    if (ok)
        end_all(group.first);
    else
        fail_all(queue, group.first, &err);
    if (queue->ready)
        wake(&queue->ready->waiter);
    grant(queue);
}

/* ---- waiting ---- */

/* Open again, and others may have defined series meanwhile. */
static void open_again(struct txn *txn)
{
    struct store *store = txn->store;
    txn->phase = TXN_OPEN;
    store->txn = txn;
    if (!txn_is_plain(txn))
        return;
    txn->data.first_metric = (uint32_t)store->catalog.n_metrics;
    txn->data.first_series = (uint32_t)store->catalog.n_series;
}

bool commit_await(struct txn *txn, struct err *err)
{
    struct commit_queue *queue = &txn->store->commit_queue;
    if (txn->payload.len == 0) { /* nothing is to be written */
        mutex_lock(&txn->store->lock);
        txn->lsn = txn->store->lsn;
        mutex_unlock(&txn->store->lock);
        return true;
    }
    mutex_lock(&queue->mutex);
    while (txn->phase == TXN_READY) {
        if (queue->writing)
            sleep_on(queue, &txn->waiter);
        else
            lead(txn->store);
    }
    while (txn->phase == TXN_FAILED && !txn->waiter.has_turn)
        sleep_on(queue, &txn->waiter);
    mutex_unlock(&queue->mutex);
    if (txn->phase == TXN_DONE)
        return true;
    *err = txn->err;
    open_again(txn);
    return false;
}
