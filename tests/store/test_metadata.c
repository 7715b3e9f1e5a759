/* Label names, label values and cardinality: what matches, what a scope hides, limits, order. */
#include "store/metadata.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "store/store.h"

#define SERIES 5000

static struct metric_def counters = {
    .name = {"orders_total", 12}, .kind = KIND_COUNTER, .every_ms = 5000};
static struct metric_def gauges = {.name = {"stock", 5}, .kind = KIND_GAUGE, .every_ms = 5000};

struct fixture {
    struct store *store;
};

static uint32_t series(struct txn *txn, struct metric_def *def, const char *shop, const char *extra)
{
    uint32_t metric, id = 0;
    struct err err;
    struct label l[3] = {{SLICE("__name__"), def->name}, {SLICE("shop"), slice_from(shop)},
        {SLICE("zone"), slice_from(extra ? extra : "")}};
    struct labels labels = {l, extra ? 3 : 2};
    assert_true(txn_metric(txn, def, &metric, &err) && txn_series(txn, metric, labels, &id, &err));
    return id;
}

/* orders_total{shop="s0000".."s4999"}, one cell at i + 1 windows; stock{shop="s0000", zone="a"};
 * orders_total{shop="gone"}, taken back. */
static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct store_options options = {0};
    struct err err;
    char shop[16];
    assert_true(store_open(&options, &f->store, &err));
    struct txn *txn = txn_begin(f->store);
    for (int i = 0; i < SERIES; i++) {
        snprintf(shop, sizeof shop, "s%04d", i);
        txn_add(txn, series(txn, &counters, shop, NULL), (i + 1) * 5000ll, 1);
    }
    struct gauge_cell cell = {1, 4000, 1, 1, 1, 1};
    txn_gauge(txn, series(txn, &gauges, "s0000", "a"), 5000, &cell);
    uint32_t gone = series(txn, &counters, "gone", "nowhere");
    txn_add(txn, gone, 5000, 1);
    txn_add(txn, gone, 5000, -1);
    assert_true(txn_commit(&txn, NULL, &err));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    store_close(&f->store);
    free(f);
    return 0;
}

struct texts {
    char text[8000];
    size_t n, max;
};

static bool collect(void *ctx, struct slice text)
{
    struct texts *t = ctx;
    if (t->n == t->max)
        return false;
    if (t->n++)
        strcat(t->text, " ");
    strncat(t->text, text.ptr, text.len);
    return true;
}

static const char *names(struct fixture *f, const struct listing *l)
{
    static struct texts t;
    struct err err;
    t = (struct texts){.max = 100};
    assert_true(store_label_names(f->store, l, collect, &t, &err));
    return t.text;
}

static const char *values(struct fixture *f, const struct listing *l, const char *name, size_t max)
{
    static struct texts t;
    struct err err;
    t = (struct texts){.max = max};
    assert_true(store_label_values(f->store, l, slice_from(name), collect, &t, &err));
    return t.text;
}

static const struct listing everything = {.from_ms = INT64_MIN, .to_ms = INT64_MAX};

static void test_names(void **state)
{
    struct fixture *f = *state;
    struct matcher m = {MATCH_EQUAL, SLICE("__name__"), SLICE("orders_total"), NULL};
    struct scope scope = {SLICE("who"), &m, 1};
    struct listing l = everything;
    assert_string_equal(names(f, &l), "__name__ shop zone");
    l.scope = &scope;
    assert_string_equal(names(f, &l), "__name__ shop"); /* the only one with a zone is no more */
    m.value = SLICE("unheard_of");
    assert_string_equal(names(f, &l), "");
    l = (struct listing){.from_ms = 5000, .to_ms = INT64_MAX};
    assert_string_equal(names(f, &l), "__name__ shop");
    l = (struct listing){.from_ms = INT64_MAX - 1, .to_ms = INT64_MAX};
    assert_string_equal(names(f, &l), "");
}

static void test_values(void **state)
{
    struct fixture *f = *state;
    struct matcher m = {MATCH_EQUAL, SLICE("__name__"), SLICE("stock"), NULL};
    struct scope scope = {SLICE("who"), &m, 1};
    struct listing l = everything;
    assert_string_equal(values(f, &l, "shop", 3), "s0000 s0001 s0002");
    assert_string_equal(values(f, &l, "zone", 3), "a");
    assert_string_equal(values(f, &l, "nothing", 3), "");
    assert_string_equal(values(f, &l, "__name__", 9), "orders_total stock");
    l.scope = &scope;
    assert_string_equal(values(f, &l, "shop", 9), "s0000");
    l.scope = NULL;
    l.matchers = &m;
    l.n_matchers = 1;
    assert_string_equal(values(f, &l, "shop", 9), "s0000");
    l = (struct listing){.from_ms = 4990 * 5000, .to_ms = 4993 * 5000};
    assert_string_equal(values(f, &l, "shop", 9), "s4990 s4991 s4992");
    m.value = SLICE("orders_total");
    l.matchers = &m;
    l.n_matchers = 1;
    assert_string_equal(values(f, &l, "shop", 2), "s4990 s4991");
}

