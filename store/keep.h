/*
 * Keeping: raw cells of a window go, and their coarser cells stay.
 *
 *     before   raw R1 R2     1m, 1h, 1d from R1           1m, 1h, 1d kept from earlier, or none
 *     after    raw without   1m, 1h, 1d without           1m, 1h, 1d kept: what was kept, and the
 *              what goes     what goes                    coarser cells of all that goes
 *
 * One edit of the manifest, so that every cell counts once whatever happens. What is kept is made
 * from all raw segments of the window, late ones too, of every series that goes, for each
 * resolution whose own time is not over. It names nothing that it was made from (inputs 0), and so
 * it holds for good.
 *
 * Cells that come later still, sealed as a raw segment, go the same way in their turn: counters,
 * levels, histograms and gauges are merged into what is kept, exactly. Late samples do not add up:
 * when samples of their metric are kept for the window, they go.
 *
 * While a kept segment of the window is set aside (quarantine.h), raw cells stay: they would have
 * to be merged into it, and a segment of them alone would look like all there is.
 *
 * Where a derived segment has cells of a raw one that is set aside, what is kept is made from it
 * (inherit.h).
 */
#ifndef STORE_KEEP_H
#define STORE_KEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct store;

/* What goes of a window, which has passed: the raw cells of the metrics whose age has come, or of
 * all. */
struct keeping {
    int64_t t0, t1;
    int64_t newest_ms; /* from which ages count: retention_newest */
    bool all;
};

/* A segment that turns out to be damaged is set aside instead, and nothing goes yet. The caller
 * holds `seal`. */
bool keep_window(struct store *store, const struct keeping *keeping, struct err *err);

#endif
