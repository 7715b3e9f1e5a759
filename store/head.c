#include "store/head.h"

#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"

void head_init(struct head *head, int64_t block_ms)
{
    *head = (struct head){.block_ms = block_ms};
}

static void chunk_free(struct head_chunk *chunk)
{
    struct columns *c = &chunk->columns;
    free(c->t);
    free(c->amount);
    free(c->last);
    free(c->last_ms);
    free(c->min);
    free(c->max);
    free(c->count);
    free(c->sum);
    free(c->bucket_at);
    free(c->bucket);
    free(c->bits);
    free(c->hist);
    free(chunk);
}

void head_fini(struct head *head)
{
    for (size_t i = 0; i < head->n_series; i++)
        for (struct head_chunk *c = head->series[i], *next; c; c = next) {
            next = c->next;
            chunk_free(c);
        }
    free(head->series);
    free(head->blocks);
    *head = (struct head){.block_ms = head->block_ms};
}

int64_t head_block_of(const struct head *head, int64_t t)
{
    int64_t x = t - 1;
    int64_t q = x / head->block_ms;
    return x % head->block_ms < 0 ? q - 1 : q;
}

static struct head_block *block_find(struct head *head, int64_t block, bool make)
{
    size_t lo = 0, hi = head->n_blocks;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (head->blocks[mid].block < block)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo < head->n_blocks && head->blocks[lo].block == block)
        return &head->blocks[lo];
    if (!make)
        return NULL;
    GROW(head->blocks, head->blocks_cap, head->n_blocks + 1);
    memmove(&head->blocks[lo + 1], &head->blocks[lo], (head->n_blocks - lo) * sizeof *head->blocks);
    head->blocks[lo] = (struct head_block){.block = block};
    head->n_blocks++;
    return &head->blocks[lo];
}

static size_t cell_bytes(enum kind kind)
{
    switch (kind) {
    case KIND_COUNTER:
    case KIND_LEVEL: return 24;
    case KIND_GAUGE: return 64;
    case KIND_HISTOGRAM: return 28;
    case KIND_SAMPLE: return 16;
    }
    unreachable("kind");
}

static void account(struct head *head, int64_t block, size_t chunks, size_t cells, size_t bytes)
{
    struct head_block *b = block_find(head, block, true);
    b->chunks += chunks;
    b->cells += cells;
    b->bytes += bytes;
    head->cells += cells;
    head->bytes += bytes;
}

static struct head_chunk *chunk_at(struct head *head, uint32_t series, enum kind kind, int64_t t)
{
    if (series >= head->n_series) {
        GROW(head->series, head->series_cap, (size_t)series + 1);
        memset(head->series + head->n_series, 0,
            ((size_t)series + 1 - head->n_series) * sizeof *head->series);
        head->n_series = (size_t)series + 1;
    }
    int64_t block = head_block_of(head, t);
    struct head_chunk **at = &head->series[series];
    while (*at && (*at)->block > block)
        at = &(*at)->next;
    if (*at && (*at)->block == block) {
        ensure((*at)->columns.kind == kind);
        return *at;
    }
    struct head_chunk *chunk = xcalloc(1, sizeof *chunk);
    chunk->block = block;
    chunk->columns.kind = kind;
    chunk->next = *at;
    *at = chunk;
    account(head, block, 1, 0, sizeof *chunk);
    return chunk;
}

#define GROW_COLUMN(array, n) ((array) = xreallocarray((array), (n), sizeof *(array)))

