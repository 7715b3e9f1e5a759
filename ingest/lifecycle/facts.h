/*
 * The facts of one key as records of a state table, all of one size:
 *
 *     record := records u16, reached u16, slot per stage
 *     slot   := time i64, [revision i64], id u64, [labels u64: the first stage], captured i64 each,
 *               has u8 when any is captured                          little-endian; absent: zeros
 *
 * A record holds one fact of each stage, as nearly every key needs; `reached` has a bit for each
 * that is there. The second fact of a stage lies in the second record, under a key of its own, and
 * so on; the first record says how many there are.
 */
#ifndef INGEST_LIFECYCLE_FACTS_H
#define INGEST_LIFECYCLE_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/checksum.h"
#include "ingest/lifecycle/lives.h"

#define FACT_RECORDS_MAX (FACTS_MAX / STAGES_MAX) /* facts of one stage */

struct fact_layout {
    uint8_t n_stages;
    bool revisions;
    uint8_t captures[STAGES_MAX]; /* of each stage, at most CAPTURES_MAX */
};

size_t fact_record_bytes(const struct fact_layout *layout);

/* The facts of one key, in no order: new ones come behind. The array, and what was captured, are in
 * an arena. */
struct facts {
    struct fact *items;
    size_t n, cap;
};

/* Adds the fact. False: the key has FACT_RECORDS_MAX of the stage, and nothing has changed. One
 * that is there already, by stage, id and time, is not added again; *known says so. What it has
 * captured is copied. */
bool facts_add(struct facts *facts, const struct fact_layout *layout, const struct fact *fact,
    struct arena *arena, bool *known);

/* Records that the facts need; 0 when there are none. */
size_t facts_records(const struct facts *facts);
/* Record number i of them. */
void facts_encode(
    const struct facts *facts, const struct fact_layout *layout, size_t i, uint8_t *record);
/* Adds what record i holds. False: it makes no sense. */
bool facts_decode(struct facts *facts, const struct fact_layout *layout, size_t i,
    const uint8_t *record, struct arena *arena);
/* How many records the key has, by its first one; 0: it makes no sense. */
size_t facts_count(const uint8_t *record);

/* Under which key record i of an entity lies. */
struct hash128 facts_key(struct hash128 entity, size_t i);

#endif
