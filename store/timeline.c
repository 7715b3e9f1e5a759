#include "store/timeline.h"

#include <stdlib.h>

#include "base/mem.h"
#include "store/quarantine.h"

static int by_time(const void *a, const void *b)
{
    const struct timeline_entry *x = a, *y = b;
    return (x->t0 > y->t0) - (x->t0 < y->t0);
}

static void add_entry(struct timeline *timeline, const struct manifest_segment *s)
{
    struct timeline_entry e = {.lsn = s->lsn, .name = s->name, .at = NOT_ATTACHED};
    if (!s->derived && segment_name_times(s->name, &e.t0, &e.t1))
        timeline->entries[timeline->n++] = e;
}

void timeline_init(struct timeline *timeline, const struct attached *all, size_t n,
    const struct manifest *manifest)
{
    size_t room = n + manifest->n_quarantined + manifest->n_segments;
    timeline->entries = xcalloc(room, sizeof *timeline->entries);
    timeline->n = 0;
    for (size_t i = 0; i < n; i++) {
        const struct segment_info *info = segment_info(all[i].segment);
        if (!all[i].derived)
            timeline->entries[timeline->n++] =
                (struct timeline_entry){info->t0, info->t1, all[i].lsn, info->name, i};
    }
    for (size_t i = 0; i < manifest->n_quarantined; i++)
        add_entry(timeline, &manifest->quarantined[i]);
    for (size_t i = 0; i < manifest->n_segments; i++)
        if (manifest->segments[i].unread)
            add_entry(timeline, &manifest->segments[i]);
    if (timeline->n)
        qsort(timeline->entries, timeline->n, sizeof *timeline->entries, by_time);
}

void timeline_fini(struct timeline *timeline)
{
    free(timeline->entries);
    *timeline = (struct timeline){0};
}

/* The first entry that begins at t or later. */
static size_t first_from(const struct timeline *timeline, int64_t t)
{
    size_t lo = 0, hi = timeline->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (timeline->entries[mid].t0 < t)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

const struct timeline_entry *timeline_window(
    const struct timeline *timeline, int64_t t0, int64_t t1, size_t *n)
{
    size_t first = first_from(timeline, t0), end = first_from(timeline, t1);
    *n = end > first ? end - first : 0;
    return timeline->entries + first;
}

uint64_t timeline_digest(
    const struct timeline *timeline, int64_t t0, int64_t t1, uint64_t lsn, bool all)
{
    size_t n, n_names = 0;
    const struct timeline_entry *e = timeline_window(timeline, t0, t1, &n);
    const char **names = xcalloc(n, sizeof *names);
    for (size_t i = 0; i < n; i++)
        if (e[i].lsn <= lsn && (all || e[i].at != NOT_ATTACHED))
            names[n_names++] = e[i].name;
    uint64_t digest = resolution_digest(names, n_names);
    free(names);
    return digest;
}
