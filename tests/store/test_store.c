/* The store through its public headers: transactions, recovery, sealing, damage. */
#include "tests/store/store_fixture.h"

static struct metric_def stock = {.name = {"stock", 5}, .kind = KIND_GAUGE, .every_ms = 5000};
static struct metric_def delay = {.name = {"delay_seconds", 13},
    .kind = KIND_HISTOGRAM,
    .digits = 3,
    .schema = 5,
    .every_ms = 5000};

/* All cells of name{market=...} in (from, to]; the arena keeps them. */
static struct columns read_series(struct store *store, const char *name, const char *market,
    int64_t from, int64_t to, struct arena *arena)
{
    struct matcher m[2] = {{MATCH_EQUAL, SLICE("__name__"), slice_from(name), NULL},
        {MATCH_EQUAL, SLICE("market"), slice_from(market), NULL}};
    struct snapshot *s = snapshot_get(store);
    struct plan *plan;
    struct columns c = {0};
    struct err err = {0};
    assert_true(plan_new(s, NULL, m, 2, NULL, &plan, &err));
    if (plan_n(plan)) {
        assert_int_equal(plan_n(plan), 1);
        plan_range(plan, 0, from, to);
    }
    if (!snapshot_fetch(s, NULL, NULL, &err))
        fail_msg("%s", err.text);
    if (plan_n(plan))
        assert_true(plan_columns(plan, 0, arena, &c, &err));
    snapshot_put(&s);
    return c;
}

static int64_t total(struct store *store, const char *market, int64_t from, int64_t to)
{
    struct arena arena;
    arena_init(&arena, 0);
    struct columns c = read_series(store, "orders_total", market, from, to, &arena);
    int128 sum = 0;
    for (size_t i = 0; i < c.n; i++)
        sum += c.amount[i];
    arena_fini(&arena);
    return (int64_t)sum;
}

static void test_cells_merge_and_survive(void **state)
{
    struct fixture *f = *state;
    add(f->store, "berlin", 10000, 3);
    add(f->store, "berlin", 5000, 2); /* before it */
    add(f->store, "berlin", 10000, 4);
    add(f->store, "paris", 10000, 1);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(total(f->store, "berlin", 0, 10000), 9);
        assert_int_equal(total(f->store, "berlin", 5000, 10000), 7); /* left-open */
        assert_int_equal(total(f->store, "paris", 0, 10000), 1);
        assert_int_equal(total(f->store, "rome", 0, 10000), 0);
        reopen(f);
    }
}

static void test_zero_cells_do_not_exist(void **state)
{
    struct fixture *f = *state;
    struct arena arena;
    add(f->store, "berlin", 10000, 3);
    add(f->store, "berlin", 10000, -3);
    arena_init(&arena, 0);
    assert_int_equal(read_series(f->store, "orders_total", "berlin", 0, 20000, &arena).n, 0);
    arena_fini(&arena);
}

static void test_abort_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct txn *txn = txn_begin(f->store);
    txn_add(txn, series(txn, &orders, "berlin"), 5000, 3);
    txn_abort(&txn);
    assert_int_equal(total(f->store, "berlin", 0, 20000), 0);
    struct store_stats stats;
    store_stats(f->store, &stats);
    assert_int_equal(stats.series, 0);
    assert_int_equal(stats.lsn, 0);
}

static void test_gauges_and_histograms(void **state)
{
    struct fixture *f = *state;
    struct arena arena;
    struct gauge_cell a = {7, 1000, 7, 7, 7, 1}, b = {3, 2000, 3, 3, 3, 1},
                      c = {9, 500, 9, 9, 9, 1};
    struct hist_bucket one[] = {{HIST_NEGATIVE(4), 1}, {HIST_ZERO, 2}, {10, 3}};
    struct hist_bucket two[] = {{10, 1}, {11, 5}};
    struct hist_cell h1 = {1500, 3, one}, h2 = {-200, 2, two};
    struct txn *txn = txn_begin(f->store);
    uint32_t g = series(txn, &stock, "berlin"), h = series(txn, &delay, "berlin");
    txn_gauge(txn, g, 5000, &a);
    txn_histogram(txn, h, 5000, &h1);
    commit(txn);
    txn = txn_begin(f->store);
    txn_gauge(txn, g, 5000, &b);
    txn_gauge(txn, g, 5000, &c);
    txn_histogram(txn, h, 5000, &h2);
    commit(txn);
    arena_init(&arena, 0);
    for (int round = 0; round < 3; round++) {
        struct columns x = read_series(f->store, "stock", "berlin", 0, 5000, &arena);
        assert_int_equal(x.n, 1);
        assert_int_equal(x.last[0], 3);
        assert_int_equal(x.last_ms[0], 2000);
        assert_int_equal(x.min[0], 3);
        assert_int_equal(x.max[0], 9);
        assert_int_equal(x.sum[0], 19);
        assert_int_equal(x.count[0], 3);
        struct columns y = read_series(f->store, "delay_seconds", "berlin", 0, 5000, &arena);
        assert_int_equal(y.n, 1);
        assert_int_equal(y.sum[0], 1300);
        assert_int_equal(columns_buckets(&y), 4);
        assert_int_equal(y.bucket[0].key, HIST_NEGATIVE(4));
        assert_int_equal(y.bucket[2].count, 4);
        assert_int_equal(y.bucket[3].count, 5);
        struct err err = {0};
        if (round == 1)
            assert_true(store_maintain(f->store, BLOCK, &err));
        reopen(f);
    }
    arena_fini(&arena);
}

