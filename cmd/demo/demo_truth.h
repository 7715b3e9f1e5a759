/*
 * What the metrics of the demo have to say: per headline metric, label set and minute the amount
 * that was produced, whatever was sent twice counted once, written as a file of JSON lines that
 * only grows. A minute is written when it is complete: when no event that belongs to it is under
 * way or unacknowledged, so no line is ever taken back. docs/demo.md describes the file.
 *
 *     minute m holds the events of (m - 60 s, m]: what increase(x[1m]) at m has to answer
 *
 * One thread uses a truth.
 */
#ifndef CMD_DEMO_TRUTH_H
#define CMD_DEMO_TRUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "cmd/demo/demo_event.h"

struct demo_truth;

/* Counts in memory, and writes to path unless that is NULL: the file is made anew, and says in its
 * first line by which seed and rate, and from when. */
bool demo_truth_open(const char *path, uint64_t seed, double rate, int64_t start_ms,
    struct demo_truth **out, struct err *err);
/* An event was given to the broker. */
void demo_truth_count(struct demo_truth *truth, const struct demo_event *event);
/* Every event up to complete_ms that was produced has been counted, and acknowledged by the broker.
 * Writes the minutes that ended by then, and forgets them. Cheap when none did. */
bool demo_truth_complete(struct demo_truth *truth, int64_t complete_ms, struct err *err);
/* Closes the file; false when it could not be written whole. */
bool demo_truth_close(struct demo_truth **truth, struct err *err);

#endif
