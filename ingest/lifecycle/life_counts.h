/*
 * How many lives and entities a lifecycle holds now: what its state tables hold, counted as it
 * changes, and stored with every transaction. Entities without a first stage are counted by the
 * generation that they lie in, because they are forgotten with it.
 */
#ifndef INGEST_LIFECYCLE_LIFE_COUNTS_H
#define INGEST_LIFECYCLE_LIFE_COUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"

/* Generations that are told apart; more than that are counted with a neighbour. */
#define LIFE_GENERATIONS_MAX 32

struct life_counts {
    uint64_t open;      /* lives that have neither ended nor expired */
    uint64_t forgotten; /* entities that never had a first stage */
    struct {
        int64_t generation;
        uint64_t n;
    } incomplete[LIFE_GENERATIONS_MAX]; /* entities without one, ascending */
    size_t n;
};

/* Of one entity, before or after a change. */
struct life_tally {
    uint64_t expired, open;
    bool incomplete; /* it has facts, and no life */
    int64_t generation;
};

void life_counts_move(
    struct life_counts *counts, const struct life_tally *before, const struct life_tally *now);
/* Generations with lower numbers are forgotten. */
void life_counts_drop(struct life_counts *counts, int64_t below);
uint64_t life_counts_incomplete(const struct life_counts *counts);

/* At most LIFE_COUNTS_BYTES. What does not read is 0. */
#define LIFE_COUNTS_BYTES (LIFE_GENERATIONS_MAX * 20 + 30)
void life_counts_encode(const struct life_counts *counts, struct buf *out);
void life_counts_decode(struct life_counts *counts, struct reader *in);

#endif
