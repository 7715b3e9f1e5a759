/*
 * Verifying a segment: what segment_open has not seen. Every page of every section in file order,
 * the section's CRC and the content id; that the directory's pages are the pages of the data
 * section; every chunk decoded, canonical, with the aggregates that it should have; every posting
 * list against the series' labels. Memory is bounded by a few pages.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "store/codec/codec.h"
#include "store/segment/postings.h"
#include "store/segment/segment_reader.h"

/* ---- pages ---- */

struct verifier {
    const struct segment *segment;
    struct err *err;
    struct buf stored, scratch, digest;
    const struct data_page **by_offset; /* the directory's pages in file order */
    size_t n_seen;
};

static int order_of_offsets(const void *a, const void *b)
{
    const struct data_page *x = *(const struct data_page *const *)a;
    const struct data_page *y = *(const struct data_page *const *)b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

static void sort_pages(struct verifier *v)
{
    const struct directory *d = &v->segment->directory;
    v->by_offset = xreallocarray(NULL, d->n_pages + 1, sizeof *v->by_offset);
    for (size_t i = 0; i < d->n_pages; i++)
        v->by_offset[i] = &d->pages[i];
    qsort(v->by_offset, d->n_pages, sizeof *v->by_offset, order_of_offsets);
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

static bool check_data_page(struct verifier *v, const struct page *page)
{
    const struct directory *d = &v->segment->directory;
    const struct data_page *known = v->n_seen < d->n_pages ? v->by_offset[v->n_seen] : NULL;
    if (!known || known->offset != page->place.offset || known->bytes != page_bytes(page) ||
        known->raw_bytes != page->raw_bytes || known->type != page->type)
        return place_corrupt(&page->place, v->err, "the directory does not know this page");
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
        if (section->id == SECTION_DATA && !check_data_page(v, &page))
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
    if (v->n_seen != s->directory.n_pages)
        return place_corrupt(&place, v->err, "the directory has pages that are not there");
    struct hash128 id = digest_id(s->header.t0, s->header.t1, s->header.resolution_ms, &v->digest);
    return hash128_eq(id, s->header.id) ||
           place_corrupt(&place, v->err, "the content id is not that of the content");
}

/* ---- chunks ---- */

/* The page of cells and the page of times that were fetched last: chunks come in their order. */
struct fetched {
    uint32_t page;
    bool is_there;
    struct arena arena;
    struct slice raw;
};

static bool fetch(struct verifier *v, struct fetched *slot, uint32_t page)
{
    if (slot->is_there && slot->page == page)
        return true;
    arena_reset(&slot->arena);
    slot->page = page;
    slot->is_there = segment_fetch(v->segment, page, &slot->arena, &slot->raw, v->err);
    return slot->is_there;
}

static bool verify_chunk(struct verifier *v, struct fetched slots[2], struct arena *arena,
    const struct segment_chunk *chunk)
{
    const struct segment *s = v->segment;
    struct columns c;
    struct segment_aggregate aggregate;
    uint32_t pages[CHUNK_PAGES_MAX];
    struct slice raw[2] = {{NULL, 0}, {NULL, 0}};
    size_t n = segment_chunk_pages(chunk, pages);
    for (size_t i = 0; i < n; i++) {
        if (!fetch(v, &slots[i], pages[i]))
            return false;
        raw[i] = slots[i].raw;
    }
    arena_reset(arena);
    if (!segment_decode(s, chunk, raw, arena, &c, v->err))
        return false;
    struct place place = {s->path, "page", s->directory.pages[pages[0]].offset};
    for (size_t i = 0; i < c.n; i++)
        if (columns_is_zero(&c, i))
            return place_corrupt(&place, v->err, "series %" PRIu32 " has a zero cell at %" PRId64,
                chunk->ordinal, c.t[i]);
    aggregate_of(&c, 0, c.n, &aggregate);
    return aggregate_eq(&aggregate, &s->directory.chunks[chunk->row].aggregate) ||
           place_corrupt(&place, v->err,
               "series %" PRIu32 ", from %" PRId64 ": the directory's aggregates are not its own",
               chunk->ordinal, chunk->min_t);
}

static bool verify_chunks(struct verifier *v)
{
    struct fetched slots[2] = {{0}, {0}};
    struct arena arena, list;
    bool ok = true;
    arena_init(&arena, 0);
    arena_init(&list, 0);
    arena_init(&slots[0].arena, 0);
    arena_init(&slots[1].arena, 0);
    for (uint32_t i = 0; ok && i < v->segment->info.series; i++) {
        const struct segment_chunk *chunks = NULL;
        size_t n = 0;
        arena_reset(&list);
        ok = segment_chunks(v->segment, i, INT64_MIN, INT64_MAX, &list, &chunks, &n, v->err);
        for (size_t k = 0; ok && k < n; k++)
            ok = verify_chunk(v, slots, &arena, &chunks[k]);
    }
    arena_fini(&arena);
    arena_fini(&list);
    arena_fini(&slots[0].arena);
    arena_fini(&slots[1].arena);
    return ok;
}

/* ---- postings ---- */

/* Lists name only series that have the label, and as many as there are labels: so exactly those. */
static bool verify_name(struct verifier *v, uint32_t name, uint32_t *ordinals, uint64_t *total)
{
    const struct segment *s = v->segment;
    const struct dict *values = &s->labels[name].values;
    struct place place = {
        s->path, "section postings", footer_section(&s->footer, SECTION_POSTINGS)->offset};
    for (uint32_t value = 0; value < values->n; value++) {
        size_t n = postings_get(segment_list(s, name, value), ordinals, s->info.series);
        for (size_t i = 0; i < n; i++)
            if (!slice_eq(labels_get(labels_of(s, ordinals[i]), s->names.values[name]),
                    values->values[value]))
                return place_corrupt(&place, v->err,
                    "name %" PRIu32 ", value %" PRIu32 " lists series %" PRIu32
                    ", which does not have it",
                    name, value, ordinals[i]);
        *total += n;
    }
    return true;
}

static bool verify_postings(struct verifier *v)
{
    const struct segment *s = v->segment;
    struct place place = {
        s->path, "section postings", footer_section(&s->footer, SECTION_POSTINGS)->offset};
    uint32_t *ordinals = xreallocarray(NULL, s->info.series, sizeof *ordinals);
    uint64_t total = 0;
    bool ok = true;
    for (uint32_t name = 0; ok && name < s->names.n; name++)
        ok = verify_name(v, name, ordinals, &total);
    free(ordinals);
    if (ok && total != s->label_end[s->info.series - 1])
        ok = place_corrupt(&place, v->err, "lists leave series out");
    return ok;
}

bool segment_verify(const struct segment *segment, struct err *err)
{
    struct verifier v = {.segment = segment, .err = err};
    bool ok = verify_pages(&v) && verify_chunks(&v) && verify_postings(&v);
    free(v.by_offset);
    buf_fini(&v.stored);
    buf_fini(&v.scratch);
    buf_fini(&v.digest);
    return ok;
}
