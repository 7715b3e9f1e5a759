/*
 * Publishing: how a transaction that is on disk becomes visible, without waiting for readers.
 *
 *     commit -> definitions into the catalogue -> list of pending transactions -> head
 *
 * A transaction is visible once it is on the list, which takes a moment under store.lock. It is
 * applied to the head when nobody is there (store.gate): by who leads the commit at once as a rule,
 * else by the next ones, or by store_publish, in slices, so that a reader never waits long for that
 * either. A reader
 * sees the head and what is pending at the moment when it comes in: exactly one transaction's end.
 */
#ifndef STORE_PUBLISH_H
#define STORE_PUBLISH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/transaction.h"

struct store;

/* A transaction that is visible, and not yet in the head, or not all of it. Counted: the list has
 * one reference, and each snapshot that saw it. */
struct pending {
    atomic_uint refs;
    struct transaction data; /* does not change any more */
    uint64_t bytes;
    size_t at; /* cells from this one on are not in the head; changes when the gate is closed */
    struct pending *next;
};

struct pending *pending_get(struct pending *pending);
void pending_put(struct pending **pending);

/* Makes the transaction visible as number lsn, takes its contents, and applies what can be applied
 * now, about twice as many cells as it has, or nothing when its cells are left. Waits for readers'
 * moments (store/moment.c) only when more is pending than PENDING_BYTES_MAX. Who leads a commit
 * calls it (store/commit.h). */
#define PENDING_BYTES_MAX (16u << 20)
void publish_transaction(
    struct store *store, struct transaction *take, uint64_t lsn, uint64_t wal_bytes, bool leave);

/* Applies a slice of what is pending, unless somebody is at the head. False when nothing is left,
 * or nothing could be done. */
bool publish_some(struct store *store);
/* Applies everything; the gate is closed. */
void publish_all(struct store *store);

#endif
