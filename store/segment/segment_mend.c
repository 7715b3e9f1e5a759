#include "store/segment/segment_mend.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "store/segment/layout.h"
#include "store/segment/page_scan.h"
#include "store/segment/provenance.h"

/* ---- the file that is made ---- */

struct mended {
    struct segment_file file;
    uint8_t header[HEADER_BYTES];
    uint64_t tail_at; /* from here on it is `tail` instead of the file */
    struct buf tail;
};

static bool mended_read(void *ctx, uint64_t offset, void *to, size_t n, struct err *err)
{
    const struct mended *m = ctx;
    char *p = to;
    while (n > 0) {
        size_t k = n;
        if (offset < HEADER_BYTES) {
            k = k < HEADER_BYTES - offset ? k : HEADER_BYTES - offset;
            memcpy(p, m->header + offset, k);
        } else if (offset < m->tail_at) {
            k = k < m->tail_at - offset ? k : m->tail_at - offset;
            if (!m->file.read(m->file.ctx, offset, p, k, err))
                return false;
        } else {
            if (offset - m->tail_at > m->tail.len || k > m->tail.len - (offset - m->tail_at))
                return err_set(err, ERR_CORRUPT, "the file ends before");
            memcpy(p, m->tail.ptr + (offset - m->tail_at), k);
        }
        p += k;
        offset += k;
        n -= k;
    }
    return true;
}

static void mended_close(void *ctx)
{
    struct mended *m = ctx;
    m->file.close(m->file.ctx);
    buf_fini(&m->tail);
    free(m);
}

/* ---- what is there ---- */

struct mending {
    const char *path;
    struct mended *made;
    int64_t resolution_ms;       /* what the caller knows; below 0: nothing */
    struct header header, named; /* of the file, of its name */
    struct footer footer;
    bool header_whole, footer_whole, has_name;
    struct page_scan scan;
    bool scanned;
};

static void read_name(struct mending *m)
{
    const char *slash = strrchr(m->path, '/');
    m->has_name = sscanf(slash ? slash + 1 : m->path,
                      "%" SCNd64 "-%" SCNd64 ".%16" SCNx64 "%16" SCNx64 ".seg", &m->named.t0,
                      &m->named.t1, &m->named.id.hi, &m->named.id.lo) == 4 &&
                  m->named.t0 < m->named.t1;
}

/* The footer as it is; of which version follows from its sections. */
static bool read_footer(struct mending *m, struct err *err)
{
    const struct segment_file *f = &m->made->file;
    uint8_t tail[FOOTER_TAIL_BYTES];
    struct err why;
    uint32_t length;
    if (!f->read(f->ctx, f->size - sizeof tail, tail, sizeof tail, err))
        return false;
    if (!footer_length(tail, m->path, f->size, &length, &why))
        return true;
    char *bytes = xmalloc(length);
    bool ok = f->read(f->ctx, f->size - length, bytes, length, err);
    m->footer_whole =
        ok && footer_get(slice_of(bytes, length), m->path, 1, f->size, &m->footer, &why);
    free(bytes);
    return ok;
}

static bool look(struct mending *m, struct err *err)
{
    const struct segment_file *f = &m->made->file;
    struct err why;
    if (f->size < HEADER_BYTES + FOOTER_TAIL_BYTES)
        return err_set(err, ERR_CORRUPT, "%s: %" PRIu64 " bytes are no segment", m->path, f->size);
    if (!f->read(f->ctx, 0, m->made->header, HEADER_BYTES, err))
        return false;
    m->header_whole = header_get(m->made->header, m->path, &m->header, &why);
    read_name(m);
    return read_footer(m, err);
}

static bool scan(struct mending *m, struct err *err)
{
    m->scanned = m->scanned || page_scan(&m->made->file, m->path, &m->scan, err);
    return m->scanned;
}

/* ---- the header ---- */

/* As its bytes say, whether they are right or not. */
static struct header header_as_is(const uint8_t bytes[HEADER_BYTES])
{
    return (struct header){.id = {le64_get(bytes + 16), le64_get(bytes + 24)},
        .t0 = (int64_t)le64_get(bytes + 32),
        .t1 = (int64_t)le64_get(bytes + 40),
        .resolution_ms = (int64_t)le64_get(bytes + 48)};
}

