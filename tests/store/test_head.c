/*
 * The head against a naive list of cells: random cells of every kind, in any order, twice, inverse;
 * read as columns, and once more after a view was written down and restored. LARDER_SEED repeats a
 * run, LARDER_STEPS makes it longer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/double_bits.h"
#include "base/mem.h"
#include "store/head.h"
#include "store/head/head_view.h"

#define BLOCK  (100 * 5000)
#define EVERY  5000
#define SERIES 10

static uint64_t rng;

static uint32_t below(uint32_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)(rng >> 33) % n;
}

static void seed(void)
{
    const char *text = getenv("LARDER_SEED");
    rng = text ? strtoull(text, NULL, 10) : 0x9e3779b97f4a7c15u;
    printf("# LARDER_SEED=%llu\n", (unsigned long long)rng);
    rng |= 1;
}

static int steps(int normal)
{
    const char *text = getenv("LARDER_STEPS");
    return text ? atoi(text) : normal;
}

static enum kind kind_of(uint32_t series)
{
    static const enum kind kinds[] = {
        KIND_COUNTER, KIND_HISTOGRAM, KIND_LEVEL, KIND_GAUGE, KIND_SAMPLE};
    return kinds[series % 5];
}

static struct run_shape shape(void *ctx, uint32_t series)
{
    (void)ctx;
    return (struct run_shape){kind_of(series), kind_of(series) == KIND_SAMPLE ? 1 : EVERY};
}

/* Every cell that was added, as columns of one cell, in order. */
struct naive {
    struct arena arena;
    struct columns *cells[SERIES];
    size_t n[SERIES], cap[SERIES];
};

static struct columns *naive_add(struct naive *m, uint32_t s, int64_t t, size_t n_buckets)
{
    GROW(m->cells[s], m->cap[s], m->n[s] + 1);
    struct columns *c = &m->cells[s][m->n[s]++];
    assert_true(columns_alloc(&m->arena, kind_of(s), 1, n_buckets, true, c));
    if (c->bits)
        assert_true(columns_alloc_start(&m->arena, c));
    c->t[0] = t;
    return c;
}

static void apply(struct head *head, const struct transaction *t)
{
    size_t at = 0;
    assert_true(head_apply(head, t, &at, SIZE_MAX, NULL));
}

static void apply_amount(struct head *head, uint32_t s, int64_t t, int128 amount)
{
    struct add_cell cell = {.series = s, .t = t, .amount = amount};
    apply(head, &(struct transaction){.adds = &cell, .n_adds = 1});
}

static int64_t random_amount(void)
{
    static const int64_t odd[] = {0, 1, -1, INT64_MAX, INT64_MIN, 1ll << 61, -(1ll << 61)};
    return below(8) == 0 ? odd[below(7)] : (int64_t)below(200) - 50;
}

static void add_amount(struct head *head, struct naive *m, uint32_t s, int64_t t)
{
    int128 v = random_amount();
    if (below(30) == 0)
        v *= (int128)1 << 40;
    if (below(10) == 0 && m->n[s]) { /* the inverse of one that is there */
        const struct columns *c = &m->cells[s][below((uint32_t)m->n[s])];
        v = -c->amount[0];
        t = c->t[0];
    }
    naive_add(m, s, t, 0)->amount[0] = v;
    apply_amount(head, s, t, v);
}

static void add_gauge(struct head *head, struct naive *m, uint32_t s, int64_t t)
{
    int64_t v = below(5) ? (int64_t)below(1000) : random_amount();
    struct gauge_cell g = {v, t - below(EVERY), v, v, v, 1};
    if (below(4) == 0)
        g = (struct gauge_cell){
            v, t - below(2 * EVERY) + EVERY, v / 2 - 1, v / 2 + 5, (int128)v * 3, 3};
    struct columns *c = naive_add(m, s, t, 0);
    c->last[0] = g.last;
    c->last_ms[0] = g.last_ms;
    c->min[0] = g.min;
    c->max[0] = g.max;
    c->sum[0] = g.sum;
    c->count[0] = g.count;
    struct gauge_entry entry = {.series = s, .t = t, .cell = g};
    apply(head, &(struct transaction){.gauges = &entry, .n_gauges = 1});
}

