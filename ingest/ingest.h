/*
 * The ingestion: Kafka topics to committed cells. One thread reads all assigned partitions from the
 * store's own positions and commits one transaction per batch: cells, ids, lives, dead letters,
 * positions, clocks and counts live or die together. It decodes and looks up with the other workers
 * (crew.h), and judges alone.
 *
 *     batch -> decode -> contract -> dedupe -> lifecycles -> rollups -> one transaction ->
 * fdatasync
 *           -> visible
 *
 * When a commit fails for lack of space the batch is kept and tried again; nothing is read
 * meanwhile. When the broker is away it retries for ever and says so.
 *
 * Another config is taken over between two batches: what was taken in by the old one is committed,
 * then the new one reads on from the same positions.
 */
#ifndef INGEST_INGEST_H
#define INGEST_INGEST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "ingest/lateness.h"
#include "ingest/rollup.h"
#include "ingest/source/source_desk.h"
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
    /* These outlive the ingestion. */
    const struct kafka_setting *kafka; /* librdkafka's own names, bootstrap.servers among them */
    size_t n_kafka;
    const struct streams *streams;
    struct shard shard;
    struct store *follows; /* reads no further than the ingestion of this store, which outlives it:
                              follow.h; NULL: as far as there is */
    uint32_t commit_ms;    /* a batch is committed at the latest after this time, a large one after
                              twice    as long; 0: 50 */
    uint32_t
        batch_events; /* or when it has this many events; 0: 100,000, fewer with little memory */
    uint32_t workers; /* threads that take events in, to INGEST_WORKERS_MAX; 0: 2 */
    uint64_t memory_bytes; /* for what is at hand of ids, entities and label sets, and as much for a
                              batch; 0: 128 MiB */
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

/* Goes on with other streams, lifecycles, rollups and settings of the broker: commits the open
 * batch, and reads on from the positions that are committed, a topic that is new as at a start.
 * True: nothing of the old streams is used any more, but for names that ingest_stats and its like
 * have given out before. False: it goes on as it was. ERR_INVALID as ingest_start; ERR_TIMEOUT: the
 * batch could not be committed for RELOAD_WAIT_MS; as txn_commit: what the new ones begin with
 * could not; ERR_CANCELED: *cancel (may be NULL). One thread at a time calls it, and not beside
 * ingest_stop. */
#define RELOAD_WAIT_MS 30000
bool ingest_reload(struct ingest *ingest, const struct ingest_options *options,
    const atomic_bool *cancel, struct err *err);

/* Calls f in the ingestion's thread when all that was taken in is committed, lives that expire
 * among it, and nothing else is taken in until it has returned; then reads anew what the store says
 * of generations. As ingest_reload; what f says is returned. */
typedef bool ingest_pause_f(void *ctx, struct err *err);
bool ingest_pause(struct ingest *ingest, ingest_pause_f *f, void *ctx, const atomic_bool *cancel,
    struct err *err);

/* Of one that follows: when it last committed all that the other had read by then, on the monotonic
 * clock; 0: it has not, with its last commit. */
int64_t ingest_level_ms(struct ingest *ingest);
/* How many records it was behind the other with its last commit; INT64_MAX: not known. It does not
 * reload. */
int64_t ingest_behind(struct ingest *ingest);

/* Of one stream, for /metrics, /-/ready and logs. */
struct stream_stats {
    struct slice name;
    uint64_t accepted;          /* events, since the data folder began */
    uint64_t refused[REFUSALS]; /* by reason, likewise */
    uint64_t tombstones, bytes;
    uint64_t duplicates; /* of an event id that was accepted before; they are not counted again */
    uint64_t conflicts;  /* the same id with other content: the first one counts */
    /* Dead letters; all 0 where the stream sends none. */
    uint64_t letters, letters_sent;            /* since the data folder began */
    uint64_t letters_bytes, letters_bytes_max; /* of those that are not sent yet */
    int64_t frontier_ms, watermark_ms;         /* INT64_MIN: not known yet */
    int64_t horizon_ms;   /* by which ids and lives are forgotten (horizon.h); likewise */
    int64_t lag_messages; /* to the end of all partitions as last heard; -1: not known */
    uint64_t lost; /* offsets that were gone, or left out by an operator, before they were read */
    uint32_t partitions, halted, paused;
    bool caught_up;
    bool letters_full;        /* it stands still until some are sent */
    struct lateness lateness; /* of accepted events, since the start */
};

/* Of one partition. */
struct partition_stats {
    const char *name;                  /* "topic/number"; valid during the call */
    struct slice stream;               /* as long as its config */
    int64_t frontier_ms, watermark_ms; /* as if it were alone; INT64_MIN: not known yet */
    int64_t lag_messages;              /* -1: not known */
};

/* Of one lifecycle, since the data folder began. */
struct lifecycle_counts {
    struct slice name;
    uint64_t facts;   /* events that reached a stage */
    uint64_t outside; /* of them, of no life with their batch: too late, or without a first stage */
    uint64_t dropped; /* of them, left out: the entity has too many, and better ones */
    uint64_t expired; /* lives that had not ended in time */
    uint64_t corrections; /* cells that were taken back */
    uint64_t open;        /* now: lives that have not ended */
    uint64_t incomplete;  /* now: entities that are held without a first stage */
    uint64_t forgotten;   /* entities that never got one */
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

/* Thread-safe. streams has room for n entries; returns how many there are. Names are borrowed from
 * the config that is in force. */
size_t ingest_stats(
    struct ingest *ingest, struct ingest_stats *out, struct stream_stats *streams, size_t n);

/* Calls each for every partition, under the lock of the statistics. */
typedef void partition_f(void *ctx, const struct partition_stats *partition);
void ingest_each_partition(struct ingest *ingest, partition_f *each, void *ctx);

/* The same for lifecycles. */
size_t ingest_lifecycles(struct ingest *ingest, struct lifecycle_counts *out, size_t n);

/* Where operators ask (source/source_desk.h); the caller has a reference. */
struct source_desk *ingest_desk_get(struct ingest *ingest);

/* Of one rollup of the config: which generation of it is the newest (rollup_history.h). */
struct generation_stats {
    struct slice rollup, clock; /* valid as long as the config */
    uint32_t number;
    int64_t after_ms; /* it began with the first window that ends later; INT64_MIN: with all */
    uint64_t left_out[GAPS]; /* events of windows without a definition, since the config came */
};

/* Of all rollups, as they are in one moment; the caller frees the list. */
struct generation_stats *ingest_generations(struct ingest *ingest, size_t *n);

/* Event time that every stream has passed (its watermark): blocks that end before may be sealed.
 * INT64_MIN: not known yet. */
int64_t ingest_passed_ms(struct ingest *ingest);

#endif
