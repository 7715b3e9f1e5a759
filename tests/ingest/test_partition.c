/* Tallies and the two clocks. */
#include "ingest/partition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_tally_survives(void **state)
{
    (void)state;
    struct tally in = {.accepted = 1u << 31, .tombstones = 3, .bytes = 1ull << 50}, out;
    struct buf buf;
    for (int i = 1; i < REFUSALS; i++)
        in.refused[i] = (uint64_t)i * 1000;
    buf_init(&buf, 0);
    tally_encode(&in, &buf);
    assert_true(tally_decode(buf_view(&buf), &out));
    assert_memory_equal(&in, &out, sizeof in);
    assert_false(tally_decode(slice_of(buf.ptr, 2), &out));
    buf_fini(&buf);
}

#define NONE INT64_MIN

struct clocks_case {
    struct partition a, b;
    int64_t frontier, watermark;
};

static void test_clocks(void **state)
{
    (void)state;
    const int64_t now = 100000, bound = 1000, idle = 30000;
    const struct clocks_case cases[] = {
        /* Both behind: the slower one holds both. */
        {{.newest_ms = 5000, .quiet_ms = now}, {.newest_ms = 8000, .quiet_ms = now}, 5000, 4000},
        /* One at its end, with recent events: it holds the watermark, not the frontier. */
        {{.newest_ms = 5000, .quiet_ms = now, .caught_up = true, .caught_up_ms = 99000},
            {.newest_ms = 80000, .quiet_ms = now}, 80000, 4000},
        /* At its end and quiet: idle, it holds nothing. */
        {{.newest_ms = 5000, .quiet_ms = 0, .caught_up = true, .caught_up_ms = 99000},
            {.newest_ms = 80000, .quiet_ms = now}, 80000, 79000},
        /* Quiet, but not at its end: it is slow, not idle. */
        {{.newest_ms = 5000, .quiet_ms = 0}, {.newest_ms = 80000, .quiet_ms = now}, 5000, 4000},
        /* All idle. */
        {{.newest_ms = 5000, .quiet_ms = 0, .caught_up = true, .caught_up_ms = 99000},
            {.newest_ms = NONE, .quiet_ms = 0, .caught_up = true, .caught_up_ms = 99500}, 99000,
            98000},
        /* Stopped for long after it was last heard: what came meanwhile is not known. */
        {{.newest_ms = 5000, .quiet_ms = 10000, .caught_up = true, .caught_up_ms = 20000},
            {.newest_ms = 80000, .quiet_ms = now}, 20000, 4000},
        /* Nothing read of a partition that has something. */
        {{.newest_ms = NONE, .quiet_ms = now}, {.newest_ms = 80000, .quiet_ms = now}, NONE, NONE},
        /* Halted: nobody knows what it would say. */
        {{.newest_ms = 5000,
             .quiet_ms = 0,
             .caught_up = true,
             .caught_up_ms = 99000,
             .halted = true},
            {.newest_ms = 80000, .quiet_ms = now}, 5000, 4000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct partition *p[2] = {&cases[i].a, &cases[i].b};
        int64_t frontier, watermark;
        for (int swap = 0; swap < 2; swap++) {
            partitions_clocks(p, 2, bound, idle, &frontier, &watermark);
            assert_int_equal(frontier, cases[i].frontier);
            assert_int_equal(watermark, cases[i].watermark);
            p[0] = &cases[i].b;
            p[1] = &cases[i].a;
        }
    }
    int64_t frontier, watermark;
    partitions_clocks(NULL, 0, bound, idle, &frontier, &watermark);
    assert_int_equal(frontier, NONE);
    assert_int_equal(watermark, NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tally_survives),
        cmocka_unit_test(test_clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
