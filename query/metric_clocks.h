/*
 * How complete an answer is: for every metric of events that a query has selected, how far its
 * stream was read, and up to when its data are complete. A metric that depends on how lives end
 * (order_outcomes_total, at the time of placing) has a clock of its own, which stands back as far
 * as a life may last.
 */
#ifndef QUERY_METRIC_CLOCKS_H
#define QUERY_METRIC_CLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct err;
struct eval;
struct selections;

struct metric_clock {
    struct slice metric, clock;
    int64_t frontier_ms, watermark_ms; /* INT64_MIN: not known yet */
};

/* *n of them, each metric once, in the order of the selectors; no more than METRIC_CLOCKS_MAX. In
 * the query's arena. */
#define METRIC_CLOCKS_MAX 1024
bool metric_clocks_of(struct eval *eval, struct selections *from, struct metric_clock **out,
    size_t *n, struct err *err);

#endif
