#include "store/head.h"

#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"

/* Cells whose memory is asked for together: enough to hide what one line costs, few enough that
 * the first is still there when its turn comes. */
#define BATCH 64

void head_init(struct head *head, int64_t block_ms, shape_f *shape, void *ctx)
{
    ensure(block_ms > 0 && block_ms <= HEAD_BLOCK_MS_MAX);
    *head = (struct head){.block_ms = block_ms, .shape = shape, .shape_ctx = ctx};
    arena_init(&head->scratch, 0);
}

void head_fini(struct head *head)
{
    for (size_t i = 0; i < head->n_blocks; i++)
        head_block_put(&head->blocks[i]);
    free(head->blocks);
    arena_fini(&head->scratch);
    *head = (struct head){.block_ms = head->block_ms};
}

/* The block that a cell at t lies in. */
static int64_t block_of(const struct head *head, int64_t t)
{
    int64_t x = t - 1;
    int64_t q = x / head->block_ms;
    return x % head->block_ms < 0 ? q - 1 : q;
}

/* The first block that is not before the number. */
static size_t block_at(const struct head *head, int64_t number)
{
    size_t lo = 0, hi = head->n_blocks;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (head->blocks[mid]->number < number)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct head_block *head_find_block(const struct head *head, int64_t number)
{
    size_t i = block_at(head, number);
    return i < head->n_blocks && head->blocks[i]->number == number ? head->blocks[i] : NULL;
}

struct head_block *head_open_block(struct head *head, int64_t number)
{
    size_t i = block_at(head, number);
    if (i == head->n_blocks || head->blocks[i]->number != number) {
        GROW(head->blocks, head->blocks_cap, head->n_blocks + 1);
        memmove(
            &head->blocks[i + 1], &head->blocks[i], (head->n_blocks - i) * sizeof *head->blocks);
        head->blocks[i] = head_block_new(number, head->block_ms);
        head->n_blocks++;
    }
    head->last = head->blocks[i];
    return head->last;
}

/* The block of t; mostly the one of the cell before. */
static inline struct head_block *block_for(struct head *head, int64_t t)
{
    struct head_block *b = head->last;
    if (b && t > b->start && t <= b->start + head->block_ms)
        return b;
    return head_open_block(head, block_of(head, t));
}

static struct head_record *record_for(
    const struct head *head, struct head_block *block, uint32_t series)
{
    struct head_record *r = head_block_find(block, series);
    return r ? r : head_block_add_series(block, series, head->shape(head->shape_ctx, series));
}

/* ---- a transaction ---- */

/* The cells of one array of a transaction: all begin with series and time. */
struct cells {
    const char *array;
    size_t size, n, series, t; /* of an entry, and where its fields are */
    void (*put)(struct head *head, struct head_block *block, struct head_record *record,
        const struct transaction *t, const void *entry);
};

static void put_add(struct head *head, struct head_block *block, struct head_record *record,
    const struct transaction *t, const void *entry)
{
    const struct add_cell *a = entry;
    (void)t;
    record_amount(block, record, a->t, a->amount, &head->scratch);
}

static void put_gauge(struct head *head, struct head_block *block, struct head_record *record,
    const struct transaction *t, const void *entry)
{
    const struct gauge_entry *g = entry;
    (void)t;
    record_gauge(block, record, g->t, &g->cell, &head->scratch);
}

static void put_hist(struct head *head, struct head_block *block, struct head_record *record,
    const struct transaction *t, const void *entry)
{
    const struct hist_entry *h = entry;
    struct hist_cell cell = {h->sum, h->n, t->buckets + h->first};
    record_histogram(block, record, h->t, &cell, &head->scratch);
}

static void put_sample(struct head *head, struct head_block *block, struct head_record *record,
    const struct transaction *t, const void *entry)
{
    const struct sample_entry *s = entry;
    (void)t;
    record_sample(block, record, s->t, s->bits, s->hist, s->start, &head->scratch);
}

static inline uint32_t series_at(const struct cells *c, size_t i)
{
    uint32_t series;
    memcpy(&series, c->array + i * c->size + c->series, sizeof series);
    return series;
}

static inline int64_t time_at(const struct cells *c, size_t i)
{
    int64_t t;
    memcpy(&t, c->array + i * c->size + c->t, sizeof t);
    return t;
}

static bool wanted(
    const struct head *head, const struct head_filter *filter, uint32_t series, int64_t t)
{
    return !filter || ((!filter->series || filter->series(filter->ctx, series)) &&
                          (!filter->block || filter->block(filter->ctx, block_of(head, t))));
}

/* At most BATCH cells, each step for all of them before the next: slots, records, tails. */
static void apply_batch(struct head *head, const struct transaction *t, const struct cells *c,
    size_t from, size_t n, const struct head_filter *filter)
{
    struct head_block *block[BATCH];
    struct head_record *record[BATCH];
    for (size_t i = 0; i < n; i++) {
        int64_t at = time_at(c, from + i);
        block[i] = wanted(head, filter, series_at(c, from + i), at) ? block_for(head, at) : NULL;
        if (block[i])
            __builtin_prefetch(head_block_slot(block[i], series_at(c, from + i)));
    }
    for (size_t i = 0; i < n; i++) {
        if (!block[i])
            continue;
        record[i] = record_for(head, block[i], series_at(c, from + i));
        __builtin_prefetch(record[i], 1);
        __builtin_prefetch((char *)record[i] + sizeof *record[i] - 1, 1);
    }
    for (size_t i = 0; i < n; i++)
        if (block[i] && record[i]->tail)
            __builtin_prefetch(record[i]->tail, 1);
    for (size_t i = 0; i < n; i++)
        if (block[i])
            c->put(head, block[i], record[i], t, c->array + (from + i) * c->size);
}

bool head_apply(struct head *head, const struct transaction *t, size_t *at, size_t max,
    const struct head_filter *filter)
{
    const struct cells all[] = {
        {(const char *)t->adds, sizeof *t->adds, t->n_adds, offsetof(struct add_cell, series),
            offsetof(struct add_cell, t), put_add},
        {(const char *)t->gauges, sizeof *t->gauges, t->n_gauges,
            offsetof(struct gauge_entry, series), offsetof(struct gauge_entry, t), put_gauge},
        {(const char *)t->hists, sizeof *t->hists, t->n_hists, offsetof(struct hist_entry, series),
            offsetof(struct hist_entry, t), put_hist},
        {(const char *)t->samples, sizeof *t->samples, t->n_samples,
            offsetof(struct sample_entry, series), offsetof(struct sample_entry, t), put_sample},
    };
    size_t end = max < transaction_cells(t) - *at ? *at + max : transaction_cells(t);
    size_t first = 0; /* number of the array's first cell */
    for (size_t k = 0; k < sizeof all / sizeof *all; first += all[k++].n)
        while (*at < end && *at < first + all[k].n) {
            size_t left = (end < first + all[k].n ? end : first + all[k].n) - *at;
            size_t n = left < BATCH ? left : BATCH;
            apply_batch(head, t, &all[k], *at - first, n, filter);
            *at += n;
        }
    return *at == transaction_cells(t);
}

/* ---- accounts ---- */

uint64_t head_cells(const struct head *head)
{
    uint64_t n = 0;
    for (size_t i = 0; i < head->n_blocks; i++)
        n += head->blocks[i]->cells;
    return n;
}

uint64_t head_bytes(const struct head *head)
{
    uint64_t n = 0;
    for (size_t i = 0; i < head->n_blocks; i++)
        n += head_block_bytes(head->blocks[i]);
    return n;
}

/* ---- sealing ---- */

struct frozen *head_freeze(struct head *head, int64_t number)
{
    size_t i = block_at(head, number);
    if (i == head->n_blocks || head->blocks[i]->number != number)
        return NULL;
    struct frozen *f = xcalloc(1, sizeof *f);
    f->block = head->blocks[i];
    memmove(
        &head->blocks[i], &head->blocks[i + 1], (head->n_blocks - i - 1) * sizeof *head->blocks);
    head->n_blocks--;
    head->last = NULL;
    return f;
}

void frozen_free(struct frozen **frozen)
{
    struct frozen *f = *frozen;
    *frozen = NULL;
    if (!f)
        return;
    head_block_put(&f->block);
    free(f->sources);
    free(f);
}

static int by_id(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

uint32_t *head_block_series(const struct head_block *block, size_t *n)
{
    uint32_t *ids = xreallocarray(NULL, block->n_records, sizeof *ids);
    *n = block->n_records;
    for (uint32_t i = 0; i < block->n_records; i++)
        ids[i] = head_block_record(block, i)->series;
    if (*n)
        qsort(ids, *n, sizeof *ids, by_id);
    return ids;
}

bool head_block_columns(const struct head_block *block, uint32_t series, struct arena *arena,
    struct columns *out, struct err *err)
{
    const struct head_record *r = head_block_find(block, series);
    struct head_part part;
    ensure(r != NULL);
    if (head_part_take(block, r, arena, &part)) {
        size_t n = head_part_pieces(&part);
        struct columns *in = arena_array(arena, n, sizeof *in);
        if (in) {
            if (!head_part_columns(&part, INT64_MIN, INT64_MAX, arena, in, &n, err))
                return false;
            if (columns_merge(arena, in, n, INT64_MIN, INT64_MAX, out))
                return true;
        }
    }
    return err_set(err, ERR_LIMIT, "the query needs more memory than it is allowed");
}
