/*
 * Reading: plan, fetch, cursors. See read.h.
 *
 * Planning takes the store's lock for one selection at a time; the fetch takes it once, and copies
 * all that can change: that moment is what the snapshot sees. Series that came in between and that
 * a plan would have selected make the snapshot stale, and it is planned anew. Segments are
 * immutable and counted.
 */
#include "store/read.h"

#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "store/derive.h"
#include "store/resolution.h"
#include "store/store_priv.h"

/* One run of cells that the fetch copies or reads, oldest commit first. */
struct part {
    struct head_part *head; /* of an open or frozen block, which is counted; or */
    struct segment *segment;
    size_t at; /* of the segment in the snapshot */
    const struct segment_chunk *piece;
    const struct merge_range *without; /* deleted, and not rewritten yet */
    size_t n_without;
    struct columns columns; /* after the fetch */
    struct part *next;
};

struct planned {
    uint32_t id;
    struct labels labels;
    const struct metric_def *def;
    int64_t from, to;
    int64_t resolution_ms; /* 0: raw */
    bool wanted;
    struct part *parts;
};

struct plan {
    struct snapshot *snapshot;
    const struct matcher **matchers; /* of the caller and of the scope */
    size_t n_matchers;
    struct planned *series;
    size_t n;
    size_t known; /* series of the catalogue when it was made */
    struct plan *next;
};

struct snapshot {
    struct store *store;
    struct arena arena;
    struct plan *plans, **last;
    struct segment **segments;  /* counted */
    struct head_block **blocks; /* counted */
    size_t n_blocks;
    struct slice **pages; /* by segment and page, unpacked; NULL: none was needed yet */
    size_t n_segments;
    struct stream_clock *clocks;
    size_t n_clocks;
    uint64_t lsn, cells, bytes;
    unsigned pin; /* label strings stay while it is held */
    bool held;    /* the lock, from snapshot_hold to the fetch */
    bool fetched, stale;
    bool partial;        /* answers may lack what is damaged; then this says so: */
    const char *missing; /* NULL: nothing */
};

struct snapshot *snapshot_get(struct store *store)
{
    struct snapshot *s = xcalloc(1, sizeof *s);
    s->store = store;
    s->last = &s->plans;
    arena_init(&s->arena, 0);
    s->pin = catalog_pin(&store->catalog);
    return s;
}

void snapshot_limit(struct snapshot *snapshot, size_t bytes)
{
    snapshot->arena.limit_bytes = bytes;
}

void snapshot_partial(struct snapshot *snapshot)
{
    ensure(!snapshot->fetched);
    snapshot->partial = true;
}

const char *snapshot_missing(const struct snapshot *snapshot)
{
    ensure(snapshot->fetched);
    return snapshot->missing;
}

void snapshot_hold(struct snapshot *snapshot)
{
    ensure(!snapshot->held && !snapshot->fetched);
    store_lock_read(snapshot->store);
    snapshot->held = true;
}

bool snapshot_stale(const struct snapshot *snapshot)
{
    return snapshot->stale;
}

void snapshot_put(struct snapshot **snapshot)
{
    struct snapshot *s = *snapshot;
    *snapshot = NULL;
    if (!s)
        return;
    if (s->held)
        store_unlock(s->store);
    for (size_t i = 0; i < s->n_segments; i++)
        segment_put(&s->segments[i]);
    for (size_t i = 0; i < s->n_blocks; i++)
        head_block_put(&s->blocks[i]);
    free(s->segments);
    free(s->blocks);
    catalog_unpin(&s->store->catalog, s->pin);
    arena_fini(&s->arena);
    free(s);
}

uint64_t snapshot_lsn(const struct snapshot *snapshot)
{
    ensure(snapshot->fetched);
    return snapshot->lsn;
}

bool snapshot_clock(
    const struct snapshot *snapshot, struct slice name, int64_t *frontier_ms, int64_t *watermark_ms)
{
    ensure(snapshot->fetched);
    for (size_t i = 0; i < snapshot->n_clocks; i++)
        if (slice_eq(snapshot->clocks[i].name, name)) {
            *frontier_ms = snapshot->clocks[i].frontier_ms;
            *watermark_ms = snapshot->clocks[i].watermark_ms;
            return true;
        }
    return false;
}

/* ---- plan ---- */

static bool full(struct err *err)
{
    return err_set(err, ERR_LIMIT, "the query needs more memory than it is allowed");
}

