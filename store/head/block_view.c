#include "store/head/block_view.h"

#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "base/thread.h"
#include "store/head/head_block.h"

#define PAGE_BYTES (RECORDS_PER_PAGE * sizeof(struct head_record))

struct block_view {
    struct head_block *block;
    atomic_uint **slots;
    size_t n_slot_pages;
    struct head_record **records;
    uint32_t n_records;
    uint32_t epoch;
    unsigned refs;                    /* the mutex of the views, as are the next */
    struct block_view *older, *newer; /* of the same block */
    struct given_up gone;             /* while this was the newest one, or the one before it */
};

void block_views_init(struct block_views *views)
{
    *views = (struct block_views){.epoch = 1};
    atomic_init(&views->newest_epoch, 0);
    mutex_init(&views->mutex);
}

void block_views_fini(struct block_views *views)
{
    ensure(!views->newest);
    free(views->back.pages);
    free(views->back.tables);
    free(views->spare.pages);
    free(views->spare.tables);
    pthread_mutex_destroy(&views->mutex);
}

/* ---- what is given up ---- */

static void add_tail(struct given_up *to, struct tail_piece *first, struct tail_piece *last)
{
    last->next = to->first;
    to->first = first;
    if (!to->last)
        to->last = last;
}

static void add_page(struct given_up *to, struct head_record *page)
{
    GROW(to->pages, to->pages_cap, to->n_pages + 1);
    to->pages[to->n_pages++] = page;
}

static void add_table(struct given_up *to, void *table)
{
    GROW(to->tables, to->tables_cap, to->n_tables + 1);
    to->tables[to->n_tables++] = table;
}

/* All of it; nothing is left in `from`. */
static void move(struct given_up *to, struct given_up *from)
{
    if (from->first)
        add_tail(to, from->first, from->last);
    from->first = from->last = NULL;
    GROW(to->pages, to->pages_cap, to->n_pages + from->n_pages);
    if (from->n_pages)
        memcpy(to->pages + to->n_pages, from->pages, from->n_pages * sizeof *from->pages);
    to->n_pages += from->n_pages;
    from->n_pages = 0;
    while (from->n_tables > 0)
        add_table(to, from->tables[--from->n_tables]);
}

static void free_tables(struct given_up *of)
{
    while (of->n_tables > 0)
        free(of->tables[--of->n_tables]);
}

/* ---- making, and putting ---- */

static atomic_uint **copy_slots(const struct head_block *block)
{
    atomic_uint **copy = xreallocarray(NULL, block->n_slot_pages + 1, sizeof *copy);
    if (block->n_slot_pages)
        memcpy(copy, block->slots, block->n_slot_pages * sizeof *copy);
    return copy;
}

static struct block_view *view_new(struct head_block *block)
{
    struct block_views *views = &block->views;
    struct block_view *v = xcalloc(1, sizeof *v);
    v->block = head_block_get(block);
    v->slots = copy_slots(block);
    v->n_slot_pages = block->n_slot_pages;
    v->records = block->records;
    v->n_records = block->n_records;
    v->epoch = views->epoch++;
    v->older = views->newest;
    if (v->older)
        v->older->newer = v;
    views->newest = v;
    views->changed = false;
    atomic_store_explicit(&views->newest_epoch, v->epoch, memory_order_relaxed);
    return v;
}

/* Whether the newest view shows what the block is now: there was none since, and no change. */
static bool is_current(const struct block_views *views)
{
    return views->newest && views->newest->epoch + 1 == views->epoch && !views->changed;
}

struct block_view *block_view_get(struct head_block *block)
{
    struct block_views *views = &block->views;
    mutex_lock(&views->mutex);
    struct block_view *v = is_current(views) ? views->newest : view_new(block);
    v->refs++;
    mutex_unlock(&views->mutex);
    return v;
}

/* Whatever it looked at, an older one may look at, too. The mutex is held. */
static void unlink_view(struct block_views *views, struct block_view *v)
{
    move(v->older ? &v->older->gone : &views->back, &v->gone);
    free_tables(&views->back);
    if (v->older)
        v->older->newer = v->newer;
    if (v->newer)
        v->newer->older = v->older;
    else
        views->newest = v->older;
    /* What the reader has read was before what the writer does now. */
    atomic_store_explicit(
        &views->newest_epoch, views->newest ? views->newest->epoch : 0, memory_order_release);
}

void block_view_put(struct block_view **view)
{
    struct block_view *v = *view;
    *view = NULL;
    if (!v)
        return;
    struct block_views *views = &v->block->views;
    mutex_lock(&views->mutex);
    bool last = --v->refs == 0;
    if (last)
        unlink_view(views, v);
    mutex_unlock(&views->mutex);
    if (!last)
        return;
    free(v->slots);
    free(v->gone.pages);
    free(v->gone.tables);
    head_block_put(&v->block);
    free(v);
}

