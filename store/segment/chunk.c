#include "store/segment/chunk.h"

#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "store/segment.h"
#include "store/codec/codec.h"
#include "store/segment/chunk_derived.h"
#include "store/segment/chunk_hist.h"
#include "store/segment/stream.h"

/* Of each kind the stream that begins its 128-bit number. */
enum { AMOUNT_LO = 0, GAUGE_SUM_LO = 5, HIST_KEYS = 0, HIST_COUNTS = 1, HIST_SUM_LO = 2 };

/* ---- bucket keys ---- */

/* A sorted set of keys, and room for its successor: sets are merged cell by cell. */
struct keys {
    int32_t *key, *spare;
    size_t n, cap, spare_cap;
};

static void keys_fini(struct keys *keys)
{
    free(keys->key);
    free(keys->spare);
}

/* keys->spare := keys and the n buckets' keys. Returns how many that are. */
static size_t keys_union(struct keys *keys, const struct hist_bucket *bucket, size_t n)
{
    GROW(keys->spare, keys->spare_cap, keys->n + n);
    size_t i = 0, j = 0, m = 0;
    while (i < keys->n || j < n) {
        if (j == n || (i < keys->n && keys->key[i] < bucket[j].key))
            keys->spare[m++] = keys->key[i++];
        else if (i == keys->n || bucket[j].key < keys->key[i])
            keys->spare[m++] = bucket[j++].key;
        else {
            keys->spare[m++] = keys->key[i++];
            j++;
        }
    }
    return m;
}

static void keys_take(struct keys *keys, size_t n)
{
    int32_t *key = keys->key;
    size_t cap = keys->cap;
    keys->key = keys->spare;
    keys->cap = keys->spare_cap;
    keys->spare = key;
    keys->spare_cap = cap;
    keys->n = n;
}

/* Adds cells [from, from + max) until the chunk is full; returns how many it holds. */
static size_t keys_of_cells(struct keys *keys, const struct columns *c, size_t from, size_t max)
{
    size_t n = 0;
    for (; n < max; n++) {
        const uint32_t *at = c->bucket_at + from + n;
        size_t m = keys_union(keys, c->bucket + at[0], at[1] - at[0]);
        if (m > HIST_KEYS_MAX || m * (n + 1) > LAYOUT_COUNTS_MAX)
            break;
        if (m > keys->n)
            keys_take(keys, m);
    }
    return n;
}

size_t chunk_cells(const struct columns *columns, size_t from, size_t max)
{
    if (columns->kind == KIND_SAMPLE && columns->hist)
        return chunk_hist_cells(columns, from, max);
    if (columns->kind != KIND_HISTOGRAM)
        return max;
    struct keys keys = {0};
    size_t n = keys_of_cells(&keys, columns, from, max);
    keys_fini(&keys);
    return n;
}

/* ---- encoding ---- */

static bool has_histograms(const struct columns *c, size_t from, size_t n)
{
    for (size_t i = 0; c->kind == KIND_SAMPLE && c->hist && i < n; i++)
        if (c->hist[from + i])
            return true;
    return false;
}

enum page_type chunk_page_type(const struct columns *columns, size_t from, size_t n)
{
    bool hist = columns->kind == KIND_HISTOGRAM || has_histograms(columns, from, n);
    return hist ? PAGE_HIST : PAGE_VALUES;
}

static void put_stream(const int64_t *values, size_t n, struct buf *out, uint8_t *codec)
{
    *codec = stream_codec(values, n, false);
    codec_encode(*codec, values, n, out);
}

static void put_wide(const int128 *values, size_t n, struct buf *out, uint8_t codecs[2])
{
    int64_t words[CHUNK_CELLS_MAX] = {0};
    bool wide = false;
    ensure(n > 0 && n <= CHUNK_CELLS_MAX);
    for (size_t i = 0; i < n; i++) {
        words[i] = (int64_t)values[i];
        wide |= values[i] != words[i];
    }
    put_stream(words, n, out, &codecs[0]);
    if (!wide)
        return;
    for (size_t i = 0; i < n; i++)
        words[i] = (int64_t)(values[i] >> 64);
    put_stream(words, n, out, &codecs[1]);
}