/* The lock is held. The catalogue gives the series in order of their labels. */
static bool select_series(struct plan *plan, const struct read_budget *budget, struct err *err)
{
    struct arena *arena = &plan->snapshot->arena;
    struct catalog *catalog = &plan->snapshot->store->catalog;
    struct catalog_entry *entries;
    uint32_t *ids;
    size_t n;
    plan->known = catalog->n_series;
    if (!catalog_select(catalog, plan->matchers, plan->n_matchers, arena, &ids, &n, err))
        return false;
    if (budget && budget->max_series && n > budget->max_series)
        return err_set(err, ERR_LIMIT, "a selector matches %zu series; %llu are allowed", n,
            (unsigned long long)budget->max_series);
    if (!catalog_describe(catalog, ids, n, arena, &entries, &plan->n))
        return full(err);
    plan->series = arena_array(arena, plan->n, sizeof *plan->series);
    if (!plan->series)
        return full(err);
    for (size_t i = 0; i < plan->n; i++)
        plan->series[i] = (struct planned){
            .id = entries[i].id, .labels = entries[i].labels, .def = entries[i].def};
    return true;
}

bool plan_new(struct snapshot *snapshot, const struct scope *scope, const struct matcher *matchers,
    size_t n, const struct read_budget *budget, struct plan **out, struct err *err)
{
    struct arena *arena = &snapshot->arena;
    size_t n_scope = scope ? scope->n_matchers : 0;
    ensure(!snapshot->fetched);
    const struct matcher **all = arena_array(arena, n + n_scope, sizeof(void *));
    struct plan *plan = arena_zalloc(arena, sizeof *plan);
    if (!all || !plan)
        return full(err);
    for (size_t i = 0; i < n; i++)
        all[i] = &matchers[i];
    for (size_t i = 0; i < n_scope; i++)
        all[n + i] = &scope->matchers[i];
    plan->snapshot = snapshot;
    plan->matchers = all;
    plan->n_matchers = n + n_scope;
    if (!snapshot->held)
        store_lock_read(snapshot->store);
    bool ok = select_series(plan, budget, err);
    if (!snapshot->held)
        store_unlock(snapshot->store);
    if (!ok)
        return false;
    *snapshot->last = plan;
    snapshot->last = &plan->next;
    *out = plan;
    return true;
}

size_t plan_n(const struct plan *plan)
{
    return plan->n;
}

struct labels plan_labels(const struct plan *plan, size_t i)
{
    return plan->series[i].labels;
}

const struct metric_def *plan_metric(const struct plan *plan, size_t i)
{
    return plan->series[i].def;
}

void plan_range(struct plan *plan, size_t i, int64_t from_ms, int64_t to_ms)
{
    struct planned *s = &plan->series[i];
    ensure(!plan->snapshot->fetched);
    if (!s->wanted || from_ms < s->from)
        s->from = from_ms;
    if (!s->wanted || to_ms > s->to)
        s->to = to_ms;
    s->wanted = true;
}

void plan_resolution(struct plan *plan, size_t i, int64_t resolution_ms)
{
    struct planned *s = &plan->series[i];
    ensure(!plan->snapshot->fetched && resolution_fits(s->def, resolution_ms));
    s->resolution_ms = resolution_ms;
}

/* ---- fetch ---- */

static struct part *part_add(struct snapshot *s, struct part ***at)
{
    struct part *p = arena_zalloc(&s->arena, sizeof *p);
    if (!p)
        return NULL;
    **at = p;
    *at = &p->next;
    return p;
}

/* False: it is an error. Otherwise a partial answer is asked for, and says what it lacks. */
static bool missing(struct snapshot *s, const struct err *why)
{
    char text[ERR_TEXT_MAX + ERR_FILE_MAX];
    if (s->partial && !s->missing)
        s->missing = arena_printf(&s->arena, "%s", err_format(why, text, sizeof text));
    return s->partial;
}

