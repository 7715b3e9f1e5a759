/*
 * The ingestion: Kafka topics to committed cells. One thread reads all assigned partitions from the
 * store's own positions, decodes, checks, rolls up, and commits one transaction per batch: cells,
 * positions, clocks and counts live or die together.
 *
 *     batch -> decode -> contract -> rollups -> one transaction -> fdatasync -> visible
 *
 * When a commit fails for lack of space the batch is kept and tried again; nothing is read
 * meanwhile. When the broker is away it retries for ever and says so.
 */
#ifndef INGEST_INGEST_H
#define INGEST_INGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "ingest/rollup.h"
#include "ingest/source/source_request.h"
#include "store/store.h"

struct kafka_setting {
    struct slice name, value;
};

#define INGEST_WORKERS_MAX 64

/* Every of-th partition of each topic: those whose number mod `of` is number - 1. of 0: all. */
struct shard {
    uint32_t number, of;
};

struct ingest_options {
    const struct kafka_setting *kafka; /* librdkafka's own names, bootstrap.servers among them */
    size_t n_kafka;
    const struct streams *streams; /* outlives the ingestion */
    struct shard shard;
    uint32_t commit_ms;    /* a batch is committed at the latest after this time; 0: 50 */
    uint32_t batch_events; /* or when it has this many events; 0: 100,000 */
    uint32_t workers;      /* threads that take events in, to INGEST_WORKERS_MAX; 0: 2 */
    uint64_t memory_bytes; /* for entities that were touched lately; 0: 128 MiB */
};

struct ingest;

/* Defines the metrics in the store, connects and starts the thread. ERR_INVALID: a setting that
 * librdkafka refuses, or a metric that the store knows otherwise. A broker that is away is no
 * error. */
bool ingest_start(struct store *store, const struct ingest_options *options, struct ingest **out,
    struct err *err);
/* Commits what was taken in, stops the thread, frees. What was fetched and not taken in is read
 * again. */
void ingest_stop(struct ingest **ingest);

/* Of one stream, for /metrics, /-/ready and logs. */
struct stream_stats {
    struct slice name;
    uint64_t accepted;          /* events, since the data folder began */
    uint64_t refused[REFUSALS]; /* by reason, likewise */
    uint64_t tombstones, bytes;
    uint64_t duplicates; /* of an event id that was accepted before; they are not counted again */
    uint64_t conflicts;  /* the same id with other content: the first one counts */
    int64_t frontier_ms, watermark_ms; /* INT64_MIN: not known yet */
    int64_t lag_messages; /* to the end of all partitions as last heard; -1: not known */
    uint32_t partitions, halted, paused;
    uint64_t lost; /* offsets that were gone, or left out by an operator, before they were read */
    bool caught_up;
};

/* Of one lifecycle, since the data folder began. */
struct lifecycle_counts {
    struct slice name;
    uint64_t facts;   /* events that reached a stage */
    uint64_t outside; /* of them, of no life when they came: too late, or without a first stage */
    uint64_t dropped; /* left out: the entity has too many of one stage */
    uint64_t expired; /* lives that had not ended in time */
    uint64_t corrections; /* cells that were taken back */
};

struct ingest_stats {
    uint64_t batches, commit_failures;
    uint64_t refused_cells; /* left out since the start, because a limit refused their label sets */
    uint64_t throttled_ms;  /* waited because the store's maintenance lagged behind */
    bool connected;         /* a broker has answered since the last failure */
    char trouble[ERR_TEXT_MAX]; /* what holds it up now, for a person; empty: nothing */
    /* CPU time of all workers by step, ns. */
    uint64_t ns_poll, ns_decode, ns_judge, ns_dedupe, ns_lifecycle, ns_rollup, ns_commit;
};

/* Thread-safe. streams has room for n entries; returns how many there are. */
size_t ingest_stats(
    struct ingest *ingest, struct ingest_stats *out, struct stream_stats *streams, size_t n);

/* The same for lifecycles. */
size_t ingest_lifecycles(struct ingest *ingest, struct lifecycle_counts *out, size_t n);

/* What an operator asks, by any thread. A change is committed when it comes back true, in a
 * transaction of its own; rows and notes are in the arena. ERR_NOT_FOUND: no such partition;
 * ERR_INVALID: it cannot be done so; ERR_UNAVAILABLE: the broker does not answer; ERR_TIMEOUT: the
 * ingestion has not come to it within wait_ms. */
bool ingest_source(struct ingest *ingest, const struct source_request *request, int64_t wait_ms,
    struct arena *arena, struct source_answer *answer, struct err *err);

/* Event time that every stream has passed (its watermark): blocks that end before may be sealed.
 * INT64_MIN: not known yet. */
int64_t ingest_passed_ms(struct ingest *ingest);

#endif
