#include "store/merge.h"

#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "store/catalog.h"
#include "store/segment/label_walk.h"
#include "store/segment/metric_table.h"

/* Series follow each other in the pages, so a few pages of an input are kept; more only while one
 * chunk needs more at once. */
#define PAGES_KEPT 8
#define PAGES      (CHUNK_PAGES_MAX + 1)

struct cached_page {
    struct arena arena;
    struct slice raw; /* ptr NULL: none */
    uint32_t page;
    uint64_t used;
};

struct merge_segment {
    struct segment *segment;
    struct label_walk *walk;
    uint32_t at, n;     /* ordinal of the series at the head */
    struct arena arena; /* of labels and chunks */
    struct labels labels;
    const struct metric_def *def;
    const struct segment_chunk *chunks;
    size_t n_chunks;
    bool taken; /* its head is the series that is given out */
    struct cached_page pages[PAGES];
};

struct merge {
    struct merge_segment *in;
    size_t n;
    struct merge_options options;
    struct arena arena; /* the series that is given out */
    struct metric_def def;
    struct slice name; /* of the metric that def is of; in names */
    struct arena names;
    struct segment_source *sources;
    size_t n_sources;
    uint64_t clock; /* counts uses of pages */
    bool any, ended, failed;
    size_t bad; /* SIZE_MAX: none */
    struct err err;
};

/* ---- the heads ---- */

static bool load_head(struct merge *m, struct merge_segment *in)
{
    arena_reset(&in->arena);
    in->n_chunks = 0;
    if (in->at == in->n || (label_walk_labels(in->walk, in->at, &in->arena, &in->labels, &m->err) &&
                               segment_metric(in->segment, in->at, &in->def, &m->err)))
        return true;
    m->bad = (size_t)(in - m->in);
    return false;
}

static int head_cmp(const struct merge_segment *a, const struct merge_segment *b)
{
    int c = slice_cmp(a->def->name, b->def->name);
    return c ? c : labels_cmp(a->labels, b->labels);
}

/* Takes the heads of the smallest series, when there is one. */
static const struct merge_segment *take_smallest(struct merge *m)
{
    const struct merge_segment *least = NULL;
    for (size_t i = 0; i < m->n; i++)
        if (m->in[i].at < m->in[i].n && (!least || head_cmp(&m->in[i], least) < 0))
            least = &m->in[i];
    for (size_t i = 0; least && i < m->n; i++) {
        struct merge_segment *in = &m->in[i];
        in->taken = in == least || (in->at < in->n && head_cmp(in, least) == 0);
    }
    return least;
}

/* What was given out is borrowed until now. */
static bool pass_taken(struct merge *m)
{
    for (size_t i = 0; i < m->n; i++) {
        struct merge_segment *in = &m->in[i];
        if (!in->taken)
            continue;
        in->taken = false;
        in->at++;
        if (!load_head(m, in))
            return false;
    }
    return true;
}

/* ---- definitions ---- */

/* NULL: the segment does not have the metric. */
static bool find_def(const struct segment *segment, struct slice name,
    const struct metric_def **out, struct err *err)
{
    uint32_t ordinal;
    size_t n = 1;
    *out = NULL;
    return segment_postings(segment, SLICE(LABEL_METRIC_NAME), name, &ordinal, &n, err) &&
           (n == 0 || segment_metric(segment, ordinal, out, err));
}

static bool def_of(struct merge *m, const struct metric_def *def)
{
    if (m->name.ptr && slice_eq(m->name, def->name))
        return true;
    arena_reset(&m->names);
    m->name = arena_slice(&m->names, def->name);
    m->def = *def;
    for (size_t i = 0; i < m->n; i++) {
        const struct metric_def *d;
        m->bad = i;
        if (!find_def(m->in[i].segment, m->name, &d, &m->err))
            return false;
        if (d && !metric_def_agrees(d, def))
            return err_set(&m->err, ERR_CORRUPT, "%s has another definition of metric %.*s",
                segment_info(m->in[i].segment)->name, SLICE_FMT(def->name));
        if (d)
            m->def = *d;
    }
    m->bad = SIZE_MAX;
    return true;
}

/* ---- cells ---- */

/* Where a page may go: pages used since `since` stay. */
static struct cached_page *free_slot(struct merge_segment *in, uint64_t since)
{
    struct cached_page *oldest = NULL, *empty = NULL;
    size_t kept = 0;
    for (size_t i = 0; i < PAGES; i++) {
        struct cached_page *p = &in->pages[i];
        kept += p->raw.ptr != NULL;
        if (!p->raw.ptr)
            empty = p;
        else if (!oldest || p->used < oldest->used)
            oldest = p;
    }
    bool evict = kept >= PAGES_KEPT && oldest->used < since;
    return evict ? oldest : empty;
}

