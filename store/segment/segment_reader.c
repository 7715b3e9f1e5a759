#include "store/segment/segment_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "store/codec/codec.h"
#include "store/segment/postings.h"

/* What an open segment may take: a base, and so many times the file's bytes. A label of a series is
 * a fraction of a byte in the file at best, 32 bytes in memory. */
#define MEMORY_BASE  (64u << 20)
#define MEMORY_TIMES 1024u

/* ---- opening ---- */

bool segment_pread(const struct segment *segment, uint64_t offset, void *to, size_t n,
    const char *part, struct err *err)
{
    char *p = to;
    for (size_t done = 0; done < n;) {
        ssize_t got = pread(segment->fd, p + done, n - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys(err, "cannot read %s", segment->path);
        if (got == 0) {
            struct place place = {segment->path, part, offset};
            return place_corrupt(&place, err, "the file ends before");
        }
        done += (size_t)got;
    }
    return true;
}

static bool file_bytes(const struct segment *s, uint64_t *out, struct err *err)
{
    struct stat st;
    struct place place = {s->path, "file", 0};
    if (fstat(s->fd, &st) != 0)
        return err_sys(err, "cannot stat %s", s->path);
    if (!S_ISREG(st.st_mode))
        return place_corrupt(&place, err, "this is no file");
    *out = (uint64_t)st.st_size;
    if (*out < HEADER_BYTES + FOOTER_FIXED + FOOTER_TAIL_BYTES)
        return place_corrupt(&place, err, "%" PRIu64 " bytes are no segment", *out);
    return true;
}

static bool read_frame(struct segment *s, struct err *err)
{
    uint64_t bytes = 0;
    uint32_t length = 0;
    uint8_t head[HEADER_BYTES], tail[FOOTER_TAIL_BYTES], footer[FOOTER_BYTES_MAX];
    if (!file_bytes(s, &bytes, err) || !segment_pread(s, 0, head, sizeof head, "header", err) ||
        !header_get(head, s->path, &s->header, err) ||
        !segment_pread(s, bytes - sizeof tail, tail, sizeof tail, "footer", err) ||
        !footer_length(tail, s->path, bytes, &length, err) ||
        !segment_pread(s, bytes - length, footer, length, "footer", err) ||
        !footer_get(slice_of(footer, length), s->path, bytes, &s->footer, err))
        return false;
    if (!hash128_eq(s->header.id, s->footer.id)) {
        struct place place = {s->path, "footer", bytes - length};
        return place_corrupt(&place, err, "it belongs to another header");
    }
    layout_info(&s->info, &s->header, &s->footer, bytes);
    return true;
}

bool segment_open(const char *path, struct segment **out, struct err *err)
{
    struct segment *s = xcalloc(1, sizeof *s);
    atomic_init(&s->references, 1);
    s->path = xstrdup(path);
    s->fd = open(path, O_RDONLY | O_CLOEXEC);
    bool ok = s->fd >= 0 || err_sys(err, "cannot open %s", path);
    ok = ok && read_frame(s, err);
    arena_init(&s->arena, MEMORY_BASE + s->info.bytes * MEMORY_TIMES);
    ok = ok && segment_load(s, err);
    *out = s;
    if (!ok)
        segment_put(out);
    return ok;
}

struct segment *segment_get(struct segment *segment)
{
    atomic_fetch_add_explicit(&segment->references, 1u, memory_order_relaxed);
    return segment;
}

static void free_segment(struct segment *s)
{
    for (uint32_t i = 0; s->labels && i < s->names.n; i++)
        free(s->labels[i].pages);
    directory_fini(&s->directory);
    arena_fini(&s->arena);
    if (s->fd >= 0)
        close(s->fd);
    free(s->path);
    free(s);
}

void segment_put(struct segment **segment)
{
    struct segment *s = *segment;
    *segment = NULL;
    if (s && atomic_fetch_sub_explicit(&s->references, 1u, memory_order_acq_rel) == 1)
        free_segment(s);
}

/* ---- from memory ---- */

const struct segment_info *segment_info(const struct segment *segment)
{
    return &segment->info;
}

const struct metric_def *metric_of(const struct segment *segment, uint32_t ordinal)
{
    ensure(ordinal < segment->info.series);
    return &segment->metrics.defs[segment->metric_of[ordinal]];
}

bool segment_metric(
    const struct segment *segment, uint32_t ordinal, const struct metric_def **out, struct err *err)
{
    (void)err;
    *out = metric_of(segment, ordinal);
    return true;
}

struct labels labels_of(const struct segment *segment, uint32_t ordinal)
{
    ensure(ordinal < segment->info.series);
    uint32_t from = ordinal ? segment->label_end[ordinal - 1] : 0;
    return (struct labels){segment->label + from, segment->label_end[ordinal] - from};
}

bool segment_labels(const struct segment *segment, uint32_t ordinal, struct arena *arena,
    struct labels *out, struct err *err)
{
    *out = labels_copy(arena, labels_of(segment, ordinal));
    return out->items || err_set(err, ERR_LIMIT, "no memory for the labels of a series");
}

static struct segment_chunk describe(const struct segment *segment, uint32_t row)
{
    const struct chunk *c = &segment->directory.chunks[row];
    const struct vector *v = &segment->directory.vectors[c->vector];
    struct segment_chunk out = {.min_t = c->min_t,
        .max_t = c->max_t,
        .n = c->n,
        .bytes = c->bytes,
        .ordinal = c->ordinal,
        .row = row,
        .page = c->page,
        .offset = c->offset,
        .times = {v->first, v->step, v->n, c->start, v->page, v->offset, v->bytes, v->codec}};
    memcpy(out.codecs, c->codecs, sizeof out.codecs);
    return out;
}

bool segment_chunks(const struct segment *segment, uint32_t ordinal, int64_t from, int64_t to,
    struct arena *arena, const struct segment_chunk **out, size_t *n, struct err *err)
{
    ensure(ordinal < segment->info.series);
    const struct directory *d = &segment->directory;
    uint32_t row = d->first_chunk[ordinal], end = d->first_chunk[ordinal + 1];
    while (row < end && d->chunks[row].max_t <= from)
        row++;
    while (row < end && d->chunks[end - 1].min_t > to)
        end--;
    struct segment_chunk *chunks = arena_array(arena, end - row, sizeof *chunks);
    if (!chunks)
        return err_set(err, ERR_LIMIT, "no memory for the chunks of a series");
    *out = chunks;
    *n = end - row;
    for (size_t i = 0; i < *n; i++)
        chunks[i] = describe(segment, row + (uint32_t)i);
    return true;
}

bool segment_aggregate(const struct segment *segment, const struct segment_chunk *chunk,
    struct segment_aggregate *out, struct err *err)
{
    (void)err;
    *out = segment->directory.chunks[chunk->row].aggregate;
    return true;
}

size_t segment_pages(const struct segment *segment)
{
    return segment->directory.n_pages;
}

void segment_page(const struct segment *segment, uint32_t page, struct segment_page *out)
{
    ensure(page < segment->directory.n_pages);
    const struct data_page *p = &segment->directory.pages[page];
    *out = (struct segment_page){p->offset, p->bytes, p->raw_bytes};
}

size_t segment_chunk_pages(const struct segment_chunk *chunk, uint32_t out[CHUNK_PAGES_MAX])
{
    out[0] = chunk->page;
    out[1] = chunk->times.page;
    return chunk->times.codec == CODEC_NONE ? 1 : 2;
}

size_t segment_label_names(const struct segment *segment)
{
    return segment->names.n;
}

struct slice segment_label_name(const struct segment *segment, size_t name)
{
    ensure(name < segment->names.n);
    return segment->names.values[name];
}

size_t segment_label_values(const struct segment *segment, size_t name)
{
    ensure(name < segment->names.n);
    return segment->labels[name].values.n;
}

bool segment_label_value(const struct segment *segment, size_t name, size_t value,
    struct arena *arena, struct slice *out, struct err *err)
{
    ensure(value < segment_label_values(segment, name));
    *out = arena_slice(arena, segment->labels[name].values.values[value]);
    return out->ptr || err_set(err, ERR_LIMIT, "no memory for a label value");
}

bool segment_sources(
    const struct segment *segment, const struct segment_source **out, size_t *n, struct err *err)
{
    (void)err;
    *out = segment->provenance.sources;
    *n = segment->provenance.n;
    return true;
}

/* ---- postings ---- */

struct slice segment_list(const struct segment *segment, uint32_t name, uint32_t value)
{
    const struct label_name *label = &segment->labels[name];
    size_t lo = 0, hi = label->n_pages;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (label->pages[mid].first <= value)
            lo = mid;
        else
            hi = mid;
    }
    const struct postings_page *page = &label->pages[lo];
    uint32_t i = value - page->first;
    ensure(i < page->n);
    const char *offsets = page->raw.ptr + 12;
    size_t from = le32_get(offsets + 4 * (size_t)i);
    size_t to = i + 1 < page->n ? le32_get(offsets + 4 * (size_t)(i + 1)) : page->raw.len;
    return slice_of(page->raw.ptr + from, to - from);
}