static void put_gauge(
    const struct columns *c, size_t from, size_t n, struct buf *out, uint8_t *codecs)
{
    const int64_t *streams[GAUGE_SUM_LO] = {c->last, c->last_ms, c->min, c->max, c->count};
    for (size_t s = 0; s < GAUGE_SUM_LO; s++)
        put_stream(streams[s] + from, n, out, &codecs[s]);
    put_wide(c->sum + from, n, out, &codecs[GAUGE_SUM_LO]);
}

/* counts[k * n + i]: bucket k of cell i. */
static int64_t *counts_by_key(
    const struct keys *keys, const struct columns *c, size_t from, size_t n)
{
    int64_t *counts = xcalloc(keys->n * n, sizeof *counts);
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        for (uint32_t b = c->bucket_at[from + i]; b < c->bucket_at[from + i + 1]; b++) {
            while (keys->key[k] < c->bucket[b].key)
                k++;
            counts[k * n + i] = c->bucket[b].count;
        }
    }
    return counts;
}

static void put_histogram(
    const struct columns *c, size_t from, size_t n, struct buf *out, uint8_t *codecs)
{
    struct keys keys = {0};
    ensure(keys_of_cells(&keys, c, from, n) == n);
    buf_le32(out, (uint32_t)keys.n);
    int64_t *wide = xreallocarray(NULL, keys.n + 1, sizeof *wide);
    for (size_t k = 0; k < keys.n; k++)
        wide[k] = keys.key[k];
    put_stream(wide, keys.n, out, &codecs[HIST_KEYS]);
    free(wide);
    if (keys.n) {
        int64_t *counts = counts_by_key(&keys, c, from, n);
        codecs[HIST_COUNTS] = codec_choose(counts, n);
        for (size_t k = 0; k < keys.n; k++)
            codec_encode(codecs[HIST_COUNTS], counts + k * n, n, out);
        free(counts);
    }
    put_wide(c->sum + from, n, out, &codecs[HIST_SUM_LO]);
    keys_fini(&keys);
}

void chunk_put_starts(const struct columns *columns, size_t from, size_t n, struct buf *out,
    uint8_t codecs[CHUNK_STREAMS_MAX])
{
    bool starts = false;
    for (size_t i = 0; columns->start && i < n; i++)
        starts |= columns->start[from + i] != 0;
    if (starts)
        put_stream(columns->start + from, n, out, &codecs[SAMPLE_START]);
}

static void put_samples(
    const struct columns *c, size_t from, size_t n, struct buf *out, uint8_t *codecs)
{
    int64_t bits[CHUNK_CELLS_MAX];
    if (c->first || has_histograms(c, from, n)) {
        codecs[CHUNK_FORM] = c->first ? FORM_COARSE : FORM_HISTOGRAMS;
        (c->first ? chunk_derived_encode : chunk_hist_encode)(c, from, n, out);
        return;
    }
    memcpy(bits, c->bits + from, n * sizeof *bits);
    codecs[SAMPLE_BITS] = stream_codec(bits, n, true);
    codec_encode(codecs[SAMPLE_BITS], bits, n, out);
    chunk_put_starts(c, from, n, out, codecs);
}

void chunk_encode(const struct columns *columns, size_t from, size_t n, struct buf *out,
    uint8_t codecs[CHUNK_STREAMS_MAX])
{
    ensure(n > 0 && n <= CHUNK_CELLS_MAX);
    memset(codecs, CODEC_NONE, CHUNK_STREAMS_MAX);
    switch (columns->kind) {
    case KIND_COUNTER:
    case KIND_LEVEL: put_wide(columns->amount + from, n, out, &codecs[AMOUNT_LO]); return;
    case KIND_GAUGE: put_gauge(columns, from, n, out, codecs); return;
    case KIND_HISTOGRAM: put_histogram(columns, from, n, out, codecs); return;
    case KIND_SAMPLE: put_samples(columns, from, n, out, codecs); return;
    }
    unreachable("kind");
}

