#include "store/histogram.h"

#include <string.h>

const struct hist *hist_copy(struct arena *arena, const struct hist *hist)
{
    struct hist *copy = arena_alloc(arena, sizeof *copy);
    struct hist_fbucket *positive = arena_array(arena, hist->n_positive, sizeof *positive);
    struct hist_fbucket *negative = arena_array(arena, hist->n_negative, sizeof *negative);
    double *bounds = arena_array(arena, hist->n_bounds, sizeof *bounds);
    if (!copy || !positive || !negative || !bounds)
        return NULL;
    *copy = *hist;
    if (hist->n_positive)
        memcpy(positive, hist->positive, hist->n_positive * sizeof *positive);
    if (hist->n_negative)
        memcpy(negative, hist->negative, hist->n_negative * sizeof *negative);
    if (hist->n_bounds)
        memcpy(bounds, hist->bounds, hist->n_bounds * sizeof *bounds);
    copy->positive = positive;
    copy->negative = negative;
    copy->bounds = bounds;
    return copy;
}
