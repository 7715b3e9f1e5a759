/*
 * A segment: one immutable file of columns, written once, then only read. See
 * docs/format/segment.md for every byte; in short:
 *
 *     HEADER | DATA | CHUNKDIR | SERIES | DICT | POSTINGS | PROVENANCE | IDS | INDEX | FOOTER
 *
 * The series of a segment are sorted by metric name, then labels; their place in that order is
 * their ordinal. Every page and section has a CRC32C, checked on every read; unknown sections are
 * skipped. The file's name comes from its content, so the same cells give the same bytes under the
 * same name.
 *
 * A struct segment may be read from any thread. References are counted: the manifest holds one,
 * every snapshot that plans on it another.
 */
#ifndef STORE_SEGMENT_H
#define STORE_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "store/cell.h"
#include "store/columns.h"
#include "store/labels.h"

struct segment;

/* ---- writing ---- */

/* A series that the catalogue does not know. */
#define SEGMENT_NO_ID UINT32_MAX

/* Series come in order of their labels' metric name, then labels_cmp; the def says kind and digits.
 * columns are canonical, n > 0, all t inside (t0, t1]. */
struct segment_series {
    const struct metric_def *def;
    struct labels labels;
    struct columns columns;
    uint32_t id; /* the store's; no two series share one, but for SEGMENT_NO_ID */
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
    /* May be NULL. Asked when next has given false: true when it did so because of an error, which
     * is now in *err; then nothing is written. */
    bool (*failed)(void *ctx, struct err *err);
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

/*
 * A segment's bytes: a file of this machine, or bytes that lie far away. read gives exactly n bytes
 * from offset on, or false and *err; ERR_CORRUPT when the bytes are not there, ERR_UNAVAILABLE when
 * they cannot be reached now. It is called from any thread.
 */
struct segment_file {
    void *ctx;
    uint64_t size;
    bool (*read)(void *ctx, uint64_t offset, void *to, size_t n, struct err *err);
    void (*close)(void *ctx);
};

/* Where segments are that are not in the store's folder. open gives the bytes of the one with that
 * name, or false and *err: ERR_NOT_FOUND when it is not there either, ERR_UNAVAILABLE or
 * ERR_TIMEOUT when that cannot be known now. Called from any thread. */
struct segment_remote {
    void *ctx;
    bool (*open)(void *ctx, const char *name, struct segment_file *out, struct err *err);
};

/*
 * What has been unpacked of directories, labels and dictionaries, up to a number of bytes; the
 * least recently used goes first. Segments share one, and each holds a reference to it.
 */
struct segment_cache;
struct segment_cache *segment_cache_new(size_t limit_bytes);
void segment_cache_put(struct segment_cache **cache);
size_t segment_cache_bytes(struct segment_cache *cache);

/*
 * Reads and checks header, footer and the index of pages: milliseconds, however large the file.
 * Everything else is read when it is asked for, so every call below that takes an err may find the
 * file damaged (ERR_CORRUPT names file and place), unreachable (what the file's read says) or of a
 * later version (ERR_UNSUPPORTED). Without a cache the segment has a small one of its own.
 */
bool segment_open(
    const char *path, struct segment_cache *cache, struct segment **out, struct err *err);
/* The same of other bytes; the file is closed with the segment, and when opening it fails. name is
 * for errors. */
bool segment_open_file(const char *name, const struct segment_file *file_take,
    struct segment_cache *cache, struct segment **out, struct err *err);
struct segment *segment_get(struct segment *segment);
void segment_put(struct segment **segment);
const struct segment_info *segment_info(const struct segment *segment);

/* What is known of the metric of a series; lives as long as the segment. */
bool segment_metric(const struct segment *segment, uint32_t ordinal, const struct metric_def **out,
    struct err *err);
/* The labels of a series, __name__ among them, in the arena. ERR_LIMIT: the arena is full. */
bool segment_labels(const struct segment *segment, uint32_t ordinal, struct arena *arena,
    struct labels *out, struct err *err);

/* The ordinal of the series with this id; SEGMENT_NO_ID: it is not in the segment. */
bool segment_find(const struct segment *segment, uint32_t id, uint32_t *ordinal, struct err *err);
/* Whether all series have ids: those of files of version 1 do not, nor those of some that were
 * repaired, or merged from such by an older program. */
bool segment_has_ids(const struct segment *segment);
/* The ids of all series by ordinal; out has room for them. */
bool segment_ids(const struct segment *segment, uint32_t *out, struct err *err);

/* A piece of a series: at most CHUNK_CELLS_MAX cells. It says all that is needed to fetch and
 * decode it without looking anything up; the fields behind `bytes` are the segment's own. It may be
 * stored as differences to a chunk of another series, its base, which may be so in turn. */
#define CHUNK_CELLS_MAX   2048
#define CHUNK_STREAMS_MAX 8
#define CHUNK_BASES_MAX   8
#define CHUNK_PAGES_MAX   64
struct segment_base {
    uint32_t page, offset, bytes;
    uint8_t codecs[CHUNK_STREAMS_MAX];
};
struct segment_chunk {
    int64_t min_t, max_t;
    uint32_t n;     /* cells */
    uint32_t bytes; /* of its cells, unpacked */
    uint32_t ordinal, row;
    uint32_t back; /* its base is so many rows before; 0: it has none */
    uint32_t page, offset;
    enum kind kind;
    uint32_t n_bases; /* its base, the base of that, ... */
    const struct segment_base *bases;
    uint8_t codecs[CHUNK_STREAMS_MAX];
    struct segment_times {
        int64_t first, step; /* step 0: one time only, or no constant step */
        uint32_t n, start;   /* the chunk's times are [start, ...) of n */
        uint32_t page, offset, bytes;
        uint8_t codec;
    } times;
};
/* The chunks of a series that overlap (from, to], in time order, in an array from the arena. */
bool segment_chunks(const struct segment *segment, uint32_t ordinal, int64_t from, int64_t to,
    struct arena *arena, const struct segment_chunk **out, size_t *n, struct err *err);
/* Decodes one chunk into arrays from the arena. The pages that were fetched last are kept, a
 * bounded number of them, so that all chunks in their order cost one fetch of every page; threads
 * that call it for one segment wait for each other. ERR_CORRUPT names file, page and place. */
bool segment_read(const struct segment *segment, const struct segment_chunk *chunk,
    struct arena *arena, struct columns *out, struct err *err);

/* Aggregates of a chunk, so that one that lies inside a range need not be read: in the kind's own
 * integers (samples: bits of doubles), see store/segment/aggregate.h. */
enum {                   /* has: which there are; the others are 0 */
    SEGMENT_HAS_SUM = 1, /* and count */
    SEGMENT_HAS_MIN_MAX = 2,
    SEGMENT_HAS_FIRST_LAST = 4,
    SEGMENT_HAS_RESETS = 8, /* reset_sum, resets: of samples */
    SEGMENT_DECIMAL = 16,   /* of samples: sum and reset_sum are exact integers over 10^digits */
};
struct segment_aggregate {
    uint32_t has;
    int digits;
    int64_t count, resets;
    int64_t min, max, first, last, reset_sum;
    int128 sum;
};
bool segment_aggregate(const struct segment *segment, const struct segment_chunk *chunk,
    struct segment_aggregate *out, struct err *err);

/*
 * Reading in two steps, for who reads many chunks: pages are fetched once, then chunks are decoded
 * without I/O. Pages are numbered from 0.
 */
struct segment_page {
    uint64_t offset;    /* in the file */
    uint32_t bytes;     /* in the file */
    uint32_t raw_bytes; /* unpacked */
};
size_t segment_pages(const struct segment *segment);
void segment_page(const struct segment *segment, uint32_t page, struct segment_page *out);
/* The pages that a chunk needs: its cells', its times' when they have no constant step, and those
 * of its bases. One page may be there several times. */
size_t segment_chunk_pages(const struct segment_chunk *chunk, uint32_t out[CHUNK_PAGES_MAX]);
/* Reads, checks and unpacks a page into the arena. */
bool segment_fetch(const struct segment *segment, uint32_t page, struct arena *arena,
    struct slice *out, struct err *err);
/* How many of the pages, whose numbers ascend, come with the first one in a read of bounded size.
 */
size_t segment_run(const struct segment *segment, const uint32_t *pages, size_t n);
/* As segment_fetch, of as many pages as segment_run has said, in one read of the file. */
bool segment_fetch_run(const struct segment *segment, const uint32_t *pages, size_t n,
    struct arena *arena, struct slice *out, struct err *err);
/* As segment_read, from the fetched pages of segment_chunk_pages, in that order. */
bool segment_decode(const struct segment *segment, const struct segment_chunk *chunk,
    const struct slice *raw, struct arena *arena, struct columns *out, struct err *err);

/* Ordinals with label = value, ascending; *n in, out: capacity of out and number there are. The
 * value "" finds the series that do not have the label. */
bool segment_postings(const struct segment *segment, struct slice name, struct slice value,
    uint32_t *out, size_t *n, struct err *err);

/* Label names, in byte order, and the values of each, in byte order: what a matcher is tried on.
 * Names live as long as the segment, values as the arena. */
size_t segment_label_names(const struct segment *segment);
struct slice segment_label_name(const struct segment *segment, size_t name);
size_t segment_label_values(const struct segment *segment, size_t name);
bool segment_label_value(const struct segment *segment, size_t name, size_t value,
    struct arena *arena, struct slice *out, struct err *err);

/* The sources, by name; they live as long as the segment. */
bool segment_sources(
    const struct segment *segment, const struct segment_source **out, size_t *n, struct err *err);

/* Reads everything and checks it: pages, dictionary order, postings against columns, aggregates. */
bool segment_verify(const struct segment *segment, struct err *err);

/* ---- repairing ---- */

/* Opens a segment for segment_repair, though its header, its footer or its index of pages is
 * damaged: what they said is made out from each other, the pages and the file's name. Nothing else
 * may be done with it. resolution_ms: what the caller knows of it, below 0 nothing. *why: what
 * segment_open says of it; ERR_OK when it opens. */
bool segment_open_damaged(const char *path, int64_t resolution_ms, struct segment **out,
    struct err *why, struct err *err);

/* What a repair could not read. */
struct segment_loss {
    uint32_t ordinal;
    struct labels labels;  /* n 0: they cannot be read either */
    int64_t min_t, max_t;  /* the cells from min_t to max_t, both included, are lost */
    uint64_t cells;        /* how many that are; 0: all of the series, and nobody knows */
    const struct err *why; /* the damage, with its place */
};
typedef void segment_loss_f(void *ctx, const struct segment_loss *loss);

struct segment_repaired {
    struct segment_info info; /* of the new segment; series 0: nothing is left, and there is none */
    uint64_t series;          /* that are left, whole or in part */
    uint64_t lost_series, lost_chunks, lost_cells;
    bool lost_ids, lost_sources;
};

struct segment_repair_how {
    segment_loss_f *lost; /* called for everything that cannot be read */
    void *ctx;
    bool without_ids; /* of the store's: they may be others' by now */
    bool disk_errors; /* what the disk does not give is lost; else the repair fails */
};

/* Writes a segment to dir from what can be read of this one. A whole segment gives itself, or a
 * newer version of itself. Fails when the table of metrics is damaged, when bytes cannot be
 * reached, or when writing fails. */
bool segment_repair(const struct segment *segment, const char *dir,
    const struct segment_repair_how *how, struct segment_repaired *out, struct err *err);

#endif