/* The series in none of the name's lists. */
static size_t absent(const struct segment *s, uint32_t name, uint32_t *out, size_t max)
{
    uint32_t series = (uint32_t)s->info.series;
    uint32_t *list = xreallocarray(NULL, series, sizeof *list);
    bool *has = xcalloc(series, sizeof *has);
    for (uint32_t v = 0; name != UINT32_MAX && v < s->labels[name].values.n; v++) {
        size_t n = postings_get(segment_list(s, name, v), list, series);
        for (size_t i = 0; i < n; i++)
            has[list[i]] = true;
    }
    size_t n = 0;
    for (uint32_t i = 0; i < series; i++)
        if (!has[i] && n++ < max)
            out[n - 1] = i;
    free(list);
    free(has);
    return n;
}

bool segment_postings(const struct segment *segment, struct slice name, struct slice value,
    uint32_t *out, size_t *n, struct err *err)
{
    (void)err;
    uint32_t name_rank = dict_find(&segment->names, name);
    if (value.len == 0) {
        *n = absent(segment, name_rank, out, *n);
        return true;
    }
    uint32_t rank =
        name_rank == UINT32_MAX ? UINT32_MAX : dict_find(&segment->labels[name_rank].values, value);
    *n = rank == UINT32_MAX ? 0 : postings_get(segment_list(segment, name_rank, rank), out, *n);
    return true;
}

