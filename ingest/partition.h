/*
 * What is known of one partition: its position, its newest event, what became of its events, and
 * whether it is read to its end. Position, newest event, tally and marks are stored with every
 * transaction that changes them; the rest is of this run.
 */
#ifndef INGEST_PARTITION_H
#define INGEST_PARTITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "ingest/contract.h"
#include "ingest/source/partition_marks.h"

struct lane;

#define PARTITION_CAUSE_MAX 240
#define PARTITION_NAME_MAX  288 /* topic (at most 249 bytes), slash, number */

/* Counts since the data folder began. */
struct tally {
    uint64_t accepted, refused[REFUSALS], tombstones, bytes;
    uint64_t duplicates; /* of an event id that was accepted before */
    uint64_t conflicts;  /* the same, with other content */
};

/* Why a partition is halted, and what may be done about it. */
enum halt {
    HALT_GONE,   /* the broker does not have it: lifted when it is there again */
    HALT_ANEW,   /* the log is not the one that was read, or not all of it */
    HALT_LOST,   /* the position is before the log's beginning */
    HALT_BROKEN, /* what is stored there does not read */
};

struct partition {
    size_t stream, topic;
    int32_t id;
    char name[PARTITION_NAME_MAX]; /* "topic/id": the source's name in the store */
    int64_t next;                  /* offset to read next; -1: never read, from its beginning */
    int64_t newest_ms;             /* greatest time of an event, accepted here or seen before;
                                      INT64_MIN: none */
    struct tally tally;
    struct partition_marks marks;
    bool retried;      /* of the stream's retry topic */
    bool dirty;        /* changed since the last commit */
    bool halted;       /* it cannot be read any more as it was: the operator decides, by cause */
    enum halt halt;    /* why, when it is */
    bool parked;       /* it waits for something, not to be read before */
    bool resting;      /* it did not read: it is tried again with the next look at the topics */
    bool examined;     /* its position is out of range: the log's ends are asked for */
    bool unstarted;    /* where it begins is asked for */
    bool suspended;    /* it gave back what was fetched, being far ahead of others */
    bool anew;         /* it is to be fetched from its position once more; what comes is dropped */
    bool reading;      /* librdkafka fetches it; else what comes is dropped */
    bool verifying;    /* its last record is read again and compared */
    bool vain;         /* verifying, and nothing seems to come */
    uint32_t broken;   /* batches that did not read, one after the other */
    int64_t broken_at; /* the offset that the last of them has kept from us; next - 1: none, but the
                          record that was to be compared */
    char cause[PARTITION_CAUSE_MAX]; /* why it is halted, for a person */
    int64_t committed;               /* next, as of the last commit; -1: none */
    int64_t passed; /* offsets below hold nothing more for us: next, or behind it when only markers
                       follow */
    int64_t end;    /* of the log, as last heard; -1: not heard yet */
    int32_t leader; /* the broker that leads it, as last heard; -1: none */
    bool caught_up;
    int64_t caught_up_ms;            /* when it was last known to be read to its end */
    int64_t at_end_ms;               /* when that was heard, by lanes_now_ms */
    int64_t quiet_ms;                /* when its last record came, or this run began */
    struct fingerprint print_before; /* marks.print as of the last poll */
    struct lane *lane;               /* what has come and was not taken yet */
    /* Of one that follows another ingestion (follow.h). */
    int64_t until;   /* the other's position, as last heard */
    bool ahead;      /* parked, for the other has not read what comes next; or it is to be, */
    int64_t stop_at; /* at this offset; else -1 */
    int64_t first, first_ms; /* the first record that was ever read, its timestamp; -1: none was */
};

/* A partition's name, "topic/number". False: it is that of something else, "dead-letters/topic/0"
 * say. */
bool partition_name_split(struct slice name, struct slice *topic, int32_t *id);

/* The stored form of a partition: its tally, its marks, and the name of the stream that it was read
 * for. False: it does not read. The text of an earlier version has no marks, and no stream. */
void partition_encode(const struct partition *partition, struct slice stream, struct buf *out);
bool partition_decode(struct slice state, struct partition *out);
/* The stream of a stored form; "": it is not known. Borrowed. */
struct slice partition_stream(struct slice state);
void tally_add(struct tally *to, const struct tally *in);

/*
 * The clocks of a stream from its partitions; INT64_MIN: not known.
 *
 * Frontier: everything up to here was read. It is the least over the partitions of now, for one
 * that is caught up, else of the greatest event time that was read of it, and not known while one
 * that was never caught up has shown nothing.
 *
 * Watermark: everything up to here has come, for all that is known. It is the newest event of the
 * slowest partition less bound_ms; partitions that are at their end and quiet for idle_ms do not
 * count, and when none counts it is now less bound_ms.
 *
 * partitions: those of the stream; NULL entries are skipped.
 */
void partitions_clocks(const struct partition *const *partitions, size_t n, int64_t bound_ms,
    int64_t idle_ms, int64_t *frontier_ms, int64_t *watermark_ms);

#endif
