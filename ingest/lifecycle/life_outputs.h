/*
 * What the lives of one entity are in the rollups of their lifecycle: a pure function of its facts
 * and of how far expiry has come. When facts change, what they were before is taken back and what
 * they are now is put in its place; most of it cancels out, and the rest are cells and inverse
 * cells.
 */
#ifndef INGEST_LIFECYCLE_LIFE_OUTPUTS_H
#define INGEST_LIFECYCLE_LIFE_OUTPUTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ingest/lifecycle/lifecycle.h"
#include "ingest/rollup.h"

/*
 * How far expiry has come: lives that could go on until a time in a minute before `minute` have
 * expired, and in that minute itself those of keys below `key`. So expiry can be done in parts, and
 * whether a life has expired follows from it alone.
 */
#define EXPIRY_MINUTE_MS 60000

struct expiry {
    int64_t minute; /* number since 1970; INT64_MIN: nothing has expired */
    uint64_t key;   /* hi of the keys' hashes */
};

/* The minute that a life's last time lies in. */
int64_t expiry_minute(int64_t until_ms);

/* Of a life that has no end. */
bool life_has_expired(int64_t until_ms, struct hash128 key, struct expiry expiry);

/* One cell's worth. */
struct life_output {
    uint32_t rollup; /* index in the lifecycle's list */
    int8_t from, to; /* stages of a step; else -1 */
    int8_t outcome;  /* a stage; n_stages: expired; -1: not among the labels */
    bool negative;
    uint64_t labels; /* of the life's first */
    int64_t time_ms, value;
    int64_t counts_ms; /* the rollup's generation of this time has it: a life that was open counts
                          up and down in one */
};

/* Grows as it is added to, and is used again and again; the user frees items. What the facts of one
 * entity, or of more, make of all rollups bounds it. */
struct life_outputs {
    struct life_output *items;
    size_t n, cap;
};

/* What a lifecycle's rollups are made of. */
struct life_rollups {
    const struct lifecycle *lifecycle;
    const struct rollup *const *rollups;
    size_t n;
};

/* Adds the outputs of n lives of the key; negative: their inverses. A value that does not fit has
 * none. */
void life_outputs_add(const struct life_rollups *rollups, const struct life *lives, size_t n,
    struct hash128 key, struct expiry expiry, bool negative, struct life_outputs *out);
/* Takes out every pair of an output and its inverse: the first n_before are negative, the rest are
 * not, and what is in both mostly stands in one order. */
void life_outputs_cancel(struct life_outputs *outputs, size_t n_before);

#endif
