/*
 * From pages to what they hold. Each is unpacked into an arena of its own, which then belongs to
 * the cache.
 */
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/ensure.h"
#include "store/codec/codec.h"
#include "store/segment/ids.h"
#include "store/segment/label_index.h"
#include "store/segment/postings.h"
#include "store/segment/segment_reader.h"

/* What one page may unpack to. A writer stays far below. */
#define PAGE_MEMORY (256u << 20)

struct unpacker {
    const struct segment *segment;
    const struct page_ref *ref;
    struct slice raw;
    struct place place;
    struct arena *arena;
    struct err *err;
};

static void *no_memory(const struct unpacker *u)
{
    place_error(&u->place, u->err, ERR_CORRUPT, "unpacks to more memory than a page may");
    return NULL;
}

static void *refuse(const struct unpacker *u, const char *what)
{
    place_error(&u->place, u->err, ERR_CORRUPT, "%s are not those that the index knows", what);
    return NULL;
}

/* ---- label columns ---- */

/* Codes are stored as 64-bit integers and kept as 32-bit ones. */
static const void *unpack_column(const struct unpacker *u)
{
    struct reader r = reader_of(u->raw);
    int64_t codes[COLUMN_GROUP];
    uint32_t name = read_le32(&r), first = read_le32(&r), n = read_le32(&r);
    uint8_t codec = read_u8(&r);
    read_bytes(&r, 3);
    uint64_t left = first < u->segment->info.series ? u->segment->info.series - first : 0;
    if (r.failed || name != u->ref->key || first != u->ref->first || n != u->ref->rows ||
        first % COLUMN_GROUP || n == 0 || n != (left < COLUMN_GROUP ? left : COLUMN_GROUP))
        return refuse(u, "codes");
    if (!codec_known(codec)) {
        place_error(&u->place, u->err, ERR_UNSUPPORTED, "not supported yet: codec %d", codec);
        return NULL;
    }
    if (!codec_decode(codec, &r, n, codes) || reader_left(&r) > 0) {
        place_error(&u->place, u->err, ERR_CORRUPT, "a column does not decode");
        return NULL;
    }
    struct column_page *out = arena_alloc(u->arena, sizeof *out);
    uint32_t *to = out ? arena_array(u->arena, n, sizeof *to) : NULL;
    if (!to)
        return no_memory(u);
    uint32_t n_values = page_index_rows(&u->segment->index, PAGE_DICT, name + 1);
    for (uint32_t i = 0; i < n; i++) {
        if (codes[i] < 0 || codes[i] > n_values) {
            place_error(
                &u->place, u->err, ERR_CORRUPT, "code %" PRId64 " of %" PRIu32, codes[i], n_values);
            return NULL;
        }
        to[i] = (uint32_t)codes[i];
    }
    *out = (struct column_page){n, to};
    return out;
}

/* ---- dictionaries ---- */

static const void *unpack_dict(const struct unpacker *u)
{
    uint32_t dict;
    struct dict values = {.max_len = u->ref->key ? LABEL_VALUE_MAX : LABEL_NAME_MAX};
    if (!dict_page_of(u->raw, &u->place, &dict, u->err) ||
        !dict_page_part(&values, u->raw, &u->place, u->arena, u->err))
        return NULL;
    struct dict_page *out = arena_alloc(u->arena, sizeof *out);
    if (!out)
        return no_memory(u);
    *out = (struct dict_page){u->ref->first, values.n, values.values};
    if (dict != u->ref->key || values.first != u->ref->first || values.n != u->ref->rows ||
        values.total != page_index_rows(&u->segment->index, PAGE_DICT, dict))
        return refuse(u, "values");
    return out;
}

/* ---- postings ---- */

struct slice postings_list(const struct postings_page *page, uint32_t i)
{
    const char *offsets = page->raw.ptr + 12;
    ensure(i < page->n);
    size_t from = le32_get(offsets + 4 * (size_t)i);
    size_t to = i + 1 < page->n ? le32_get(offsets + 4 * ((size_t)i + 1)) : page->raw.len;
    return slice_of(page->raw.ptr + from, to - from);
}

/* Offsets ascend inside the page, and every list is one. */
static bool check_lists(const struct unpacker *u, const struct postings_page *page)
{
    size_t at = 12 + 4 * (size_t)page->n;
    for (uint32_t i = 0; i < page->n; i++) {
        size_t from = le32_get(page->raw.ptr + 12 + 4 * (size_t)i);
        size_t to = i + 1 < page->n ? le32_get(page->raw.ptr + 16 + 4 * (size_t)i) : page->raw.len;
        size_t n;
        if (from != at || to < from || to > page->raw.len ||
            !postings_check(
                slice_of(page->raw.ptr + from, to - from), (uint32_t)u->segment->info.series, &n))
            return place_corrupt(
                &u->place, u->err, "list %" PRIu32 " does not decode", page->first + i);
        at = to;
    }
    return true;
}

