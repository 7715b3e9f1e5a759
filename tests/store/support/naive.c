#include "tests/store/support/naive.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/read.h"
#include "store/state/state.h"

struct naive *naive_new(size_t n_series)
{
    struct naive *n = xcalloc(1, sizeof *n);
    n->series = xcalloc(n_series, sizeof *n->series);
    n->n_series = n_series;
    return n;
}

static void cell_fini(struct naive_cell *c)
{
    free(c->buckets);
    if (c->hist) {
        free((void *)(uintptr_t)c->hist->positive);
        free((void *)(uintptr_t)c->hist->negative);
        free((void *)(uintptr_t)c->hist->bounds);
        free(c->hist);
    }
}

void naive_free(struct naive **naive)
{
    struct naive *n = *naive;
    *naive = NULL;
    for (size_t i = 0; i < n->n_series; i++) {
        for (size_t k = 0; k < n->series[i].n; k++)
            cell_fini(&n->series[i].cells[k]);
        free(n->series[i].cells);
    }
    free(n->series);
    free(n);
}

void naive_define(
    struct naive *naive, size_t slot, const struct metric_def *def, struct labels labels)
{
    struct naive_series *s = &naive->series[slot];
    if (s->n_labels)
        return;
    s->def = *def;
    s->n_labels = labels.n;
    memcpy(s->labels, labels.items, labels.n * sizeof *s->labels);
}