static void add_histogram(struct head *head, struct naive *m, uint32_t s, int64_t t)
{
    uint32_t n = below(50) == 0 ? 600 : below(8), k = 0;
    struct columns *c = naive_add(m, s, t, n);
    int32_t key = below(3) == 0 ? HIST_ZERO : (int32_t)below(40) - 20;
    for (; k < n; k++, key += 1 + (int32_t)below(3))
        c->bucket[k] = (struct hist_bucket){key, below(20) == 0 ? -5 : 1 + (int64_t)below(9)};
    c->bucket_at[1] = n;
    c->sum[0] = random_amount();
    struct hist_entry entry = {.series = s, .t = t, .sum = c->sum[0], .n = n};
    apply(head,
        &(struct transaction){.hists = &entry, .n_hists = 1, .buckets = c->bucket, .n_buckets = n});
}

static uint64_t random_bits(void)
{
    static const uint64_t odd[] = {STALE_BITS, 0x7ff8000000000001, 0x8000000000000000, 0,
        0x7ff0000000000000, 0xfff0000000000000, 1, 0x433fffffffffffff, 0x4340000000000000};
    double v = below(3) ? (double)below(100000) / 100 : (double)below(1000000);
    if (below(12) == 0)
        return odd[below(9)];
    return below(12) == 0 ? (uint64_t)below(UINT32_MAX) << 32 | below(UINT32_MAX) : double_bits(v);
}

static struct hist *random_hist(struct arena *arena)
{
    static const double bounds[] = {0.5, 1, 2.5};
    struct hist *h = arena_zalloc(arena, sizeof *h);
    struct hist_fbucket *b = arena_array(arena, 6, sizeof *b);
    bool custom = below(4) == 0;
    for (int32_t i = 0; i < 6; i++)
        b[i] = (struct hist_fbucket){i * 3 - 5, below(100) / 4.0};
    h->schema = custom ? HIST_SCHEMA_CUSTOM : (int)below(13) - 4;
    h->reset_hint = (enum hist_reset_hint)below(4);
    h->zero_threshold = 1e-9;
    h->zero_count = below(7);
    h->count = 17;
    h->sum = -0.25;
    h->positive = b;
    h->n_positive = below(7);
    h->negative = b;
    h->n_negative = below(4);
    h->bounds = bounds;
    h->n_bounds = custom ? 3 : 0;
    return h;
}

static void add_sample(struct head *head, struct naive *m, uint32_t s, int64_t t)
{
    struct columns *c = naive_add(m, s, t, 0);
    const struct hist *h = below(20) == 0 ? random_hist(&m->arena) : NULL;
    c->bits[0] = h ? 0 : random_bits();
    c->start[0] = below(6) == 0 ? t - (int64_t)below(100000) + 10 : 0;
    c->hist[0] = h;
    struct sample_entry entry = {s, t, c->start[0], c->bits[0], h};
    apply(head, &(struct transaction){.samples = &entry, .n_samples = 1});
}

static void add_random(struct head *head, struct naive *m, uint32_t s, int64_t *now)
{
    int64_t t = below(6) ? *now : *now - EVERY * (int64_t)below(60);
    if (below(3) == 0)
        *now += EVERY * (1 + below(3));
    if (kind_of(s) == KIND_SAMPLE && below(4) == 0)
        t += below(EVERY);
    switch (kind_of(s)) {
    case KIND_COUNTER:
    case KIND_LEVEL: add_amount(head, m, s, t); return;
    case KIND_GAUGE: add_gauge(head, m, s, t); return;
    case KIND_HISTOGRAM: add_histogram(head, m, s, t); return;
    case KIND_SAMPLE: add_sample(head, m, s, t); return;
    }
}

static bool same_buckets(const struct hist_fbucket *a, const struct hist_fbucket *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (a[i].index != b[i].index || a[i].count != b[i].count)
            return false;
    return true;
}

