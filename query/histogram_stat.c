#include "query/histogram_stat.h"

#include <math.h>

#include "base/number.h"
#include "query/histogram_math.h"

/* ---- walking ---- */

struct hist_walk hist_walk(const struct hist *h, bool reverse)
{
    return (struct hist_walk){h, reverse, 0};
}

static struct hist_range positive_range(const struct hist *h, uint32_t i)
{
    int32_t index = h->positive[i].index;
    struct hist_range r = {
        .lower = hist_upper_bound(h, index - 1),
        .upper = hist_upper_bound(h, index),
        .count = h->positive[i].count,
        .lower_inclusive = hist_is_custom(h) && index == 0,
        .upper_inclusive = true,
    };
    if (!hist_is_custom(h) && r.lower < h->zero_threshold)
        r.lower = h->zero_threshold;
    return r;
}

static struct hist_range negative_range(const struct hist *h, uint32_t i)
{
    int32_t index = h->negative[i].index;
    struct hist_range r = {
        .lower = -hist_upper_bound(h, index),
        .upper = -hist_upper_bound(h, index - 1),
        .count = h->negative[i].count,
        .lower_inclusive = true,
    };
    if (r.upper > -h->zero_threshold)
        r.upper = -h->zero_threshold;
    return r;
}

/* Places in order of value: negative buckets from the last to the first, zero, positive ones. */
bool hist_walk_next(struct hist_walk *walk, struct hist_range *out)
{
    const struct hist *h = walk->h;
    uint32_t places = h->n_negative + 1 + h->n_positive;
    while (walk->at < places) {
        uint32_t at = walk->reverse ? places - 1 - walk->at : walk->at;
        walk->at++;
        if (at < h->n_negative) {
            *out = negative_range(h, h->n_negative - 1 - at);
            return true;
        }
        if (at > h->n_negative) {
            *out = positive_range(h, at - h->n_negative - 1);
            return true;
        }
        if (h->zero_count > 0 && !hist_is_custom(h)) {
            *out = (struct hist_range){
                -h->zero_threshold, h->zero_threshold, h->zero_count, true, true};
            return true;
        }
    }
    return false;
}

/* With buckets on one side only, the zero bucket lies on that side too. */
static void cut_zero(const struct hist *h, struct hist_range *r)
{
    if (h->n_negative == 0 && h->n_positive > 0)
        r->lower = 0;
    else if (h->n_positive == 0 && h->n_negative > 0)
        r->upper = 0;
}

/* ---- quantile ---- */

/* Where in the bucket the fraction lies. */
static double interpolate(const struct hist *h, const struct hist_range *r, double fraction)
{
    if (hist_is_custom(h) || (r->lower <= 0 && r->upper >= 0))
        return r->lower + (r->upper - r->lower) * fraction;
    double log_lower = log2(fabs(r->lower)), log_upper = log2(fabs(r->upper));
    if (r->lower > 0)
        return exp2(log_lower + (log_upper - log_lower) * fraction);
    return -exp2(log_upper + (log_lower - log_upper) * (1 - fraction));
}

/* Adds what is left of the walk: NaN observations are in the count, but in no bucket. */
static bool has_nan(struct hist_walk *walk, double seen)
{
    struct hist_range r;
    while (hist_walk_next(walk, &r))
        seen += r.count;
    return seen < walk->h->count;
}

double hist_quantile(double q, const struct hist *h, unsigned *notes)
{
    if (q < 0)
        return -INFINITY;
    if (q > 1)
        return INFINITY;
    if (h->count == 0 || isnan(q))
        return NAN;
    /* Walks the shorter way, but forward when there may be NaN, which count as the largest. */
    bool forward = isnan(h->sum) || q < 0.5;
    struct hist_walk walk = hist_walk(h, !forward);
    struct hist_range r = {0};
    double count = 0, rank = (forward ? q : 1 - q) * h->count;
    while (hist_walk_next(&walk, &r)) {
        if (r.count == 0)
            continue;
        count += r.count;
        if (count >= rank)
            break;
    }
    if (!hist_is_custom(h)) {
        if (r.lower < 0 && r.upper > 0)
            cut_zero(h, &r);
    } else if (r.lower == -INFINITY) {
        if (r.upper <= 0)
            return r.upper;
        r.lower = 0;
    } else if (r.upper == INFINITY) {
        return r.lower;
    }
    if (count > h->count)
        count = h->count;
    if (count < rank) {
        if (!isnan(h->sum))
            return r.upper;
        *notes |= HIST_NAN_RESULT;
        return NAN;
    }
    rank = forward ? rank - (count - r.count) : count - rank;
    if (isnan(h->sum) && has_nan(&walk, count))
        *notes |= HIST_NAN_SKEW;
    return interpolate(h, &r, rank / r.count);
}

