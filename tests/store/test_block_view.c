/*
 * Views of a block against copies of it: whatever is appended, filled and given up after a view was
 * made, it shows what there was, until it is put; and what it kept is used again. Then with
 * threads: a writer, and readers that make their views when it is not writing and read them while
 * it is. LARDER_SEED repeats a run, LARDER_STEPS makes it longer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/thread.h"
#include "store/head.h"
#include "store/transaction.h"

#define EVERY   5000
#define BLOCK   (4000ll * EVERY)
#define SERIES  300
#define VIEWS   6
#define READERS 3

struct random {
    uint64_t state;
};

static uint32_t below(struct random *r, uint32_t n)
{
    r->state ^= r->state << 13;
    r->state ^= r->state >> 7;
    r->state ^= r->state << 17;
    return (uint32_t)(r->state >> 33) % n;
}

static struct random seeded(void)
{
    const char *text = getenv("LARDER_SEED");
    struct random r = {text ? strtoull(text, NULL, 10) : 0x9e3779b97f4a7c15u};
    printf("# LARDER_SEED=%llu\n", (unsigned long long)r.state);
    r.state |= 1;
    return r;
}

static int steps(int normal)
{
    const char *text = getenv("LARDER_STEPS");
    return text ? atoi(text) : normal;
}

static struct run_shape shape(void *ctx, uint32_t series)
{
    (void)ctx;
    (void)series;
    return (struct run_shape){KIND_COUNTER, EVERY};
}

static void add_amount(struct head *head, uint32_t series, int64_t t, int128 amount)
{
    struct add_cell cell = {.series = series, .t = t, .amount = amount};
    const struct transaction all = {.adds = &cell, .n_adds = 1};
    size_t at = 0;
    assert_true(head_apply(head, &all, &at, SIZE_MAX, NULL));
}

/* A cell of a random series; the ids that may come grow with the time. */
static void add_cell(struct head *head, struct random *r, uint32_t step)
{
    uint32_t series = below(r, step / 50 + 2 < SERIES ? step / 50 + 2 : SERIES) * 7;
    int128 amount = below(r, 4) ? (int128)below(r, 1000) : (int128)below(r, 1000) << 70;
    add_amount(head, series, (int64_t)(below(r, 4000) + 1) * EVERY, amount);
}

/* ---- one thread ---- */

/* What a series had. */
struct had {
    bool any;
    const struct mini_chunk *chunks;
    uint16_t tail_len;
    uint8_t tail_n, tail[TAIL_BYTES_MAX];
};

struct look {
    struct block_view *view;
    struct had series[SERIES];
};

static struct had had_of(const struct head_record *r)
{
    struct had h = {0};
    if (!r)
        return h;
    h = (struct had){
        .any = true, .chunks = r->chunks, .tail_len = r->tail_len, .tail_n = r->tail_n};
    record_tail_copy(r, h.tail);
    return h;
}

static void make(struct look *look, struct head_block *block)
{
    for (uint32_t i = 0; i < SERIES; i++)
        look->series[i] = had_of(head_block_find(block, i * 7));
    look->view = block_view_get(block);
}

static void check(const struct look *look)
{
    for (uint32_t i = 0; look->view && i < SERIES; i++) {
        struct had now = had_of(block_view_find(look->view, i * 7));
        assert_memory_equal(&now, &look->series[i], sizeof now);
        assert_null(block_view_find(look->view, i * 7 + 1));
    }
}

static void test_views_show_their_moment(void **state)
{
    (void)state;
    struct random r = seeded();
    struct head head;
    static struct look looks[VIEWS];
    head_init(&head, BLOCK, shape, NULL);
    head_open_block(&head, 0);
    int n = steps(60000);
    for (int i = 0; i < n; i++) {
        struct look *look = &looks[below(&r, VIEWS)];
        if (below(&r, 40) == 0 && !look->view)
            make(look, head.blocks[0]);
        else if (below(&r, 60) == 0)
            check(look);
        else if (below(&r, 80) == 0)
            block_view_put(&look->view);
        else
            add_cell(&head, &r, (uint32_t)i);
    }
    struct head_block *gone = head_block_get(head.blocks[0]);
    head_fini(&head); /* the views keep the block */
    head_block_put(&gone);
    for (int i = 0; i < VIEWS; i++) {
        check(&looks[i]);
        block_view_put(&looks[i].view);
    }
}

