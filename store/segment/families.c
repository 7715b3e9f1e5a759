#include "store/segment/families.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/ensure.h"
#include "base/mem.h"
#include "store/codec/codec.h"
#include "store/segment/chunk.h"
#include "store/segment/chunk_differences.h"

/* What is remembered at most, and how many of one key are looked at. */
#define FAMILY_CHUNKS     65536
#define FAMILY_BYTES      (64u << 20)
#define FAMILY_CANDIDATES 64
/* Differences have to save this part of the bytes, for they cost time when they are read. */
#define WORTH_PERCENT 8

void families_init(struct families *families)
{
    *families = (struct families){0};
    map_init(&families->newest);
    buf_init(&families->text, 0);
}

static struct family_chunk *chunk_at(const struct families *f, uint32_t number)
{
    return &f->chunks[number % FAMILY_CHUNKS];
}

static void forget_all(struct families *f)
{
    for (; f->first < f->next; f->first++)
        free(chunk_at(f, f->first)->samples);
    map_clear(&f->newest);
    f->bytes = 0;
}

void families_fini(struct families *families)
{
    forget_all(families);
    map_fini(&families->newest);
    buf_fini(&families->text);
    free(families->chunks);
}

/* ---- which family ---- */

static void put_labels(struct buf *text, const struct label *items, size_t n)
{
    buf_clear(text);
    for (size_t i = 0; i < n; i++) {
        buf_lstr(text, items[i].name);
        buf_lstr(text, items[i].value);
    }
}

void families_series(struct families *families, struct labels labels)
{
    struct families *f = families;
    size_t le = 0;
    while (le < labels.n && !slice_eq(labels.items[le].name, SLICE("le")))
        le++;
    f->inside = le < labels.n;
    if (!f->inside)
        return;
    put_labels(&f->text, labels.items, le);
    struct hash128 before = hash128(f->text.ptr, f->text.len);
    if (!hash128_eq(before, f->before))
        forget_all(f);
    f->before = before;
    put_labels(&f->text, labels.items + le + 1, labels.n - le - 1);
    f->family = hash64(f->text.ptr, f->text.len);
}

/* ---- what is remembered ---- */

static bool key_eq(const struct family_key *a, const struct family_key *b)
{
    return a->family == b->family && a->vector == b->vector && a->start == b->start && a->n == b->n;
}

static uint64_t key_hash(const struct family_key *key)
{
    uint64_t at = (uint64_t)key->vector << 32 | key->start;
    return (key->family ^ at * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xbf58476d1ce4e5b9);
}

static bool has_key(const void *ctx, const void *key, uint32_t number)
{
    return key_eq(&chunk_at(ctx, number)->key, key);
}

static uint32_t newest(const struct families *f, const struct family_key *key)
{
    return map_find(&f->newest, key_hash(key), has_key, f, key);
}

static void forget_oldest(struct families *f)
{
    struct family_chunk *c = chunk_at(f, f->first);
    if (newest(f, &c->key) == f->first)
        map_remove(&f->newest, key_hash(&c->key), f->first);
    f->bytes -= c->len;
    free(c->samples);
    f->first++;
}

static void remember(struct families *f, struct family_chunk *chunk, struct slice samples)
{
    if (!f->chunks)
        f->chunks = xreallocarray(NULL, FAMILY_CHUNKS, sizeof *f->chunks);
    while (f->first < f->next &&
           (f->next - f->first == FAMILY_CHUNKS || f->bytes + samples.len > FAMILY_BYTES))
        forget_oldest(f);
    chunk->older = newest(f, &chunk->key);
    if (chunk->older != MAP_NONE)
        map_remove(&f->newest, key_hash(&chunk->key), chunk->older);
    chunk->samples = xmalloc(samples.len);
    memcpy(chunk->samples, samples.ptr, samples.len);
    chunk->len = samples.len;
    f->bytes += samples.len;
    map_insert(&f->newest, key_hash(&chunk->key), f->next);
    *chunk_at(f, f->next++) = *chunk;
}

/* ---- the base ---- */

/* False when there are no counts. */
static bool movement_of(const uint64_t *bits, size_t n, uint64_t *out)
{
    int64_t last = 0, v;
    bool any = false;
    *out = 0;
    for (size_t i = 0; i < n; i++) {
        if (!differences_count(bits[i], &v))
            continue;
        if (any)
            *out += (uint64_t)(v > last ? v - last : last - v);
        last = v;
        any = true;
    }
    return any;
}

static uint64_t distance(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

/* Of chunks that are equally near the one that takes the least time to read. */
static const struct family_chunk *find_base(
    const struct families *f, const struct family_key *key, uint64_t movement)
{
    const struct family_chunk *best = NULL;
    uint32_t number = newest(f, key);
    for (int i = 0; i < FAMILY_CANDIDATES && number != MAP_NONE && number >= f->first; i++) {
        const struct family_chunk *c = chunk_at(f, number);
        uint64_t d = distance(c->movement, movement);
        uint64_t d_best = best ? distance(best->movement, movement) : 0;
        if (!best || d < d_best || (d == d_best && c->depth < best->depth))
            best = c;
        number = c->older;
    }
    return best;
}

/* ---- encoding ---- */

/* Appends the samples as differences to those of the base; false when they are none. */
static bool put_differences(const struct columns *c, size_t from, size_t n,
    const struct family_chunk *base, struct buf *out, uint8_t codecs[CHUNK_STREAMS_MAX])
{
    int64_t words[CHUNK_CELLS_MAX];
    uint64_t bits[CHUNK_CELLS_MAX];
    struct reader in = reader_of(slice_of(base->samples, base->len));
    ensure(codec_decode(base->codec, &in, n, words));
    memcpy(bits, words, n * sizeof *bits);
    if (!differences_of(c->bits + from, bits, n, words))
        return false;
    memset(codecs, CODEC_NONE, CHUNK_STREAMS_MAX);
    codecs[CHUNK_FORM] = FORM_DIFFERENCES;
    codecs[SAMPLE_BITS] = codec_choose(words, n);
    codec_encode(codecs[SAMPLE_BITS], words, n, out);
    chunk_put_starts(c, from, n, out, codecs);
    return true;
}

uint32_t families_encode(struct families *families, const struct columns *columns, size_t from,
    const struct family_key *where, uint32_t row, struct buf *bytes,
    uint8_t codecs[CHUNK_STREAMS_MAX])
{
    struct families *f = families;
    struct family_chunk chunk = {.key = *where, .row = row, .codec = codecs[SAMPLE_BITS]};
    uint8_t others[CHUNK_STREAMS_MAX];
    struct buf swap;
    uint32_t back = 0;
    chunk.key.family = f->family;
    if (!f->inside || columns->kind != KIND_SAMPLE || codecs[CHUNK_FORM] != CODEC_NONE ||
        !movement_of(columns->bits + from, where->n, &chunk.movement))
        return 0;
    const struct family_chunk *base = find_base(f, &chunk.key, chunk.movement);
    buf_clear(&f->text);
    if (base && put_differences(columns, from, where->n, base, &f->text, others) &&
        f->text.len * 100 <= bytes->len * (100 - WORTH_PERCENT)) {
        back = row - base->row;
        chunk.depth = base->depth + 1;
    }
    if (chunk.depth < CHUNK_BASES_MAX)
        remember(f, &chunk, buf_view(bytes));
    if (back) {
        swap = *bytes;
        *bytes = f->text;
        f->text = swap;
        memcpy(codecs, others, sizeof others);
    }
    return back;
}
