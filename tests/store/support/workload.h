/*
 * A random writer of every kind of cell: late, duplicate, inverse, extreme. It fills a naive model
 * and, in the same transactions, a store (or the model alone, to learn what a store must hold). The
 * same seed and shape give the same transactions, whatever becomes of the store.
 */
#ifndef TESTS_STORE_SUPPORT_WORKLOAD_H
#define TESTS_STORE_SUPPORT_WORKLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/store/support/naive.h"

#define WORKLOAD_EVERY   300000ll
#define WORKLOAD_BLOCK   (24 * WORKLOAD_EVERY) /* length of a time block: 2 hours */
#define WORKLOAD_T0      (18500 * 86400000ll)  /* midnight of some day of 2020 */
#define WORKLOAD_METRICS 7

struct workload {
    uint64_t rng;
    uint32_t series; /* of each metric */
    struct naive *naive;
    int64_t newest;  /* window that the present is in, counted from WORKLOAD_T0 */
    int64_t history; /* late cells reach that many windows back */
    int64_t commits;
    uint64_t ops;    /* cells written so far */
    bool histograms; /* some samples are histograms */
};

void workload_init(struct workload *w, uint64_t seed, uint32_t series, int64_t history);
void workload_fini(struct workload *w);

uint32_t workload_below(struct workload *w, uint32_t n);
/* End of a window, ms. */
int64_t workload_end(int64_t window);

/* Deletes a range of one or several series from the model, and from the store unless it is NULL. */
bool workload_delete(struct workload *w, struct store *store, struct err *err);

/* Fills one transaction with 1..max cells and the positions; txn NULL: the model alone. */
void workload_fill(struct workload *w, struct txn *txn, uint32_t max);

#endif
