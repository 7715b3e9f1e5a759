/*
 * Chunks: from the directory, and decoded.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "store/codec/codec.h"
#include "store/segment/chunk.h"
#include "store/segment/chunk_differences.h"
#include "store/segment/page_window.h"
#include "store/segment/segment_reader.h"

/* ---- the directory ---- */

/* The first row of the group with an ordinal that is not below this one. */
static uint32_t row_of(const struct chunk_group *group, uint32_t ordinal)
{
    uint32_t lo = 0, hi = group->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (group->rows[mid].ordinal < ordinal)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct chunk_list {
    struct segment_chunk *items;
    size_t n, cap;
};

/* Adds the chunks of the group that are the series' and overlap (from, to]. False: no memory, or
 * *ascend is. */
static bool add_chunks(struct chunk_list *list, const struct chunk_group *group, uint32_t ordinal,
    int64_t from, int64_t to, struct arena *arena, bool *ascend)
{
    for (uint32_t i = row_of(group, ordinal); i < group->n; i++) {
        const struct segment_chunk *c = &group->rows[i];
        if (c->ordinal != ordinal || c->min_t > to)
            break;
        if (c->max_t <= from)
            continue;
        *ascend = list->n == 0 || list->items[list->n - 1].max_t < c->min_t;
        if (!*ascend)
            return false;
        void *grown = arena_grow(arena, list->items, list->n, &list->cap, sizeof *list->items);
        if (!grown)
            return false;
        list->items = grown;
        list->items[list->n++] = *c;
    }
    return true;
}

/* The first page with chunks of the series. Version 1 cuts a series between pages anywhere; in
 * later ones, a series that is in several pages begins the first of them. */
static const struct page_ref *first_page(const struct segment *s, uint32_t ordinal)
{
    const struct page_ref *begin = s->index.pages + s->index.types[PAGE_CHUNKS].begin;
    const struct page_ref *ref = page_index_below(&s->index, PAGE_CHUNKS, ordinal);
    bool anywhere = s->header.major == 1;
    while (ref > begin && ref->key == ordinal && (anywhere || ref[-1].key == ordinal))
        ref--;
    return ref;
}

bool segment_chunks(const struct segment *segment, uint32_t ordinal, int64_t from, int64_t to,
    struct arena *arena, const struct segment_chunk **out, size_t *n, struct err *err)
{
    ensure(ordinal < segment->info.series);
    const struct page_ref *end = segment->index.pages + segment->index.types[PAGE_CHUNKS].end;
    struct chunk_list list = {0};
    const struct metric_def *def;
    bool found = true, ascend = true;
    if (!segment_metric(segment, ordinal, &def, err))
        return false;
    for (const struct page_ref *ref = first_page(segment, ordinal);
         ref < end && ref->key <= ordinal; ref++) {
        struct cache_entry *entry = segment_hold(segment, ref, err);
        if (!entry)
            return false;
        bool ok = add_chunks(&list, entry->value, ordinal, from, to, arena, &ascend);
        segment_release(segment, entry);
        if (!ascend)
            return segment_damaged(
                segment, SECTION_CHUNKDIR, "chunks of a series do not ascend", err);
        if (!ok)
            return err_set(err, ERR_LIMIT, "no memory for the chunks of a series");
    }
    struct bases bases;
    bases_init(&bases, segment);
    for (size_t i = 0; found && i < list.n; i++) {
        list.items[i].kind = def->kind;
        found = bases_find(&bases, &list.items[i], arena, err);
    }
    bases_fini(&bases);
    *out = list.items;
    *n = list.n;
    return found;
}

bool segment_aggregate(const struct segment *segment, const struct segment_chunk *chunk,
    struct segment_aggregate *out, struct err *err)
{
    const struct page_ref *ref = page_index_find(&segment->index, PAGE_AGGREGATES, 0, chunk->row);
    if (!ref || chunk->row - ref->first >= ref->rows)
        return segment_damaged(segment, SECTION_CHUNKDIR, "an aggregate is missing", err);
    struct cache_entry *entry = segment_hold(segment, ref, err);
    if (!entry)
        return false;
    const struct aggregate_group *group = entry->value;
    *out = group->rows[chunk->row - ref->first];
    segment_release(segment, entry);
    if (out->has & SEGMENT_HAS_SUM)
        out->count = (int64_t)((uint64_t)out->count + chunk->n);
    return true;
}

/* ---- pages of data ---- */

size_t segment_pages(const struct segment *segment)
{
    return segment->index.n_data;
}

void segment_page(const struct segment *segment, uint32_t page, struct segment_page *out)
{
    ensure(page < segment->index.n_data);
    const struct page_ref *p = &segment->index.pages[page];
    *out = (struct segment_page){p->offset, p->bytes, p->raw_bytes};
}

size_t segment_chunk_pages(const struct segment_chunk *chunk, uint32_t out[CHUNK_PAGES_MAX])
{
    _Static_assert(2 + CHUNK_BASES_MAX <= CHUNK_PAGES_MAX, "all pages of a chunk");
    size_t n = 0;
    out[n++] = chunk->page;
    if (chunk->times.codec != CODEC_NONE)
        out[n++] = chunk->times.page;
    for (uint32_t i = 0; i < chunk->n_bases; i++)
        out[n++] = chunk->bases[i].page;
    return n;
}

/* One read takes pages that lie near to each other: so far apart at most, */
#define RUN_GAP_BYTES (32u << 10)
/* and so much in all, unless one page alone is more. */
#define RUN_BYTES (1u << 20)

size_t segment_run(const struct segment *segment, const uint32_t *pages, size_t n)
{
    const struct page_ref *all = segment->index.pages, *first = &all[pages[0]];
    size_t run = 1;
    for (; run < n; run++) {
        const struct page_ref *last = &all[pages[run - 1]], *next = &all[pages[run]];
        uint64_t end = last->offset + last->bytes;
        if (next->offset < end || next->offset - end > RUN_GAP_BYTES ||
            next->offset + next->bytes - first->offset > RUN_BYTES)
            break;
    }
    return run;
}

static bool unpack_run(const struct segment *segment, const uint32_t *pages, size_t n,
    const char *bytes, struct arena *arena, struct slice *out, struct err *err)
{
    const struct page_ref *all = segment->index.pages;
    struct buf scratch;
    bool ok = true;
    buf_init(&scratch, 0);
    for (size_t i = 0; ok && i < n; i++) {
        const struct page_ref *ref = &all[pages[i]];
        const char *at = bytes + (ref->offset - all[pages[0]].offset);
        struct place place;
        struct slice raw;
        char *to = arena_alloc(arena, ref->raw_bytes);
        if (!to) {
            ok = err_set(err, ERR_LIMIT, "memory of the query is used up while reading a page");
            break;
        }
        ok = segment_unpack(segment, ref, slice_of(at, ref->bytes), &scratch, &raw, &place, err);
        if (ok)
            memcpy(to, raw.ptr, raw.len);
        out[i] = slice_of(to, ref->raw_bytes);
    }
    buf_fini(&scratch);
    return ok;
}

bool segment_fetch_run(const struct segment *segment, const uint32_t *pages, size_t n,
    struct arena *arena, struct slice *out, struct err *err)
{
    ensure(n > 0 && pages[n - 1] < segment->index.n_data);
    const struct page_ref *first = &segment->index.pages[pages[0]];
    const struct page_ref *last = &segment->index.pages[pages[n - 1]];
    struct buf stored;
    buf_init(&stored, 0);
    size_t bytes = last->offset + last->bytes - first->offset;
    char *to = buf_reserve(&stored, bytes);
    bool ok = segment_pread(segment, first->offset, to, bytes, "page", err) &&
              unpack_run(segment, pages, n, to, arena, out, err);
    buf_fini(&stored);
    return ok;
}

bool segment_fetch(const struct segment *segment, uint32_t page, struct arena *arena,
    struct slice *out, struct err *err)
{
    return segment_fetch_run(segment, &page, 1, arena, out, err);
}

/* ---- cells ---- */

static bool decode_times(const struct segment *s, const struct segment_chunk *c, struct slice raw,
    int64_t *out, struct err *err)
{
    const struct segment_times *v = &c->times;
    const struct page_ref *page = &s->index.pages[v->page];
    struct place place = {s->path, "page", page->offset};
    ensure(raw.len == page->raw_bytes);
    if (!times_decode(v, slice_of(raw.ptr + v->offset, v->bytes), c->n, &place, out, err))
        return false;
    if (out[0] != c->min_t || out[c->n - 1] != c->max_t)
        return place_corrupt(&place, err,
            "times from %" PRId64 " to %" PRId64 " are not those of the directory", out[0],
            out[c->n - 1]);
    return true;
}

static struct chunk_link link_of(const struct segment *s, uint32_t number, struct slice raw,
    uint32_t offset, uint32_t bytes, const uint8_t *codecs)
{
    const struct page_ref *page = &s->index.pages[number];
    ensure(raw.len == page->raw_bytes);
    return (struct chunk_link){
        slice_of(raw.ptr + offset, bytes), codecs, {s->path, "page", page->offset}};
}

/* bases: the pages of the chunk's bases. */
static bool decode_cells(const struct segment *s, const struct segment_chunk *c, struct slice raw,
    const struct slice *bases, struct arena *arena, struct columns *out, struct err *err)
{
    struct chunk_link links[1 + CHUNK_BASES_MAX];
    links[0] = link_of(s, c->page, raw, c->offset, c->bytes, c->codecs);
    if (c->n_bases == 0)
        return chunk_decode(
            c->kind, links[0].bytes, c->n, c->codecs, &links[0].place, arena, out, err);
    for (uint32_t i = 0; i < c->n_bases; i++) {
        const struct segment_base *b = &c->bases[i];
        links[i + 1] = link_of(s, b->page, bases[i], b->offset, b->bytes, b->codecs);
    }
    return chunk_differences_decode(links, c->n_bases + 1, c->n, arena, out, err);
}

/* Who reads a resolution gets derived cells, who reads raw ones samples as they came: nobody looks
 * again. */
static bool fits_resolution(
    const struct segment *s, const struct segment_chunk *c, const struct columns *out)
{
    return c->kind != KIND_SAMPLE || (out->first != NULL) == (s->header.resolution_ms > 0);
}

bool segment_decode(const struct segment *segment, const struct segment_chunk *chunk,
    const struct slice *raw, struct arena *arena, struct columns *out, struct err *err)
{
    const struct slice *bases = raw + (chunk->times.codec == CODEC_NONE ? 1 : 2);
    if (!decode_cells(segment, chunk, raw[0], bases, arena, out, err))
        return false;
    if (!fits_resolution(segment, chunk, out)) {
        struct place place = {segment->path, "page", segment->index.pages[chunk->page].offset};
        return place_corrupt(&place, err, "%s in a segment of resolution %" PRId64 " ms",
            out->first ? "derived cells" : "samples as they came", segment->header.resolution_ms);
    }
    if (chunk->times.codec == CODEC_NONE)
        times_fill(&chunk->times, chunk->n, out->t);
    else if (!decode_times(segment, chunk, raw[1], out->t, err))
        return false;
    chunk_finish(chunk->codecs, out);
    return true;
}

/* ---- one chunk after the other ---- */

static struct page_window *window_of(const struct segment *segment)
{
    struct segment_last *last = segment->last;
    if (!last->window) {
        last->window = xmalloc(sizeof *last->window);
        page_window_init(last->window, segment);
    }
    return last->window;
}

void segment_last_fini(struct segment_last *last)
{
    if (last->window)
        page_window_fini(last->window);
    free(last->window);
    pthread_mutex_destroy(&last->lock);
}

bool segment_read(const struct segment *segment, const struct segment_chunk *chunk,
    struct arena *arena, struct columns *out, struct err *err)
{
    struct slice raw[CHUNK_PAGES_MAX] = {{NULL, 0}};
    pthread_mutex_lock(&segment->last->lock);
    bool ok = page_window_get(window_of(segment), chunk, raw, err) &&
              segment_decode(segment, chunk, raw, arena, out, err);
    pthread_mutex_unlock(&segment->last->lock);
    return ok;
}
