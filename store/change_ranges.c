#include "store/change_ranges.h"

#include <stdlib.h>

/* CHANGE_ALL comes first. */
static int64_t rank(uint32_t id)
{
    return id == CHANGE_ALL ? -1 : (int64_t)id;
}

int change_compare(const struct change *a, const struct change *b)
{
    if (a->metric != b->metric)
        return rank(a->metric) < rank(b->metric) ? -1 : 1;
    if (a->series != b->series)
        return rank(a->series) < rank(b->series) ? -1 : 1;
    if (a->from_ms != b->from_ms)
        return a->from_ms < b->from_ms ? -1 : 1;
    return (a->to_ms > b->to_ms) - (a->to_ms < b->to_ms);
}

static bool is_near(const struct change *a, const struct change *b, int64_t near_ms)
{
    return b->from_ms <= a->to_ms || (uint64_t)b->from_ms - (uint64_t)a->to_ms <= (uint64_t)near_ms;
}

bool change_join(struct change *into, const struct change *b, int64_t near_ms)
{
    if (into->metric != b->metric || into->series != b->series || !is_near(into, b, near_ms))
        return false;
    into->to_ms = b->to_ms > into->to_ms ? b->to_ms : into->to_ms;
    return true;
}

static int compare(const void *a, const void *b)
{
    return change_compare(a, b);
}

/* Whether one of the ranges [first, end), ascending and apart, holds that of c. */
static bool is_inside(const struct change *ranges, size_t n, const struct change *c)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (ranges[mid].from_ms <= c->from_ms)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo > 0 && ranges[lo - 1].to_ms >= c->to_ms;
}

size_t changes_join(struct change *changes, size_t n)
{
    size_t kept = 0, all = 0, metric = 0, n_metric = 0;
    if (n)
        qsort(changes, n, sizeof *changes, compare);
    for (size_t i = 0; i < n; i++) {
        struct change c = changes[i];
        if (kept && change_join(&changes[kept - 1], &c, 0))
            continue;
        if (kept == 0 || changes[kept - 1].metric != c.metric)
            metric = kept, n_metric = 0;
        if ((c.metric != CHANGE_ALL && is_inside(changes, all, &c)) ||
            (c.series != CHANGE_ALL && is_inside(changes + metric, n_metric, &c)))
            continue;
        changes[kept++] = c;
        all += c.metric == CHANGE_ALL;
        n_metric += c.series == CHANGE_ALL;
    }
    return kept;
}
