/* How late events are: which bound they fall under, and records of any time. */
#include "ingest/lateness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_bounds(void **state)
{
    (void)state;
    struct lateness l = {0};
    lateness_add(&l, 5000, 5000);
    lateness_add(&l, 4000, 5000);
    lateness_add(&l, 5001, 5000);
    lateness_add(&l, 5100, 5000);
    lateness_add(&l, 86405001, 5000);
    assert_true(l.counts[0] == 2 && l.counts[1] == 2 && l.counts[LATENESS_BOUNDS] == 1);
    assert_true(l.sum_s > 86399.0 && l.sum_s < 86401.0);
}

static void test_any_time(void **state)
{
    (void)state;
    struct lateness l = {0};
    lateness_add(&l, INT64_MAX, INT64_MIN);
    lateness_add(&l, INT64_MIN, INT64_MAX);
    assert_true(l.counts[0] == 1 && l.counts[LATENESS_BOUNDS] == 1);
    assert_true(l.sum_s > -1.0 && l.sum_s < 1.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
