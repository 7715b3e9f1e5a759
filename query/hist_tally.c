#include "query/hist_tally.h"

#include <string.h>

#include "base/ensure.h"
#include "base/number.h"

/* 2^-128, Prometheus' default: the store's zero bucket holds exact zeros, so any bound would do. */
#define ZERO_THRESHOLD 2.938735877055719e-39

/* First key >= key. */
static size_t key_place(const struct hist_tally *tally, int32_t key)
{
    size_t lo = 0, hi = tally->n_keys;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (tally->keys[mid] < key)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static bool has_key(const struct hist_tally *tally, size_t at, int32_t key)
{
    return at < tally->n_keys && tally->keys[at] == key;
}

static bool add_key(struct hist_tally *tally, struct arena *arena, size_t *cap, int32_t key)
{
    size_t at = key_place(tally, key);
    if (has_key(tally, at, key))
        return true;
    if (tally->n_keys == *cap) {
        size_t more = *cap ? *cap * 2 : 32;
        int32_t *grown = arena_array(arena, more, sizeof *grown);
        if (!grown)
            return false;
        if (tally->n_keys)
            memcpy(grown, tally->keys, tally->n_keys * sizeof *grown);
        tally->keys = grown;
        *cap = more;
    }
    memmove(tally->keys + at + 1, tally->keys + at, (tally->n_keys - at) * sizeof *tally->keys);
    tally->keys[at] = key;
    tally->n_keys++;
    return true;
}

bool hist_tally_init(struct hist_tally *tally, struct arena *arena, const struct columns *cells)
{
    *tally = (struct hist_tally){.cells = cells};
    size_t cap = 0;
    if (cells->n)
        for (uint32_t b = cells->bucket_at[0]; b < cells->bucket_at[cells->n]; b++)
            if (!add_key(tally, arena, &cap, cells->bucket[b].key))
                return false;
    tally->counts = arena_zalloc(arena, tally->n_keys * sizeof *tally->counts);
    return tally->counts != NULL;
}

static void add_cells(struct hist_tally *tally, size_t first, size_t end, int sign)
{
    const struct columns *cells = tally->cells;
    for (size_t i = first; i < end; i++) {
        tally->sum += sign * cells->sum[i];
        for (uint32_t b = cells->bucket_at[i]; b < cells->bucket_at[i + 1]; b++)
            tally->counts[key_place(tally, cells->bucket[b].key)] +=
                sign * (int128)cells->bucket[b].count;
    }
}

void hist_tally_move(struct hist_tally *tally, size_t first, size_t end)
{
    ensure(first <= end && end <= tally->cells->n);
    if (first < tally->first || first >= tally->end || end < tally->end) {
        memset(tally->counts, 0, tally->n_keys * sizeof *tally->counts);
        tally->sum = 0;
        tally->first = tally->end = first;
    }
    add_cells(tally, tally->first, first, -1);
    add_cells(tally, tally->end, end, 1);
    tally->first = first;
    tally->end = end;
}

static size_t filled_keys(const struct hist_tally *tally, size_t from, size_t to)
{
    size_t n = 0;
    for (size_t i = from; i < to; i++)
        n += tally->counts[i] != 0;
    return n;
}

/* The side's buckets by index ascending: keys of negative buckets run the other way. */
static uint32_t fill_side(const struct hist_tally *tally, size_t from, size_t to, bool negative,
    double divisor, struct hist_fbucket *out)
{
    uint32_t n = 0;
    for (size_t i = from; i < to; i++) {
        size_t k = negative ? to - 1 - (i - from) : i;
        if (tally->counts[k] == 0)
            continue;
        int32_t index = negative ? HIST_NEGATIVE(tally->keys[k]) : tally->keys[k];
        out[n++] = (struct hist_fbucket){index, (double)tally->counts[k] / divisor};
    }
    return n;
}

const struct hist *hist_tally_value(const struct hist_tally *tally, struct arena *arena,
    const struct metric_def *def, double divisor, enum hist_reset_hint hint)
{
    struct hist *h = arena_zalloc(arena, sizeof *h);
    size_t zero = key_place(tally, HIST_ZERO), positive = key_place(tally, HIST_ZERO + 1);
    /* The run may hold few of the series' keys, and a query many results. */
    size_t filled = filled_keys(tally, 0, zero) + filled_keys(tally, positive, tally->n_keys);
    struct hist_fbucket *buckets = arena_array(arena, filled, sizeof *buckets);
    if (!h || !buckets)
        return NULL;
    h->schema = def->schema;
    h->reset_hint = hint;
    h->zero_threshold = ZERO_THRESHOLD;
    if (has_key(tally, zero, HIST_ZERO))
        h->zero_count = (double)tally->counts[zero] / divisor;
    h->n_negative = fill_side(tally, 0, zero, true, divisor, buckets);
    h->negative = buckets;
    h->n_positive =
        fill_side(tally, positive, tally->n_keys, false, divisor, buckets + h->n_negative);
    h->positive = buckets + h->n_negative;
    int128 count = 0;
    for (size_t i = 0; i < tally->n_keys; i++)
        count += tally->counts[i];
    h->count = (double)count / divisor;
    h->sum = scaled_to_double(tally->sum, def->digits) / divisor;
    return h;
}