/* Every third sample is a native histogram, every second one has a start timestamp. */
static void add_samples(struct store *store, int n)
{
    struct metric_def def = {.name = SLICE("pushed"), .kind = KIND_SAMPLE};
    struct label l = {SLICE("__name__"), def.name};
    struct hist_fbucket buckets[2] = {{-3, 2.5}, {4, 1}};
    struct hist h = {.schema = 3,
        .reset_hint = HIST_GAUGE,
        .zero_threshold = 1e-128,
        .zero_count = 2,
        .sum = -1.25,
        .n_positive = 2,
        .positive = buckets};
    struct err err = {0};
    struct txn *txn = txn_begin(store);
    uint32_t metric, id;
    assert_true(txn_metric(txn, &def, &metric, &err));
    assert_true(txn_series(txn, metric, (struct labels){&l, 1}, &id, &err));
    for (int i = 1; i <= n; i++) {
        h.count = i;
        if (i % 3 == 0)
            txn_sample_histogram(txn, id, i * 10, &h);
        else
            txn_sample(txn, id, i * 10, i * 0.25);
        if (i % 2 == 0)
            txn_sample_start(txn, i);
    }
    assert_true(txn_commit(&txn, NULL, &err));
}

static void check_samples(struct store *store, int n)
{
    struct matcher m = {MATCH_EQUAL, SLICE("__name__"), SLICE("pushed"), NULL};
    struct snapshot *s = snapshot_get(store);
    struct arena arena;
    struct columns c;
    struct plan *plan;
    struct err err = {0};
    arena_init(&arena, 0);
    assert_true(plan_new(s, NULL, &m, 1, NULL, &plan, &err));
    plan_range(plan, 0, INT64_MIN, INT64_MAX);
    assert_true(snapshot_fetch(s, NULL, NULL, &err));
    assert_true(plan_columns(plan, 0, &arena, &c, &err));
    assert_int_equal(c.n, n);
    for (int i = 1; i <= n; i++) {
        double v = i * 0.25;
        const struct hist *h = c.hist[i - 1];
        assert_int_equal(c.t[i - 1], i * 10);
        assert_int_equal(c.start[i - 1], i % 2 == 0 ? i : 0);
        assert_int_equal(h != NULL, i % 3 == 0);
        if (!h) {
            assert_memory_equal(&c.bits[i - 1], &v, sizeof v);
            continue;
        }
        assert_true(h->schema == 3 && h->reset_hint == HIST_GAUGE && h->count == i);
        assert_true(h->sum == -1.25 && h->zero_count == 2 && h->zero_threshold == 1e-128);
        assert_int_equal(h->n_positive, 2);
        assert_true(h->positive[0].index == -3 && h->positive[0].count == 2.5);
        assert_true(h->positive[1].index == 4 && h->positive[1].count == 1);
    }
    arena_fini(&arena);
    snapshot_put(&s);
}

/* In the head, from the log or a checkpoint, and from a segment. */
static void test_histogram_samples_and_start_timestamps(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    struct store_stats stats;
    add_samples(f->store, 300);
    check_samples(f->store, 300);
    reopen(f);
    check_samples(f->store, 300);
    if (!store_maintain(f->store, BLOCK, &err))
        fail_msg("%s", err.text);
    store_stats(f->store, &stats);
    assert_int_equal(stats.segments, 1);
    check_samples(f->store, 300);
    reopen(f);
    check_samples(f->store, 300);
}

static void test_sealing_and_late_cells(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    struct store_stats stats;
    for (int i = 1; i <= 100; i++)
        add(f->store, i % 2 ? "berlin" : "paris", i * 5000, i);
    add(f->store, "berlin", BLOCK + 5000, 1000);
    assert_true(store_maintain(f->store, BLOCK, &err));
    store_stats(f->store, &stats);
    assert_int_equal(stats.segments, 1);
    assert_int_equal(stats.head_cells, 1);
    add(f->store, "berlin", 5000, 7); /* late: merges with a sealed cell */
    add(f->store, "rome", 5000, 8);   /* late, and new */
    for (int round = 0; round < 2; round++) {
        assert_int_equal(total(f->store, "berlin", 0, 2 * BLOCK), 2500 + 1000 + 7);
        assert_int_equal(total(f->store, "berlin", 0, 5000), 8);
        assert_int_equal(total(f->store, "paris", 0, 2 * BLOCK), 2550);
        assert_int_equal(total(f->store, "rome", 0, 2 * BLOCK), 8);
        reopen(f);
    }
}

