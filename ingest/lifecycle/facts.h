/*
 * The facts of one key as records of a state table, all of one size:
 *
 *     record := records u16, reached u16, slot per stage
 *     slot   := time i64, [revision i64], id u64, [labels u64: the first stage], captured i64 each,
 *               has u8 when any is captured                          little-endian; absent: zeros
 *
 * A record holds one fact of each stage, as nearly every key needs; `reached` has a bit for each
 * that is there. The second fact of a stage lies in the second record, under a key of its own, and
 * so on; the first record says how many there are. A fact stays in its record, so that few change
 * with it; one that goes leaves its place to the next that comes.
 *
 * Time is cut into spans, and of each the FACTS_BEST best of a stage are kept (fact_is_better): so
 * which they are does not depend on the order in which they came, nor on what was forgotten
 * meanwhile, which are whole spans. A key that has facts in ever so many spans at once is bounded
 * by its records alone, and what comes first stays.
 */
#ifndef INGEST_LIFECYCLE_FACTS_H
#define INGEST_LIFECYCLE_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/checksum.h"
#include "ingest/lifecycle/lives.h"

#define FACTS_BEST       16           /* of one stage and span */
#define FACT_RECORDS_MAX FIRSTS_MAX   /* of one key; also no more than */
#define FACT_KEY_BYTES   (64u * 1024) /* of records */

struct fact_layout {
    uint8_t n_stages;
    bool revisions;
    uint8_t captures[STAGES_MAX]; /* of each stage, at most CAPTURES_MAX */
};

size_t fact_record_bytes(const struct fact_layout *layout);

/* The number of the span that a time lies in. */
int64_t fact_span(int64_t time_ms, int64_t span_ms);

/* The facts of one key, in no order. The array, and what was captured, are in an arena. */
struct facts {
    struct fact *items;
    size_t n, cap;
    bool shared; /* somebody else has the first n of the array: nothing in it is replaced */
};

enum fact_fate {
    FACT_ADDED,
    FACT_KNOWN,    /* it is there, by stage, id and time */
    FACT_REPLACED, /* it was added, and one that is worse has gone */
    FACT_LEFT_OUT, /* there are better ones, or there is no room; nothing has changed */
};

/* What the fact has captured is copied. */
enum fact_fate facts_add(struct facts *facts, const struct fact_layout *layout, int64_t span_ms,
    const struct fact *fact, struct arena *arena);

/* Records that n facts need; 0 when there are none. */
size_t facts_records(const struct fact *facts, size_t n);
/* All records of n facts, one behind the other. */
void facts_encode(
    const struct fact *facts, size_t n, const struct fact_layout *layout, uint8_t *records);
/* Adds what record i holds. False: it makes no sense. */
bool facts_decode(struct facts *facts, const struct fact_layout *layout, size_t i,
    const uint8_t *record, struct arena *arena);
/* How many records the key has, by its first one; 0: it makes no sense. */
size_t facts_count(const uint8_t *record);

/* Under which key record i of an entity lies. */
struct hash128 facts_key(struct hash128 entity, size_t i);

#endif