static const void *unpack_postings(const struct unpacker *u)
{
    struct reader r = reader_of(u->raw);
    uint32_t name = read_le32(&r), first = read_le32(&r), n = read_le32(&r);
    struct postings_page *out = arena_alloc(u->arena, sizeof *out);
    if (r.failed || name != u->ref->key || first != u->ref->first || n != u->ref->rows || n == 0 ||
        n > reader_left(&r) / 4)
        return refuse(u, "lists");
    if (!out)
        return no_memory(u);
    *out = (struct postings_page){first, n, arena_slice(u->arena, u->raw)};
    if (!out->raw.ptr)
        return no_memory(u);
    return check_lists(u, out) ? out : NULL;
}

/* ---- ids ---- */

static const void *unpack_ids(const struct unpacker *u)
{
    struct ids_table table = {0};
    struct ids_page *out = arena_alloc(u->arena, sizeof *out);
    if (!out)
        return no_memory(u);
    if (!ids_get(&table, u->raw, (uint32_t)u->segment->info.series, &u->place, u->arena, u->err))
        return NULL;
    if (table.n != u->ref->rows || table.id[0] != u->ref->key)
        return refuse(u, "ids");
    *out = (struct ids_page){table.n, table.id, table.ordinal};
    return out;
}

/* ---- the directory ---- */

/* Chunks of a page refer to few pages of vectors: the one that was used last is kept. */
struct vector_source {
    const struct segment *segment;
    const struct page_ref *ref;
    struct cache_entry *held;
};

static bool vector_of(void *ctx, uint32_t row, struct vector *out, struct err *err)
{
    struct vector_source *v = ctx;
    if (!v->held || row < v->ref->first || row - v->ref->first >= v->ref->rows) {
        segment_release(v->segment, v->held);
        v->held = NULL;
        v->ref = page_index_find(&v->segment->index, PAGE_VECTORS, 0, row);
        if (!v->ref || row - v->ref->first >= v->ref->rows)
            return segment_damaged(v->segment, SECTION_CHUNKDIR, "a vector is missing", err);
        v->held = segment_hold(v->segment, v->ref, err);
        if (!v->held)
            return false;
    }
    const struct vector_group *group = v->held->value;
    *out = group->rows[row - v->ref->first];
    return true;
}

static const void *unpack_directory(const struct unpacker *u)
{
    bool v1 = u->segment->header.major == 1;
    struct vector_source source = {.segment = u->segment};
    struct directory_page page = {.header = &u->segment->header,
        .index = &u->segment->index,
        .ref = u->ref,
        .raw = u->raw,
        .place = u->place,
        .arena = u->arena,
        .vector = vector_of,
        .vector_ctx = &source};
    switch (u->ref->type) {
    case PAGE_VECTORS:
        return v1 ? directory_v1_vectors(&page, u->err) : directory_vectors(&page, u->err);
    case PAGE_AGGREGATES:
        return v1 ? directory_v1_aggregates(&page, u->err) : directory_aggregates(&page, u->err);
    default: break;
    }
    const void *out = v1 ? directory_v1_chunks(&page, u->err) : directory_chunks(&page, u->err);
    segment_release(u->segment, source.held);
    return out;
}

/* ---- the cache ---- */

static const void *unpack(const struct unpacker *u)
{
    switch (u->ref->type) {
    case PAGE_COLUMN: return unpack_column(u);
    case PAGE_DICT: return unpack_dict(u);
    case PAGE_POSTINGS: return unpack_postings(u);
    case PAGE_IDS: return unpack_ids(u);
    case PAGE_VECTORS:
    case PAGE_CHUNKS:
    case PAGE_AGGREGATES: return unpack_directory(u);
    default: break;
    }
    unreachable("page type");
}

struct cache_entry *segment_hold(
    const struct segment *segment, const struct page_ref *ref, struct err *err)
{
    uint32_t number = (uint32_t)(ref - segment->index.pages);
    struct cache_entry *entry = cache_find(segment->cache, segment->owner, number);
    if (entry)
        return entry;
    struct arena arena;
    struct buf stored, scratch;
    struct unpacker u = {.segment = segment, .ref = ref, .arena = &arena, .err = err};
    arena_init(&arena, PAGE_MEMORY);
    buf_init(&stored, 0);
    buf_init(&scratch, 0);
    const void *value = NULL;
    if (segment_raw(segment, ref, &stored, &scratch, &u.raw, &u.place, err))
        value = unpack(&u);
    buf_fini(&stored);
    buf_fini(&scratch);
    if (value)
        return cache_put(segment->cache, segment->owner, number, value, &arena);
    arena_fini(&arena);
    return NULL;
}

void segment_release(const struct segment *segment, struct cache_entry *entry)
{
    cache_release(segment->cache, entry);
}
