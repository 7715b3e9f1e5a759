/*
 * Changes since a point, against a naive list of everything that was done: whatever changed is
 * told, and what is told of a series did change.
 */
#include "store/changes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/log.h"
#include "store/delete.h"
#include "store/store.h"
#include "tests/store/support/folder.h"

#define HOUR    3600000ll
#define EVERY   5000ll
#define METRICS 6
#define SHOPS   2000
#define POINTS  64

static char metric_names[METRICS][16];

struct touch {
    uint64_t step;
    uint32_t metric, series;
    int64_t t;
};

struct fixture {
    char dir[FOLDER_MAX];
    struct store_options options;
    struct store *store;
    uint64_t rng;
    uint32_t ids[METRICS][SHOPS]; /* UINT32_MAX: not made yet */
    struct touch *touches;
    size_t n, cap;
    uint64_t step;
    struct {
        struct change_point point;
        uint64_t step;
    } points[POINTS];
    size_t n_points;
    uint64_t exact, unknown; /* answers */
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
    const char *seed = getenv("LARDER_SEED");
    struct fixture *f = calloc(1, sizeof *f);
    folder_make("changes", f->dir);
    f->options.path = f->dir;
    f->rng = (seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL) * 2654435761u) | 1;
    printf("# LARDER_SEED=%llu\n", (unsigned long long)f->rng);
    memset(f->ids, 0xff, sizeof f->ids);
    for (int i = 0; i < METRICS; i++)
        snprintf(metric_names[i], sizeof metric_names[i], "m%d_total", i);
    reopen(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    store_close(&f->store);
    folder_remove(f->dir);
    free(f->touches);
    free(f);
    return 0;
}

static uint32_t below(struct fixture *f, uint32_t n)
{
    f->rng ^= f->rng << 13;
    f->rng ^= f->rng >> 7;
    f->rng ^= f->rng << 17;
    return (uint32_t)((f->rng >> 32) * n >> 32);
}

static void remember(struct fixture *f, uint32_t metric, uint32_t series, int64_t t)
{
    if (f->n == f->cap) {
        f->cap = f->cap * 2 + 64;
        f->touches = realloc(f->touches, f->cap * sizeof *f->touches);
    }
    f->touches[f->n++] = (struct touch){f->step, metric, series, t};
}

static void touch(struct fixture *f, struct txn *txn, uint32_t metric, uint32_t shop, int64_t t)
{
    struct metric_def def = {
        .name = slice_from(metric_names[metric]), .kind = KIND_COUNTER, .every_ms = EVERY};
    char text[16];
    uint32_t id, series;
    struct err err;
    snprintf(text, sizeof text, "s%u", shop);
    struct label l[2] = {{SLICE("__name__"), def.name}, {SLICE("shop"), slice_from(text)}};
    assert_true(txn_metric(txn, &def, &id, &err));
    assert_true(txn_series(txn, id, (struct labels){l, 2}, &series, &err));
    f->ids[metric][shop] = series;
    txn_add(txn, series, t, 1);
    remember(f, id, series, t);
}

/* Few cells of a few series, or of many; some of them late, and once in a while a lot. */
static void commit_random(struct fixture *f)
{
    static const uint32_t sizes[] = {1, 10, 300, 3000};
    struct txn *txn = txn_begin(f->store);
    struct err err;
    int64_t now = 30 * HOUR + (int64_t)f->step * EVERY;
    uint32_t n = 1 + below(f, sizes[below(f, 20) ? below(f, 2) : 2 + below(f, 2)]);
    uint32_t metric = below(f, METRICS), shops = 1 + below(f, n < SHOPS ? n : SHOPS);
    f->step++;
    for (uint32_t i = 0; i < n; i++) {
        int64_t late = below(f, 50) ? 0 : (int64_t)below(f, 20000) * EVERY;
        touch(f, txn, below(f, 3) ? metric : below(f, METRICS), below(f, shops), now - late);
    }
    assert_true(txn_commit(&txn, NULL, &err));
}

