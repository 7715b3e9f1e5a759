/* Which partition comes next: in event time while they catch up, in turn otherwise. */
#include "ingest/source/lanes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MINUTE INT64_C(60000)
#define LANES  64

/* A record is its event time; its bytes are 100. */
#define BYTES 100

static size_t freed;

static void free_record(void *record)
{
    free(record);
    freed++;
}

struct fixture {
    struct lanes *lanes;
    struct partition partitions[LANES];
    struct lane *lane[LANES];
    int64_t now_ms;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->lanes = lanes_new(free_record);
    f->now_ms = 1000000000;
    for (int i = 0; i < LANES; i++) {
        f->partitions[i].newest_ms = INT64_MIN;
        f->partitions[i].reading = true;
        f->lane[i] = lanes_add(f->lanes, &f->partitions[i]);
    }
    freed = 0;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    lanes_free(&f->lanes);
    assert_null(f->lanes);
    free(f);
    return 0;
}

static void push(struct fixture *f, int i, int64_t time_ms)
{
    int64_t *record = malloc(sizeof *record);
    *record = time_ms;
    lane_push(f->lanes, f->lane[i], record, BYTES);
}

static void nobody_else(struct fixture *f, int first)
{
    for (int i = first; i < LANES; i++)
        f->partitions[i].at_end_ms = lanes_now_ms(f->lanes);
}

/* Second by second: what comes at once is not counted whole. */
static void pass(struct fixture *f, int64_t ms)
{
    for (; ms > 0; ms -= 1000) {
        f->now_ms += ms < 1000 ? ms : 1000;
        lanes_begin(f->lanes, f->now_ms);
    }
}

/* Takes n records, of which the newest is the partition's then. */
static void take(struct fixture *f, struct lane *lane, size_t n)
{
    struct partition *p = lane_partition(lane);
    while (n-- > 0) {
        int64_t *record = lane_pop(f->lanes, lane, BYTES);
        assert_non_null(record);
        if (*record > p->newest_ms)
            p->newest_ms = *record;
        free(record);
    }
}

static void test_keeps_the_order_of_one(void **state)
{
    struct fixture *f = *state;
    size_t n;
    for (int i = 0; i < 1000; i++)
        push(f, 0, i);
    assert_int_equal(lanes_records(f->lanes), 1000);
    assert_int_equal(lanes_bytes(f->lanes), 1000 * BYTES);
    nobody_else(f, 0);
    lanes_begin(f->lanes, f->now_ms);
    assert_false(lanes_held(f->lanes));
    assert_true(lanes_next(f->lanes, 5000, &n) == f->lane[0]);
    assert_int_equal(n, 1000);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(*(const int64_t *)lane_peek(f->lane[0]), i);
        take(f, f->lane[0], 1);
        if (i % 3 == 0) /* the ring goes round */
            push(f, 0, 1000 + i / 3);
    }
    assert_null(lanes_next(f->lanes, 5000, &n));
    assert_int_equal(lane_records(f->lane[0]), 334);
    lane_drop(f->lanes, f->lane[0]);
    assert_int_equal(freed, 334);
    assert_int_equal(lanes_bytes(f->lanes), 0);
}

static void test_all_have_their_turn_when_nobody_holds(void **state)
{
    struct fixture *f = *state;
    size_t n;
    nobody_else(f, 0);
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 10; k++)
            push(f, i, k);
    lanes_begin(f->lanes, f->now_ms);
    assert_true(lanes_next(f->lanes, 4, &n) == f->lane[0] && n == 4);
    lanes_begin(f->lanes, f->now_ms);
    assert_true(lanes_next(f->lanes, 4, &n) == f->lane[1] && n == 4);
    assert_true(lanes_next(f->lanes, 100, &n) == f->lane[2] && n == 10);
    assert_true(lanes_next(f->lanes, 100, &n) == f->lane[0] && n == 10);
    assert_null(lanes_next(f->lanes, 100, &n));
}

