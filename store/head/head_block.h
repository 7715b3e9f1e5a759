/*
 * An open time block: the cells with t in (start, start + ms], of all series that have any.
 *
 *     series id -> slot table -> record -> tail        the newest cells, a cell run in pieces of
 *                                                      memory
 *                                       -> mini-chunk -> mini-chunk -> ...
 *                                                      older ones, immutable
 *
 * An append touches the slot, the record and the end of the tail: three lines of memory, which the
 * writer asks for ahead (head.h). A tail that is full becomes a mini-chunk.
 *
 * Blocks are counted. A reader has a view of the block (block_view.h), in which it copies the tails
 * of the series that it wants and takes their first mini-chunk; then it holds a reference to the
 * block alone, and decodes in its own time, whatever becomes of the block.
 */
#ifndef STORE_HEAD_HEAD_BLOCK_H
#define STORE_HEAD_HEAD_BLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/head/block_memory.h"
#include "store/head/block_view.h"
#include "store/head/cell_run.h"
#include "store/head/mini_chunk.h"

/* A line of memory. */
struct head_record {
    struct tail_piece *first, *last; /* pieces of the tail; NULL: none */
    const struct mini_chunk *chunks; /* newest first */
    struct run_state state;          /* of the tail */
    uint32_t series;
    uint32_t unit_ms;
    uint16_t tail_len;
    uint8_t tail_n; /* cells */
    uint8_t kind;
};

#define SLOTS_PER_PAGE   1024
#define RECORDS_PER_PAGE 32 /* few: a page is copied whole for one record of it that changes */
#define TAIL_CELLS_MAX   128

struct head_block {
    atomic_uint refs;
    int64_t number, start, ms; /* start = number * ms */
    struct block_memory memory;
    struct block_views views;
    atomic_uint **slots; /* pages, NULL when empty; a slot is 0 or a record's number + 1 */
    size_t n_slot_pages;
    struct head_record **records;  /* pages, in order of first cells */
    uint32_t *stamps, table_stamp; /* of these pages, and of their table: block_view.h */
    size_t records_cap, stamps_cap;
    uint32_t n_records;
    uint64_t cells; /* appended */
};

struct head_block *head_block_new(int64_t number, int64_t block_ms);
struct head_block *head_block_get(struct head_block *block);
void head_block_put(struct head_block **block);
/* All memory of it. */
uint64_t head_block_bytes(const struct head_block *block);

static inline const struct head_record *head_block_record(
    const struct head_block *block, uint32_t number)
{
    return &block->records[number / RECORDS_PER_PAGE][number % RECORDS_PER_PAGE];
}

/* The place of the series in the slot table; NULL when its page is not there. */
static inline const atomic_uint *head_block_slot(const struct head_block *block, uint32_t series)
{
    size_t page = series / SLOTS_PER_PAGE;
    return page < block->n_slot_pages && block->slots[page]
               ? &block->slots[page][series % SLOTS_PER_PAGE]
               : NULL;
}

/* Of its record; 0 when the series has no cells here. */
static inline uint32_t head_block_number(const struct head_block *block, uint32_t series)
{
    const atomic_uint *slot = head_block_slot(block, series);
    return slot ? atomic_load_explicit(slot, memory_order_relaxed) : 0;
}

/* NULL when the series has no cells here. The block does not change meanwhile. */
static inline const struct head_record *head_block_find(
    const struct head_block *block, uint32_t series)
{
    uint32_t number = head_block_number(block, series);
    return number ? head_block_record(block, number - 1) : NULL;
}

/* The same, to be changed. */
static inline struct head_record *head_block_change(struct head_block *block, uint32_t series)
{
    uint32_t number = head_block_number(block, series);
    if (number == 0)
        return NULL;
    size_t page = --number / RECORDS_PER_PAGE;
    if (block->stamps[page] != block->views.epoch)
        block_own_page(block, page);
    return &block->records[page][number % RECORDS_PER_PAGE];
}

/* Bytes of its last piece that are used. */
static inline size_t record_tail_used(const struct head_record *r)
{
    return r->tail_len ? (r->tail_len - 1u) % TAIL_PIECE_BYTES + 1 : 0;
}
/* Copies the whole tail, tail_len bytes. */
void record_tail_copy(const struct head_record *record, uint8_t *out);

/* A new record, to be changed. */
struct head_record *head_block_add_series(
    struct head_block *block, uint32_t series, struct run_shape shape);

/* ---- appending; t is inside the block ---- */

struct arena;

void record_amount(struct head_block *block, struct head_record *record, int64_t t, int128 amount,
    struct arena *scratch);
void record_gauge(struct head_block *block, struct head_record *record, int64_t t,
    const struct gauge_cell *cell, struct arena *scratch);
void record_histogram(struct head_block *block, struct head_record *record, int64_t t,
    const struct hist_cell *cell, struct arena *scratch);
/* histogram NULL: a float. start_ms: when its counter began, 0: unknown. */
void record_sample(struct head_block *block, struct head_record *record, int64_t t, uint64_t bits,
    const struct hist *histogram, int64_t start_ms, struct arena *scratch);

/* The tail becomes a mini-chunk; nothing when it is empty. */
void record_flush(struct head_block *block, struct head_record *record, struct arena *scratch);
/* The n cells of a run become the tail, which is empty. ERR_CORRUPT: these are no such bytes. */
bool record_resume(struct head_block *block, struct head_record *record, struct slice run, size_t n,
    struct arena *scratch, struct err *err);

/* ---- reading ---- */

/* What a reader has taken of one series in one block: valid while it holds the block. */
struct head_part {
    const struct head_block *block;
    const struct mini_chunk *chunks;
    struct slice tail;
    struct run_shape shape;
    uint32_t step_ms; /* between two cells, as a rule */
    uint8_t tail_n;
};

/* Takes it; the tail is copied into the arena. False when that is full. A record that has no cells
 * in (from, to] may still be taken. */
bool head_part_take(const struct head_block *block, const struct head_record *record,
    struct arena *arena, struct head_part *out);
/* About how many cells it has in (from, to]: never fewer for kinds with windows; samples are taken
 * to come in the step of the last ones. */
uint64_t head_part_cells(const struct head_part *part, int64_t from, int64_t to);
/* The columns it consists of in (from, to], oldest commit first: at most head_part_pieces of them,
 * each sorted, to be merged by columns_merge. */
size_t head_part_pieces(const struct head_part *part);
bool head_part_columns(const struct head_part *part, int64_t from, int64_t to, struct arena *arena,
    struct columns *out, size_t *n, struct err *err);

#endif