/* ---- data ---- */

bool segment_fetch(const struct segment *segment, uint32_t page, struct arena *arena,
    struct slice *out, struct err *err)
{
    ensure(page < segment->directory.n_pages);
    const struct data_page *p = &segment->directory.pages[page];
    struct place place = {segment->path, "page", p->offset};
    struct page parsed;
    char *raw = arena_alloc(arena, p->raw_bytes);
    if (!raw)
        return err_set(err, ERR_LIMIT, "memory of the query is used up while reading a page");
    char *stored = xmalloc(p->bytes);
    bool ok = segment_pread(segment, p->offset, stored, p->bytes, "page", err) &&
              page_get(slice_of(stored, p->bytes), &place, &parsed, err);
    if (ok && (parsed.type != p->type || parsed.raw_bytes != p->raw_bytes ||
                  page_bytes(&parsed) != p->bytes))
        ok = place_corrupt(&place, err, "it is not the page that the directory knows");
    ok = ok && page_inflate(&parsed, raw, err);
    free(stored);
    *out = slice_of(raw, p->raw_bytes);
    return ok;
}

static bool decode_times(const struct segment *s, const struct segment_chunk *c, struct slice raw,
    int64_t *out, struct err *err)
{
    const struct segment_times *v = &c->times;
    const struct data_page *page = &s->directory.pages[v->page];
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
    const struct data_page *page = &segment->directory.pages[chunk->page];
    struct place place = {segment->path, "page", page->offset};
    ensure(raw[0].len == page->raw_bytes);
    return chunk_decode(metric_of(segment, chunk->ordinal)->kind,
               slice_of(raw[0].ptr + chunk->offset, chunk->bytes), chunk->n, chunk->codecs, &place,
               arena, out, err) &&
           (chunk->times.codec == CODEC_NONE ? (times_fill(&chunk->times, chunk->n, out->t), true)
                                             : decode_times(segment, chunk, raw[1], out->t, err));
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
