#include "store/resolution.h"

#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "base/double_bits.h"
#include "base/ensure.h"
#include "base/mem.h"
#include "store/segment/aggregate.h"
#include "store/segment/scaled.h"

const int64_t resolutions[RESOLUTIONS] = {RESOLUTION_1M, RESOLUTION_1H, RESOLUTION_1D};

int resolution_index(int64_t resolution_ms)
{
    for (int r = 0; r < RESOLUTIONS; r++)
        if (resolutions[r] == resolution_ms)
            return r;
    return -1;
}

bool resolution_fits(const struct metric_def *def, int64_t resolution_ms)
{
    if (resolution_ms == RESOLUTION_1D && def->kind != KIND_LEVEL)
        return false;
    return def->kind == KIND_SAMPLE ||
           (def->every_ms < resolution_ms && resolution_ms % def->every_ms == 0);
}

int64_t bucket_end(int64_t t, int64_t resolution_ms)
{
    int64_t over = t % resolution_ms;
    if (over == 0)
        return t;
    return t - over + (over > 0 ? resolution_ms : 0);
}

/* The first cell behind i that is in another bucket. */
static size_t run_end(const struct columns *c, size_t i, int64_t resolution_ms, int64_t *end)
{
    *end = bucket_end(c->t[i], resolution_ms);
    while (i < c->n && c->t[i] <= *end)
        i++;
    return i;
}

size_t resolution_buckets(const struct columns *c, int64_t resolution_ms)
{
    size_t n = 0;
    int64_t end;
    for (size_t i = 0; i < c->n; n++)
        i = run_end(c, i, resolution_ms, &end);
    return n;
}

/* ---- kinds ---- */

static void add_amounts(const struct columns *in, size_t i, size_t end, struct columns *out)
{
    int128 sum = 0;
    for (; i < end; i++)
        sum += in->amount[i];
    out->amount[out->n] = sum;
}

static struct gauge_cell gauge_at(const struct columns *c, size_t i)
{
    return (struct gauge_cell){
        c->last[i], c->last_ms[i], c->min[i], c->max[i], c->sum[i], c->count[i]};
}

static void merge_gauges(const struct columns *in, size_t i, size_t end, struct columns *out)
{
    struct gauge_cell cell = gauge_at(in, i);
    for (i++; i < end; i++) {
        struct gauge_cell more = gauge_at(in, i);
        gauge_cell_merge(&cell, &more);
    }
    out->last[out->n] = cell.last;
    out->last_ms[out->n] = cell.last_ms;
    out->min[out->n] = cell.min;
    out->max[out->n] = cell.max;
    out->sum[out->n] = cell.sum;
    out->count[out->n] = cell.count;
}

/* scratch has room for the buckets of all cells. */
static void add_histograms(const struct columns *in, size_t i, size_t end,
    struct hist_bucket *scratch, struct columns *out)
{
    struct hist_bucket *to = out->bucket + out->bucket_at[out->n];
    int128 sum = 0;
    uint32_t n = 0;
    for (; i < end; i++) {
        const struct hist_bucket *b = in->bucket + in->bucket_at[i];
        uint32_t n_b = in->bucket_at[i + 1] - in->bucket_at[i];
        sum += in->sum[i];
        n = buckets_add(to, n, b, n_b, scratch);
        memcpy(to, scratch, n * sizeof *to);
    }
    out->sum[out->n] = sum;
    out->bucket_at[out->n + 1] = out->bucket_at[out->n] + n;
}

/* The sums of a cell's samples where they are decimals: with as many digits as those before it
 * when that does, so that cells of one series agree. */
static bool sum_decimals(const uint64_t *bits, size_t n, int64_t before, struct scaled_sum *sum)
{
    for (int digits = (int)before; digits <= DECIMAL_DIGITS; digits++)
        if (scaled_sum(bits, n, digits, sum))
            return true;
    for (int digits = 0; digits < before; digits++)
        if (scaled_sum(bits, n, digits, sum))
            return true;
    return false;
}

