/* Tallies and the two clocks. */
#include "ingest/partition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "store/store.h"

static void test_stored_form_survives(void **state)
{
    (void)state;
    struct partition in = {0}, out = {0};
    struct buf buf;
    in.tally = (struct tally){.accepted = 1u << 31, .tombstones = 3, .bytes = 1ull << 50};
    for (int i = 1; i < REFUSALS; i++)
        in.tally.refused[i] = (uint64_t)i * 1000;
    marks_init(&in.marks);
    in.marks.print = (struct fingerprint){41, 0x123456789abcdef0};
    in.marks.paused = in.marks.given_up = true;
    marks_hole(&in.marks, 10, 20);
    marks_change(&in.marks, 1700000000000, SLICE("somebody"), "pause");
    buf_init(&buf, 0);
    partition_encode(&in, SLICE("orders"), &buf);
    assert_true(partition_decode(buf_view(&buf), &out));
    assert_memory_equal(&in.tally, &out.tally, sizeof in.tally);
    assert_memory_equal(&in.marks, &out.marks, sizeof in.marks);
    assert_false(partition_decode(slice_of(buf.ptr, 2), &out));
    assert_true(slice_is(partition_stream(buf_view(&buf)), "orders"));
    size_t before = buf.len - 8; /* as it was when the stream was not told */
    for (size_t n = buf.len - 1; n > buf.len - 30; n--)
        assert_int_equal(partition_decode(slice_of(buf.ptr, n), &out), n == before);
    assert_int_equal(partition_stream(slice_of(buf.ptr, before)).len, 0);
    buf_fini(&buf);
}

/* What an earlier version has stored: counts alone, and what a later one may add. */
static void test_other_versions_are_read(void **state)
{
    (void)state;
    struct partition out = {0};
    struct buf buf;
    buf_init(&buf, 0);
    for (int i = 0; i < 3 + REFUSALS - 1; i++)
        buf_varint(&buf, 7);
    assert_true(partition_decode(buf_view(&buf), &out));
    assert_int_equal(out.tally.accepted, 7);
    assert_int_equal(out.marks.print.offset, -1);
    buf_varint(&buf, 1); /* duplicates, conflicts */
    buf_varint(&buf, 2);
    buf_varint(&buf, 99);
    buf_lstr(&buf, SLICE("something new"));
    assert_true(partition_decode(buf_view(&buf), &out));
    assert_int_equal(out.tally.conflicts, 2);
    assert_int_equal(out.marks.print.offset, -1);
    buf_fini(&buf);
}

static void test_marks_are_bounded(void **state)
{
    (void)state;
    struct partition p = {0}, out = {0};
    struct buf buf;
    char long_name[200];
    memset(long_name, 'n', sizeof long_name);
    marks_init(&p.marks);
    marks_change(&p.marks, 1, SLICE("a\nb\x1b[m"), "x");
    assert_string_equal(p.marks.changes[0].who, "a?b?[m");
    marks_init(&p.marks);
    marks_hole(&p.marks, 5, 5); /* none */
    for (int i = 0; i < 100; i++) {
        marks_hole(&p.marks, INT64_MAX - 1000 + i, INT64_MAX - 990 + i);
        marks_change(&p.marks, INT64_MAX, slice_of(long_name, sizeof long_name),
            "what was done, at length, "
            "and said in more words than there is room for, so that the last of them are cut");
    }
    assert_int_equal(p.marks.n_holes, 100);
    assert_int_equal(p.marks.lost, 1000);
    assert_int_equal(marks_holes_kept(&p.marks), HOLES_KEPT);
    assert_int_equal(p.marks.holes[0].from, INT64_MAX - 1000 + 99);
    memset(&p.tally, 0xff, sizeof p.tally);
    buf_init(&buf, SOURCE_STATE_MAX);
    partition_encode(&p, SLICE("orders"), &buf);
    assert_false(buf.failed);
    assert_true(partition_decode(buf_view(&buf), &out));
    assert_memory_equal(&p.marks, &out.marks, sizeof p.marks);
    buf_fini(&buf);
}

static void test_fingerprints_differ(void **state)
{
    (void)state;
    struct slice none = {NULL, 0}, empty = SLICE(""), a = SLICE("a"), b = SLICE("b");
    const struct fingerprint all[] = {fingerprint_of(1, a, b, 5), fingerprint_of(1, b, a, 5),
        fingerprint_of(1, none, b, 5), fingerprint_of(1, empty, b, 5),
        fingerprint_of(1, a, none, 5), fingerprint_of(1, a, empty, 5), fingerprint_of(1, a, b, 6)};
    size_t n = sizeof all / sizeof *all;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++)
            assert_true(all[i].hash != all[k].hash);
    assert_true(fingerprint_of(2, a, b, 5).hash == all[0].hash);
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
        cmocka_unit_test(test_stored_form_survives),
        cmocka_unit_test(test_other_versions_are_read),
        cmocka_unit_test(test_marks_are_bounded),
        cmocka_unit_test(test_fingerprints_differ),
        cmocka_unit_test(test_clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
