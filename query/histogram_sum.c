#include "query/histogram_math.h"

#include <math.h>
#include <string.h>

#include "base/ensure.h"
#include "query/histogram_side.h"

/*
 * Running sums of native histograms. Both are brought to one layout: the wider zero bucket, the
 * lower schema, the common custom bounds. The sum is rewritten in place; the other is mapped while
 * its buckets are added to the sum's sides (see histogram_side.h).
 */

/* h's view of the sides. */
static void sync(struct hist_sum *sum)
{
    sum->h.positive = sum->positive.bucket;
    sum->h.n_positive = sum->positive.n;
    sum->h.negative = sum->negative.bucket;
    sum->h.n_negative = sum->negative.n;
}

static void add_to(double *value, double *comp, double v)
{
    struct kahan k = {*value, *comp};
    kahan_add(&k, v);
    *value = k.sum;
    *comp = k.comp;
}

/* ---- one layout ---- */

/* Drops the buckets that the zero bucket holds now; their counts are in it already. */
static void side_drop_zero(struct hist_sum *sum, struct hist_side *side)
{
    uint32_t drop = 0;
    while (drop < side->n && hist_exponential_bound(side->bucket[drop].index - 1, sum->h.schema) <
                                 sum->h.zero_threshold)
        sum->zero_comp += side->comp[drop++];
    if (drop == 0)
        return;
    side->n -= drop;
    memmove(side->bucket, side->bucket + drop, side->n * sizeof *side->bucket);
    memmove(side->comp, side->comp + drop, side->n * sizeof *side->comp);
}

/* Brings the sum's zero bucket to what both can have; returns the other's zero count there. */
static double reconcile_zero(struct hist_sum *sum, const struct hist *other)
{
    double threshold = other->zero_threshold, count = other->zero_count;
    while (threshold < sum->h.zero_threshold || threshold > sum->h.zero_threshold) {
        if (sum->h.zero_threshold > threshold) {
            threshold = sum->h.zero_threshold;
            count = hist_zero_count_at(other, &threshold);
        }
        if (threshold > sum->h.zero_threshold) {
            double wider = threshold;
            sum->h.zero_count = hist_zero_count_at(&sum->h, &wider);
            sum->h.zero_threshold = wider;
            side_drop_zero(sum, &sum->positive);
            side_drop_zero(sum, &sum->negative);
            sync(sum);
        }
    }
    return count;
}

static void reconcile_schema(struct hist_sum *sum, const struct hist *other, struct hist_mapping *m)
{
    m->shift = 0;
    if (other->schema > sum->h.schema) {
        m->shift = other->schema - sum->h.schema;
    } else if (other->schema < sum->h.schema) {
        struct hist_mapping own = {.shift = sum->h.schema - other->schema};
        hist_side_map(&sum->positive, &own);
        hist_side_map(&sum->negative, &own);
        sum->h.schema = other->schema;
        sync(sum);
    }
}

static bool reconcile_bounds(struct hist_sum *sum, const struct hist *other, struct hist_mapping *m)
{
    uint32_t least = sum->h.n_bounds < other->n_bounds ? sum->h.n_bounds : other->n_bounds;
    double *common = arena_array(sum->arena, least, sizeof *common);
    if (!common)
        return false;
    uint32_t n = 0;
    for (uint32_t i = 0, j = 0; i < sum->h.n_bounds && j < other->n_bounds;) {
        double a = sum->h.bounds[i], b = other->bounds[j];
        if (a == b)
            common[n++] = a;
        i += !(a > b);
        j += !(b > a);
    }
    struct hist_mapping own = {
        .from = sum->h.bounds, .n_from = sum->h.n_bounds, .to = common, .n_to = n};
    if (own.from)
        hist_side_map(&sum->positive, &own);
    else
        for (uint32_t i = 0; i < sum->positive.n; i++) /* only the bucket up to +Inf */
            sum->positive.bucket[i].index = 0;
    sum->h.bounds = common;
    sum->h.n_bounds = n;
    sync(sum);
    *m = (struct hist_mapping){0, other->bounds, common, other->n_bounds, n, m->factor, m->divisor};
    return true;
}

