#include "store/segment/directory.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/ensure.h"
#include "base/mem.h"
#include "store/segment.h"
#include "store/codec/codec.h"

enum { PAGE_COLUMNS = 4, VECTOR_COLUMNS = 7, CHUNK_COLUMNS = 20 };
enum { PAGE_GROUP = 4096, VECTOR_GROUP = 4096, CHUNK_GROUP = 1024 };

/* ---- writing ---- */

void directory_writer_init(struct directory_writer *writer)
{
    *writer = (struct directory_writer){0};
    table_init(&writer->page_rows, PAGE_COLUMNS, PAGE_GROUP);
    table_init(&writer->vector_rows, VECTOR_COLUMNS, VECTOR_GROUP);
    table_init(&writer->chunk_rows, CHUNK_COLUMNS, CHUNK_GROUP);
}

void directory_writer_fini(struct directory_writer *writer)
{
    table_fini(&writer->page_rows);
    table_fini(&writer->vector_rows);
    table_fini(&writer->chunk_rows);
    section_fini(&writer->pages);
    section_fini(&writer->vectors);
    section_fini(&writer->chunks);
}

static void flush(struct table *rows, enum page_type type, struct section_buf *section)
{
    struct buf raw;
    if (rows->n_rows == 0)
        return;
    buf_init(&raw, 0);
    table_put(rows, &raw);
    section_add(section, type, buf_view(&raw));
    buf_fini(&raw);
}

static void add_row(
    struct table *rows, const int64_t *row, enum page_type type, struct section_buf *section)
{
    table_add(rows, row);
    if (table_is_full(rows))
        flush(rows, type, section);
}

void directory_add_page(struct directory_writer *writer, const struct data_page *page)
{
    const int64_t row[PAGE_COLUMNS] = {
        page->type, (int64_t)page->offset, page->bytes, page->raw_bytes};
    add_row(&writer->page_rows, row, PAGE_PAGES, &writer->pages);
}

void directory_add_vector(struct directory_writer *writer, const struct vector *vector)
{
    const int64_t row[VECTOR_COLUMNS] = {vector->n, vector->codec, vector->first, vector->step,
        vector->page, vector->offset, vector->bytes};
    add_row(&writer->vector_rows, row, PAGE_VECTORS, &writer->vectors);
}

void directory_add_chunk(struct directory_writer *writer, const struct chunk *chunk)
{
    const struct segment_aggregate *a = &chunk->aggregate;
    const int64_t row[CHUNK_COLUMNS] = {chunk->ordinal, chunk->vector, chunk->start, chunk->n,
        chunk->page, chunk->offset, chunk->bytes, (int64_t)le64_get(chunk->codecs), chunk->min_t,
        chunk->max_t, a->has, a->count, (int64_t)a->sum, (int64_t)(a->sum >> 64), a->min, a->max,
        a->first, a->last, a->reset_sum, a->resets};
    add_row(&writer->chunk_rows, row, PAGE_CHUNKS, &writer->chunks);
    writer->chunks.rows++;
}

void directory_finish(struct directory_writer *writer, struct section_buf *out)
{
    flush(&writer->page_rows, PAGE_PAGES, &writer->pages);
    flush(&writer->vector_rows, PAGE_VECTORS, &writer->vectors);
    flush(&writer->chunk_rows, PAGE_CHUNKS, &writer->chunks);
    const struct section_buf *parts[] = {&writer->pages, &writer->vectors, &writer->chunks};
    for (size_t i = 0; i < 3; i++) {
        buf_slice(&out->bytes, buf_view(&parts[i]->bytes));
        buf_slice(&out->digest, buf_view(&parts[i]->digest));
    }
    out->rows = writer->chunks.rows;
}

/* ---- reading ---- */

void directory_fini(struct directory *directory)
{
    free(directory->pages);
    free(directory->vectors);
    free(directory->chunks);
    free(directory->first_chunk);
    *directory = (struct directory){0};
}

struct loader {
    struct directory *directory;
    const struct header *header;
    const struct footer *footer;
    const struct section *data;
    struct table page_rows, vector_rows, chunk_rows;
    uint64_t cells;
    struct err *err;
};

/* Takes the columns of a row one after the other, each within bounds that its field can hold. */
struct row {
    const struct table *table;
    size_t at, column;
    bool failed;
};

static int64_t take(struct row *row)
{
    return table_at(row->table, row->column++, row->at);
}

static uint32_t take_upto(struct row *row, int64_t max)
{
    int64_t v = take(row);
    if (v >= 0 && v <= max)
        return (uint32_t)v;
    row->failed = true;
    return 0;
}

