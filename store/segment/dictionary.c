#include "store/segment/dictionary.h"

#include <inttypes.h>

#include "base/bytes.h"
#include "store/labels.h"
#include "store/segment/layout.h"

#define PAGE_HEAD 16

/* ---- writing ---- */

static size_t shared_prefix(struct slice a, struct slice b)
{
    size_t max = a.len < b.len ? a.len : b.len, n = 0;
    while (n < max && a.ptr[n] == b.ptr[n])
        n++;
    return n;
}

static void put_block(struct buf *out, const struct slice *values, uint32_t n)
{
    buf_lstr(out, values[0]);
    for (uint32_t i = 1; i < n; i++) {
        size_t shared = shared_prefix(values[i - 1], values[i]);
        buf_varint(out, shared);
        buf_lstr(out, slice_of(values[i].ptr + shared, values[i].len - shared));
    }
}

/* A page is closed before its values pass this when they are unpacked, one block apart. */
#define PAGE_VALUES_BYTES (1u << 20)

/* Blocks of one page, gathered until the page is full. */
struct gathered {
    uint32_t first, n, n_blocks;
    size_t values_bytes;
    struct buf offsets, blocks;
};

static void flush(struct section_buf *section, uint32_t dict, uint32_t total, struct gathered *page)
{
    struct buf raw;
    buf_init(&raw, 0);
    buf_le32(&raw, dict);
    buf_le32(&raw, page->first);
    buf_le32(&raw, page->n);
    buf_le32(&raw, total);
    for (uint32_t b = 0; b < page->n_blocks; b++)
        buf_le32(&raw, PAGE_HEAD + 4 * page->n_blocks + le32_get(page->offsets.ptr + 4 * b));
    buf_slice(&raw, buf_view(&page->blocks));
    section_add(section,
        (struct page_ref){.type = PAGE_DICT, .key = dict, .first = page->first, .rows = page->n},
        buf_view(&raw));
    buf_fini(&raw);
    page->first += page->n;
    page->n = page->n_blocks = 0;
    page->values_bytes = 0;
    buf_clear(&page->offsets);
    buf_clear(&page->blocks);
}

void dict_put(struct section_buf *section, uint32_t dict, const struct slice *values, uint32_t n)
{
    struct gathered page = {0};
    struct buf block;
    buf_init(&block, 0);
    for (uint32_t i = 0; i < n; i += DICT_BLOCK) {
        uint32_t m = n - i < DICT_BLOCK ? n - i : DICT_BLOCK;
        buf_clear(&block);
        put_block(&block, values + i, m);
        size_t bytes = 0;
        for (uint32_t k = 0; k < m; k++)
            bytes += values[i + k].len;
        if (page.n &&
            (PAGE_HEAD + page.offsets.len + 4 + page.blocks.len + block.len > PAGE_RAW_TARGET ||
                page.values_bytes + bytes > PAGE_VALUES_BYTES))
            flush(section, dict, n, &page);
        page.values_bytes += bytes;
        buf_le32(&page.offsets, (uint32_t)page.blocks.len);
        buf_slice(&page.blocks, buf_view(&block));
        page.n += m;
        page.n_blocks++;
    }
    flush(section, dict, n, &page);
    section->rows += n;
    buf_fini(&block);
    buf_fini(&page.offsets);
    buf_fini(&page.blocks);
}

/* ---- reading ---- */

bool dict_page_of(struct slice raw, const struct place *place, uint32_t *dict, struct err *err)
{
    struct reader r = reader_of(raw);
    *dict = read_le32(&r);
    return !r.failed || place_corrupt(place, err, "a dictionary page of %zu bytes", raw.len);
}

static bool no_memory(const struct place *place, struct err *err)
{
    return place_corrupt(place, err, "unpacks to more memory than a file of this size may");
}

