/*
 * The chunk directory: three tables that say where everything lies, so that a reader plans without
 * touching data. Columns of the tables, in the order of their ids from 1:
 *
 *     pages     type, offset (in the file), bytes (with its header), raw_bytes
 *     vectors   n, codec, first, step, page, offset (in the raw page), bytes
 *     chunks    ordinal, vector, start, n, page, offset, bytes, codecs (8, the first in the low
 * byte), min_t, max_t, has, count, sum.lo, sum.hi, min, max, first, last, reset_sum, resets
 *
 * Chunks are in order of their series' ordinals, then time; every series has one at least. A page's
 * number is its row; pages are numbered as they were begun, which may not be their order in the
 * file.
 */
#ifndef STORE_SEGMENT_DIRECTORY_H
#define STORE_SEGMENT_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "store/segment/aggregate.h"
#include "store/segment/chunk.h"
#include "store/segment/layout.h"
#include "store/segment/section.h"
#include "store/segment/table.h"
#include "store/segment/times.h"

struct data_page {
    uint64_t offset;
    uint32_t bytes, raw_bytes;
    uint8_t type;
};

struct chunk {
    uint32_t ordinal, vector, start, n;
    uint32_t page, offset, bytes;
    uint8_t codecs[CHUNK_STREAMS_MAX];
    int64_t min_t, max_t;
    struct segment_aggregate aggregate;
};

/* ---- writing ---- */

struct directory_writer {
    struct table page_rows, vector_rows, chunk_rows;
    struct section_buf pages, vectors, chunks;
};

void directory_writer_init(struct directory_writer *writer);
void directory_writer_fini(struct directory_writer *writer);
void directory_add_page(struct directory_writer *writer, const struct data_page *page);
void directory_add_vector(struct directory_writer *writer, const struct vector *vector);
void directory_add_chunk(struct directory_writer *writer, const struct chunk *chunk);
/* Writes what is held back and puts the three tables together as one section. */
void directory_finish(struct directory_writer *writer, struct section_buf *out);

/* ---- reading ---- */

struct directory {
    struct data_page *pages;
    struct vector *vectors;
    struct chunk *chunks;
    size_t n_pages, n_vectors, n_chunks;
    size_t pages_cap, vectors_cap, chunks_cap;
    uint32_t *first_chunk; /* of each series, and the end */
};

void directory_fini(struct directory *directory);
/* Reads the section and checks every reference in it against header and footer. */
bool directory_load(struct directory *directory, struct slice section, const char *file,
    const struct header *header, const struct footer *footer, struct err *err);

#endif