static void test_a_block_of_zeros_leaves_no_segment(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    struct store_stats stats;
    add(f->store, "berlin", 10000, 3);
    add(f->store, "berlin", 10000, -3);
    if (!store_maintain(f->store, BLOCK, &err))
        fail_msg("%s", err.text);
    store_stats(f->store, &stats);
    assert_int_equal(stats.segments, 0);
    assert_int_equal(stats.head_cells, 0);
    add(f->store, "berlin", 10000, 4);
    reopen(f);
    assert_int_equal(total(f->store, "berlin", 0, BLOCK), 4);
}

static void test_checkpoint_forgets_the_log(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    struct store_stats stats;
    store_close(&f->store);
    f->options.checkpoint_bytes = 1000;
    f->options.wal_file_bytes = 600;
    reopen(f);
    for (int i = 1; i <= 200; i++) {
        add(f->store, i % 2 ? "berlin" : "paris", i * 5000, i);
        if (i % 20 == 0)
            assert_true(store_maintain(f->store, i == 100 ? BLOCK : 0, &err));
        if (i % 50 == 0)
            reopen(f);
    }
    store_stats(f->store, &stats);
    assert_int_equal(stats.lsn, 200);
    assert_true(stats.wal_bytes < 3000);
    assert_int_equal(stats.segments, 1);
    assert_int_equal(total(f->store, "berlin", 0, BLOCK), 10000);
    assert_int_equal(total(f->store, "paris", 0, BLOCK), 10100);
}

static void test_sources_and_clocks(void **state)
{
    struct fixture *f = *state;
    struct source_state s;
    int64_t frontier, watermark;
    assert_false(store_source(f->store, SLICE("orders/0"), &s));
    struct txn *txn = txn_begin(f->store);
    txn_source(txn, SLICE("orders/0"), 42, 99000, SLICE("abc"));
    txn_clock(txn, SLICE("orders"), 1000, 500);
    commit(txn);
    txn = txn_begin(f->store);
    txn_clock(txn, SLICE("orders"), 900, 700); /* monotone, each its own */
    commit(txn);
    for (int round = 0; round < 2; round++) {
        assert_true(store_source(f->store, SLICE("orders/0"), &s));
        assert_int_equal(s.next, 42);
        assert_int_equal(s.newest_ms, 99000);
        assert_int_equal(s.state_len, 3);
        assert_true(store_clock(f->store, SLICE("orders"), &frontier, &watermark));
        assert_int_equal(frontier, 1000);
        assert_int_equal(watermark, 700);
        reopen(f);
    }
}

static void test_a_name_has_one_kind(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    uint32_t metric;
    struct metric_def other = orders;
    add(f->store, "berlin", 5000, 1);
    struct txn *txn = txn_begin(f->store);
    other.kind = KIND_GAUGE;
    assert_false(txn_metric(txn, &other, &metric, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_non_null(strstr(err.text, "orders_total is a counter"));
    other = orders;
    other.every_ms = 10000;
    assert_false(txn_metric(txn, &other, &metric, &err));
    other = orders;
    other.help = SLICE("Better.");
    assert_true(txn_metric(txn, &other, &metric, &err));
    commit(txn);
}

static void test_folder_in_use(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    struct store *second;
    assert_false(store_open(&f->options, &second, &err));
    assert_int_equal(err.code, ERR_BUSY);
    assert_non_null(strstr(err.text, f->dir));
}

/* ---- damage ---- */

/* A start that fails destroys nothing: put right, the folder opens with all that it had. */
static void test_a_failed_start_destroys_nothing(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    char path[128], aside[128];
    store_close(&f->store);
    f->options.checkpoint_bytes = 100;
    reopen(f);
    for (int i = 1; i <= 20; i++) {
        add(f->store, "berlin", i * 5000, i);
        assert_true(store_maintain(f->store, 0, &err));
    }
    store_close(&f->store);
    for (int i = 0; i < 2; i++) {
        char name[32] = "CURRENT";
        if (i == 1) { /* the file that CURRENT names */
            snprintf(path, sizeof path, "%s/CURRENT", f->dir);
            FILE *in = fopen(path, "r");
            assert_int_equal(fscanf(in, "%31s", name), 1);
            fclose(in);
        }
        snprintf(path, sizeof path, "%s/%s", f->dir, name);
        snprintf(aside, sizeof aside, "%s/aside", f->dir);
        assert_int_equal(rename(path, aside), 0);
        assert_false(store_open(&f->options, &f->store, &err));
        assert_int_equal(rename(aside, path), 0);
        reopen(f);
        assert_int_equal(total(f->store, "berlin", 0, BLOCK), 210);
        store_close(&f->store);
    }
    reopen(f);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_cells_merge_and_survive),
        TEST(test_zero_cells_do_not_exist),
        TEST(test_abort_leaves_nothing),
        TEST(test_gauges_and_histograms),
        TEST(test_histogram_samples_and_start_timestamps),
        TEST(test_sealing_and_late_cells),
        TEST(test_a_block_of_zeros_leaves_no_segment),
        TEST(test_checkpoint_forgets_the_log),
        TEST(test_sources_and_clocks),
        TEST(test_a_name_has_one_kind),
        TEST(test_folder_in_use),
        TEST(test_a_failed_start_destroys_nothing),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
