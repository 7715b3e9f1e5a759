#include "store/opening.h"

#include "store/delete.h"

/* Whether a segment that is kept, or not, has the level's cells in a resolution. */
static bool fits(const struct opening *o, bool kept, int r)
{
    return (kept ? resolution_fits : resolution_coarsens)(o->def, resolutions[r]);
}

/* The coarsest resolution of the mask that the level has; -1: none. */
static int coarsest(const struct opening *o, bool kept, unsigned mask)
{
    for (int r = RESOLUTIONS - 1; r >= 0; r--)
        if ((mask >> r & 1) && fits(o, kept, r))
            return r;
    return -1;
}

bool opening_counts_whole(const struct opening *o, int64_t t0, int64_t t1)
{
    return t1 <= o->at_ms && !deletion_in_window(o->deletions, o->series, t0, t1);
}

static bool counts_whole(const struct opening *o, const struct attached *a)
{
    const struct segment_info *window = segment_info(a->segment);
    return opening_counts_whole(o, window->t0, window->t1);
}

/* *finest: whether, of the segments of the window which stand as this one does for raw cells that
 * are not attached, it is the finest that has the series. */
static bool is_finest(
    const struct opening *o, const struct attached *a, bool *finest, struct err *err)
{
    const struct segment_info *info = segment_info(a->segment);
    uint32_t ordinal;
    if (!attached_find(a, o->series, &ordinal, err))
        return false;
    *finest = ordinal != SEGMENT_NO_ID;
    for (size_t i = 0; i < o->n && *finest; i++) {
        const struct attached *b = &o->all[i];
        const struct segment_info *other = segment_info(b->segment);
        if (!b->holds || b->backed || b->kept != a->kept || other->t0 != info->t0 ||
            other->resolution_ms >= info->resolution_ms)
            continue;
        if (!attached_find(b, o->series, &ordinal, err))
            return false;
        *finest = ordinal == SEGMENT_NO_ID;
    }
    return true;
}

/* Whether the cells of the raw segment are taken from one that was derived of it and of others that
 * are not attached. */
static bool is_stood_for(
    const struct opening *o, const struct attached *a, bool *is, struct err *err)
{
    *is = false;
    for (int r = 0; r < RESOLUTIONS && !*is; r++) {
        const struct attached *d = a->cover[r] == NOT_COVERED ? NULL : &o->all[a->cover[r]];
        if (d && !d->backed && !is_finest(o, d, is, err))
            return false;
    }
    return true;
}

static bool takes_raw(
    const struct opening *o, const struct attached *a, bool *takes, struct err *err)
{
    const struct attached *d = NULL;
    unsigned mask = 0; /* what there is of the window, and not only what covers this segment */
    bool stood_for;
    for (int r = 0; r < RESOLUTIONS; r++)
        if (a->cover[r] != NOT_COVERED) {
            d = &o->all[a->cover[r]];
            mask = d->siblings;
        }
    *takes = true; /* nothing is derived */
    if (!d)
        return true;
    if (!counts_whole(o, d)) {
        if (!is_stood_for(o, a, &stood_for, err))
            return false;
        *takes = !stood_for;
        return true;
    }
    int r = coarsest(o, false, mask);
    *takes = r < 0 || a->cover[r] == NOT_COVERED; /* it came later */
    return true;
}

bool opening_takes(const struct opening *opening, size_t i, bool *takes, struct err *err)
{
    const struct opening *o = opening;
    const struct attached *a = &o->all[i];
    if (!a->derived)
        return takes_raw(o, a, takes, err);
    int r = resolution_index(segment_info(a->segment)->resolution_ms);
    bool whole = counts_whole(o, a);
    *takes = a->holds && (whole ? r == coarsest(o, a->kept, a->siblings) : !a->backed);
    return !*takes || whole || is_finest(o, a, takes, err);
}