static void reconcile_hint(struct hist_sum *sum, enum hist_reset_hint other, unsigned *notes)
{
    enum hist_reset_hint own = sum->h.reset_hint;
    if (own == other || own == HIST_GAUGE)
        return;
    if (other == HIST_GAUGE) {
        sum->h.reset_hint = HIST_GAUGE;
        return;
    }
    sum->h.reset_hint = HIST_RESET_UNKNOWN;
    if (own != HIST_RESET_UNKNOWN && other != HIST_RESET_UNKNOWN)
        *notes |= HIST_RESET_COLLISION;
}

/* ---- adding ---- */

static bool side_set(
    struct arena *arena, struct hist_side *side, const struct hist_fbucket *b, uint32_t n)
{
    side->n = 0;
    if (n == 0)
        return true;
    if (!hist_side_reserve(arena, side, n))
        return false;
    memcpy(side->bucket, b, n * sizeof *b);
    memset(side->comp, 0, n * sizeof *side->comp);
    side->n = n;
    return true;
}

static enum hist_status set(struct hist_sum *sum, const struct hist *h)
{
    sum->h = *h;
    sum->zero_comp = sum->count_comp = sum->sum_comp = 0;
    sum->is_mean = false;
    if (!side_set(sum->arena, &sum->positive, h->positive, h->n_positive) ||
        !side_set(sum->arena, &sum->negative, h->negative, h->n_negative))
        return HIST_NO_MEMORY;
    sum->any = true;
    sync(sum);
    return HIST_OK;
}

/* Buckets that end within the zero threshold are in the zero count already. */
static void skip_zero(const struct hist_sum *sum, const struct hist_mapping *m,
    const struct hist_fbucket **b, uint32_t *n)
{
    if (hist_is_custom(&sum->h) || !(sum->h.zero_threshold > 0))
        return;
    while (*n && hist_exponential_bound(hist_map_index(m, (*b)->index), sum->h.schema) <=
                     sum->h.zero_threshold) {
        (*b)++;
        (*n)--;
    }
}

static enum hist_status add_weighted(
    struct hist_sum *sum, const struct hist *h, double factor, double divisor, unsigned *notes)
{
    if (hist_is_custom(&sum->h) != hist_is_custom(h))
        return HIST_INCOMPATIBLE;
    struct hist_mapping m = {.factor = factor, .divisor = divisor};
    reconcile_hint(sum, h->reset_hint, notes);
    if (!hist_is_custom(h)) {
        double zero = reconcile_zero(sum, h);
        add_to(&sum->h.zero_count, &sum->zero_comp, zero * factor / divisor);
        reconcile_schema(sum, h, &m);
    } else if (!hist_bounds_equal(&sum->h, h)) {
        *notes |= HIST_BOUNDS_RECONCILED;
        if (!reconcile_bounds(sum, h, &m))
            return HIST_NO_MEMORY;
    }
    add_to(&sum->h.count, &sum->count_comp, h->count * factor / divisor);
    add_to(&sum->h.sum, &sum->sum_comp, h->sum * factor / divisor);
    const struct hist_fbucket *positive = h->positive, *negative = h->negative;
    uint32_t n_positive = h->n_positive, n_negative = h->n_negative;
    skip_zero(sum, &m, &positive, &n_positive);
    skip_zero(sum, &m, &negative, &n_negative);
    if (!hist_side_add(sum->arena, &sum->positive, &sum->spare, positive, n_positive, &m) ||
        !hist_side_add(sum->arena, &sum->negative, &sum->spare, negative, n_negative, &m))
        return HIST_NO_MEMORY;
    sync(sum);
    return HIST_OK;
}

void hist_sum_init(struct hist_sum *sum, struct arena *arena)
{
    *sum = (struct hist_sum){.arena = arena};
}

void hist_sum_clear(struct hist_sum *sum)
{
    sum->any = sum->is_mean = false;
    sum->n = 0;
}

enum hist_status hist_sum_add(struct hist_sum *sum, const struct hist *h, unsigned *notes)
{
    return sum->any ? add_weighted(sum, h, 1, 1, notes) : set(sum, h);
}

/* ---- means ---- */

static double largest(const struct hist *h)
{
    double max = fmax(fmax(fabs(h->zero_count), fabs(h->count)), fabs(h->sum));
    for (uint32_t i = 0; i < h->n_positive; i++)
        max = fmax(max, fabs(h->positive[i].count));
    for (uint32_t i = 0; i < h->n_negative; i++)
        max = fmax(max, fabs(h->negative[i].count));
    return max;
}

