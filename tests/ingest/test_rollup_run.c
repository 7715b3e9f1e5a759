/* Events to cells: windows, label sets, all three kinds, and refusal of what does not fit. */
#include "ingest/rollup_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ingest/json_event.h"
#include "store/bounds.h"
#include "store/read.h"
#include "tests/ingest/support/rollup_event.h"
#include "tests/ingest/orders_stream.h"

struct fixture {
    struct orders orders;
    struct store *store;
    struct rollup_runner *runner;
    struct json_decoder *decoder;
    struct arena arena;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct store_options options = {0};
    struct err err = {0};
    orders_init(&f->orders, "orders");
    arena_init(&f->arena, 0);
    assert_true(store_open(&options, &f->store, &err));
    f->runner = rollup_runner_new(&f->orders.streams);
    f->decoder = json_decoder_new(&f->orders.stream.contract);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    rollup_runner_free(&f->runner);
    json_decoder_free(&f->decoder);
    store_close(&f->store);
    orders_fini(&f->orders);
    arena_fini(&f->arena);
    free(f);
    return 0;
}

static enum refusal feed(struct fixture *f, const char *json)
{
    struct event event;
    assert_int_equal(
        json_decode(f->decoder, slice_from(json), &f->arena, &event, NULL), REFUSED_NOT);
    return rollup_event(f->runner, 0, &event);
}

static void commit(struct fixture *f)
{
    struct err err = {0};
    struct txn *txn = txn_begin(f->store);
    assert_true(rollup_runner_write(f->runner, txn, &err));
    assert_true(txn_commit(&txn, NULL, &err));
    rollup_runner_clear(f->runner);
}

static struct columns read_one(
    struct fixture *f, const char *name, const char *market, const char *stage)
{
    struct matcher m[3] = {{MATCH_EQUAL, SLICE("__name__"), slice_from(name), NULL},
        {MATCH_EQUAL, SLICE("market"), slice_from(market), NULL},
        {MATCH_EQUAL, SLICE("stage"), slice_from(stage), NULL}};
    struct snapshot *s = snapshot_get(f->store);
    struct plan *plan;
    struct columns c;
    struct err err = {0};
    assert_true(plan_new(s, NULL, m, 3, NULL, &plan, &err));
    assert_int_equal(plan_n(plan), 1);
    plan_range(plan, 0, INT64_MIN, INT64_MAX);
    assert_true(snapshot_fetch(s, NULL, NULL, &err));
    assert_true(plan_columns(plan, 0, &f->arena, &c, &err));
    snapshot_put(&s);
    return c;
}

static void test_windows_are_left_open(void **state)
{
    (void)state;
    assert_int_equal(window_end(1, 5000), 5000);
    assert_int_equal(window_end(5000, 5000), 5000);
    assert_int_equal(window_end(5001, 5000), 10000);
    assert_int_equal(window_end(0, 5000), 0);
    assert_int_equal(window_end(-1, 5000), 0);
    assert_int_equal(window_end(-5000, 5000), -5000);
    assert_int_equal(window_end(-5001, 5000), -5000);
}

static void test_kinds(void **state)
{
    struct fixture *f = *state;
    for (int round = 0; round < 2; round++) {
        assert_int_equal(feed(f, "{\"event_id\":\"1\",\"type\":\"placed\",\"occurred_at\":5000,"
                                 "\"market\":\"berlin\",\"amount\":10.25}"),
            0);
        assert_int_equal(feed(f, "{\"event_id\":\"2\",\"type\":\"placed\",\"occurred_at\":12000,"
                                 "\"market\":\"berlin\",\"amount\":7}"),
            0);
        assert_int_equal(feed(f, "{\"event_id\":\"3\",\"type\":\"placed\",\"occurred_at\":4000,"
                                 "\"market\":\"berlin\",\"amount\":99.99}"),
            0);
        assert_int_equal(feed(f, "{\"event_id\":\"4\",\"type\":\"delivered\",\"occurred_at\":4000,"
                                 "\"promised_at\":2500,\"market\":\"berlin\"}"),
            0);
        assert_int_equal(feed(f, "{\"event_id\":\"5\",\"type\":\"delivered\",\"occurred_at\":4000,"
                                 "\"promised_at\":4100,\"market\":\"berlin\"}"),
            0);
        assert_int_equal(feed(f, "{\"event_id\":\"6\",\"type\":\"delivered\",\"occurred_at\":4000,"
                                 "\"market\":\"berlin\"}"),
            0);
        commit(f);
        assert_int_equal(rollup_runner_cells(f->runner), 0);
    }
    struct columns c = read_one(f, "orders_total", "berlin", "placed");
    assert_int_equal(c.n, 2);
    assert_int_equal(c.t[0], 5000);
    assert_int_equal(c.amount[0], 4);
    assert_int_equal(c.t[1], 15000);
    assert_int_equal(c.amount[1], 2);
    c = read_one(f, "orders_total", "berlin", "delivered");
    assert_int_equal(c.amount[0], 6);
    c = read_one(f, "eta_error_seconds", "berlin", "");
    assert_int_equal(c.n, 1);
    assert_int_equal(c.sum[0], 2 * (1500 - 100));
    assert_int_equal(columns_buckets(&c), 2);
    assert_int_equal(c.bucket[0].key, HIST_NEGATIVE(hist_bucket_key(100, 3, 5)));
    assert_int_equal(c.bucket[0].count, 2);
    assert_int_equal(c.bucket[1].key, hist_bucket_key(1500, 3, 5));
    c = read_one(f, "order_amount_last", "berlin", "");
    assert_int_equal(c.n, 2);
    assert_int_equal(c.last[0], 1025);
    assert_int_equal(c.last_ms[0], 5000);
    assert_int_equal(c.max[0], 9999);
    assert_int_equal(c.count[0], 4);
}

