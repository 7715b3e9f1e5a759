/* Metadata: which series and metrics there are. See read.h. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "store/snapshot_priv.h"

static bool is_deleted(const struct part *p)
{
    for (size_t i = 0; i < p->n_without; i++)
        if (p->without[i].from < p->piece->min_t && p->piece->max_t <= p->without[i].to)
            return true;
    return false;
}

/* Whether a derived segment has cells of the series: the raw ones may be gone. */
static bool has_derived(
    struct snapshot *s, const struct planned *series, bool *has, struct err *err)
{
    for (size_t i = 0; i < s->n_segments && !*has; i++) {
        const struct attached *a = &s->segments[i];
        const struct segment_info *info = segment_info(a->segment);
        const struct segment_chunk *chunks;
        uint32_t ordinal;
        size_t n = 0;
        if (!a->derived || !a->holds || info->max_t <= series->from || info->min_t > series->to)
            continue;
        if (!attached_find(a, series->id, &ordinal, err) ||
            (ordinal != SEGMENT_NO_ID && !segment_chunks(a->segment, ordinal, series->from,
                                             series->to, &s->arena, &chunks, &n, err)))
            return false;
        *has = n > 0;
    }
    return true;
}

/* *has: whether the series has a cell in its range. The metadata of a segment's chunks say that;
 * cells of the head may cancel out, so they are looked at. */
static bool has_cells(
    struct plan *plan, size_t i, struct arena *scratch, bool *has, struct err *err)
{
    const struct planned *s = &plan->series[i];
    struct columns columns;
    bool head = false;
    *has = false;
    for (const struct part *p = s->parts; p && !*has; p = p->next) {
        *has = !p->head && !is_deleted(p);
        head |= p->head != NULL;
    }
    if (*has)
        return true;
    arena_reset(scratch);
    if (head && !plan_columns(plan, i, scratch, &columns, err))
        return false;
    *has = head && columns.n > 0;
    return *has || has_derived(plan->snapshot, s, has, err);
}

bool store_each_series(struct store *store, const struct scope *scope,
    const struct matcher *matchers, size_t n, int64_t from_ms, int64_t to_ms, series_f *each,
    void *ctx, struct err *err)
{
    struct snapshot *s = snapshot_get(store);
    struct plan *plan;
    struct arena scratch;
    arena_init(&scratch, 0);
    bool ok = plan_new(s, scope, matchers, n, NULL, &plan, err);
    for (size_t i = 0; ok && i < plan->n; i++)
        plan_range(plan, i, from_ms, to_ms);
    s->fetched = ok; /* no page is needed */
    ok = ok && plans_take_parts(s, err);
    for (size_t i = 0; ok && i < plan->n; i++) {
        bool has = false;
        ok = has_cells(plan, i, &scratch, &has, err);
        if (has && !each(ctx, plan->series[i].labels, plan->series[i].def))
            break;
    }
    arena_fini(&scratch);
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
    catalog_lock_read(&store->catalog);
    size_t n = store->catalog.n_metrics;
    const struct metric_def **defs = xcalloc(n, sizeof(void *));
    if (n)
        memcpy(defs, store->catalog.metrics, n * sizeof(void *));
    catalog_unlock(&store->catalog);
    if (n)
        qsort(defs, n, sizeof(void *), by_metric_name);
    for (size_t i = 0; i < n && each(ctx, defs[i]); i++)
        ;
    free(defs);
}
