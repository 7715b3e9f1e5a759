/* The store through its public headers: transactions, recovery, reading, sealing, damage. */
#include "store/read.h"
#include "store/store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/thread.h"
#include "store/delete.h"
#include "store/store_priv.h"

#define BLOCK 7200000

static struct metric_def orders = {.name = {"orders_total", 12},
    .kind = KIND_COUNTER,
    .every_ms = 5000,
    .stale_after_ms = 3600000,
    .clock = {"orders", 6},
    .help = {"Orders.", 7}};
static struct metric_def stock = {.name = {"stock", 5}, .kind = KIND_GAUGE, .every_ms = 5000};
static struct metric_def delay = {.name = {"delay_seconds", 13},
    .kind = KIND_HISTOGRAM,
    .digits = 3,
    .schema = 5,
    .every_ms = 5000};

struct fixture {
    char dir[64];
    struct store *store;
    struct store_options options;
};

static void reopen(struct fixture *f)
{
    struct err err = {0};
    store_close(&f->store);
    if (!store_open(&f->options, &f->store, &err))
        fail_msg("%s", err.text);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/larder-store-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->options.path = f->dir;
    reopen(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char cmd[128];
    store_close(&f->store);
    snprintf(cmd, sizeof cmd, "rm -rf %s", f->dir);
    assert_int_equal(system(cmd), 0);
    free(f);
    return 0;
}

static uint32_t series(struct txn *txn, struct metric_def *def, const char *market)
{
    uint32_t metric, id;
    struct err err = {0};
    struct label l[2] = {{SLICE("__name__"), def->name}, {SLICE("market"), slice_from(market)}};
    assert_true(txn_metric(txn, def, &metric, &err));
    assert_true(txn_series(txn, metric, (struct labels){l, 2}, &id, &err));
    return id;
}

static uint64_t commit(struct txn *txn)
{
    struct err err = {0};
    uint64_t lsn;
    if (!txn_commit(&txn, &lsn, &err))
        fail_msg("%s", err.text);
    assert_null(txn);
    return lsn;
}

static uint64_t add(struct store *store, const char *market, int64_t end, int amount)
{
    struct txn *txn = txn_begin(store);
    txn_add(txn, series(txn, &orders, market), end, amount);
    return commit(txn);
}

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

static bool count_series(void *ctx, struct labels labels, const struct metric_def *def)
{
    (void)def;
    assert_true(labels_get(labels, SLICE("market")).len > 0);
    ++*(int *)ctx;
    return true;
}

static void test_selection(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    struct regex *re;
    add(f->store, "berlin", 5000, 1);
    add(f->store, "paris", 5000, 1);
    add(f->store, "prague", 50000, 1);
    assert_true(regex_new(SLICE("p.*"), &re, &err));
    struct matcher name = {MATCH_EQUAL, SLICE("__name__"), SLICE("orders_total"), NULL};
    struct {
        struct matcher m;
        int64_t to;
        int n;
    } cases[] = {
        {{MATCH_REGEX, SLICE("market"), SLICE("p.*"), re}, 100000, 2},
        {{MATCH_REGEX, SLICE("market"), SLICE("p.*"), re}, 5000, 1},
        {{MATCH_NOT_REGEX, SLICE("market"), SLICE("p.*"), re}, 100000, 1},
        {{MATCH_NOT_EQUAL, SLICE("market"), SLICE("berlin"), NULL}, 100000, 2},
        {{MATCH_EQUAL, SLICE("market"), SLICE("rome"), NULL}, 100000, 0},
        {{MATCH_EQUAL, SLICE("absent"), SLICE(""), NULL}, 100000, 3},
        {{MATCH_NOT_EQUAL, SLICE("absent"), SLICE(""), NULL}, 100000, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct matcher m[2] = {name, cases[i].m};
        int n = 0;
        assert_true(
            store_each_series(f->store, NULL, m, 2, 0, cases[i].to, count_series, &n, &err));
        assert_int_equal(n, cases[i].n);
        struct scope scope = {SLICE("someone"), &cases[i].m, 1};
        n = 0;
        assert_true(
            store_each_series(f->store, &scope, &name, 1, 0, cases[i].to, count_series, &n, &err));
        assert_int_equal(n, cases[i].n);
    }
    regex_free(&re);
}

static void test_budgets(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    struct plan *plan;
    for (int i = 1; i <= 10; i++)
        add(f->store, "berlin", i * 5000, 1);
    add(f->store, "paris", 5000, 1);
    struct matcher name = {MATCH_EQUAL, SLICE("__name__"), SLICE("orders_total"), NULL};
    struct read_budget budget = {.max_series = 1};
    struct snapshot *s = snapshot_get(f->store);
    assert_false(plan_new(s, NULL, &name, 1, &budget, &plan, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    snapshot_put(&s);
    budget = (struct read_budget){.max_cells = 9};
    s = snapshot_get(f->store);
    assert_true(plan_new(s, NULL, &name, 1, &budget, &plan, &err));
    plan_range(plan, 0, 0, 100000);
    assert_false(snapshot_fetch(s, &budget, NULL, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    assert_non_null(strstr(err.text, "10 samples; 9 are allowed"));
    snapshot_put(&s);
    add(f->store, "berlin", 5000, 1); /* the lock is free again */
}

/* The sum of all amounts that a snapshot sees. */
static int64_t sum_of(struct fixture *f, struct snapshot *s)
{
    struct err err = {0};
    struct matcher all = {MATCH_EQUAL, SLICE("__name__"), SLICE("orders_total"), NULL};
    struct arena arena;
    struct plan *plan;
    int64_t sum = 0;
    (void)f;
    arena_init(&arena, 0);
    assert_true(plan_new(s, NULL, &all, 1, NULL, &plan, &err));
    for (size_t i = 0; i < plan_n(plan); i++)
        plan_range(plan, i, INT64_MIN, INT64_MAX);
    assert_true(snapshot_fetch(s, NULL, NULL, &err));
    for (size_t i = 0; i < plan_n(plan); i++) {
        struct columns c;
        assert_true(plan_columns(plan, i, &arena, &c, &err));
        for (size_t k = 0; k < c.n; k++)
            sum += (int64_t)c.amount[k];
    }
    arena_fini(&arena);
    return sum;
}

/* A snapshot is the moment when it was made: what is committed before the fetch, to series old and
 * new, is not in it, does not wait for it, and is in the next one. */
static void test_a_snapshot_is_one_moment(void **state)
{
    struct fixture *f = *state;
    struct store_stats stats;
    add(f->store, "berlin", 5000, 1);
    struct snapshot *first = snapshot_get(f->store);
    uint64_t lsn = snapshot_lsn(first);
    add(f->store, "berlin", 5000, 10);
    add(f->store, "paris", 5000, 100);
    store_stats(f->store, &stats);
    assert_int_equal(stats.lsn, lsn + 2);
    assert_int_equal(stats.pending_bytes, 0); /* a snapshot keeps nothing from the head */
    assert_int_equal(stats.pending_waits, 0);
    assert_int_equal(sum_of(f, first), 1);
    snapshot_put(&first);
    struct snapshot *s = snapshot_get(f->store);
    assert_int_equal(snapshot_lsn(s), lsn + 2);
    assert_int_equal(sum_of(f, s), 111);
    snapshot_put(&s);
    s = snapshot_get(f->store);
    snapshot_put(&s); /* given back unfetched */
    add(f->store, "berlin", 5000, 1);
    store_stats(f->store, &stats);
    assert_int_equal(stats.pending_bytes, 0);
}

/* Series are selected before the moment; what came until then is there, in order. */
static void test_series_before_the_moment(void **state)
{
    struct fixture *f = *state;
    struct matcher name = {MATCH_EQUAL, SLICE("__name__"), SLICE("orders_total"), NULL};
    struct matcher rome = {MATCH_EQUAL, SLICE("market"), SLICE("rome"), NULL};
    struct read_budget budget = {.max_series = 4};
    struct plan *all, *one;
    struct columns c;
    struct arena arena;
    struct store_stats stats;
    struct err err = {0};
    add(f->store, "berlin", 5000, 1);
    add(f->store, "paris", 5000, 1);
    struct snapshot *s = snapshot_get(f->store);
    assert_true(plan_new(s, NULL, &name, 1, &budget, &all, &err));
    assert_true(plan_new(s, NULL, &rome, 1, &budget, &one, &err));
    add(f->store, "rome", 5000, 5);
    add(f->store, "amsterdam", 5000, 7);
    store_stats(f->store, &stats);
    assert_int_equal(stats.pending_bytes, 0); /* nobody is at the head */
    assert_int_equal(plan_n(all), 4);
    add(f->store, "oslo", 5000, 9); /* after the moment */
    assert_int_equal(plan_n(one), 1);
    plan_range(one, 0, 0, INT64_MAX);
    for (size_t i = 0; i < 4; i++) {
        static const char *const markets[] = {"amsterdam", "berlin", "paris", "rome"};
        assert_true(slice_is(labels_get(plan_labels(all, i), SLICE("market")), markets[i]));
        plan_range(all, i, 0, INT64_MAX);
    }
    assert_true(snapshot_fetch(s, &budget, NULL, &err));
    arena_init(&arena, 0);
    assert_true(plan_columns(all, 0, &arena, &c, &err) && c.n == 1 && c.amount[0] == 7);
    assert_true(plan_columns(all, 3, &arena, &c, &err) && c.n == 1 && c.amount[0] == 5);
    assert_true(plan_columns(one, 0, &arena, &c, &err) && c.n == 1 && c.amount[0] == 5);
    arena_fini(&arena);
    snapshot_put(&s);
    s = snapshot_get(f->store);
    budget.max_series = 5;
    assert_true(plan_new(s, NULL, &name, 1, &budget, &all, &err));
    add(f->store, "vienna", 5000, 1); /* one too many */
    plan_n(all);
    assert_false(snapshot_fetch(s, &budget, NULL, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    snapshot_put(&s);
}

/* Removed and made anew between selecting and the moment: it is there once. */
static void test_a_series_that_comes_anew(void **state)
{
    struct fixture *f = *state;
    struct matcher name = {MATCH_EQUAL, SLICE("__name__"), SLICE("orders_total"), NULL};
    struct plan *plan;
    struct err err = {0};
    uint64_t n;
    add(f->store, "berlin", 5000, 1);
    struct snapshot *s = snapshot_get(f->store);
    assert_true(plan_new(s, NULL, &name, 1, NULL, &plan, &err));
    assert_true(store_delete(f->store, &name, 1, INT64_MIN, INT64_MAX, &n, &err));
    assert_true(store_delete_finish(f->store, &err));
    add(f->store, "berlin", 10000, 3);
    assert_int_equal(plan_n(plan), 1);
    assert_int_equal(plan_series(plan, 0), 1);
    snapshot_put(&s);
}

/* What is pending is seen through the overlay as it is seen in the head. */
static void test_pending_cells_are_seen(void **state)
{
    struct fixture *f = *state;
    struct store_stats stats;
    add(f->store, "berlin", 5000, 1);
    gate_enter(&f->store->gate); /* as a reader in its moment */
    for (int i = 0; i < 5; i++)
        add(f->store, (const char *[]){"berlin", "rome", "oslo", "rome", "berlin"}[i], 5000, 10);
    store_stats(f->store, &stats);
    assert_true(stats.pending_bytes > 0);
    assert_int_equal(stats.pending_waits, 0);
    struct snapshot *s = snapshot_get(f->store), *late = snapshot_get(f->store);
    assert_int_equal(snapshot_lsn(late), 6);
    assert_int_equal(sum_of(f, s), 51);
    snapshot_put(&s);
    gate_leave(&f->store->gate);
    add(f->store, "berlin", 5000, 100); /* puts away what is left */
    store_stats(f->store, &stats);
    assert_int_equal(stats.pending_bytes, 0);
    assert_int_equal(sum_of(f, late), 51);
    snapshot_put(&late);
    s = snapshot_get(f->store);
    assert_int_equal(sum_of(f, s), 151);
    snapshot_put(&s);
}

static void add_many(struct store *store, int n)
{
    struct txn *txn = txn_begin(store);
    uint32_t id = series(txn, &orders, "berlin");
    for (int i = 0; i < n; i++)
        txn_add(txn, id, 5000 * (i % 1000 + 1), 1);
    commit(txn);
}

static void check_sum(struct fixture *f, int64_t sum)
{
    struct snapshot *s = snapshot_get(f->store);
    assert_int_equal(sum_of(f, s), sum);
    snapshot_put(&s);
}

/* What readers' moments have left over is put away little by little: no commit has to do all. */
static void test_what_is_left_over_is_shared(void **state)
{
    struct fixture *f = *state;
    struct store_stats stats;
    gate_enter(&f->store->gate);
    add_many(f->store, 80000);
    gate_leave(&f->store->gate);
    add_many(f->store, 1);
    store_stats(f->store, &stats);
    assert_true(stats.pending_bytes > 0);
    for (int i = 2; i < 8; i++) {
        add_many(f->store, 1);
        check_sum(f, 80000 + i);
    }
    store_stats(f->store, &stats);
    assert_int_equal(stats.pending_bytes, 0);
    assert_int_equal(stats.pending_waits, 0);
}

static void *add_one(void *arg)
{
    struct fixture *f = arg;
    add_many(f->store, 1);
    return NULL;
}

/* Too much of it, and a commit waits until it gets in. */
static void test_too_much_is_left_over(void **state)
{
    struct fixture *f = *state;
    struct store_stats stats;
    pthread_t writer;
    const int n = (int)(PENDING_BYTES_MAX / sizeof(struct add_cell)) + 1;
    gate_enter(&f->store->gate);
    add_many(f->store, n);
    thread_start(&writer, "writer", add_one, f);
    do
        store_stats(f->store, &stats);
    while (stats.pending_waits == 0);
    gate_leave(&f->store->gate);
    thread_join(writer);
    check_sum(f, n + 1);
    for (int i = 0; i < n / 10000 && stats.pending_bytes > 0; i++) {
        add_many(f->store, 1);
        store_stats(f->store, &stats);
    }
    assert_int_equal(stats.pending_bytes, 0);
    assert_int_equal(stats.pending_waits, 1);
}

/* Between its moment and the fetch a snapshot is in nobody's way: blocks are sealed, cells deleted,
 * series forgotten, and it does not see any of that. */
static void test_a_snapshot_holds_nobody_up(void **state)
{
    struct fixture *f = *state;
    struct matcher name = {MATCH_EQUAL, SLICE("__name__"), SLICE("orders_total"), NULL};
    struct matcher rome = {MATCH_EQUAL, SLICE("market"), SLICE("rome"), NULL};
    struct plan *plan;
    struct columns c;
    struct arena arena;
    struct err err = {0};
    uint64_t n;
    add(f->store, "berlin", 5000, 1);
    add(f->store, "rome", 5000, 2);
    assert_true(store_maintain(f->store, 2 * BLOCK, &err));
    add(f->store, "berlin", 2 * BLOCK + 5000, 4);
    add(f->store, "rome", 2 * BLOCK + 5000, 8);
    assert_true(store_delete(f->store, &rome, 1, INT64_MIN, BLOCK, &n, &err));
    struct snapshot *s = snapshot_get(f->store);
    assert_true(plan_new(s, NULL, &name, 1, NULL, &plan, &err));
    assert_int_equal(plan_n(plan), 2);
    add(f->store, "berlin", 2 * BLOCK + 5000, 16);
    assert_true(store_delete(f->store, &name, 1, INT64_MIN, INT64_MAX, &n, &err));
    assert_int_equal(n, 2);
    assert_true(store_delete_finish(f->store, &err));
    assert_true(store_maintain(f->store, 4 * BLOCK, &err));
    for (size_t i = 0; i < 2; i++)
        plan_range(plan, i, INT64_MIN, INT64_MAX);
    assert_true(snapshot_fetch(s, NULL, NULL, &err));
    arena_init(&arena, 0);
    assert_true(plan_columns(plan, 0, &arena, &c, &err));
    assert_int_equal(c.n, 2);
    assert_true(c.amount[0] == 1 && c.amount[1] == 4);
    assert_true(plan_columns(plan, 1, &arena, &c, &err));
    assert_int_equal(c.n, 1); /* what was deleted before is */
    assert_true(c.amount[0] == 8);
    arena_fini(&arena);
    snapshot_put(&s);
    s = snapshot_get(f->store);
    assert_int_equal(sum_of(f, s), 0);
    snapshot_put(&s);
}

static void test_plans_have_a_memory_limit(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    struct matcher all = {MATCH_EQUAL, SLICE("__name__"), SLICE("orders_total"), NULL};
    struct plan *plan;
    for (int i = 0; i < 5; i++)
        add(f->store, (const char *[]){"a", "b", "c", "d", "e"}[i], 5000, 1);
    struct snapshot *s = snapshot_get(f->store);
    snapshot_limit(s, 1000);
    assert_false(plan_new(s, NULL, &all, 1, NULL, &plan, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    snapshot_put(&s);
}

static void move(struct store *store, const char *source, int64_t next)
{
    struct txn *txn = txn_begin(store);
    txn_source(txn, slice_from(source), next, next * 1000, SLICE(""));
    txn_clock(txn, SLICE("orders"), next * 1000, next * 900);
    commit(txn);
}

/* A snapshot knows how far the sources were then, whatever is committed later. */
static void test_sources_of_a_snapshot(void **state)
{
    struct fixture *f = *state;
    const struct source_position *at;
    int64_t frontier, watermark;
    size_t n;
    struct snapshot *empty = snapshot_get(f->store);
    snapshot_sources(empty, &n);
    assert_int_equal(n, 0);
    snapshot_put(&empty);
    move(f->store, "orders/0", 5);
    move(f->store, "orders/1", 7);
    struct snapshot *first = snapshot_get(f->store), *same = snapshot_get(f->store);
    assert_ptr_equal(snapshot_sources(first, &n), snapshot_sources(same, &n)); /* shared */
    move(f->store, "orders/0", 9);
    struct snapshot *last = snapshot_get(f->store);
    at = snapshot_sources(first, &n);
    assert_int_equal(n, 2);
    assert_true(slice_is(at[0].name, "orders/0") && slice_is(at[1].name, "orders/1"));
    assert_int_equal(at[0].next, 5);
    assert_int_equal(at[0].newest_ms, 5000);
    assert_int_equal(at[1].next, 7);
    assert_true(snapshot_clock(first, SLICE("orders"), &frontier, &watermark));
    assert_int_equal(frontier, 7000);
    at = snapshot_sources(last, &n);
    assert_int_equal(at[0].next, 9);
    assert_true(snapshot_clock(last, SLICE("orders"), &frontier, &watermark));
    assert_int_equal(frontier, 9000);
    snapshot_put(&first);
    snapshot_put(&same);
    snapshot_put(&last);
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
        TEST(test_selection),
        TEST(test_budgets),
        TEST(test_a_snapshot_is_one_moment),
        TEST(test_series_before_the_moment),
        TEST(test_a_series_that_comes_anew),
        TEST(test_sources_of_a_snapshot),
        TEST(test_pending_cells_are_seen),
        TEST(test_what_is_left_over_is_shared),
        TEST(test_too_much_is_left_over),
        TEST(test_a_snapshot_holds_nobody_up),
        TEST(test_plans_have_a_memory_limit),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
