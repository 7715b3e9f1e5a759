/*
 * Verifying a segment: what no single page shows. Every page of every section in file order, the
 * section's CRC and the content id; that the index knows exactly these pages; every chunk decoded,
 * canonical, with the aggregates that it should have; the order of series, dictionaries and ids;
 * posting lists against the columns. Memory is bounded by a few pages.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/ensure.h"
#include "base/mem.h"
#include "store/segment/aggregate.h"
#include "store/segment/ids.h"
#include "store/segment/label_walk.h"
#include "store/segment/page_window.h"
#include "store/segment/postings.h"
#include "store/segment/segment_reader.h"

/* ---- pages ---- */

struct verifier {
    const struct segment *segment;
    struct err *err;
    struct buf stored, scratch, digest;
    const struct page_ref **by_offset; /* what the index knows, in file order */
    size_t n_known, n_seen;
};

static int order_of_offsets(const void *a, const void *b)
{
    const struct page_ref *x = *(const struct page_ref *const *)a;
    const struct page_ref *y = *(const struct page_ref *const *)b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

/* The index of version 1 was made from the sections, but for DATA, and has some pages twice. */
static void sort_pages(struct verifier *v)
{
    const struct page_index *index = &v->segment->index;
    size_t n = v->segment->header.major == 1 ? index->n_data : index->n;
    v->by_offset = xreallocarray(NULL, n + 1, sizeof *v->by_offset);
    for (v->n_known = 0; v->n_known < n; v->n_known++)
        v->by_offset[v->n_known] = &index->pages[v->n_known];
    qsort(v->by_offset, n, sizeof *v->by_offset, order_of_offsets);
}

/* Reads one page of a section that ends at `end` into v->stored. */
static bool read_page(
    struct verifier *v, const struct section *section, uint64_t at, uint64_t end, struct page *page)
{
    uint8_t head[PAGE_HEADER_BYTES];
    struct place place = {v->segment->path, section_name(section->id), at};
    if (end - at < sizeof head)
        return place_corrupt(&place, v->err, "%" PRIu64 " bytes are no page", end - at);
    if (!segment_pread(v->segment, at, head, sizeof head, place.part, v->err))
        return false;
    uint64_t bytes = sizeof head + (uint64_t)le32_get(head + 12);
    if (bytes > end - at || bytes > sizeof head + PAGE_RAW_MAX)
        return place_corrupt(&place, v->err, "%" PRIu64 " bytes pass the end", bytes);
    buf_clear(&v->stored);
    char *to = buf_reserve(&v->stored, bytes);
    if (!segment_pread(v->segment, at, to, bytes, place.part, v->err))
        return false;
    v->stored.len = bytes;
    return page_get(buf_view(&v->stored), &place, page, v->err);
}

/* The index has the pages of the sections before it: one that a later writer puts behind it is none
 * of ours. */
static bool is_indexed(const struct verifier *v, const struct section *section)
{
    if (v->segment->header.major == 1)
        return section->id == SECTION_DATA;
    return section->offset < footer_section(&v->segment->footer, SECTION_INDEX)->offset;
}

static bool check_known(struct verifier *v, const struct page *page)
{
    const struct page_ref *known = v->n_seen < v->n_known ? v->by_offset[v->n_seen] : NULL;
    if (!known || known->offset != page->place.offset || known->bytes != page_bytes(page) ||
        known->raw_bytes != page->raw_bytes || known->stored != page->type)
        return place_corrupt(&page->place, v->err, "the index does not know this page");
    v->n_seen++;
    return true;
}

static bool verify_section(struct verifier *v, const struct section *section)
{
    uint32_t crc = 0;
    uint64_t end = section->offset + section->bytes;
    struct place place = {v->segment->path, section_name(section->id), section->offset};
    for (uint64_t at = section->offset; at < end;) {
        struct page page;
        struct slice raw;
        if (!read_page(v, section, at, end, &page) || !page_raw(&page, &v->scratch, &raw, v->err))
            return false;
        if (is_indexed(v, section) && !check_known(v, &page))
            return false;
        digest_page(&v->digest, page.type, raw);
        crc = crc32c(crc, v->stored.ptr, v->stored.len);
        at += v->stored.len;
    }
    return crc == section->crc || place_corrupt(&place, v->err, "checksum does not match");
}

static bool verify_pages(struct verifier *v)
{
    const struct segment *s = v->segment;
    struct place place = {s->path, "header", 0};
    sort_pages(v);
    for (size_t i = 0; i < s->footer.n_sections; i++)
        if (!verify_section(v, &s->footer.sections[i]))
            return false;
    if (v->n_seen != v->n_known)
        return place_corrupt(&place, v->err, "the index has pages that are not there");
    struct hash128 id = digest_id(s->header.t0, s->header.t1, s->header.resolution_ms, &v->digest);
    return hash128_eq(id, s->header.id) ||
           place_corrupt(&place, v->err, "the content id is not that of the content");
}

/* ---- chunks ---- */

static bool verify_aggregate(
    struct verifier *v, const struct segment_chunk *chunk, const struct columns *c)
{
    const struct segment *s = v->segment;
    struct place place = {s->path, "page", s->index.pages[chunk->page].offset};
    struct segment_aggregate is, said;
    if (!segment_aggregate(s, chunk, &said, v->err))
        return false;
    (s->header.major == 1 ? aggregate_of_v1 : aggregate_of)(c, 0, c->n, &is);
    return aggregate_eq(&is, &said) ||
           place_corrupt(&place, v->err,
               "series %" PRIu32 ", from %" PRId64 ": the directory's aggregates are not its own",
               chunk->ordinal, chunk->min_t);
}

static bool verify_chunk(struct verifier *v, struct page_window *window, struct arena *arena,
    const struct segment_chunk *chunk)
{
    const struct segment *s = v->segment;
    struct columns c;
    struct slice raw[CHUNK_PAGES_MAX];
    arena_reset(arena);
    if (!page_window_get(window, chunk, raw, v->err) ||
        !segment_decode(s, chunk, raw, arena, &c, v->err))
        return false;
    struct place place = {s->path, "page", s->index.pages[chunk->page].offset};
    for (size_t i = 0; i < c.n; i++)
        if (columns_is_zero(&c, i))
            return place_corrupt(&place, v->err, "series %" PRIu32 " has a zero cell at %" PRId64,
                chunk->ordinal, c.t[i]);
    return verify_aggregate(v, chunk, &c);
}

struct totals {
    uint64_t chunks, cells;
    int64_t min_t, max_t;
};

static bool verify_series(struct verifier *v, uint32_t ordinal, struct page_window *window,
    struct arena arenas[2], struct totals *totals)
{
    const struct segment_chunk *chunks = NULL;
    size_t n = 0;
    arena_reset(&arenas[0]);
    if (!segment_chunks(v->segment, ordinal, INT64_MIN, INT64_MAX, &arenas[0], &chunks, &n, v->err))
        return false;
    if (n == 0)
        return segment_damaged(v->segment, SECTION_CHUNKDIR, "a series has no chunk", v->err);
    for (size_t i = 0; i < n; i++) {
        if (!verify_chunk(v, window, &arenas[1], &chunks[i]))
            return false;
        totals->cells += chunks[i].n;
    }
    totals->chunks += n;
    totals->min_t = chunks[0].min_t < totals->min_t ? chunks[0].min_t : totals->min_t;
    totals->max_t = chunks[n - 1].max_t > totals->max_t ? chunks[n - 1].max_t : totals->max_t;
    return true;
}

static bool verify_chunks(struct verifier *v)
{
    const struct footer *f = &v->segment->footer;
    struct totals totals = {.min_t = INT64_MAX, .max_t = INT64_MIN};
    struct page_window window;
    struct arena arenas[2];
    bool ok = true;
    page_window_init(&window, v->segment);
    arena_init(&arenas[0], 0);
    arena_init(&arenas[1], 0);
    for (uint32_t i = 0; ok && i < f->series; i++)
        ok = verify_series(v, i, &window, arenas, &totals);
    arena_fini(&arenas[0]);
    arena_fini(&arenas[1]);
    page_window_fini(&window);
    if (ok && (totals.chunks != f->chunks || totals.cells != f->cells || totals.min_t != f->min_t ||
                  totals.max_t != f->max_t))
        ok = segment_damaged(v->segment, SECTION_CHUNKDIR,
            "chunks, cells and times are not those of the footer", v->err);
    return ok;
}

/* ---- labels ---- */

static bool verify_values(struct verifier *v, size_t name)
{
    struct arena arena;
    struct slice value, before = {NULL, 0};
    char *copy = xmalloc(LABEL_VALUE_MAX);
    bool ok = true;
    arena_init(&arena, 0);
    for (size_t i = 0; ok && i < segment_label_values(v->segment, name); i++) {
        arena_reset(&arena);
        ok = segment_label_value(v->segment, name, i, &arena, &value, v->err);
        if (ok && i > 0 && slice_cmp(before, value) >= 0)
            ok = segment_damaged(
                v->segment, SECTION_DICT, "values of a label do not ascend", v->err);
        if (ok) {
            memcpy(copy, value.ptr, value.len);
            before = slice_of(copy, value.len);
        }
    }
    arena_fini(&arena);
    free(copy);
    return ok;
}

/* Series ascend by metric, which is checked where metrics are read, and then by their labels. */
static bool verify_order(struct verifier *v)
{
    struct arena arenas[2];
    struct labels labels, before = {NULL, 0};
    const struct metric_def *metric = NULL, *last = NULL;
    struct label_walk *walk = label_walk_new(v->segment);
    bool ok = true;
    arena_init(&arenas[0], 0);
    arena_init(&arenas[1], 0);
    for (uint32_t i = 0; ok && i < v->segment->info.series; i++) {
        arena_reset(&arenas[i % 2]);
        ok = segment_metric(v->segment, i, &metric, v->err) &&
             label_walk_labels(walk, i, &arenas[i % 2], &labels, v->err);
        if (ok && metric == last && labels_cmp(before, labels) >= 0)
            ok = segment_damaged(v->segment, SECTION_SERIES, "series do not ascend", v->err);
        before = labels;
        last = metric;
    }
    label_walk_free(&walk);
    arena_fini(&arenas[0]);
    arena_fini(&arenas[1]);
    return ok;
}

/* Lists name only series that have the label, and as many as there are labels: so exactly those. */
static bool verify_lists(struct verifier *v, const struct page_ref *ref, uint64_t *left)
{
    const struct segment *s = v->segment;
    struct place place = {s->path, "page", ref->offset};
    struct cache_entry *entry = segment_hold(s, ref, v->err);
    uint32_t *ordinals = xreallocarray(NULL, s->info.series, sizeof *ordinals);
    bool ok = entry != NULL;
    for (uint32_t i = 0; ok && i < ref->rows; i++) {
        size_t n = postings_get(postings_list(entry->value, i), ordinals, s->info.series);
        for (size_t k = 0; ok && k < n; k++) {
            uint32_t code;
            ok = segment_code(s, ref->key, ordinals[k], &code, v->err);
            if (ok && code != ref->first + i + 1)
                ok = place_corrupt(&place, v->err,
                    "list %" PRIu32 " has series %" PRIu32 ", which does not have the value",
                    ref->first + i, ordinals[k]);
        }
        *left -= n;
    }
    segment_release(s, entry);
    free(ordinals);
    return ok;
}

/* How many series have the label. */
static bool count_label(struct verifier *v, uint32_t name, uint64_t *n)
{
    struct err *err = v->err;
    uint64_t series = v->segment->info.series;
    size_t absent = 0;
    bool ok = segment_postings(
        v->segment, v->segment->names.values[name], (struct slice){"", 0}, NULL, &absent, err);
    *n = series - absent;
    return ok;
}

static bool verify_name(struct verifier *v, uint32_t name)
{
    const struct page_index *index = &v->segment->index;
    const struct page_range range = index->types[PAGE_POSTINGS];
    uint64_t left = 0;
    bool listed = false;
    if (!verify_values(v, name))
        return false;
    if (name == v->segment->metric_name)
        left = v->segment->info.series;
    else if (!count_label(v, name, &left))
        return false;
    for (uint32_t i = range.begin; i < range.end; i++) {
        if (index->pages[i].key != name)
            continue;
        listed = true;
        if (!verify_lists(v, &index->pages[i], &left))
            return false;
    }
    return !listed || left == 0 ||
           segment_damaged(
               v->segment, SECTION_POSTINGS, "a series is in no list of its value", v->err);
}

static bool verify_labels(struct verifier *v)
{
    for (uint32_t name = 0; name < v->segment->names.n; name++)
        if (!verify_name(v, name))
            return false;
    return verify_order(v);
}

/* ---- ids, sources ---- */

/* Ids ascend over all pages: those of a page lie below the first of the next. */
static bool ids_ascend(struct verifier *v, uint32_t page)
{
    const struct segment *s = v->segment;
    const struct page_ref *ref = &s->index.pages[page];
    struct cache_entry *entry = segment_hold(s, ref, v->err);
    if (!entry)
        return false;
    const struct ids_table *table = entry->value;
    bool last = page + 1 == s->index.types[PAGE_IDS].end;
    bool ok = table->n > 0 && table->id[0] == ref->key &&
              (last || table->id[table->n - 1] < s->index.pages[page + 1].key);
    struct place place = {s->path, "ids", ref->offset};
    segment_release(s, entry);
    return ok || place_corrupt(&place, v->err, "ids do not ascend from page to page");
}

static bool verify_ids(struct verifier *v)
{
    const struct segment *s = v->segment;
    const struct page_range range = s->index.types[PAGE_IDS];
    uint32_t *ids = xreallocarray(NULL, s->info.series, sizeof *ids);
    uint64_t rows = 0, n = 0;
    bool ok = segment_ids(s, ids, v->err);
    for (uint32_t i = range.begin; ok && i < range.end; i++) {
        rows += s->index.pages[i].rows;
        ok = ids_ascend(v, i);
    }
    for (uint64_t i = 0; ok && i < s->info.series; i++)
        n += ids[i] != SEGMENT_NO_ID;
    free(ids);
    /* As many series as rows: no two ids lead to one series, nor one id to two. */
    return ok &&
           (n == rows || segment_damaged(s, SECTION_IDS, "two ids lead to one series", v->err));
}

static bool verify_sources(struct verifier *v)
{
    const struct segment_source *sources;
    size_t n;
    return segment_sources(v->segment, &sources, &n, v->err);
}

bool segment_verify(const struct segment *segment, struct err *err)
{
    struct verifier v = {.segment = segment, .err = err};
    bool ok = verify_pages(&v) && verify_chunks(&v) && verify_labels(&v) && verify_ids(&v) &&
              verify_sources(&v);
    free(v.by_offset);
    buf_fini(&v.stored);
    buf_fini(&v.scratch);
    buf_fini(&v.digest);
    return ok;
}