/* ---- decoding ---- */

struct decoder {
    struct reader in;
    size_t n;
    const uint8_t *codecs;
    const struct place *place;
    struct err *err;
};

bool chunk_get_stream(struct reader *in, const uint8_t codecs[CHUNK_STREAMS_MAX], size_t stream,
    size_t n, const struct place *place, int64_t *out, struct err *err)
{
    uint8_t codec = codecs[stream];
    if (codec == CODEC_NONE)
        return place_corrupt(place, err, "a chunk has no stream %zu", stream);
    if (!codec_known(codec))
        return place_unsupported(place, err, "not supported yet: codec %d", codec);
    if (!codec_decode(codec, in, n, out))
        return place_corrupt(place, err, "stream %zu of a chunk does not decode", stream);
    return true;
}

static bool get_stream(struct decoder *d, size_t stream, size_t n, int64_t *out)
{
    return chunk_get_stream(&d->in, d->codecs, stream, n, d->place, out, d->err);
}

static bool get_wide(struct decoder *d, size_t stream, int128 *out)
{
    int64_t words[CHUNK_CELLS_MAX];
    if (!get_stream(d, stream, d->n, words))
        return false;
    for (size_t i = 0; i < d->n; i++)
        out[i] = words[i];
    if (d->codecs[stream + 1] == CODEC_NONE)
        return true;
    if (!get_stream(d, stream + 1, d->n, words))
        return false;
    for (size_t i = 0; i < d->n; i++)
        out[i] = (int128)((uint128)(uint64_t)words[i] << 64 | (uint64_t)out[i]);
    return true;
}

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_LIMIT, "memory of the query is used up while reading a chunk");
}

static bool get_gauge(struct decoder *d, struct columns *out)
{
    int64_t *streams[GAUGE_SUM_LO] = {out->last, out->last_ms, out->min, out->max, out->count};
    for (size_t s = 0; s < GAUGE_SUM_LO; s++)
        if (!get_stream(d, s, d->n, streams[s]))
            return false;
    return get_wide(d, GAUGE_SUM_LO, out->sum);
}

static bool get_keys(struct decoder *d, int64_t *keys, size_t n_keys)
{
    if (!get_stream(d, HIST_KEYS, n_keys, keys))
        return false;
    for (size_t k = 0; k < n_keys; k++)
        if (keys[k] < INT32_MIN || keys[k] > HIST_INDEX_MAX || (k > 0 && keys[k] <= keys[k - 1]))
            return place_corrupt(
                d->place, d->err, "bucket keys of a chunk do not ascend, or are out of bounds");
    return true;
}

static bool get_counts(struct decoder *d, int64_t *counts, size_t n_keys, size_t *n_buckets)
{
    *n_buckets = 0;
    for (size_t k = 0; k < n_keys; k++)
        if (!get_stream(d, HIST_COUNTS, d->n, counts + k * d->n))
            return false;
    for (size_t i = 0; i < n_keys * d->n; i++)
        *n_buckets += counts[i] != 0;
    return true;
}

static void fill_buckets(
    const int64_t *keys, size_t n_keys, const int64_t *counts, size_t n, struct columns *out)
{
    uint32_t at = 0;
    for (size_t i = 0; i < n; i++) {
        out->bucket_at[i] = at;
        for (size_t k = 0; k < n_keys; k++)
            if (counts[k * n + i] != 0)
                out->bucket[at++] = (struct hist_bucket){(int32_t)keys[k], counts[k * n + i]};
    }
    out->bucket_at[n] = at;
}

