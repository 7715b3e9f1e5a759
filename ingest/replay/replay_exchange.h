/*
 * The end of a replay, when two stores hold what was made of the same records: one transaction
 * makes the metric's cells in the first what they are in the second, for all windows that the
 * topics and raw retention hold whole, says that these are of the definition of now
 * (rollup_history.h), and that the replay is over (replay_order.h). A query sees all of it or
 * nothing.
 */
#ifndef INGEST_REPLAY_REPLAY_EXCHANGE_H
#define INGEST_REPLAY_REPLAY_EXCHANGE_H

#include "ingest/replay/replay_order.h"
#include "ingest/rollup.h"

/* All are the caller's. */
struct replay_exchange {
    struct store *first, *second;
    const struct streams
        *streams; /* of the second: this rollup alone, and the topics that it needs */
    const struct rollup *rollup;
    const struct retention *retention; /* of the first */
};

/* Whether it may begin, as far as the first store says, with windows up to from_ms left alone.
 * ERR_UNSUPPORTED: open lives have no boundary. */
bool replay_exchange_may(const struct replay_exchange *x, int64_t from_ms, struct err *err);
/* Makes the net of now for nothing: what that reads lies at hand afterwards. How many cells differ;
 * 0 also when it cannot be made. */
size_t replay_exchange_rehearse(const struct replay_exchange *x, const struct replay_order *order);
/* Whether lives have expired as far in both. */
bool replay_exchange_is_even(const struct replay_exchange *x);
/* Both are level and even, and nobody writes to either but this. *order: done, on success.
 * ERR_NOT_FOUND: no window is whole; ERR_UNSUPPORTED as replay_exchange_may; ERR_LIMIT: more cells
 * than one transaction holds; and as txn_commit. */
bool replay_exchange_do(
    const struct replay_exchange *x, struct replay_order *order, struct err *err);

#endif