static void test_the_lowest_comes_first_and_holds(void **state)
{
    struct fixture *f = *state;
    size_t n;
    nobody_else(f, 3);
    f->partitions[0].newest_ms = 100 * MINUTE;
    f->partitions[1].newest_ms = 101 * MINUTE;
    f->partitions[2].newest_ms = 115 * MINUTE;
    push(f, 0, 100 * MINUTE);
    push(f, 1, 101 * MINUTE);
    push(f, 2, 115 * MINUTE);
    lanes_begin(f->lanes, f->now_ms);
    assert_true(lanes_held(f->lanes));
    assert_true(lanes_next(f->lanes, 100, &n) == f->lane[0]);
    assert_true(lanes_next(f->lanes, 100, &n) == f->lane[1]);
    assert_null(lanes_next(f->lanes, 100, &n)); /* with its slice it would be too far ahead */
    assert_true(lanes_furthest(f->lanes) == f->lane[2]);
    /* What holds need not have anything that waits. */
    take(f, f->lane[0], 1);
    lanes_begin(f->lanes, f->now_ms);
    assert_true(lanes_next(f->lanes, 100, &n) == f->lane[1]);
    assert_null(lanes_next(f->lanes, 100, &n));
    assert_true(lanes_may_go(f->lanes, f->lane[1], 0));
    assert_false(lanes_may_go(f->lanes, f->lane[2], 0));
}

/* A partition that stands still, is at its end, or of which nothing was ever heard holds nobody for
 * long. */
static void test_who_does_not_come_on_holds_nobody(void **state)
{
    struct fixture *f = *state;
    size_t n;
    nobody_else(f, 2);
    f->partitions[0].newest_ms = 100 * MINUTE;
    f->partitions[1].newest_ms = 200 * MINUTE;
    push(f, 1, 201 * MINUTE);
    lanes_begin(f->lanes, f->now_ms);
    assert_null(lanes_next(f->lanes, 100, &n));
    pass(f, 9999);
    nobody_else(f, 2);
    lanes_begin(f->lanes, f->now_ms);
    assert_null(lanes_next(f->lanes, 100, &n));
    pass(f, 1);
    assert_true(lanes_next(f->lanes, 100, &n) == f->lane[1]);
    /* It comes on again. */
    f->partitions[0].newest_ms++;
    pass(f, 1);
    assert_null(lanes_next(f->lanes, 100, &n));
    f->partitions[0].at_end_ms = lanes_now_ms(f->lanes);
    pass(f, 1);
    assert_true(lanes_next(f->lanes, 100, &n) == f->lane[1]);
    /* Given back to the broker it holds; taken away for another reason it does not. */
    f->partitions[0].at_end_ms = 0;
    f->partitions[0].reading = false;
    f->partitions[0].suspended = true;
    pass(f, 1);
    assert_null(lanes_next(f->lanes, 100, &n));
    f->partitions[0].suspended = false;
    pass(f, 1);
    assert_true(lanes_next(f->lanes, 100, &n) == f->lane[1]);
}

/* While the ingestion stands still nobody can come on, and a clock that is set says nothing. */
static void test_time_that_nobody_looks_at_does_not_count(void **state)
{
    static const int64_t jumps[] = {60 * MINUTE, -24 * 60 * MINUTE, 48 * 60 * MINUTE};
    struct fixture *f = *state;
    size_t n;
    f->partitions[0].newest_ms = 100 * MINUTE;
    f->partitions[1].newest_ms = 200 * MINUTE;
    push(f, 1, 201 * MINUTE);
    lanes_begin(f->lanes, f->now_ms);
    for (size_t i = 0; i < sizeof jumps / sizeof *jumps; i++) {
        f->now_ms += jumps[i];
        nobody_else(f, 2);
        lanes_begin(f->lanes, f->now_ms);
        assert_null(lanes_next(f->lanes, 100, &n));
    }
    pass(f, 10000);
    assert_true(lanes_next(f->lanes, 100, &n) == f->lane[1]);
}

