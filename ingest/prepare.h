/*
 * What can be said of records before their turn comes: what they hold, what their ids and entities
 * are in the store, what they come to in rollups. It needs nothing that a record before may change,
 * so a crew does it, a part of the slice each; whether a record counts is decided afterwards, one
 * after the other (intake.h), and nothing of that depends on who has prepared what.
 *
 *     decode | hash the ids | look for them | look for the entities | values and label sets
 *
 * Each step goes over a whole part before the next one begins: memory that one record needs is
 * asked for while others are looked at.
 */
#ifndef INGEST_PREPARE_H
#define INGEST_PREPARE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "ingest/crew.h"
#include "ingest/decoder.h"
#include "ingest/dedupe.h"
#include "ingest/lifecycle/lifecycle_run.h"
#include "ingest/rollup_run.h"

enum prepared_kind {
    PREPARED_NOT,     /* no room is left, or the store cannot be read */
    PREPARED_NOTHING, /* a tombstone, or its partition waits */
    PREPARED_WAITS,   /* for its schema */
    PREPARED_REFUSED,
    PREPARED_EVENT,
};

struct prepared_life {
    uint32_t stages; /* that the event reaches; 0: it is not of the lifecycle */
    struct entity_found found;
};

/* All but kind holds for PREPARED_EVENT alone; why for PREPARED_REFUSED too, and field for that
 * alone. */
struct prepared {
    enum prepared_kind kind;
    enum refusal why; /* of PREPARED_REFUSED; else REFUSED_RANGE, or REFUSED_NOT: a value of its
                         rollups or stages does not fit */
    int field;        /* the first one that it is refused for, or -1 */
    struct event *event;
    struct dedupe_id id;
    bool may_repeat;           /* its stream has ids, or it was sent anew: the id counts once */
    struct dedupe_known known; /* of an id that may repeat */
    struct rollup_hit *hits;
    size_t n_hits;
    struct prepared_life *lives; /* by lifecycle */
};

/* What records are prepared with; all outlive the preparer. */
struct prepare_options {
    const struct streams *streams;
    struct registry *registry; /* NULL: no stream is Avro */
    struct crew *crew;
    struct dedupe *const *dedupes; /* by stream; NULL: no event of it may come again */
    struct lifecycle_runner *const *lifecycles;
    const struct rollup_runner *rollups;
};

/* CPU time of all threads. */
struct prepare_times {
    int64_t decode_ns, dedupe_ns, lifecycle_ns, rollup_ns;
};

struct preparer;

struct preparer *preparer_new(const struct prepare_options *options);
void preparer_free(struct preparer **preparer);

/* Prepares records; *ready: so many of them, from the first on. False: not one, because the store
 * cannot be read. The dedupes and entities are open. What was prepared is borrowed until the next
 * call, and from the records. */
bool preparer_run(struct preparer *preparer, const struct kafka_record *records, size_t n,
    size_t *ready, struct err *err);
/* Record number i of the last call; the next ones lie behind it. */
struct prepared *preparer_at(const struct preparer *preparer, size_t i);

/* What the record waits for, or why it is refused, once more and told to the log; not while a call
 * runs. */
enum refusal preparer_ask(
    struct preparer *preparer, const struct kafka_record *record, struct decoder_wait *wait);

void preparer_times(const struct preparer *preparer, struct prepare_times *out);

#endif