static void side_scale(struct hist_side *side, double factor, double divisor)
{
    for (uint32_t i = 0; i < side->n; i++) {
        side->bucket[i].count = side->bucket[i].count * factor / divisor;
        side->comp[i] = side->comp[i] * factor / divisor;
    }
}

static void sum_scale(struct hist_sum *sum, double factor, double divisor)
{
    sum->h.zero_count = sum->h.zero_count * factor / divisor;
    sum->h.count = sum->h.count * factor / divisor;
    sum->h.sum = sum->h.sum * factor / divisor;
    sum->zero_comp = sum->zero_comp * factor / divisor;
    sum->count_comp = sum->count_comp * factor / divisor;
    sum->sum_comp = sum->sum_comp * factor / divisor;
    side_scale(&sum->positive, factor, divisor);
    side_scale(&sum->negative, factor, divisor);
}

enum hist_status hist_mean_add(struct hist_sum *sum, const struct hist *h, unsigned *notes)
{
    if (!sum->any) {
        sum->n = 1;
        return set(sum, h);
    }
    if (hist_is_custom(&sum->h) != hist_is_custom(h))
        return HIST_INCOMPATIBLE;
    sum->n++;
    if (!sum->is_mean) {
        if (!isinf(largest(&sum->h) + largest(h)))
            return add_weighted(sum, h, 1, 1, notes);
        sum_scale(sum, 1, sum->n - 1);
        sum->is_mean = true;
    }
    sum_scale(sum, (sum->n - 1) / sum->n, 1);
    return add_weighted(sum, h, 1, sum->n, notes);
}

/* ---- results ---- */

static bool side_result(struct arena *arena, const struct hist_side *side, double divisor,
    const struct hist_fbucket **buckets, uint32_t *n)
{
    struct hist_fbucket *out = arena_array(arena, side->n, sizeof *out);
    uint32_t m = 0;
    if (!out)
        return false;
    for (uint32_t i = 0; i < side->n; i++) {
        double count = side->bucket[i].count / divisor + side->comp[i] / divisor;
        if (count != 0)
            out[m++] = (struct hist_fbucket){side->bucket[i].index, count};
    }
    *buckets = out;
    *n = m;
    return true;
}

static const struct hist *result(const struct hist_sum *sum, double divisor)
{
    ensure(sum->any);
    struct hist *out = arena_alloc(sum->arena, sizeof *out);
    if (!out)
        return NULL;
    *out = sum->h;
    out->zero_count = sum->h.zero_count / divisor + sum->zero_comp / divisor;
    out->count = sum->h.count / divisor + sum->count_comp / divisor;
    out->sum = sum->h.sum / divisor + sum->sum_comp / divisor;
    if (!side_result(sum->arena, &sum->positive, divisor, &out->positive, &out->n_positive) ||
        !side_result(sum->arena, &sum->negative, divisor, &out->negative, &out->n_negative))
        return NULL;
    return out;
}

const struct hist *hist_sum_result(const struct hist_sum *sum)
{
    return result(sum, 1);
}

const struct hist *hist_mean_result(const struct hist_sum *sum)
{
    return result(sum, sum->is_mean ? 1 : sum->n);
}

static enum hist_status combine(struct arena *arena, const struct hist *a, const struct hist *b,
    double factor, unsigned *notes, const struct hist **out)
{
    struct hist_sum sum;
    hist_sum_init(&sum, arena);
    if (hist_is_custom(a) != hist_is_custom(b))
        return HIST_INCOMPATIBLE;
    enum hist_status status = set(&sum, a);
    if (status == HIST_OK)
        status = add_weighted(&sum, b, factor, 1, notes);
    if (status == HIST_OK && !(*out = hist_sum_result(&sum)))
        status = HIST_NO_MEMORY;
    return status;
}

enum hist_status hist_add(struct arena *arena, const struct hist *a, const struct hist *b,
    unsigned *notes, const struct hist **out)
{
    return combine(arena, a, b, 1, notes, out);
}

enum hist_status hist_subtract(struct arena *arena, const struct hist *a, const struct hist *b,
    unsigned *notes, const struct hist **out)
{
    return combine(arena, a, b, -1, notes, out);
}
