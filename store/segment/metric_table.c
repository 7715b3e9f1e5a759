#include "store/segment/metric_table.h"

#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "store/labels.h"
#include "store/segment/layout.h"

/* Four bytes, two numbers, three empty strings; version 1 has no more. */
#define ROW_BYTES_MIN (4 + 2 * 8 + 3)

bool metric_def_agrees(const struct metric_def *a, const struct metric_def *b)
{
    return a->kind == b->kind && a->digits == b->digits && a->every_ms == b->every_ms &&
           (a->kind != KIND_HISTOGRAM || a->schema == b->schema);
}

static void put_row(struct buf *out, const struct metric_def *def, uint32_t n_series)
{
    buf_u8(out, (uint8_t)def->kind);
    buf_u8(out, (uint8_t)def->digits);
    buf_u8(out, (uint8_t)def->schema);
    buf_u8(out, 0);
    buf_le64(out, (uint64_t)def->every_ms);
    buf_le64(out, (uint64_t)def->stale_after_ms);
    buf_lstr(out, def->clock);
    buf_lstr(out, def->help);
    buf_lstr(out, def->unit);
    buf_varint(out, n_series);
}

void metric_table_put(struct section_buf *section, const struct metric_def *defs,
    const uint32_t *n_series, uint32_t n)
{
    struct buf raw;
    buf_init(&raw, 0);
    for (uint32_t i = 0, first; i < n;) {
        buf_clear(&raw);
        buf_le32(&raw, first = i);
        buf_le32(&raw, 0);
        buf_le32(&raw, n);
        for (; i < n && raw.len < PAGE_RAW_TARGET; i++)
            put_row(&raw, &defs[i], n_series[i]);
        le32_put(raw.ptr + 4, i - first);
        section_add(section,
            (struct page_ref){.type = PAGE_METRICS, .first = first, .rows = i - first},
            buf_view(&raw));
    }
    buf_fini(&raw);
}

static bool get_row(struct reader *r, struct arena *arena, struct metric_def *out)
{
    out->kind = (enum kind)read_u8(r);
    out->digits = read_u8(r);
    uint8_t schema = read_u8(r);
    out->schema = schema < 128 ? schema : schema - 256;
    read_u8(r);
    out->every_ms = (int64_t)read_le64(r);
    out->stale_after_ms = (int64_t)read_le64(r);
    out->clock = arena_slice(arena, read_lstr(r));
    out->help = arena_slice(arena, read_lstr(r));
    out->unit = arena_slice(arena, read_lstr(r));
    return !r->failed && out->clock.ptr && out->help.ptr && out->unit.ptr && !metric_def_fault(out);
}

/* The series of metric i end where those of the one before do, and n_series later. */
static bool get_end(struct metric_table *table, struct reader *r)
{
    uint32_t before = table->n ? table->end[table->n - 1] : 0;
    uint64_t n_series = read_varint(r);
    if (r->failed || n_series == 0 || n_series > SEGMENT_SERIES_MAX - before)
        return false;
    table->end[table->n] = before + (uint32_t)n_series;
    return true;
}

/* Room for n more. What a page says of the total is not believed before the rows are there: room
 * grows with the pages, to twice of what was needed. */
static bool make_room(struct metric_table *table, uint32_t n, const struct place *place,
    struct arena *arena, struct err *err)
{
    uint32_t need = table->n + n,
             cap = table->cap > table->total / 2 ? table->total : table->cap * 2;
    if (need <= table->cap)
        return true;
    cap = cap < need ? need : cap;
    struct metric_def *defs = arena_array(arena, cap, sizeof *defs);
    uint32_t *end = arena_array(arena, cap, sizeof *end);
    if (!defs || !end)
        return place_corrupt(place, err, "%" PRIu32 " metrics are too many", table->total);
    if (table->n > 0) {
        memcpy(defs, table->defs, table->n * sizeof *defs);
        memcpy(end, table->end, table->n * sizeof *end);
    }
    table->defs = defs;
    table->end = end;
    table->cap = cap;
    return true;
}

static bool get_head(struct metric_table *table, struct reader *r, uint32_t *n,
    const struct place *place, struct arena *arena, struct err *err)
{
    uint32_t first = read_le32(r), total;
    *n = read_le32(r);
    total = read_le32(r);
    if (r->failed || *n == 0 || first != table->n || total > SEGMENT_SERIES_MAX ||
        (first > 0 && total != table->total) || first >= total || *n > total - first ||
        *n > reader_left(r) / ROW_BYTES_MIN)
        return place_corrupt(place, err,
            "metrics %" PRIu32 ", %" PRIu32 " of them, of %" PRIu32 " do not follow %" PRIu32,
            first, *n, total, table->n);
    table->total = total;
    return make_room(table, *n, place, arena, err);
}

bool metric_table_get(struct metric_table *table, struct slice raw, bool counts,
    const struct place *place, struct arena *arena, struct err *err)
{
    struct reader r = reader_of(raw);
    uint32_t n;
    if (!get_head(table, &r, &n, place, arena, err))
        return false;
    for (uint32_t i = 0; i < n; i++, table->n++) {
        table->defs[table->n] = (struct metric_def){0};
        if (!get_row(&r, arena, &table->defs[table->n]) || (counts && !get_end(table, &r)))
            return place_corrupt(place, err, "metric %" PRIu32 " does not decode", table->n);
    }
    return reader_left(&r) == 0 || place_corrupt(place, err, "bytes behind the last metric");
}
