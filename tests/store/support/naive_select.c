/* Which series: matchers, scope, listing. Regular expressions are POSIX' here. See naive.h. */
#include <inttypes.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "tests/store/support/naive.h"

static bool matches_pattern(struct slice pattern, struct slice value)
{
    char whole[200], text[200];
    regex_t regex;
    snprintf(whole, sizeof whole, "^(%.*s)$", SLICE_FMT(pattern));
    snprintf(text, sizeof text, "%.*s", SLICE_FMT(value));
    ensure(regcomp(&regex, whole, REG_EXTENDED | REG_NOSUB) == 0);
    bool matches = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return matches;
}

static bool one_selects(const struct matcher *m, const struct label *labels, size_t n)
{
    struct slice value = SLICE("");
    for (size_t i = 0; i < n; i++)
        if (slice_eq(labels[i].name, m->name))
            value = labels[i].value;
    switch (m->op) {
    case MATCH_EQUAL: return slice_eq(value, m->value);
    case MATCH_NOT_EQUAL: return !slice_eq(value, m->value);
    case MATCH_REGEX: return matches_pattern(m->value, value);
    case MATCH_NOT_REGEX: return !matches_pattern(m->value, value);
    }
    return false;
}

bool naive_selects(
    const struct naive_selection *selection, const struct label *labels, size_t n_labels)
{
    bool selects = true;
    for (size_t i = 0; selects && i < selection->n; i++)
        selects = one_selects(&selection->matchers[i], labels, n_labels);
    return selects;
}

/* The order of plans, pair by pair, shorter first. */
static int by_labels(const void *a, const void *b)
{
    const struct naive_series *x = *(const struct naive_series *const *)a;
    const struct naive_series *y = *(const struct naive_series *const *)b;
    for (size_t i = 0; i < x->n_labels && i < y->n_labels; i++) {
        int c = slice_cmp(x->labels[i].name, y->labels[i].name);
        c = c ? c : slice_cmp(x->labels[i].value, y->labels[i].value);
        if (c)
            return c;
    }
    return (x->n_labels > y->n_labels) - (x->n_labels < y->n_labels);
}

const struct naive_series **naive_select(
    const struct naive *naive, const struct naive_selection *selection, size_t *n)
{
    const struct naive_series **all = xreallocarray(NULL, naive->n_series + 1, sizeof(void *));
    *n = 0;
    for (size_t i = 0; i < naive->n_series; i++) {
        const struct naive_series *s = &naive->series[i];
        if (s->n_labels && naive_selects(selection, s->labels, s->n_labels))
            all[(*n)++] = s;
    }
    if (*n)
        qsort(all, *n, sizeof *all, by_labels);
    return all;
}

const struct naive_series *naive_among(
    const struct naive_series *const *all, size_t n, struct labels labels)
{
    struct naive_series wanted = {.n_labels = labels.n};
    const struct naive_series *key = &wanted;
    if (n == 0 || labels.n > sizeof wanted.labels / sizeof *wanted.labels)
        return NULL;
    memcpy(wanted.labels, labels.items, labels.n * sizeof *wanted.labels);
    const struct naive_series *const *found = bsearch(&key, all, n, sizeof *all, by_labels);
    return found ? *found : NULL;
}

void naive_name(const struct naive_series *series, char *out, size_t size)
{
    size_t at = 0;
    out[0] = 0;
    for (size_t i = 0; i < series->n_labels && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%.*s=%.*s", i ? "," : "",
            SLICE_FMT(series->labels[i].name), SLICE_FMT(series->labels[i].value));
}

bool naive_plan(struct snapshot *snapshot, const struct naive_selection *selection,
    struct scope *scope, struct plan **plan, struct difference *d)
{
    const struct matcher *m = selection->matchers;
    struct err err;
    *scope = (struct scope){SLICE("tester"), m, selection->n_scope};
    if (plan_new(snapshot, selection->n_scope ? scope : NULL, m + selection->n_scope,
            selection->n - selection->n_scope, NULL, plan, &err))
        return true;
    return naive_fails(d, "planning", &err);
}

/* ---- listing ---- */

struct listing {
    const struct naive_series **all; /* those that are not listed yet, in order */
    size_t n, at;
    int64_t from, to;
    bool ok;
    struct difference *d;
};

/* Raw cells that retention may have taken do not count. */
static bool has_cell(const struct naive_series *s, int64_t from, int64_t to)
{
    from = from < s->gone[NAIVE_RAW] ? s->gone[NAIVE_RAW] : from;
    size_t i = naive_place(s, from);
    if (i < s->n && s->cells[i].t == from)
        i++;
    return i < s->n && s->cells[i].t <= to;
}

/* Those before `end` are not listed: they must not have cells. */
static bool pass_over(struct listing *l, size_t end)
{
    char name[200];
    for (; l->ok && l->at < end; l->at++)
        if (has_cell(l->all[l->at], l->from, l->to)) {
            naive_name(l->all[l->at], name, sizeof name);
            l->ok = naive_differs(l->d, "{%s} has cells in the range and is not listed", name);
        }
    return l->ok;
}

static bool check_listed(void *ctx, struct labels labels, const struct metric_def *def)
{
    struct listing *l = ctx;
    size_t at = l->at;
    char name[200];
    while (at < l->n &&
           labels_cmp((struct labels){l->all[at]->labels, l->all[at]->n_labels}, labels) != 0)
        at++;
    if (at == l->n)
        l->ok = naive_differs(l->d,
            "a series of %.*s is listed that is not selected, or not in its place",
            SLICE_FMT(def->name));
    if (!l->ok || !pass_over(l, at))
        return false;
    naive_name(l->all[at], name, sizeof name);
    /* What has lost raw cells may be listed still, by its coarser ones. */
    if (l->from >= l->all[at]->gone[NAIVE_RAW] && !has_cell(l->all[at], l->from, l->to))
        l->ok = naive_differs(l->d, "{%s} has no cell in the range and is listed", name);
    l->at = at + 1;
    return l->ok;
}

bool naive_compare_listing(const struct naive *naive, struct store *store,
    const struct naive_selection *selection, int64_t from, int64_t to, struct difference *d)
{
    const struct matcher *m = selection->matchers;
    struct scope scope = {SLICE("tester"), m, selection->n_scope};
    struct listing l = {.from = from, .to = to, .ok = true, .d = d};
    struct err err;
    l.all = naive_select(naive, selection, &l.n);
    if (!store_each_series(store, selection->n_scope ? &scope : NULL, m + selection->n_scope,
            selection->n - selection->n_scope, from, to, check_listed, &l, &err))
        l.ok = naive_fails(d, "listing", &err);
    bool ok = l.ok && pass_over(&l, l.n);
    free(l.all);
    if (!ok && strlen(d->why) + 60 < d->size)
        snprintf(d->why + strlen(d->why), 60, ", (%" PRId64 ", %" PRId64 "]", from, to);
    return ok;
}
