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
#include "tests/store/support/folder.h"

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
    folder_new("limits", f->dir, sizeof f->dir);
    f->options.path = f->dir;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    store_close(&f->store);
    folder_remove(f->dir);
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
    assert_int_equal(fold->values, 6); /* that of the one that came too many is one */
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

/* ---- when it begins, and for how long ---- */

struct seen {
    size_t n;
    struct folded_metric last;
    char metric[64], label[64];
};

static bool see(void *ctx, const struct folded_metric *fold)
{
    struct seen *s = ctx;
    s->n++;
    s->last = *fold;
    snprintf(s->metric, sizeof s->metric, "%.*s", SLICE_FMT(fold->metric));
    snprintf(s->label, sizeof s->label, "%.*s", SLICE_FMT(fold->label));
    return true;
}

static struct seen folds_of(struct fixture *f)
{
    struct seen seen = {0};
    struct store_stats stats;
    store_each_fold(f->store, see, &seen);
    store_stats(f->store, &stats);
    assert_int_equal(stats.limits.folding_metrics, seen.n);
    return seen;
}

/* Puts cells of orders `from` to `to` into the transaction; returns how many were refused. */
static int put(struct txn *txn, const struct metric_def *def, int from, int to, int64_t t)
{
    int refused = 0;
    struct err err = {0};
    uint32_t metric, id;
    assert_true(txn_metric(txn, def, &metric, &err));
    for (int i = from; i < to; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        struct label l[3] = {{SLICE("__name__"), def->name}, {SLICE("city"), SLICE("Berlin")},
            {SLICE("order"), slice_from(text)}};
        if (!txn_series(txn, metric, (struct labels){l, 3}, &id, &err)) {
            assert_int_equal(err.code, ERR_LIMIT);
            refused++;
        } else if (def->kind == KIND_SAMPLE) {
            txn_sample(txn, id, t, 1);
        } else {
            txn_add(txn, id, t, 1);
        }
    }
    return refused;
}

static void commit(struct txn *txn)
{
    struct err err = {0};
    if (!txn_commit(&txn, NULL, &err))
        fail_msg("%s", err.text);
}

/* The series and the source's event time come in the transaction that begins to fold. */
static void test_the_first_batch_folds(void **state)
{
    struct fixture *f = *state;
    size_t n;
    f->options.limits.series_per_metric = 100;
    reopen(f);
    struct txn *txn = txn_begin(f->store);
    put(txn, &orders, 0, 500, 3 * DAY + HOUR);
    txn_source(txn, SLICE("topic/0"), 1, 3 * DAY + HOUR, SLICE(""));
    commit(txn);
    struct seen seen = folds_of(f);
    assert_int_equal(seen.n, 1);
    assert_int_equal(seen.last.until_ms, 4 * DAY);
    assert_string_equal(seen.label, "order");
    assert_int_equal(seen.last.values, 101);
    assert_int_equal(total(f, "overflow", "true", &n), 400);
    add(f, 0, 4 * DAY + HOUR);
    txn = txn_begin(f->store);
    assert_int_equal(folds_of(f).n, 0);
    txn_abort(&txn);
}

/* Values in the store and new ones of the transaction count, each once; the name never does. */
static void test_the_widest_label(void **state)
{
    struct fixture *f = *state;
    f->options.limits.series_per_metric = 6;
    reopen(f);
    add(f, 0, HOUR);
    add(f, 1, HOUR);
    struct txn *txn = txn_begin(f->store);
    put(txn, &orders, 1, 9, HOUR);
    txn_source(txn, SLICE("topic/0"), 1, HOUR, SLICE(""));
    commit(txn);
    struct seen seen = folds_of(f);
    assert_string_equal(seen.label, "order");
    assert_int_equal(seen.last.values, 7);
    /* A metric whose only label set is the one that does not fit. */
    f->options.limits.series_per_metric = 0;
    f->options.limits.series = 3;
    reopen(f);
    struct metric_def other = orders;
    other.name = SLICE("others_total");
    txn = txn_begin(f->store);
    put(txn, &other, 5, 6, HOUR);
    commit(txn);
    seen = folds_of(f);
    assert_int_equal(seen.n, 2);
    assert_string_equal(seen.metric, "others_total");
    assert_string_not_equal(seen.label, "__name__");
    assert_int_equal(seen.last.values, 1);
}