static void delete_random(struct fixture *f)
{
    uint32_t metric = below(f, METRICS), shop = below(f, 20);
    char text[16];
    struct err err;
    uint64_t n;
    int64_t to = 30 * HOUR + (int64_t)below(f, (uint32_t)f->step + 1) * EVERY;
    snprintf(text, sizeof text, "s%u", shop);
    struct matcher m[2] = {{MATCH_EQUAL, SLICE("__name__"), slice_from(metric_names[metric]), NULL},
        {MATCH_EQUAL, SLICE("shop"), slice_from(text), NULL}};
    f->step++;
    if (!store_delete(f->store, m, 2, to - HOUR, to, &n, &err))
        fail_msg("%s", err.text);
    if (n > 0) {
        remember(f, UINT32_MAX, f->ids[metric][shop], to - HOUR + 1);
        remember(f, UINT32_MAX, f->ids[metric][shop], to);
    }
    if (!store_delete_finish(f->store, &err))
        fail_msg("%s", err.text);
}

/* ---- asking ---- */

struct told {
    struct change *items;
    size_t n, cap;
};

static void tell(void *ctx, const struct change *change)
{
    struct told *t = ctx;
    if (t->n == t->cap) {
        t->cap = t->cap * 2 + 16;
        t->items = realloc(t->items, t->cap * sizeof *t->items);
    }
    assert_true(change->from_ms < change->to_ms);
    if (t->n > 0 && t->items[t->n - 1].series == change->series &&
        t->items[t->n - 1].metric == change->metric)
        assert_true(t->items[t->n - 1].to_ms < change->from_ms); /* apart */
    t->items[t->n++] = *change;
}

static bool is_told(const struct told *told, const struct touch *touch)
{
    for (size_t i = 0; i < told->n; i++) {
        const struct change *c = &told->items[i];
        if (c->from_ms < touch->t && touch->t <= c->to_ms &&
            (c->series == touch->series ||
                (c->series == CHANGE_ALL &&
                    (c->metric == CHANGE_ALL || c->metric == touch->metric ||
                        touch->metric == UINT32_MAX))))
            return true;
    }
    return false;
}

/* Both ends of what is told of a series were touched. */
static void is_true(struct fixture *f, const struct change *c, uint64_t since)
{
    bool first = false, last = false;
    for (size_t i = f->n; i-- > 0 && f->touches[i].step > since;)
        if (f->touches[i].series == c->series) {
            first |= f->touches[i].t == c->from_ms + 1;
            last |= f->touches[i].t == c->to_ms;
        }
    assert_true(first && last);
}

static void ask(struct fixture *f, size_t at)
{
    struct snapshot *s = snapshot_get(f->store);
    struct told told = {0};
    uint64_t since = f->points[at].step;
    if (!snapshot_changes(s, f->points[at].point, tell, &told)) {
        assert_int_equal(told.n, 0);
        f->unknown++;
        snapshot_put(&s);
        return;
    }
    f->exact++;
    for (size_t i = f->n; i-- > 0 && f->touches[i].step > since;)
        if (!is_told(&told, &f->touches[i]))
            fail_msg("series %u at %lld changed in step %llu, since %llu", f->touches[i].series,
                (long long)f->touches[i].t, (unsigned long long)f->touches[i].step,
                (unsigned long long)since);
    for (size_t i = 0; i < told.n; i++)
        if (told.items[i].series != CHANGE_ALL)
            is_true(f, &told.items[i], since);
    free(told.items);
    snapshot_put(&s);
}

static void keep_point(struct fixture *f)
{
    struct snapshot *s = snapshot_get(f->store);
    size_t at = f->n_points < POINTS ? f->n_points++ : below(f, POINTS);
    f->points[at].point = snapshot_point(s);
    f->points[at].step = f->step;
    snapshot_put(&s);
}

static void test_random(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 3000; i++) {
        commit_random(f);
        if (below(f, 200) == 0)
            delete_random(f);
        if (below(f, 10) == 0)
            keep_point(f);
        if (f->n_points && below(f, 20) == 0)
            ask(f, below(f, (uint32_t)f->n_points));
    }
    keep_point(f);
    printf("# %llu answers, %llu times unknown\n", (unsigned long long)f->exact,
        (unsigned long long)f->unknown);
    assert_true(f->exact > 20);
    assert_int_equal(f->unknown, 0);
}

