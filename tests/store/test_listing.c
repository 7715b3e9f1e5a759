/*
 * Which series there are in a range of time: exactly those that have a cell there, whatever of it
 * lies where. Random cells of every kind against the naive model, and the corners one by one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/log.h"
#include "store/delete.h"
#include "store/metadata.h"
#include "store/resolution.h"
#include "tests/store/support/folder.h"
#include "tests/store/support/workload.h"

#define STEPS 60000
#define HOUR  RESOLUTION_1H
#define DAY   RESOLUTION_1D
#define EVERY RESOLUTION_1M

static struct metric_def total = {
    .name = {"orders_total", 12}, .kind = KIND_COUNTER, .every_ms = 5000};

struct fixture {
    char dir[FOLDER_MAX];
    struct store_options options;
    struct store *store;
};

static void reopen(struct fixture *f)
{
    struct err err;
    store_close(&f->store);
    if (!store_open(&f->options, &f->store, &err))
        fail_msg("%s", err.text);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    folder_make("listing", f->dir);
    f->options.path = f->dir;
    reopen(f);
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

static void add(struct fixture *f, int64_t end, int amount)
{
    struct err err;
    uint32_t metric, id;
    struct label label = {SLICE("__name__"), total.name};
    struct txn *txn = txn_begin(f->store);
    assert_true(txn_metric(txn, &total, &metric, &err));
    assert_true(txn_series(txn, metric, (struct labels){&label, 1}, &id, &err));
    txn_add(txn, id, end, amount);
    assert_true(txn_commit(&txn, NULL, &err));
}

static void maintain(struct fixture *f, int64_t passed)
{
    struct err err;
    if (!store_maintain(f->store, passed, &err))
        fail_msg("%s", err.text);
}

static bool count(void *ctx, struct labels labels, const struct metric_def *def)
{
    (void)labels, (void)def;
    ++*(int *)ctx;
    return true;
}

static int listed(struct fixture *f, int64_t from, int64_t to)
{
    int n = 0;
    struct err err;
    struct matcher m = {MATCH_EQUAL, SLICE("__name__"), total.name, NULL};
    if (!store_each_series(f->store, NULL, &m, 1, from, to, count, &n, &err))
        fail_msg("%s", err.text);
    return n;
}

static void test_between_two_cells(void **state)
{
    struct fixture *f = *state;
    add(f, HOUR, 5);
    add(f, 2 * HOUR - EVERY, 1);
    for (int64_t passed = 0; passed <= 2 * DAY; passed += DAY) {
        assert_int_equal(listed(f, 0, 2 * HOUR), 1);
        assert_int_equal(listed(f, HOUR, 2 * HOUR - 2 * EVERY), 0);
        assert_int_equal(listed(f, HOUR - 1, HOUR), 1);
        assert_int_equal(listed(f, HOUR, 2 * HOUR - EVERY), 1);
        maintain(f, passed + DAY);
    }
}

static void test_taken_back(void **state)
{
    struct fixture *f = *state;
    add(f, HOUR, 5);
    maintain(f, 2 * HOUR);
    add(f, HOUR, -5);
    assert_int_equal(listed(f, 0, DAY), 0); /* in the head */
    maintain(f, 8 * HOUR);
    assert_int_equal(listed(f, 0, DAY), 0); /* in a late segment */
    maintain(f, 2 * DAY);
    assert_int_equal(listed(f, 0, DAY), 0); /* compacted */
}

static void test_taken_back_after_it_was_derived(void **state)
{
    struct fixture *f = *state;
    add(f, HOUR, 5);
    maintain(f, 2 * DAY);
    add(f, HOUR, -5);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(listed(f, INT64_MIN, INT64_MAX), 0);
        maintain(f, 3 * DAY);
    }
}