static bool fetch(
    struct merge *m, struct merge_segment *in, uint32_t page, uint64_t since, struct slice *raw)
{
    for (size_t i = 0; i < PAGES; i++) {
        struct cached_page *p = &in->pages[i];
        if (p->raw.ptr && p->page == page) {
            p->used = ++m->clock;
            *raw = p->raw;
            return true;
        }
    }
    struct cached_page *slot = free_slot(in, since);
    struct slice read;
    ensure(slot != NULL);
    arena_reset(&slot->arena);
    slot->raw = (struct slice){NULL, 0};
    if (!segment_fetch(in->segment, page, &slot->arena, &read, &m->err))
        return false;
    slot->raw = *raw = read;
    slot->page = page;
    slot->used = ++m->clock;
    return true;
}

static bool read_chunk(struct merge *m, struct merge_segment *in, const struct segment_chunk *chunk,
    struct columns *out)
{
    struct slice raw[CHUNK_PAGES_MAX] = {{NULL, 0}};
    uint32_t pages[CHUNK_PAGES_MAX];
    uint64_t since = m->clock + 1;
    size_t n = segment_chunk_pages(chunk, pages);
    for (size_t i = 0; i < n; i++)
        if (!fetch(m, in, pages[i], since, &raw[i]))
            return false;
    return segment_decode(in->segment, chunk, raw, &m->arena, out, &m->err);
}

static bool read_input(struct merge *m, struct merge_segment *in, struct columns *out)
{
    for (size_t c = 0; c < in->n_chunks; c++)
        if (!read_chunk(m, in, &in->chunks[c], &out[c]))
            return false;
    return true;
}

/* All chunks of the taken heads, those of the oldest segment first, as one list. */
static bool read_series(struct merge *m, struct columns **out, size_t *k)
{
    size_t n = 0;
    for (m->bad = 0; m->bad < m->n; m->bad++) {
        struct merge_segment *in = &m->in[m->bad];
        bool takes =
            in->taken && (!m->options.takes || m->options.takes(m->options.ctx, m->bad, &m->def));
        if (takes && !segment_chunks(in->segment, in->at, INT64_MIN, INT64_MAX, &in->arena,
                         &in->chunks, &in->n_chunks, &m->err))
            return false;
        n += in->n_chunks;
    }
    *out = arena_array(&m->arena, n, sizeof **out);
    for (m->bad = 0; m->bad < m->n; m->bad++) {
        struct merge_segment *in = &m->in[m->bad];
        if (!read_input(m, in, *out + *k))
            return false;
        *k += in->n_chunks;
        in->n_chunks = 0;
    }
    m->bad = SIZE_MAX;
    return true;
}

/* The parts between the ranges that are left out; they follow each other, so a merge joins them. */
static void cut(struct merge *m, const struct merge_range *ranges, size_t n, struct columns *c)
{
    struct columns *left = arena_array(&m->arena, n + 1, sizeof *left);
    int64_t from = INT64_MIN;
    for (size_t i = 0; i < n; i++) {
        ensure(ranges[i].from < ranges[i].to && ranges[i].from >= from);
        left[i] = columns_slice(c, from, ranges[i].from);
        from = ranges[i].to;
    }
    left[n] = columns_slice(c, from, INT64_MAX);
    ensure(columns_merge(&m->arena, left, n + 1, INT64_MIN, INT64_MAX, c));
}

/* Of an unknown series, the oldest segment with it is the one that does not belong here. */
static bool find_id(struct merge *m, struct segment_series *out)
{
    struct catalog *c = m->options.catalog;
    if (!c)
        return true;
    catalog_lock_read(c);
    uint32_t id = catalog_find_series(c, out->labels);
    catalog_unlock(c);
    if (id != MAP_NONE) {
        out->id = id;
        return true;
    }
    m->bad = 0;
    while (!m->in[m->bad].taken)
        m->bad++;
    return err_set(&m->err, ERR_CORRUPT, "%s has a series of %.*s that the catalogue does not know",
        segment_info(m->in[m->bad].segment)->name, SLICE_FMT(out->def->name));
}

/* The taken series, merged, filtered and mapped; out->columns.n 0: nothing is left. */
static bool make_series(
    struct merge *m, const struct merge_segment *head, struct segment_series *out)
{
    const struct merge_range *ranges = NULL;
    const struct merge_options *o = &m->options;
    struct columns *in;
    size_t n_ranges = 0, k = 0;
    arena_reset(&m->arena);
    if (!def_of(m, head->def))
        return false;
    *out = (struct segment_series){.def = &m->def, .labels = head->labels, .id = SEGMENT_NO_ID};
    if (o->filter && !o->filter(o->ctx, out->def, out->labels, &ranges, &n_ranges))
        return true;
    if (!read_series(m, &in, &k))
        return false;
    if (k == 0)
        return true;
    ensure(columns_merge(&m->arena, in, k, INT64_MIN, INT64_MAX, &out->columns));
    if (n_ranges)
        cut(m, ranges, n_ranges, &out->columns);
    return (!o->map || o->map(o->ctx, out->def, out->labels, &m->arena, &out->columns, &m->err)) &&
           (out->columns.n == 0 || find_id(m, out));
}