/* ---- looking ---- */

const struct head_block *block_view_block(const struct block_view *view)
{
    return view->block;
}

static const atomic_uint *slot_of(const struct block_view *view, uint32_t series)
{
    size_t page = series / SLOTS_PER_PAGE;
    return page < view->n_slot_pages && view->slots[page]
               ? &view->slots[page][series % SLOTS_PER_PAGE]
               : NULL;
}

const struct head_record *block_view_find(const struct block_view *view, uint32_t series)
{
    const atomic_uint *slot = slot_of(view, series);
    uint32_t number = slot ? atomic_load_explicit(slot, memory_order_relaxed) : 0;
    if (number == 0 || number > view->n_records)
        return NULL;
    return &view->records[(number - 1) / RECORDS_PER_PAGE][(number - 1) % RECORDS_PER_PAGE];
}

void block_view_prefetch(const struct block_view *view, uint32_t series)
{
    const atomic_uint *slot = slot_of(view, series);
    if (slot)
        __builtin_prefetch(slot);
}

/* ---- changing ---- */

/* Takes what the views have given back. */
static void reclaim(struct head_block *block)
{
    struct block_views *views = &block->views;
    struct given_up *spare = &views->spare;
    mutex_lock(&views->mutex);
    move(spare, &views->back);
    mutex_unlock(&views->mutex);
    if (spare->first)
        tail_free(&block->memory, spare->first, spare->last);
    spare->first = spare->last = NULL;
}

static struct head_record *page_alloc(struct head_block *block)
{
    struct given_up *spare = &block->views.spare;
    if (spare->n_pages == 0)
        reclaim(block);
    return spare->n_pages > 0 ? spare->pages[--spare->n_pages]
                              : block_alloc_lines(&block->memory, PAGE_BYTES);
}

struct tail_piece *block_piece_alloc(struct head_block *block)
{
    if (!block->memory.free)
        reclaim(block);
    return tail_piece_alloc(&block->memory);
}

static bool is_looked_at(const struct block_views *views, uint32_t stamp)
{
    return stamp <= atomic_load_explicit(&views->newest_epoch, memory_order_acquire);
}

static size_t pages_of(const struct head_block *block)
{
    return (block->n_records + RECORDS_PER_PAGE - 1) / RECORDS_PER_PAGE;
}

/* The table anew, with room for cap pages. */
static void renew_table(struct head_block *block, size_t cap)
{
    struct block_views *views = &block->views;
    struct head_record **before = block->records;
    size_t n = pages_of(block);
    block->records = xreallocarray(NULL, cap, sizeof *block->records);
    block->records_cap = cap;
    block->table_stamp = views->epoch;
    if (n)
        memcpy(block->records, before, n * sizeof *before);
    mutex_lock(&views->mutex);
    bool kept = views->newest;
    if (kept)
        add_table(&views->newest->gone, before);
    mutex_unlock(&views->mutex);
    if (!kept)
        free(before);
}

/* Views know how many records there were: they do not look at a page that comes. */
void block_add_page(struct head_block *block)
{
    size_t page = pages_of(block);
    if (page == block->records_cap)
        renew_table(block, page ? 2 * page : 1);
    GROW(block->stamps, block->stamps_cap, page + 1);
    block->records[page] = page_alloc(block);
    block->stamps[page] = block->views.epoch;
    block->views.changed = true;
}

void block_own_page(struct head_block *block, size_t page)
{
    struct block_views *views = &block->views;
    views->changed = true;
    if (is_looked_at(views, block->stamps[page])) {
        struct head_record *before = block->records[page];
        if (is_looked_at(views, block->table_stamp))
            renew_table(block, block->records_cap);
        block->records[page] = memcpy(page_alloc(block), before, PAGE_BYTES);
        mutex_lock(&views->mutex);
        add_page(views->newest ? &views->newest->gone : &views->spare, before);
        mutex_unlock(&views->mutex);
    }
    block->stamps[page] = views->epoch;
}

void block_give_up_tail(struct head_block *block, struct tail_piece *first, struct tail_piece *last)
{
    struct block_views *views = &block->views;
    bool kept = is_looked_at(views, 1);
    if (kept) {
        mutex_lock(&views->mutex);
        kept = views->newest;
        if (kept)
            add_tail(&views->newest->gone, first, last);
        mutex_unlock(&views->mutex);
    }
    if (!kept)
        tail_free(&block->memory, first, last);
}
