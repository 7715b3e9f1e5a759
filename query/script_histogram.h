/*
 * Native histograms as scripts write them: {{schema:1 sum:3 count:22 buckets:[5 10 7]}}.
 */
#ifndef QUERY_SCRIPT_HISTOGRAM_H
#define QUERY_SCRIPT_HISTOGRAM_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "store/histogram.h"

#define SCRIPT_BUCKETS_MAX 100000 /* of one side */

/* Reads one histogram at text[*at], and moves *at behind it. */
bool script_histogram_parse(struct slice text, size_t *at, struct arena *arena, struct hist **out,
    bool *hint_set, struct err *err);
void script_histogram_print(const struct hist *h, struct buf *out);

#endif
