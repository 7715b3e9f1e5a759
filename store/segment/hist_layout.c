#include "store/segment/hist_layout.h"

#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "base/double_bits.h"
#include "base/ensure.h"
#include "base/mem.h"

void layouts_fini(struct hist_layouts *layouts)
{
    for (uint32_t i = 0; i < layouts->n; i++) {
        free(layouts->items[i].bounds);
        free(layouts->items[i].positive.key);
        free(layouts->items[i].negative.key);
    }
    layouts->n = 0;
}

/* ---- sets of keys ---- */

/* The first place with a key that is not below this one. */
static uint32_t place_of(const struct key_set *keys, int32_t key)
{
    uint32_t lo = 0, hi = keys->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (keys->key[mid] < key)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

uint32_t key_place(const struct key_set *keys, int32_t key)
{
    uint32_t at = place_of(keys, key);
    ensure(at < keys->n && keys->key[at] == key);
    return at;
}

static bool has_key(const struct key_set *keys, int32_t key)
{
    uint32_t at = place_of(keys, key);
    return at < keys->n && keys->key[at] == key;
}

static uint32_t count_new(const struct key_set *keys, const struct hist_fbucket *b, uint32_t n)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++)
        count += !has_key(keys, b[i].index);
    return count;
}

/* Merges the keys of the buckets into the set, from the end on; so many of them are new. */
static void add_keys(struct key_set *keys, const struct hist_fbucket *b, uint32_t n, uint32_t more)
{
    uint32_t from = keys->n, to = keys->n + more;
    GROW(keys->key, keys->cap, to);
    keys->n = to;
    while (to > from) {
        int32_t index = b[n - 1].index;
        bool there = from > 0 && keys->key[from - 1] >= index;
        n -= !there || keys->key[from - 1] == index;
        keys->key[--to] = there ? keys->key[--from] : index;
    }
}

/* ---- layouts ---- */

static bool has_layout(const struct hist_layout *l, const struct hist *h, uint64_t bounds_hash)
{
    return l->schema == h->schema && l->threshold == double_bits(h->zero_threshold) &&
           l->n_bounds == h->n_bounds && l->bounds_hash == bounds_hash &&
           (h->n_bounds == 0 || memcmp(l->bounds, h->bounds, h->n_bounds * sizeof *h->bounds) == 0);
}

static uint32_t find(
    const struct hist_layouts *layouts, const struct hist *hist, uint64_t bounds_hash)
{
    uint32_t i = 0;
    while (i < layouts->n && !has_layout(&layouts->items[i], hist, bounds_hash))
        i++;
    return i;
}

static void begin(struct hist_layouts *layouts, const struct hist *hist, uint64_t bounds_hash)
{
    struct hist_layout *l = &layouts->items[layouts->n++];
    *l = (struct hist_layout){.schema = hist->schema,
        .threshold = double_bits(hist->zero_threshold),
        .bounds_hash = bounds_hash,
        .n_bounds = hist->n_bounds};
    l->bounds = xreallocarray(NULL, (size_t)hist->n_bounds + 1, sizeof *l->bounds);
    if (hist->n_bounds)
        memcpy(l->bounds, hist->bounds, hist->n_bounds * sizeof *l->bounds);
    layouts->bounds += hist->n_bounds;
}

