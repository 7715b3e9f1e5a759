/*
 * Folding: late cells for a window whose raw cells are gone.
 *
 * When retention has taken the raw segments of a window, its derived segments are all there is, and
 * they are not made anew any more. Late cells that come all the same, sealed as a raw segment, are
 * merged into the derived ones, and the raw segment goes: one edit. Counters, levels, histograms
 * and gauges merge exactly. Late samples do not add up with derived cells, nor do metrics that have
 * none: those go, as retention would have it.
 */
#ifndef STORE_FOLD_H
#define STORE_FOLD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct store;

/* The next window that is due. The caller holds `seal`, here and below. */
bool fold_due(const struct store *store, int64_t *t0, int64_t *t1);
bool fold_run(struct store *store, int64_t t0, int64_t t1, struct err *err);

#endif