static void chunk_grow(struct head *head, struct head_chunk *chunk)
{
    struct columns *c = &chunk->columns;
    size_t n = chunk->cap ? chunk->cap * 2 : 4;
    GROW_COLUMN(c->t, n);
    switch (c->kind) {
    case KIND_COUNTER:
    case KIND_LEVEL: GROW_COLUMN(c->amount, n); break;
    case KIND_GAUGE:
        GROW_COLUMN(c->last, n);
        GROW_COLUMN(c->last_ms, n);
        GROW_COLUMN(c->min, n);
        GROW_COLUMN(c->max, n);
        GROW_COLUMN(c->count, n);
        GROW_COLUMN(c->sum, n);
        break;
    case KIND_HISTOGRAM:
        GROW_COLUMN(c->sum, n);
        GROW_COLUMN(c->bucket_at, n + 1);
        if (chunk->cap == 0)
            c->bucket_at[0] = 0;
        break;
    case KIND_SAMPLE:
        GROW_COLUMN(c->bits, n);
        if (c->hist)
            GROW_COLUMN(c->hist, n);
        break;
    }
    account(head, chunk->block, 0, 0, (n - chunk->cap) * cell_bytes(c->kind));
    chunk->cap = n;
}

#define OPEN_GAP(array)                                                                            \
    ((array) ? (void)memmove((array) + at + 1, (array) + at, (c->n - at) * sizeof *(array))        \
             : (void)0)

/* Where the cell at t is; *found false: a new place was opened there, its values not set. */
static size_t place(struct head *head, struct head_chunk *chunk, int64_t t, bool *found)
{
    struct columns *c = &chunk->columns;
    size_t at = c->n;
    if (c->n && c->t[c->n - 1] >= t)
        at = columns_after(c, t - 1);
    *found = at < c->n && c->t[at] == t;
    if (*found)
        return at;
    if (c->n == chunk->cap)
        chunk_grow(head, chunk);
    if (at < c->n) {
        OPEN_GAP(c->t);
        OPEN_GAP(c->amount);
        OPEN_GAP(c->last);
        OPEN_GAP(c->last_ms);
        OPEN_GAP(c->min);
        OPEN_GAP(c->max);
        OPEN_GAP(c->count);
        OPEN_GAP(c->sum);
        OPEN_GAP(c->bits);
        OPEN_GAP(c->hist);
        if (c->bucket_at)
            memmove(
                c->bucket_at + at + 1, c->bucket_at + at, (c->n + 1 - at) * sizeof *c->bucket_at);
    } else if (c->bucket_at) {
        c->bucket_at[at + 1] = c->bucket_at[at];
    }
    c->t[at] = t;
    c->n++;
    account(head, chunk->block, 0, 1, 0);
    return at;
}

void head_add(struct head *head, uint32_t series, enum kind kind, int64_t t, int128 amount)
{
    bool found;
    struct head_chunk *chunk = chunk_at(head, series, kind, t);
    size_t at = place(head, chunk, t, &found);
    int128 *cell = &chunk->columns.amount[at];
    *cell = found ? *cell + amount : amount;
}

void head_gauge(struct head *head, uint32_t series, int64_t t, const struct gauge_cell *cell)
{
    bool found;
    struct head_chunk *chunk = chunk_at(head, series, KIND_GAUGE, t);
    size_t at = place(head, chunk, t, &found);
    struct columns *c = &chunk->columns;
    struct gauge_cell now = *cell;
    if (found) {
        now = (struct gauge_cell){
            c->last[at], c->last_ms[at], c->min[at], c->max[at], c->sum[at], c->count[at]};
        gauge_cell_merge(&now, cell);
    }
    c->last[at] = now.last;
    c->last_ms[at] = now.last_ms;
    c->min[at] = now.min;
    c->max[at] = now.max;
    c->count[at] = now.count;
    c->sum[at] = now.sum;
}

