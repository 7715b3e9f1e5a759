/*
 * The directory: where timestamp vectors and chunks are, and what is known of chunks without
 * reading them. Three tables (table.h), each stored in groups of rows, a page to a group:
 *
 *     vectors      n, codec, first, last, page, offset, bytes
 *     chunks       ordinal, vector, start, n, page, offset, bytes, codecs, min_t, max_t,
 *                  back
 *     aggregates   has, digits, count, sum, min, max, first, last, reset_sum, resets, less
 *
 * Chunks are in order of their series' ordinals, then time; every series has one at least. A group
 * of chunks holds whole series, but for one of which there is too much: that begins a group, and
 * goes on in the next. A group of aggregates holds the same chunks. Columns hold what does
 * not follow from other columns: docs/format/segment.md says how, so that what follows costs
 * nothing.
 *
 * Reading decodes one group at a time into an arena, and checks every reference in it.
 */
#ifndef STORE_SEGMENT_DIRECTORY_H
#define STORE_SEGMENT_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "store/segment.h"
#include "store/segment/layout.h"
#include "store/segment/page_index.h"
#include "store/segment/section.h"
#include "store/segment/table.h"
#include "store/segment/times.h"

#define CHUNK_GROUP      1024
#define CHUNK_GROUP_FULL 16384 /* rows that are a page at most, whatever they say */
#define CHUNK_GROUP_MAX  65536 /* that are read: values of a stream */
#define VECTOR_GROUP     1024
#define VECTOR_GROUP_MAX 4096

/* Columns of the tables, numbered from 0. Ids in the file begin with 1. */
enum {
    VECTOR_N,
    VECTOR_CODEC,
    VECTOR_FIRST,
    VECTOR_LAST,
    VECTOR_PAGE,
    VECTOR_OFFSET,
    VECTOR_BYTES,
    VECTOR_COLUMNS,
};
enum {
    CHUNK_ORDINAL,
    CHUNK_VECTOR,
    CHUNK_START,
    CHUNK_N,
    CHUNK_PAGE,
    CHUNK_OFFSET,
    CHUNK_BYTES,
    CHUNK_CODECS,
    CHUNK_MIN_T,
    CHUNK_MAX_T,
    CHUNK_BACK,
    CHUNK_COLUMNS,
};
enum {
    AGGREGATE_HAS,
    AGGREGATE_DIGITS,
    AGGREGATE_COUNT,
    AGGREGATE_SUM_LO,
    AGGREGATE_SUM_HI,
    AGGREGATE_MIN,
    AGGREGATE_MAX,
    AGGREGATE_FIRST,
    AGGREGATE_LAST,
    AGGREGATE_RESET_SUM,
    AGGREGATE_RESETS,
    AGGREGATE_LESS, /* MIN_LESS_FIRST, MAX_LESS_LAST */
    AGGREGATE_COLUMNS,
};
/* The column of min (of max) holds differences to first (to last). */
enum { MIN_LESS_FIRST = 1, MAX_LESS_LAST = 2 };

/* ---- writing ---- */

struct chunk {
    struct segment_chunk at; /* of at.times only start and codec are looked at */
    uint32_t vector;
    uint32_t vector_n; /* times of the vector */
    uint32_t metric;   /* groups are cut between metrics rather than inside one */
    bool doubles;      /* its aggregates are bits of doubles */
    struct segment_aggregate aggregate;
};

struct directory_writer {
    int64_t t0;
    struct vector *vector_rows; /* not yet written, as the next */
    size_t n_vector_rows, vector_rows_cap;
    struct chunk *chunk_rows;
    size_t n_chunk_rows, chunk_rows_cap;
    uint64_t n_vectors, n_chunks;
    bool goes_on; /* a series is in several groups */
    struct section_buf vectors, chunks, aggregates;
};

void directory_writer_init(struct directory_writer *writer, int64_t t0);
void directory_writer_fini(struct directory_writer *writer);
void directory_add_vector(struct directory_writer *writer, const struct vector *vector);
void directory_add_chunk(struct directory_writer *writer, const struct chunk *chunk);
/* Writes what is held back and puts the three tables together as one section. */
void directory_finish(struct directory_writer *writer, struct section_buf *out);

/* ---- reading ---- */

struct vector_group {
    uint32_t n;
    struct vector *rows;
};

struct chunk_group {
    uint32_t n;
    struct segment_chunk *rows;
};

/* Where there is a count, it is less the number of the chunk's cells. */
struct aggregate_group {
    uint32_t n;
    struct segment_aggregate *rows;
};

/* Gives vector `row`, which may have to be read. */
typedef bool vector_f(void *ctx, uint32_t row, struct vector *out, struct err *err);

/* What a group is decoded from and checked against. */
struct directory_page {
    const struct header *header;
    const struct page_index *index;
    const struct page_ref *ref;
    struct slice raw;
    struct place place;
    struct arena *arena;
    vector_f *vector; /* of chunks */
    void *vector_ctx;
};

/* The group, in the arena; NULL and *err. */
const struct vector_group *directory_vectors(const struct directory_page *page, struct err *err);
const struct chunk_group *directory_chunks(const struct directory_page *page, struct err *err);
const struct aggregate_group *directory_aggregates(
    const struct directory_page *page, struct err *err);

/* ---- shared by the versions ---- */

/* Takes the values of a row within bounds that their fields can hold. */
struct row {
    const struct table *table;
    size_t at;
    bool failed;
};

static inline int64_t row_take(const struct row *row, size_t column)
{
    return table_at(row->table, column, row->at);
}
uint32_t row_upto(struct row *row, size_t column, int64_t max);

/* Whether the times of a vector can be, and lie in the block. */
bool vector_fits(const struct directory_page *page, const struct vector *vector);
/* Copies what the chunk needs of its vector, and checks the chunk but for its place in order. */
bool chunk_fits(
    const struct directory_page *page, const struct vector *vector, struct segment_chunk *chunk);
/* Whether a chunk comes behind the one before, NULL for the first of a page. */
bool chunk_follows(const struct directory_page *page, const struct segment_chunk *before,
    const struct segment_chunk *chunk);
/* Allocate a group with rows for n. NULL: err is filled in. */
void *group_alloc(const struct directory_page *page, size_t n, size_t row_bytes, struct err *err);

/* The same three from pages of version 1, where chunks and aggregates are in one page. */
const struct vector_group *directory_v1_vectors(const struct directory_page *page, struct err *err);
const struct chunk_group *directory_v1_chunks(const struct directory_page *page, struct err *err);
const struct aggregate_group *directory_v1_aggregates(
    const struct directory_page *page, struct err *err);

#endif