/* A value that does not fit 64 bits refuses the event in every rollup. */
static void test_range_counts_nowhere(void **state)
{
    struct fixture *f = *state;
    f->orders.rollups[2].value = orders_expr(&f->orders, "amount * 100000000000000000", false);
    assert_int_equal(feed(f, "{\"event_id\":\"1\",\"type\":\"placed\",\"occurred_at\":5000,"
                             "\"market\":\"berlin\",\"amount\":1000000}"),
        REFUSED_RANGE);
    assert_int_equal(rollup_runner_cells(f->runner), 0);
}

/* The window of an event at either end of time would not fit the store. */
static void test_times_out_of_bounds(void **state)
{
    struct fixture *f = *state;
    static const int64_t times[] = {
        INT64_MIN, -TIME_BOUND_MS, TIME_BOUND_MS - 1, TIME_BOUND_MS, INT64_MAX};
    struct event event;
    const char *json = "{\"event_id\":\"1\",\"type\":\"placed\",\"occurred_at\":5000,\"market\":"
                       "\"berlin\"}";
    assert_int_equal(json_decode(f->decoder, slice_from(json), &f->arena, &event, NULL), 0);
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        event.time_ms = times[i];
        assert_int_equal(rollup_event(f->runner, 0, &event), REFUSED_RANGE);
    }
    assert_int_equal(rollup_runner_cells(f->runner), 0);
    event.time_ms = TIME_BOUND_MS - 10000;
    assert_int_equal(rollup_event(f->runner, 0, &event), REFUSED_NOT);
    commit(f);
}

/* A label set that the store refuses costs its own cells, in every batch again, and is counted; an
 * aborted batch does not count. */
static void test_refused_label_sets(void **state)
{
    struct fixture *f = *state;
    struct store_options options = {.limits.label_value_bytes = 17};
    struct store_stats stats;
    struct err err = {0};
    store_close(&f->store);
    assert_true(store_open(&options, &f->store, &err));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(feed(f, "{\"event_id\":\"1\",\"type\":\"placed\",\"occurred_at\":5000,"
                                 "\"market\":\"a market with a long name\",\"amount\":1}"),
            0);
        assert_int_equal(feed(f, "{\"event_id\":\"2\",\"type\":\"placed\",\"occurred_at\":5000,"
                                 "\"market\":\"berlin\",\"amount\":1}"),
            0);
        if (i == 1) {
            struct txn *txn = txn_begin(f->store);
            assert_true(rollup_runner_write(f->runner, txn, &err));
            txn_abort(&txn);
            rollup_runner_unwrite(f->runner);
        }
        commit(f);
        assert_int_equal(rollup_runner_refused(f->runner), 2 * (i + 1));
    }
    struct columns c = read_one(f, "orders_total", "berlin", "placed");
    assert_int_equal(c.n, 1);
    assert_true(c.amount[0] == 3);
    store_stats(f->store, &stats);
    assert_int_equal(stats.series, 2);
}

static void order_json(int i, char *out, size_t size)
{
    snprintf(out, size,
        "{\"event_id\":\"%d\",\"type\":\"placed\",\"occurred_at\":%d,\"market\":\"m%d\",\"amount\":"
        "%d."
        "5}",
        i, i * 11, i % 17, i % 100);
}

/* Many windows and label sets, in two orders, give the same cells. */
static void test_order_does_not_matter(void **state)
{
    struct fixture *f = *state;
    struct fixture *g;
    char json[256];
    assert_int_equal(setup((void **)&g), 0);
    for (int i = 0; i < 5000; i++) {
        int k = i * 7919 % 5000;
        order_json(i, json, sizeof json);
        assert_int_equal(feed(f, json), 0);
        order_json(k, json, sizeof json);
        assert_int_equal(feed(g, json), 0);
        if (i % 700 == 0)
            commit(f);
        if (i % 900 == 0)
            commit(g);
    }
    commit(f);
    commit(g);
    for (int i = 0; i < 17; i++) {
        snprintf(json, sizeof json, "m%d", i);
        struct columns a = read_one(f, "orders_total", json, "placed"),
                       b = read_one(g, "orders_total", json, "placed");
        assert_int_equal(a.n, b.n);
        assert_memory_equal(a.t, b.t, a.n * sizeof *a.t);
        assert_memory_equal(a.amount, b.amount, a.n * sizeof *a.amount);
        a = read_one(f, "order_amount_last", json, "");
        b = read_one(g, "order_amount_last", json, "");
        assert_int_equal(a.n, b.n);
        assert_memory_equal(a.last, b.last, a.n * sizeof *a.last);
        assert_memory_equal(a.sum, b.sum, a.n * sizeof *a.sum);
    }
    void *state_g = g;
    teardown(&state_g);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows_are_left_open),
        TEST(test_kinds),
        TEST(test_range_counts_nowhere),
        TEST(test_times_out_of_bounds),
        TEST(test_refused_label_sets),
        TEST(test_order_does_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
