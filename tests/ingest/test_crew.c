/* A crew: every item is done once, by whoever is free; something beside the jobs holds up none. */
#include "ingest/crew.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"

#define ITEMS 10000

static struct {
    atomic_int done[ITEMS];
    atomic_int asides;
    atomic_bool goes_on;
} seen;

static void count(void *ctx, size_t member, size_t from, size_t to)
{
    (void)member;
    assert_ptr_equal(ctx, &seen);
    for (size_t i = from; i < to; i++)
        atomic_fetch_add(&seen.done[i], 1);
}

static void run_and_check(struct crew *crew)
{
    for (size_t i = 0; i < ITEMS; i++)
        atomic_store(&seen.done[i], 0);
    crew_run(crew, ITEMS, 7, count, &seen);
    for (size_t i = 0; i < ITEMS; i++)
        assert_int_equal(atomic_load(&seen.done[i]), 1);
}

/* Lasts until it is told to end. */
static void last(void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&seen.asides, 1);
    while (!atomic_load(&seen.goes_on))
        clock_sleep_ms(1);
}

static void await_asides(int n)
{
    while (atomic_load(&seen.asides) < n)
        clock_sleep_ms(1);
}

static void test_jobs(void **state)
{
    (void)state;
    for (size_t members = 1; members <= 4; members++) {
        struct crew *crew = crew_new(members);
        for (int i = 0; i < 20; i++)
            run_and_check(crew);
        crew_free(&crew);
    }
}

static void test_aside(void **state)
{
    (void)state;
    struct crew *crew = crew_new(2);
    atomic_store(&seen.asides, 0);
    atomic_store(&seen.goes_on, false);
    crew_aside(crew, last, NULL);
    await_asides(1);
    run_and_check(crew); /* the only other member is not there */
    crew_aside(crew, last, NULL);
    crew_aside(crew, last, NULL); /* once, with the one before */
    assert_int_equal(atomic_load(&seen.asides), 1);
    atomic_store(&seen.goes_on, true);
    await_asides(2);
    run_and_check(crew);
    crew_free(&crew);
    assert_int_equal(atomic_load(&seen.asides), 2);
}

static void test_alone(void **state)
{
    (void)state;
    struct crew *crew = crew_new(1);
    atomic_store(&seen.asides, 0);
    atomic_store(&seen.goes_on, true);
    crew_aside(crew, last, NULL);
    assert_int_equal(atomic_load(&seen.asides), 1);
    crew_free(&crew);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jobs),
        cmocka_unit_test(test_aside),
        cmocka_unit_test(test_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
