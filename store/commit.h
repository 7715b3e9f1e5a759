/*
 * How transactions of several threads get to disk: who may build one, and how those that are ready
 * share a write and a sync.
 *
 *     txn_begin            txn_commit
 *     waits for the turn   ready                 written, synced     published
 *     --------- builds ----|-- the first leads --|-------------------|-- returns
 *                          |-- others join the next group -----------|------------ ...
 *
 * The *turn* goes from thread to thread in the order in which they asked for it: nobody starves. A
 * transaction that holds nothing but cells of series that are known, a *plain* one, gives the turn
 * back as soon as it is ready: the next one is built while it is written. Any other keeps it until
 * it is visible, since what is built after it may look at what it changes: metrics and series,
 * sources, clocks, state tables.
 *
 * The first that is ready while nobody writes leads: it writes all that are ready, as one frame,
 * which lives or dies as a whole, and publishes them one after the other. What becomes ready
 * meanwhile is the next group. Nobody waits for company: a commit starts when the last one has
 * ended.
 *
 * When the write fails, all of the group fail, and each is open again: it has the turn back before
 * txn_commit returns, in the order of the group and before anybody who waits for a first turn.
 *
 * Who changes what plain transactions rely on (removing series, cutting the log, checkpoints) waits
 * until he is alone: he has the turn, and nothing is ready, written or failed.
 */
#ifndef STORE_COMMIT_H
#define STORE_COMMIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct store;
struct txn;

/* Who waits for the turn. In a transaction, or on the stack of txn_begin. */
struct commit_waiter {
    struct commit_waiter *next;
    pthread_cond_t wake;
    bool alone, has_turn;
};

/* Guarded by its mutex, which is below store.seal and above all other locks of the store; it is not
 * held while something is written. */
struct commit_queue {
    pthread_mutex_t mutex;
    struct commit_waiter *first, **last;
    bool taken;                      /* somebody has the turn */
    struct txn *ready, **ready_last; /* in the order in which they are written */
    bool writing;                    /* somebody leads */
    size_t in_flight;                /* ready or being written */
};

void commit_queue_init(struct commit_queue *queue);
void commit_queue_fini(struct commit_queue *queue);

void commit_waiter_init(struct commit_waiter *waiter);
void commit_waiter_fini(struct commit_waiter *waiter);

/* Waits for the turn; with waiter->alone, until nothing is in flight either. True: nothing is. */
bool commit_turn_take(struct commit_queue *queue, struct commit_waiter *waiter);
void commit_turn_give(struct commit_queue *queue, struct commit_waiter *waiter);

/* The two halves of txn_commit: encodes, and makes the transaction ready when it is not empty; sees
 * to it that it is written and published, and frees it. After a false of either it is open. */
bool txn_make_ready(struct txn *txn, struct err *err);
bool txn_finish(struct txn **txn, uint64_t *lsn, struct err *err);
/* The second half but for the freeing. */
bool commit_await(struct txn *txn, struct err *err);
bool txn_is_plain(const struct txn *txn);

/* As txn_begin, for maintenance: see above. */
struct txn *txn_begin_alone(struct store *store);

#endif
