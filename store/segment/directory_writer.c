/*
 * Writing the directory. Rows are held back until a group is complete, for how a column is stored
 * depends on all of its rows.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "base/wrap.h"
#include "store/codec/codec.h"
#include "store/segment/directory.h"

/* A group is cut where its columns change their nature, when it is not too small by then. */
#define GROUP_AT_METRIC  256
#define GROUP_AT_DOUBLES 64

void directory_writer_init(struct directory_writer *writer, int64_t t0)
{
    *writer = (struct directory_writer){.t0 = t0};
}

void directory_writer_fini(struct directory_writer *writer)
{
    free(writer->vector_rows);
    free(writer->chunk_rows);
    section_fini(&writer->vectors);
    section_fini(&writer->chunks);
    section_fini(&writer->aggregates);
}

static void put_group(struct table *rows, struct section_buf *out, struct page_ref what)
{
    struct buf raw;
    buf_init(&raw, 0);
    what.rows = (uint32_t)rows->n_rows;
    table_put(rows, &raw);
    section_add(out, what, buf_view(&raw));
    buf_fini(&raw);
}

/* Where an item lies when it follows the one before in its page. */
struct running {
    uint32_t page, end;
};

static int64_t offset_less_expected(
    struct running *at, uint32_t page, uint32_t offset, uint32_t bytes)
{
    uint32_t expected = page == at->page ? at->end : 0;
    *at = (struct running){page, offset + bytes};
    return (int64_t)offset - expected;
}

/* ---- vectors ---- */

static void flush_vectors(struct directory_writer *w)
{
    struct table rows;
    struct running running = {UINT32_MAX, 0};
    if (w->n_vector_rows == 0)
        return;
    table_init(&rows, VECTOR_COLUMNS);
    for (size_t i = 0; i < w->n_vector_rows; i++) {
        const struct vector *v = &w->vector_rows[i];
        const int64_t row[VECTOR_COLUMNS] = {[VECTOR_N] = v->n,
            [VECTOR_CODEC] = v->codec,
            [VECTOR_FIRST] = v->first,
            [VECTOR_LAST] = v->last,
            [VECTOR_PAGE] = v->page,
            [VECTOR_OFFSET] = offset_less_expected(&running, v->page, v->offset, v->bytes),
            [VECTOR_BYTES] = v->bytes};
        table_add(&rows, row);
    }
    put_group(&rows, &w->vectors,
        (struct page_ref){
            .type = PAGE_VECTORS, .first = (uint32_t)(w->n_vectors - w->n_vector_rows)});
    table_fini(&rows);
    w->n_vector_rows = 0;
}

void directory_add_vector(struct directory_writer *writer, const struct vector *vector)
{
    GROW(writer->vector_rows, writer->vector_rows_cap, writer->n_vector_rows + 1);
    writer->vector_rows[writer->n_vector_rows++] = *vector;
    writer->n_vectors++;
    if (writer->n_vector_rows == VECTOR_GROUP)
        flush_vectors(writer);
}

/* ---- chunks ---- */

static void chunk_row(const struct directory_writer *w, const struct chunk *c,
    struct running *running, int64_t row[CHUNK_COLUMNS])
{
    const struct segment_chunk *at = &c->at;
    bool steps = at->times.codec == CODEC_NONE;
    bool begins = steps || at->times.start == 0;
    bool ends = steps || at->times.start + at->n == c->vector_n;
    row[CHUNK_ORDINAL] = at->ordinal;
    row[CHUNK_VECTOR] = c->vector;
    row[CHUNK_START] = at->times.start;
    row[CHUNK_N] = at->n;
    row[CHUNK_PAGE] = at->page;
    row[CHUNK_OFFSET] = offset_less_expected(running, at->page, at->offset, at->bytes);
    row[CHUNK_BYTES] = at->bytes;
    row[CHUNK_CODECS] = (int64_t)le64_get(at->codecs);
    row[CHUNK_MIN_T] = begins ? 0 : wrap_sub(at->min_t, w->t0);
    row[CHUNK_MAX_T] = ends ? 0 : wrap_sub(at->max_t, w->t0);
    row[CHUNK_BACK] = at->back;
}

