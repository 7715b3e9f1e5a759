#include "store/segment/page_scan.h"

#include <inttypes.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "store/segment/directory.h"
#include "store/segment/ids.h"
#include "store/segment/layout.h"
#include "store/segment/section.h"

struct scan {
    const struct segment_file *file;
    const char *path;
    struct page_scan *out;
    struct buf stored, scratch;
    uint64_t at;
    size_t unproven; /* damaged pages, the last ones: no whole page has followed yet */
    uint32_t rows[PAGE_TYPE_END];
    uint32_t dict, dict_end, dict_total, names; /* dictionaries so far */
    bool damaged;
    struct err *err;
};

/* The order of pages in the file; 0: a reader of this version does not know it. */
static unsigned order_of(uint8_t type)
{
    static const uint8_t order[PAGE_TYPE_END] = {[PAGE_TIMES] = 1,
        [PAGE_VALUES] = 1,
        [PAGE_HIST] = 1,
        [PAGE_VECTORS] = 2,
        [PAGE_CHUNKS] = 3,
        [PAGE_AGGREGATES] = 4,
        [PAGE_METRICS] = 5,
        [PAGE_COLUMN] = 6,
        [PAGE_DICT] = 7,
        [PAGE_POSTINGS] = 8,
        [PAGE_SOURCES] = 9,
        [PAGE_IDS] = 10,
        [PAGE_INDEX] = 11};
    return type < PAGE_TYPE_END ? order[type] : 0;
}

static const struct page_ref *last_page(const struct scan *s)
{
    const struct page_index *index = &s->out->index;
    return index->n ? &index->pages[index->n - 1] : NULL;
}

/* ---- reading ---- */

/* The page that seems to begin at s->at, in s->stored; *ref without what it holds. *seems false: no
 * page can be there. */
static bool read_page(struct scan *s, struct page_ref *ref, bool *seems)
{
    uint8_t head[PAGE_HEADER_BYTES];
    uint64_t left = s->file->size - s->at;
    *seems = left > sizeof head;
    if (!*seems)
        return true;
    if (!s->file->read(s->file->ctx, s->at, head, sizeof head, s->err))
        return false;
    uint64_t raw = le32_get(head + 8), stored = le32_get(head + 12);
    *ref = (struct page_ref){.offset = s->at,
        .bytes = (uint32_t)(sizeof head + stored),
        .raw_bytes = (uint32_t)raw,
        .type = head[4],
        .stored = head[4]};
    *seems = raw > 0 && raw <= PAGE_RAW_MAX && stored > 0 && stored <= raw &&
             stored <= left - sizeof head;
    if (!*seems)
        return true;
    buf_clear(&s->stored);
    char *to = buf_reserve(&s->stored, ref->bytes);
    s->stored.len = ref->bytes;
    return s->file->read(s->file->ctx, s->at, to, ref->bytes, s->err);
}

/* ---- what a page holds ---- */

static bool take_group(struct scan *s, struct page_ref *ref, struct slice raw)
{
    ref->rows = raw.len >= 4 ? le32_get(raw.ptr) : 0;
    ref->first = s->rows[ref->type];
    if (ref->rows > SEGMENT_CHUNKS_MAX - ref->first)
        return false;
    s->rows[ref->type] += ref->rows;
    return ref->rows > 0;
}

static bool take_chunks(struct scan *s, struct page_ref *ref, struct slice raw)
{
    struct table table;
    struct place place = {s->path, "page", ref->offset};
    struct err why;
    table_init(&table, CHUNK_COLUMNS);
    bool ok = table_get(&table, raw, CHUNK_GROUP_MAX, false, &place, &why);
    for (size_t i = 0; ok && i < table.n_rows; i++) {
        int64_t ordinal = table_at(&table, CHUNK_ORDINAL, i), n = table_at(&table, CHUNK_N, i);
        ok = ordinal >= 0 && ordinal < SEGMENT_SERIES_MAX && n > 0 && n <= CHUNK_CELLS_MAX;
        s->out->cells += (uint64_t)n;
        s->out->series = (uint32_t)ordinal + 1;
    }
    ref->key = ok ? (uint32_t)table_at(&table, CHUNK_ORDINAL, 0) : 0;
    table_fini(&table);
    return ok && take_group(s, ref, raw);
}