static bool load_page(struct loader *l, struct row *row, const struct place *place)
{
    struct directory *d = l->directory;
    struct data_page p = {.type = (uint8_t)take_upto(row, PAGE_HIST)};
    p.offset = (uint64_t)take(row);
    p.bytes = take_upto(row, PAGE_HEADER_BYTES + PAGE_RAW_MAX);
    p.raw_bytes = take_upto(row, PAGE_RAW_MAX);
    uint64_t end = l->data->offset + l->data->bytes;
    if (row->failed || p.type == 0 || p.bytes <= PAGE_HEADER_BYTES || p.raw_bytes == 0 ||
        p.offset < l->data->offset || p.offset > end || p.bytes > end - p.offset)
        return place_corrupt(place, l->err, "page %zu lies outside the data", d->n_pages);
    GROW(d->pages, d->pages_cap, d->n_pages + 1);
    d->pages[d->n_pages++] = p;
    return true;
}

/* Whether [offset, offset + bytes) is inside a page of that type. */
static bool in_page(
    const struct directory *d, uint32_t page, uint8_t type, uint32_t offset, uint32_t bytes)
{
    return page < d->n_pages && d->pages[page].type == type && bytes > 0 &&
           offset <= d->pages[page].raw_bytes && bytes <= d->pages[page].raw_bytes - offset;
}

/* True when first, first + step, ... stays in (t0, t1]. */
static bool steps_fit(const struct header *header, const struct vector *v)
{
    int64_t span, last;
    return (v->n == 1 ? v->step == 0 : v->step > 0) &&
           !__builtin_mul_overflow(v->step, (int64_t)v->n - 1, &span) &&
           !__builtin_add_overflow(v->first, span, &last) && last <= header->t1;
}

static bool load_vector(struct loader *l, struct row *row, const struct place *place)
{
    struct directory *d = l->directory;
    struct vector v = {.n = take_upto(row, CHUNK_CELLS_MAX)};
    v.codec = (uint8_t)take_upto(row, UINT8_MAX);
    v.first = take(row);
    v.step = take(row);
    v.page = take_upto(row, UINT32_MAX);
    v.offset = take_upto(row, PAGE_RAW_MAX);
    v.bytes = take_upto(row, PAGE_RAW_MAX);
    bool ok = !row->failed && v.n > 0 && v.first > l->header->t0 && v.first <= l->header->t1;
    if (v.codec == CODEC_NONE)
        ok = ok && steps_fit(l->header, &v);
    else
        ok = ok && in_page(d, v.page, PAGE_TIMES, v.offset, v.bytes);
    if (!ok)
        return place_corrupt(place, l->err, "vector %zu is out of bounds", d->n_vectors);
    GROW(d->vectors, d->vectors_cap, d->n_vectors + 1);
    d->vectors[d->n_vectors++] = v;
    return true;
}

static void take_aggregate(struct row *row, struct segment_aggregate *out)
{
    out->has = (uint32_t)take(row);
    out->count = take(row);
    uint64_t lo = (uint64_t)take(row), hi = (uint64_t)take(row);
    out->sum = (int128)((uint128)hi << 64 | lo);
    out->min = take(row);
    out->max = take(row);
    out->first = take(row);
    out->last = take(row);
    out->reset_sum = take(row);
    out->resets = take(row);
}

/* Ordinals ascend without gaps; the chunks of one series follow each other in time. */
static bool follows(const struct directory *d, const struct chunk *c)
{
    if (d->n_chunks == 0)
        return c->ordinal == 0;
    const struct chunk *before = &d->chunks[d->n_chunks - 1];
    return c->ordinal == before->ordinal ? c->min_t > before->max_t
                                         : c->ordinal == before->ordinal + 1;
}

static bool times_fit(const struct header *header, const struct directory *d, const struct chunk *c)
{
    const struct vector *v = &d->vectors[c->vector];
    if (c->n == 0 || c->start > v->n || c->n > v->n - c->start || c->min_t > c->max_t ||
        (c->n == 1) != (c->min_t == c->max_t) || c->min_t <= header->t0 || c->max_t > header->t1)
        return false;
    if (v->codec != CODEC_NONE)
        return true; /* seen when the vector is read */
    int64_t first = v->first + v->step * (int64_t)c->start;
    return c->min_t == first && c->max_t == first + v->step * ((int64_t)c->n - 1);
}

