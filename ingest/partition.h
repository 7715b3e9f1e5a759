/*
 * What is known of one partition: its position, its newest event, what became of its events, and
 * whether it is read to its end. Position, newest event and tally are stored with every transaction
 * that changes them; the rest is of this run.
 */
#ifndef INGEST_PARTITION_H
#define INGEST_PARTITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "ingest/contract.h"

#define PARTITION_NAME_MAX 288 /* topic (at most 249 bytes), slash, number */

/* Counts since the data folder began. */
struct tally {
    uint64_t accepted, refused[REFUSALS], tombstones, bytes;
    uint64_t duplicates; /* of an event id that was accepted before */
    uint64_t conflicts;  /* the same, with other content */
};

struct partition {
    size_t stream, topic;
    int32_t id;
    char name[PARTITION_NAME_MAX]; /* "topic/id": the source's name in the store */
    int64_t next;                  /* offset to read next; -1: never read, from its beginning */
    int64_t newest_ms;             /* greatest accepted event time; INT64_MIN: none */
    struct tally tally;
    bool dirty;        /* changed since the last commit */
    bool halted;       /* its position cannot be read any more: the operator decides */
    bool waiting;      /* what comes is dropped until it is assigned again, at next */
    bool parked;       /* it waits for something, not to be read before */
    uint32_t broken;   /* batches that did not read, one after the other */
    int64_t committed; /* next, as of the last commit; -1: none */
    int64_t passed; /* offsets below hold nothing more for us: next, or behind it when only markers
                       follow */
    int64_t end;    /* of the log, as last heard; -1: not heard yet */
    bool caught_up;
    int64_t caught_up_ms; /* when it was last known to be read to its end */
    int64_t quiet_ms;     /* when its last record came, or this run began */
};

/* The stored form of a tally: varints. False: it does not read. */
void tally_encode(const struct tally *tally, struct buf *out);
bool tally_decode(struct slice state, struct tally *out);
void tally_add(struct tally *to, const struct tally *in);

/*
 * The clocks of a stream from its partitions.
 *   frontier   everything up to here was read: the least over the partitions of now, when caught
 * up, else of the greatest event time read. INT64_MIN: a partition that has not been caught up has
 * shown nothing yet. watermark  everything up to here has come, for all that is known: the slowest
 * partition's newest event less bound_ms; partitions at their end and quiet for idle_ms do not
 * count, and when none counts it is now less bound_ms. INT64_MIN: not known. partitions: those of
 * the stream; NULL entries are skipped.
 */
void partitions_clocks(const struct partition *const *partitions, size_t n, int64_t bound_ms,
    int64_t idle_ms, int64_t *frontier_ms, int64_t *watermark_ms);

#endif