static void test_an_abort_folds_nothing(void **state)
{
    struct fixture *f = *state;
    struct store_stats stats;
    size_t n;
    f->options.limits.series_per_metric = 100;
    reopen(f);
    add(f, 0, HOUR);
    struct txn *txn = txn_begin(f->store);
    put(txn, &orders, 0, 150, HOUR);
    struct metric_def other = orders;
    other.name = SLICE("others_total");
    put(txn, &other, 0, 150, HOUR);
    txn_abort(&txn);
    assert_int_equal(folds_of(f).n, 0);
    txn = txn_begin(f->store);
    put(txn, &orders, 0, 50, HOUR);
    commit(txn);
    assert_int_equal(folds_of(f).n, 0);
    assert_int_equal(total(f, "overflow", "true", &n), 0);
    store_stats(f->store, &stats);
    assert_int_equal(stats.series, 50);
    assert_int_equal(stats.limits.folded, 0);
}

/* Without sources the cells say which day it is. */
static void test_pushes_alone_have_days(void **state)
{
    struct fixture *f = *state;
    struct metric_def rule = orders;
    f->options.limits.series_per_metric = 3;
    reopen(f);
    rule.name = SLICE("rule");
    for (int d = 0; d < 3; d++) {
        struct txn *txn = txn_begin(f->store);
        assert_int_equal(put(txn, &pushed, 0, 5, d * DAY + HOUR), 2);
        assert_int_equal(put(txn, &rule, 0, 5, d * DAY + HOUR), 0);
        commit(txn);
        struct seen seen = folds_of(f);
        assert_int_equal(seen.n, 2);
        assert_int_equal(seen.last.until_ms, (d + 1) * DAY);
        txn = txn_begin(f->store);
        put(txn, &pushed, 0, 1, (d + 1) * DAY + 1);
        commit(txn);
        txn = txn_begin(f->store);
        assert_int_equal(folds_of(f).n, 0);
        txn_abort(&txn);
    }
}

/* Where no source has read anything, a clock says it. */
static void test_clocks_have_days(void **state)
{
    struct fixture *f = *state;
    f->options.limits.series_per_metric = 3;
    reopen(f);
    struct txn *txn = txn_begin(f->store);
    put(txn, &orders, 0, 5, 2 * DAY);
    txn_source(txn, SLICE("topic/0"), 1, INT64_MIN, SLICE(""));
    txn_clock(txn, SLICE("orders"), 5 * DAY + HOUR, INT64_MIN);
    commit(txn);
    assert_int_equal(folds_of(f).last.until_ms, 6 * DAY);
}

/* There is room again, and still it folds: after a crash, from the log, and after a clean stop,
 * from the checkpoint. */
static void test_folding_survives_restarts(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    char copy[96];
    size_t n;
    f->options.limits.series_per_metric = 3;
    reopen(f);
    struct txn *txn = txn_begin(f->store);
    put(txn, &orders, 0, 5, HOUR);
    txn_source(txn, SLICE("topic/0"), 1, HOUR, SLICE(""));
    commit(txn);
    snprintf(copy, sizeof copy, "%s-crashed", f->dir);
    folder_copy(f->dir, copy);
    struct fixture crashed = {.options = f->options};
    crashed.options.path = copy;
    crashed.options.limits.series_per_metric = f->options.limits.series_per_metric = 10;
    assert_true(store_open(&crashed.options, &crashed.store, &err));
    reopen(f);
    reopen(f); /* from one checkpoint to the next */
    struct fixture *const both[] = {f, &crashed};
    for (int i = 0; i < 2; i++) {
        struct seen seen = folds_of(both[i]);
        assert_int_equal(seen.n, 1);
        assert_int_equal(seen.last.until_ms, DAY);
        assert_string_equal(seen.label, "order");
        assert_int_equal(seen.last.values, 4);
        add(both[i], 77, HOUR);
        assert_int_equal(total(both[i], "overflow", "true", &n), 3);
        add(both[i], 0, DAY + HOUR);
        add(both[i], 77, DAY + HOUR);
        assert_int_equal(total(both[i], "order", "77", &n), 1);
        reopen(both[i]);
        assert_int_equal(folds_of(both[i]).n, 0);
    }
    store_close(&crashed.store);
    folder_remove(copy);
}

