#include "tests/store/support/naive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct naive *naive_new(size_t n_series)
{
    struct naive *n = xcalloc(1, sizeof *n);
    n->series = xcalloc(n_series, sizeof *n->series);
    n->n_series = n_series;
    for (size_t i = 0; i < n_series; i++)
        for (int age = 0; age < NAIVE_AGES; age++)
            n->series[i].gone[age] = INT64_MIN;
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
    if (s->n_labels && s->def.help.ptr == def->help.ptr)
        return;
    s->n_labels = labels.n;
    memcpy(s->labels, labels.items, labels.n * sizeof *s->labels);
    /* A metric has one description, the last one. */
    for (size_t i = 0; i < naive->n_series; i++)
        if (i == slot || slice_eq(naive->series[i].def.name, def->name))
            naive->series[i].def = *def;
}

size_t naive_place(const struct naive_series *s, int64_t t)
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
    size_t i = naive_place(s, t);
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
    size_t i = naive_place(s, t);
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

void naive_add_bucket(struct naive_cell *c, struct hist_bucket b)
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
        naive_add_bucket(c, in->buckets[i]);
    if (c->amount == 0 && c->n_buckets == 0)
        drop_cell(naive, slot, c);
}

void naive_sample(struct naive *naive, size_t slot, int64_t t, uint64_t bits)
{
    bool is_new;
    struct naive_cell *c = cell_at(naive, slot, t, &is_new);
    cell_fini(c);
    *c = (struct naive_cell){
        .t = t, .bits = bits, .vague = t <= naive->series[slot].gone[NAIVE_RAW]};
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
    naive->series[slot].histograms = true;
}

void naive_start(struct naive *naive, size_t slot, int64_t t, int64_t start)
{
    struct naive_series *s = &naive->series[slot];
    s->cells[naive_place(s, t)].start = start;
}

void naive_delete(struct naive *naive, size_t slot, int64_t from, int64_t to)
{
    struct naive_series *s = &naive->series[slot];
    for (size_t i = s->n; i-- > 0;)
        if (s->cells[i].t > from && s->cells[i].t <= to)
            drop_cell(naive, slot, &s->cells[i]);
}

void naive_retain(struct naive *naive, size_t slot, enum naive_age age, int64_t to)
{
    int64_t *gone = &naive->series[slot].gone[age];
    *gone = to > *gone ? to : *gone;
}

int64_t naive_gone(const struct naive_series *series, enum naive_age age)
{
    int64_t raw = series->gone[NAIVE_RAW];
    return series->gone[age] < raw ? series->gone[age] : raw;
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

void naive_source(struct naive *naive, size_t i, const char *name, int64_t next, int64_t newest,
    struct slice state)
{
    struct naive_position *p = &naive->sources[i];
    *p = (struct naive_position){.known = true, .a = next, .b = newest, .state_len = state.len};
    snprintf(p->name, sizeof p->name, "%s", name);
    if (state.len)
        memcpy(p->state, state.ptr, state.len);
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
