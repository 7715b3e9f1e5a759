/*
 * Records that have come and are not counted yet: one queue per partition, and which of them is
 * next.
 *
 * While partitions catch up, the order is that of event time. A partition *holds* the others when
 * it lies behind and comes on; nobody is taken who is more than LANES_AHEAD_MS ahead of the one
 * that is lowest among these. What is taken at once of one partition is about LANES_SLICE_MS of
 * event time by what its last records spanned, so that the order stays fine where events are
 * sparse, and costs nothing where they are dense. While nobody holds (everybody is at the end, or
 * stands still for a reason that is not ours) all that has come is taken, whatever its time.
 *
 *     lanes_push*  lanes_begin  (lanes_next  lanes_pop*)*
 *
 * A record is a pointer and a number of bytes here. One thread uses all of it; no clock is read.
 */
#ifndef INGEST_LANES_H
#define INGEST_LANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ingest/partition.h"

#define LANES_AHEAD_MS INT64_C(900000) /* the promise, of which a slice is kept free */
#define LANES_SLICE_MS INT64_C(60000)

struct lanes;
struct lane;

typedef void lane_free_f(void *record);

/* free_record: of what is dropped. */
struct lanes *lanes_new(lane_free_f *free_record);
/* Drops everything. */
void lanes_free(struct lanes **lanes);

/* The partition outlives it. */
struct lane *lanes_add(struct lanes *lanes, struct partition *partition);

void lane_push(struct lanes *lanes, struct lane *lane, void *record, size_t bytes);
/* NULL: it is empty. The caller owns the record. bytes as pushed. */
void *lane_pop(struct lanes *lanes, struct lane *lane, size_t bytes);
const void *lane_peek(const struct lane *lane);
/* Frees what waits. */
void lane_drop(struct lanes *lanes, struct lane *lane);
size_t lane_records(const struct lane *lane);
struct partition *lane_partition(const struct lane *lane);

/* Bytes and records that wait, in all lanes. */
size_t lanes_bytes(const struct lanes *lanes);
size_t lanes_records(const struct lanes *lanes);

/* A new round: each lane is taken from once at most. Reads newest_ms and the state of the
 * partitions. clock_ms: of any clock; what passes is measured from round to round, and of a long
 * one, or a clock that is set back, little or nothing counts. */
void lanes_begin(struct lanes *lanes, int64_t clock_ms);
/* What has passed so far, for at_end_ms of partitions. */
int64_t lanes_now_ms(const struct lanes *lanes);
/* Somebody holds the others since lanes_begin. */
bool lanes_held(const struct lanes *lanes);
/* Whether the lane may go on as far as the order is concerned; margin_ms: and this much further. */
bool lanes_may_go(const struct lanes *lanes, const struct lane *lane, int64_t margin_ms);
/* Some lane has records that may go on. */
bool lanes_may_take(const struct lanes *lanes);
/* The next lane with records that may go on, and how many of them are taken, at most max; NULL:
 * none.
 */
struct lane *lanes_next(struct lanes *lanes, size_t max, size_t *n);
/* Of those that must wait, the one that is furthest ahead and has records; NULL: none. */
struct lane *lanes_furthest(struct lanes *lanes);

#endif
