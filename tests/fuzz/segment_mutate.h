/*
 * Changes a segment (docs/format/segment.md, but version 1) where bytes alone rarely come to
 * anything: it is taken apart into its unpacked pages; a value of a table, a total, or the bytes of
 * one page become others; and it is put together again with the index of its pages, checksums,
 * lengths and the content id put right, so that nothing but the change is wrong with it.
 */
#ifndef TESTS_FUZZ_SEGMENT_MUTATE_H
#define TESTS_FUZZ_SEGMENT_MUTATE_H

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "store/segment/directory.h"
#include "store/segment/layout.h"
#include "store/segment/section.h"
#include "store/segment/table.h"
#include "tests/store/segment_checksums.h"

/* libFuzzer's; absent where a corpus is replayed, and not called there. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max) __attribute__((weak));

#ifndef PARTS_MAX
#define PARTS_MAX 128
#endif
#define INDEX_COLUMNS 6 /* type, key, first, rows, bytes, raw bytes */

struct segment_parts {
    struct header header;
    struct footer footer;
    struct {
        size_t section; /* place in the section table */
        uint8_t type;
        struct buf raw;
    } pages[PARTS_MAX];
    size_t n_pages;
    unsigned dice;
};

static inline unsigned parts_dice(struct segment_parts *parts, unsigned n)
{
    parts->dice = parts->dice * 1664525u + 1013904223u;
    return (parts->dice >> 8) % n;
}

static inline void parts_fini(struct segment_parts *parts)
{
    for (size_t i = 0; i < parts->n_pages; i++)
        buf_fini(&parts->pages[i].raw);
}

static inline bool parts_section(struct segment_parts *parts, struct slice file, size_t s)
{
    const struct section *section = &parts->footer.sections[s];
    struct slice bytes = slice_of(file.ptr + section->offset, section->bytes), raw;
    struct section_walk walk;
    struct place place;
    struct err err;
    bool ok = true;
    walk_init(&walk, bytes, "fuzz", "page", section->offset);
    while (ok && !walk_at_end(&walk)) {
        uint8_t type;
        ok = parts->n_pages < PARTS_MAX && walk_next(&walk, &type, &raw, &place, &err);
        if (!ok)
            break;
        parts->pages[parts->n_pages].section = s;
        parts->pages[parts->n_pages].type = type;
        buf_slice(&parts->pages[parts->n_pages++].raw, raw);
    }
    walk_fini(&walk);
    return ok;
}

/* False when the bytes are not those of a segment whose pages can be found. */
static inline bool parts_take(struct segment_parts *parts, uint8_t *bytes, size_t size)
{
    struct slice file = slice_of(bytes, size);
    struct err err;
    uint32_t footer;
    segment_checksums(bytes, size);
    if (size < HEADER_BYTES + FOOTER_FIXED + FOOTER_TAIL_BYTES ||
        !header_get(bytes, "fuzz", &parts->header, &err) || parts->header.major == 1 ||
        !footer_length(bytes + size - FOOTER_TAIL_BYTES, "fuzz", size, &footer, &err) ||
        !footer_get(slice_of(bytes + size - footer, footer), "fuzz", parts->header.major, size,
            &parts->footer, &err))
        return false;
    bool ok = true;
    for (size_t s = 0; ok && s < parts->footer.n_sections; s++)
        ok = parts_section(parts, file, s);
    return ok && parts->n_pages > 0;
}

/* ---- changing ---- */

static inline int64_t value_mutate(struct segment_parts *parts, int64_t v)
{
    static const int64_t edges[] = {0, 1, 2, 3, 7, 16, 17, 254, 255, 1023, 2047, 2048, 2049, 65535,
        65536, 1 << 20, (1 << 21) - 1, 1 << 21, (1 << 23) - 1, 1 << 23, 1 << 28, INT32_MAX,
        INT64_C(1) << 31, UINT32_MAX, INT64_C(1) << 32, INT64_MAX, INT64_MIN, -1, -2, -16};
    static const int64_t steps[] = {-1, 1, -2, 2, 16, -16, 8192, -8192};
    switch (parts_dice(parts, 4)) {
    case 0: return (int64_t)((uint64_t)v + (uint64_t)steps[parts_dice(parts, 8)]);
    case 1: return (int64_t)((uint64_t)v ^ UINT64_C(1) << parts_dice(parts, 64));
    default: return edges[parts_dice(parts, sizeof edges / sizeof *edges)];
    }
}

static inline size_t table_columns(uint8_t type)
{
    switch (type) {
    case PAGE_VECTORS: return VECTOR_COLUMNS;
    case PAGE_CHUNKS: return CHUNK_COLUMNS;
    case PAGE_AGGREGATES: return AGGREGATE_COLUMNS;
    case PAGE_IDS: return 2;
    case PAGE_INDEX: return INDEX_COLUMNS;
    default: return 0;
    }
}

static inline bool table_take(struct table *table, uint8_t type, const struct buf *raw)
{
    struct place place = {"fuzz", "page", 0};
    struct err err;
    table_init(table, table_columns(type));
    return table_get(table, buf_view(raw), PAGE_RAW_MAX / 8, false, &place, &err);
}

