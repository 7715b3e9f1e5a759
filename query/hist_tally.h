/*
 * The exact sum of a run of histogram cells [first, end) of one series, as the run moves forward:
 * cells that enter are added, cells that leave are subtracted. All counts are integers, so nothing
 * is lost, however often it moves. One counter per bucket key that occurs in the series.
 */
#ifndef QUERY_HIST_TALLY_H
#define QUERY_HIST_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "store/columns.h"
#include "store/histogram.h"

struct hist_tally {
    const struct columns *cells;
    size_t first, end; /* the run that is summed */
    size_t n_keys;
    int32_t *keys; /* ascending */
    int128 *counts;
    int128 sum;
};

/* An empty run. False: the arena's limit. */
bool hist_tally_init(struct hist_tally *tally, struct arena *arena, const struct columns *cells);
void hist_tally_move(struct hist_tally *tally, size_t first, size_t end);
/* The run as a histogram; sum is divided by 10^digits, everything by divisor (seconds for a rate;
 * 1). NULL: the arena's limit. */
const struct hist *hist_tally_value(const struct hist_tally *tally, struct arena *arena,
    const struct metric_def *def, double divisor, enum hist_reset_hint hint);

#endif