static void test_views_between_which_nothing_was_are_one(void **state)
{
    (void)state;
    struct head head;
    head_init(&head, BLOCK, shape, NULL);
    add_amount(&head, 0, EVERY, 1);
    struct block_view *a = block_view_get(head.blocks[0]);
    struct block_view *b = block_view_get(head.blocks[0]);
    assert_ptr_equal(a, b);
    block_view_put(&b);
    add_amount(&head, 0, 2 * EVERY, 1);
    b = block_view_get(head.blocks[0]);
    assert_ptr_not_equal(a, b);
    block_view_put(&b);
    b = block_view_get(head.blocks[0]); /* the older one is not what the block is */
    assert_int_equal(block_view_find(a, 0)->tail_n, 1);
    assert_int_equal(block_view_find(b, 0)->tail_n, 2);
    block_view_put(&a);
    block_view_put(&b);
    head_fini(&head);
}

/* Pages and tails that views kept are used again: a block does not grow with the number of views
 * that there have been. */
static void test_what_was_kept_is_used_again(void **state)
{
    (void)state;
    struct head head, alone;
    head_init(&head, BLOCK, shape, NULL);
    head_init(&alone, BLOCK, shape, NULL);
    for (int64_t i = 0; i < 3000; i++) {
        struct block_view *view = i ? block_view_get(head.blocks[0]) : NULL;
        for (uint32_t s = 0; s < 200; s++) {
            add_amount(&head, s, (i + 1) * EVERY, 1 + (i * s) % 7);
            add_amount(&alone, s, (i + 1) * EVERY, 1 + (i * s) % 7);
        }
        block_view_put(&view);
    }
    uint64_t more = head_bytes(&head) - head_bytes(&alone);
    printf("# %llu bytes, and %llu more with views\n", (unsigned long long)head_bytes(&alone),
        (unsigned long long)more);
    assert_true(more <= head_bytes(&alone) / 4);
    head_fini(&head);
    head_fini(&alone);
}

/* ---- threads ---- */

struct shared {
    struct head head;
    pthread_mutex_t gate;
    atomic_bool stop;
    atomic_int looks;
};

static void *read_views(void *arg)
{
    struct shared *s = arg;
    struct look *look = xcalloc(1, sizeof *look);
    while (!atomic_load(&s->stop)) {
        mutex_lock(&s->gate);
        make(look, s->head.blocks[0]);
        mutex_unlock(&s->gate);
        for (int i = 0; i < 20; i++)
            check(look);
        block_view_put(&look->view);
        atomic_fetch_add(&s->looks, 1);
    }
    free(look);
    return NULL;
}

static void test_readers_beside_a_writer(void **state)
{
    (void)state;
    struct random r = seeded();
    struct shared s = {0};
    pthread_t readers[READERS];
    head_init(&s.head, BLOCK, shape, NULL);
    head_open_block(&s.head, 0);
    mutex_init(&s.gate);
    for (int i = 0; i < READERS; i++)
        thread_start(&readers[i], "reader", read_views, &s);
    int n = steps(20000);
    for (int i = 0; i < n || atomic_load(&s.looks) < 20; i++) {
        mutex_lock(&s.gate);
        for (int k = 0; k < 8; k++)
            add_cell(&s.head, &r, (uint32_t)(i < n ? i : n) * 8);
        mutex_unlock(&s.gate);
    }
    atomic_store(&s.stop, true);
    for (int i = 0; i < READERS; i++)
        thread_join(readers[i]);
    printf("# %d views\n", atomic_load(&s.looks));
    pthread_mutex_destroy(&s.gate);
    head_fini(&s.head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_views_show_their_moment),
        cmocka_unit_test(test_views_between_which_nothing_was_are_one),
        cmocka_unit_test(test_what_was_kept_is_used_again),
        cmocka_unit_test(test_readers_beside_a_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