static void test_an_unknown_one_is_waited_for(void **state)
{
    struct fixture *f = *state;
    size_t n;
    nobody_else(f, 2);
    f->partitions[1].newest_ms = 100 * MINUTE;
    push(f, 1, 100 * MINUTE);
    lanes_begin(f->lanes, f->now_ms);
    assert_null(lanes_next(f->lanes, 100, &n));
    push(f, 0, 90 * MINUTE);
    lanes_begin(f->lanes, f->now_ms + 1);
    assert_true(lanes_next(f->lanes, 100, &n) == f->lane[0]);
    lanes_begin(f->lanes, f->now_ms + 1000); /* long enough */
    assert_true(lanes_next(f->lanes, 100, &n) == f->lane[0]);
    assert_true(lanes_next(f->lanes, 100, &n) == f->lane[1]);
}

/*
 * 24 hours of history, sparse in some partitions and dense in others, that come at uneven speeds:
 * the sources of a broker that answers slowly. However they come, nobody is taken further ahead
 * than is promised.
 */
struct history {
    int64_t gap_ms[LANES], next_ms[LANES];
    int speed[LANES]; /* records that come with each round, at most */
};

#define DAY (24 * 60 * MINUTE)

static void arrive(struct fixture *f, struct history *h, size_t room)
{
    for (int i = 0; i < LANES; i++)
        for (int k = 0; k < h->speed[i] && h->next_ms[i] < DAY && lane_records(f->lane[i]) < room;
             k++) {
            push(f, i, h->next_ms[i]);
            h->next_ms[i] += h->gap_ms[i];
        }
}

static int64_t spread(const struct fixture *f, const struct history *h)
{
    int64_t low = INT64_MAX, high = 0;
    for (int i = 0; i < LANES; i++) {
        int64_t newest = f->partitions[i].newest_ms;
        if (newest > high)
            high = newest;
        if (newest < low && (lane_records(f->lane[i]) || h->next_ms[i] < DAY))
            low = newest;
    }
    return high > low && low != INT64_MIN ? high - low : 0;
}

static void test_a_day_at_uneven_speeds(void **state)
{
    struct fixture *f = *state;
    struct history h;
    struct lane *lane;
    int64_t worst = 0;
    size_t n, taken = 0, total = 0;
    unsigned seed = 7;
    for (int i = 0; i < LANES; i++) {
        seed = seed * 1103515245 + 12345;
        h.gap_ms[i] = i == 5 ? 5 * MINUTE : 1000 + seed % 60000;
        h.next_ms[i] = seed % h.gap_ms[i];
        h.speed[i] = 1 + (int)(seed >> 8) % 200;
        total += (size_t)((DAY - 1 - h.next_ms[i]) / h.gap_ms[i] + 1);
    }
    for (int round = 0; round < 200000 && taken < total; round++) {
        f->now_ms++;
        arrive(f, &h, 5000);
        for (int i = 0; i < LANES; i++)
            if (h.next_ms[i] >= DAY && !lane_records(f->lane[i]))
                f->partitions[i].at_end_ms = lanes_now_ms(f->lanes);
        lanes_begin(f->lanes, f->now_ms);
        size_t left = 2000;
        while (left && (lane = lanes_next(f->lanes, left, &n))) {
            take(f, lane, n);
            left -= n;
            taken += n;
        }
        int64_t now = spread(f, &h);
        worst = now > worst ? now : worst;
    }
    assert_int_equal(taken, total);
    print_message(
        "%zu records, furthest ahead: %.1f minutes\n", total, (double)worst / (double)MINUTE);
    assert_true(worst <= LANES_AHEAD_MS);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_keeps_the_order_of_one),
        TEST(test_all_have_their_turn_when_nobody_holds),
        TEST(test_the_lowest_comes_first_and_holds),
        TEST(test_who_does_not_come_on_holds_nobody),
        TEST(test_time_that_nobody_looks_at_does_not_count),
        TEST(test_an_unknown_one_is_waited_for),
        TEST(test_a_day_at_uneven_speeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
