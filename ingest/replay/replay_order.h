/*
 * The newest replay of a rollup, as the store keeps it: what is to be done, and when it is over
 * what became of it. It is the state of the source "replay", changed by transactions, so that a
 * replay outlives a restart and ends with the transaction that changes the cells.
 */
#ifndef INGEST_REPLAY_REPLAY_ORDER_H
#define INGEST_REPLAY_REPLAY_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/checksum.h"
#include "base/err.h"
#include "store/store.h"

enum replay_state { REPLAY_NONE, REPLAY_RUNS, REPLAY_DONE, REPLAY_CANCELED, REPLAY_FAILED };
#define REPLAY_STATES 5

struct replay_order {
    enum replay_state state;
    char rollup[256];
    int64_t from_ms;         /* windows up to here are left alone; INT64_MIN: none are */
    struct hash128 config;   /* what was in force when it began (cmd/config.h) */
    int64_t whole_after_ms;  /* done: windows with later ends were made; INT64_MIN: all */
    uint64_t cells;          /* done: that have changed */
    char text[ERR_TEXT_MAX]; /* failed: why */
};

/* REPLAY_NONE: there never was one. ERR_CORRUPT: what is kept does not read. */
bool replay_order_read(struct store *store, struct replay_order *out, struct err *err);
/* Puts it into the transaction. */
void replay_order_write(const struct replay_order *order, struct txn *txn);

#endif
