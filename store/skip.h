/*
 * Windows of time that maintenance leaves alone for now: something in them could not be read, and
 * may be another time (a bad cable, a peer that is away), so it is neither damage nor a reason for
 * everything else to wait.
 *
 * A window is tried again after so many *rounds*, twice as many after each failure. A round ends
 * when maintenance has found nothing to do, so without a clock the pauses are those of whoever
 * calls it: with a call every half second, two seconds at first, and about eight minutes at last.
 */
#ifndef STORE_SKIP_H
#define STORE_SKIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct skipped {
    int64_t t0, t1;
    uint64_t until; /* the round in which it is tried again */
    unsigned failures;
    struct err why; /* the last one */
};

/* Guarded by store.seal. */
struct skips {
    struct skipped *all;
    size_t n, cap;
    uint64_t rounds;
};

void skips_fini(struct skips *skips);
/* Something in (t0, t1] could not be read. The first failure is logged. */
void skips_add(struct skips *skips, int64_t t0, int64_t t1, const struct err *why);
/* The window that overlaps (t0, t1] and is left alone now; NULL: there is none. */
const struct skipped *skips_find(const struct skips *skips, int64_t t0, int64_t t1);
/* Maintenance has found nothing to do: those that were tried and have not failed are forgotten. */
void skips_end_round(struct skips *skips);

#endif
