#include "store/head/head_block.h"

#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "store/segment.h"

_Static_assert(sizeof(struct head_record) == 64, "a record is a line of memory");

struct head_block *head_block_new(int64_t number, int64_t block_ms)
{
    struct head_block *block = xcalloc(1, sizeof *block);
    atomic_init(&block->refs, 1);
    block->number = number;
    block->start = number * block_ms;
    block->ms = block_ms;
    block_memory_init(&block->memory);
    block_views_init(&block->views);
    return block;
}

struct head_block *head_block_get(struct head_block *block)
{
    atomic_fetch_add_explicit(&block->refs, 1, memory_order_relaxed);
    return block;
}

void head_block_put(struct head_block **block)
{
    struct head_block *b = *block;
    *block = NULL;
    if (!b || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
        return;
    block_views_fini(&b->views);
    block_memory_fini(&b->memory);
    free(b->slots);
    free(b->records);
    free(b->stamps);
    free(b);
}

uint64_t head_block_bytes(const struct head_block *block)
{
    return sizeof *block + block->memory.bytes + block->n_slot_pages * sizeof *block->slots +
           block->records_cap * sizeof *block->records + block->stamps_cap * sizeof *block->stamps;
}

/* The slot of a series, whose page is made when it is not there. */
static atomic_uint *slot_for(struct head_block *block, uint32_t series)
{
    size_t page = series / SLOTS_PER_PAGE;
    if (page >= block->n_slot_pages) {
        size_t n = page + 1 > block->n_slot_pages * 2 ? page + 1 : block->n_slot_pages * 2;
        block->slots = xreallocarray(block->slots, n, sizeof *block->slots);
        memset(block->slots + block->n_slot_pages, 0,
            (n - block->n_slot_pages) * sizeof *block->slots);
        block->n_slot_pages = n;
    }
    if (!block->slots[page])
        block->slots[page] = block_zalloc(&block->memory, SLOTS_PER_PAGE * sizeof(atomic_uint));
    return &block->slots[page][series % SLOTS_PER_PAGE];
}

struct head_record *head_block_add_series(
    struct head_block *block, uint32_t series, struct run_shape shape)
{
    atomic_uint *slot = slot_for(block, series);
    ensure(atomic_load_explicit(slot, memory_order_relaxed) == 0);
    uint32_t number = block->n_records;
    if (number % RECORDS_PER_PAGE == 0)
        block_add_page(block);
    block->n_records++;
    atomic_store_explicit(slot, number + 1, memory_order_relaxed);
    struct head_record *r = head_block_change(block, series);
    *r = (struct head_record){
        .series = series, .unit_ms = shape.unit_ms, .kind = (uint8_t)shape.kind};
    return r;
}

/* ---- appending ---- */

static struct run_shape shape_of(const struct head_record *r)
{
    return (struct run_shape){(enum kind)r->kind, r->unit_ms};
}

void record_tail_copy(const struct head_record *r, uint8_t *out)
{
    const struct tail_piece *p = r->first;
    size_t left = r->tail_len;
    for (; left > TAIL_PIECE_BYTES; left -= TAIL_PIECE_BYTES, p = p->next) {
        memcpy(out, p->bytes, TAIL_PIECE_BYTES);
        out += TAIL_PIECE_BYTES;
    }
    if (left > 0) /* the writer may be linking the next piece to this one */
        memcpy(out, p->bytes, left);
}

/* Appends bytes to the tail. */
static void tail_put(
    struct head_block *block, struct head_record *r, const uint8_t *bytes, size_t n)
{
    size_t used = r->last ? record_tail_used(r) : TAIL_PIECE_BYTES;
    r->tail_len = (uint16_t)(r->tail_len + n);
    while (n > 0) {
        if (used == TAIL_PIECE_BYTES) {
            struct tail_piece *p = block_piece_alloc(block);
            if (r->last)
                r->last->next = p;
            else
                r->first = p;
            r->last = p;
            used = 0;
        }
        size_t k = n < TAIL_PIECE_BYTES - used ? n : TAIL_PIECE_BYTES - used;
        memcpy(r->last->bytes + used, bytes, k);
        used += k;
        bytes += k;
        n -= k;
    }
}

void record_flush(struct head_block *block, struct head_record *r, struct arena *scratch)
{
    struct run_shape shape = shape_of(r);
    uint8_t tail[TAIL_BYTES_MAX];
    if (r->tail_n == 0)
        return;
    record_tail_copy(r, tail);
    r->chunks = mini_chunk_make(&block->memory, scratch, slice_of(tail, r->tail_len), &shape,
        r->tail_n, block->start, r->chunks);
    block->cells -= (uint64_t)r->tail_n - r->chunks->n; /* some were merged */
    block_give_up_tail(block, r->first, r->last);
    r->first = r->last = NULL;
    r->tail_len = 0;
    r->tail_n = 0;
    r->state = (struct run_state){0};
}

bool record_resume(struct head_block *block, struct head_record *r, struct slice run, size_t n,
    struct arena *scratch, struct err *err)
{
    struct run_shape shape = shape_of(r);
    struct columns cells;
    ensure(r->tail_n == 0 && n <= TAIL_CELLS_MAX && run.len <= TAIL_BYTES_MAX);
    arena_reset(scratch);
    if (!run_decode(run, &shape, n, block->start, scratch, &cells, &r->state, err))
        return false;
    for (size_t i = 0; i < n; i++)
        if (cells.t[i] > block->start + block->ms) {
            r->state = (struct run_state){0};
            return err_set(
                err, ERR_CORRUPT, "head: a cell of series %u is outside its time block", r->series);
        }
    tail_put(block, r, (const uint8_t *)run.ptr, run.len);
    r->tail_n = (uint8_t)n;
    block->cells += n;
    return true;
}

/* A tail longer than that is flushed. Longer ones compress buckets better, and most cells are a few
 * bytes. */
#define TAIL_BYTES_CELLS (TAIL_BYTES_MAX / 4)

static inline void cell_done(
    struct head_block *block, struct head_record *r, const uint8_t *bytes, size_t n)
{
    size_t used = record_tail_used(r);
    if (r->tail_len && used + n <= TAIL_PIECE_BYTES) {
        memcpy(r->last->bytes + used, bytes, n);
        r->tail_len = (uint16_t)(r->tail_len + n);
    } else {
        tail_put(block, r, bytes, n);
    }
    r->tail_n++;
    block->cells++;
}

/* Makes place in a tail that may have so many bytes. */
static inline void before(
    struct head_block *block, struct head_record *r, size_t max, struct arena *scratch)
{
    if (r->tail_n == TAIL_CELLS_MAX || (size_t)r->tail_len + RUN_CELL_MAX / 2 > max)
        record_flush(block, r, scratch);
}

void record_amount(struct head_block *block, struct head_record *r, int64_t t, int128 amount,
    struct arena *scratch)
{
    uint8_t bytes[RUN_CELL_MAX];
    struct run_shape shape = shape_of(r);
    before(block, r, TAIL_BYTES_CELLS, scratch);
    size_t n = run_put_amount(&r->state, &shape, (uint32_t)(t - block->start), amount, bytes);
    cell_done(block, r, bytes, n);
}

void record_gauge(struct head_block *block, struct head_record *r, int64_t t,
    const struct gauge_cell *cell, struct arena *scratch)
{
    uint8_t bytes[RUN_CELL_MAX];
    struct run_shape shape = shape_of(r);
    before(block, r, TAIL_BYTES_CELLS, scratch);
    size_t n =
        run_put_gauge(&r->state, &shape, (uint32_t)(t - block->start), block->start, cell, bytes);
    cell_done(block, r, bytes, n);
}

/* Cells whose size is known when they are written. */
struct large_cell {
    uint32_t t;
    const struct hist_cell *cell; /* or */
    const struct hist *histogram;
    int64_t start;
};

static void put_bytes(struct head_record *r, const struct large_cell *c, struct buf *out)
{
    struct run_shape shape = shape_of(r);
    if (c->cell)
        run_put_histogram(&r->state, &shape, c->t, c->cell, out);
    else
        run_put_sample_histogram(&r->state, c->t, c->histogram, c->start, out);
}

/* One that is too large for any tail is a mini-chunk of its own. */
static void put_large(struct head_block *block, struct head_record *r, const struct large_cell *c,
    struct arena *scratch)
{
    struct buf bytes;
    struct run_shape shape = shape_of(r);
    buf_init(&bytes, 0);
    before(block, r, TAIL_BYTES_MAX, scratch);
    struct run_state state = r->state;
    put_bytes(r, c, &bytes);
    if (r->tail_n && r->tail_len + bytes.len > TAIL_BYTES_MAX) {
        r->state = state;
        record_flush(block, r, scratch);
        buf_clear(&bytes);
        put_bytes(r, c, &bytes);
    }
    if (bytes.len <= TAIL_BYTES_MAX) {
        cell_done(block, r, (const uint8_t *)bytes.ptr, bytes.len);
    } else {
        r->chunks = mini_chunk_make(
            &block->memory, scratch, buf_view(&bytes), &shape, 1, block->start, r->chunks);
        r->state = (struct run_state){0};
        block->cells++;
    }
    buf_fini(&bytes);
}

void record_histogram(struct head_block *block, struct head_record *r, int64_t t,
    const struct hist_cell *cell, struct arena *scratch)
{
    struct large_cell c = {.t = (uint32_t)(t - block->start), .cell = cell};
    put_large(block, r, &c, scratch);
}

void record_sample(struct head_block *block, struct head_record *r, int64_t t, uint64_t bits,
    const struct hist *histogram, int64_t start_ms, struct arena *scratch)
{
    uint8_t bytes[RUN_CELL_MAX];
    uint32_t at = (uint32_t)(t - block->start);
    int64_t start = start_ms ? (int64_t)((uint64_t)t - (uint64_t)start_ms) : RUN_NO_START;
    if (histogram) {
        struct large_cell c = {.t = at, .histogram = histogram, .start = start};
        put_large(block, r, &c, scratch);
        return;
    }
    before(block, r, TAIL_BYTES_CELLS, scratch);
    size_t n = run_put_sample(&r->state, at, bits, start, bytes);
    cell_done(block, r, bytes, n);
}

/* ---- reading ---- */

bool head_part_take(const struct head_block *block, const struct head_record *record,
    struct arena *arena, struct head_part *out)
{
    *out = (struct head_part){.block = block,
        .chunks = record->chunks,
        .shape = shape_of(record),
        .step_ms = record->unit_ms,
        .tail_n = record->tail_n};
    if (record->kind == KIND_SAMPLE && record->state.step > 0)
        out->step_ms = (uint32_t)record->state.step;
    if (record->tail_n == 0)
        return true;
    uint8_t *copy = arena_alloc(arena, record->tail_len);
    if (!copy)
        return false;
    record_tail_copy(record, copy);
    out->tail = slice_of(copy, record->tail_len);
    return true;
}

static bool overlaps(
    const struct head_part *part, const struct mini_chunk *chunk, int64_t from, int64_t to)
{
    return part->block->start + chunk->max_t > from && part->block->start + chunk->min_t <= to;
}

uint64_t head_part_cells(const struct head_part *part, int64_t from, int64_t to)
{
    uint64_t n = part->tail_n;
    int64_t start = part->block->start;
    for (const struct mini_chunk *c = part->chunks; c; c = c->older)
        if (overlaps(part, c, from, to))
            n += c->n;
    int64_t first = from > start ? from : start;
    int64_t last = to < start + part->block->ms ? to : start + part->block->ms;
    uint64_t most = last > first ? (uint64_t)(last - first) / part->step_ms + 1 : 0;
    return n < most ? n : most;
}

size_t head_part_pieces(const struct head_part *part)
{
    size_t n = 1;
    for (const struct mini_chunk *c = part->chunks; c; c = c->older)
        n++;
    return n;
}

bool head_part_columns(const struct head_part *part, int64_t from, int64_t to, struct arena *arena,
    struct columns *out, size_t *n, struct err *err)
{
    size_t k = 0, i = 0;
    for (const struct mini_chunk *c = part->chunks; c; c = c->older)
        k += overlaps(part, c, from, to);
    *n = k + (part->tail_n > 0);
    for (const struct mini_chunk *c = part->chunks; c; c = c->older)
        if (overlaps(part, c, from, to) &&
            !mini_chunk_decode(c, &part->shape, part->block->start, arena, &out[k - 1 - i++], err))
            return false;
    if (!part->tail_n)
        return true;
    struct columns cells;
    return run_decode(part->tail, &part->shape, part->tail_n, part->block->start, arena, &cells,
               NULL, err) &&
           (columns_sort(arena, &cells, &out[k]) ||
               err_set(err, ERR_LIMIT, "the query needs more memory than it is allowed"));
}
