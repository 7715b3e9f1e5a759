/* Merging columns: many at once, against one after the other. */
#include "store/columns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LANES 1000
#define TIMES 500

static uint64_t rng = 88172645463325252u;

static uint32_t below(uint32_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)(rng >> 33) % n;
}

/* Up to four cells, which often cancel others. */
static void make(struct arena *arena, enum kind kind, struct columns *c)
{
    size_t n = below(5);
    int64_t t = 0;
    assert_true(columns_alloc(arena, kind, n, 2 * n, false, c));
    for (size_t i = 0; i < n; i++) {
        int64_t v = (int64_t)below(5) - 2;
        c->t[i] = t += 1 + below(TIMES / 4);
        if (c->amount)
            c->amount[i] = v;
        if (c->bits)
            c->bits[i] = below(1000);
        if (kind == KIND_GAUGE) {
            c->last[i] = c->min[i] = c->max[i] = v;
            c->last_ms[i] = c->t[i] - below(3);
            c->count[i] = 1;
            c->sum[i] = v;
        }
        if (!c->bucket_at)
            continue;
        uint32_t at = c->bucket_at[i];
        c->sum[i] = v;
        for (int32_t key = 0; key < 2; key++)
            if (v)
                c->bucket[at++] = (struct hist_bucket){key + (int32_t)(v / 2), v};
        c->bucket_at[i + 1] = at;
    }
}

static void check_array(const void *a, const void *b, size_t n, size_t size)
{
    assert_int_equal(a != NULL, b != NULL);
    if (a && n)
        assert_memory_equal(a, b, n * size);
}

static void check_same(const struct columns *a, const struct columns *b)
{
    assert_int_equal(a->n, b->n);
    assert_true(a->n > TIMES / 4);
    check_array(a->t, b->t, a->n, sizeof *a->t);
    check_array(a->amount, b->amount, a->n, sizeof *a->amount);
    check_array(a->last, b->last, a->n, sizeof *a->last);
    check_array(a->last_ms, b->last_ms, a->n, sizeof *a->last_ms);
    check_array(a->min, b->min, a->n, sizeof *a->min);
    check_array(a->max, b->max, a->n, sizeof *a->max);
    check_array(a->count, b->count, a->n, sizeof *a->count);
    check_array(a->sum, b->sum, a->n, sizeof *a->sum);
    check_array(a->bits, b->bits, a->n, sizeof *a->bits);
    check_array(a->bucket_at, b->bucket_at, a->n + 1, sizeof *a->bucket_at);
    for (uint32_t i = 0; a->bucket_at && i < a->bucket_at[a->n]; i++) {
        assert_int_equal(a->bucket[i].key, b->bucket[i].key);
        assert_int_equal(a->bucket[i].count, b->bucket[i].count);
    }
}

static void test_many_lanes(void **state)
{
    (void)state;
    for (int kind = KIND_COUNTER; kind <= KIND_SAMPLE; kind++) {
        static struct columns lanes[LANES];
        struct columns all, one[2];
        struct arena arena;
        arena_init(&arena, 0);
        for (int i = 0; i < LANES; i++)
            make(&arena, (enum kind)kind, &lanes[i]);
        one[0] = lanes[0];
        for (int i = 1; i < LANES; i++) {
            struct columns more;
            one[1] = lanes[i];
            assert_true(columns_merge(&arena, one, 2, 10, TIMES - 10, &more));
            one[0] = more;
        }
        assert_true(columns_merge(&arena, lanes, LANES, 10, TIMES - 10, &all));
        check_same(&one[0], &all);
        arena_fini(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_many_lanes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
