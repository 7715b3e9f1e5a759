/*
 * The index of pages of a version 1 file, which has none: its sections are read whole, their
 * checksums checked, and every page says in its first bytes what it holds. Opening such a file
 * therefore costs what its directory and labels weigh.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/ensure.h"
#include "store/segment/segment_reader.h"

/* Columns of its table of the pages of DATA. */
enum { V1_PAGE_TYPE, V1_PAGE_OFFSET, V1_PAGE_BYTES, V1_PAGE_RAW_BYTES, V1_PAGE_COLUMNS };
#define V1_PAGE_GROUP    4096
#define V1_CHUNK_COLUMNS 20
#define V1_CHUNK_GROUP   1024

struct scan {
    struct segment *segment;
    struct page_index aggregates; /* come behind all chunks */
    uint32_t rows[PAGE_TYPE_END]; /* of each table so far */
    struct err *err;
};

static bool add_data_pages(struct scan *scan, struct slice raw, const struct place *place)
{
    struct table table;
    const struct section *data = footer_section(&scan->segment->footer, SECTION_DATA);
    uint64_t end = data->offset + data->bytes;
    table_init(&table, V1_PAGE_COLUMNS);
    bool ok = table_get(&table, raw, V1_PAGE_GROUP, true, place, scan->err);
    for (size_t i = 0; ok && i < table.n_rows; i++) {
        struct row row = {.table = &table, .at = i};
        struct page_ref page = {.offset = (uint64_t)row_take(&row, V1_PAGE_OFFSET),
            .bytes = row_upto(&row, V1_PAGE_BYTES, PAGE_HEADER_BYTES + PAGE_RAW_MAX),
            .raw_bytes = row_upto(&row, V1_PAGE_RAW_BYTES, PAGE_RAW_MAX),
            .type = (uint8_t)row_upto(&row, V1_PAGE_TYPE, PAGE_HIST)};
        page.stored = page.type;
        if (row.failed || page.type == 0 || page.bytes <= PAGE_HEADER_BYTES ||
            page.raw_bytes == 0 || page.offset < data->offset || page.offset > end ||
            page.bytes > end - page.offset)
            ok = place_corrupt(place, scan->err, "page %zu lies outside the data", i);
        page_index_add(&scan->segment->index, &page);
    }
    table_fini(&table);
    return ok;
}

/* Groups say their number of rows only; the rows count on from page to page. */
static void add_group(struct scan *scan, struct page_ref page, struct slice raw)
{
    page.rows = raw.len >= 4 ? le32_get(raw.ptr) : 0;
    page.first = scan->rows[page.type];
    scan->rows[page.type] += page.rows;
    page_index_add(&scan->segment->index, &page);
}

static bool add_chunks(
    struct scan *scan, struct page_ref page, struct slice raw, const struct place *place)
{
    struct table table;
    table_init(&table, V1_CHUNK_COLUMNS);
    bool ok = table_get(&table, raw, V1_CHUNK_GROUP, true, place, scan->err);
    int64_t ordinal = ok ? table_at(&table, 0, 0) : 0;
    table_fini(&table);
    if (!ok)
        return false;
    if (ordinal < 0 || ordinal > SEGMENT_SERIES_MAX)
        return place_corrupt(place, scan->err, "chunks of series %" PRId64, ordinal);
    page.key = (uint32_t)ordinal;
    add_group(scan, page, raw);
    page = scan->segment->index.pages[scan->segment->index.n - 1];
    page.key = 0;
    page.type = PAGE_AGGREGATES;
    page_index_add(&scan->aggregates, &page);
    return true;
}

/* Pages that begin with key, first and number of rows, or with the last two. */
static void add_counted(struct scan *scan, struct page_ref page, struct slice raw)
{
    struct reader r = reader_of(raw);
    if (page.type == PAGE_COLUMN || page.type == PAGE_DICT || page.type == PAGE_POSTINGS)
        page.key = read_le32(&r);
    page.first = read_le32(&r);
    page.rows = read_le32(&r);
    page_index_add(&scan->segment->index, &page);
}

static bool add_page(
    struct scan *scan, struct page_ref page, struct slice raw, const struct place *place)
{
    switch (page.type) {
    case PAGE_PAGES: return add_data_pages(scan, raw, place);
    case PAGE_VECTORS: add_group(scan, page, raw); return true;
    case PAGE_CHUNKS: return add_chunks(scan, page, raw, place);
    case PAGE_METRICS:
    case PAGE_COLUMN:
    case PAGE_DICT:
    case PAGE_POSTINGS:
    case PAGE_SOURCES: add_counted(scan, page, raw); return true;
    default: return true; /* of a later minor version */
    }
}

static bool each_page(
    struct scan *scan, const struct section *section, const char *bytes, const char *part)
{
    struct section_walk walk;
    bool ok = true;
    walk_init(&walk, slice_of(bytes, section->bytes), scan->segment->path, part, section->offset);
    while (ok && !walk_at_end(&walk)) {
        struct slice raw;
        struct place place;
        struct page_ref page = {.offset = walk.place.offset};
        ok = walk_next(&walk, &page.type, &raw, &place, scan->err);
        if (!ok)
            break;
        page.stored = page.type;
        page.bytes = (uint32_t)(walk.place.offset - page.offset);
        page.raw_bytes = (uint32_t)raw.len;
        ok = add_page(scan, page, raw, &place);
    }
    walk_fini(&walk);
    return ok;
}

static bool scan_section(struct scan *scan, uint16_t id)
{
    const struct segment *s = scan->segment;
    const struct section *section = footer_section(&s->footer, id);
    char part[48];
    snprintf(part, sizeof part, "section %s", section_name(id));
    struct place place = {s->path, part, section->offset};
    char *bytes = malloc(section->bytes + 1);
    if (!bytes)
        return err_set(scan->err, ERR_LIMIT, "%s: no memory for %" PRIu64 " bytes of %s", s->path,
            section->bytes, part);
    bool ok = segment_pread(s, section->offset, bytes, section->bytes, part, scan->err);
    if (ok && crc32c(0, bytes, section->bytes) != section->crc)
        ok = place_corrupt(&place, scan->err, "checksum does not match");
    snprintf(part, sizeof part, "section %s, page", section_name(id));
    ok = ok && each_page(scan, section, bytes, part);
    free(bytes);
    return ok;
}

bool page_index_v1(struct segment *segment, struct err *err)
{
    struct scan scan = {.segment = segment, .err = err};
    struct page_index *index = &segment->index;
    bool ok = scan_section(&scan, SECTION_CHUNKDIR);
    for (size_t i = 0; ok && i < scan.aggregates.n; i++)
        page_index_add(index, &scan.aggregates.pages[i]);
    page_index_fini(&scan.aggregates);
    for (uint16_t id = SECTION_SERIES; ok && id <= SECTION_PROVENANCE; id++)
        ok = scan_section(&scan, id);
    if (!ok)
        return false;
    return page_index_finish(index) ||
           segment_damaged(segment, SECTION_CHUNKDIR, "pages are out of order", err);
}
