#include "store/columns.h"

#include <stdlib.h>
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

bool columns_alloc_start(struct arena *arena, struct columns *columns)
{
    columns->start = arena_zalloc(arena, columns->n * sizeof *columns->start);
    return columns->start != NULL;
}

bool columns_alloc_derived(struct arena *arena, size_t n, struct columns *out)
{
    *out = (struct columns){.kind = KIND_SAMPLE, .n = n};
    int64_t **const words[] = {&out->t, &out->count, &out->first, &out->first_ms, &out->last,
        &out->last_ms, &out->min, &out->max, &out->digits, &out->reset_sum, &out->resets};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!(*words[i] = arena_array(arena, n, sizeof(int64_t))))
            return false;
    return (out->sum = arena_array(arena, n, sizeof *out->sum)) != NULL;
}

/* The arrays with one entry per cell; buckets are apart. */
/* clang-format off */
#define EACH_ARRAY(DO)                                                                             \
    DO(t) DO(amount) DO(last) DO(last_ms) DO(min) DO(max) DO(count) DO(sum) DO(bits) DO(hist)      \
    DO(start) DO(first) DO(first_ms) DO(digits) DO(reset_sum) DO(resets)
/* clang-format on */

struct columns columns_slice(const struct columns *columns, int64_t from, int64_t to)
{
    size_t first = columns_after(columns, from);
    size_t end = columns_after(columns, to);
    struct columns c = *columns;
    c.n = end > first ? end - first : 0;
#define SHIFT(array) c.array = c.array ? c.array + first : NULL;
    EACH_ARRAY(SHIFT)
#undef SHIFT
    if (c.bucket_at)
        c.bucket_at += first; /* entries stay absolute: bucket is not shifted */
    return c;
}

/* Copies cells [from, from + n) of in to place `at` of out, which has room. */
static void put_cells(
    struct columns *out, size_t at, const struct columns *in, size_t from, size_t n)
{
#define PUT(array)                                                                                 \
    if (out->array && in->array)                                                                   \
        memcpy(out->array + at, in->array + from, n * sizeof *out->array);                         \
    else if (out->array)                                                                           \
        memset(out->array + at, 0, n * sizeof *out->array);
    EACH_ARRAY(PUT)
#undef PUT
    if (!out->bucket_at)
        return;
    uint32_t begin = in->bucket_at[from], to = out->bucket_at[at];
    uint32_t k = in->bucket_at[from + n] - begin;
    if (k)
        memcpy(out->bucket + to, in->bucket + begin, k * sizeof *out->bucket);
    for (size_t i = 0; i < n; i++)
        out->bucket_at[at + i + 1] = in->bucket_at[from + i + 1] - begin + to;
}

