/* Which segments hold, and which of them serve a reader. See derive.h. */
#include <stdlib.h>

#include "base/mem.h"
#include "store/derive.h"
#include "store/store_priv.h"
#include "store/timeline.h"

/* ---- what holds ---- */

/* Derived segment d: says of itself whether it holds, and of the raw ones that it covers them. */
static void refresh(struct attached *all, size_t d, const struct timeline *timeline)
{
    struct attached *a = &all[d];
    const struct segment_info *info = segment_info(a->segment);
    int r = resolution_index(info->resolution_ms);
    size_t n;
    const struct timeline_entry *e = timeline_window(timeline, info->t0, info->t1, &n);
    a->later = false;
    a->kept = a->inputs == 0;
    uint64_t attached = timeline_digest(timeline, info->t0, info->t1, a->lsn, false);
    a->whole = !a->kept && a->inputs == timeline_digest(timeline, info->t0, info->t1, a->lsn, true);
    a->backed = r >= 0 && !a->kept && a->inputs == attached;
    a->holds = r >= 0 && (a->kept || a->whole || a->backed);
    for (size_t i = 0; a->holds && !a->kept && i < n; i++) {
        if (e[i].at == NOT_ATTACHED)
            continue;
        if (e[i].lsn <= a->lsn)
            all[e[i].at].cover[r] = (uint32_t)d;
        else
            a->later = true;
    }
}

/* A derived segment that holds, to be put beside those of its window. */
struct sibling {
    int64_t t0;
    bool kept;
    size_t at;
};

static int by_window(const void *a, const void *b)
{
    const struct sibling *x = a, *y = b;
    if (x->t0 != y->t0)
        return x->t0 < y->t0 ? -1 : 1;
    return x->kept - y->kept;
}

/* Says of each which resolutions there are in its window, of those that are kept as it is. */
static void find_siblings(struct attached *all, size_t n)
{
    struct sibling *list = xcalloc(n, sizeof *list);
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        if (all[i].holds)
            list[k++] = (struct sibling){segment_info(all[i].segment)->t0, all[i].kept, i};
    if (k)
        qsort(list, k, sizeof *list, by_window);
    for (size_t i = 0, end; i < k; i = end) {
        unsigned stored = 0;
        for (end = i; end < k && by_window(&list[i], &list[end]) == 0; end++)
            stored |=
                1u << resolution_index(segment_info(all[list[end].at].segment)->resolution_ms);
        for (size_t j = i; j < end; j++)
            all[list[j].at].siblings = stored;
    }
    free(list);
}

void derive_refresh(struct attached *all, size_t n, const struct manifest *manifest)
{
    struct timeline timeline;
    timeline_init(&timeline, all, n, manifest);
    for (size_t i = 0; i < n; i++) {
        all[i].siblings = 0;
        for (int r = 0; r < RESOLUTIONS; r++)
            all[i].cover[r] = NOT_COVERED;
    }
    for (size_t i = 0; i < n; i++)
        if (all[i].derived)
            refresh(all, i, &timeline);
    find_siblings(all, n);
    timeline_fini(&timeline);
}

/* ---- what is read ---- */

static bool overlaps(const struct segment_info *a, const struct segment_info *b)
{
    return a->t0 < b->t1 && b->t0 < a->t1;
}

/* Whether raw cells of the series came for the window after it was derived. */
static bool came_later(const struct derive_reader *reader, const struct attached *d,
    uint32_t series, bool *came, struct err *err)
{
    const struct segment_info *window = segment_info(d->segment);
    *came = reader->in_head(reader->ctx, window->t0, window->t1);
    for (size_t i = 0; d->later && !*came && i < reader->n; i++) {
        const struct attached *a = &reader->all[i];
        uint32_t ordinal;
        if (a->derived || a->lsn <= d->lsn || !overlaps(segment_info(a->segment), window))
            continue;
        if (!attached_find(a, series, &ordinal, err))
            return false;
        *came = ordinal != SEGMENT_NO_ID;
    }
    return true;
}

static bool is_used(const struct derive_reader *reader, const struct attached *d, uint32_t series,
    enum kind kind, bool *used, struct err *err)
{
    uint32_t ordinal;
    bool later = false;
    *used = !d->backed || !deletion_touches(reader->deletions, series, d);
    if (d->kept || !*used)
        return true;
    if (!attached_find(d, series, &ordinal, err))
        return false;
    *used = ordinal != SEGMENT_NO_ID;
    if (*used && kind == KIND_SAMPLE && !came_later(reader, d, series, &later, err))
        return false;
    *used = *used && !later;
    return true;
}

bool derive_serves(const struct derive_reader *reader, size_t i, uint32_t series, enum kind kind,
    int64_t resolution_ms, bool *serves, struct err *err)
{
    const struct attached *a = &reader->all[i];
    int r = resolution_index(resolution_ms);
    bool covered;
    *serves = !a->derived;
    if (r < 0)
        return true;
    if (a->derived) {
        *serves = a->holds && segment_info(a->segment)->resolution_ms == resolution_ms;
        return !*serves || is_used(reader, a, series, kind, serves, err);
    }
    if (a->cover[r] == NOT_COVERED)
        return true;
    if (!is_used(reader, &reader->all[a->cover[r]], series, kind, &covered, err))
        return false;
    *serves = !covered;
    return true;
}
