/*
 * The exemplars (exemplar.h) of the events that counters and histograms count: those with a sampled
 * trace, since the others lead nowhere. What a batch has found is kept here until its transaction
 * is committed:
 *
 *     exemplars_add ... | exemplars_write, again when that transaction was aborted |
 * exemplars_clear
 *
 * A generation goes when the horizon of its stream has passed its end by the stream's
 * `exemplars`; what would lie in one that is gone is not kept. One thread uses it, and nothing else
 * changes the tables.
 */
#ifndef INGEST_EXEMPLARS_EXEMPLARS_H
#define INGEST_EXEMPLARS_EXEMPLARS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "ingest/rollup.h"
#include "store/store.h"

struct exemplars;

/* Both outlive it. */
struct exemplars *exemplars_new(struct store *store, const struct streams *streams);
void exemplars_free(struct exemplars **exemplars);

/* Whether the event may become one. */
static inline bool exemplars_want(const struct event *event)
{
    return event->trace.flags & TRACE_SAMPLED;
}

/* The event was counted in the rollup of its stream, with this value. */
void exemplars_add(struct exemplars *exemplars, const struct rollup *rollup,
    const struct event *event, int64_t value);

/* What the batch has found, where it wins over what is there; and what goes with the horizons (by
 * stream; INT64_MIN: none) that are committed with it. A page of the table that cannot be read is
 * as one without exemplars. ERR_LIMIT: too many state tables. */
bool exemplars_write(
    struct exemplars *exemplars, struct txn *txn, const int64_t *horizons, struct err *err);
/* The transaction is committed. */
void exemplars_clear(struct exemplars *exemplars);

/* Exemplars that the batch has found. */
size_t exemplars_pending(const struct exemplars *exemplars);

#endif
