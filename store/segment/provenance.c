#include "store/segment/provenance.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/mem.h"

static int by_name(const void *a, const void *b)
{
    const struct segment_source *x = a, *y = b;
    return slice_cmp(x->name, y->name);
}

static bool check(const struct segment_source *sources, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        struct slice name = sources[i].name;
        if (name.len > SOURCE_NAME_MAX)
            return err_set(err, ERR_INVALID, "a source name of %zu bytes", name.len);
        if (i > 0 && slice_eq(name, sources[i - 1].name))
            return err_set(err, ERR_INVALID, "source %.*s occurs twice", SLICE_FMT(name));
    }
    return true;
}

static void put_pages(struct section_buf *section, const struct segment_source *sources, uint32_t n)
{
    struct buf raw;
    buf_init(&raw, 0);
    uint32_t i = 0;
    do {
        uint32_t first = i;
        buf_clear(&raw);
        buf_le32(&raw, first);
        buf_le32(&raw, 0);
        buf_le32(&raw, n);
        for (; i < n && raw.len < PAGE_RAW_TARGET; i++) {
            buf_lstr(&raw, sources[i].name);
            buf_le64(&raw, (uint64_t)sources[i].next);
        }
        le32_put(raw.ptr + 4, i - first);
        section_add(section,
            (struct page_ref){.type = PAGE_SOURCES, .first = first, .rows = i - first},
            buf_view(&raw));
    } while (i < n);
    section->rows = n;
    buf_fini(&raw);
}

bool provenance_put(
    struct section_buf *section, const struct segment_source *sources, size_t n, struct err *err)
{
    if (n > SOURCES_MAX)
        return err_set(err, ERR_INVALID, "%zu sources (at most %u)", n, SOURCES_MAX);
    struct segment_source *sorted = xreallocarray(NULL, n + 1, sizeof *sorted);
    for (size_t i = 0; i < n; i++)
        sorted[i] = sources[i];
    qsort(sorted, n, sizeof *sorted, by_name);
    bool ok = check(sorted, n, err);
    if (ok)
        put_pages(section, sorted, (uint32_t)n);
    free(sorted);
    return ok;
}

bool provenance_get(struct provenance *provenance, struct slice raw, const struct place *place,
    struct arena *arena, struct err *err)
{
    struct reader r = reader_of(raw);
    uint32_t first = read_le32(&r), n = read_le32(&r), total = read_le32(&r);
    if (r.failed || (n == 0 && total > 0) || first != provenance->n || total > SOURCES_MAX ||
        (first > 0 && total != provenance->total) || n > total - first || first > total)
        return place_corrupt(place, err,
            "sources %" PRIu32 ", %" PRIu32 " of them, of %" PRIu32 " do not follow %" PRIu32,
            first, n, total, provenance->n);
    if (first == 0) {
        provenance->total = total;
        provenance->sources = arena_array(arena, total, sizeof *provenance->sources);
        if (!provenance->sources)
            return place_corrupt(place, err, "%" PRIu32 " sources are too many", total);
    }
    for (uint32_t i = 0; i < n; i++) {
        struct segment_source *s = &provenance->sources[provenance->n];
        s->name = arena_slice(arena, read_lstr(&r));
        s->next = (int64_t)read_le64(&r);
        if (r.failed || !s->name.ptr || (provenance->n && by_name(s - 1, s) >= 0))
            return place_corrupt(place, err, "source %" PRIu32 " does not decode", provenance->n);
        provenance->n++;
    }
    return reader_left(&r) == 0 || place_corrupt(place, err, "bytes behind the last source");
}
