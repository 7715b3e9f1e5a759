/*
 * Retention: how long cells are kept, by resolution, and how many bytes all of them may take.
 *
 * Age is counted from the newest sealed data, never from a clock: a store that nobody writes to
 * loses nothing. Segments go as a whole, and a window's (a day's) all at once. What is derived from
 * raw cells that are gone stays good: it is told, in the same edit, that there is nothing left that
 * it could differ from. Raw segments wait until everything coarser has been derived from them.
 *
 * Over max_bytes the oldest window goes, of the raw cells first, then of the 1m and the 1h ones.
 *
 * Series that have no cell left are removed from the catalogue.
 */
#ifndef STORE_RETENTION_H
#define STORE_RETENTION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct store;

/* 0: for ever, and no bound. */
struct retention {
    int64_t raw_ms, minute_ms, hour_ms;
    uint64_t max_bytes; /* of segments */
};

/* One step: the segments of one resolution whose time is over, or one window when there are too
 * many bytes. The caller holds `seal`, and nothing waits to be derived. */
bool retention_step(struct store *store, int64_t passed_ms, bool *did, struct err *err);

#endif
