/*
 * What a key's events say of its lives. A pure function of the *set* of facts: their order, and
 * when they came, have no part in it.
 *
 * A fact is an event that reached a stage. Of several facts of one stage the best counts: the
 * highest revision, then the earliest time, then the smallest id.
 *
 *     facts of the first stage, by time:   p1        p2 ................ p3
 *                                          |- life 1: to first + expire -|  |- life 2: ...
 *
 * A life begins with a fact of the first declared stage. One not later than the life's first (its
 * best) + expire belongs to the same life; a later one begins the next. A fact of another stage
 * belongs to the earliest life whose first + expire it does not pass, so one that skewed clocks put
 * before the first counts, when that is by no more than expire. What passes them all, what is
 * earlier than that, and what comes without a first, belongs to none. So a fact has no part in what
 * is farther from it than expire, and may be forgotten once nothing can come that is as near.
 *
 * A life ends with its earliest end; of two at one time with the one that is declared first.
 */
#ifndef INGEST_LIFECYCLE_LIVES_H
#define INGEST_LIFECYCLE_LIVES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checksum.h"

#define STAGES_MAX   16
#define CAPTURES_MAX 8    /* of one stage */
#define FIRSTS_MAX   1024 /* facts of one key's first stage */

struct fact {
    int64_t time_ms, revision;
    uint64_t id;             /* hash of the event's id */
    uint64_t labels;         /* hash of the label values; of the first stage, else 0 */
    const int64_t *captured; /* those of its stage that a rollup needs; NULL: none */
    uint8_t has;             /* a bit for each of captured */
    uint8_t stage;
    uint16_t record; /* where it is stored (facts.h); lives do not depend on it */
};

struct life_rules {
    int64_t expire_ms;
    uint32_t ends; /* a bit for each stage */
    uint8_t n_stages;
};

struct life {
    const struct fact *stages[STAGES_MAX]; /* the best of each; NULL: not reached. [0]: its first */
    int end;                               /* the stage that ended it; -1: none */
};

/* The earliest first. Grows as it is used, again and again; begins as zeros. */
struct lives {
    struct life *items;
    size_t n, cap;
    size_t outside; /* facts that belong to none */
};

void lives_fini(struct lives *lives);

/* Whether a is to be taken before b, of the same stage. */
bool fact_is_better(const struct fact *a, const struct fact *b);

/* The lives of n facts, at most FIRSTS_MAX of the first stage. They point to the facts. */
void lives_of(
    const struct life_rules *rules, const struct fact *facts, size_t n, struct lives *out);

/* Takes out what has no part in anything any more once nothing can come that is earlier than
 * since_ms: the lives that could go on until a time before that, and what is of no life and farther
 * from it than expire. Returns how many facts are left, in their order. *lives: how many there
 * were; of the room only that and `outside` mean anything afterwards. */
size_t lives_forget(const struct life_rules *rules, struct fact *facts, size_t n, int64_t since_ms,
    struct lives *lives);

/* The last time that belongs to the life. */
int64_t life_until(const struct life_rules *rules, const struct life *life);

#endif