/* A value or two of one column; false when the page is no table that can be read. */
static inline bool table_mutate(struct segment_parts *parts, uint8_t type, struct buf *raw)
{
    struct table table;
    if (table_columns(type) == 0)
        return false;
    bool ok = table_take(&table, type, raw);
    if (ok) {
        int64_t *column = table.values[parts_dice(parts, (unsigned)table.n_columns)];
        for (unsigned n = 1 + parts_dice(parts, 2); n > 0; n--) {
            unsigned row = parts_dice(parts, (unsigned)table.n_rows);
            column[row] = value_mutate(parts, column[row]);
        }
        buf_clear(raw);
        table_put(&table, raw);
    }
    table_fini(&table);
    return ok;
}

static inline void raw_mutate(struct buf *raw)
{
    size_t len = raw->len, max = len + 64 < PAGE_RAW_MAX ? len + 64 : PAGE_RAW_MAX;
    buf_reserve(raw, 64);
    size_t n = LLVMFuzzerMutate((uint8_t *)raw->ptr, len, max);
    raw->len = n ? n : 1;
}

static inline void totals_mutate(struct segment_parts *parts)
{
    struct footer *f = &parts->footer;
    int64_t *const fields[] = {(int64_t *)&f->series, (int64_t *)&f->chunks, (int64_t *)&f->cells,
        &f->min_t, &f->max_t, &parts->header.t0, &parts->header.t1, &parts->header.resolution_ms,
        (int64_t *)&f->sections[parts_dice(parts, (unsigned)f->n_sections)].rows};
    int64_t *field = fields[parts_dice(parts, sizeof fields / sizeof *fields)];
    *field = value_mutate(parts, *field);
}

/* ---- putting together ---- */

/* The index says how long the pages before it have become. */
static inline void index_refresh(const struct section_buf *before, struct buf *raw)
{
    struct table table;
    if (table_take(&table, PAGE_INDEX, raw) && table.n_rows == before->n_pages) {
        for (size_t i = 0; i < table.n_rows; i++) {
            table.values[4][i] = before->pages[i].bytes;
            table.values[5][i] = before->pages[i].raw_bytes;
        }
        buf_clear(raw);
        table_put(&table, raw);
    }
    table_fini(&table);
}

/* Appends the pages of all sections to `all`, and says in the footer where each section lies. */
static inline void parts_pages(struct segment_parts *parts, size_t changed, struct section_buf *all)
{
    for (size_t s = 0, i = 0; s < parts->footer.n_sections; s++) {
        struct section *section = &parts->footer.sections[s];
        size_t begin = all->bytes.len;
        for (; i < parts->n_pages && parts->pages[i].section == s; i++) {
            struct buf *raw = &parts->pages[i].raw;
            if (parts->pages[i].type == PAGE_INDEX && i != changed)
                index_refresh(all, raw);
            section_add(all, (struct page_ref){.type = parts->pages[i].type}, buf_view(raw));
        }
        section->offset = HEADER_BYTES + begin;
        section->bytes = all->bytes.len - begin;
        section->crc = crc32c(0, all->bytes.ptr + begin, section->bytes);
    }
}

/* The new size; 0 when it does not fit. */
static inline size_t parts_put(
    struct segment_parts *parts, size_t changed, uint8_t *out, size_t max)
{
    struct section_buf all = {0};
    struct buf file;
    buf_init(&file, 0);
    parts_pages(parts, changed, &all);
    parts->header.id = parts->footer.id =
        digest_id(parts->header.t0, parts->header.t1, parts->header.resolution_ms, &all.digest);
    header_put((uint8_t *)buf_reserve(&file, HEADER_BYTES), &parts->header);
    file.len = HEADER_BYTES;
    buf_slice(&file, buf_view(&all.bytes));
    footer_put(&file, &parts->footer);
    size_t size = file.len <= max ? file.len : 0;
    if (size)
        memcpy(out, file.ptr, size);
    buf_fini(&file);
    section_fini(&all);
    return size;
}

static inline size_t segment_mutate(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    struct segment_parts *parts = xcalloc(1, sizeof *parts);
    uint8_t *copy = xmalloc(size ? size : 1);
    size_t n = 0, changed = SIZE_MAX;
    if (size)
        memcpy(copy, data, size);
    parts->dice = seed;
    if (seed % 8 != 0 && parts_take(parts, copy, size)) {
        if (parts_dice(parts, 12) == 0) {
            totals_mutate(parts);
        } else {
            changed = parts_dice(parts, (unsigned)parts->n_pages);
            if (parts_dice(parts, 3) == 0)
                changed = parts->n_pages - 1; /* of the index, as a rule */
            uint8_t type = parts->pages[changed].type;
            struct buf *raw = &parts->pages[changed].raw;
            if (parts_dice(parts, 4) == 0 || !table_mutate(parts, type, raw))
                raw_mutate(raw);
        }
        n = parts_put(parts, changed, data, max);
    }
    parts_fini(parts);
    free(parts);
    free(copy);
    return n ? n : LLVMFuzzerMutate(data, size, max);
}

#endif