bool layouts_add(struct hist_layouts *layouts, const struct hist *hist, uint32_t *layout)
{
    uint64_t hash =
        hist->n_bounds ? hash64(hist->bounds, hist->n_bounds * sizeof *hist->bounds) : 0;
    uint32_t i = find(layouts, hist, hash);
    bool new = i == layouts->n;
    const struct hist_layout none = {0};
    const struct hist_layout *is = new ? &none : &layouts->items[i];
    uint64_t keys = (uint64_t)is->positive.n + is->negative.n;
    if (hist->n_positive > LAYOUT_KEYS_MAX || hist->n_negative > LAYOUT_KEYS_MAX ||
        i == LAYOUTS_MAX || (new && hist->n_bounds > LAYOUT_BOUNDS_MAX - layouts->bounds))
        return false;
    uint32_t positive = count_new(&is->positive, hist->positive, hist->n_positive);
    uint32_t negative = count_new(&is->negative, hist->negative, hist->n_negative);
    uint64_t wider = keys + positive + negative;
    uint64_t counts = layouts->counts - keys * is->n + wider * (is->n + UINT64_C(1));
    if (wider > LAYOUT_KEYS_MAX || counts > LAYOUT_COUNTS_MAX)
        return false;
    if (new)
        begin(layouts, hist, hash);
    struct hist_layout *l = &layouts->items[i];
    add_keys(&l->positive, hist->positive, hist->n_positive, positive);
    add_keys(&l->negative, hist->negative, hist->n_negative, negative);
    l->n++;
    layouts->counts = (uint32_t)counts;
    *layout = i;
    return true;
}

/* ---- in the file ---- */

static void put_keys(struct buf *out, const struct key_set *keys)
{
    int64_t before = 0;
    buf_varint(out, keys->n);
    for (uint32_t i = 0; i < keys->n; i++) {
        buf_svarint(out, keys->key[i] - before);
        before = keys->key[i];
    }
}

void layouts_put(const struct hist_layouts *layouts, struct buf *out)
{
    buf_varint(out, layouts->n);
    for (uint32_t i = 0; i < layouts->n; i++) {
        const struct hist_layout *l = &layouts->items[i];
        buf_svarint(out, l->schema);
        buf_le64(out, l->threshold);
        buf_varint(out, l->n_bounds);
        for (uint32_t k = 0; k < l->n_bounds; k++)
            buf_le64(out, double_bits(l->bounds[k]));
        put_keys(out, &l->positive);
        put_keys(out, &l->negative);
    }
}

static bool get_keys(struct reader *in, struct key_set *keys)
{
    uint64_t n = read_varint(in);
    int64_t key = 0;
    if (in->failed || n > LAYOUT_KEYS_MAX || n > reader_left(in))
        return false;
    GROW(keys->key, keys->cap, n + 1);
    for (; keys->n < n; keys->n++) {
        int64_t difference = read_svarint(in);
        if (in->failed || difference < INT32_MIN || difference > UINT32_MAX ||
            (keys->n > 0 && difference <= 0))
            return false;
        key += difference;
        if (key < INT32_MIN || key > INT32_MAX)
            return false;
        keys->key[keys->n] = (int32_t)key;
    }
    return true;
}

static bool get_layout(struct hist_layouts *layouts, struct reader *in)
{
    struct hist_layout *l = &layouts->items[layouts->n++];
    *l = (struct hist_layout){0};
    int64_t schema = read_svarint(in);
    l->threshold = read_le64(in);
    uint64_t n = read_varint(in);
    if (in->failed || (schema != HIST_SCHEMA_CUSTOM && (schema < -4 || schema > 8)) ||
        n > LAYOUT_BOUNDS_MAX - layouts->bounds || n > reader_left(in) / 8)
        return false;
    l->schema = (int)schema;
    l->n_bounds = (uint32_t)n;
    layouts->bounds += l->n_bounds;
    l->bounds = xreallocarray(NULL, (size_t)n + 1, sizeof *l->bounds);
    for (uint32_t k = 0; k < n; k++)
        l->bounds[k] = bits_double(read_le64(in));
    return get_keys(in, &l->positive) && get_keys(in, &l->negative) &&
           l->positive.n + l->negative.n <= LAYOUT_KEYS_MAX;
}

bool layouts_get(struct hist_layouts *layouts, struct reader *in)
{
    uint64_t n = read_varint(in);
    layouts->n = layouts->bounds = layouts->counts = 0;
    if (in->failed || n == 0 || n > LAYOUTS_MAX)
        return false;
    while (layouts->n < n)
        if (!get_layout(layouts, in))
            return false;
    return true;
}
