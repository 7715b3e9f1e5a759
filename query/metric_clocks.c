#include "query/metric_clocks.h"

#include "query/select.h"

struct finder {
    struct eval *eval;
    struct snapshot *snapshot;
    struct metric_clock *items;
    size_t n, cap;
};

static bool is_known(const struct finder *f, struct slice metric)
{
    for (size_t i = 0; i < f->n; i++)
        if (slice_eq(f->items[i].metric, metric))
            return true;
    return false;
}

static bool add(struct finder *f, const struct metric_def *def, struct err *err)
{
    struct metric_clock clock;
    if (!def->clock.len || f->n == METRIC_CLOCKS_MAX || is_known(f, def->name))
        return true;
    if (!snapshot_clock(f->snapshot, def->clock, &clock.frontier_ms, &clock.watermark_ms))
        clock.frontier_ms = clock.watermark_ms = INT64_MIN;
    struct arena *arena = f->eval->arena;
    struct metric_clock *grown = arena_grow(arena, f->items, f->n, &f->cap, sizeof *grown);
    clock.metric = arena_slice(arena, def->name);
    clock.clock = arena_slice(arena, def->clock);
    if (!grown || !clock.metric.ptr || !clock.clock.ptr)
        return eval_no_memory(f->eval, err);
    f->items = grown;
    f->items[f->n++] = clock;
    return true;
}

bool metric_clocks_of(struct eval *eval, struct selections *from, struct metric_clock **out,
    size_t *n, struct err *err)
{
    struct finder f = {.eval = eval, .snapshot = from->snapshot};
    for (size_t i = 0; i < from->n; i++) {
        const struct plan *plan = from->items[i].plan;
        const struct metric_def *last = NULL;
        size_t n_series = plan_n(plan);
        if (!eval_check(eval, err))
            return false;
        /* In order of labels, and so of metrics. */
        for (size_t k = 0; k < n_series; k++) {
            const struct metric_def *def = plan_metric(plan, k);
            if (def != last && !add(&f, def, err))
                return false;
            last = def;
        }
    }
    *out = f.items;
    *n = f.n;
    return true;
}
