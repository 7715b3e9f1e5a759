/*
 * Resolutions: coarser cells, 1m and 1h, and 1d for levels, derived from raw ones by the merge
 * rule.
 *
 *     raw   every 5s   . . . . . . . . . . . . | . . . . . . . . . . . . |
 *     1m                                       #                         #
 *
 *     # at its end, of (b, b + 1m]
 *
 * A coarser cell carries the end of its bucket. Of counters, histograms, levels and gauges it is a
 * cell of the same kind: what the cells of the bucket merge to. Of float samples it is a derived
 * cell (columns.h) that holds what range functions ask for; staleness markers are not counted, so
 * it does not serve a look-back. Its sums are exact where the samples are decimals, and say so.
 * Samples that are histograms have none.
 *
 * Derived segments hold the coarser cells of one window (compact.h) and name by a digest the raw
 * segments that they were made from. One *holds* while those, and no others up to its LSN, are
 * there: then raw segments with a greater LSN, and the head, add to it. One that does not hold is
 * never read; it is made anew, and meanwhile coarser cells are computed from raw ones, as they are
 * of series that it does not have. One that is *kept* names none, since the raw cells are gone: it
 * holds for good, and stands beside all others (keep.h).
 */
#ifndef STORE_RESOLUTION_H
#define STORE_RESOLUTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "store/cell.h"
#include "store/columns.h"

#define RESOLUTION_1M INT64_C(60000)
#define RESOLUTION_1H INT64_C(3600000)
#define RESOLUTION_1D INT64_C(86400000)

/* Those that are stored, the finest first. */
#define RESOLUTIONS 3
extern const int64_t resolutions[RESOLUTIONS];

/* The place in `resolutions`; -1: it is not stored. */
int resolution_index(int64_t resolution_ms);

/* Whether series of the metric have cells of the resolution: their own fit into its buckets, and
 * may be as long. Samples have no own; 1d is for levels alone. */
bool resolution_fits(const struct metric_def *def, int64_t resolution_ms);
/* Whether these are coarser than their own, too: only then they are stored beside raw ones. */
bool resolution_coarsens(const struct metric_def *def, int64_t resolution_ms);

/* The end of the bucket that t lies in: (end - resolution, end]. t is not within a resolution of
 * the ends of int64_t. */
int64_t bucket_end(int64_t t, int64_t resolution_ms);

/* In how many buckets there is a cell. */
size_t resolution_buckets(const struct columns *columns, int64_t resolution_ms);

/*
 * Raw cells, canonical, to coarser ones, canonical too, in arrays from the arena. Coarser cells of
 * a multiple of their resolution may be made from coarser cells, but of samples. Columns with
 * histogram samples among them become columns of no cells. False at the arena's limit.
 */
bool resolution_derive(
    struct arena *arena, const struct columns *raw, int64_t resolution_ms, struct columns *out);

bool columns_have_histograms(const struct columns *c);

/* Digest of segment names, in any order; they are sorted in place. */
uint64_t resolution_digest(const char **names, size_t n);

#endif
