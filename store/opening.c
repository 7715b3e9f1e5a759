#include "store/opening.h"

static bool takes_raw(const struct attached *all, const struct attached *a, int64_t at_ms)
{
    if (a->coarsest < 0 || a->cover[a->coarsest] == NOT_COVERED)
        return true; /* nothing is derived, or it came later */
    const struct attached *d = &all[a->cover[a->coarsest]];
    return segment_info(d->segment)->t1 > at_ms;
}

static bool takes_derived(const struct attached *a, int64_t at_ms)
{
    const struct segment_info *info = segment_info(a->segment);
    int r = resolution_index(info->resolution_ms);
    if (info->t1 <= at_ms)
        return r == a->coarsest;
    return r == a->finest && a->inputs == 0; /* 0: there are no raw cells */
}

bool opening_takes(const struct attached *all, size_t i, int64_t at_ms)
{
    const struct attached *a = &all[i];
    if (!a->derived)
        return takes_raw(all, a, at_ms);
    return a->holds && takes_derived(a, at_ms);
}