/* Replaces the buckets of cell `at` by b[0..n), moving those of later cells. */
static void put_buckets(
    struct head *head, struct head_chunk *chunk, size_t at, const struct hist_bucket *b, uint32_t n)
{
    struct columns *c = &chunk->columns;
    uint32_t begin = c->bucket_at[at], old = c->bucket_at[at + 1] - begin;
    uint32_t total = c->bucket_at[c->n];
    size_t cap = chunk->buckets_cap;
    GROW(c->bucket, chunk->buckets_cap, (size_t)total - old + n);
    account(head, chunk->block, 0, 0, (chunk->buckets_cap - cap) * sizeof *c->bucket);
    if (total > begin + old)
        memmove(c->bucket + begin + n, c->bucket + begin + old,
            (total - begin - old) * sizeof *c->bucket);
    if (n)
        memcpy(c->bucket + begin, b, n * sizeof *b);
    for (size_t i = at + 1; i <= c->n; i++)
        c->bucket_at[i] = c->bucket_at[i] - old + n;
}

void head_histogram(struct head *head, uint32_t series, int64_t t, int128 sum,
    const struct hist_bucket *b, uint32_t n)
{
    bool found;
    struct head_chunk *chunk = chunk_at(head, series, KIND_HISTOGRAM, t);
    size_t at = place(head, chunk, t, &found);
    struct columns *c = &chunk->columns;
    if (!found) {
        c->sum[at] = sum;
        put_buckets(head, chunk, at, b, n);
        return;
    }
    uint32_t old = c->bucket_at[at + 1] - c->bucket_at[at];
    struct hist_bucket *merged = xreallocarray(NULL, (size_t)old + n, sizeof *merged);
    uint32_t m = buckets_add(c->bucket + c->bucket_at[at], old, b, n, merged);
    c->sum[at] += sum;
    put_buckets(head, chunk, at, merged, m);
    free(merged);
}

void head_sample(
    struct head *head, uint32_t series, int64_t t, uint64_t bits, const struct hist *histogram)
{
    bool found;
    struct head_chunk *chunk = chunk_at(head, series, KIND_SAMPLE, t);
    struct columns *c = &chunk->columns;
    if (histogram && !c->hist)
        c->hist = xcalloc(chunk->cap, sizeof *c->hist);
    size_t at = place(head, chunk, t, &found);
    c->bits[at] = bits;
    if (c->hist)
        c->hist[at] = histogram;
}

const struct head_chunk *head_chunks(const struct head *head, uint32_t series)
{
    return series < head->n_series ? head->series[series] : NULL;
}

struct frozen *head_freeze(struct head *head, int64_t block)
{
    struct head_block *b = block_find(head, block, false);
    if (!b)
        return NULL;
    struct frozen *f = xcalloc(1, sizeof *f);
    *f = (struct frozen){.block = block, .cells = b->cells, .bytes = b->bytes};
    f->chunks = xreallocarray(NULL, b->chunks, sizeof *f->chunks);
    for (size_t i = 0; i < head->n_series; i++) {
        struct head_chunk **at = &head->series[i];
        while (*at && (*at)->block > block)
            at = &(*at)->next;
        if (!*at || (*at)->block != block)
            continue;
        struct head_chunk *chunk = *at;
        *at = chunk->next;
        chunk->next = NULL;
        ensure(f->n < b->chunks);
        f->chunks[f->n++] = (struct frozen_chunk){(uint32_t)i, chunk};
    }
    head->cells -= b->cells;
    head->bytes -= b->bytes;
    size_t i = (size_t)(b - head->blocks);
    memmove(b, b + 1, (head->n_blocks - i - 1) * sizeof *b);
    head->n_blocks--;
    return f;
}

void frozen_free(struct frozen **frozen)
{
    struct frozen *f = *frozen;
    *frozen = NULL;
    if (!f)
        return;
    for (size_t i = 0; i < f->n; i++)
        chunk_free(f->chunks[i].chunk);
    free(f->chunks);
    free(f->sources);
    free(f);
}

const struct head_chunk *frozen_chunk(const struct frozen *frozen, uint32_t series)
{
    if (!frozen)
        return NULL;
    size_t lo = 0, hi = frozen->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (frozen->chunks[mid].series < series)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < frozen->n && frozen->chunks[lo].series == series ? frozen->chunks[lo].chunk : NULL;
}