/* Arrays as `in` has them, with room for n cells. */
static bool alloc_like(
    struct arena *arena, const struct columns *in, size_t n, size_t n_buckets, struct columns *out)
{
    if (in->first)
        return columns_alloc_derived(arena, n, out);
    return columns_alloc(arena, in->kind, n, n_buckets, in->hist != NULL, out) &&
           (!in->start || columns_alloc_start(arena, out));
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
    case KIND_LEVEL: out->amount[at] = sum_add(out->amount[at], in->amount[i]); return true;
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
        out->sum[at] = sum_add(out->sum[at], in->sum[i]);
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
    case KIND_SAMPLE: put_cells(out, at, in, i, 1); return true;
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

bool columns_exact_sums(const struct columns *columns, int *digits, int128 *sum, int128 *reset_sum)
{
    const struct columns *c = columns;
    *digits = 0;
    *sum = *reset_sum = 0;
    for (size_t i = 0; i < c->n; i++)
        *digits = c->digits[i] > *digits ? (int)c->digits[i] : *digits;
    for (size_t i = 0; i < c->n; i++) {
        int128 x, y;
        if (c->digits[i] == DIGITS_INEXACT)
            return false;
        int64_t scale = pow10_int(*digits - (int)c->digits[i]);
        if (__builtin_mul_overflow(c->sum[i], scale, &x) || __builtin_add_overflow(*sum, x, sum) ||
            __builtin_mul_overflow((int128)c->reset_sum[i], scale, &y) ||
            __builtin_add_overflow(*reset_sum, y, reset_sum))
            return false; /* not of samples: a file may say anything */
    }
    return true;
}

/* ---- merging ---- */

/* An input of a merge, and how far it is used up. */
struct lane {
    struct columns cells;
    size_t at;
};

/* Appends cells [from, from + n) without those that do not exist. */
static void put_existing(
    struct columns *out, size_t *made, const struct columns *in, size_t from, size_t n)
{
    size_t end = from + n;
    if (!in->amount && !in->bucket_at) {
        put_cells(out, *made, in, from, n);
        *made += n;
        return;
    }
    while (from < end) {
        size_t run = 0;
        while (from + run < end && !columns_is_zero(in, from + run))
            run++;
        if (run)
            put_cells(out, *made, in, from, run);
        *made += run;
        from += run + 1;
    }
}

/* The lane with the least time, the oldest of those that share it; *limit: the least time of the
 * lanes behind it in that order. Returns k when all are used up. */
static size_t first_lane(const struct lane *lanes, size_t k, int64_t *limit)
{
    size_t best = k;
    int64_t least = 0;
    *limit = INT64_MAX;
    for (size_t j = 0; j < k; j++) {
        if (lanes[j].at == lanes[j].cells.n)
            continue;
        int64_t t = lanes[j].cells.t[lanes[j].at];
        if (best == k || t < least) {
            if (best != k)
                *limit = least;
            least = t;
            best = j;
        } else if (t < *limit) {
            *limit = t;
        }
    }
    return best;
}

/* All cells at time t, of lane `first` and the ones behind it, become one cell of out. */
static bool merge_time(struct arena *arena, struct lane *lanes, size_t k, size_t first, int64_t t,
    struct columns *out, size_t *made)
{
    put_cells(out, *made, &lanes[first].cells, lanes[first].at++, 1);
    for (size_t j = first + 1; j < k; j++)
        if (lanes[j].at < lanes[j].cells.n && lanes[j].cells.t[lanes[j].at] == t &&
            !merge_cell(arena, out, *made, &lanes[j].cells, lanes[j].at++))
            return false;
    *made += !columns_is_zero(out, *made);
    return true;
}

static bool merge_few(struct arena *arena, const struct columns *in, size_t k, int64_t from,
    int64_t to, struct columns *out)
{
    size_t n = 0, n_buckets = 0, made = 0, j;
    int64_t limit;
    ensure(k > 0);
    struct columns shape = in[0];
    struct lane *lanes = arena_array(arena, k, sizeof *lanes);
    if (!lanes)
        return false;
    for (j = 0; j < k; j++) {
        lanes[j] = (struct lane){columns_slice(&in[j], from, to), 0};
        n += lanes[j].cells.n;
        n_buckets += columns_buckets(&lanes[j].cells);
        if (in[j].hist)
            shape.hist = in[j].hist;
        if (in[j].start)
            shape.start = in[j].start;
    }
    if (!alloc_like(arena, &shape, n, n_buckets, out))
        return false;
    while ((j = first_lane(lanes, k, &limit)) < k) {
        struct lane *lane = &lanes[j];
        int64_t t = lane->cells.t[lane->at];
        if (t == limit && limit != INT64_MAX) {
            if (!merge_time(arena, lanes, k, j, t, out, &made))
                return false;
            continue;
        }
        size_t end = limit == INT64_MAX || lane->cells.t[lane->cells.n - 1] < limit
                         ? lane->cells.n
                         : columns_after(&lane->cells, limit - 1);
        put_existing(out, &made, &lane->cells, lane->at, end - lane->at);
        lane->at = end;
    }
    out->n = made;
    return true;
}

/* So many are looked at one by one, which is fastest for few. More are merged by so many, in their
 * order, and what comes of them again: the rules of the kinds allow it. */
#define LANES_MAX 64

bool columns_merge(struct arena *arena, const struct columns *in, size_t k, int64_t from,
    int64_t to, struct columns *out)
{
    while (k > LANES_MAX) {
        size_t n = 0;
        struct columns *merged = arena_array(arena, (k - 1) / LANES_MAX + 1, sizeof *merged);
        if (!merged)
            return false;
        for (size_t i = 0, few; i < k; i += few) {
            few = k - i < LANES_MAX ? k - i : LANES_MAX;
            if (!merge_few(arena, in + i, few, from, to, &merged[n++]))
                return false;
        }
        in = merged;
        k = n;
    }
    return merge_few(arena, in, k, from, to, out);
}

/* ---- sorting ---- */

struct moment {
    int64_t t;
    size_t i;
};

static int by_time(const void *a, const void *b)
{
    const struct moment *x = a, *y = b;
    return x->t != y->t ? (x->t > y->t) - (x->t < y->t) : (x->i > y->i) - (x->i < y->i);
}

bool columns_sort(struct arena *arena, const struct columns *in, struct columns *out)
{
    size_t ordered = 1, made = 0;
    while (ordered < in->n && in->t[ordered - 1] < in->t[ordered])
        ordered++;
    if (ordered >= in->n) {
        *out = *in;
        return true;
    }
    struct moment *moments = arena_array(arena, in->n, sizeof *moments);
    if (!moments || !alloc_like(arena, in, in->n, columns_buckets(in), out))
        return false;
    for (size_t i = 0; i < in->n; i++)
        moments[i] = (struct moment){in->t[i], i};
    qsort(moments, in->n, sizeof *moments, by_time);
    for (size_t i = 0; i < in->n; i++) {
        if (made && out->t[made - 1] == moments[i].t) {
            if (!merge_cell(arena, out, made - 1, in, moments[i].i))
                return false;
        } else {
            put_cells(out, made++, in, moments[i].i, 1);
        }
    }
    out->n = made;
    return true;
}