/* The checksum is the candidate's; or all but the checksum, where the file's name says the same. */
static bool is_proven(const struct mending *m, const struct header *h)
{
    uint8_t bytes[HEADER_BYTES];
    bool as_named = m->has_name && h->t0 == m->named.t0 && h->t1 == m->named.t1 &&
                    hash128_eq(h->id, m->named.id);
    header_put(bytes, h);
    return memcmp(bytes + HEADER_BYTES - 4, m->made->header + HEADER_BYTES - 4, 4) == 0 ||
           (as_named && memcmp(bytes, m->made->header, HEADER_BYTES - 4) == 0);
}

static bool is_content(const struct mending *m, const struct header *h)
{
    return m->scanned && m->scan.complete &&
           hash128_eq(digest_id(h->t0, h->t1, h->resolution_ms, &m->scan.digest), h->id);
}

/* One bit that is turned: the checksum of so few bytes says which. */
static bool turn_bit(struct mending *m)
{
    struct err why;
    for (size_t bit = 0; bit < 8 * HEADER_BYTES; bit++) {
        uint8_t bytes[HEADER_BYTES];
        memcpy(bytes, m->made->header, sizeof bytes);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (header_get(bytes, m->path, &m->header, &why))
            return true;
    }
    return false;
}

/* Sets m->header when a candidate with these times and this id is the one. */
static bool try_header(struct mending *m, const struct header *base)
{
    const struct header as_is = header_as_is(m->made->header);
    const int64_t resolutions[] = {m->resolution_ms < 0 ? 0 : m->resolution_ms, 0, 60000, 3600000,
        86400000, as_is.resolution_ms};
    struct header h = *base;
    bool v1 = m->footer_whole && !footer_section(&m->footer, SECTION_INDEX);
    h.major = v1 ? 1 : SEGMENT_MAJOR;
    if (h.t0 >= h.t1)
        return false;
    for (size_t i = 0; i < sizeof resolutions / sizeof *resolutions; i++)
        for (h.minor = 0; h.minor <= (v1 ? 0 : SEGMENT_MINOR); h.minor++) {
            h.resolution_ms = resolutions[i];
            if (h.resolution_ms < 0 || !(is_proven(m, &h) || is_content(m, &h)))
                continue;
            m->header = h;
            return true;
        }
    return false;
}

/* Nothing proves it, but the manifest knows the segment by this name, and that it is raw. */
static bool believe_name(struct mending *m)
{
    if (!m->has_name || m->resolution_ms != 0 ||
        (m->footer_whole && !hash128_eq(m->footer.id, m->named.id)))
        return false;
    bool v1 = m->footer_whole && !footer_section(&m->footer, SECTION_INDEX);
    m->header = m->named;
    m->header.major = v1 ? 1 : SEGMENT_MAJOR;
    m->header.minor = v1 ? 0 : SEGMENT_MINOR;
    m->header.resolution_ms = 0;
    return true;
}

static bool mend_header(struct mending *m, struct err *err)
{
    struct header own = header_as_is(m->made->header), other = own;
    struct err why;
    if (m->header_whole)
        return true;
    other.id = m->footer.id;
    scan(m, &why); /* what it finds may prove it */
    if (turn_bit(m) || (m->has_name && try_header(m, &m->named)) || try_header(m, &own) ||
        (m->footer_whole && try_header(m, &other)) || believe_name(m)) {
        header_put(m->made->header, &m->header);
        return true;
    }
    struct place place = {m->path, "header", 0};
    return place_corrupt(&place, err, "nothing proves what it was");
}

/* ---- index and footer ---- */

/* Where section `id` begins among the pages: at its first, or where those before it end. */
static void add_section(struct footer *f, uint16_t id, uint64_t offset, uint64_t end, uint64_t rows)
{
    f->sections[f->n_sections++] = (struct section){.id = id,
        .version = SECTION_VERSION,
        .offset = offset,
        .bytes = end - offset,
        .rows = rows};
}