/* ---- fraction ---- */

/* How many of the bucket's observations lie below v, which is inside it. */
static double count_below(const struct hist *h, const struct hist_range *r, bool zero, double v)
{
    if (hist_is_custom(h) || zero)
        return r->count * (v - r->lower) / (r->upper - r->lower);
    double log_lower = log2(fabs(r->lower)), log_upper = log2(fabs(r->upper));
    double log_v = log2(fabs(v));
    double fraction = v > 0 ? (log_v - log_lower) / (log_upper - log_lower)
                            : 1 - (log_v - log_upper) / (log_lower - log_upper);
    return r->count * fraction;
}

struct edge {
    double at, rank;
    bool set;
};

/* Sets the edge when it lies before or in this bucket; rank is what lies before the bucket. */
static void edge_meet(
    struct edge *e, const struct hist *h, const struct hist_range *r, bool zero, double rank)
{
    if (e->set)
        return;
    if (r->lower >= e->at) {
        e->rank = rank;
        e->set = true;
    } else if (r->upper > e->at) {
        /* Nothing is known of how observations lie in a bucket without a lower end. */
        e->rank = r->lower == -INFINITY ? r->count : rank + count_below(h, r, zero, e->at);
        e->set = true;
    }
}

double hist_fraction(double lower, double upper, const struct hist *h, unsigned *notes)
{
    if (h->count == 0 || isnan(lower) || isnan(upper))
        return NAN;
    if (lower >= upper)
        return 0;
    struct edge from = {.at = lower}, to = {.at = upper};
    struct hist_walk walk = hist_walk(h, false);
    struct hist_range r;
    double rank = 0, seen = 0, count = h->count;
    while (!(from.set && to.set) && hist_walk_next(&walk, &r)) {
        seen += r.count;
        bool zero = r.lower <= 0 && r.upper >= 0;
        if (zero)
            cut_zero(h, &r);
        edge_meet(&from, h, &r, zero, rank);
        edge_meet(&to, h, &r, zero, rank);
        rank += r.count;
    }
    if (isnan(h->sum)) {
        while (hist_walk_next(&walk, &r))
            seen += r.count;
        count = seen;
        if (seen < h->count)
            *notes |= HIST_NAN_SKEW;
    }
    if (!from.set || from.rank > count)
        from.rank = count;
    if (!to.set || to.rank > count)
        to.rank = count;
    return (to.rank - from.rank) / h->count;
}

/* ---- variance ---- */

double hist_variance(const struct hist *h)
{
    double mean = h->sum / h->count;
    struct kahan sum = {0, 0};
    struct hist_walk walk = hist_walk(h, false);
    struct hist_range r;
    while (hist_walk_next(&walk, &r)) {
        if (r.count == 0)
            continue;
        double v = 0; /* the zero bucket's middle */
        if (hist_is_custom(h))
            v = (r.upper + r.lower) / 2;
        else if (r.lower > 0 || r.upper < 0)
            v = copysign(sqrt(r.upper * r.lower), r.upper);
        kahan_add(&sum, r.count * (v - mean) * (v - mean));
    }
    return kahan_total(sum) / h->count;
}

/* ---- text ---- */

static void add_number(struct buf *out, double v)
{
    char text[NUMBER_MAX];
    number_format_g(v, text);
    buf_str(out, text);
}

void hist_text(const struct hist *h, struct buf *out)
{
    buf_str(out, "{count:");
    add_number(out, h->count);
    buf_str(out, ", sum:");
    add_number(out, h->sum);
    struct hist_walk walk = hist_walk(h, false);
    struct hist_range r;
    while (hist_walk_next(&walk, &r)) {
        if (r.count == 0)
            continue;
        buf_str(out, r.lower_inclusive ? ", [" : ", (");
        add_number(out, r.lower);
        buf_char(out, ',');
        add_number(out, r.upper);
        buf_str(out, r.upper_inclusive ? "]:" : "):");
        add_number(out, r.count);
    }
    buf_char(out, '}');
}
