#include "store/coarse_cut.h"

#include <string.h>

#include "store/store_priv.h"

void coarse_cut_init(struct coarse_cut *cut, struct store *store, const struct attached *segment)
{
    const struct segment_info *info = segment_info(segment->segment);
    *cut = (struct coarse_cut){.store = store, .segment = segment};
    for (int r = 0; r < RESOLUTIONS && resolutions[r] < info->resolution_ms; r++)
        for (size_t i = 0; i < store->n_segments; i++) {
            const struct attached *b = &store->segments[i];
            const struct segment_info *o = segment_info(b->segment);
            if (b->derived && b->holds && !b->backed && b->kept == segment->kept &&
                o->t0 == info->t0 && o->t1 == info->t1 && o->resolution_ms == resolutions[r] &&
                cut->n < RESOLUTIONS)
                cut->finer[cut->n++] = b;
        }
}

/* ---- one series ---- */

struct series_cut {
    const struct coarse_cut *cut;
    const struct metric_def *def;
    uint32_t id;
    struct arena *arena;
    struct columns old;
};

static bool full(struct err *err)
{
    return err_set(err, ERR_LIMIT, "no memory for coarser cells");
}

/* The series' cells of a finer segment with t in (from, to], as they are in the file. */
static bool read_finer(const struct series_cut *s, const struct attached *finer, int64_t from,
    int64_t to, struct columns *out, struct err *err)
{
    const struct segment_chunk *chunks;
    uint32_t ordinal;
    size_t n = 0;
    *out = (struct columns){.kind = s->def->kind};
    if (!attached_find(finer, s->id, &ordinal, err))
        return false;
    if (ordinal == SEGMENT_NO_ID)
        return true;
    if (!segment_chunks(finer->segment, ordinal, from, to, s->arena, &chunks, &n, err))
        return false;
    struct columns *parts = arena_array(s->arena, n, sizeof *parts);
    if (!parts)
        return full(err);
    for (size_t i = 0; i < n; i++)
        if (!segment_read(finer->segment, &chunks[i], s->arena, &parts[i], err))
            return false;
    return n == 0 || columns_merge(s->arena, parts, n, from, to, out) || full(err);
}

/* The ranges of the first n deletions, for cells of a segment. */
static size_t ranges_of(
    const struct series_cut *s, const struct attached *a, size_t n, struct merge_range *out)
{
    int64_t more = segment_info(a->segment)->resolution_ms - 1;
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        const struct deletion *d = &s->cut->store->deletions[i];
        if (a->lsn <= d->lsn && deletion_covers(d, s->id))
            out[k++] =
                (struct merge_range){d->from, d->to > INT64_MAX - more ? INT64_MAX : d->to + more};
    }
    return deletion_join(out, k);
}

/* What finer cells come to without what the first n deletions take. */
static bool derive_without(const struct series_cut *s, const struct attached *finer,
    const struct columns *cells, size_t n, struct columns *out, struct err *err)
{
    struct merge_range ranges[DELETIONS_MAX];
    struct columns left = *cells;
    size_t k = ranges_of(s, finer, n, ranges);
    return (k == 0 || columns_without(s->arena, ranges, k, &left)) &&
                   resolution_derive(
                       s->arena, &left, segment_info(s->cut->segment->segment)->resolution_ms, out)
               ? true
               : full(err);
}

/* ---- cells ---- */

static bool same_buckets(const struct columns *a, size_t i, const struct columns *b, size_t k)
{
    uint32_t n = a->bucket_at[i + 1] - a->bucket_at[i];
    if (n != b->bucket_at[k + 1] - b->bucket_at[k])
        return false;
    for (uint32_t j = 0; j < n; j++) {
        const struct hist_bucket *x = &a->bucket[a->bucket_at[i] + j];
        const struct hist_bucket *y = &b->bucket[b->bucket_at[k] + j];
        if (x->key != y->key || x->count != y->count)
            return false;
    }
    return true;
}

static bool same_cell(const struct columns *a, size_t i, const struct columns *b, size_t k)
{
    switch (a->kind) {
    case KIND_COUNTER:
    case KIND_LEVEL: return a->amount[i] == b->amount[k];
    case KIND_GAUGE:
        return a->last[i] == b->last[k] && a->last_ms[i] == b->last_ms[k] &&
               a->min[i] == b->min[k] && a->max[i] == b->max[k] && a->sum[i] == b->sum[k] &&
               a->count[i] == b->count[k];
    case KIND_HISTOGRAM: return a->sum[i] == b->sum[k] && same_buckets(a, i, b, k);
    case KIND_SAMPLE: return false;
    }
    return false;
}

