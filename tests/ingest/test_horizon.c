/*
 * Up to where ids and lives are forgotten, of four streams and two lifecycles.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ingest/horizon.h"
#include "ingest/lifecycle/lifecycle.h"

#define NONE INT64_MIN
#define DAY  INT64_C(86400000)

/* 0 and 1 share a lifecycle, and 1 and 2; 3 is alone. */
static void check(const int64_t complete[4], const int64_t newest[4], const int64_t want[4])
{
    const struct stream streams[4] = {{.watermark_bound_ms = 10}, {.watermark_bound_ms = 10},
        {.watermark_bound_ms = 7 * DAY}, {.watermark_bound_ms = 10}};
    struct lifecycle lifecycles[2] = {{.rules.n_stages = 2}, {.rules.n_stages = 2}};
    lifecycles[0].stages[0].stream = 0;
    lifecycles[0].stages[1].stream = 1;
    lifecycles[1].stages[0].stream = 2;
    lifecycles[1].stages[1].stream = 1;
    const struct streams all = {
        .streams = streams, .n_streams = 4, .lifecycles = lifecycles, .n_lifecycles = 2};
    int64_t out[4];
    horizons(&all, complete, newest, out);
    for (int i = 0; i < 4; i++)
        assert_int_equal(out[i], want[i]);
}

static void test_horizons(void **state)
{
    (void)state;
    const int64_t now = 1000 * DAY, old = 10 * DAY;
    /* Nothing was read: nothing is forgotten, however complete it is. */
    check((int64_t[]){now, now, now, now}, (int64_t[]){NONE, NONE, NONE, NONE},
        (int64_t[]){NONE, NONE, NONE, NONE});
    /* Idle streams say what their events say; a silent one what those of its lifecycles say. */
    check((int64_t[]){now, now, now, now}, (int64_t[]){old, NONE, NONE, old + 5},
        (int64_t[]){old - 10, old - 10, old - 10, old - 5});
    /* One that is read, or not known yet, holds its own. */
    check((int64_t[]){now, old - DAY, NONE, now}, (int64_t[]){old, old - DAY, NONE, NONE},
        (int64_t[]){old - 10, old - DAY, NONE, NONE});
    /* What may come early in one is no time of the others. */
    check((int64_t[]){now, now, now, now}, (int64_t[]){old, old, old + 7 * DAY, NONE},
        (int64_t[]){old, old, old, NONE});
    check((int64_t[]){now, now, now, now}, (int64_t[]){NONE, NONE, INT64_MIN + 5, INT64_MIN + 5},
        (int64_t[]){NONE, NONE, NONE, NONE});
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_horizons)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
