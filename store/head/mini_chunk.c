#include "store/head/mini_chunk.h"

#include <string.h>

#include "base/bytes.h"
#include "base/ensure.h"
#include "store/codec/codec.h"
#include "store/segment.h"
#include "store/segment/chunk.h"

/* A full tail of fewer cells has large ones: buckets that are mostly other ones in each cell,
 * readings with many digits. Their columns take about as many bytes as the run (of the shipped
 * rollups 88% and 100%), and a histogram's a stream for every key. */
#define COLUMNS_CELLS_MIN 64

static void put_times(const struct columns *c, struct arena *scratch, struct buf *out)
{
    bool regular = true;
    for (size_t i = 2; i < c->n && regular; i++)
        regular = c->t[i] - c->t[i - 1] == c->t[1] - c->t[0];
    if (regular) {
        buf_varint(out, c->n > 1 ? (uint64_t)(c->t[1] - c->t[0]) : 1);
        return;
    }
    int64_t *steps = arena_array(scratch, c->n - 1, sizeof *steps);
    for (size_t i = 1; i < c->n; i++)
        steps[i - 1] = c->t[i] - c->t[i - 1];
    uint8_t codec = codec_choose(steps, c->n - 1);
    buf_varint(out, 0);
    buf_u8(out, codec);
    codec_encode(codec, steps, c->n - 1, out);
}

static bool is_large(const struct columns *c)
{
    return c->kind == KIND_HISTOGRAM || c->kind == KIND_GAUGE;
}

/* False when there is no form in columns for such cells. */
static bool put_columns(const struct columns *c, struct arena *scratch, struct buf *out)
{
    uint8_t codecs[CHUNK_STREAMS_MAX];
    size_t n = CHUNK_STREAMS_MAX;
    struct buf streams;
    if ((is_large(c) && c->n < COLUMNS_CELLS_MIN) || c->hist || chunk_cells(c, 0, c->n) < c->n)
        return false;
    buf_init(&streams, 0);
    chunk_encode(c, 0, c->n, &streams, codecs);
    while (n > 0 && codecs[n - 1] == CODEC_NONE)
        n--;
    put_times(c, scratch, out);
    buf_u8(out, (uint8_t)n);
    buf_add(out, codecs, n);
    buf_slice(out, buf_view(&streams));
    buf_fini(&streams);
    return true;
}

/* The same cells as a run, which is shorter when some of them were merged. */
static void put_run(
    const struct columns *c, const struct run_shape *shape, int64_t block_start, struct buf *out)
{
    struct run_state state = {0};
    for (size_t i = 0; i < c->n; i++) {
        uint32_t t = (uint32_t)(c->t[i] - block_start);
        if (c->kind == KIND_HISTOGRAM) {
            uint32_t first = c->bucket_at[i];
            struct hist_cell cell = {c->sum[i], c->bucket_at[i + 1] - first, c->bucket + first};
            run_put_histogram(&state, shape, t, &cell, out);
        } else {
            struct gauge_cell cell = {
                c->last[i], c->last_ms[i], c->min[i], c->max[i], c->sum[i], c->count[i]};
            uint8_t *p = (uint8_t *)buf_reserve(out, RUN_CELL_MAX);
            out->len += run_put_gauge(&state, shape, t, block_start, &cell, p);
        }
    }
}