static bool load_chunk(struct loader *l, struct row *row, const struct place *place)
{
    struct directory *d = l->directory;
    struct chunk c = {.ordinal = take_upto(row, SEGMENT_SERIES_MAX)};
    c.vector = take_upto(row, UINT32_MAX);
    c.start = take_upto(row, CHUNK_CELLS_MAX);
    c.n = take_upto(row, CHUNK_CELLS_MAX);
    c.page = take_upto(row, UINT32_MAX);
    c.offset = take_upto(row, PAGE_RAW_MAX);
    c.bytes = take_upto(row, PAGE_RAW_MAX);
    le64_put(c.codecs, (uint64_t)take(row));
    c.min_t = take(row);
    c.max_t = take(row);
    take_aggregate(row, &c.aggregate);
    if (row->failed || c.vector >= d->n_vectors || !times_fit(l->header, d, &c) ||
        (!in_page(d, c.page, PAGE_VALUES, c.offset, c.bytes) &&
            !in_page(d, c.page, PAGE_HIST, c.offset, c.bytes)))
        return place_corrupt(place, l->err, "chunk %zu is out of bounds", d->n_chunks);
    if (!follows(d, &c) || d->n_chunks >= l->footer->chunks)
        return place_corrupt(place, l->err, "chunk %zu is out of order", d->n_chunks);
    GROW(d->chunks, d->chunks_cap, d->n_chunks + 1);
    d->chunks[d->n_chunks++] = c;
    l->cells += c.n;
    return true;
}

typedef bool load_row_f(struct loader *l, struct row *row, const struct place *place);

static bool load_group(struct loader *l, uint8_t type, struct slice raw, const struct place *place)
{
    struct table *table = type == PAGE_PAGES     ? &l->page_rows
                          : type == PAGE_VECTORS ? &l->vector_rows
                                                 : &l->chunk_rows;
    load_row_f *load = type == PAGE_PAGES     ? load_page
                       : type == PAGE_VECTORS ? load_vector
                                              : load_chunk;
    if (!table_get(table, raw, place, l->err))
        return false;
    for (size_t i = 0; i < table->n_rows; i++) {
        struct row row = {.table = table, .at = i};
        if (!load(l, &row, place))
            return false;
    }
    return true;
}

/* first_chunk, and the totals of the footer. */
static bool finish_load(struct loader *l, const struct place *place)
{
    struct directory *d = l->directory;
    const struct footer *f = l->footer;
    if (d->n_chunks != f->chunks || l->cells != f->cells ||
        d->chunks[d->n_chunks - 1].ordinal + 1 != f->series || d->n_pages != l->data->rows)
        return place_corrupt(place, l->err, "totals differ from the footer's");
    int64_t min_t = INT64_MAX, max_t = INT64_MIN;
    d->first_chunk = xreallocarray(NULL, f->series + 1, sizeof *d->first_chunk);
    for (size_t i = d->n_chunks; i-- > 0;) {
        const struct chunk *c = &d->chunks[i];
        d->first_chunk[c->ordinal] = (uint32_t)i;
        min_t = c->min_t < min_t ? c->min_t : min_t;
        max_t = c->max_t > max_t ? c->max_t : max_t;
    }
    d->first_chunk[f->series] = (uint32_t)d->n_chunks;
    if (min_t != f->min_t || max_t != f->max_t)
        return place_corrupt(place, l->err, "times differ from the footer's");
    return true;
}

static bool load_groups(struct loader *l, struct section_walk *walk)
{
    uint8_t before = PAGE_PAGES;
    struct place place = walk->place;
    while (!walk_at_end(walk)) {
        uint8_t type;
        struct slice raw;
        if (!walk_next(walk, &type, &raw, &place, l->err))
            return false;
        if (type > PAGE_CHUNKS)
            continue;
        if (type < before)
            return place_corrupt(
                &place, l->err, "a page of %s is out of place", page_type_name(type));
        before = type;
        if (!load_group(l, type, raw, &place))
            return false;
    }
    return finish_load(l, &place);
}

bool directory_load(struct directory *directory, struct slice section, const char *file,
    const struct header *header, const struct footer *footer, struct err *err)
{
    struct loader l = {.directory = directory,
        .header = header,
        .footer = footer,
        .data = footer_section(footer, SECTION_DATA),
        .err = err};
    struct section_walk walk;
    table_init(&l.page_rows, PAGE_COLUMNS, PAGE_GROUP);
    table_init(&l.vector_rows, VECTOR_COLUMNS, VECTOR_GROUP);
    table_init(&l.chunk_rows, CHUNK_COLUMNS, CHUNK_GROUP);
    walk_init(&walk, section, file, "section chunkdir, page",
        footer_section(footer, SECTION_CHUNKDIR)->offset);
    bool ok = load_groups(&l, &walk);
    walk_fini(&walk);
    table_fini(&l.page_rows);
    table_fini(&l.vector_rows);
    table_fini(&l.chunk_rows);
    return ok;
}
