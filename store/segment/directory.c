#include "store/segment/directory.h"

#include <inttypes.h>

#include "base/bytes.h"
#include "base/wrap.h"
#include "store/codec/codec.h"
#include "store/segment/chunk.h"
#include "store/segment/scaled.h"

/* ---- shared by the versions ---- */

uint32_t row_upto(struct row *row, size_t column, int64_t max)
{
    int64_t v = row_take(row, column);
    if (v >= 0 && v <= max)
        return (uint32_t)v;
    row->failed = true;
    return 0;
}

/* Whether [offset, offset + bytes) lies in a page of DATA. */
static bool data_has(
    const struct page_index *index, uint32_t page, uint32_t offset, uint32_t bytes, bool times)
{
    if (page >= index->n_data)
        return false;
    const struct page_ref *p = &index->pages[page];
    return (p->type == PAGE_TIMES) == times && bytes > 0 && offset <= p->raw_bytes &&
           bytes <= p->raw_bytes - offset;
}

bool vector_fits(const struct directory_page *page, const struct vector *v)
{
    const struct header *h = page->header;
    if (v->n == 0 || v->first <= h->t0 || v->last < v->first || v->last > h->t1 ||
        (v->n == 1) != (v->first == v->last))
        return false;
    return v->codec == CODEC_NONE || data_has(page->index, v->page, v->offset, v->bytes, true);
}

/* The times of a vector with a stream are seen when it is read. */
bool chunk_fits(const struct directory_page *page, const struct vector *v, struct segment_chunk *c)
{
    const struct header *h = page->header;
    uint32_t start = c->times.start;
    c->times = (struct segment_times){
        v->first, v->step, v->n, start, v->page, v->offset, v->bytes, v->codec};
    if (c->n == 0 || start > v->n || c->n > v->n - start || c->min_t > c->max_t ||
        (c->n == 1) != (c->min_t == c->max_t) || c->min_t <= h->t0 || c->max_t > h->t1)
        return false;
    if (v->codec == CODEC_NONE && (c->min_t != v->first + v->step * (int64_t)start ||
                                      c->max_t != c->min_t + v->step * ((int64_t)c->n - 1)))
        return false;
    return data_has(page->index, c->page, c->offset, c->bytes, false);
}

bool chunk_follows(const struct directory_page *page, const struct segment_chunk *before,
    const struct segment_chunk *c)
{
    if (!before)
        return c->ordinal == page->ref->key;
    return c->ordinal == before->ordinal ? c->min_t > before->max_t
                                         : c->ordinal == before->ordinal + 1;
}

void *group_alloc(const struct directory_page *page, size_t n, size_t row_bytes, struct err *err)
{
    _Static_assert(sizeof(struct vector_group) == sizeof(struct chunk_group) &&
                       sizeof(struct chunk_group) == sizeof(struct aggregate_group),
        "groups differ in their rows only");
    struct chunk_group *group = arena_alloc(page->arena, sizeof *group);
    void *rows = group ? arena_array(page->arena, n, row_bytes) : NULL;
    if (!rows) {
        place_error(&page->place, err, ERR_CORRUPT, "%zu rows need more memory than a page may", n);
        return NULL;
    }
    group->n = (uint32_t)n;
    group->rows = rows;
    return group;
}

/* ---- version 2 ---- */

/* Where the item before ended in its page. */
struct running {
    uint32_t page, end;
};

static uint32_t take_offset(struct row *row, size_t column, const struct running *at, uint32_t page)
{
    int64_t offset = wrap_add(row_take(row, column), page == at->page ? at->end : 0);
    if (offset < 0 || offset > PAGE_RAW_MAX)
        row->failed = true;
    return row->failed ? 0 : (uint32_t)offset;
}

static bool get_table(
    const struct directory_page *page, struct table *table, size_t max_rows, struct err *err)
{
    if (!table_get(table, page->raw, max_rows, false, &page->place, err))
        return false;
    return table->n_rows == page->ref->rows ||
           place_corrupt(&page->place, err, "%zu rows, the index says %" PRIu32, table->n_rows,
               page->ref->rows);
}

