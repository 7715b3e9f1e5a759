/* Reading: selection, budgets, and the one moment that a snapshot is. */
#include "tests/store/store_fixture.h"

#include "base/thread.h"
#include "store/delete.h"
#include "store/store_priv.h"

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

/* Cells that a commit leaves are seen at once, and go to the head when they are taken there; what
 * snapshot_fetch takes is one slice. */
static void test_cells_are_left(void **state)
{
    struct fixture *f = *state;
    struct store_stats stats;
    struct txn *txn = txn_begin(f->store);
    uint32_t id = series(txn, &orders, "berlin");
    for (int i = 0; i < 40000; i++)
        assert_true(txn_add(txn, id, i % 1000 * 5000 + 5000, 1));
    txn_leave_cells(txn);
    commit(txn);
    assert_int_equal(head_cells(&f->store->head), 0);
    check_sum(f, 40000);
    store_stats(f->store, &stats);
    assert_true(stats.pending_bytes > 0);
    while (store_publish(f->store))
        check_sum(f, 40000);
    store_stats(f->store, &stats);
    assert_int_equal(stats.pending_bytes, 0);
    check_sum(f, 40000);
    reopen(f);
    check_sum(f, 40000);
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

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
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
        TEST(test_cells_are_left),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
