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
#include "store/segment/segment_mend.h"

/* The end of a file is read at once: the footer, and as a rule the index of pages before it. */
#define TAIL_BYTES (64u << 10)
/* Names of labels, metrics and sources unpack to so much at most, each. */
#define NAMES_BYTES (1u << 30)
/* Of a segment that was given no cache. */
#define CACHE_BYTES (16u << 20)

/* ---- files of this machine ---- */

struct local_file {
    int fd;
    char *path;
};

static bool local_read(void *ctx, uint64_t offset, void *to, size_t n, struct err *err)
{
    const struct local_file *file = ctx;
    char *p = to;
    for (size_t done = 0; done < n;) {
        ssize_t got = pread(file->fd, p + done, n - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys(err, "cannot read %s", file->path);
        if (got == 0)
            return err_set(err, ERR_CORRUPT, "the file ends before");
        done += (size_t)got;
    }
    return true;
}

static void local_close(void *ctx)
{
    struct local_file *file = ctx;
    if (file->fd >= 0)
        close(file->fd);
    free(file->path);
    free(file);
}

static bool local_open(const char *path, struct segment_file *out, struct err *err)
{
    struct stat st;
    struct place place = {path, "file", 0};
    struct local_file *file = xcalloc(1, sizeof *file);
    file->path = xstrdup(path);
    file->fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    *out = (struct segment_file){.ctx = file, .read = local_read, .close = local_close};
    bool ok = file->fd >= 0 || err_sys(err, "cannot open %s", path);
    if (ok && fstat(file->fd, &st) != 0)
        ok = err_sys(err, "cannot stat %s", path);
    if (ok && !S_ISREG(st.st_mode))
        ok = place_corrupt(&place, err, "this is no file");
    if (ok)
        out->size = (uint64_t)st.st_size;
    else
        local_close(file);
    return ok;
}

/* ---- bytes ---- */

bool segment_pread(const struct segment *segment, uint64_t offset, void *to, size_t n,
    const char *part, struct err *err)
{
    struct err cause = {0};
    if (segment->file.read(segment->file.ctx, offset, to, n, &cause))
        return true;
    if (cause.code == ERR_CORRUPT) {
        struct place place = {segment->path, part, offset};
        return place_corrupt(&place, err, "%s", cause.text);
    }
    if (err)
        *err = cause;
    return false;
}

bool segment_unpack(const struct segment *segment, const struct page_ref *ref, struct slice bytes,
    struct buf *scratch, struct slice *raw, struct place *place, struct err *err)
{
    struct page page;
    *place = (struct place){segment->path, "page", ref->offset};
    if (!page_get(bytes, place, &page, err))
        return false;
    if (page.type != ref->stored || page.raw_bytes != ref->raw_bytes ||
        page_bytes(&page) != ref->bytes)
        return place_corrupt(place, err, "it is not the page that the index knows");
    return page_raw(&page, scratch, raw, err);
}

bool segment_raw(const struct segment *segment, const struct page_ref *ref, struct buf *stored,
    struct buf *scratch, struct slice *raw, struct place *place, struct err *err)
{
    buf_clear(stored);
    char *to = buf_reserve(stored, ref->bytes);
    return segment_pread(segment, ref->offset, to, ref->bytes, "page", err) &&
           segment_unpack(segment, ref, slice_of(to, ref->bytes), scratch, raw, place, err);
}

/* ---- opening ---- */

/* The last bytes of the file; *at says where they begin. */
static bool read_tail(struct segment *s, struct buf *tail, uint64_t *at, struct err *err)
{
    uint64_t size = s->file.size;
    struct place place = {s->path, "file", 0};
    if (size < HEADER_BYTES + FOOTER_FIXED + FOOTER_TAIL_BYTES)
        return place_corrupt(&place, err, "%" PRIu64 " bytes are no segment", size);
    *at = size > TAIL_BYTES ? size - TAIL_BYTES : 0;
    char *to = buf_reserve(tail, size - *at);
    tail->len = size - *at;
    return segment_pread(s, *at, to, tail->len, "footer", err);
}

static bool read_frame(struct segment *s, const struct buf *tail, struct err *err)
{
    uint8_t head[HEADER_BYTES];
    uint32_t length = 0;
    const char *end = tail->ptr + tail->len;
    if (!segment_pread(s, 0, head, sizeof head, "header", err) ||
        !header_get(head, s->path, &s->header, err) ||
        !footer_length(
            (const uint8_t *)end - FOOTER_TAIL_BYTES, s->path, s->file.size, &length, err) ||
        !footer_get(slice_of(end - length, length), s->path, s->header.major, s->file.size,
            &s->footer, err))
        return false;
    if (!hash128_eq(s->header.id, s->footer.id)) {
        struct place place = {s->path, "footer", s->file.size - length};
        return place_corrupt(&place, err, "it belongs to another header");
    }
    layout_info(&s->info, &s->header, &s->footer, s->file.size);
    return true;
}

static bool read_index(struct segment *s, const struct buf *tail, uint64_t tail_at, struct err *err)
{
    if (s->header.major == 1)
        return page_index_v1(s, err);
    const struct section *section = footer_section(&s->footer, SECTION_INDEX);
    struct place place = {s->path, "section index", section->offset};
    struct slice bytes = {NULL, section->bytes};
    char *own = NULL;
    if (section->offset >= tail_at) {
        bytes.ptr = tail->ptr + (section->offset - tail_at);
    } else {
        own = malloc(section->bytes);
        bytes.ptr = own;
        if (!own)
            return err_set(err, ERR_LIMIT, "%s: no memory for the index of pages", s->path);
        if (!segment_pread(s, section->offset, own, section->bytes, place.part, err)) {
            free(own);
            return false;
        }
    }
    bool ok = crc32c(0, bytes.ptr, bytes.len) == section->crc ||
              place_corrupt(&place, err, "checksum does not match");
    ok = ok && page_index_get(&s->index, bytes, s->path, &s->footer, err);
    free(own);
    return ok;
}

static bool read_names(struct segment *s, struct err *err)
{
    struct buf stored, scratch;
    bool ok = true;
    uint32_t n = page_index_rows(&s->index, PAGE_DICT, 0);
    buf_init(&stored, 0);
    buf_init(&scratch, 0);
    s->names.max_len = LABEL_NAME_MAX;
    while (ok && s->names.n < n) {
        struct slice raw;
        struct place place;
        const struct page_ref *ref = page_index_find(&s->index, PAGE_DICT, 0, s->names.n);
        ok = ref ? segment_raw(s, ref, &stored, &scratch, &raw, &place, err) &&
                       dict_page_get(&s->names, raw, &place, &s->arena, err)
                 : segment_missing(s, "a page with names of labels", err);
    }
    buf_fini(&stored);
    buf_fini(&scratch);
    if (!ok)
        return false;
    if (n == 0 || s->names.n != s->names.total)
        return segment_missing(s, "names of labels", err);
    s->metric_name = dict_find(&s->names, SLICE(LABEL_METRIC_NAME));
    return s->metric_name != UINT32_MAX || segment_missing(s, "label " LABEL_METRIC_NAME, err);
}

/* Totals that the index shows by itself. */
static bool check_totals(const struct segment *s, struct err *err)
{
    const struct page_index *x = &s->index;
    const struct footer *f = &s->footer;
    if (page_index_below(x, PAGE_CHUNKS, 0) == NULL || x->types[PAGE_AGGREGATES].end == 0 ||
        x->types[PAGE_METRICS].end == 0 || x->types[PAGE_SOURCES].end == 0)
        return segment_missing(s, "a table", err);
    const struct page_ref *last = &x->pages[x->types[PAGE_CHUNKS].end - 1];
    const struct page_ref *known = &x->pages[x->types[PAGE_AGGREGATES].end - 1];
    if (last->first + last->rows != f->chunks || known->first + known->rows != f->chunks ||
        last->key >= f->series || x->n_data != footer_section(f, SECTION_DATA)->rows)
        return segment_missing(s, "a part of the directory", err);
    return true;
}

bool segment_missing(const struct segment *segment, const char *what, struct err *err)
{
    struct place place = {segment->path, "index", HEADER_BYTES};
    return place_corrupt(&place, err, "%s is missing", what);
}

static bool open_parts(struct segment *s, struct err *err)
{
    struct buf tail;
    uint64_t tail_at = 0;
    buf_init(&tail, 0);
    bool ok = read_tail(s, &tail, &tail_at, err) && read_frame(s, &tail, err) &&
              read_index(s, &tail, tail_at, err) && read_names(s, err) && check_totals(s, err);
    buf_fini(&tail);
    return ok;
}

bool segment_open_file(const char *name, const struct segment_file *file_take,
    struct segment_cache *cache, struct segment **out, struct err *err)
{
    struct segment *s = xcalloc(1, sizeof *s);
    atomic_init(&s->references, 1);
    s->path = xstrdup(name);
    s->file = *file_take;
    s->cache = cache ? segment_cache_get(cache) : segment_cache_new(CACHE_BYTES);
    s->owner = cache_owner(s->cache);
    s->once = xcalloc(1, sizeof *s->once);
    pthread_mutex_init(&s->once->lock, NULL);
    s->last = xcalloc(1, sizeof *s->last);
    pthread_mutex_init(&s->last->lock, NULL);
    arena_init(&s->arena, NAMES_BYTES);
    arena_init(&s->once->metrics_arena, NAMES_BYTES);
    arena_init(&s->once->sources_arena, NAMES_BYTES);
    *out = s;
    bool ok = open_parts(s, err);
    if (!ok)
        segment_put(out);
    return ok;
}

bool segment_open(
    const char *path, struct segment_cache *cache, struct segment **out, struct err *err)
{
    struct segment_file file;
    *out = NULL;
    return local_open(path, &file, err) && segment_open_file(path, &file, cache, out, err);
}

bool segment_open_damaged(
    const char *path, int64_t resolution_ms, struct segment **out, struct err *why, struct err *err)
{
    struct segment_file file;
    *why = (struct err){0};
    if (segment_open(path, NULL, out, why))
        return true;
    if (why->code != ERR_CORRUPT) {
        *err = *why;
        return false;
    }
    return local_open(path, &file, err) && segment_mend(path, &file, resolution_ms, out, err);
}

struct segment *segment_get(struct segment *segment)
{
    atomic_fetch_add_explicit(&segment->references, 1u, memory_order_relaxed);
    return segment;
}

static void free_segment(struct segment *s)
{
    cache_forget(s->cache, s->owner);
    segment_cache_put(&s->cache);
    page_index_fini(&s->index);
    arena_fini(&s->once->metrics_arena);
    arena_fini(&s->once->sources_arena);
    pthread_mutex_destroy(&s->once->lock);
    free(s->once);
    segment_last_fini(s->last);
    free(s->last);
    arena_fini(&s->arena);
    s->file.close(s->file.ctx);
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

const struct segment_info *segment_info(const struct segment *segment)
{
    return &segment->info;
}
