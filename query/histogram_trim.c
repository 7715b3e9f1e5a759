#include "query/histogram_stat.h"

#include <math.h>

#include "query/histogram_math.h"

/*
 * Cutting off a histogram's observations above or below a value (the operators "</" and ">/"). A
 * bucket that the value splits keeps its interpolated share. When something was removed, count and
 * sum are those of what is kept, each bucket's part counted at the middle of its range; else the
 * histogram stays as it is.
 *
 * Custom buckets that reach to infinity have no middle. The first one counts as beginning at 0 when
 * it ends above 0. Else observations are taken to lie at the finite end, or at the value when that
 * is inside.
 */

struct trim {
    const struct hist *h;
    double at;
    bool upper; /* keep what is below */
    double count, sum, removed;
};

/* A part that is kept, and where its observations lie. */
struct part {
    double count, middle;
};

static struct part keep_first(const struct trim *t, const struct hist_range *r)
{
    struct part whole = {r->count, r->upper > 0 ? r->upper / 2 : r->upper}, none = {0, 0};
    if (t->upper ? t->at >= r->upper : t->at == -INFINITY)
        return whole;
    if (r->upper == INFINITY || t->at == -INFINITY)
        return none;
    if (r->upper <= 0)
        return t->upper ? (struct part){r->count, t->at} : none;
    double share = t->at / r->upper;
    if (t->upper)
        return share > 0 ? (struct part){r->count * share, t->at / 2} : none;
    if (share < 0 || share >= 1)
        return none;
    return (struct part){r->count * (1 - share), (t->at + r->upper) / 2};
}

static struct part keep_last(const struct trim *t, const struct hist_range *r)
{
    struct part none = {0, 0};
    if (t->upper)
        return t->at == INFINITY ? (struct part){r->count, r->lower} : none;
    if (t->at == INFINITY)
        return none;
    return (struct part){r->count, fmax(r->lower, t->at)};
}

/* The share of the bucket's count between from and to, both inside it. */
static double share_between(const struct hist_range *r, double from, double to, bool linear)
{
    if (linear)
        return (to - from) / (r->upper - r->lower);
    return fabs(log2(fabs(to)) - log2(fabs(from))) /
           fabs(log2(fabs(r->upper)) - log2(fabs(r->lower)));
}

static double middle_of(double from, double to, bool linear)
{
    return linear ? (from + to) / 2 : copysign(sqrt(from * to), to);
}

static struct part keep_finite(const struct trim *t, const struct hist_range *r, bool linear)
{
    double from = t->upper ? r->lower : fmax(r->lower, t->at);
    double to = t->upper ? fmin(r->upper, t->at) : r->upper;
    if (r->lower == r->upper) /* a zero bucket without width */
        return (struct part){(t->upper ? t->at >= 0 : t->at <= 0) ? r->count : 0, 0};
    if (from >= to)
        return (struct part){0, 0};
    double share = from == r->lower && to == r->upper ? 1 : share_between(r, from, to, linear);
    return (struct part){r->count * share, middle_of(from, to, linear)};
}

static double keep(struct trim *t, const struct hist_range *r, bool linear)
{
    struct part part;
    if (r->lower == -INFINITY)
        part = keep_first(t, r);
    else if (r->upper == INFINITY)
        part = keep_last(t, r);
    else
        part = keep_finite(t, r, linear);
    t->removed += r->count - part.count;
    t->count += part.count;
    if (part.count != 0)
        t->sum += part.count * part.middle;
    return part.count;
}

static const struct hist_fbucket *trim_side(
    struct trim *t, struct arena *arena, const struct hist_fbucket *in, uint32_t *n, bool positive)
{
    struct hist_fbucket *out = arena_array(arena, *n, sizeof *out);
    uint32_t m = 0;
    if (!out)
        return NULL;
    for (uint32_t i = 0; i < *n; i++) {
        if (in[i].count == 0)
            continue;
        double low = hist_upper_bound(t->h, in[i].index - 1);
        double high = hist_upper_bound(t->h, in[i].index);
        struct hist_range r = {
            .lower = positive ? low : -high, .upper = positive ? high : -low, .count = in[i].count};
        double kept = keep(t, &r, hist_is_custom(t->h));
        if (kept != 0)
            out[m++] = (struct hist_fbucket){in[i].index, kept};
    }
    *n = m;
    return out;
}

const struct hist *hist_trim(struct arena *arena, const struct hist *h, double at, bool upper)
{
    struct trim t = {.h = h, .at = at, .upper = upper};
    struct hist *out = arena_alloc(arena, sizeof *out);
    if (!out)
        return NULL;
    *out = *h;
    out->positive = trim_side(&t, arena, h->positive, &out->n_positive, true);
    out->negative = trim_side(&t, arena, h->negative, &out->n_negative, false);
    if (!out->positive || !out->negative)
        return NULL;
    if (h->zero_count > 0 && !hist_is_custom(h)) {
        struct hist_range zero = {
            .lower = -h->zero_threshold, .upper = h->zero_threshold, .count = h->zero_count};
        if (h->n_negative == 0 && h->n_positive > 0)
            zero.lower = 0;
        else if (h->n_positive == 0 && h->n_negative > 0)
            zero.upper = 0;
        out->zero_count = keep(&t, &zero, true);
    }
    if (t.removed == 0)
        return h;
    out->count = t.count;
    out->sum = t.sum;
    return out;
}
