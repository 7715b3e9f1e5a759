/*
 * Pages: the unit of a segment that is checked, compressed and fetched. All bytes of all sections
 * are pages, one behind the other, without gaps.
 *
 *     page := crc32c u32 | type u8 | flags u8 | zero u16
 *             | raw_bytes u32 | stored_bytes u32 | stored
 *
 * The CRC covers everything behind itself. LZ4 (block format) is kept when it saves 8%, which the
 * flag says; otherwise stored is the raw bytes. A page is at most PAGE_RAW_MAX raw, so a reader's
 * buffer is bounded whatever a file claims.
 *
 * Errors name the file, the part of it, and the byte of the file where that part begins: a place.
 */
#ifndef STORE_SEGMENT_PAGE_H
#define STORE_SEGMENT_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#define PAGE_HEADER_BYTES 16
#define PAGE_RAW_MAX      (2u << 20)
#define PAGE_RAW_TARGET   (64u << 10) /* a page is closed before it passes this, one item apart */
#define PAGE_LZ4_KEEP     92          /* percent of the raw bytes that LZ4 may leave */

enum page_type {
    PAGE_TIMES = 1,   /* timestamp vectors */
    PAGE_VALUES = 2,  /* chunks of counters, levels, gauges, samples */
    PAGE_HIST = 3,    /* chunks of histograms */
    PAGE_PAGES = 4,   /* table of the three above; version 1 */
    PAGE_VECTORS = 5, /* table of the timestamp vectors */
    PAGE_CHUNKS = 6,  /* table of the chunks */
    PAGE_METRICS = 7, /* what is known of each metric */
    PAGE_COLUMN = 8,  /* dictionary codes of one label */
    PAGE_DICT = 9,    /* values of one dictionary */
    PAGE_POSTINGS = 10,
    PAGE_SOURCES = 11,
    PAGE_AGGREGATES = 12, /* table of the chunks' aggregates */
    PAGE_IDS = 13,        /* from catalogue ids to ordinals */
    PAGE_INDEX = 14,      /* where all pages are */
    PAGE_TYPE_END,
};

/* Where a page lies and what it holds: page_index.h says what key, first and rows mean. */
struct page_ref {
    uint64_t offset;
    uint32_t bytes, raw_bytes; /* in the file, header included; unpacked */
    uint32_t key, first, rows;
    uint8_t type;   /* what it is read for */
    uint8_t stored; /* what its header says; the same but for aggregates in version 1 */
};

struct place {
    const char *file; /* path */
    const char *part; /* "page", "header", "section chunks", ... */
    uint64_t offset;  /* in the file */
};

/* Fills err: "segment PART at byte N: text", and the file. */
void place_error(const struct place *place, struct err *err, enum err_code code, const char *fmt,
    ...) __attribute__((format(printf, 4, 5)));

/* For bytes that fail a check. The value is false, to be returned. */
#define place_corrupt(place, err, ...) (place_error(place, err, ERR_CORRUPT, __VA_ARGS__), false)
/* For what a later version of the program may have written. False too. */
#define place_unsupported(place, err, ...)                                                         \
    (place_error(place, err, ERR_UNSUPPORTED, __VA_ARGS__), false)

/* Appends a page with these raw bytes, 1 to PAGE_RAW_MAX of them (ensured). */
void page_put(struct buf *out, uint8_t type, struct slice raw);

struct page {
    uint8_t type;
    bool lz4;
    uint32_t raw_bytes;
    struct slice stored; /* borrowed */
    struct place place;
};

/* Parses and checks the page at the front of bytes, which may be longer; place says where bytes
 * begin. */
bool page_get(struct slice bytes, const struct place *place, struct page *out, struct err *err);
/* Bytes of the page in the file. */
size_t page_bytes(const struct page *page);
/* Raw bytes, borrowed from the page or from scratch, whose contents are replaced. */
bool page_raw(const struct page *page, struct buf *scratch, struct slice *out, struct err *err);

#endif