static bool get_histogram(struct decoder *d, struct arena *arena, struct columns *out)
{
    size_t n_keys = read_le32(&d->in), n_buckets;
    if (n_keys > HIST_KEYS_MAX || n_keys * d->n > LAYOUT_COUNTS_MAX)
        return place_corrupt(
            d->place, d->err, "a chunk of %zu cells with %zu bucket keys", d->n, n_keys);
    int64_t *keys = xreallocarray(NULL, n_keys * (d->n + 1) + 1, sizeof *keys);
    int64_t *counts = keys + n_keys;
    bool ok = get_keys(d, keys, n_keys) && get_counts(d, counts, n_keys, &n_buckets);
    if (ok && !columns_alloc(arena, KIND_HISTOGRAM, d->n, n_buckets, false, out))
        ok = no_memory(d->err);
    if (ok) {
        fill_buckets(keys, n_keys, counts, d->n, out);
        ok = get_wide(d, HIST_SUM_LO, out->sum);
    }
    free(keys);
    return ok;
}

bool chunk_get_starts(struct reader *in, const uint8_t codecs[CHUNK_STREAMS_MAX],
    const struct place *place, struct arena *arena, struct columns *out, struct err *err)
{
    if (codecs[SAMPLE_START] == CODEC_NONE)
        return true;
    if (!columns_alloc_start(arena, out))
        return no_memory(err);
    return chunk_get_stream(in, codecs, SAMPLE_START, out->n, place, out->start, err);
}

static bool get_samples(struct decoder *d, struct arena *arena, struct columns *out)
{
    int64_t bits[CHUNK_CELLS_MAX];
    switch (d->codecs[CHUNK_FORM]) {
    case CODEC_NONE: break;
    case FORM_DERIVED:
    case FORM_COARSE:
        return chunk_derived_decode(
            &d->in, d->codecs[CHUNK_FORM], d->n, d->place, arena, out, d->err);
    case FORM_HISTOGRAMS: return chunk_hist_decode(&d->in, d->n, d->place, arena, out, d->err);
    case FORM_DIFFERENCES:
        return place_corrupt(d->place, d->err, "a chunk of differences without its base");
    default:
        return place_unsupported(
            d->place, d->err, "not supported yet: form %d of a chunk", d->codecs[CHUNK_FORM]);
    }
    if (!columns_alloc(arena, KIND_SAMPLE, d->n, 0, false, out))
        return no_memory(d->err);
    if (!get_stream(d, SAMPLE_BITS, d->n, bits))
        return false;
    memcpy(out->bits, bits, d->n * sizeof *bits);
    return chunk_get_starts(&d->in, d->codecs, d->place, arena, out, d->err);
}

static bool get_cells(struct decoder *d, enum kind kind, struct arena *arena, struct columns *out)
{
    if (kind == KIND_HISTOGRAM)
        return get_histogram(d, arena, out);
    if (kind == KIND_SAMPLE)
        return get_samples(d, arena, out);
    if (!columns_alloc(arena, kind, d->n, 0, false, out))
        return no_memory(d->err);
    if (kind == KIND_GAUGE)
        return get_gauge(d, out);
    return get_wide(d, AMOUNT_LO, out->amount);
}

bool chunk_decode(enum kind kind, struct slice bytes, size_t n,
    const uint8_t codecs[CHUNK_STREAMS_MAX], const struct place *place, struct arena *arena,
    struct columns *out, struct err *err)
{
    ensure(n > 0 && n <= CHUNK_CELLS_MAX);
    struct decoder d = {reader_of(bytes), n, codecs, place, err};
    if (kind != KIND_SAMPLE && codecs[CHUNK_FORM] != CODEC_NONE)
        return place_unsupported(place, err, "not supported yet: form %d of a chunk of a %s",
            codecs[CHUNK_FORM], kind_name(kind));
    if (!get_cells(&d, kind, arena, out))
        return false;
    if (reader_left(&d.in) > 0)
        return place_corrupt(place, err, "bytes behind the last stream of a chunk");
    return true;
}

void chunk_finish(const uint8_t codecs[CHUNK_STREAMS_MAX], struct columns *columns)
{
    if (codecs[CHUNK_FORM] == FORM_COARSE)
        chunk_derived_finish(columns);
}