static uint16_t section_of(uint8_t type)
{
    switch (type) {
    case PAGE_TIMES:
    case PAGE_VALUES:
    case PAGE_HIST: return SECTION_DATA;
    case PAGE_VECTORS:
    case PAGE_CHUNKS:
    case PAGE_AGGREGATES: return SECTION_CHUNKDIR;
    case PAGE_METRICS:
    case PAGE_COLUMN: return SECTION_SERIES;
    case PAGE_DICT: return SECTION_DICT;
    case PAGE_POSTINGS: return SECTION_POSTINGS;
    case PAGE_SOURCES: return SECTION_PROVENANCE;
    default: return SECTION_IDS;
    }
}

static void add_sections(struct footer *f, const struct page_index *index, uint64_t n_data)
{
    size_t i = 0;
    uint64_t at = HEADER_BYTES;
    for (unsigned id = SECTION_DATA; id < SECTION_INDEX; id++) {
        uint64_t begin = at;
        for (; i < index->n && section_of(index->pages[i].type) == id; i++)
            at = index->pages[i].offset + index->pages[i].bytes;
        add_section(f, (uint16_t)id, begin, at, id == SECTION_DATA ? n_data : 0);
    }
}

/* Every segment has a page of sources. */
static void add_sources(struct mending *m)
{
    struct page_index *index = &m->scan.index;
    struct section_buf none;
    for (size_t i = 0; i < index->n; i++)
        if (index->pages[i].type == PAGE_SOURCES)
            return;
    section_init(&none);
    provenance_put(&none, NULL, 0, NULL);
    struct page_ref page = none.pages[0];
    page.offset = m->made->tail_at;
    page_index_add(index, &page);
    buf_slice(&m->made->tail, buf_view(&none.bytes));
    section_fini(&none);
}

static bool make_tail(struct mending *m, struct err *err)
{
    struct page_scan *s = &m->scan;
    struct footer f = {.id = m->header.id,
        .series = s->series,
        .chunks = s->chunks,
        .cells = s->cells,
        .min_t = m->header.t0 + 1,
        .max_t = m->header.t1};
    struct section_buf index;
    struct place place = {m->path, "index", s->end};
    m->made->tail_at = s->end;
    buf_clear(&m->made->tail);
    add_sources(m);
    if (!page_index_finish(&s->index))
        return place_corrupt(&place, err, "pages are out of order");
    section_init(&index);
    page_index_put(&s->index, &index);
    add_sections(&f, &s->index, s->n_data);
    uint64_t at = m->made->tail_at + m->made->tail.len;
    add_section(&f, SECTION_INDEX, at, at + index.bytes.len, s->index.n);
    f.sections[f.n_sections - 1].crc = crc32c(0, index.bytes.ptr, index.bytes.len);
    buf_slice(&m->made->tail, buf_view(&index.bytes));
    footer_put(&m->made->tail, &f);
    section_fini(&index);
    return true;
}

/* ---- opening ---- */

static void keep_open(void *ctx)
{
    (void)ctx;
}

/* What is made, without closing it when it does not open. */
static bool try_open(struct mending *m, struct segment **out, struct err *err)
{
    struct mended *made = m->made;
    struct segment_file file = {made, made->tail_at + made->tail.len, mended_read, keep_open};
    struct segment *tried = NULL;
    if (!segment_open_file(m->path, &file, NULL, &tried, err))
        return false;
    segment_put(&tried);
    file.close = mended_close;
    return segment_open_file(m->path, &file, NULL, out, err);
}

/* With the header alone made anew, when the rest is whole; else with the rest, too. */
static bool mend(struct mending *m, struct segment **out, struct err *err)
{
    if (!look(m, err) || !mend_header(m, err))
        return false;
    m->made->tail_at = m->made->file.size;
    if (!m->header_whole && m->footer_whole && try_open(m, out, err))
        return true;
    return m->header.major > 1 && scan(m, err) && make_tail(m, err) && try_open(m, out, err);
}

bool segment_mend(const char *path, const struct segment_file *file_take, int64_t resolution_ms,
    struct segment **out, struct err *err)
{
    struct mended *made = xcalloc(1, sizeof *made);
    struct mending m = {.path = path, .made = made, .resolution_ms = resolution_ms};
    made->file = *file_take;
    buf_init(&made->tail, 0);
    *out = NULL;
    bool ok = mend(&m, out, err);
    page_scan_fini(&m.scan);
    if (!ok)
        mended_close(made);
    return ok;
}