static bool plan_segment(struct snapshot *s, const struct planned *series, size_t segment,
    struct part ***at, struct err *err)
{
    const struct attached *a = &s->store->segments[segment];
    const struct segment_info *info = segment_info(a->segment);
    bool serves = true;
    if (info->max_t <= series->from || info->min_t > series->to)
        return true;
    if (!derive_serves(
            s->store, segment, series->id, series->def->kind, series->resolution_ms, &serves, err))
        return false;
    uint32_t ordinal = SEGMENT_NO_ID;
    if (serves && !attached_find(a, series->id, &ordinal, err))
        return false;
    const struct segment_chunk *chunks = NULL;
    size_t n = 0;
    if (ordinal != SEGMENT_NO_ID &&
        !segment_chunks(a->segment, ordinal, series->from, series->to, &s->arena, &chunks, &n, err))
        return false;
    struct merge_range deleted[DELETIONS_MAX], *without = NULL;
    size_t n_without = n > 0 ? deleted_ranges(s->store, series->id, a->lsn, deleted) : 0;
    if (n_without) {
        without = arena_array(&s->arena, n_without, sizeof *without);
        if (!without)
            return full(err);
        memcpy(without, deleted, n_without * sizeof *without);
    }
    for (size_t i = 0; i < n; i++) {
        struct part *p = part_add(s, at);
        if (!p)
            return full(err);
        p->without = without;
        p->n_without = n_without;
        p->segment = a->segment;
        p->at = segment;
        p->piece = &chunks[i];
        s->cells += chunks[i].n;
        s->bytes += chunks[i].bytes;
    }
    return true;
}

static bool plan_block(struct snapshot *s, const struct planned *series,
    const struct head_block *block, struct part ***at)
{
    const struct head_record *record = head_block_find(block, series->id);
    if (!record)
        return true;
    struct part *p = part_add(s, at);
    if (!p || !(p->head = arena_alloc(&s->arena, sizeof *p->head)) ||
        !head_part_take(block, record, &s->arena, p->head))
        return false;
    uint64_t cells = head_part_cells(p->head, series->from, series->to);
    s->cells += cells;
    s->bytes += cells * sizeof(int64_t) * 2;
    return true;
}

static bool block_overlaps(const struct head_block *block, const struct planned *series)
{
    return block->start < series->to && block->start + block->ms > series->from;
}

/* Which parts a series needs: segments in order of their commits, then the frozen block, then the
 * head. */
static bool plan_parts(struct snapshot *s, struct planned *series, struct err *err)
{
    const struct store *store = s->store;
    struct part **at = &series->parts;
    if (!quarantine_check(store, series->from, series->to, err) && !missing(s, err))
        return false;
    for (size_t i = 0; i < store->n_segments; i++)
        if (!plan_segment(s, series, i, &at, err))
            return false;
    if (store->frozen && block_overlaps(store->frozen->block, series) &&
        !plan_block(s, series, store->frozen->block, &at))
        return full(err);
    for (size_t i = 0; i < store->head.n_blocks; i++)
        if (block_overlaps(store->head.blocks[i], series) &&
            !plan_block(s, series, store->head.blocks[i], &at))
            return full(err);
    return true;
}

static bool check_budget(const struct snapshot *s, const struct read_budget *b, struct err *err)
{
    if (b && b->max_cells && s->cells > b->max_cells)
        return err_set(err, ERR_LIMIT,
            "the query would read %llu samples; %llu are allowed: ask for less time, fewer series, "
            "or "
            "raise the limit",
            (unsigned long long)s->cells, (unsigned long long)b->max_cells);
    if (b && b->max_bytes && s->bytes > b->max_bytes)
        return err_set(err, ERR_LIMIT, "the query would read %llu bytes; %llu are allowed",
            (unsigned long long)s->bytes, (unsigned long long)b->max_bytes);
    return true;
}

/* What can change is copied, under the lock. */
static bool copy_open(struct snapshot *s, struct err *err)
{
    const struct store *store = s->store;
    s->lsn = store->lsn;
    s->n_clocks = store->n_clocks;
    s->clocks = arena_array(&s->arena, store->n_clocks, sizeof *s->clocks);
    s->segments = xcalloc(store->n_segments, sizeof(struct segment *));
    for (size_t i = 0; i < store->n_segments; i++)
        s->segments[s->n_segments++] = segment_get(store->segments[i].segment);
    if (!s->clocks)
        return full(err);
    if (store->n_clocks)
        memcpy(s->clocks, store->clocks, store->n_clocks * sizeof *s->clocks);
    size_t n_blocks = store->head.n_blocks + (store->frozen != NULL);
    s->blocks = xcalloc(n_blocks, sizeof(struct head_block *));
    if (store->frozen)
        s->blocks[s->n_blocks++] = head_block_get(store->frozen->block);
    for (size_t i = 0; i < store->head.n_blocks; i++)
        s->blocks[s->n_blocks++] = head_block_get(store->head.blocks[i]);
    return true;
}