static void test_nothing_since(void **state)
{
    struct fixture *f = *state;
    struct told told = {0};
    commit_random(f);
    struct snapshot *s = snapshot_get(f->store);
    assert_true(snapshot_changes(s, snapshot_point(s), tell, &told));
    assert_int_equal(told.n, 0);
    assert_false(snapshot_changes(s, (struct change_point){0}, tell, &told));
    snapshot_put(&s);
}

/* What is committed after a snapshot is none of its changes. */
static void test_up_to_the_snapshot(void **state)
{
    struct fixture *f = *state;
    struct told told = {0};
    commit_random(f);
    struct snapshot *before = snapshot_get(f->store), *s;
    struct change_point point = snapshot_point(before);
    struct err err;
    struct txn *txn = txn_begin(f->store);
    touch(f, txn, 0, 0, HOUR);
    assert_true(txn_commit(&txn, NULL, &err));
    assert_true(snapshot_changes(before, point, tell, &told));
    assert_int_equal(told.n, 0);
    assert_true(snapshot_fetch(before, NULL, NULL, &err));
    s = snapshot_get(f->store);
    assert_true(snapshot_changes(s, point, tell, &told));
    assert_int_equal(told.n, 1);
    assert_int_equal(told.items[0].from_ms, HOUR - 1);
    assert_int_equal(told.items[0].to_ms, HOUR);
    assert_true(slice_is(store_metric_name(f->store, told.items[0].metric), "m0_total"));
    snapshot_put(&before);
    snapshot_put(&s);
    free(told.items);
}

static void test_everything_after_a_restart(void **state)
{
    struct fixture *f = *state;
    struct told told = {0};
    commit_random(f);
    keep_point(f);
    reopen(f);
    struct snapshot *s = snapshot_get(f->store);
    assert_false(snapshot_changes(s, f->points[0].point, tell, &told));
    snapshot_put(&s);
}

static void test_retention(void **state)
{
    struct fixture *f = *state;
    struct told told = {0};
    struct err err;
    f->options.retention.raw_ms = 48 * HOUR;
    reopen(f);
    for (int day = 0; day < 5; day++) {
        struct txn *txn = txn_begin(f->store);
        touch(f, txn, 0, 0, day * 24 * HOUR + HOUR);
        assert_true(txn_commit(&txn, NULL, &err));
    }
    keep_point(f);
    if (!store_maintain(f->store, 6 * 24 * HOUR, &err))
        fail_msg("%s", err.text);
    struct snapshot *s = snapshot_get(f->store);
    assert_true(snapshot_changes(s, f->points[0].point, tell, &told));
    assert_int_equal(told.n, 1);
    assert_int_equal(told.items[0].metric, CHANGE_ALL);
    assert_true(told.items[0].from_ms <= HOUR && told.items[0].to_ms >= 24 * HOUR);
    snapshot_put(&s);
    free(told.items);
}

/* The log alone: it stays small, forgets the oldest, and never what is newer than its reach. */
static void test_bounded(void **state)
{
    struct change_log log;
    struct change changes[200];
    struct change_point points[400];
    uint64_t unknown = 0;
    (void)state;
    change_log_init(&log);
    for (uint32_t step = 0; step < 400; step++) {
        for (uint32_t i = 0; i < 200; i++) /* metrics that come once: nothing is near to them */
            changes[i] = (struct change){step * 200 + i, i, step, step + 1};
        points[step] = change_log_point(&log);
        change_log_reserve(&log, 200);
        change_log_append(&log, changes, 200);
        assert_true(log.n <= CHANGES_MAX);
    }
    for (uint32_t step = 0; step < 400; step++) {
        struct told told = {0};
        if (!change_log_between(&log, points[step], change_log_point(&log), tell, &told)) {
            unknown++;
            assert_true(step < 350);
        } else {
            assert_int_equal(told.n, (400 - step) * 200);
        }
        free(told.items);
    }
    assert_true(unknown > 0);
    change_log_fini(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_since, setup, teardown),
        cmocka_unit_test_setup_teardown(test_up_to_the_snapshot, setup, teardown),
        cmocka_unit_test_setup_teardown(test_everything_after_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_retention, setup, teardown),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test_setup_teardown(test_random, setup, teardown),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
