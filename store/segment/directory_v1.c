/*
 * Groups of the directory as version 1 stored them: every column in full, chunks and aggregates in
 * one page, series cut anywhere between pages.
 */
#include <inttypes.h>

#include "base/bytes.h"
#include "store/codec/codec.h"
#include "store/segment/directory.h"

enum { V1_N, V1_CODEC, V1_FIRST, V1_STEP, V1_PAGE, V1_OFFSET, V1_BYTES, V1_VECTOR_COLUMNS };
enum {
    V1_CHUNK_ORDINAL,
    V1_CHUNK_VECTOR,
    V1_CHUNK_START,
    V1_CHUNK_N,
    V1_CHUNK_PAGE,
    V1_CHUNK_OFFSET,
    V1_CHUNK_BYTES,
    V1_CHUNK_CODECS,
    V1_CHUNK_MIN_T,
    V1_CHUNK_MAX_T,
    V1_CHUNK_HAS,
    V1_CHUNK_COUNT,
    V1_CHUNK_SUM_LO,
    V1_CHUNK_SUM_HI,
    V1_CHUNK_MIN,
    V1_CHUNK_MAX,
    V1_CHUNK_FIRST,
    V1_CHUNK_LAST,
    V1_CHUNK_RESET_SUM,
    V1_CHUNK_RESETS,
    V1_CHUNK_COLUMNS,
};

#define V1_CELLS_MAX    1024
#define V1_VECTOR_GROUP 4096
#define V1_CHUNK_GROUP  1024

static bool get_vector(const struct directory_page *page, struct row *row, struct vector *v)
{
    int64_t span;
    *v = (struct vector){.n = row_upto(row, V1_N, V1_CELLS_MAX),
        .codec = (uint8_t)row_upto(row, V1_CODEC, UINT8_MAX),
        .first = row_take(row, V1_FIRST),
        .step = row_take(row, V1_STEP),
        .page = row_upto(row, V1_PAGE, UINT32_MAX),
        .offset = row_upto(row, V1_OFFSET, PAGE_RAW_MAX),
        .bytes = row_upto(row, V1_BYTES, PAGE_RAW_MAX)};
    if (row->failed || v->n == 0)
        return false;
    if (v->codec != CODEC_NONE) { /* its end is not known before it is read */
        v->last = v->n == 1 ? v->first : page->header->t1;
        return v->first < v->last ? vector_fits(page, v) : v->n == 1 && vector_fits(page, v);
    }
    return (v->n == 1 ? v->step == 0 : v->step > 0) &&
           !__builtin_mul_overflow(v->step, (int64_t)v->n - 1, &span) &&
           !__builtin_add_overflow(v->first, span, &v->last) && vector_fits(page, v);
}

const struct vector_group *directory_v1_vectors(const struct directory_page *page, struct err *err)
{
    struct table table;
    struct vector_group *group = NULL;
    table_init(&table, V1_VECTOR_COLUMNS);
    if (table_get(&table, page->raw, V1_VECTOR_GROUP, true, &page->place, err))
        group = group_alloc(page, table.n_rows, sizeof *group->rows, err);
    for (size_t i = 0; group && i < table.n_rows; i++) {
        struct row row = {.table = &table, .at = i};
        if (!get_vector(page, &row, &group->rows[i])) {
            place_error(&page->place, err, ERR_CORRUPT, "vector %zu is out of bounds",
                page->ref->first + i);
            group = NULL;
        }
    }
    table_fini(&table);
    return group;
}

/* False without a text in *err: it is out of bounds. */
static bool get_chunk(const struct directory_page *page, struct row *row,
    const struct segment_chunk *before, struct segment_chunk *c, struct err *err)
{
    struct vector v;
    *c = (struct segment_chunk){.ordinal = row_upto(row, V1_CHUNK_ORDINAL, SEGMENT_SERIES_MAX),
        .row = page->ref->first + (uint32_t)row->at,
        .n = row_upto(row, V1_CHUNK_N, V1_CELLS_MAX),
        .page = row_upto(row, V1_CHUNK_PAGE, UINT32_MAX),
        .offset = row_upto(row, V1_CHUNK_OFFSET, PAGE_RAW_MAX),
        .bytes = row_upto(row, V1_CHUNK_BYTES, PAGE_RAW_MAX),
        .min_t = row_take(row, V1_CHUNK_MIN_T),
        .max_t = row_take(row, V1_CHUNK_MAX_T),
        .times.start = row_upto(row, V1_CHUNK_START, V1_CELLS_MAX)};
    uint32_t vector = row_upto(row, V1_CHUNK_VECTOR, UINT32_MAX);
    le64_put(c->codecs, (uint64_t)row_take(row, V1_CHUNK_CODECS));
    err->code = ERR_OK;
    return !row->failed && page->vector(page->vector_ctx, vector, &v, err) &&
           chunk_fits(page, &v, c) && chunk_follows(page, before, c);
}

const struct chunk_group *directory_v1_chunks(const struct directory_page *page, struct err *err)
{
    struct table table;
    struct chunk_group *group = NULL;
    struct err other;
    err = err ? err : &other;
    table_init(&table, V1_CHUNK_COLUMNS);
    if (table_get(&table, page->raw, V1_CHUNK_GROUP, true, &page->place, err))
        group = group_alloc(page, table.n_rows, sizeof *group->rows, err);
    for (size_t i = 0; group && i < table.n_rows; i++) {
        struct row row = {.table = &table, .at = i};
        struct segment_chunk *c = &group->rows[i];
        if (get_chunk(page, &row, i ? c - 1 : NULL, c, err))
            continue;
        if (err->code == ERR_OK)
            place_error(
                &page->place, err, ERR_CORRUPT, "chunk %zu is out of bounds", page->ref->first + i);
        group = NULL;
    }
    table_fini(&table);
    return group;
}

const struct aggregate_group *directory_v1_aggregates(
    const struct directory_page *page, struct err *err)
{
    struct table table;
    struct aggregate_group *group = NULL;
    table_init(&table, V1_CHUNK_COLUMNS);
    if (table_get(&table, page->raw, V1_CHUNK_GROUP, true, &page->place, err))
        group = group_alloc(page, table.n_rows, sizeof *group->rows, err);
    for (size_t i = 0; group && i < table.n_rows; i++) {
        const struct row row = {.table = &table, .at = i};
        struct segment_aggregate *a = &group->rows[i];
        uint64_t lo = (uint64_t)row_take(&row, V1_CHUNK_SUM_LO);
        uint64_t hi = (uint64_t)row_take(&row, V1_CHUNK_SUM_HI);
        *a = (struct segment_aggregate){.has = (uint32_t)row_take(&row, V1_CHUNK_HAS) & 15,
            .count = row_take(&row, V1_CHUNK_COUNT),
            .sum = (int128)((uint128)hi << 64 | lo),
            .min = row_take(&row, V1_CHUNK_MIN),
            .max = row_take(&row, V1_CHUNK_MAX),
            .first = row_take(&row, V1_CHUNK_FIRST),
            .last = row_take(&row, V1_CHUNK_LAST),
            .reset_sum = row_take(&row, V1_CHUNK_RESET_SUM),
            .resets = row_take(&row, V1_CHUNK_RESETS)};
        if (a->has & SEGMENT_HAS_SUM)
            a->count = (int64_t)((uint64_t)a->count - (uint64_t)row_take(&row, V1_CHUNK_N));
    }
    table_fini(&table);
    return group;
}