/* ---- the bound of the store ---- */

/* Every metric has its own overflow series, up to a reserve; then new ones are refused. */
static void test_the_store_limit_is_a_bound(void **state)
{
    struct fixture *f = *state;
    struct store_stats stats;
    size_t n;
    int refused = 0;
    f->options.path = NULL;
    f->options.limits.series = 3;
    reopen(f);
    for (int i = 0; i < 9; i++)
        add(f, i, HOUR);
    for (int i = 0; i < OVERFLOW_SERIES_MAX + 500; i++) {
        char name[16];
        snprintf(name, sizeof name, "m%d", i);
        struct metric_def def = orders;
        def.name = slice_from(name);
        struct txn *txn = txn_begin(f->store);
        refused += put(txn, &def, 0, 2, HOUR);
        commit(txn);
    }
    store_stats(f->store, &stats);
    assert_int_equal(stats.series, 3 + OVERFLOW_SERIES_MAX);
    assert_int_equal(refused, 2 * 501);
    assert_int_equal(stats.limits.refused_series, refused);
    /* Totals of those that have one stay exact. */
    add(f, 50, HOUR);
    assert_int_equal(total(f, "overflow", "true", &n), 7);
    assert_int_equal(total(f, "none", "", &n), 10);
}

/* The label is the store's own, but for samples, which never fold. */
static void test_the_overflow_label_is_reserved(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    struct label l[] = {{SLICE("__name__"), orders.name}, {SLICE("overflow"), SLICE("false")}};
    uint32_t metric, id;
    reopen(f);
    struct txn *txn = txn_begin(f->store);
    assert_true(txn_metric(txn, &orders, &metric, &err));
    assert_false(txn_series(txn, metric, (struct labels){l, 2}, &id, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_non_null(strstr(err.text, "overflow"));
    assert_true(txn_metric(txn, &pushed, &metric, &err));
    l[0].value = pushed.name;
    assert_true(txn_series(txn, metric, (struct labels){l, 2}, &id, &err));
    txn_abort(&txn);
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
    /* Far beyond, where sums would overflow. */
    assert_false(txn_accepts(txn, INT64_MIN, 11 * HOUR));
    assert_false(txn_accepts(txn, INT64_MAX, 11 * HOUR));
    assert_true(txn_accepts(txn, INT64_MIN + 1, INT64_MIN));
    assert_true(txn_accepts(txn, INT64_MAX - 1, INT64_MAX));
    /* It is the pusher's to ask: rules and imports write any time. */
    assert_int_equal(put(txn, &pushed, 0, 1, HOUR), 0);
    commit(txn);
    store_stats(f->store, &stats);
    assert_int_equal(stats.limits.refused_series, 2);
    assert_int_equal(stats.limits.refused_old, 2);
    assert_int_equal(stats.limits.refused_ahead, 2);
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
        cmocka_unit_test_setup_teardown(test_the_first_batch_folds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_widest_label, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_abort_folds_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pushes_alone_have_days, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clocks_have_days, setup, teardown),
        cmocka_unit_test_setup_teardown(test_folding_survives_restarts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_store_limit_is_a_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_overflow_label_is_reserved, setup, teardown),
        cmocka_unit_test_setup_teardown(test_samples_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_label_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_store_limit, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