static void aggregate_row(const struct chunk *c, int64_t row[AGGREGATE_COLUMNS])
{
    const struct segment_aggregate *a = &c->aggregate;
    int64_t lo = (int64_t)a->sum;
    row[AGGREGATE_HAS] = a->has;
    row[AGGREGATE_DIGITS] = a->digits;
    row[AGGREGATE_COUNT] = a->has & SEGMENT_HAS_SUM ? wrap_sub(a->count, c->at.n) : 0;
    row[AGGREGATE_SUM_LO] = lo;
    row[AGGREGATE_SUM_HI] = wrap_sub((int64_t)(a->sum >> 64), lo >> 63);
    row[AGGREGATE_MIN] = a->min;
    row[AGGREGATE_MAX] = a->max;
    row[AGGREGATE_FIRST] = a->first;
    row[AGGREGATE_LAST] = a->last;
    row[AGGREGATE_RESET_SUM] = a->reset_sum;
    row[AGGREGATE_RESETS] = a->resets;
    row[AGGREGATE_LESS] = 0;
}

/* Where a column mostly equals another one, as the least of a counter does its first value, the
 * differences are stored in its stead. */
static void subtract(struct table *rows, size_t column, size_t other, int64_t flag)
{
    size_t differ = 0, n = rows->n_rows;
    int64_t *values = rows->values[column];
    for (size_t i = 0; i < n; i++)
        differ += values[i] != rows->values[other][i];
    if (differ > n / 8)
        return;
    for (size_t i = 0; i < n; i++) {
        values[i] = wrap_sub(values[i], rows->values[other][i]);
        rows->values[AGGREGATE_LESS][i] |= flag;
    }
}

_Static_assert(CHUNK_GROUP_FULL *CHUNK_COLUMNS * 9 + 4096 <= PAGE_RAW_MAX &&
                   CHUNK_GROUP_FULL * AGGREGATE_COLUMNS * 9 + 4096 <= PAGE_RAW_MAX,
    "a column is little more than its values");

/* The first n rows that are held back become a group. */
static void flush_chunks(struct directory_writer *w, size_t n)
{
    struct table chunks, aggregates;
    struct running running = {UINT32_MAX, 0};
    int64_t row[TABLE_COLUMNS_MAX];
    if (n == 0)
        return;
    table_init(&chunks, CHUNK_COLUMNS);
    table_init(&aggregates, AGGREGATE_COLUMNS);
    for (size_t i = 0; i < n; i++) {
        chunk_row(w, &w->chunk_rows[i], &running, row);
        table_add(&chunks, row);
        aggregate_row(&w->chunk_rows[i], row);
        table_add(&aggregates, row);
    }
    subtract(&aggregates, AGGREGATE_MIN, AGGREGATE_FIRST, MIN_LESS_FIRST);
    subtract(&aggregates, AGGREGATE_MAX, AGGREGATE_LAST, MAX_LESS_LAST);
    uint32_t first = (uint32_t)(w->n_chunks - w->n_chunk_rows);
    put_group(&chunks, &w->chunks,
        (struct page_ref){.type = PAGE_CHUNKS, .key = w->chunk_rows[0].at.ordinal, .first = first});
    put_group(
        &aggregates, &w->aggregates, (struct page_ref){.type = PAGE_AGGREGATES, .first = first});
    table_fini(&chunks);
    table_fini(&aggregates);
    w->n_chunk_rows -= n;
    memmove(w->chunk_rows, w->chunk_rows + n, w->n_chunk_rows * sizeof *w->chunk_rows);
}

/* The group is full with chunks of the last series. Those of others are written first, so that it
 * begins a group; when it is alone in it already, it goes on in the next. */
static void flush_full(struct directory_writer *w)
{
    size_t n = w->n_chunk_rows, first = n - 1;
    while (first > 0 && w->chunk_rows[first - 1].at.ordinal == w->chunk_rows[n - 1].at.ordinal)
        first--;
    w->goes_on |= first == 0;
    flush_chunks(w, first ? first : n);
}

void directory_add_chunk(struct directory_writer *writer, const struct chunk *chunk)
{
    size_t n = writer->n_chunk_rows;
    const struct chunk *last = n ? &writer->chunk_rows[n - 1] : NULL;
    if (last && last->at.ordinal != chunk->at.ordinal &&
        (n >= CHUNK_GROUP || (n >= GROUP_AT_METRIC && last->metric != chunk->metric) ||
            (n >= GROUP_AT_DOUBLES && last->doubles != chunk->doubles)))
        flush_chunks(writer, n);
    else if (last && n == CHUNK_GROUP_FULL)
        flush_full(writer);
    GROW(writer->chunk_rows, writer->chunk_rows_cap, writer->n_chunk_rows + 1);
    writer->chunk_rows[writer->n_chunk_rows++] = *chunk;
    writer->n_chunks++;
}

void directory_finish(struct directory_writer *writer, struct section_buf *out)
{
    flush_vectors(writer);
    flush_chunks(writer, writer->n_chunk_rows);
    section_append(out, &writer->vectors);
    section_append(out, &writer->chunks);
    section_append(out, &writer->aggregates);
    out->rows = writer->n_chunks;
}
