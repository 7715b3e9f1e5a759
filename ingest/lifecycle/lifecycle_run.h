/*
 * A lifecycle at work. The facts of each entity lie in state tables of the store, changed by the
 * same transactions as the cells that are made of them:
 *
 *     lifecycle/NAME          key's hash -> records of its facts (facts.h), in generations by the
 *                             newest time of the entity
 *     lifecycle/NAME/timers   key's hash, in generations of the minute in which a life of it may
 *                             expire
 *     lifecycle/NAME/labels   hash of label values -> their texts, in pieces
 *     lifecycle/NAME/folded   outputs that have no series of their own (folded.h), if any
 *
 * Nothing of what was put out is stored: it follows from the facts and from how far expiry has come
 * (life_outputs.h), which is the position of the source "lifecycle/NAME".
 *
 *     lifecycle_enter, lifecycle_add ... | lifecycle_settle (once) | lifecycle_write |
 * lifecycle_clear
 *
 * An entity's state is kept until its newest time + expire + late, and what dedupe may be behind
 * with forgetting ids, have been passed by the horizon (horizon.h), and by expiry. One thread uses
 * a runner, and nothing else changes its tables; what is only asked of it (const) any thread may
 * ask meanwhile.
 */
#ifndef INGEST_LIFECYCLE_LIFECYCLE_RUN_H
#define INGEST_LIFECYCLE_LIFECYCLE_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "ingest/crew.h"
#include "ingest/ingest.h"
#include "ingest/lifecycle/entities.h"
#include "ingest/lifecycle/life_outputs.h"
#include "ingest/rollup_run.h"
#include "store/store.h"

struct lifecycle_runner;

/* Whether the lives that the store holds can be read by the lifecycle as it is configured now.
 * ERR_INVALID: it has changed. */
bool lifecycle_fits(
    struct store *store, const struct streams *streams, size_t number, struct err *err);

/* How far expiry has come in a store; {INT64_MIN, 0}: not at all. */
struct expiry lifecycle_expiry(struct store *store, struct slice lifecycle);

/* number: the lifecycle's in streams, which fits. horizon_ms: the committed one of the slowest of
 * its streams; INT64_MIN: none. memory_bytes: for entities that were touched lately. All outlive
 * it. */
struct lifecycle_runner *lifecycle_runner_new(struct store *store, const struct streams *streams,
    size_t number, int64_t horizon_ms, struct rollup_runner *rollups, size_t memory_bytes);
void lifecycle_runner_free(struct lifecycle_runner **runner);
/* Entities that one batch looks at to expire them, 2 at least: the last one is looked at again. It
 * is 50,000 when nobody says otherwise. label_bytes: of label values at hand, and of which series
 * they are, 8 MiB. */
void lifecycle_runner_bound(struct lifecycle_runner *runner, size_t expire_max, size_t label_bytes);

/* Which stages the event reaches: a bit for each. False: a condition's value does not fit, and the
 * event is to be refused. */
bool lifecycle_stages(const struct lifecycle_runner *runner, size_t stream,
    const struct event *event, uint32_t *stages);
/* The event's entity, for stages that it reaches; and where entities are found. */
struct hash128 lifecycle_key(
    const struct lifecycle_runner *runner, const struct event *event, uint32_t stages);
struct entities *lifecycle_entities(const struct lifecycle_runner *runner);
/* An event's place in the batch: its entity's number, and the labels of a first. */
struct life_entry {
    size_t entity;
    uint64_t labels;
};
/* The event's entity, of which this was found, becomes part of the batch, so that the event can be
 * added. False: the store cannot be read now. */
bool lifecycle_enter(struct lifecycle_runner *runner, const struct event *event, uint32_t stages,
    const struct entity_found *found, struct life_entry *out, struct err *err);
/* Adds an event that was entered, for these stages; id is a hash of its id. */
void lifecycle_add(struct lifecycle_runner *runner, const struct event *event, uint32_t stages,
    const struct life_entry *entry, uint64_t id);

/* What the batch so far writes of entities and of their label values, about. */
size_t lifecycle_batch_bytes(const struct lifecycle_runner *runner);

/* Expires what the watermark has passed, a part of it when that is much, and puts what the batch
 * has changed into the rollups; the crew joins the facts. Once per batch, before it is written.
 * False: the store cannot be read now; it is to be tried again. */
bool lifecycle_settle(struct lifecycle_runner *runner, struct crew *crew, int64_t watermark_ms,
    int64_t horizon_ms, struct err *err);
/* Puts the batch's facts into the transaction. */
bool lifecycle_write(struct lifecycle_runner *runner, struct txn *txn, struct err *err);
void lifecycle_clear(struct lifecycle_runner *runner);
/* Something is to expire that the last batch has left. */
bool lifecycle_is_behind(const struct lifecycle_runner *runner);

/* Lives that could go on until a time before it have expired, with the batch as it was settled;
 * INT64_MIN: none has. */
int64_t lifecycle_expired_ms(const struct lifecycle_runner *runner);

/* That label sets at hand take. */
size_t lifecycle_label_bytes(const struct lifecycle_runner *runner);

/* What is committed. */
void lifecycle_counted(const struct lifecycle_runner *runner, struct lifecycle_counts *out);

#endif