/* Many series share a page: it is read and unpacked once. */
static bool read_part(struct snapshot *s, struct part *p, struct err *err)
{
    uint32_t numbers[CHUNK_PAGES_MAX];
    struct slice raw[CHUNK_PAGES_MAX];
    struct slice **pages = &s->pages[p->at];
    size_t n_pages = segment_pages(p->segment);
    if (!*pages && !(*pages = arena_zalloc(&s->arena, n_pages * sizeof **pages)))
        return full(err);
    size_t n = segment_chunk_pages(p->piece, numbers);
    for (size_t i = 0; i < n; i++) {
        struct slice *page = &(*pages)[numbers[i]];
        ensure(numbers[i] < n_pages);
        if (!page->ptr && !segment_fetch(p->segment, numbers[i], &s->arena, page, err))
            return false;
        raw[i] = *page;
    }
    if (!segment_decode(p->segment, p->piece, raw, &s->arena, &p->columns, err))
        return false;
    return p->n_without == 0 || columns_without(&s->arena, p->without, p->n_without, &p->columns) ||
           full(err);
}

static bool read_segments(struct snapshot *s, const atomic_bool *cancel, struct err *err)
{
    s->pages = arena_zalloc(&s->arena, s->n_segments * sizeof *s->pages);
    if (!s->pages)
        return full(err);
    for (struct plan *plan = s->plans; plan; plan = plan->next)
        for (size_t i = 0; i < plan->n; i++) {
            if (cancel && atomic_load_explicit(cancel, memory_order_relaxed))
                return err_set(err, ERR_CANCELED, "query was canceled");
            for (struct part *p = plan->series[i].parts; p; p = p->next)
                if (p->segment && !read_part(s, p, err)) {
                    if (err->code != ERR_CORRUPT || !missing(s, err))
                        return false;
                    p->columns = (struct columns){.kind = plan->series[i].def->kind};
                }
        }
    return true;
}

/* Whether a series that came after a plan was made belongs to it. */
static bool plans_miss_series(const struct snapshot *s)
{
    const struct catalog *catalog = &s->store->catalog;
    for (const struct plan *plan = s->plans; plan; plan = plan->next)
        for (size_t id = plan->known; id < catalog->n_series; id++)
            if (catalog_matches(catalog, (uint32_t)id, plan->matchers, plan->n_matchers))
                return true;
    return false;
}

/* The lock is held. */
static bool copy_what_changes(struct snapshot *s, const struct read_budget *budget, struct err *err)
{
    if (plans_miss_series(s)) {
        s->stale = true;
        return err_set(err, ERR_UNAVAILABLE, "series appeared while the query was planned");
    }
    for (struct plan *plan = s->plans; plan; plan = plan->next)
        for (size_t i = 0; i < plan->n; i++)
            if (plan->series[i].wanted && !plan_parts(s, &plan->series[i], err))
                return false;
    return check_budget(s, budget, err) && copy_open(s, err);
}

bool snapshot_fetch(struct snapshot *snapshot, const struct read_budget *budget,
    const atomic_bool *cancel, struct err *err)
{
    ensure(!snapshot->fetched);
    if (!snapshot->held)
        store_lock_read(snapshot->store);
    bool ok = copy_what_changes(snapshot, budget, err);
    snapshot->fetched = true;
    snapshot->held = false;
    store_unlock(snapshot->store);
    return ok && read_segments(snapshot, cancel, err);
}

uint64_t snapshot_cells(const struct snapshot *snapshot)
{
    return snapshot->cells;
}

/* ---- cursors ---- */

/* in: derived columns, then raw ones, n in all. */
static bool merge_parts(const struct planned *s, struct columns *in, size_t derived, size_t n,
    struct arena *arena, struct columns *out, struct err *err)
{
    struct columns raw;
    *out = (struct columns){.kind = s->def->kind};
    if (s->resolution_ms && n > derived) {
        if (!columns_merge(arena, in + derived, n - derived, s->from, s->to, &raw))
            return full(err);
        if (columns_have_histograms(&raw))
            return err_set(err, ERR_UNSUPPORTED, "histogram samples have no coarser cells");
        if (!resolution_derive(arena, &raw, s->resolution_ms, &in[derived]))
            return full(err);
        /* Derived samples stand where both have a cell: their raw ones are gone. */
        struct columns last = in[derived];
        in[derived] = in[0];
        in[0] = last;
        n = derived + 1;
    }
    return n == 0 || columns_merge(arena, in, n, s->from, s->to, out) || full(err);
}