static bool take_ids(struct scan *s, struct page_ref *ref, struct slice raw)
{
    struct table table;
    struct place place = {s->path, "page", ref->offset};
    struct err why;
    table_init(&table, IDS_COLUMNS);
    bool ok = table_get(&table, raw, IDS_GROUP, false, &place, &why);
    int64_t first = ok ? table_at(&table, ID, 0) : -1;
    table_fini(&table);
    ref->key = (uint32_t)first;
    return first >= 0 && first < UINT32_MAX && take_group(s, ref, raw);
}

/* Pages that begin with key, first and number of rows, or with the last two. */
static bool take_counted(struct page_ref *ref, struct slice raw, bool has_key)
{
    struct reader r = reader_of(raw);
    ref->key = has_key ? read_le32(&r) : 0;
    ref->first = read_le32(&r);
    ref->rows = read_le32(&r);
    return !r.failed && ref->rows <= SEGMENT_CHUNKS_MAX && ref->first <= SEGMENT_CHUNKS_MAX;
}

/* Dictionaries come one after the other, and their values too: none is missing between. */
static bool take_dict(struct scan *s, struct page_ref *ref, struct slice raw)
{
    struct reader r = reader_of(raw);
    if (!take_counted(ref, raw, true))
        return false;
    read_bytes(&r, 12);
    uint32_t total = read_le32(&r);
    bool next = s->dict_end == s->dict_total;
    uint32_t dict = s->dict_total == 0 ? 0 : s->dict + next;
    if (r.failed || ref->key != dict || ref->first != (next ? 0 : s->dict_end) || total == 0 ||
        (!next && total != s->dict_total) || ref->rows > total - ref->first)
        return false;
    s->dict = dict;
    s->dict_total = total;
    s->dict_end = ref->first + ref->rows;
    s->names = dict == 0 ? total : s->names;
    return true;
}

static bool take_page(struct scan *s, struct page_ref *ref, struct slice raw)
{
    switch (ref->type) {
    case PAGE_VECTORS:
    case PAGE_AGGREGATES: return take_group(s, ref, raw);
    case PAGE_CHUNKS: return take_chunks(s, ref, raw);
    case PAGE_IDS: return take_ids(s, ref, raw);
    case PAGE_METRICS:
    case PAGE_SOURCES: return take_counted(ref, raw, false);
    case PAGE_COLUMN:
    case PAGE_POSTINGS: return take_counted(ref, raw, true);
    case PAGE_DICT: return take_dict(s, ref, raw);
    default: return true; /* DATA */
    }
}

/* ---- walking ---- */

/* Of a page that its checksum does not hold for: whether it may stand for its place. */
static bool can_be_missed(const struct scan *s, const struct page_ref *ref)
{
    const struct page_ref *last = last_page(s);
    unsigned order = order_of(ref->type), before = last ? order_of(last->type) : 1;
    return (order == 1 && before == 1) ||
           (ref->type == PAGE_AGGREGATES && before >= 3 && before <= 4);
}

/* *more false: no page is there, or one of the index. */
static bool step(struct scan *s, bool *more)
{
    struct page_ref ref;
    struct page page;
    struct slice raw;
    struct err why;
    const struct page_ref *last = last_page(s);
    if (!read_page(s, &ref, more))
        return false;
    if (!*more)
        return true;
    struct place place = {s->path, "page", s->at};
    bool whole = page_get(buf_view(&s->stored), &place, &page, &why) &&
                 page_raw(&page, &s->scratch, &raw, &why);
    *more = whole ? ref.type != PAGE_INDEX && order_of(ref.type) > 0 &&
                        (!last || order_of(ref.type) >= order_of(last->type)) &&
                        take_page(s, &ref, raw)
                  : can_be_missed(s, &ref);
    if (whole && ref.type == PAGE_INDEX)
        s->unproven = 0;
    if (!*more)
        return true;
    if (whole)
        digest_page(&s->out->digest, ref.type, raw);
    s->damaged |= !whole;
    s->unproven = whole ? 0 : s->unproven + 1;
    page_index_add(&s->out->index, &ref);
    s->at += ref.bytes;
    return true;
}

