/*
 * An open segment: header, footer, the index of pages and the names of labels. Everything else is
 * read when it is asked for: a page is read, its checksum checked, its content unpacked, checked
 * and put into the cache, which other segments may share. What is small and handed out by pointer,
 * the metrics and the sources, is read once and stays.
 *
 *     segment_reader.c   opening, closing, bytes of the file
 *     segment_pages.c    pages to what they hold, and the cache
 *     segment_series.c   metrics, labels, posting lists, ids
 *     segment_data.c     chunks, aggregates, cells
 *     segment_bases.c    what chunks of differences are differences to
 *     segment_mend.c     opening one whose frame is damaged
 *
 * A page's claims are checked against the index and the footer when it is unpacked; what takes
 * several pages to see is segment_verify's, and wrong there can mean a wrong answer, never a crash.
 * What a page unpacks to is bounded, for a small file can claim a lot.
 */
#ifndef STORE_SEGMENT_SEGMENT_READER_H
#define STORE_SEGMENT_SEGMENT_READER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "store/segment.h"
#include "store/segment/dictionary.h"
#include "store/segment/directory.h"
#include "store/segment/layout.h"
#include "store/segment/metric_table.h"
#include "store/segment/page_cache.h"
#include "store/segment/page_index.h"
#include "store/segment/page_window.h"
#include "store/segment/provenance.h"

/* Read once, under the lock, and then only read. */
struct segment_once {
    pthread_mutex_t lock;
    atomic_bool metrics_there, sources_there;
    struct arena metrics_arena, sources_arena;
    struct metric_table metrics;
    struct provenance provenance;
};

/* What segment_read fetched last, made when it is first called; it reads under the lock, one thread
 * after the other. */
struct segment_last {
    pthread_mutex_t lock;
    struct page_window *window;
};
void segment_last_fini(struct segment_last *last);

struct segment {
    atomic_uint references;
    struct segment_file file;
    char *path;
    struct segment_info info;
    struct header header;
    struct footer footer;
    struct page_index index;
    struct segment_cache *cache;
    uint64_t owner; /* in the cache */
    struct arena arena;
    struct dict names;
    uint32_t metric_name; /* rank of __name__ */
    struct segment_once *once;
    struct segment_last *last;
};

/* ---- bytes ---- */

bool segment_pread(const struct segment *segment, uint64_t offset, void *to, size_t n,
    const char *part, struct err *err);
/* Checks and unpacks a page of the index, of which these are the bytes; *raw is borrowed from them
 * or from scratch. */
bool segment_unpack(const struct segment *segment, const struct page_ref *ref, struct slice bytes,
    struct buf *scratch, struct slice *raw, struct place *place, struct err *err);
/* Reads and checks a page of the index; *raw is borrowed from the two buffers. */
bool segment_raw(const struct segment *segment, const struct page_ref *ref, struct buf *stored,
    struct buf *scratch, struct slice *raw, struct place *place, struct err *err);

/* ---- unpacked pages ---- */

/* Of a label column: codes by ordinal from ref->first on. */
struct column_page {
    uint32_t n;
    const uint32_t *codes;
};
/* Values of a dictionary by rank from `first` on. */
struct dict_page {
    uint32_t first, n;
    const struct slice *values;
};
/* Lists by rank from `first` on; checked. */
struct postings_page {
    uint32_t first, n;
    struct slice raw;
};
struct ids_page {
    uint32_t n;
    const uint32_t *id, *ordinal;
};

/* The page unpacked, held until segment_release; what is in it is by its type one of the above or
 * of the directory's groups. NULL: *err says why. */
struct cache_entry *segment_hold(
    const struct segment *segment, const struct page_ref *ref, struct err *err);
void segment_release(const struct segment *segment, struct cache_entry *entry);

/* The metrics, with names and first ordinals; NULL: *err says why. */
const struct metric_table *segment_metrics(const struct segment *segment, struct err *err);
/* Rank of the metric of a series. */
uint32_t metric_rank(const struct metric_table *metrics, uint32_t ordinal);
/* The code of a label of a series: the rank of its value and 1 more; 0: it does not have it. */
bool segment_code(const struct segment *segment, uint32_t name, uint32_t ordinal, uint32_t *code,
    struct err *err);
/* The value of a rank, in the arena. */
bool segment_copy_value(const struct segment *segment, uint32_t name, uint32_t rank,
    struct arena *arena, struct slice *out, struct err *err);
/* List i of a page. */
struct slice postings_list(const struct postings_page *page, uint32_t i);

/* Finds the bases of chunks; the page that it looked at last is kept. */
struct bases {
    const struct segment *segment;
    const struct page_ref *ref;
    struct cache_entry *held;
};
void bases_init(struct bases *bases, const struct segment *segment);
void bases_fini(struct bases *bases);
/* Fills in the bases of a chunk of the directory whose kind is known, in the arena. */
bool bases_find(
    struct bases *bases, struct segment_chunk *chunk, struct arena *arena, struct err *err);

/* Walks over the sections of a version 1 file and makes its index. */
bool page_index_v1(struct segment *segment, struct err *err);

/* ERR_CORRUPT for what the index does not have. */
bool segment_missing(const struct segment *segment, const char *what, struct err *err);

#endif
