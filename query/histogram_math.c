#include "query/histogram_math.h"

#include <math.h>
#include <string.h>

#include "query/histogram_side.h"

/* Comparing and rescaling of native histograms. Sums are in histogram_sum.c. */

double hist_upper_bound(const struct hist *h, int32_t index)
{
    if (!hist_is_custom(h))
        return hist_exponential_bound(index, h->schema);
    if (index < 0)
        return -INFINITY;
    return (uint32_t)index < h->n_bounds ? h->bounds[index] : INFINITY;
}

/* ---- new histograms ---- */

static struct hist_fbucket *copy_buckets(
    struct arena *arena, const struct hist_fbucket *buckets, uint32_t n)
{
    struct hist_fbucket *copy = arena_array(arena, n, sizeof *copy);
    if (copy && n)
        memcpy(copy, buckets, n * sizeof *copy);
    return copy;
}

static struct hist *copy_head(struct arena *arena, const struct hist *h)
{
    struct hist *copy = arena_alloc(arena, sizeof *copy);
    if (copy)
        *copy = *h;
    return copy;
}

static void scale_buckets(struct hist_fbucket *buckets, uint32_t n, double factor, double divisor)
{
    for (uint32_t i = 0; i < n; i++)
        buckets[i].count = buckets[i].count * factor / divisor;
}

static const struct hist *scale(
    struct arena *arena, const struct hist *h, double factor, double divisor)
{
    struct hist *out = copy_head(arena, h);
    if (!out)
        return NULL;
    out->zero_count = h->zero_count * factor / divisor;
    out->count = h->count * factor / divisor;
    out->sum = h->sum * factor / divisor;
    if (divisor == 0) {
        out->n_positive = out->n_negative = 0;
        out->positive = out->negative = NULL;
        return out;
    }
    struct hist_fbucket *positive = copy_buckets(arena, h->positive, h->n_positive);
    struct hist_fbucket *negative = copy_buckets(arena, h->negative, h->n_negative);
    if (!positive || !negative)
        return NULL;
    scale_buckets(positive, h->n_positive, factor, divisor);
    scale_buckets(negative, h->n_negative, factor, divisor);
    out->positive = positive;
    out->negative = negative;
    if (factor < 0 || divisor < 0)
        out->reset_hint = HIST_GAUGE;
    return hist_compact(arena, out);
}

const struct hist *hist_multiply(struct arena *arena, const struct hist *h, double factor)
{
    return scale(arena, h, factor, 1);
}

const struct hist *hist_divide(struct arena *arena, const struct hist *h, double divisor)
{
    return scale(arena, h, 1, divisor);
}

static uint32_t count_empty(const struct hist_fbucket *buckets, uint32_t n)
{
    uint32_t empty = 0;
    for (uint32_t i = 0; i < n; i++)
        empty += buckets[i].count == 0;
    return empty;
}

static bool compact_buckets(struct arena *arena, const struct hist_fbucket **buckets, uint32_t *n)
{
    uint32_t keep = *n - count_empty(*buckets, *n), m = 0;
    struct hist_fbucket *out = arena_array(arena, keep, sizeof *out);
    if (!out)
        return false;
    for (uint32_t i = 0; i < *n; i++)
        if ((*buckets)[i].count != 0)
            out[m++] = (*buckets)[i];
    *buckets = out;
    *n = m;
    return true;
}

const struct hist *hist_compact(struct arena *arena, const struct hist *h)
{
    if (!count_empty(h->positive, h->n_positive) && !count_empty(h->negative, h->n_negative))
        return h;
    struct hist *out = copy_head(arena, h);
    if (!out || !compact_buckets(arena, &out->positive, &out->n_positive) ||
        !compact_buckets(arena, &out->negative, &out->n_negative))
        return NULL;
    return out;
}

static bool reduce_buckets(
    struct arena *arena, const struct hist_fbucket **buckets, uint32_t *n, int shift)
{
    struct hist_fbucket *out = arena_array(arena, *n, sizeof *out);
    uint32_t m = 0;
    if (!out)
        return false;
    for (uint32_t i = 0; i < *n; i++) {
        int32_t index = hist_reduced_index((*buckets)[i].index, shift);
        if (m && out[m - 1].index == index)
            out[m - 1].count += (*buckets)[i].count;
        else
            out[m++] = (struct hist_fbucket){index, (*buckets)[i].count};
    }
    *buckets = out;
    *n = m;
    return true;
}

const struct hist *hist_reduce(struct arena *arena, const struct hist *h, int schema)
{
    if (hist_is_custom(h) || schema >= h->schema)
        return h;
    struct hist *out = copy_head(arena, h);
    if (!out || !reduce_buckets(arena, &out->positive, &out->n_positive, h->schema - schema) ||
        !reduce_buckets(arena, &out->negative, &out->n_negative, h->schema - schema))
        return NULL;
    out->schema = schema;
    return out;
}