static void test_derived_cells_alone(void **state)
{
    struct fixture *f = *state;
    f->options.retention.raw_ms = DAY;
    reopen(f);
    add(f, 90 * EVERY, 5);
    maintain(f, DAY);
    for (int day = 1; day < 5; day++) {
        add(f, day * DAY + HOUR, 1);
        maintain(f, (day + 1) * DAY);
    }
    assert_int_equal(listed(f, 0, DAY), 1); /* cells of a minute and of an hour are left */
    assert_int_equal(listed(f, 89 * EVERY, 90 * EVERY), 1);
    assert_int_equal(listed(f, 90 * EVERY, 2 * HOUR), 0);
    assert_int_equal(listed(f, 2 * HOUR, DAY), 0);
    struct err err;
    uint64_t n;
    struct matcher m = {MATCH_EQUAL, SLICE("__name__"), total.name, NULL};
    assert_true(store_delete(f->store, &m, 1, HOUR, 2 * HOUR, &n, &err));
    assert_int_equal(listed(f, 0, DAY), 0); /* waiting */
    maintain(f, 5 * DAY);
    assert_int_equal(listed(f, 0, DAY), 0); /* carried out */
    assert_int_equal(listed(f, DAY, 6 * DAY), 1);
}

/* ---- against the model ---- */

struct seen {
    const struct naive *naive;
    bool *slot;
};

static bool mark(void *ctx, struct labels labels, const struct metric_def *def)
{
    struct seen *seen = ctx;
    (void)def;
    for (size_t i = 0; i < seen->naive->n_series; i++) {
        const struct naive_series *s = &seen->naive->series[i];
        if (s->n_labels == labels.n &&
            labels_cmp((struct labels){s->labels, s->n_labels}, labels) == 0)
            seen->slot[i] = true;
    }
    return true;
}

