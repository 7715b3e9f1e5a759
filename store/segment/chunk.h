/*
 * Chunks: up to CHUNK_CELLS_MAX cells of one series without their times, which are a piece of a
 * timestamp vector (times.h). A chunk is its streams, one behind the other, each of n values:
 *
 *     counter, level   0 amount.lo   1 amount.hi
 *     gauge            0 last   1 last_ms   2 min   3 max   4 count   5 sum.lo   6 sum.hi
 *     sample           0 bits   1 start, when a sample has one
 *     histogram        n_keys u32 | 0 keys (n_keys values)
 *                      | 1 counts, one stream per key in the keys' order | 2 sum.lo   3 sum.hi
 *
 * Derived cells (chunk_derived.h) and samples among which there are histograms (chunk_hist.h) have
 * forms of their own; then all codecs are left out but the last, which is the form. Samples may be
 * stored as differences to another chunk (chunk_differences.h).
 *
 * A 128-bit number is two words; its hi stream is left out when every value is the sign extension
 * of its lo word. The codec of each stream stands in the directory. The keys are those of all
 * buckets that occur in the chunk, ascending; a bucket that a cell does not have counts 0 there. A
 * histogram chunk holds at most LAYOUT_COUNTS_MAX counts, which bounds what a reader allocates. A
 * chunk lies in one page, so it is at most PAGE_RAW_MAX bytes: one cell always fits, several that
 * do not are cut in halves.
 */
#ifndef STORE_SEGMENT_CHUNK_H
#define STORE_SEGMENT_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "store/columns.h"
#include "store/segment.h"
#include "store/segment/hist_layout.h"
#include "store/segment/page.h"

#define CHUNK_FORM       7 /* of the codecs; CODEC_NONE: streams as above */
#define FORM_DERIVED     1
#define FORM_HISTOGRAMS  2
#define FORM_DIFFERENCES 3 /* chunk_differences.h */
#define FORM_COARSE      4 /* derived cells, in less room than as FORM_DERIVED */
#define HIST_KEYS_MAX    65535

/* Streams of a chunk of samples without a form. */
enum { SAMPLE_BITS = 0, SAMPLE_START = 1 };

/* How many cells from `from` on, at most max, fit into one chunk by the number of their counts; 0
 * when not even one does. */
size_t chunk_cells(const struct columns *columns, size_t from, size_t max);
/* The type of page that holds the cells [from, from + n). */
enum page_type chunk_page_type(const struct columns *columns, size_t from, size_t n);
/* Appends the chunk of cells [from, from + n) and says which codecs its streams have. */
void chunk_encode(const struct columns *columns, size_t from, size_t n, struct buf *out,
    uint8_t codecs[CHUNK_STREAMS_MAX]);
/* Appends the starts of samples [from, from + n), when one has a start. */
void chunk_put_starts(const struct columns *columns, size_t from, size_t n, struct buf *out,
    uint8_t codecs[CHUNK_STREAMS_MAX]);
/* Fills everything but the times of *out, whose arrays come from the arena. place is the page's. A
 * chunk of differences is refused: it needs its base. When the times are there, chunk_finish. */
bool chunk_decode(enum kind kind, struct slice bytes, size_t n,
    const uint8_t codecs[CHUNK_STREAMS_MAX], const struct place *place, struct arena *arena,
    struct columns *out, struct err *err);
void chunk_finish(const uint8_t codecs[CHUNK_STREAMS_MAX], struct columns *columns);
/* Takes a stream of n values off the front of in. */
bool chunk_get_stream(struct reader *in, const uint8_t codecs[CHUNK_STREAMS_MAX], size_t stream,
    size_t n, const struct place *place, int64_t *out, struct err *err);
/* Takes the starts of samples, when there are any, into *out, which has its cells. */
bool chunk_get_starts(struct reader *in, const uint8_t codecs[CHUNK_STREAMS_MAX],
    const struct place *place, struct arena *arena, struct columns *out, struct err *err);

#endif
