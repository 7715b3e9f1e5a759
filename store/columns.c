#include "store/columns.h"

#include <string.h>

#include "base/ensure.h"

bool columns_alloc(struct arena *arena, enum kind kind, size_t n, size_t n_buckets, bool histograms,
    struct columns *out)
{
    *out = (struct columns){.kind = kind, .n = n};
    bool ok = (out->t = arena_array(arena, n, sizeof *out->t)) != NULL;
    switch (kind) {
    case KIND_COUNTER:
    case KIND_LEVEL:
        return ok && (out->amount = arena_array(arena, n, sizeof *out->amount)) != NULL;
    case KIND_GAUGE:
        return ok && (out->last = arena_array(arena, n, sizeof *out->last)) != NULL &&
               (out->last_ms = arena_array(arena, n, sizeof *out->last_ms)) != NULL &&
               (out->min = arena_array(arena, n, sizeof *out->min)) != NULL &&
               (out->max = arena_array(arena, n, sizeof *out->max)) != NULL &&
               (out->count = arena_array(arena, n, sizeof *out->count)) != NULL &&
               (out->sum = arena_array(arena, n, sizeof *out->sum)) != NULL;
    case KIND_HISTOGRAM:
        ok = ok && (out->sum = arena_array(arena, n, sizeof *out->sum)) != NULL &&
             (out->bucket_at = arena_array(arena, n + 1, sizeof *out->bucket_at)) != NULL &&
             (out->bucket = arena_array(arena, n_buckets, sizeof *out->bucket)) != NULL;
        if (ok)
            out->bucket_at[0] = 0;
        return ok;
    case KIND_SAMPLE:
        ok = ok && (out->bits = arena_array(arena, n, sizeof *out->bits)) != NULL;
        if (ok && histograms)
            ok = (out->hist = arena_zalloc(arena, n * sizeof *out->hist)) != NULL;
        return ok;
    }
    unreachable("kind");
}