/* A bucket of nothing but staleness markers has no cell. *digits: of the cells before it. */
static bool sum_up_samples(
    const struct columns *in, size_t i, size_t end, int64_t *digits, struct columns *out)
{
    struct segment_aggregate a;
    struct scaled_sum exact;
    size_t at = out->n;
    aggregate_of_v1(in, i, end - i, &a); /* doubles, and resets always */
    if (a.count == 0)
        return false;
    while (in->bits[i] == STALE_BITS)
        i++;
    while (in->bits[end - 1] == STALE_BITS)
        end--;
    bool numbers = a.has & SEGMENT_HAS_MIN_MAX;
    out->first_ms[at] = in->t[i];
    out->last_ms[at] = in->t[end - 1];
    out->count[at] = a.count;
    out->first[at] = a.first;
    out->last[at] = a.last;
    out->min[at] = numbers ? a.min : (int64_t)NAN_BITS;
    out->max[at] = numbers ? a.max : (int64_t)NAN_BITS;
    out->digits[at] = DIGITS_INEXACT;
    out->sum[at] = a.sum;
    out->reset_sum[at] = a.reset_sum;
    out->resets[at] = a.resets;
    if (!sum_decimals(in->bits + i, end - i, *digits, &exact))
        return true;
    *digits = exact.digits > *digits ? exact.digits : *digits;
    out->digits[at] = exact.digits;
    out->sum[at] = exact.sum;
    out->reset_sum[at] = exact.reset_sum;
    return true;
}

/* Cells with fewer digits get as many as the others, where that fits: then they are stored as
 * integers of one scale. */
static void unify_digits(int64_t digits, struct columns *c)
{
    for (size_t i = 0; i < c->n; i++) {
        int64_t reset_sum;
        if (c->digits[i] == DIGITS_INEXACT || c->digits[i] == digits)
            continue;
        int64_t scale = pow10_int((int)(digits - c->digits[i]));
        if (__builtin_mul_overflow(c->reset_sum[i], scale, &reset_sum))
            continue;
        c->digits[i] = digits;
        c->sum[i] *= scale; /* of fewer than 2^40 integers below 2^53, and 10^9 */
        c->reset_sum[i] = reset_sum;
    }
}

/* ---- columns ---- */

bool columns_have_histograms(const struct columns *c)
{
    for (size_t i = 0; c->hist && i < c->n; i++)
        if (c->hist[i])
            return true;
    return false;
}

/* False: the cells of the bucket come to nothing. */
static bool derive_cell(const struct columns *in, size_t i, size_t end, struct hist_bucket *scratch,
    int64_t *digits, struct columns *out)
{
    switch (in->kind) {
    case KIND_COUNTER:
    case KIND_LEVEL: add_amounts(in, i, end, out); break;
    case KIND_GAUGE: merge_gauges(in, i, end, out); break;
    case KIND_HISTOGRAM: add_histograms(in, i, end, scratch, out); break;
    case KIND_SAMPLE: return sum_up_samples(in, i, end, digits, out);
    }
    return !columns_is_zero(out, out->n);
}

bool resolution_derive(
    struct arena *arena, const struct columns *raw, int64_t resolution_ms, struct columns *out)
{
    size_t n = columns_have_histograms(raw) ? 0 : resolution_buckets(raw, resolution_ms);
    size_t buckets = n ? columns_buckets(raw) : 0;
    struct hist_bucket *scratch = arena_array(arena, buckets, sizeof *scratch);
    ensure(!raw->first);
    bool ok = scratch &&
              (raw->kind == KIND_SAMPLE ? columns_alloc_derived(arena, n, out)
                                        : columns_alloc(arena, raw->kind, n, buckets, false, out));
    if (!ok)
        return false;
    int64_t digits = 0;
    out->n = 0;
    for (size_t i = 0, end; n && i < raw->n; i = end) {
        end = run_end(raw, i, resolution_ms, &out->t[out->n]);
        out->n += derive_cell(raw, i, end, scratch, &digits, out);
    }
    if (out->first)
        unify_digits(digits, out);
    return true;
}

/* ---- digests ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

uint64_t resolution_digest(const char **names, size_t n)
{
    uint64_t digest = 0;
    if (n)
        qsort(names, n, sizeof *names, by_text);
    for (size_t i = 0; i < n; i++) {
        uint64_t words[2] = {digest, hash64(names[i], strlen(names[i]))};
        digest = hash64(words, sizeof words);
    }
    return digest;
}