static bool same_hist(const struct hist *a, const struct hist *b)
{
    if (!a || !b)
        return a == b;
    return a->schema == b->schema && a->reset_hint == b->reset_hint &&
           a->zero_threshold == b->zero_threshold && a->zero_count == b->zero_count &&
           a->count == b->count && a->sum == b->sum && a->n_positive == b->n_positive &&
           a->n_negative == b->n_negative && a->n_bounds == b->n_bounds &&
           same_buckets(a->positive, b->positive, a->n_positive) &&
           same_buckets(a->negative, b->negative, a->n_negative) &&
           memcmp(a->bounds, b->bounds, a->n_bounds * sizeof *a->bounds) == 0;
}

static void assert_same(const struct columns *a, const struct columns *b)
{
    assert_int_equal(a->n, b->n);
    for (size_t i = 0; i < a->n; i++) {
        assert_int_equal(a->t[i], b->t[i]);
        if (a->amount)
            assert_true(a->amount[i] == b->amount[i]);
        if (a->last)
            assert_true(a->last[i] == b->last[i] && a->last_ms[i] == b->last_ms[i] &&
                        a->min[i] == b->min[i] && a->max[i] == b->max[i] &&
                        a->sum[i] == b->sum[i] && a->count[i] == b->count[i]);
        if (a->bits) {
            assert_true(a->bits[i] == b->bits[i]);
            assert_int_equal(a->start ? a->start[i] : 0, b->start ? b->start[i] : 0);
            assert_true(same_hist(a->hist ? a->hist[i] : NULL, b->hist ? b->hist[i] : NULL));
        }
        if (a->bucket_at) {
            uint32_t n = a->bucket_at[i + 1] - a->bucket_at[i];
            assert_true(a->sum[i] == b->sum[i]);
            assert_int_equal(n, b->bucket_at[i + 1] - b->bucket_at[i]);
            for (uint32_t k = 0; k < n; k++) {
                assert_int_equal(
                    a->bucket[a->bucket_at[i] + k].key, b->bucket[b->bucket_at[i] + k].key);
                assert_int_equal(
                    a->bucket[a->bucket_at[i] + k].count, b->bucket[b->bucket_at[i] + k].count);
            }
        }
    }
}

/* All that the head has of a series in (from, to]. */
static void read_head(const struct head *head, uint32_t s, int64_t from, int64_t to,
    struct arena *arena, struct columns *out)
{
    struct columns in[64 * 64];
    size_t k = 0;
    for (size_t b = 0; b < head->n_blocks; b++) {
        const struct head_record *r = head_block_find(head->blocks[b], s);
        struct head_part part;
        struct err err;
        size_t n;
        if (!r)
            continue;
        assert_true(head_part_take(head->blocks[b], r, arena, &part));
        assert_true(k + head_part_pieces(&part) <= sizeof in / sizeof *in);
        assert_true(head_part_columns(&part, from, to, arena, in + k, &n, &err));
        k += n;
    }
    *out = (struct columns){.kind = kind_of(s)};
    if (k)
        assert_true(columns_merge(arena, in, k, from, to, out));
}

static void compare(const struct head *head, const struct naive *m, int64_t from, int64_t to)
{
    struct arena arena;
    arena_init(&arena, 0);
    for (uint32_t s = 0; s < SERIES; s++) {
        struct columns expected = {.kind = kind_of(s)}, got;
        if (m->n[s])
            assert_true(columns_merge(&arena, m->cells[s], m->n[s], from, to, &expected));
        read_head(head, s, from, to, &arena, &got);
        assert_same(&expected, &got);
        arena_reset(&arena);
    }
    arena_fini(&arena);
}

/* ---- views ---- */

static bool restore_piece(
    void *ctx, int64_t block, uint32_t series, struct slice piece, struct err *err)
{
    return head_restore(ctx, block, series, piece, err);
}

static void restore(const struct head *head, struct head *out)
{
    struct head_view *view = head_view_new();
    struct err err;
    head_init(out, BLOCK, shape, NULL);
    for (size_t i = 0; i < head->n_blocks; i++)
        head_view_add(view, head->blocks[i]);
    assert_true(head_view_each(view, restore_piece, out, &err));
    assert_int_equal(head_cells(out), head_view_cells(view));
    head_view_free(&view);
}