static bool get_vector(
    const struct directory_page *page, struct row *row, struct running *running, struct vector *v)
{
    *v = (struct vector){.n = row_upto(row, VECTOR_N, CHUNK_CELLS_MAX),
        .codec = (uint8_t)row_upto(row, VECTOR_CODEC, UINT8_MAX),
        .first = row_take(row, VECTOR_FIRST),
        .last = row_take(row, VECTOR_LAST),
        .page = row_upto(row, VECTOR_PAGE, UINT32_MAX),
        .bytes = row_upto(row, VECTOR_BYTES, PAGE_RAW_MAX)};
    v->offset = take_offset(row, VECTOR_OFFSET, running, v->page);
    *running = (struct running){v->page, v->offset + v->bytes};
    if (row->failed || !vector_fits(page, v))
        return false;
    if (v->codec != CODEC_NONE || v->n == 1)
        return true;
    uint64_t span = (uint64_t)v->last - (uint64_t)v->first;
    v->step = (int64_t)(span / (v->n - 1));
    return span % (v->n - 1) == 0 && span <= INT64_MAX;
}

const struct vector_group *directory_vectors(const struct directory_page *page, struct err *err)
{
    struct table table;
    struct vector_group *group = NULL;
    table_init(&table, VECTOR_COLUMNS);
    if (get_table(page, &table, VECTOR_GROUP_MAX, err))
        group = group_alloc(page, table.n_rows, sizeof *group->rows, err);
    struct running running = {UINT32_MAX, 0};
    for (size_t i = 0; group && i < table.n_rows; i++) {
        struct row row = {.table = &table, .at = i};
        if (!get_vector(page, &row, &running, &group->rows[i])) {
            place_error(&page->place, err, ERR_CORRUPT, "vector %zu is out of bounds",
                page->ref->first + i);
            group = NULL;
        }
    }
    table_fini(&table);
    return group;
}

/* The times of the chunk follow from its vector where they can; else they count from t0. */
static void get_times(const struct directory_page *page, const struct row *row,
    const struct vector *v, struct segment_chunk *c)
{
    int64_t t0 = page->header->t0;
    uint32_t start = c->times.start;
    bool steps = v->codec == CODEC_NONE;
    int64_t min = start == 0 ? v->first : t0, max = start + c->n == v->n ? v->last : t0;
    if (steps) {
        min = wrap_add(v->first, (int64_t)((uint64_t)v->step * start));
        max = wrap_add(min, (int64_t)((uint64_t)v->step * (c->n - UINT64_C(1))));
    }
    c->min_t = wrap_add(min, row_take(row, CHUNK_MIN_T));
    c->max_t = wrap_add(max, row_take(row, CHUNK_MAX_T));
}

/* False without a text in *err: it is out of bounds. */
static bool get_chunk(const struct directory_page *page, struct row *row, struct running *running,
    const struct segment_chunk *before, struct segment_chunk *c, struct err *err)
{
    struct vector v;
    *c = (struct segment_chunk){.ordinal = row_upto(row, CHUNK_ORDINAL, SEGMENT_SERIES_MAX),
        .row = page->ref->first + (uint32_t)row->at,
        .n = row_upto(row, CHUNK_N, CHUNK_CELLS_MAX),
        .page = row_upto(row, CHUNK_PAGE, UINT32_MAX),
        .bytes = row_upto(row, CHUNK_BYTES, PAGE_RAW_MAX),
        .times.start = row_upto(row, CHUNK_START, CHUNK_CELLS_MAX)};
    c->back = row_upto(row, CHUNK_BACK, c->row);
    uint32_t vector = row_upto(row, CHUNK_VECTOR, UINT32_MAX);
    c->offset = take_offset(row, CHUNK_OFFSET, running, c->page);
    *running = (struct running){c->page, c->offset + c->bytes};
    le64_put(c->codecs, (uint64_t)row_take(row, CHUNK_CODECS));
    err->code = ERR_OK;
    if (row->failed || (c->back > 0) != (c->codecs[CHUNK_FORM] == FORM_DIFFERENCES) ||
        !page->vector(page->vector_ctx, vector, &v, err) || c->times.start >= v.n)
        return false;
    get_times(page, row, &v, c);
    return chunk_fits(page, &v, c) && chunk_follows(page, before, c);
}

/* A group holds whole series: it ends where the next page begins, or at the last series. One that
 * is of a single series may go on in the next. */
