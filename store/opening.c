#include "store/opening.h"

#include "store/delete.h"

static bool fits(const struct opening *o, int r)
{
    return resolution_fits(o->def, resolutions[r]);
}

/* The coarsest resolution of the mask that the level has; -1: none. */
static int coarsest(const struct opening *o, unsigned mask)
{
    for (int r = RESOLUTIONS - 1; r >= 0; r--)
        if ((mask >> r & 1) && fits(o, r))
            return r;
    return -1;
}

/* Whether the coarsest cells of the window count: it has ended, and nothing was deleted in it. */
static bool counts_whole(const struct opening *o, const struct segment_info *window)
{
    return window->t1 <= o->at_ms &&
           !deletion_in_window(o->deletions, o->series, window->t0, window->t1);
}

static bool takes_raw(const struct opening *o, const struct attached *a)
{
    unsigned mask = 0; /* what there is of the window, and not only what covers this segment */
    for (int r = 0; r < RESOLUTIONS; r++)
        if (a->cover[r] != NOT_COVERED)
            mask = o->all[a->cover[r]].siblings;
    int r = coarsest(o, mask);
    return r < 0 || a->cover[r] == NOT_COVERED || /* nothing is derived, or it came later */
           !counts_whole(o, segment_info(o->all[a->cover[r]].segment));
}

/* Whether a finer segment of the same window, which stands as this one does for raw cells that are
 * not attached, has the series. */
static bool has_finer(const struct opening *o, const struct attached *a, bool *has, struct err *err)
{
    const struct segment_info *info = segment_info(a->segment);
    uint32_t ordinal;
    *has = false;
    for (size_t i = 0; i < o->n && !*has; i++) {
        const struct attached *b = &o->all[i];
        const struct segment_info *other = segment_info(b->segment);
        if (!b->holds || b->backed || b->kept != a->kept || other->t0 != info->t0 ||
            other->resolution_ms >= info->resolution_ms)
            continue;
        if (!attached_find(b, o->series, &ordinal, err))
            return false;
        *has = ordinal != SEGMENT_NO_ID;
    }
    return true;
}

bool opening_takes(const struct opening *opening, size_t i, bool *takes, struct err *err)
{
    const struct opening *o = opening;
    const struct attached *a = &o->all[i];
    const struct segment_info *info = segment_info(a->segment);
    if (!a->derived) {
        *takes = takes_raw(o, a);
        return true;
    }
    int r = resolution_index(info->resolution_ms);
    bool whole = counts_whole(o, info), finer;
    *takes = a->holds && (whole ? r == coarsest(o, a->siblings) : !a->backed);
    if (!*takes || whole)
        return true;
    if (!has_finer(o, a, &finer, err))
        return false;
    *takes = !finer;
    return true;
}