/* value := the first `shared` bytes of `before`, then rest. */
static bool get_value(struct dict *dict, struct reader *r, bool whole, struct arena *arena,
    const struct place *place, struct err *err)
{
    struct slice before = dict->n ? dict->values[dict->n - 1] : (struct slice){"", 0};
    uint64_t shared = whole ? 0 : read_varint(r);
    struct slice rest = read_lstr(r);
    if (r->failed || shared > before.len || rest.len > dict->max_len ||
        shared + rest.len > dict->max_len)
        return place_corrupt(place, err, "value %" PRIu32 " is out of bounds", dict->n);
    char *p = arena_alloc(arena, (size_t)shared + rest.len);
    if (!p)
        return no_memory(place, err);
    memcpy(p, before.ptr, (size_t)shared);
    memcpy(p + shared, rest.ptr, rest.len);
    struct slice value = slice_of(p, (size_t)shared + rest.len);
    if (value.len == 0 || (dict->n && slice_cmp(before, value) >= 0))
        return place_corrupt(place, err, "values do not ascend at %" PRIu32, dict->n);
    dict->values[dict->n++] = value;
    return true;
}

static bool get_blocks(struct dict *dict, struct slice raw, struct reader *r, uint32_t n,
    const struct place *place, struct arena *arena, struct err *err)
{
    uint32_t n_blocks = (n + DICT_BLOCK - 1) / DICT_BLOCK;
    struct slice offsets = read_bytes(r, 4 * (uint64_t)n_blocks);
    if (r->failed)
        return place_corrupt(place, err, "%" PRIu32 " values pass the end", n);
    for (uint32_t i = 0; i < n; i++) {
        bool whole = i % DICT_BLOCK == 0;
        size_t at = (size_t)((const char *)r->at - raw.ptr);
        if (whole && le32_get(offsets.ptr + 4 * (i / DICT_BLOCK)) != at)
            return place_corrupt(place, err, "block %" PRIu32 " is elsewhere", i / DICT_BLOCK);
        if (!get_value(dict, r, whole, arena, place, err))
            return false;
    }
    return reader_left(r) == 0 || place_corrupt(place, err, "bytes behind the last value");
}

struct dict_head {
    uint32_t first, n, total;
};

static bool get_head(
    struct reader *r, struct dict_head *out, const struct place *place, struct err *err)
{
    read_le32(r);
    out->first = read_le32(r);
    out->n = read_le32(r);
    out->total = read_le32(r);
    if (r->failed || out->n == 0 || out->first % DICT_BLOCK || out->total == 0 ||
        out->total > SEGMENT_SERIES_MAX || out->first >= out->total ||
        out->n > out->total - out->first)
        return place_corrupt(place, err,
            "values from %" PRIu32 " on, %" PRIu32 " of them, of %" PRIu32, out->first, out->n,
            out->total);
    return true;
}

bool dict_page_get(struct dict *dict, struct slice raw, const struct place *place,
    struct arena *arena, struct err *err)
{
    struct reader r = reader_of(raw);
    struct dict_head head;
    if (!get_head(&r, &head, place, err))
        return false;
    if (head.first != dict->n || (head.first > 0 && head.total != dict->total))
        return place_corrupt(
            place, err, "values %" PRIu32 " do not follow %" PRIu32, head.first, dict->n);
    if (head.first == 0) {
        dict->total = head.total;
        dict->values = arena_array(arena, head.total, sizeof *dict->values);
        if (!dict->values)
            return no_memory(place, err);
    }
    return get_blocks(dict, raw, &r, head.n, place, arena, err);
}

bool dict_page_part(struct dict *dict, struct slice raw, const struct place *place,
    struct arena *arena, struct err *err)
{
    struct reader r = reader_of(raw);
    struct dict_head head;
    if (!get_head(&r, &head, place, err))
        return false;
    dict->first = head.first;
    dict->total = head.total;
    dict->values = arena_array(arena, head.n, sizeof *dict->values);
    if (!dict->values)
        return no_memory(place, err);
    return get_blocks(dict, raw, &r, head.n, place, arena, err);
}

uint32_t values_find(const struct slice *values, uint32_t n, struct slice value)
{
    uint32_t lo = 0, hi = n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = slice_cmp(values[mid], value);
        if (c == 0)
            return mid;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return UINT32_MAX;
}

uint32_t dict_find(const struct dict *dict, struct slice value)
{
    return values_find(dict->values, dict->n, value);
}