/* Whether c has the cell that `old` has at i. */
static bool has_cell(const struct columns *c, const struct columns *old, size_t i)
{
    size_t k = columns_after(c, old->t[i] - 1);
    return k < c->n && c->t[k] == old->t[i] && same_cell(c, k, old, i);
}

/* Says of which cells of `touched` they come out of the finer ones: as those are, or without what
 * some of the deletions take, which the cell is without already. */
static bool find_made(const struct series_cut *s, const struct attached *finer,
    const struct columns *cells, const struct columns *touched, bool *made, struct err *err)
{
    for (size_t n = 0; n <= s->cut->store->n_deletions; n++) {
        struct columns c;
        if (!derive_without(s, finer, cells, n, &c, err))
            return false;
        for (size_t i = 0; i < touched->n; i++)
            made[i] = made[i] || has_cell(&c, touched, i);
    }
    return true;
}

/* ---- a range ---- */

/* What is made anew of the cells of a range. */
struct remade {
    struct columns *parts; /* room for one of each cell, and of what is not touched */
    size_t n;
    bool *done; /* by cell of the range */
};

static bool remake(const struct series_cut *s, const struct attached *finer,
    const struct columns *touched, struct remade *r, struct err *err)
{
    int64_t resolution = segment_info(s->cut->segment->segment)->resolution_ms;
    struct columns cells, now;
    bool *made = arena_zalloc(s->arena, touched->n * sizeof *made);
    if (!made)
        return full(err);
    if (!read_finer(
            s, finer, touched->t[0] - resolution, touched->t[touched->n - 1], &cells, err) ||
        !find_made(s, finer, &cells, touched, made, err) ||
        !derive_without(s, finer, &cells, s->cut->store->n_deletions, &now, err))
        return false;
    for (size_t i = 0, end; i < touched->n; i = end + 1) {
        for (end = i; end < touched->n && made[end] && !r->done[end]; end++)
            r->done[end] = true;
        if (end > i)
            r->parts[r->n++] = columns_slice(&now, touched->t[i] - resolution, touched->t[end - 1]);
    }
    return true;
}

static bool remake_range(struct coarse_cut *cut, const struct series_cut *s,
    const struct merge_range *range, struct remade *r, struct err *err)
{
    const struct columns touched = columns_slice(&s->old, range->from, range->to);
    if (touched.n == 0)
        return true;
    r->done = arena_zalloc(s->arena, touched.n * sizeof *r->done);
    if (!r->done)
        return full(err);
    for (size_t i = 0; i < cut->n; i++) {
        if (!resolution_fits(s->def, segment_info(cut->finer[i]->segment)->resolution_ms))
            continue;
        if (!remake(s, cut->finer[i], &touched, r, err)) {
            cut->bad = cut->finer[i];
            return false;
        }
    }
    return true;
}

bool coarse_cut_cells(void *ctx, const struct metric_def *def, struct labels labels,
    struct arena *arena, struct columns *columns, struct err *err)
{
    struct coarse_cut *cut = ctx;
    struct merge_range ranges[DELETIONS_MAX];
    catalog_lock_read(&cut->store->catalog);
    const struct series_cut s = {
        cut, def, catalog_find_series(&cut->store->catalog, labels), arena, *columns};
    catalog_unlock(&cut->store->catalog);
    size_t n = s.id == MAP_NONE ? 0 : ranges_of(&s, cut->segment, cut->store->n_deletions, ranges);
    if (n == 0)
        return true;
    struct remade r = {.parts = arena_array(arena, s.old.n + 1, sizeof *r.parts), .n = 1};
    if (!r.parts || !columns_without(arena, ranges, n, columns))
        return full(err);
    for (size_t i = 0; i < n && def->kind != KIND_SAMPLE; i++)
        if (!remake_range(cut, &s, &ranges[i], &r, err))
            return false;
    if (r.n == 1)
        return true;
    r.parts[0] = *columns;
    return columns_merge(arena, r.parts, r.n, INT64_MIN, INT64_MAX, columns) || full(err);
}