const struct hist *hist_with_hint(
    struct arena *arena, const struct hist *h, enum hist_reset_hint hint)
{
    if (h->reset_hint == hint)
        return h;
    struct hist *out = copy_head(arena, h);
    if (out)
        out->reset_hint = hint;
    return out;
}

/* ---- comparing ---- */

static bool same_bits(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

static bool buckets_equal(
    const struct hist_fbucket *a, uint32_t n_a, const struct hist_fbucket *b, uint32_t n_b)
{
    uint32_t i = 0, j = 0;
    for (;;) {
        while (i < n_a && a[i].count == 0)
            i++;
        while (j < n_b && b[j].count == 0)
            j++;
        if (i == n_a || j == n_b)
            return i == n_a && j == n_b;
        if (a[i].index != b[j].index || !same_bits(a[i].count, b[j].count))
            return false;
        i++;
        j++;
    }
}

bool hist_equal(const struct hist *a, const struct hist *b)
{
    return a->schema == b->schema && same_bits(a->count, b->count) && same_bits(a->sum, b->sum) &&
           (!hist_is_custom(a) || hist_bounds_equal(a, b)) &&
           a->zero_threshold == b->zero_threshold && same_bits(a->zero_count, b->zero_count) &&
           buckets_equal(a->positive, a->n_positive, b->positive, b->n_positive) &&
           buckets_equal(a->negative, a->n_negative, b->negative, b->n_negative);
}

/* Buckets at a lower schema, without those at the start that end within the threshold. */
struct cursor {
    const struct hist_fbucket *buckets;
    uint32_t n, i;
    int schema, shift;
    double threshold;
    int32_t index;
    double count;
};

static bool cursor_next(struct cursor *c)
{
    while (c->i < c->n) {
        c->index = hist_reduced_index(c->buckets[c->i].index, c->shift);
        c->count = 0;
        while (c->i < c->n && hist_reduced_index(c->buckets[c->i].index, c->shift) == c->index)
            c->count += c->buckets[c->i++].count;
        if (!(c->threshold > 0) || hist_exponential_bound(c->index, c->schema) > c->threshold) {
            c->threshold = 0;
            return true;
        }
    }
    return false;
}

static bool buckets_reset(struct cursor current, struct cursor previous)
{
    bool more = cursor_next(&current);
    while (cursor_next(&previous)) {
        while (more && current.index < previous.index)
            more = cursor_next(&current);
        if (more && current.index == previous.index) {
            if (current.count < previous.count)
                return true;
        } else if (previous.count != 0) {
            return true;
        }
    }
    return false;
}

/* Sum of the buckets from *i on that end at or below bound. */
static double sum_until(const struct hist *h, uint32_t *i, double bound)
{
    double sum = 0;
    while (*i < h->n_positive && hist_upper_bound(h, h->positive[*i].index) <= bound)
        sum += h->positive[(*i)++].count;
    return sum;
}

/* Custom bounds differ: compares what lies between the bounds that both have. */
static bool custom_reset(const struct hist *current, const struct hist *previous)
{
    uint32_t a = 0, b = 0, i = 0, j = 0;
    while (a <= current->n_bounds && b <= previous->n_bounds) {
        double bound_a = hist_upper_bound(current, (int32_t)a);
        double bound_b = hist_upper_bound(previous, (int32_t)b);
        if (bound_a == bound_b) {
            double sum = sum_until(current, &i, bound_a);
            if (sum < sum_until(previous, &j, bound_a))
                return true;
        }
        a += bound_a <= bound_b;
        b += bound_b <= bound_a;
    }
    return false;
}

static struct cursor cursor_of(const struct hist *h, bool positive, const struct hist *as)
{
    bool custom = hist_is_custom(as);
    return (struct cursor){
        .buckets = positive ? h->positive : h->negative,
        .n = positive ? h->n_positive : h->n_negative,
        .schema = as->schema,
        .shift = custom ? 0 : h->schema - as->schema,
        .threshold = custom ? 0 : as->zero_threshold,
    };
}

bool hist_detect_reset(const struct hist *current, const struct hist *previous)
{
    if (current->reset_hint == HIST_RESET_YES)
        return true;
    if (current->reset_hint == HIST_RESET_NO)
        return false;
    if (current->count < previous->count)
        return true;
    if (hist_is_custom(current)) {
        if (!hist_is_custom(previous))
            return true;
        if (!hist_bounds_equal(current, previous))
            return custom_reset(current, previous);
    }
    if (current->schema > previous->schema || current->zero_threshold < previous->zero_threshold)
        return true;
    if (!hist_is_custom(current)) {
        double threshold = current->zero_threshold;
        double zero = hist_zero_count_at(previous, &threshold);
        if (threshold != current->zero_threshold || current->zero_count < zero)
            return true;
    }
    return buckets_reset(cursor_of(current, true, current), cursor_of(previous, true, current)) ||
           buckets_reset(cursor_of(current, false, current), cursor_of(previous, false, current));
}
