/* Limits: what folds, that totals stay exact, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/read.h"
#include "store/store.h"

#define HOUR INT64_C(3600000)
#define DAY  (24 * HOUR)

struct fixture {
    char dir[64];
    struct store *store;
    struct store_options options;
};

static struct metric_def orders = {
    .name = {"orders_total", 12}, .kind = KIND_COUNTER, .every_ms = 5000};
static struct metric_def pushed = {.name = {"pushed", 6}, .kind = KIND_SAMPLE};

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
    snprintf(f->dir, sizeof f->dir, "/tmp/larder-limits-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->options.path = f->dir;
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

/* Adds 1 to orders_total{city=..., order=...}; false: refused. */
static bool try_add(
    struct fixture *f, struct metric_def *def, int order, int64_t t, struct err *err)
{
    struct txn *txn = txn_begin(f->store);
    char text[16];
    snprintf(text, sizeof text, "%d", order);
    struct label l[3] = {{SLICE("__name__"), def->name}, {SLICE("city"), SLICE("Berlin")},
        {SLICE("order"), slice_from(text)}};
    uint32_t metric, id;
    assert_true(txn_metric(txn, def, &metric, err));
    bool ok = txn_series(txn, metric, (struct labels){l, 3}, &id, err);
    if (ok && def->kind == KIND_SAMPLE)
        txn_sample(txn, id, t, 1);
    else if (ok)
        txn_add(txn, id, t, 1);
    txn_source(txn, SLICE("topic/0"), order, t, SLICE(""));
    assert_true(txn_commit(&txn, NULL, err));
    return ok;
}

static void add(struct fixture *f, int order, int64_t t)
{
    struct err err = {0};
    if (!try_add(f, &orders, order, t, &err))
        fail_msg("%s", err.text);
}

/* The sum of the cells of all series that match; *n says how many series have some. */
static int64_t total(struct fixture *f, const char *name, const char *value, size_t *n)
{
    struct matcher m[2] = {{MATCH_EQUAL, SLICE("__name__"), orders.name, NULL},
        {MATCH_EQUAL, slice_from(name), slice_from(value), NULL}};
    struct snapshot *s = snapshot_get(f->store);
    struct plan *plan;
    struct arena arena;
    struct err err = {0};
    int64_t sum = 0;
    arena_init(&arena, 0);
    *n = 0;
    assert_true(plan_new(s, NULL, m, 2, NULL, &plan, &err));
    for (size_t i = 0; i < plan_n(plan); i++)
        plan_range(plan, i, INT64_MIN, INT64_MAX);
    assert_true(snapshot_fetch(s, NULL, NULL, &err));
    for (size_t i = 0; i < plan_n(plan); i++) {
        struct columns c;
        assert_true(plan_columns(plan, i, &arena, &c, &err));
        for (size_t k = 0; k < c.n; k++)
            sum += (int64_t)c.amount[k];
        *n += c.n > 0;
    }
    snapshot_put(&s);
    arena_fini(&arena);
    return sum;
}

static bool check_fold(void *ctx, const struct folded_metric *fold)
{
    assert_true(slice_is(fold->metric, "orders_total"));
    assert_true(slice_is(fold->label, "order"));
    assert_int_equal(fold->values, 5);
    assert_int_equal(fold->until_ms, DAY);
    ++*(int *)ctx;
    return true;
}

static void test_folding(void **state)
{
    struct fixture *f = *state;
    struct store_stats stats;
    size_t n;
    int folds = 0;
    f->options.limits.series_per_metric = 5;
    reopen(f);
    for (int i = 0; i < 20; i++)
        add(f, i, HOUR);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(total(f, "order", "3", &n), 1);
        assert_int_equal(total(f, "order", "7", &n), 0);
        assert_int_equal(total(f, "overflow", "true", &n), 15);
        assert_int_equal(n, 1);
        assert_int_equal(total(f, "none", "", &n), 20);
        assert_int_equal(n, 6);
        if (round == 0) {
            store_stats(f->store, &stats);
            assert_int_equal(stats.limits.folding_metrics, 1);
            assert_int_equal(stats.limits.folded, 15);
            store_each_fold(f->store, check_fold, &folds);
            assert_int_equal(folds, 1);
            reopen(f);
        }
    }
    add(f, 3, HOUR); /* known series go on */
    assert_int_equal(total(f, "order", "3", &n), 2);
    add(f, 99, HOUR);
    assert_int_equal(total(f, "overflow", "true", &n), 16);
    store_stats(f->store, &stats);
    assert_int_equal(stats.limits.folding_metrics, 1);
}

