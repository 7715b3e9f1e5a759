/*
 * Records to rolled-up cells: decode, contract, lateness, dedupe, lifecycles, rollups; refused ones
 * to dead letters. What a batch has made of its records is kept here until its transaction is
 * committed:
 *
 *     intake_records ... intake_records | intake_settle | intake_write ( | intake_unwrite |
 * intake_write )* | intake_clear
 *
 * Whether an event counts is said for all of it at once: the rollups, its id and its partition's
 * counts change together, or nothing does. It is said of one record after the other, in their
 * order; what can be found out before is found out by all workers (prepare.h), so that nothing
 * depends on how many there are. One thread uses an intake.
 */
#ifndef INGEST_INTAKE_H
#define INGEST_INTAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "ingest/ingest.h"
#include "ingest/kafka_source.h"
#include "ingest/rollup.h"
#include "store/store.h"

struct intake;
struct letters;

/* Events of a batch that take about so much memory until it is committed: 1,000 to 100,000. */
uint32_t intake_batch_events(uint64_t memory_bytes);

/* All outlive it. workers: threads, the caller's among them, 1 to CREW_MAX. memory_bytes: half of
 * it to know where ids may be, three eighths for entities that were touched lately, an eighth for
 * label sets and the series that they are. before: an intake that
 * is not used any more, whose registry, with all that it knows, goes on when it is the same one,
 * and what is told of lateness; NULL: none. */
struct intake *intake_new(struct store *store, const struct streams *streams,
    struct kafka_source *source, size_t workers, size_t memory_bytes, struct intake *before);
void intake_free(struct intake **intake);
/* An intake that was made after `before`, and that nothing has come to, is given up: before goes
 * on, with the registry that it had. */
void intake_give_back(struct intake *intake, struct intake *before);

/* Takes records in, or a record's partition waits at it (for its schema, or for room for its
 * letter), and what comes of that partition is left out until intake_resume. False: the store
 * cannot say whether an id is known, or what is known of an entity; *taken of them were taken, and
 * the rest is to be given again. */
bool intake_records(struct intake *intake, const struct kafka_record *records, size_t n,
    size_t *taken, struct err *err);
/* Lets partitions go on that wait for something that is there now. */
void intake_resume(struct intake *intake);

/* Ends the batch: what lives have become goes into its cells, and what the watermarks have passed
 * expires. watermarks, horizons: by stream, those that the batch commits; INT64_MIN: none. False as
 * intake_records: it is to be tried again. */
bool intake_settle(
    struct intake *intake, const int64_t *watermarks, const int64_t *horizons, struct err *err);
/* More is to expire than one batch does: the next one is due. */
bool intake_is_behind(const struct intake *intake);

/* Lives that could go on until a time before it have expired, with the settled batch; INT64_MIN:
 * none has. */
int64_t intake_expired_ms(const struct intake *intake, size_t lifecycle);

/* Puts the batch's cells, ids and lives into the transaction; what the horizons that it was settled
 * with have passed is forgotten. ERR_INVALID: the store knows a metric otherwise. */
bool intake_write(struct intake *intake, struct txn *txn, struct err *err);
/* The transaction was aborted: the batch is to be written again. */
void intake_unwrite(struct intake *intake);
/* The batch is committed. */
void intake_clear(struct intake *intake);

/* Borrowed; NULL: no stream sends dead letters. */
struct letters *intake_letters(const struct intake *intake);
/* A partition of the stream stands still until letters have been sent. */
bool intake_waits_for_room(const struct intake *intake, size_t stream);

/* Cells of the batch so far. */
size_t intake_cells(const struct intake *intake);
/* It is as much as a transaction of the store should hold: the batch is due. */
bool intake_is_full(const struct intake *intake);

struct intake_stats {
    uint64_t refused_cells; /* of batches that are done: a limit refused their label sets */
    size_t label_bytes;     /* that label sets at hand take, in rollups and lifecycles */
    /* CPU time of taking records, of all workers. */
    int64_t decode_ns; /* and hashing ids */
    int64_t judge_ns;  /* who counts, and what the batch knows of ids */
    int64_t dedupe_ns; /* what the store knows of ids */
    int64_t lifecycle_ns, rollup_ns;
    int64_t publish_ns; /* of taking cells to the head, beside all else */
};

/* Of the stream's accepted events, since the first intake of those that came one after the other.
 */
void intake_lateness(const struct intake *intake, size_t stream, struct lateness *out);
void intake_lifecycle(const struct intake *intake, size_t lifecycle, struct lifecycle_counts *out);
void intake_stats(const struct intake *intake, struct intake_stats *out);

#endif
