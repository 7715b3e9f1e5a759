/*
 * Views: what an open block held at one moment, for readers who take their time.
 *
 *     block    table of pages --> records --> tails, mini-chunks
 *     view     the same table --^
 *
 * Making one takes a few microseconds, however many series there are. After that the writer goes
 * on: before it changes a page of records that a view looks at, it copies the page, and the table
 * before the first of them; slots only come, and a view knows how many records there were; tails
 * are appended to behind what a view looks at, and pieces of them that are given up are kept until
 * the views that may look at them are gone. So a view that stays for long costs the memory of all
 * pages of records once, and that of the tails that are filled meanwhile.
 *
 *     epoch 1 | view 1 | epoch 2 | view 2 | epoch 3      a page, and the table, is stamped with the
 *                                                       epoch in which it was made, or found to be
 *                                                       looked at by nobody; view n looks at those
 *                                                       up to n
 *
 * Nobody changes a block while a view of it is made (store.gate). Views are put by any thread at
 * any time. Views between which nothing was changed are one.
 */
#ifndef STORE_HEAD_BLOCK_VIEW_H
#define STORE_HEAD_BLOCK_VIEW_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct head_block;
struct head_record;
struct tail_piece;
struct block_view;

struct block_view *block_view_get(struct head_block *block);
void block_view_put(struct block_view **view);

/* The block is counted: it stays while the view is there. */
const struct head_block *block_view_block(const struct block_view *view);
/* NULL when the series had no cells there. */
const struct head_record *block_view_find(const struct block_view *view, uint32_t series);
/* Asks for the memory that block_view_find reads first. */
void block_view_prefetch(const struct block_view *view, uint32_t series);

/* ---- for who changes the block ---- */

/* What the block needs no more, and may be looked at. */
struct given_up {
    struct tail_piece *first, *last; /* linked; NULL: none */
    struct head_record **pages;
    size_t n_pages, pages_cap;
    void **tables; /* freed, where nobody looks at them */
    size_t n_tables, tables_cap;
};

/* The views of a block. */
struct block_views {
    pthread_mutex_t mutex;
    struct block_view *newest; /* mutex */
    struct given_up back;      /* nobody looks at it any more; mutex */
    atomic_uint newest_epoch;  /* 0: there is no view */
    uint32_t epoch;            /* the block's, which no view is of yet */
    bool changed;              /* in this epoch */
    struct given_up spare;     /* to be used again; the writer's, as are the two above */
};

void block_views_init(struct block_views *views);
void block_views_fini(struct block_views *views);

/* Makes page number `page` of the records one that no view looks at. */
void block_own_page(struct head_block *block, size_t page);
/* Adds a page for records, the last one. */
void block_add_page(struct head_block *block);
/* A piece for a tail. */
struct tail_piece *block_piece_alloc(struct head_block *block);
/* The tail is in no record any more. */
void block_give_up_tail(
    struct head_block *block, struct tail_piece *first, struct tail_piece *last);

#endif
