#include "query/series_set.h"

#include <stdlib.h>
#include <string.h>

static bool is_empty(const struct vector *x, size_t series)
{
    const bool *present = x->present + series * x->n_steps;
    return memchr(present, true, x->n_steps) == NULL;
}

/* Series from goes to place to <= from. */
static void move_series(struct vector *x, size_t to, size_t from)
{
    if (to == from)
        return;
    size_t n = x->n_steps;
    x->labels[to] = x->labels[from];
    if (x->drop_name)
        x->drop_name[to] = x->drop_name[from];
    memcpy(x->v + to * n, x->v + from * n, n * sizeof *x->v);
    memcpy(x->present + to * n, x->present + from * n, n * sizeof *x->present);
    if (x->h)
        memcpy(x->h + to * n, x->h + from * n, n * sizeof *x->h);
}

static void keep_first(struct eval *eval, struct vector *x, size_t n)
{
    uint64_t freed = (uint64_t)(x->n - n) * x->n_steps;
    eval->samples -= freed < eval->samples ? freed : eval->samples;
    x->n = n;
}

void series_drop_empty(struct eval *eval, struct vector *x)
{
    size_t n = 0;
    for (size_t s = 0; s < x->n; s++)
        if (!is_empty(x, s))
            move_series(x, n++, s);
    keep_first(eval, x, n);
}

static bool is_metadata(struct slice name)
{
    return slice_is(name, LABEL_METRIC_NAME) || slice_is(name, "__type__") ||
           slice_is(name, "__unit__");
}

struct labels labels_without_metric(struct arena *arena, struct labels labels)
{
    size_t n = 0;
    for (size_t i = 0; i < labels.n; i++)
        n += !is_metadata(labels.items[i].name);
    if (n == labels.n)
        return labels;
    if (n == 0)
        return (struct labels){NULL, 0};
    struct label *items = arena_array(arena, n, sizeof *items);
    if (!items)
        return (struct labels){NULL, n};
    n = 0;
    for (size_t i = 0; i < labels.n; i++)
        if (!is_metadata(labels.items[i].name))
            items[n++] = labels.items[i];
    return (struct labels){items, n};
}

static bool take_name_off(struct eval *eval, struct vector *x, size_t series, struct err *err)
{
    x->labels[series] = labels_without_metric(eval->arena, x->labels[series]);
    return (x->labels[series].n && !x->labels[series].items) ? eval_no_memory(eval, err) : true;
}

bool series_drop_names(struct eval *eval, struct vector *x, struct err *err)
{
    if (eval->options->delayed_name_removal) {
        if (!vector_drop_names(eval, x, err))
            return false;
        for (size_t s = 0; s < x->n; s++)
            x->drop_name[s] = true;
        return true;
    }
    for (size_t s = 0; s < x->n; s++)
        if (!take_name_off(eval, x, s, err))
            return false;
    return true;
}

/* ---- equal labels ---- */

struct ranked {
    uint64_t hash;
    size_t series;
    const struct labels *labels;
};

/* By labels, and among equal ones by place. */
static int cmp_ranked(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    int c = labels_cmp(*x->labels, *y->labels);
    return c ? c : (x->series > y->series) - (x->series < y->series);
}

/* Orders the series so that those with equal labels are neighbours. */
static bool rank(struct eval *eval, const struct vector *x, struct ranked **out, struct err *err)
{
    struct ranked *r = arena_array(eval->arena, x->n, sizeof *r);
    if (!r)
        return eval_no_memory(eval, err);
    for (size_t s = 0; s < x->n; s++)
        r[s] = (struct ranked){labels_hash(x->labels[s]), s, &x->labels[s]};
    qsort(r, x->n, sizeof *r, cmp_ranked);
    *out = r;
    return true;
}

static bool same(const struct ranked *a, const struct ranked *b)
{
    return a->hash == b->hash && labels_cmp(*a->labels, *b->labels) == 0;
}

static bool fail_same(struct err *err)
{
    return eval_fail(err, "vector cannot contain metrics with the same labelset");
}

static bool merge_into(struct vector *x, size_t to, size_t from)
{
    size_t n = x->n_steps;
    for (size_t k = 0; k < n; k++) {
        if (!x->present[from * n + k])
            continue;
        if (x->present[to * n + k])
            return false;
        x->present[to * n + k] = true;
        x->v[to * n + k] = x->v[from * n + k];
        if (x->h)
            x->h[to * n + k] = x->h[from * n + k];
        x->present[from * n + k] = false;
    }
    return true;
}

bool series_merge_same(struct eval *eval, struct vector *x, struct err *err)
{
    if (x->n < 2)
        return true;
    struct ranked *r;
    if (!rank(eval, x, &r, err))
        return false;
    bool merged = false;
    for (size_t i = 1, first = 0; i < x->n; i++) {
        if (!same(&r[first], &r[i])) {
            first = i;
            continue;
        }
        if (!merge_into(x, r[first].series, r[i].series))
            return fail_same(err);
        merged = true;
    }
    if (merged)
        series_drop_empty(eval, x);
    return true;
}

bool series_lose_names(struct eval *eval, struct vector *x, struct err *err)
{
    return series_drop_names(eval, x, err) &&
           (eval->options->delayed_name_removal || series_merge_same(eval, x, err));
}

bool series_check_same(struct eval *eval, const struct vector *x, struct err *err)
{
    if (x->n < 2)
        return true;
    struct ranked *r;
    if (!rank(eval, x, &r, err))
        return false;
    for (size_t i = 1; i < x->n; i++)
        if (same(&r[i - 1], &r[i]))
            return fail_same(err);
    return true;
}

bool series_finish_names(struct eval *eval, struct vector *x, struct err *err)
{
    if (!x->drop_name)
        return true;
    for (size_t s = 0; s < x->n; s++)
        if (x->drop_name[s] && !take_name_off(eval, x, s, err))
            return false;
    return series_merge_same(eval, x, err);
}