/* There is room again, but only the next day lets new series in. */
static void test_folds_until_the_next_day(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    size_t n;
    f->options.limits.series_per_metric = 2;
    f->options.retention.raw_ms = DAY;
    f->options.block_ms = 2 * HOUR;
    reopen(f);
    for (int i = 0; i < 4; i++)
        add(f, i, HOUR);
    add(f, 0, 4 * DAY + HOUR); /* a new day: 2 and 3 would fold again, there is no room */
    add(f, 9, 4 * DAY + HOUR);
    assert_int_equal(total(f, "overflow", "true", &n), 3);
    struct txn *txn = txn_begin(f->store);
    uint64_t before = txn_removals(txn);
    txn_abort(&txn);
    assert_true(store_maintain(f->store, 4 * DAY + 2 * HOUR, &err)); /* what is old goes */
    assert_int_equal(total(f, "order", "1", &n), 0);
    add(f, 8, 4 * DAY + HOUR);
    assert_int_equal(total(f, "overflow", "true", &n), 2);
    add(f, 0, 5 * DAY + HOUR);
    add(f, 8, 5 * DAY + HOUR);
    txn = txn_begin(f->store);
    assert_true(txn_removals(txn) > before);
    txn_abort(&txn);
    assert_int_equal(total(f, "overflow", "true", &n), 3);
}

static void test_samples_are_refused(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    struct store_stats stats;
    f->options.limits.series_per_metric = 3;
    f->options.limits.sample_age_ms = HOUR;
    f->options.limits.sample_ahead_ms = 1000;
    reopen(f);
    for (int i = 0; i < 5; i++)
        assert_int_equal(try_add(f, &pushed, i, HOUR, &err), i < 3);
    assert_int_equal(err.code, ERR_LIMIT);
    assert_non_null(strstr(err.text, "order"));
    struct txn *txn = txn_begin(f->store);
    assert_true(txn_accepts(txn, 10 * HOUR, 11 * HOUR));
    assert_false(txn_accepts(txn, 10 * HOUR - 1, 11 * HOUR));
    assert_true(txn_accepts(txn, 11 * HOUR + 1000, 11 * HOUR));
    assert_false(txn_accepts(txn, 11 * HOUR + 1001, 11 * HOUR));
    txn_abort(&txn);
    store_stats(f->store, &stats);
    assert_int_equal(stats.limits.refused_series, 2);
    assert_int_equal(stats.limits.refused_old, 1);
    assert_int_equal(stats.limits.refused_ahead, 1);
}

static void test_label_limits(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    f->options.limits.labels_per_series = 2;
    reopen(f);
    assert_false(try_add(f, &orders, 1, HOUR, &err));
    assert_string_equal(err.text, "a series with 3 labels; at most 2 are allowed");
    f->options.limits.labels_per_series = 0;
    f->options.limits.label_name_bytes = 7;
    reopen(f);
    assert_false(try_add(f, &orders, 1, HOUR, &err));
    f->options.limits.label_name_bytes = 8;
    f->options.limits.label_value_bytes = 12;
    reopen(f);
    assert_true(try_add(f, &orders, 1, HOUR, &err));
    f->options.limits.label_value_bytes = 11;
    reopen(f);
    assert_true(try_add(f, &orders, 1, HOUR, &err)); /* it is known */
    assert_false(try_add(f, &orders, 2, HOUR, &err));
}

static void test_store_limit(void **state)
{
    struct fixture *f = *state;
    size_t n;
    f->options.limits.series = 4;
    reopen(f);
    for (int i = 0; i < 9; i++)
        add(f, i, HOUR);
    assert_int_equal(total(f, "overflow", "true", &n), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_folding, setup, teardown),
        cmocka_unit_test_setup_teardown(test_folds_until_the_next_day, setup, teardown),
        cmocka_unit_test_setup_teardown(test_samples_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_label_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_store_limit, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
