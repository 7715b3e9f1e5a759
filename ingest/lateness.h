/*
 * How late events are, of one stream since the start: a histogram of record timestamp minus event
 * time. What lies before its event time counts as not late.
 */
#ifndef INGEST_LATENESS_H
#define INGEST_LATENESS_H

#include <stdint.h>

#define LATENESS_BOUNDS 12
extern const int64_t lateness_bounds_ms[LATENESS_BOUNDS]; /* upper, inclusive, ascending */

struct lateness {
    uint64_t counts[LATENESS_BOUNDS + 1]; /* the last: later than all bounds */
    double sum_s;
    uint64_t corrections; /* events that the watermark had passed when they came */
};

/* Any two numbers; a record says what it likes. */
void lateness_add(struct lateness *lateness, int64_t timestamp_ms, int64_t time_ms);

#endif