static void test_random_cells(void **state)
{
    (void)state;
    seed();
    for (int round = 0; round < 4; round++) {
        struct naive m = {0};
        struct head head, again;
        int64_t now = 40000000 + below(1000) * EVERY;
        arena_init(&m.arena, 0);
        head_init(&head, BLOCK, shape, NULL);
        for (int i = 0; i < steps(6000); i++)
            add_random(&head, &m, below(SERIES), &now);
        compare(&head, &m, INT64_MIN, INT64_MAX);
        for (int i = 0; i < 20; i++) {
            int64_t from = now - below(4 * BLOCK);
            compare(&head, &m, from, from + below(2 * BLOCK));
        }
        restore(&head, &again);
        compare(&again, &m, INT64_MIN, INT64_MAX);
        for (int i = 0; i < 500; i++)
            add_random(&again, &m, below(SERIES), &now);
        compare(&again, &m, INT64_MIN, INT64_MAX);
        head_fini(&head);
        head_fini(&again);
        for (uint32_t s = 0; s < SERIES; s++)
            free(m.cells[s]);
        arena_fini(&m.arena);
    }
}

struct damage {
    struct head *to;
    uint64_t refused, taken;
};

/* Restores the piece with one byte changed, or cut: it is refused, or what it gives can be read. */
static bool damage_piece(
    void *ctx, int64_t block, uint32_t series, struct slice piece, struct err *err)
{
    struct damage *d = ctx;
    for (int i = 0; i < 40; i++) {
        struct head head;
        struct arena arena;
        char *copy = xmalloc(piece.len);
        memcpy(copy, piece.ptr, piece.len);
        size_t len = below(3) ? piece.len : below((uint32_t)piece.len);
        if (len)
            copy[below((uint32_t)len)] ^= (char)(1 << below(8));
        head_init(&head, BLOCK, shape, NULL);
        arena_init(&arena, 0);
        if (head_restore(&head, block, series, slice_of(copy, len), err)) {
            struct columns columns;
            d->taken++;
            if (head_block_find(head.blocks[0], series)->chunks ||
                head_block_find(head.blocks[0], series)->tail_n)
                head_block_columns(head.blocks[0], series, &arena, &columns, err);
        } else {
            assert_int_equal(err->code, ERR_CORRUPT);
            d->refused++;
        }
        arena_fini(&arena);
        head_fini(&head);
        free(copy);
    }
    return true;
}

static void test_damaged_pieces(void **state)
{
    (void)state;
    struct naive m = {0};
    struct head head;
    struct err err;
    struct damage damage = {0};
    int64_t now = 40000000;
    seed();
    arena_init(&m.arena, 0);
    head_init(&head, BLOCK, shape, NULL);
    for (int i = 0; i < 3000; i++)
        add_random(&head, &m, below(SERIES), &now);
    struct head_view *view = head_view_new();
    for (size_t i = 0; i < head.n_blocks; i++)
        head_view_add(view, head.blocks[i]);
    assert_true(head_view_each(view, damage_piece, &damage, &err));
    printf("# %llu pieces refused, %llu taken\n", (unsigned long long)damage.refused,
        (unsigned long long)damage.taken);
    assert_true(damage.refused > 0);
    head_view_free(&view);
    head_fini(&head);
    for (uint32_t s = 0; s < SERIES; s++)
        free(m.cells[s]);
    arena_fini(&m.arena);
}

/* What a cell costs where it costs least: regular, small. */
static void test_cells_are_small(void **state)
{
    (void)state;
    struct head head;
    head_init(&head, 2 * 3600000, shape, NULL);
    for (uint32_t i = 0; i < 100; i++)
        for (uint32_t s = 0; s < 50000; s += 5)
            apply_amount(&head, s, (i + 1) * EVERY, 1 + i % 7);
    uint64_t per_series = head_bytes(&head) / 10000;
    printf("# %llu bytes per series of 100 cells\n", (unsigned long long)per_series);
    assert_int_equal(head_cells(&head), 1000000);
    assert_true(per_series < 240);
    head_fini(&head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_cells),
        cmocka_unit_test(test_damaged_pieces),
        cmocka_unit_test(test_cells_are_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
