/* What was written: cells, positions, state tables. See naive.h. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/state/state.h"
#include "tests/store/support/naive.h"

bool naive_differs(struct difference *d, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(d->why, d->size, fmt, args);
    va_end(args);
    return false;
}

bool naive_fails(struct difference *d, const char *what, const struct err *err)
{
    char text[ERR_TEXT_MAX + ERR_FILE_MAX + 32];
    return naive_differs(d, "error: %s: %s", what, err_format(err, text, sizeof text));
}

/* ---- cells ---- */

static bool same_doubles(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

static bool same_buckets(
    const struct hist_fbucket *a, uint32_t n_a, const struct hist_fbucket *b, uint32_t n_b)
{
    if (n_a != n_b)
        return false;
    for (uint32_t i = 0; i < n_a; i++)
        if (a[i].index != b[i].index || !same_doubles(a[i].count, b[i].count))
            return false;
    return true;
}

static bool same_hist(const struct hist *a, const struct hist *b)
{
    if (!a || !b)
        return a == b;
    if (a->schema != b->schema || a->reset_hint != b->reset_hint || a->n_bounds != b->n_bounds ||
        !same_doubles(a->zero_threshold, b->zero_threshold) ||
        !same_doubles(a->zero_count, b->zero_count) || !same_doubles(a->count, b->count) ||
        !same_doubles(a->sum, b->sum))
        return false;
    for (uint32_t i = 0; i < a->n_bounds; i++)
        if (!same_doubles(a->bounds[i], b->bounds[i]))
            return false;
    return same_buckets(a->positive, a->n_positive, b->positive, b->n_positive) &&
           same_buckets(a->negative, a->n_negative, b->negative, b->n_negative);
}

static bool same_cell(const struct naive_cell *n, const struct columns *c, size_t i)
{
    switch (c->kind) {
    case KIND_COUNTER:
    case KIND_LEVEL: return c->amount[i] == n->amount;
    case KIND_GAUGE:
        return c->last[i] == n->last && c->last_ms[i] == n->last_ms && c->min[i] == n->min &&
               c->max[i] == n->max && c->sum[i] == n->amount && c->count[i] == n->count;
    case KIND_HISTOGRAM: {
        uint32_t at = c->bucket_at[i], buckets = c->bucket_at[i + 1] - at;
        bool same = c->sum[i] == n->amount && buckets == n->n_buckets;
        for (uint32_t k = 0; same && k < buckets; k++)
            same = c->bucket[at + k].key == n->buckets[k].key &&
                   c->bucket[at + k].count == n->buckets[k].count;
        return same;
    }
    case KIND_SAMPLE: {
        const struct hist *h = c->hist ? c->hist[i] : NULL;
        int64_t start = c->start ? c->start[i] : 0;
        return same_hist(h, n->hist) && (h || c->bits[i] == n->bits) && start == n->start;
    }
    }
    return false;
}

static bool same_def(const struct metric_def *a, const struct metric_def *b)
{
    return a->kind == b->kind && a->digits == b->digits && a->every_ms == b->every_ms &&
           (a->kind != KIND_HISTOGRAM || a->schema == b->schema) && slice_eq(a->name, b->name) &&
           slice_eq(a->help, b->help) && slice_eq(a->unit, b->unit) &&
           slice_eq(a->clock, b->clock) && a->stale_after_ms == b->stale_after_ms;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static bool same_series(const struct naive_series *s, const struct metric_def *def,
    const struct columns *c, int64_t from, int64_t to, struct difference *d)
{
    char name[200];
    naive_name(s, name, sizeof name);
    if (c->n && !same_def(def, &s->def))
        return naive_differs(d, "{%s} has another definition", name);
    size_t k = 0;
    from = later(from, s->gone[NAIVE_RAW]);
    for (size_t i = naive_place(s, from); i < s->n && s->cells[i].t <= to; i++) {
        const struct naive_cell *cell = &s->cells[i];
        if (cell->t == from)
            continue;
        if (k == c->n || c->t[k] != cell->t)
            return naive_differs(d, "{%s}: the cell at %" PRId64 " is missing%s", name, cell->t,
                k < c->n ? ", or another one is there" : "");
        if (!same_cell(cell, c, k))
            return naive_differs(
                d, "{%s}: the cell at %" PRId64 " has another value", name, cell->t);
        k++;
    }
    if (k < c->n)
        return naive_differs(d, "{%s}: a cell at %" PRId64 " should not be there", name, c->t[k]);
    return true;
}

/* Whether series that the store does not list have no cells. */
static bool none_is_missing(const struct naive_series *const *all, size_t n,
    const struct plan *plan, int64_t from, int64_t to, struct difference *d)
{
    static const struct columns none = {.kind = KIND_SAMPLE};
    size_t at = 0;
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        struct labels labels = {all[i]->labels, all[i]->n_labels};
        while (at < plan_n(plan) && labels_cmp(plan_labels(plan, at), labels) < 0)
            at++;
        if (at == plan_n(plan) || labels_cmp(plan_labels(plan, at), labels) != 0)
            ok = same_series(all[i], NULL, &none, from, to, d);
    }
    return ok;
}

static bool same_content(const struct naive_series *const *all, size_t n, const struct plan *plan,
    int64_t from, int64_t to, struct difference *d)
{
    struct arena arena;
    bool ok = none_is_missing(all, n, plan, from, to, d);
    arena_init(&arena, 0);
    for (size_t i = 0; ok && i < plan_n(plan); i++) {
        struct columns c;
        struct err err;
        const struct naive_series *s = naive_among(all, n, plan_labels(plan, i));
        arena_reset(&arena);
        if (!plan_columns(plan, i, &arena, &c, &err))
            ok = naive_fails(d, "plan_columns", &err);
        else if (s)
            ok = same_series(s, plan_metric(plan, i), &c, from, to, d);
        else if (c.n > 0) /* one that was defined and never written has no cells */
            ok = naive_differs(d, "a series of %.*s that nobody wrote, or that is not selected",
                SLICE_FMT(plan_metric(plan, i)->name));
    }
    arena_fini(&arena);
    return ok;
}

bool naive_compare_raw(const struct naive *naive, struct store *store,
    const struct naive_selection *selection, int64_t from, int64_t to, struct difference *d)
{
    struct snapshot *snap = snapshot_get(store);
    struct scope scope;
    struct plan *plan;
    struct err err;
    size_t n;
    const struct naive_series **all = naive_select(naive, selection, &n);
    bool ok = naive_plan(snap, selection, &scope, &plan, d);
    for (size_t i = 0; ok && i < plan_n(plan); i++) {
        const struct naive_series *s = naive_among(all, n, plan_labels(plan, i));
        plan_range(plan, i, s ? later(from, s->gone[NAIVE_RAW]) : from, to);
    }
    if (ok && !snapshot_fetch(snap, NULL, NULL, &err))
        ok = naive_fails(d, "reading", &err);
    ok = ok && same_content(all, n, plan, from, to, d);
    snapshot_put(&snap);
    free(all);
    return ok;
}

/* ---- positions and state ---- */

static bool same_positions(const struct naive *naive, struct store *store, struct difference *d)
{
    for (size_t i = 0; i < NAIVE_POSITIONS; i++) {
        const struct naive_position *s = &naive->sources[i], *c = &naive->clocks[i];
        struct source_state state = {0};
        int64_t frontier = 0, watermark = 0;
        if (s->known && (!store_source(store, slice_from(s->name), &state) || state.next != s->a ||
                            state.newest_ms != s->b))
            return naive_differs(
                d, "source %s stands at %" PRId64 ", not at %" PRId64, s->name, state.next, s->a);
        if (s->known &&
            (state.state_len != s->state_len || memcmp(state.state, s->state, s->state_len) != 0))
            return naive_differs(d, "source %s has another state", s->name);
        if (c->known && (!store_clock(store, slice_from(c->name), &frontier, &watermark) ||
                            frontier != c->a || watermark != c->b))
            return naive_differs(
                d, "clock %s stands at %" PRId64 ", not at %" PRId64, c->name, frontier, c->a);
    }
    return true;
}

static bool same_table(
    const struct naive *naive, size_t t, struct store *store, struct difference *d)
{
    uint32_t table, bytes;
    struct err err;
    if (!store_state_table(store, naive_table_name(t), &table, &bytes, &err))
        return naive_fails(d, "reading a state table", &err);
    for (size_t g = 0; g < NAIVE_GENERATIONS; g++)
        for (size_t k = 0; k < NAIVE_KEYS; k++) {
            uint64_t record = 0;
            bool found = false;
            if (!store_state_get(
                    store, table, (int64_t)g, naive_key(k), t ? &record : NULL, &found, &err))
                return naive_fails(d, "reading a state table", &err);
            if (found != naive->state.there[t][g][k])
                return naive_differs(d, "table %zu, generation %zu: key %zu is %s", t, g, k,
                    found ? "there and should not be" : "missing");
            if (found && t && record != naive->state.record[t][g][k])
                return naive_differs(
                    d, "table %zu, generation %zu: key %zu has another record", t, g, k);
        }
    return true;
}

static bool same_state(const struct naive *naive, struct store *store, struct difference *d)
{
    bool same = true;
    for (size_t t = 0; same && t < NAIVE_TABLES; t++)
        same = !naive->state.known[t] || same_table(naive, t, store, d);
    return same;
}

bool naive_compare_positions(const struct naive *naive, struct store *store, struct difference *d)
{
    return same_positions(naive, store, d) && same_state(naive, store, d);
}

bool naive_compare(const struct naive *naive, struct store *store, int64_t from, int64_t to,
    char *why, size_t why_size)
{
    struct difference d = {why, why_size};
    const struct naive_selection all = {
        .matchers = {{MATCH_NOT_EQUAL, SLICE("__name__"), SLICE(""), NULL}}, .n = 1};
    return naive_compare_raw(naive, store, &all, from, to, &d) &&
           naive_compare_positions(naive, store, &d);
}
