/* In which resolutions a range is whole. See read.h. */
#include <stdlib.h>

#include "base/ensure.h"
#include "store/resolution.h"
#include "store/snapshot_priv.h"

/* A kept segment that has the series. */
struct holding {
    int64_t t0;
    unsigned resolution; /* WHOLE_1M, ... */
};

static int by_window(const void *a, const void *b)
{
    const struct holding *x = a, *y = b;
    return (x->t0 > y->t0) - (x->t0 < y->t0);
}

/* What of a window could be kept; nobody knows what is in the one that is set aside. */
#define WHOLE_COARSE (WHOLE_1M | WHOLE_1H | WHOLE_1D)

static bool add_attached(const struct snapshot *s, const struct planned *series, int64_t from,
    int64_t to, struct holding *out, size_t *n, struct err *err)
{
    for (size_t i = 0; i < s->n_segments; i++) {
        const struct attached *a = &s->segments[i];
        const struct segment_info *info = segment_info(a->segment);
        uint32_t ordinal;
        if (!a->holds || !a->kept || info->t0 >= to || info->t1 <= from)
            continue;
        if (!attached_find(a, series->id, &ordinal, err))
            return false;
        if (ordinal != SEGMENT_NO_ID)
            out[(*n)++] =
                (struct holding){info->t0, WHOLE_1M << resolution_index(info->resolution_ms)};
    }
    return true;
}

/* Kept segments that are set aside: of whatever resolution they are, raw cells are gone. */
static void add_set_aside(
    const struct snapshot *s, int64_t from, int64_t to, struct holding *out, size_t *n)
{
    for (size_t i = 0; i < s->n_quarantined; i++) {
        const struct quarantined *q = &s->quarantined[i];
        if (q->kept && q->t0 < to && q->t1 > from)
            out[(*n)++] = (struct holding){q->t0, WHOLE_COARSE};
    }
}

bool plan_whole(
    struct plan *plan, size_t i, int64_t from_ms, int64_t to_ms, unsigned *whole, struct err *err)
{
    struct snapshot *s = plan->snapshot;
    const struct planned *series = &plan->series[i];
    ensure(!s->fetched);
    struct holding *list = arena_array(&s->arena, s->n_segments + s->n_quarantined, sizeof *list);
    size_t n = 0;
    if (!list)
        return snapshot_full(err);
    if (!add_attached(s, series, from_ms, to_ms, list, &n, err))
        return false;
    add_set_aside(s, from_ms, to_ms, list, &n);
    *whole = WHOLE_RAW;
    for (int r = 0; r < RESOLUTIONS; r++)
        if (resolution_fits(series->def, resolutions[r]))
            *whole |= WHOLE_1M << r;
    if (n)
        qsort(list, n, sizeof *list, by_window);
    for (size_t at = 0, end; at < n; at = end) {
        unsigned window = 0;
        for (end = at; end < n && list[end].t0 == list[at].t0; end++)
            window |= list[end].resolution;
        *whole &= window;
    }
    return true;
}