/* Whether the scan ended where the index begins. */
static bool is_at_index(struct scan *s)
{
    struct page_ref ref;
    struct page page;
    struct err why;
    struct place place = {s->path, "page", s->at};
    bool seems;
    return read_page(s, &ref, &seems) && seems && ref.type == PAGE_INDEX &&
           page_get(buf_view(&s->stored), &place, &page, &why);
}

/* ---- what counts ---- */

/* Keeps the first n pages. */
static void cut(struct page_scan *out, size_t n)
{
    out->index.n = n;
    out->end = n ? out->index.pages[n - 1].offset + out->index.pages[n - 1].bytes : HEADER_BYTES;
}

/* Lists, sources and ids that may be parts of themselves do not count. */
static void cut_parts(struct page_scan *out)
{
    size_t n = out->index.n;
    unsigned last = n ? order_of(out->index.pages[n - 1].type) : 0;
    while (
        n > 0 && last >= order_of(PAGE_POSTINGS) && order_of(out->index.pages[n - 1].type) == last)
        n--;
    cut(out, n);
}

/* Groups of aggregates hold the same chunks as those of chunks. */
static bool place_aggregates(struct page_index *index)
{
    size_t chunk = 0, aggregate = 0;
    while (chunk < index->n && index->pages[chunk].type != PAGE_CHUNKS)
        chunk++;
    while (aggregate < index->n && index->pages[aggregate].type != PAGE_AGGREGATES)
        aggregate++;
    size_t n = aggregate - chunk;
    for (size_t i = 0; i < n; i++) {
        if (aggregate + i >= index->n || index->pages[aggregate + i].type != PAGE_AGGREGATES)
            return false;
        index->pages[aggregate + i].first = index->pages[chunk + i].first;
        index->pages[aggregate + i].rows = index->pages[chunk + i].rows;
    }
    return n > 0;
}

static bool finish(struct scan *s)
{
    struct page_scan *out = s->out;
    bool at_index = s->unproven == 0 && is_at_index(s);
    cut(out, out->index.n - s->unproven);
    out->complete = at_index && !s->damaged;
    if (!at_index)
        cut_parts(out);
    while (out->n_data < out->index.n && order_of(out->index.pages[out->n_data].type) == 1)
        out->n_data++;
    out->chunks = s->rows[PAGE_CHUNKS];
    struct place place = {s->path, "page", s->at};
    return (place_aggregates(&out->index) && s->names > 0 && s->dict == s->names &&
               s->dict_end == s->dict_total) ||
           place_corrupt(
               &place, s->err, "no page is there, and not all of directory and labels before");
}

bool page_scan(
    const struct segment_file *file, const char *path, struct page_scan *out, struct err *err)
{
    struct scan s = {.file = file, .path = path, .out = out, .at = HEADER_BYTES, .err = err};
    *out = (struct page_scan){0};
    *err = (struct err){0};
    buf_init(&out->digest, 0);
    buf_init(&s.stored, 0);
    buf_init(&s.scratch, 0);
    bool ok = file->size > HEADER_BYTES, more = true;
    while (ok && more)
        ok = step(&s, &more);
    ok = ok && finish(&s);
    buf_fini(&s.stored);
    buf_fini(&s.scratch);
    if (!ok && err->code == ERR_OK)
        err_set(err, ERR_CORRUPT, "%s: %" PRIu64 " bytes are no segment", path, file->size);
    if (!ok)
        page_scan_fini(out);
    return ok;
}

void page_scan_fini(struct page_scan *scan)
{
    page_index_fini(&scan->index);
    buf_fini(&scan->digest);
}