/* First cell with a time of t or later. */
static size_t place(const struct naive_series *s, int64_t t)
{
    size_t lo = 0, hi = s->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (s->cells[mid].t < t)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

const struct naive_cell *naive_find(const struct naive *naive, size_t slot, int64_t t)
{
    const struct naive_series *s = &naive->series[slot];
    size_t i = place(s, t);
    return i < s->n && s->cells[i].t == t ? &s->cells[i] : NULL;
}

size_t naive_cells(const struct naive *naive)
{
    size_t n = 0;
    for (size_t i = 0; i < naive->n_series; i++)
        n += naive->series[i].n;
    return n;
}

static struct naive_cell *cell_at(struct naive *naive, size_t slot, int64_t t, bool *is_new)
{
    struct naive_series *s = &naive->series[slot];
    size_t i = place(s, t);
    *is_new = i == s->n || s->cells[i].t != t;
    if (*is_new) {
        GROW(s->cells, s->cap, s->n + 1);
        memmove(&s->cells[i + 1], &s->cells[i], (s->n - i) * sizeof *s->cells);
        s->n++;
        s->cells[i] = (struct naive_cell){.t = t};
    }
    return &s->cells[i];
}

static void drop_cell(struct naive *naive, size_t slot, struct naive_cell *c)
{
    struct naive_series *s = &naive->series[slot];
    size_t i = (size_t)(c - s->cells);
    cell_fini(c);
    memmove(&s->cells[i], &s->cells[i + 1], (s->n - i - 1) * sizeof *s->cells);
    s->n--;
}

void naive_add(struct naive *naive, size_t slot, int64_t t, int128 amount)
{
    bool is_new;
    struct naive_cell *c = cell_at(naive, slot, t, &is_new);
    c->amount += amount;
    if (c->amount == 0)
        drop_cell(naive, slot, c);
}

void naive_gauge(struct naive *naive, size_t slot, int64_t t, const struct gauge_cell *in)
{
    bool is_new;
    struct naive_cell *c = cell_at(naive, slot, t, &is_new);
    bool later =
        is_new || in->last_ms > c->last_ms || (in->last_ms == c->last_ms && in->last > c->last);
    if (later) {
        c->last = in->last;
        c->last_ms = in->last_ms;
    }
    c->min = is_new || in->min < c->min ? in->min : c->min;
    c->max = is_new || in->max > c->max ? in->max : c->max;
    c->amount += in->sum;
    c->count += in->count;
}

static void add_bucket(struct naive_cell *c, struct hist_bucket b)
{
    uint32_t i = 0;
    while (i < c->n_buckets && c->buckets[i].key < b.key)
        i++;
    if (i == c->n_buckets || c->buckets[i].key != b.key) {
        c->buckets = xreallocarray(c->buckets, c->n_buckets + 1, sizeof *c->buckets);
        memmove(&c->buckets[i + 1], &c->buckets[i], (c->n_buckets - i) * sizeof *c->buckets);
        c->buckets[i] = (struct hist_bucket){b.key, 0};
        c->n_buckets++;
    }
    c->buckets[i].count += b.count;
    if (c->buckets[i].count == 0) {
        memmove(&c->buckets[i], &c->buckets[i + 1], (c->n_buckets - i - 1) * sizeof *c->buckets);
        c->n_buckets--;
    }
}

void naive_histogram(struct naive *naive, size_t slot, int64_t t, const struct hist_cell *in)
{
    bool is_new;
    struct naive_cell *c = cell_at(naive, slot, t, &is_new);
    c->amount += in->sum;
    for (uint32_t i = 0; i < in->n; i++)
        add_bucket(c, in->buckets[i]);
    if (c->amount == 0 && c->n_buckets == 0)
        drop_cell(naive, slot, c);
}

void naive_sample(struct naive *naive, size_t slot, int64_t t, uint64_t bits)
{
    bool is_new;
    struct naive_cell *c = cell_at(naive, slot, t, &is_new);
    cell_fini(c);
    *c = (struct naive_cell){.t = t, .bits = bits};
}

static void *copy_array(const void *items, size_t n, size_t size)
{
    void *out = xreallocarray(NULL, n + 1, size);
    if (n)
        memcpy(out, items, n * size);
    return out;
}

void naive_sample_histogram(
    struct naive *naive, size_t slot, int64_t t, const struct hist *histogram)
{
    naive_sample(naive, slot, t, 0);
    bool is_new;
    struct naive_cell *c = cell_at(naive, slot, t, &is_new);
    c->hist = copy_array(histogram, 1, sizeof *histogram);
    c->hist->positive =
        copy_array(histogram->positive, histogram->n_positive, sizeof *histogram->positive);
    c->hist->negative =
        copy_array(histogram->negative, histogram->n_negative, sizeof *histogram->negative);
    c->hist->bounds = copy_array(histogram->bounds, histogram->n_bounds, sizeof *histogram->bounds);
}

void naive_start(struct naive *naive, size_t slot, int64_t t, int64_t start)
{
    struct naive_series *s = &naive->series[slot];
    s->cells[place(s, t)].start = start;
}

void naive_delete(struct naive *naive, size_t slot, int64_t from, int64_t to)
{
    struct naive_series *s = &naive->series[slot];
    for (size_t i = s->n; i-- > 0;)
        if (s->cells[i].t > from && s->cells[i].t <= to)
            drop_cell(naive, slot, &s->cells[i]);
}

struct slice naive_table_name(size_t table)
{
    return table ? SLICE("orders") : SLICE("orders.ids");
}

struct hash128 naive_key(size_t key)
{
    uint64_t mixed = (key + 1) * 11400714819323198485u;
    return (struct hash128){mixed, ~mixed};
}

void naive_source(struct naive *naive, size_t i, const char *name, int64_t next, int64_t newest)
{
    struct naive_position *p = &naive->sources[i];
    *p = (struct naive_position){.known = true, .a = next, .b = newest};
    snprintf(p->name, sizeof p->name, "%s", name);
}

void naive_clock(
    struct naive *naive, size_t i, const char *name, int64_t frontier, int64_t watermark)
{
    struct naive_position *p = &naive->clocks[i];
    snprintf(p->name, sizeof p->name, "%s", name);
    if (!p->known || frontier > p->a)
        p->a = frontier;
    if (!p->known || watermark > p->b)
        p->b = watermark;
    p->known = true;
}

/* ---- comparing ---- */

struct difference {
    char *why;
    size_t size;
};

__attribute__((format(printf, 2, 3))) static bool differs(
    struct difference *d, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(d->why, d->size, fmt, args);
    va_end(args);
    return false;
}

/* The store's error, with its file; tests tell it from a wrong answer by its first word. */
static bool fails(struct difference *d, const char *what, const struct err *err)
{
    char text[ERR_TEXT_MAX + ERR_FILE_MAX + 32];
    return differs(d, "error: %s: %s", what, err_format(err, text, sizeof text));
}

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

static void print_labels(struct labels labels, char *out, size_t size)
{
    size_t at = 0;
    out[0] = 0;
    for (size_t i = 0; i < labels.n && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%.*s=%.*s", i ? "," : "",
            SLICE_FMT(labels.items[i].name), SLICE_FMT(labels.items[i].value));
}

static bool same_series(const struct naive_series *s, const struct metric_def *def,
    const struct columns *c, int64_t from, int64_t to, struct difference *d)
{
    char name[200];
    print_labels((struct labels){s->labels, s->n_labels}, name, sizeof name);
    if (c->n && !same_def(def, &s->def))
        return differs(d, "{%s} has another definition", name);
    size_t k = 0;
    for (size_t i = 0; i < s->n; i++) {
        const struct naive_cell *cell = &s->cells[i];
        if (cell->t <= from || cell->t > to)
            continue;
        if (k == c->n || c->t[k] != cell->t)
            return differs(d, "{%s}: the cell at %" PRId64 " is missing%s", name, cell->t,
                k < c->n ? ", or another one is there" : "");
        if (!same_cell(cell, c, k))
            return differs(d, "{%s}: the cell at %" PRId64 " has another value", name, cell->t);
        k++;
    }
    if (k < c->n)
        return differs(d, "{%s}: a cell at %" PRId64 " should not be there", name, c->t[k]);
    return true;
}

static int by_labels(const void *a, const void *b)
{
    const struct naive_series *const *x = a, *const *y = b;
    return labels_cmp((struct labels){(*x)->labels, (*x)->n_labels},
        (struct labels){(*y)->labels, (*y)->n_labels});
}

static bool same_content(const struct naive *naive, const struct plan *plan, struct arena *arena,
    int64_t from, int64_t to, struct difference *d)
{
    const struct naive_series **sorted = xreallocarray(NULL, naive->n_series, sizeof *sorted);
    size_t n = 0, at = 0;
    bool ok = true;
    for (size_t i = 0; i < naive->n_series; i++)
        if (naive->series[i].n_labels)
            sorted[n++] = &naive->series[i];
    if (n)
        qsort(sorted, n, sizeof *sorted, by_labels);
    /* A series that the store does not list must have no cells; one that only the store lists too:
     * it knows series whose cells are gone. */
    for (size_t i = 0; ok && i < plan_n(plan); i++) {
        struct columns c;
        struct err err;
        struct labels labels = plan_labels(plan, i);
        arena_reset(arena);
        if (!plan_columns(plan, i, arena, &c, &err)) {
            ok = fails(d, "plan_columns", &err);
            break;
        }
        static const struct columns none = {.kind = KIND_SAMPLE};
        int order = -1;
        while (ok && at < n &&
               (order = labels_cmp(
                    (struct labels){sorted[at]->labels, sorted[at]->n_labels}, labels)) < 0)
            ok = same_series(sorted[at++], NULL, &none, from, to, d);
        if (ok && at < n && order == 0)
            ok = same_series(sorted[at++], plan_metric(plan, i), &c, from, to, d);
        else if (ok && c.n)
            ok = differs(d, "a series that nobody wrote, %.*s, has %zu cells",
                SLICE_FMT(plan_metric(plan, i)->name), c.n);
    }
    static const struct columns none = {.kind = KIND_SAMPLE};
    while (ok && at < n)
        ok = same_series(sorted[at++], NULL, &none, from, to, d);
    free(sorted);
    return ok;
}

static bool same_positions(const struct naive *naive, struct store *store, struct difference *d)
{
    for (size_t i = 0; i < NAIVE_POSITIONS; i++) {
        const struct naive_position *s = &naive->sources[i], *c = &naive->clocks[i];
        struct source_state state = {0};
        int64_t frontier = 0, watermark = 0;
        if (s->known && (!store_source(store, slice_from(s->name), &state) || state.next != s->a ||
                            state.newest_ms != s->b))
            return differs(
                d, "source %s stands at %" PRId64 ", not at %" PRId64, s->name, state.next, s->a);
        if (c->known && (!store_clock(store, slice_from(c->name), &frontier, &watermark) ||
                            frontier != c->a || watermark != c->b))
            return differs(
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
        return fails(d, "reading a state table", &err);
    for (size_t g = 0; g < NAIVE_GENERATIONS; g++)
        for (size_t k = 0; k < NAIVE_KEYS; k++) {
            uint64_t record = 0;
            bool found = false;
            if (!store_state_get(
                    store, table, (int64_t)g, naive_key(k), t ? &record : NULL, &found, &err))
                return fails(d, "reading a state table", &err);
            if (found != naive->state.there[t][g][k])
                return differs(d, "table %zu, generation %zu: key %zu is %s", t, g, k,
                    found ? "there and should not be" : "missing");
            if (found && t && record != naive->state.record[t][g][k])
                return differs(d, "table %zu, generation %zu: key %zu has another record", t, g, k);
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

bool naive_compare(const struct naive *naive, struct store *store, int64_t from, int64_t to,
    char *why, size_t why_size)
{
    struct difference d = {why, why_size};
    struct matcher all = {MATCH_NOT_EQUAL, SLICE("__name__"), SLICE(""), NULL};
    struct snapshot *snap = snapshot_get(store);
    struct plan *plan;
    struct arena arena;
    struct err err;
    arena_init(&arena, 0);
    bool ok = plan_new(snap, NULL, &all, 1, NULL, &plan, &err);
    for (size_t i = 0; ok && i < plan_n(plan); i++)
        plan_range(plan, i, from, to);
    ok = ok && snapshot_fetch(snap, NULL, NULL, &err);
    if (!ok)
        fails(&d, "reading", &err);
    ok = ok && same_content(naive, plan, &arena, from, to, &d) &&
         same_positions(naive, store, &d) && same_state(naive, store, &d);
    snapshot_put(&snap);
    arena_fini(&arena);
    return ok;
}
