/*
 * An ingestion that follows another one: it reads the same topics from their beginning into a store
 * of its own, and never further than the other has committed. When both stand still at the same
 * positions they have read the same records, but for what the other has skipped or was moved over:
 * that is where one can take the other's place.
 *
 *     followed    positions of its store ........................ p
 *     follower    first ........ next, up to p and no further; its clocks are at most the other's
 *
 * All functions are the follower's thread's, but where it says so.
 */
#ifndef INGEST_FOLLOW_H
#define INGEST_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "ingest/kafka_source.h"
#include "ingest/partition.h"
#include "ingest/rollup.h"
#include "ingest/stream_topics.h"
#include "store/store.h"

/* Leaves of n records those that the other has read. Returns how many are left. */
size_t follow_takes(struct store *followed, struct kafka_record *records, size_t n);
/* Once they are taken in: parks partitions before the first record that the other has not read. */
void follow_stop(struct kafka_source *source);
/* Lets partitions go on that the other has read further. */
void follow_resume(struct store *followed, struct kafka_source *source, int64_t now_ms);

/* How far it is behind. */
struct follower;

/* Both outlive it. */
struct follower *follower_new(struct store *followed, const struct streams *streams);
void follower_free(struct follower **follower);
/* Looks at both, before follower_behind is asked. */
void follower_look(struct follower *follower, struct kafka_source *source, int64_t now_ms);
/* How many offsets of the stream the other has passed, and this one has not; INT64_MAX: not known.
 */
int64_t follower_behind(const struct follower *follower, size_t stream);
/* Around each look at the topics. A partition that the other has read, and that is not there when
 * all topics are found, cannot be read any more: it does not count. What was read of it is lost,
 * as follow_span_of says. all: of kafka_source_discover. */
void follower_asks(struct follower *follower);
void follower_listed(struct follower *follower, struct kafka_source *source, bool all);

/* The stream's clocks: the other's, when it is level with it, else at most those. */
void follow_clocks(struct store *followed, const struct stream *stream, bool level,
    int64_t *frontier_ms, int64_t *watermark_ms);

/* First records are part of the follower's transactions: as sources "first/TOPIC/NUMBER". */
void follow_recall(struct store *store, struct partition *partition);
void follow_write(const struct partition *partition, struct txn *txn);

/* ---- from both stores, by any thread ---- */

struct follow_span {
    /* From when on all that the other has read was there to be read: the end of the span of event
     * time of which the topics may have lost something. INT64_MIN: they have lost nothing. It rests
     * on records that lie in the order of their timestamps where the logs begin now. Where they say
     * nothing (without timestamps, of arrival: partition, of a retry topic), all that was read of
     * the partition counts as lost when its beginning is. */
    int64_t whole_after_ms;
    int64_t newest_ms; /* the greatest event time that the other has read; INT64_MIN: none */
};

/* Of the streams that have topics. */
struct follow_span follow_span_of(
    struct store *store, struct store *followed, const struct streams *streams);

/* How many offsets the other has passed of those that the topics held when the follower came to
 * them, and how many of these it has passed itself. */
void follow_progress(struct store *store, struct store *followed, const struct streams *streams,
    uint64_t *done, uint64_t *all);

#endif
