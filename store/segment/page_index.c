#include "store/segment/page_index.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "store/segment/table.h"

/* type, key, first, rows, bytes, raw_bytes */
enum { INDEX_COLUMNS = 6, INDEX_GROUP = 4096 };

static bool is_data(uint8_t type)
{
    return type >= PAGE_TIMES && type <= PAGE_HIST;
}

void page_index_fini(struct page_index *index)
{
    free(index->pages);
    *index = (struct page_index){0};
}

void page_index_add(struct page_index *index, const struct page_ref *page)
{
    GROW(index->pages, index->cap, index->n + 1);
    index->pages[index->n++] = *page;
}

static bool follows(const struct page_ref *before, const struct page_ref *page)
{
    if (page->key == before->key)
        return page->first > before->first;
    return page->key > before->key;
}

bool page_index_finish(struct page_index *index)
{
    size_t i = 0;
    while (i < index->n && is_data(index->pages[i].type))
        i++;
    index->n_data = i;
    for (; i < index->n; i++) {
        const struct page_ref *page = &index->pages[i];
        if (page->rows > UINT32_MAX - page->first)
            return false;
        struct page_range *range = page->type < PAGE_TYPE_END ? &index->types[page->type] : NULL;
        if (is_data(page->type))
            return false;
        if (!range)
            continue; /* of a later version */
        if (range->end == 0)
            range->begin = (uint32_t)i;
        else if (range->end != i || !follows(page - 1, page))
            return false;
        range->end = (uint32_t)i + 1;
    }
    return true;
}

/* The first page of the type behind (key, first). */
static uint32_t behind(
    const struct page_index *index, enum page_type type, uint32_t key, uint32_t first)
{
    uint32_t lo = index->types[type].begin, hi = index->types[type].end;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        const struct page_ref *page = &index->pages[mid];
        if (page->key < key || (page->key == key && page->first <= first))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

const struct page_ref *page_index_find(
    const struct page_index *index, enum page_type type, uint32_t key, uint32_t first)
{
    uint32_t at = behind(index, type, key, first);
    if (at == index->types[type].begin || index->pages[at - 1].key != key)
        return NULL;
    return &index->pages[at - 1];
}

const struct page_ref *page_index_below(
    const struct page_index *index, enum page_type type, uint32_t key)
{
    uint32_t at = behind(index, type, key, UINT32_MAX);
    return at == index->types[type].begin ? NULL : &index->pages[at - 1];
}

uint32_t page_index_rows(const struct page_index *index, enum page_type type, uint32_t key)
{
    const struct page_ref *last = page_index_find(index, type, key, UINT32_MAX);
    return last ? last->first + last->rows : 0;
}

/* ---- in the file ---- */

static void flush(struct table *rows, struct section_buf *out)
{
    struct buf raw;
    buf_init(&raw, 0);
    table_put(rows, &raw);
    section_add(out, (struct page_ref){.type = PAGE_INDEX}, buf_view(&raw));
    buf_fini(&raw);
}

void page_index_put(const struct page_index *index, struct section_buf *out)
{
    struct table rows;
    table_init(&rows, INDEX_COLUMNS);
    for (size_t i = 0; i < index->n; i++) {
        const struct page_ref *p = &index->pages[i];
        const int64_t row[INDEX_COLUMNS] = {
            p->stored, p->key, p->first, p->rows, p->bytes, p->raw_bytes};
        table_add(&rows, row);
        if (rows.n_rows == INDEX_GROUP || i + 1 == index->n)
            flush(&rows, out);
    }
    out->rows = index->n;
    table_fini(&rows);
}

static bool take(const struct table *rows, size_t column, size_t row, int64_t max, uint32_t *out)
{
    int64_t v = table_at(rows, column, row);
    *out = (uint32_t)v;
    return v >= 0 && v <= max;
}

/* The pages lie one behind the other from the header on, and none lies across two sections. */
struct tiling {
    const struct footer *footer;
    size_t section;
    uint64_t at;
};

static bool tile(struct tiling *t, uint32_t bytes)
{
    const struct footer *f = t->footer;
    while (t->section < f->n_sections && f->sections[t->section].bytes == 0)
        t->section++;
    if (t->section == f->n_sections)
        return false;
    const struct section *s = &f->sections[t->section];
    t->at += bytes;
    t->section += t->at == s->offset + s->bytes;
    return t->at <= s->offset + s->bytes;
}

static bool get_row(const struct table *rows, size_t row, struct page_ref *out)
{
    uint32_t type;
    bool ok = take(rows, 0, row, UINT8_MAX, &type) && take(rows, 1, row, UINT32_MAX, &out->key) &&
              take(rows, 2, row, UINT32_MAX, &out->first) &&
              take(rows, 3, row, SEGMENT_CHUNKS_MAX, &out->rows) &&
              take(rows, 4, row, PAGE_HEADER_BYTES + PAGE_RAW_MAX, &out->bytes) &&
              take(rows, 5, row, PAGE_RAW_MAX, &out->raw_bytes);
    out->type = out->stored = (uint8_t)type;
    return ok && out->bytes > PAGE_HEADER_BYTES && out->raw_bytes > 0 &&
           out->rows <= UINT32_MAX - out->first;
}

static bool get_group(struct page_index *index, struct table *rows, struct slice raw,
    struct tiling *tiling, const struct place *place, struct err *err)
{
    if (!table_get(rows, raw, INDEX_GROUP, false, place, err))
        return false;
    for (size_t i = 0; i < rows->n_rows; i++) {
        struct page_ref page = {.offset = tiling->at};
        if (!get_row(rows, i, &page) || !tile(tiling, page.bytes))
            return place_corrupt(place, err, "page %zu is out of bounds", index->n);
        page_index_add(index, &page);
    }
    return true;
}

bool page_index_get(struct page_index *index, struct slice section, const char *file,
    const struct footer *footer, struct err *err)
{
    const struct section *self = footer_section(footer, SECTION_INDEX);
    struct tiling tiling = {.footer = footer, .at = HEADER_BYTES};
    struct table rows;
    struct section_walk walk;
    struct place place;
    bool ok = true;
    table_init(&rows, INDEX_COLUMNS);
    walk_init(&walk, section, file, "section index, page", self->offset);
    place = walk.place;
    while (ok && !walk_at_end(&walk)) {
        uint8_t type;
        struct slice raw;
        ok = walk_next(&walk, &type, &raw, &place, err);
        if (ok && type == PAGE_INDEX)
            ok = get_group(index, &rows, raw, &tiling, &place, err);
    }
    walk_fini(&walk);
    table_fini(&rows);
    if (!ok)
        return false;
    if (tiling.at != self->offset || index->n != self->rows)
        return place_corrupt(&place, err, "pages of the index end at %" PRIu64, tiling.at);
    return page_index_finish(index) || place_corrupt(&place, err, "pages are out of order");
}