static void compare(struct store *store, struct workload *w, int64_t from, int64_t to)
{
    struct matcher all = {MATCH_NOT_EQUAL, SLICE("__name__"), SLICE(""), NULL};
    struct seen seen = {w->naive, calloc(w->naive->n_series, sizeof(bool))};
    struct err err;
    if (!store_each_series(store, NULL, &all, 1, from, to, mark, &seen, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < w->naive->n_series; i++) {
        const struct naive_series *s = &w->naive->series[i];
        bool has = false;
        for (size_t k = 0; k < s->n; k++)
            has |= s->cells[k].t > from && s->cells[k].t <= to;
        if (has != seen.slot[i])
            fail_msg("transaction %lld, series %zu (%s) in (%lld, %lld]: %s", (long long)w->commits,
                i, kind_name(s->def.kind), (long long)from, (long long)to,
                has ? "missing" : "there and should not be");
    }
    free(seen.slot);
}

/* ---- names and values ---- */

#define TEXTS_MAX 200

struct texts {
    struct slice items[TEXTS_MAX];
    size_t n;
    struct arena arena;
};

static void texts_add(struct texts *t, struct slice text)
{
    for (size_t i = 0; i < t->n; i++)
        if (slice_eq(t->items[i], text))
            return;
    assert_true(t->n < TEXTS_MAX);
    t->items[t->n++] = text;
}

static bool hear(void *ctx, struct slice text)
{
    struct texts *t = ctx;
    assert_true(t->n == 0 || slice_cmp(t->items[t->n - 1], text) < 0);
    t->items[t->n++] = arena_slice(&t->arena, text);
    return true;
}

static void same_texts(
    const struct workload *w, const char *what, struct texts *want, struct texts *got)
{
    for (size_t i = 0; i < want->n; i++) {
        size_t k = 0;
        while (k < got->n && !slice_eq(got->items[k], want->items[i]))
            k++;
        if (k == got->n)
            fail_msg("transaction %lld, %s: %.*s is missing", (long long)w->commits, what,
                SLICE_FMT(want->items[i]));
    }
    if (want->n != got->n)
        fail_msg("transaction %lld, %s: %zu, and there are %zu", (long long)w->commits, what,
            got->n, want->n);
}

/* Of the series of one metric, or of all; the names, or the values of a label. */
static void compare_texts(struct store *store, struct workload *w, int64_t from, int64_t to)
{
    const struct naive_series *of =
        &w->naive->series[workload_below(w, (uint32_t)w->naive->n_series)];
    struct matcher m = {MATCH_EQUAL, SLICE("__name__"), of->def.name, NULL};
    struct listing l = {.matchers = &m,
        .n_matchers = workload_below(w, 2) && of->n_labels,
        .from_ms = from,
        .to_ms = to};
    struct slice label = {NULL, 0};
    struct texts want = {.n = 0}, got = {.n = 0};
    struct err err;
    if (of->n_labels && workload_below(w, 4))
        label = of->labels[workload_below(w, (uint32_t)of->n_labels)].name;
    for (size_t i = 0; i < w->naive->n_series; i++) {
        const struct naive_series *s = &w->naive->series[i];
        bool has = false;
        for (size_t k = 0; k < s->n; k++)
            has |= s->cells[k].t > from && s->cells[k].t <= to;
        if (!has || (l.n_matchers && !slice_eq(s->def.name, of->def.name)))
            continue;
        for (size_t k = 0; k < s->n_labels; k++)
            if (!label.ptr)
                texts_add(&want, s->labels[k].name);
            else if (slice_eq(s->labels[k].name, label))
                texts_add(&want, s->labels[k].value);
    }
    arena_init(&got.arena, 0);
    bool ok = label.ptr ? store_label_values(store, &l, label, hear, &got, &err)
                        : store_label_names(store, &l, hear, &got, &err);
    if (!ok)
        fail_msg("%s", err.text);
    same_texts(w, label.ptr ? "values" : "names", &want, &got);
    arena_fini(&got.arena);
}

static void test_random(void **state)
{
    struct fixture *f = *state;
    const char *steps = getenv("LARDER_STEPS"), *seed = getenv("LARDER_SEED");
    uint64_t total_steps = steps ? strtoull(steps, NULL, 10) : STEPS;
    uint64_t start = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL) * 2654435761u;
    struct workload w;
    struct err err;
    printf("# LARDER_SEED=%llu\n", (unsigned long long)start);
    f->options.block_ms = WORKLOAD_BLOCK;
    reopen(f);
    workload_init(&w, start, 8, 120);
    w.histograms = true;
    while (w.ops < total_steps) {
        struct txn *txn = txn_begin(f->store);
        workload_fill(&w, txn, 20);
        assert_true(txn_commit(&txn, NULL, &err));
        if (workload_below(&w, 8) == 0)
            w.newest++;
        if (workload_below(&w, 30) == 0)
            maintain(f, workload_end(w.newest - workload_below(&w, 60)));
        if (workload_below(&w, 300) == 0 && !workload_delete(&w, f->store, &err))
            fail_msg("%s", err.text);
        if (workload_below(&w, 10) > 0)
            continue;
        int64_t from = workload_end((int64_t)workload_below(&w, (uint32_t)w.newest)) -
                       workload_below(&w, (uint32_t)WORKLOAD_EVERY + 1);
        compare(f->store, &w, from, from + (int64_t)workload_below(&w, 4) * WORKLOAD_EVERY);
        compare(f->store, &w, from, from + (int64_t)workload_below(&w, 100) * WORKLOAD_EVERY);
        compare_texts(f->store, &w, from, from + (int64_t)workload_below(&w, 20) * WORKLOAD_EVERY);
        compare_texts(f->store, &w, INT64_MIN, INT64_MAX);
    }
    compare(f->store, &w, INT64_MIN, INT64_MAX);
    workload_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_between_two_cells, setup, teardown),
        cmocka_unit_test_setup_teardown(test_taken_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_taken_back_after_it_was_derived, setup, teardown),
        cmocka_unit_test_setup_teardown(test_derived_cells_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random, setup, teardown),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