static int64_t from_start(const struct metric_def *def, int64_t from_ms)
{
    return def->kind == KIND_COUNTER ? from_ms - 5000 : from_ms;
}

static void test_range_by_metric(void **state)
{
    struct fixture *f = *state;
    struct listing l = {.from_ms = 5000, .to_ms = 10000, .from_of = from_start};
    assert_string_equal(values(f, &l, "shop", 9), "s0000 s0001");
    assert_string_equal(values(f, &l, "__name__", 9), "orders_total");
}

static bool stop(void *ctx, struct err *err)
{
    return ++*(int *)ctx < 3 || err_set(err, ERR_TIMEOUT, "enough");
}

static bool ignore(void *ctx, struct slice text)
{
    (void)ctx, (void)text;
    return true;
}

static void test_stops(void **state)
{
    struct fixture *f = *state;
    int asked = 0;
    struct listing l = everything;
    struct err err;
    l.go_on = stop;
    l.go_on_ctx = &asked;
    assert_false(store_label_values(f->store, &l, SLICE("shop"), ignore, NULL, &err));
    assert_int_equal(err.code, ERR_TIMEOUT);
    atomic_bool cancel = true;
    l = everything;
    l.cancel = &cancel;
    assert_false(store_label_names(f->store, &l, ignore, NULL, &err));
    assert_int_equal(err.code, ERR_CANCELED);
}

static void same_count(const struct label_count *c, const char *name, const char *value, uint64_t n)
{
    assert_true(slice_eq(c->name, slice_from(name)) && slice_eq(c->value, slice_from(value)));
    assert_int_equal(c->n, n);
}

static void test_cardinality(void **state)
{
    struct fixture *f = *state;
    struct matcher m = {MATCH_EQUAL, SLICE("__name__"), SLICE("stock"), NULL};
    struct scope scope = {SLICE("who"), &m, 1};
    struct cardinality c;
    struct arena arena;
    struct err err;
    arena_init(&arena, 0);
    assert_true(store_cardinality(f->store, NULL, 2, NULL, &arena, &c, &err));
    assert_int_equal(c.series, SERIES + 2);
    assert_int_equal(c.label_names, 3);
    assert_int_equal(c.label_pairs, 2 + SERIES + 1 + 2);
    assert_int_equal(c.n_metrics, 2);
    same_count(&c.metrics[0], "orders_total", "", SERIES + 1);
    same_count(&c.metrics[1], "stock", "", 1);
    assert_int_equal(c.n_values, 2);
    same_count(&c.values[0], "shop", "", SERIES + 1);
    same_count(&c.values[1], "__name__", "", 2);
    same_count(&c.bytes[0], "__name__", "", 12 * (SERIES + 1) + 5);
    same_count(&c.bytes[1], "shop", "", 5 * (SERIES + 1) + 4);
    same_count(&c.pairs[0], "__name__", "orders_total", SERIES + 1);
    same_count(&c.pairs[1], "shop", "s0000", 2);
    assert_true(store_cardinality(f->store, &scope, 10, NULL, &arena, &c, &err));
    assert_int_equal(c.series, 1);
    assert_int_equal(c.n_metrics, 1);
    assert_int_equal(c.n_pairs, 3);
    same_count(&c.pairs[2], "zone", "a", 1);
    m.value = SLICE("unheard_of");
    assert_true(store_cardinality(f->store, &scope, 10, NULL, &arena, &c, &err));
    assert_int_equal(c.series, 0);
    assert_int_equal(c.n_pairs, 0);
    arena_fini(&arena);
}

static bool count_metric(void *ctx, const struct metric_def *def)
{
    struct texts *t = ctx;
    return collect(t, def->name);
}

static void test_metrics_of_a_scope(void **state)
{
    struct fixture *f = *state;
    struct matcher m = {MATCH_EQUAL, SLICE("zone"), SLICE("a"), NULL};
    struct scope scope = {SLICE("who"), &m, 1};
    struct texts t = {.max = 9};
    struct err err;
    assert_true(store_each_metric(f->store, NULL, count_metric, &t, &err));
    assert_string_equal(t.text, "orders_total stock");
    t = (struct texts){.max = 9};
    assert_true(store_each_metric(f->store, &scope, count_metric, &t, &err));
    assert_string_equal(t.text, "stock");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_values, setup, teardown),
        cmocka_unit_test_setup_teardown(test_range_by_metric, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stops, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cardinality, setup, teardown),
        cmocka_unit_test_setup_teardown(test_metrics_of_a_scope, setup, teardown),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
