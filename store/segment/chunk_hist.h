/*
 * Chunks of samples among which there are histograms. A histogram's buckets are columns: those of
 * all histograms of one layout (schema, zero threshold, custom bounds) are the union of what
 * occurs, and each bucket is one stream of counts. Whole counts are stored as integers; others, and
 * all sums, as bits of doubles: what comes out is what went in, to the bit.
 *
 *     chunk    := flags u8 | n_layouts varint | layout * | stream of n: 0 a float, k layout k
 *                 | stream of the floats' bits | (stream of n starts) | samples of each layout
 *     layout   := schema svarint | threshold f64 | n_bounds varint | f64 * | keys | keys
 *     keys     := n varint | svarint *        positive, then negative; the first, then differences
 *     samples  := how u8 | stream of reset hints | (stream of counts) | stream of sums
 *                 | stream of zero counts | one stream per key | (presence)
 *     stream   := codec u8 | values
 *
 * flags 1: there are starts. how: 1 zero counts and buckets are integers, else bits of doubles; 2
 * counts are left out, each being the sum of zero count, positive and negative buckets, added as
 * doubles in this order; of the zeros in the keys' streams, with 4 all are buckets, with 8 those
 * whose bit is set in presence (bit key * n + histogram, low bits first), else none.
 */
#ifndef STORE_SEGMENT_CHUNK_HIST_H
#define STORE_SEGMENT_CHUNK_HIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "store/columns.h"
#include "store/segment/page.h"

/* How many samples from `from` on, at most max, fit into one chunk; 0 when not even one does. */
size_t chunk_hist_cells(const struct columns *columns, size_t from, size_t max);
/* Appends samples [from, from + n). */
void chunk_hist_encode(const struct columns *columns, size_t from, size_t n, struct buf *out);
/* Fills everything but the times of *out, whose arrays come from the arena. */
bool chunk_hist_decode(struct reader *in, size_t n, const struct place *place, struct arena *arena,
    struct columns *out, struct err *err);

#endif