size_t columns_after(const struct columns *columns, int64_t at)
{
    size_t lo = 0, hi = columns->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (columns->t[mid] > at)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

size_t columns_buckets(const struct columns *columns)
{
    return columns->n && columns->bucket_at ? columns->bucket_at[columns->n] - columns->bucket_at[0]
                                            : 0;
}

#define SHIFT(array) ((array) ? (array) + first : (array))

struct columns columns_slice(const struct columns *columns, int64_t from, int64_t to)
{
    size_t first = columns_after(columns, from);
    size_t end = columns_after(columns, to);
    struct columns c = *columns;
    c.n = end > first ? end - first : 0;
    c.t = SHIFT(c.t);
    c.amount = SHIFT(c.amount);
    c.last = SHIFT(c.last);
    c.last_ms = SHIFT(c.last_ms);
    c.min = SHIFT(c.min);
    c.max = SHIFT(c.max);
    c.count = SHIFT(c.count);
    c.sum = SHIFT(c.sum);
    c.bucket_at = SHIFT(c.bucket_at); /* entries stay absolute: bucket is not shifted */
    c.bits = SHIFT(c.bits);
    c.hist = SHIFT(c.hist);
    return c;
}

/* Copies cell i of in to place *n of out, which has room, and moves on. */
static void put_cell(struct columns *out, size_t *n, const struct columns *in, size_t i)
{
    size_t at = (*n)++;
    out->t[at] = in->t[i];
    if (out->amount)
        out->amount[at] = in->amount[i];
    if (out->last) {
        out->last[at] = in->last[i];
        out->last_ms[at] = in->last_ms[i];
        out->min[at] = in->min[i];
        out->max[at] = in->max[i];
        out->count[at] = in->count[i];
    }
    if (out->sum)
        out->sum[at] = in->sum[i];
    if (out->bucket_at) {
        uint32_t k = in->bucket_at[i + 1] - in->bucket_at[i];
        if (k)
            memcpy(out->bucket + out->bucket_at[at], in->bucket + in->bucket_at[i],
                k * sizeof *out->bucket);
        out->bucket_at[at + 1] = out->bucket_at[at] + k;
    }
    if (out->bits) {
        out->bits[at] = in->bits[i];
        if (out->hist)
            out->hist[at] = in->hist ? in->hist[i] : NULL;
    }
}

bool columns_copy(struct arena *arena, const struct columns *in, struct columns *out)
{
    if (!columns_alloc(arena, in->kind, in->n, columns_buckets(in), in->hist != NULL, out))
        return false;
    size_t n = 0;
    for (size_t i = 0; i < in->n; i++)
        put_cell(out, &n, in, i);
    return true;
}

uint32_t buckets_add(const struct hist_bucket *a, uint32_t n_a, const struct hist_bucket *b,
    uint32_t n_b, struct hist_bucket *out)
{
    uint32_t i = 0, j = 0, n = 0;
    while (i < n_a || j < n_b) {
        struct hist_bucket x;
        if (j == n_b || (i < n_a && a[i].key < b[j].key)) {
            x = a[i++];
        } else if (i == n_a || b[j].key < a[i].key) {
            x = b[j++];
        } else {
            x = (struct hist_bucket){
                a[i].key, (int64_t)((uint64_t)a[i].count + (uint64_t)b[j].count)};
            i++;
            j++;
        }
        if (x.count != 0)
            out[n++] = x;
    }
    return n;
}

/* Merges cell i of in into the last cell of out; out->n is that cell's index + 1. */
static bool merge_cell(
    struct arena *arena, struct columns *out, size_t at, const struct columns *in, size_t i)
{
    switch (out->kind) {
    case KIND_COUNTER:
    case KIND_LEVEL: out->amount[at] += in->amount[i]; return true;
    case KIND_GAUGE: {
        struct gauge_cell to = {out->last[at], out->last_ms[at], out->min[at], out->max[at],
            out->sum[at], out->count[at]};
        struct gauge_cell from = {
            in->last[i], in->last_ms[i], in->min[i], in->max[i], in->sum[i], in->count[i]};
        gauge_cell_merge(&to, &from);
        out->last[at] = to.last;
        out->last_ms[at] = to.last_ms;
        out->min[at] = to.min;
        out->max[at] = to.max;
        out->sum[at] = to.sum;
        out->count[at] = to.count;
        return true;
    }
    case KIND_HISTOGRAM: {
        out->sum[at] += in->sum[i];
        struct hist_bucket *a = out->bucket + out->bucket_at[at];
        uint32_t n_a = out->bucket_at[at + 1] - out->bucket_at[at];
        uint32_t n_b = in->bucket_at[i + 1] - in->bucket_at[i];
        struct hist_bucket *copy = arena_array(arena, n_a, sizeof *copy);
        if (!copy)
            return false;
        if (n_a)
            memcpy(copy, a, n_a * sizeof *copy);
        out->bucket_at[at + 1] =
            out->bucket_at[at] + buckets_add(copy, n_a, in->bucket + in->bucket_at[i], n_b, a);
        return true;
    }
    case KIND_SAMPLE:
        out->bits[at] = in->bits[i];
        if (out->hist)
            out->hist[at] = in->hist ? in->hist[i] : NULL;
        return true;
    }
    unreachable("kind");
}

bool columns_is_zero(const struct columns *columns, size_t i)
{
    if (columns->amount)
        return columns->amount[i] == 0;
    if (columns->bucket_at)
        return columns->sum[i] == 0 && columns->bucket_at[i] == columns->bucket_at[i + 1];
    return false;
}

bool columns_merge(struct arena *arena, const struct columns *in, size_t k, int64_t from,
    int64_t to, struct columns *out)
{
    size_t n = 0, n_buckets = 0;
    bool histograms = false;
    ensure(k > 0);
    struct columns *left = arena_array(arena, k, sizeof *left);
    size_t *at = arena_array(arena, k, sizeof *at);
    if (!left || !at)
        return false;
    for (size_t j = 0; j < k; j++) {
        left[j] = columns_slice(&in[j], from, to);
        at[j] = 0;
        n += left[j].n;
        n_buckets += columns_buckets(&left[j]);
        histograms |= left[j].hist != NULL;
    }
    if (!columns_alloc(arena, in[0].kind, n, n_buckets, histograms, out))
        return false;
    size_t made = 0;
    for (;;) {
        int64_t t = INT64_MAX;
        bool any = false;
        for (size_t j = 0; j < k; j++)
            if (at[j] < left[j].n && (!any || left[j].t[at[j]] < t)) {
                t = left[j].t[at[j]];
                any = true;
            }
        if (!any)
            break;
        bool first = true;
        for (size_t j = 0; j < k; j++) {
            if (at[j] == left[j].n || left[j].t[at[j]] != t)
                continue;
            if (first)
                put_cell(out, &made, &left[j], at[j]);
            else if (!merge_cell(arena, out, made - 1, &left[j], at[j]))
                return false;
            first = false;
            at[j]++;
        }
        if (columns_is_zero(out, made - 1))
            made--;
    }
    out->n = made;
    return true;
}
