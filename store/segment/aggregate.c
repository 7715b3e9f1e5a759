#include "store/segment/aggregate.h"

#include <math.h>

#include "base/double_bits.h"
#include "base/ensure.h"
#include "store/segment.h"
#include "store/segment/scaled.h"

static bool fits64(int128 v)
{
    return v == (int64_t)v;
}

static void of_amounts(const int128 *v, size_t n, struct segment_aggregate *out)
{
    int128 sum = 0, min = v[0], max = v[0];
    bool overflow = false;
    for (size_t i = 0; i < n; i++) {
        overflow |= __builtin_add_overflow(sum, v[i], &sum);
        min = v[i] < min ? v[i] : min;
        max = v[i] > max ? v[i] : max;
    }
    if (!overflow) {
        out->has |= SEGMENT_HAS_SUM;
        out->sum = sum;
        out->count = (int64_t)n;
    }
    if (fits64(min) && fits64(max)) {
        out->has |= SEGMENT_HAS_MIN_MAX | SEGMENT_HAS_FIRST_LAST;
        out->min = (int64_t)min;
        out->max = (int64_t)max;
        out->first = (int64_t)v[0];
        out->last = (int64_t)v[n - 1];
    }
}

static void of_gauge(const struct columns *c, size_t from, size_t n, struct segment_aggregate *out)
{
    int128 sum = 0;
    int64_t count = 0;
    bool overflow = false;
    out->min = c->min[from];
    out->max = c->max[from];
    for (size_t i = from; i < from + n; i++) {
        overflow |= __builtin_add_overflow(sum, c->sum[i], &sum);
        overflow |= __builtin_add_overflow(count, c->count[i], &count);
        out->min = c->min[i] < out->min ? c->min[i] : out->min;
        out->max = c->max[i] > out->max ? c->max[i] : out->max;
    }
    out->first = c->last[from];
    out->last = c->last[from + n - 1];
    out->has |= SEGMENT_HAS_MIN_MAX | SEGMENT_HAS_FIRST_LAST;
    if (!overflow) {
        out->has |= SEGMENT_HAS_SUM;
        out->sum = sum;
        out->count = count;
    }
}

static void of_histogram(
    const struct columns *c, size_t from, size_t n, struct segment_aggregate *out)
{
    int128 sum = 0;
    int64_t count = 0;
    bool overflow = false;
    for (size_t i = from; i < from + n; i++)
        overflow |= __builtin_add_overflow(sum, c->sum[i], &sum);
    for (uint32_t b = c->bucket_at[from]; b < c->bucket_at[from + n]; b++)
        overflow |= __builtin_add_overflow(count, c->bucket[b].count, &count);
    if (!overflow) {
        out->has |= SEGMENT_HAS_SUM;
        out->sum = sum;
        out->count = count;
    }
}

static uint64_t to_bits(double v)
{
    return isnan(v) ? NAN_BITS : double_bits(v);
}

/* Neumaier, "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen", 1974. */
static void add_compensated(double v, double *sum, double *compensation)
{
    double t = *sum + v;
    if (isinf(t))
        *compensation = 0;
    else if (fabs(*sum) >= fabs(v))
        *compensation += (*sum - t) + v;
    else
        *compensation += (v - t) + *sum;
    *sum = t;
}

static void of_samples(const uint64_t *bits, size_t n, struct segment_aggregate *out)
{
    double sum = 0, compensation = 0, reset_sum = 0, previous = 0;
    bool numbers = false;
    for (size_t i = 0; i < n; i++) {
        if (bits[i] == STALE_BITS)
            continue;
        double v = bits_double(bits[i]);
        add_compensated(v, &sum, &compensation);
        if (!isnan(v) && (!numbers || v < bits_double((uint64_t)out->min)))
            out->min = (int64_t)bits[i];
        if (!isnan(v) && (!numbers || v > bits_double((uint64_t)out->max)))
            out->max = (int64_t)bits[i];
        numbers |= !isnan(v);
        if (out->count == 0)
            out->first = (int64_t)bits[i];
        else if (v < previous) {
            reset_sum += previous;
            out->resets++;
        }
        out->last = (int64_t)bits[i];
        out->count++;
        previous = v;
    }
    if (numbers)
        out->has |= SEGMENT_HAS_MIN_MAX;
    if (out->count == 0)
        return;
    out->has |= SEGMENT_HAS_SUM | SEGMENT_HAS_FIRST_LAST | SEGMENT_HAS_RESETS;
    out->sum = (int128)((uint128)to_bits(compensation) << 64 | to_bits(sum));
    out->reset_sum = (int64_t)to_bits(reset_sum);
}

/* ---- decimals ---- */

/* Puts exact sums in the place of the doubles, with the least number of digits that does. Too few
 * are seen from the first samples as a rule. */
static void make_decimal(const uint64_t *bits, size_t n, struct segment_aggregate *out)
{
    struct scaled_sum sum;
    for (int digits = 0; digits <= DECIMAL_DIGITS; digits++) {
        if (!scaled_sum(bits, n, digits, &sum))
            continue;
        out->has |= SEGMENT_DECIMAL;
        out->digits = digits;
        out->sum = sum.sum;
        out->reset_sum = sum.reset_sum;
        return;
    }
}

/* Histograms have no order, and derived cells are aggregates themselves. */
static bool is_special(const struct columns *c, size_t from, size_t n)
{
    for (size_t i = 0; c->hist && i < n; i++)
        if (c->hist[from + i])
            return true;
    return c->first != NULL;
}

void aggregate_of_v1(
    const struct columns *columns, size_t from, size_t n, struct segment_aggregate *out)
{
    ensure(n > 0);
    *out = (struct segment_aggregate){0};
    switch (columns->kind) {
    case KIND_COUNTER:
    case KIND_LEVEL: of_amounts(columns->amount + from, n, out); return;
    case KIND_GAUGE: of_gauge(columns, from, n, out); return;
    case KIND_HISTOGRAM: of_histogram(columns, from, n, out); return;
    case KIND_SAMPLE:
        if (!is_special(columns, from, n))
            of_samples(columns->bits + from, n, out);
        return;
    }
    unreachable("kind");
}

void aggregate_of(
    const struct columns *columns, size_t from, size_t n, struct segment_aggregate *out)
{
    aggregate_of_v1(columns, from, n, out);
    if (columns->kind != KIND_SAMPLE || !(out->has & SEGMENT_HAS_SUM))
        return;
    make_decimal(columns->bits + from, n, out);
    if (out->resets > (int64_t)(n / 8)) {
        out->has &= ~(uint32_t)SEGMENT_HAS_RESETS;
        out->resets = out->reset_sum = 0;
    }
}

bool aggregate_eq(const struct segment_aggregate *a, const struct segment_aggregate *b)
{
    return a->has == b->has && a->digits == b->digits && a->count == b->count &&
           a->resets == b->resets && a->min == b->min && a->max == b->max && a->first == b->first &&
           a->last == b->last && a->reset_sum == b->reset_sum && a->sum == b->sum;
}