static bool next(void *ctx, struct segment_series *out)
{
    struct merge *m = ctx;
    const struct merge_segment *head;
    do {
        m->failed = m->failed || !pass_taken(m);
        head = m->failed ? NULL : take_smallest(m);
        m->failed = m->failed || (head && !make_series(m, head, out));
    } while (!m->failed && head && out->columns.n == 0);
    bool some = !m->failed && head;
    m->any = m->any || some;
    m->ended = !m->failed && !head;
    return some;
}

static bool failed(void *ctx, struct err *err)
{
    const struct merge *m = ctx;
    if (m->failed && err)
        *err = m->err;
    return m->failed;
}

/* ---- sources ---- */

static int by_name(const void *a, const void *b)
{
    const struct segment_source *x = a, *y = b;
    int c = slice_cmp(x->name, y->name);
    return c ? c : (x->next < y->next) - (x->next > y->next);
}

static bool gather_sources(struct merge *m)
{
    size_t cap = 0, n = 0;
    for (size_t i = 0; i < m->n; i++) {
        size_t more;
        const struct segment_source *s;
        if (!segment_sources(m->in[i].segment, &s, &more, &m->err)) {
            m->bad = i;
            return false;
        }
        GROW(m->sources, cap, n + more);
        if (more)
            memcpy(m->sources + n, s, more * sizeof *s);
        n += more;
    }
    if (n)
        qsort(m->sources, n, sizeof *m->sources, by_name);
    for (size_t i = 0; i < n; i++) /* the greatest position of a name is its first */
        if (i == 0 || !slice_eq(m->sources[i].name, m->sources[m->n_sources - 1].name))
            m->sources[m->n_sources++] = m->sources[i];
    return true;
}

/* ---- life ---- */

void merge_new(struct segment *const *segments, size_t n, const struct merge_options *options,
    struct merge **out)
{
    struct merge *m = xcalloc(1, sizeof *m);
    ensure(n > 0);
    m->in = xcalloc(n, sizeof *m->in);
    m->n = n;
    m->bad = SIZE_MAX;
    if (options)
        m->options = *options;
    arena_init(&m->arena, 0);
    arena_init(&m->names, 0);
    for (size_t i = 0; i < n; i++) {
        m->in[i].segment = segments[i];
        m->in[i].walk = label_walk_new(segments[i]);
        arena_init(&m->in[i].arena, 0);
        m->in[i].n = (uint32_t)segment_info(segments[i])->series;
        for (size_t p = 0; p < PAGES; p++)
            arena_init(&m->in[i].pages[p].arena, 0);
    }
    *out = m;
}

void merge_free(struct merge **merge)
{
    struct merge *m = *merge;
    *merge = NULL;
    if (!m)
        return;
    for (size_t i = 0; i < m->n; i++) {
        for (size_t p = 0; p < PAGES; p++)
            arena_fini(&m->in[i].pages[p].arena);
        arena_fini(&m->in[i].arena);
        label_walk_free(&m->in[i].walk);
    }
    arena_fini(&m->arena);
    arena_fini(&m->names);
    free(m->in);
    free(m->sources);
    free(m);
}

bool merge_input(struct merge *merge, struct segment_input *out, struct err *err)
{
    struct merge *m = merge;
    const struct segment_info *first = segment_info(m->in[0].segment);
    *out = (struct segment_input){.t0 = first->t0,
        .t1 = first->t1,
        .resolution_ms = first->resolution_ms,
        .next = next,
        .failed = failed,
        .ctx = m};
    for (size_t i = 0; i < m->n; i++) {
        const struct segment_info *info = segment_info(m->in[i].segment);
        out->t0 = info->t0 < out->t0 ? info->t0 : out->t0;
        out->t1 = info->t1 > out->t1 ? info->t1 : out->t1;
        m->failed = m->failed || !load_head(m, &m->in[i]);
    }
    m->failed = m->failed || !gather_sources(m);
    out->sources = m->sources;
    out->n_sources = m->n_sources;
    return !failed(m, err);
}

bool merge_is_empty(const struct merge *merge)
{
    return merge->ended && !merge->any;
}

bool merge_bad_segment(const struct merge *merge, size_t *out)
{
    *out = merge->bad;
    return merge->bad != SIZE_MAX;
}
