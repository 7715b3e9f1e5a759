/*
 * The Kafka side of the ingestion: a consumer that is assigned partitions at our own positions. It
 * joins no group; what it commits to the broker is a hint for lag tools. One thread uses a source.
 */
#ifndef INGEST_KAFKA_SOURCE_H
#define INGEST_KAFKA_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "ingest/ingest.h"
#include "ingest/partition.h"

struct kafka_source;
struct rd_kafka_headers_s; /* librdkafka's */

struct kafka_record {
    struct partition *partition;
    int64_t offset;
    int64_t timestamp_ms; /* of the record; INT64_MIN: it has none */
    struct slice value;   /* ptr NULL: a tombstone */
    struct slice key;     /* ptr NULL: it has none */
    const void *message;  /* librdkafka's; NULL: a record of a test */
};

/* The record's headers, borrowed like the record; NULL: it has none. To find that out, librdkafka
 * allocates: who wants several asks once. */
const struct rd_kafka_headers_s *kafka_record_headers(const struct kafka_record *record);
/* The value of the last one with the name, borrowed likewise; ptr NULL: there is none, or no
 * headers at all. */
struct slice kafka_header(const struct rd_kafka_headers_s *headers, const char *name);
/* Both. */
struct slice kafka_record_header(const struct kafka_record *record, const char *name);

/* ERR_INVALID: a setting that librdkafka does not know or take; the text is librdkafka's. Does not
 * connect yet. */
bool kafka_source_new(
    const struct ingest_options *options, struct kafka_source **out, struct err *err);
void kafka_source_free(struct kafka_source **source);

/* Called for a partition that is known for the first time: fills next, newest_ms and tally from the
 * store. */
typedef void partition_found_f(void *ctx, struct partition *partition);

/* A partition of one of the topics that an earlier run has read ("topic/number"): it is known
 * without a broker. Other names are left alone, and other shards. */
void kafka_source_recall(struct kafka_source *source, struct slice name, int64_t now_ms,
    partition_found_f *found, void *ctx);

/* Asks for the partitions of all topics, waiting at most wait_ms, and assigns those that can be
 * read. What cannot be had now (a broker that is away, a topic that does not exist) is tried again
 * with the next call. Returns whether every topic was found. */
bool kafka_source_discover(
    struct kafka_source *source, int wait_ms, int64_t now_ms, partition_found_f *found, void *ctx);

/* Whether the partitions of all topics of the stream are known. */
bool kafka_source_knows(const struct kafka_source *source, size_t stream);

/* Fills at most max records, in offset order per partition, waiting at most wait_ms for the first.
 * They are borrowed until the next call. Records that were read before are left out. While
 * partitions catch up, those that are lowest in event time come first (source/lanes.h); what was
 * fetched and waits takes at most as much memory as librdkafka's own queue. A partition whose last
 * record is not the one that was read, or whose position is gone from the log, is halted, unless
 * its stream skips. */
size_t kafka_source_poll(
    struct kafka_source *source, int wait_ms, int64_t now_ms, struct kafka_record *out, size_t max);

/* Takes in what librdkafka has to say, without records: to be called while nothing is polled. */
void kafka_source_serve(struct kafka_source *source);
/* Partitions wait for an assignment: kafka_source_discover is due soon. */
bool kafka_source_restless(const struct kafka_source *source);

/* The partition stands still at the offset, which could not be read yet for a reason that lies
 * elsewhere, until it is let go on; its records that were polled already are not for counting.
 * why: for a person. */
void kafka_source_park(
    struct kafka_source *source, struct partition *partition, int64_t offset, const char *why);
void kafka_source_unpark(struct kafka_source *source, struct partition *partition);

/* All partitions, in order of discovery; stable addresses. */
size_t kafka_source_partitions(struct kafka_source *source, struct partition *const **out);

/* Tells the broker the committed positions. wait_ms: how long to wait for the last time's answer,
 * and for this one's; 0: not at all, and while one is under way nothing is told. */
void kafka_source_hint(struct kafka_source *source, int wait_ms);

/* What holds it up now, for a person; "" when nothing does. */
const char *kafka_source_trouble(struct kafka_source *source);
bool kafka_source_connected(const struct kafka_source *source);

#endif
