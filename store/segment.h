/*
 * A segment: one immutable file of columns, written once, then only read. See
 * docs/format/segment.md for every byte; in short:
 *
 *     HEADER | TS | VALUE pages | HIST pages | CHUNKDIR | SERIES | DICT | POSTINGS | PROVENANCE |
 * FOOTER
 *
 * The series of a segment are sorted by metric name, then labels; their place in that order is
 * their ordinal. Every page and section has a CRC32C, checked on every read; unknown sections are
 * skipped. The file's name comes from its content, so the same cells give the same bytes under the
 * same name.
 *
 * A struct segment is immutable after segment_open and may be read from any thread. References are
 * counted: the manifest holds one, every snapshot that plans on it another.
 */
#ifndef STORE_SEGMENT_H
#define STORE_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "store/columns.h"
#include "store/labels.h"

struct segment;

/* ---- writing ---- */

/* Series come in order of their labels' metric name, then labels_cmp; the def says kind and digits.
 * columns are canonical, n > 0, all t inside (t0, t1]. */
struct segment_series {
    const struct metric_def *def;
    struct labels labels;
    struct columns columns;
};

/* One source's part in a segment: positions below `next` are in it or in earlier segments. */
struct segment_source {
    struct slice name;
    int64_t next;
};

struct segment_input {
    int64_t t0, t1;        /* the time block: (t0, t1] */
    int64_t resolution_ms; /* 0: raw */
    /* Gives the next series, false at the end; what it gives is borrowed until the next call. */
    bool (*next)(void *ctx, struct segment_series *out);
    void *ctx;
    const struct segment_source *sources;
    size_t n_sources;
};

#define SEGMENT_NAME_MAX 96

struct segment_info {
    char name[SEGMENT_NAME_MAX]; /* file name: <t0>-<t1>.<content hash, 32 hex digits>.seg */
    int64_t t0, t1;              /* the time block */
    int64_t min_t, max_t;        /* of its cells */
    int64_t resolution_ms;
    uint64_t bytes, series, chunks, cells;
};

/* Writes dir/tmp-..., syncs it, renames it to its name, syncs the folder. On failure nothing is
 * left. */
bool segment_write(
    const char *dir, const struct segment_input *input, struct segment_info *out, struct err *err);

/* ---- reading ---- */

/* Checks header, footer, and the CRC of every section but the data pages. */
bool segment_open(const char *path, struct segment **out, struct err *err);
struct segment *segment_get(struct segment *segment);
void segment_put(struct segment **segment);
const struct segment_info *segment_info(const struct segment *segment);

/* By ordinal. Labels include __name__ and are borrowed. */
struct labels segment_labels(const struct segment *segment, uint32_t ordinal);
const struct metric_def *segment_metric(const struct segment *segment, uint32_t ordinal);

/* Chunks of a series, in time order, at most CHUNK_CELLS_MAX cells each. */
#define CHUNK_CELLS_MAX 1024
struct chunk_info {
    int64_t min_t, max_t;
    uint32_t n;
    uint64_t bytes;
    /* Aggregates of counter, level, gauge and sample chunks, in the kind's own integers (samples:
     * bits of doubles): see the format. */
    int128 sum;
    int64_t min, max, first, last;
};
size_t segment_chunks(const struct segment *segment, uint32_t ordinal);
void segment_chunk(
    const struct segment *segment, uint32_t ordinal, size_t chunk, struct chunk_info *out);

/* Decodes one chunk into arrays from the arena. ERR_CORRUPT names file, page and place. */
bool segment_read(const struct segment *segment, uint32_t ordinal, size_t chunk,
    struct arena *arena, struct columns *out, struct err *err);

/* Ordinals with label = value, ascending; *n in, out: capacity of out and number there are. */
void segment_postings(
    const struct segment *segment, struct slice name, struct slice value, uint32_t *out, size_t *n);

/* Reads everything and checks it: pages, dictionary order, postings against columns, aggregates. */
bool segment_verify(const struct segment *segment, struct err *err);

#endif