const struct mini_chunk *mini_chunk_make(struct block_memory *memory, struct arena *scratch,
    struct slice run, const struct run_shape *shape, size_t n, int64_t block_start,
    const struct mini_chunk *older)
{
    struct columns cells, sorted;
    struct buf bytes;
    buf_init(&bytes, 0);
    arena_reset(scratch);
    ensure(n > 0 && n <= CHUNK_CELLS_MAX);
    ensure(run_decode(run, shape, n, block_start, scratch, &cells, NULL, NULL));
    ensure(columns_sort(scratch, &cells, &sorted));
    bool merged = sorted.n < n && is_large(&sorted);
    bool columns = put_columns(&sorted, scratch, &bytes) && bytes.len < run.len;
    if (!columns && merged) {
        buf_clear(&bytes);
        put_run(&sorted, shape, block_start, &bytes);
    }
    struct slice kept = columns || merged ? buf_view(&bytes) : run;
    struct mini_chunk *chunk = block_alloc(memory, sizeof *chunk + kept.len);
    *chunk = (struct mini_chunk){.older = older,
        .min_t = (uint32_t)(sorted.t[0] - block_start),
        .max_t = (uint32_t)(sorted.t[sorted.n - 1] - block_start),
        .len = (uint32_t)kept.len,
        .n = (uint16_t)(columns || merged ? sorted.n : n),
        .form = columns ? MINI_COLUMNS : MINI_RUN};
    memcpy(chunk->bytes, kept.ptr, kept.len);
    buf_fini(&bytes);
    return chunk;
}

/* ---- decoding ---- */

static const struct place in_head = {.file = "head", .part = "mini-chunk"};

static bool bad_times(struct err *err)
{
    return place_corrupt(&in_head, err, "times of a mini-chunk do not ascend inside its range");
}

static bool get_times(struct reader *in, const struct mini_chunk *chunk, int64_t block_start,
    struct arena *arena, int64_t **out, struct err *err)
{
    size_t n = chunk->n;
    uint64_t step = read_varint(in);
    int64_t *t = arena_array(arena, n, sizeof *t);
    *out = t;
    if (!t)
        return err_set(err, ERR_LIMIT, "the query needs more memory than it is allowed");
    t[0] = block_start + chunk->min_t;
    if (step == 0) {
        uint8_t codec = read_u8(in);
        if (n < 2 || !codec_known(codec) || !codec_decode(codec, in, n - 1, t + 1))
            return bad_times(err);
    }
    for (size_t i = 1; i < n; i++) {
        int64_t d = step ? (int64_t)step : t[i];
        if (d <= 0 || d > UINT32_MAX)
            return bad_times(err);
        t[i] = t[i - 1] + d;
    }
    return t[n - 1] == block_start + chunk->max_t || bad_times(err);
}

static bool get_columns(const struct mini_chunk *chunk, enum kind kind, int64_t block_start,
    struct arena *arena, struct columns *out, struct err *err)
{
    struct reader in = reader_of(slice_of(chunk->bytes, chunk->len));
    uint8_t codecs[CHUNK_STREAMS_MAX];
    int64_t *t;
    if (!get_times(&in, chunk, block_start, arena, &t, err))
        return false;
    memset(codecs, CODEC_NONE, sizeof codecs);
    size_t n = read_u8(&in);
    struct slice given = read_bytes(&in, n);
    if (in.failed || n > CHUNK_STREAMS_MAX)
        return place_corrupt(&in_head, err, "codecs of a mini-chunk pass its end");
    memcpy(codecs, given.ptr, n);
    if (!chunk_decode(
            kind, slice_of(in.at, reader_left(&in)), chunk->n, codecs, &in_head, arena, out, err))
        return false;
    out->t = t;
    return true;
}

bool mini_chunk_decode(const struct mini_chunk *chunk, const struct run_shape *shape,
    int64_t block_start, struct arena *arena, struct columns *out, struct err *err)
{
    if (chunk->form == MINI_COLUMNS)
        return get_columns(chunk, shape->kind, block_start, arena, out, err);
    struct columns cells;
    if (!run_decode(slice_of(chunk->bytes, chunk->len), shape, chunk->n, block_start, arena, &cells,
            NULL, err))
        return false;
    if (!columns_sort(arena, &cells, out))
        return err_set(err, ERR_LIMIT, "the query needs more memory than it is allowed");
    return (out->t[0] == block_start + chunk->min_t &&
               out->t[out->n - 1] == block_start + chunk->max_t) ||
           bad_times(err);
}
