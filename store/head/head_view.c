#include "store/head/head_view.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "store/head.h"
#include "store/segment.h"

struct viewed {
    const struct mini_chunk *chunks;
    const uint8_t *tail;
    uint32_t series, unit_ms;
    uint16_t tail_len;
    uint8_t tail_n, kind;
};

struct view_block {
    struct head_block *block; /* counted */
    struct viewed *series;
    size_t n;
};

struct head_view {
    struct view_block *blocks;
    size_t n, cap;
    struct arena tails;
    uint64_t pieces, cells;
};

struct head_view *head_view_new(void)
{
    struct head_view *view = xcalloc(1, sizeof *view);
    arena_init(&view->tails, 0);
    return view;
}

void head_view_free(struct head_view **view)
{
    struct head_view *v = *view;
    *view = NULL;
    if (!v)
        return;
    for (size_t i = 0; i < v->n; i++) {
        head_block_put(&v->blocks[i].block);
        free(v->blocks[i].series);
    }
    arena_fini(&v->tails);
    free(v->blocks);
    free(v);
}

static struct view_block *add_block(struct head_view *view, struct head_block *block, size_t room)
{
    GROW(view->blocks, view->cap, view->n + 1);
    struct view_block *b = &view->blocks[view->n++];
    *b = (struct view_block){.block = head_block_get(block)};
    b->series = xreallocarray(NULL, room, sizeof *b->series);
    return b;
}

static void add_record(struct head_view *view, struct view_block *b, const struct head_record *r)
{
    uint8_t *tail = arena_alloc(&view->tails, r->tail_len);
    record_tail_copy(r, tail);
    b->series[b->n++] =
        (struct viewed){r->chunks, tail, r->series, r->unit_ms, r->tail_len, r->tail_n, r->kind};
    view->pieces++;
}

void head_view_add(struct head_view *view, struct head_block *block)
{
    struct view_block *b = add_block(view, block, block->n_records);
    for (uint32_t i = 0; i < block->n_records; i++)
        add_record(view, b, head_block_record(block, i));
    view->cells += block->cells;
}

void head_view_add_series(
    struct head_view *view, struct head_block *block, uint32_t first, uint32_t end)
{
    struct view_block *b = add_block(view, block, end - first);
    for (uint32_t series = first; series < end; series++) {
        const struct head_record *r = head_block_find(block, series);
        if (r)
            add_record(view, b, r);
    }
}

uint64_t head_view_pieces(const struct head_view *view)
{
    return view->pieces;
}

uint64_t head_view_cells(const struct head_view *view)
{
    return view->cells;
}

/* ---- writing ---- */

/* Room for the chunks of one series, oldest first. */
struct chain {
    const struct mini_chunk **chunks;
    size_t n, cap;
};

static void collect(const struct mini_chunk *newest, struct chain *chain)
{
    size_t n = 0;
    for (const struct mini_chunk *c = newest; c; c = c->older)
        n++;
    GROW(chain->chunks, chain->cap, n);
    chain->n = n;
    for (const struct mini_chunk *c = newest; c; c = c->older)
        chain->chunks[--n] = c;
}

static void put_piece(const struct viewed *v, struct chain *chain, struct buf *out)
{
    collect(v->chunks, chain);
    buf_u8(out, v->kind);
    buf_varint(out, v->unit_ms);
    buf_varint(out, chain->n);
    for (size_t i = 0; i < chain->n; i++) {
        const struct mini_chunk *c = chain->chunks[i];
        buf_u8(out, c->form);
        buf_varint(out, c->n);
        buf_varint(out, c->min_t);
        buf_varint(out, c->max_t - c->min_t);
        buf_varint(out, c->len);
        buf_add(out, c->bytes, c->len);
    }
    buf_u8(out, v->tail_n);
    buf_add(out, v->tail, v->tail_len);
}

bool head_view_each(const struct head_view *view, head_piece_f *each, void *ctx, struct err *err)
{
    struct chain chain = {0};
    struct buf piece;
    bool ok = true;
    buf_init(&piece, 0);
    for (size_t b = 0; ok && b < view->n; b++)
        for (size_t i = 0; ok && i < view->blocks[b].n; i++) {
            const struct viewed *v = &view->blocks[b].series[i];
            buf_clear(&piece);
            put_piece(v, &chain, &piece);
            ok = each(ctx, view->blocks[b].block->number, v->series, buf_view(&piece), err);
        }
    buf_fini(&piece);
    free(chain.chunks);
    return ok;
}

/* ---- restoring ---- */

static bool corrupt(struct err *err, const struct head_block *block, uint32_t series)
{
    return err_set(err, ERR_CORRUPT, "head: bad cells of series %u in time block %lld", series,
        (long long)block->number);
}

/* The next mini-chunk, hung in front of the others. */
static bool get_chunk(struct reader *in, const struct head *head, struct head_block *block,
    struct head_record *record)
{
    unsigned form = read_u8(in);
    uint64_t n = read_varint(in), min_t = read_varint(in), span = read_varint(in);
    struct slice bytes = read_lstr(in);
    uint64_t most = (uint64_t)head->block_ms;
    if (in->failed || (form != MINI_COLUMNS && form != MINI_RUN) || n == 0 || n > CHUNK_CELLS_MAX ||
        min_t == 0 || min_t > most || span > most - min_t || bytes.len > UINT32_MAX)
        return false;
    struct mini_chunk *c = block_alloc(&block->memory, sizeof *c + bytes.len);
    *c = (struct mini_chunk){.older = record->chunks,
        .min_t = (uint32_t)min_t,
        .max_t = (uint32_t)(min_t + span),
        .len = (uint32_t)bytes.len,
        .n = (uint16_t)n,
        .form = (uint8_t)form};
    memcpy(c->bytes, bytes.ptr, bytes.len);
    record->chunks = c;
    block->cells += n;
    return true;
}

bool head_restore(
    struct head *head, int64_t block, uint32_t series, struct slice piece, struct err *err)
{
    struct reader in = reader_of(piece);
    struct head_block *b = head_open_block(head, block);
    struct run_shape shape = head->shape(head->shape_ctx, series);
    unsigned kind = read_u8(&in);
    uint64_t unit = read_varint(&in), n_chunks = read_varint(&in);
    if (in.failed || kind != shape.kind || unit != shape.unit_ms || n_chunks > reader_left(&in))
        return corrupt(err, b, series);
    struct head_record *r = head_block_change(b, series);
    if (!r)
        r = head_block_add_series(b, series, shape);
    record_flush(b, r, &head->scratch);
    for (uint64_t i = 0; i < n_chunks; i++)
        if (!get_chunk(&in, head, b, r))
            return corrupt(err, b, series);
    size_t tail_n = read_u8(&in);
    if (in.failed || tail_n > TAIL_CELLS_MAX || reader_left(&in) > TAIL_BYTES_MAX ||
        (tail_n == 0) != (reader_left(&in) == 0))
        return corrupt(err, b, series);
    return tail_n == 0 ||
           record_resume(b, r, slice_of(in.at, reader_left(&in)), tail_n, &head->scratch, err);
}
