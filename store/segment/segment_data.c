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

/* Adds the chunks of the group that are the series' and overlap (from, to]. */
static bool add_chunks(struct chunk_list *list, const struct chunk_group *group, uint32_t ordinal,
    int64_t from, int64_t to, struct arena *arena)
{
    for (uint32_t i = row_of(group, ordinal); i < group->n; i++) {
        const struct segment_chunk *c = &group->rows[i];
        if (c->ordinal != ordinal || c->min_t > to)
            break;
        if (c->max_t <= from)
            continue;
        void *grown = arena_grow(arena, list->items, list->n, &list->cap, sizeof *list->items);
        if (!grown)
            return false;
        list->items = grown;
        list->items[list->n++] = *c;
    }
    return true;
}

/* The first page with chunks of the series. Version 1 cuts a series between pages anywhere. */
static const struct page_ref *first_page(const struct segment *s, uint32_t ordinal)
{
    const struct page_ref *begin = s->index.pages + s->index.types[PAGE_CHUNKS].begin;
    const struct page_ref *ref = page_index_below(&s->index, PAGE_CHUNKS, ordinal);
    while (s->header.major == 1 && ref > begin && ref->key == ordinal)
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
    if (!segment_metric(segment, ordinal, &def, err))
        return false;
    for (const struct page_ref *ref = first_page(segment, ordinal);
         ref < end && ref->key <= ordinal; ref++) {
        struct cache_entry *entry = segment_hold(segment, ref, err);
        if (!entry)
            return false;
        bool ok = add_chunks(&list, entry->value, ordinal, from, to, arena);
        segment_release(segment, entry);
        if (!ok)
            return err_set(err, ERR_LIMIT, "no memory for the chunks of a series");
    }
    for (size_t i = 0; i < list.n; i++)
        list.items[i].kind = def->kind;
    *out = list.items;
    *n = list.n;
    return true;
}

bool segment_aggregate(const struct segment *segment, const struct segment_chunk *chunk,
    struct segment_aggregate *out, struct err *err)
{
    const struct page_ref *ref = page_index_find(&segment->index, PAGE_AGGREGATES, 0, chunk->row);
    if (!ref || chunk->row - ref->first >= ref->rows)
        return segment_missing(segment, "an aggregate", err);
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
    out[0] = chunk->page;
    out[1] = chunk->times.page;
    return chunk->times.codec == CODEC_NONE ? 1 : 2;
}

bool segment_fetch(const struct segment *segment, uint32_t page, struct arena *arena,
    struct slice *out, struct err *err)
{
    ensure(page < segment->index.n_data);
    const struct page_ref *ref = &segment->index.pages[page];
    struct buf stored, scratch;
    struct place place;
    struct slice raw;
    char *to = arena_alloc(arena, ref->raw_bytes);
    if (!to)
        return err_set(err, ERR_LIMIT, "memory of the query is used up while reading a page");
    buf_init(&stored, 0);
    buf_init(&scratch, 0);
    bool ok = segment_raw(segment, ref, &stored, &scratch, &raw, &place, err);
    if (ok)
        memcpy(to, raw.ptr, raw.len);
    buf_fini(&stored);
    buf_fini(&scratch);
    *out = slice_of(to, ref->raw_bytes);
    return ok;
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

bool segment_decode(const struct segment *segment, const struct segment_chunk *chunk,
    const struct slice *raw, struct arena *arena, struct columns *out, struct err *err)
{
    const struct page_ref *page = &segment->index.pages[chunk->page];
    struct place place = {segment->path, "page", page->offset};
    ensure(raw[0].len == page->raw_bytes);
    if (!chunk_decode(chunk->kind, slice_of(raw[0].ptr + chunk->offset, chunk->bytes), chunk->n,
            chunk->codecs, &place, arena, out, err))
        return false;
    if (chunk->times.codec == CODEC_NONE)
        times_fill(&chunk->times, chunk->n, out->t);
    else if (!decode_times(segment, chunk, raw[1], out->t, err))
        return false;
    chunk_finish(chunk->codecs, out);
    return true;
}

/* The pages live as long as the call: they are bounded, and the caller's arena keeps cells only. */
bool segment_read(const struct segment *segment, const struct segment_chunk *chunk,
    struct arena *arena, struct columns *out, struct err *err)
{
    struct arena pages;
    uint32_t page[CHUNK_PAGES_MAX];
    struct slice raw[CHUNK_PAGES_MAX];
    size_t n = segment_chunk_pages(chunk, page);
    bool ok = true;
    arena_init(&pages, 0);
    for (size_t i = 0; ok && i < n; i++)
        ok = segment_fetch(segment, page[i], &pages, &raw[i], err);
    ok = ok && segment_decode(segment, chunk, raw, arena, out, err);
    arena_fini(&pages);
    return ok;
}