bool plan_columns(
    const struct plan *plan, size_t i, struct arena *arena, struct columns *out, struct err *err)
{
    const struct planned *s = &plan->series[i];
    size_t k = 0;
    ensure(plan->snapshot->fetched);
    for (const struct part *p = s->parts; p; p = p->next)
        k += p->head ? head_part_pieces(p->head) : 1;
    if (k == 0) {
        *out = (struct columns){.kind = s->def->kind};
        return true;
    }
    struct columns *in = arena_array(arena, k, sizeof *in);
    if (!in)
        return full(err);
    k = 0;
    /* Derived parts come first: what is read beside them came later. */
    size_t derived = 0;
    for (const struct part *p = s->parts; s->resolution_ms && p; p = p->next)
        if (p->segment && segment_info(p->segment)->resolution_ms)
            in[k++] = p->columns;
    derived = k;
    for (const struct part *p = s->parts; p; p = p->next) {
        size_t n = 1;
        if (p->head && !head_part_columns(p->head, s->from, s->to, arena, in + k, &n, err))
            return false;
        if (p->segment && derived && segment_info(p->segment)->resolution_ms)
            continue;
        if (p->segment)
            in[k] = p->columns;
        k += n;
    }
    return merge_parts(s, in, derived, k, arena, out, err);
}

/* ---- metadata ---- */

static bool block_has_cells(const struct head_block *block, uint32_t series, int64_t from,
    int64_t to, struct arena *arena, bool *has, struct err *err)
{
    struct columns columns;
    *has = false;
    if (!head_block_find(block, series))
        return true;
    if (!head_block_columns(block, series, arena, &columns, err))
        return false;
    *has = columns_after(&columns, from) < columns_after(&columns, to);
    return true;
}

static bool is_deleted(
    const struct segment_chunk *chunk, const struct merge_range *ranges, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ranges[i].from < chunk->min_t && chunk->max_t <= ranges[i].to)
            return true;
    return false;
}

/* *has: whether the series has a cell in (from, to]. */
static bool has_cells(const struct store *store, uint32_t series, int64_t from, int64_t to,
    struct arena *arena, bool *has, struct err *err)
{
    *has = false;
    for (size_t i = 0; i < store->head.n_blocks && !*has; i++)
        if (!block_has_cells(store->head.blocks[i], series, from, to, arena, has, err))
            return false;
    if (!*has && store->frozen &&
        !block_has_cells(store->frozen->block, series, from, to, arena, has, err))
        return false;
    if (*has)
        return true;
    for (size_t i = 0; i < store->n_segments; i++) {
        const struct attached *a = &store->segments[i];
        const struct segment_info *info = segment_info(a->segment);
        if (a->derived && !a->holds)
            continue;
        uint32_t ordinal = SEGMENT_NO_ID;
        if (info->max_t > from && info->min_t <= to && !attached_find(a, series, &ordinal, err))
            return false;
        const struct segment_chunk *chunks;
        size_t n = 0;
        if (ordinal != SEGMENT_NO_ID &&
            !segment_chunks(a->segment, ordinal, from, to, arena, &chunks, &n, err))
            return false;
        struct merge_range deleted[DELETIONS_MAX];
        size_t n_deleted = n > 0 ? deleted_ranges(store, series, a->lsn, deleted) : 0;
        for (size_t k = 0; k < n && !*has; k++)
            *has = !is_deleted(&chunks[k], deleted, n_deleted);
    }
    return true;
}

bool store_each_series(struct store *store, const struct scope *scope,
    const struct matcher *matchers, size_t n, int64_t from_ms, int64_t to_ms, series_f *each,
    void *ctx, struct err *err)
{
    struct snapshot *s = snapshot_get(store);
    struct plan *plan;
    snapshot_hold(s);
    bool ok = plan_new(s, scope, matchers, n, NULL, &plan, err);
    for (size_t i = 0; ok && i < plan->n; i++) {
        bool has = false;
        ok = has_cells(store, plan->series[i].id, from_ms, to_ms, &s->arena, &has, err);
        if (has && !each(ctx, plan->series[i].labels, plan->series[i].def))
            break;
    }
    snapshot_put(&s);
    return ok;
}

static int by_metric_name(const void *a, const void *b)
{
    const struct metric_def *const *x = a, *const *y = b;
    return slice_cmp((*x)->name, (*y)->name);
}

void store_each_metric(struct store *store, metric_f *each, void *ctx)
{
    store_lock_read(store);
    size_t n = store->catalog.n_metrics;
    const struct metric_def **defs = xcalloc(n, sizeof(void *));
    if (n)
        memcpy(defs, store->catalog.metrics, n * sizeof(void *));
    store_unlock(store);
    if (n)
        qsort(defs, n, sizeof(void *), by_metric_name);
    for (size_t i = 0; i < n && each(ctx, defs[i]); i++)
        ;
    free(defs);
}