static bool ends_well(const struct directory_page *page, const struct chunk_group *group)
{
    const struct page_ref *next = page->ref + 1;
    const struct page_ref *end = page->index->pages + page->index->types[PAGE_CHUNKS].end;
    uint32_t last = group->rows[group->n - 1].ordinal;
    bool goes_on = page->header->major > 2 && group->rows[0].ordinal == last;
    return next == end || last + 1 == next->key || (goes_on && last == next->key);
}

const struct chunk_group *directory_chunks(const struct directory_page *page, struct err *err)
{
    struct table table;
    struct chunk_group *group = NULL;
    struct err other;
    err = err ? err : &other;
    table_init(&table, CHUNK_COLUMNS);
    if (get_table(page, &table, CHUNK_GROUP_MAX, err))
        group = group_alloc(page, table.n_rows, sizeof *group->rows, err);
    struct running running = {UINT32_MAX, 0};
    for (size_t i = 0; group && i < table.n_rows; i++) {
        struct row row = {.table = &table, .at = i};
        struct segment_chunk *c = &group->rows[i];
        if (get_chunk(page, &row, &running, i ? c - 1 : NULL, c, err))
            continue;
        if (err->code == ERR_OK)
            place_error(
                &page->place, err, ERR_CORRUPT, "chunk %zu is out of bounds", page->ref->first + i);
        group = NULL;
    }
    if (group && !ends_well(page, group)) {
        place_error(&page->place, err, ERR_CORRUPT, "a series is missing");
        group = NULL;
    }
    table_fini(&table);
    return group;
}

#define HAS_KNOWN                                                                                  \
    (SEGMENT_HAS_SUM | SEGMENT_HAS_MIN_MAX | SEGMENT_HAS_FIRST_LAST | SEGMENT_HAS_RESETS |         \
        SEGMENT_DECIMAL)

static bool aggregate_fits(const struct segment_aggregate *a)
{
    return (a->has & ~(uint32_t)HAS_KNOWN) == 0 && a->digits <= DECIMAL_DIGITS &&
           (!(a->has & SEGMENT_DECIMAL) || a->has & SEGMENT_HAS_SUM);
}

static bool get_aggregate(struct row *row, struct segment_aggregate *a)
{
    uint64_t lo = (uint64_t)row_take(row, AGGREGATE_SUM_LO);
    uint64_t hi = (uint64_t)wrap_add(row_take(row, AGGREGATE_SUM_HI), (int64_t)lo >> 63);
    *a = (struct segment_aggregate){.has = row_upto(row, AGGREGATE_HAS, UINT32_MAX),
        .digits = (int)row_upto(row, AGGREGATE_DIGITS, UINT8_MAX),
        .count = row_take(row, AGGREGATE_COUNT),
        .sum = (int128)((uint128)hi << 64 | lo),
        .first = row_take(row, AGGREGATE_FIRST),
        .last = row_take(row, AGGREGATE_LAST),
        .reset_sum = row_take(row, AGGREGATE_RESET_SUM),
        .resets = row_take(row, AGGREGATE_RESETS)};
    int64_t less = row_take(row, AGGREGATE_LESS);
    a->min = wrap_add(row_take(row, AGGREGATE_MIN), less & MIN_LESS_FIRST ? a->first : 0);
    a->max = wrap_add(row_take(row, AGGREGATE_MAX), less & MAX_LESS_LAST ? a->last : 0);
    return !row->failed && aggregate_fits(a);
}

const struct aggregate_group *directory_aggregates(
    const struct directory_page *page, struct err *err)
{
    struct table table;
    struct aggregate_group *group = NULL;
    table_init(&table, AGGREGATE_COLUMNS);
    if (get_table(page, &table, CHUNK_GROUP_MAX, err))
        group = group_alloc(page, table.n_rows, sizeof *group->rows, err);
    for (size_t i = 0; group && i < table.n_rows; i++) {
        struct row row = {.table = &table, .at = i};
        if (!get_aggregate(&row, &group->rows[i])) {
            place_error(&page->place, err, ERR_CORRUPT, "aggregate %zu is out of bounds",
                page->ref->first + i);
            group = NULL;
        }
    }
    table_fini(&table);
    return group;
}
