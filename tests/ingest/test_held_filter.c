/*
 * The filter over held generations against a model: no id is ever denied in its generation, however
 * it grows and whichever generations go; absent ones mostly are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ingest/held_filter.h"

#define PER_GENERATION 30000
#define ABSENT         100000

static struct hash128 id_of(uint64_t generation, uint64_t number)
{
    uint64_t key[2] = {generation, number};
    return hash128(key, sizeof key);
}

static void add_generation(struct held_filter *f, int64_t generation)
{
    held_filter_begin(f, generation);
    uint32_t column = held_filter_column(f, generation);
    assert_int_not_equal(column, 0);
    for (uint64_t i = 0; i < PER_GENERATION; i++) {
        held_filter_add(f, id_of((uint64_t)generation, i), column);
        if (i % 5000 == 0)
            held_filter_grow(f);
    }
}

static void check_generation(const struct held_filter *f, int64_t generation)
{
    uint32_t column = held_filter_column(f, generation);
    assert_int_not_equal(column, 0);
    for (uint64_t i = 0; i < PER_GENERATION; i++)
        if (!(held_filter_may_have(f, id_of((uint64_t)generation, i)) & column))
            fail_msg("id %d of generation %d is denied", (int)i, (int)generation);
}

/* Generations that absent ids are taken for possible in, all together. */
static size_t false_alarms(const struct held_filter *f)
{
    size_t n = 0;
    for (uint64_t i = 0; i < ABSENT; i++)
        n += (size_t)__builtin_popcount(held_filter_may_have(f, id_of(UINT64_MAX, i)));
    return n;
}

static void test_generations_come_and_go(void **state)
{
    size_t left = 8 << 20;
    struct held_filter *f = held_filter_new(&left);
    (void)state;
    for (int64_t g = 100; g < 160; g++) {
        held_filter_drop(f, g - 24);
        add_generation(f, g);
        assert_int_equal(held_filter_column(f, g - 25), 0);
        for (int64_t k = g - 24 < 100 ? 100 : g - 24; k <= g; k += 6)
            check_generation(f, k);
    }
    /* 25 generations, one id in 18 in each. */
    assert_in_range(false_alarms(f), 1, ABSENT * 25 / 18);
    held_filter_drop(f, INT64_MAX);
    assert_int_equal(false_alarms(f), 0);
    held_filter_free(&f);
}

static void test_bounds(void **state)
{
    size_t left = 0;
    struct held_filter *f = held_filter_new(&left);
    (void)state;
    add_generation(f, 1); /* in one line */
    check_generation(f, 1);
    for (int64_t g = 2; g <= HELD_COLUMNS; g++)
        held_filter_begin(f, g);
    held_filter_begin(f, 99);
    assert_int_equal(held_filter_column(f, 99), 0); /* none is left */
    held_filter_drop(f, 3);
    held_filter_begin(f, 99);
    assert_int_not_equal(held_filter_column(f, 99), 0);
    held_filter_begin(f, 99);
    held_filter_begin(f, 100);
    assert_int_not_equal(held_filter_column(f, 100), held_filter_column(f, 99));
    held_filter_free(&f);
    left = 1000000;
    f = held_filter_new(&left);
    add_generation(f, 1);
    check_generation(f, 1);
    assert_true(left < 1000000);
    held_filter_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_generations_come_and_go),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
