/*
 * A series in pieces is the series: whole chunks have the aggregates of the cells that decoding
 * gives, and the rest is what decoding gives.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/double_bits.h"
#include "base/log.h"
#include "store/read.h"
#include "store/resolution.h"
#include "store/segment/aggregate.h"
#include "tests/store/support/folder.h"
#include "tests/store/support/workload.h"

#define STEPS 60000

struct count {
    uint64_t whole, decoded;
};

/* The same cells of one series, decoded as a whole and in pieces. */
static void compare(
    const struct plan *plan, const struct plan *pieced, size_t i, struct count *count)
{
    struct plan_piece *pieces;
    struct columns all, cut;
    struct arena arena;
    struct err err;
    size_t n = 0, cells = 0;
    arena_init(&arena, 0);
    if (!plan_columns(plan, i, &arena, &all, &err) ||
        !plan_pieces(pieced, i, &arena, &pieces, &n, &err))
        fail_msg("%s", err.text);
    for (size_t k = 0; k < n; k++) {
        struct segment_aggregate want, got;
        assert_true(pieces[k].from_ms < pieces[k].to_ms);
        assert_true(k == 0 || pieces[k - 1].to_ms <= pieces[k].from_ms);
        cut = columns_slice(&all, pieces[k].from_ms, pieces[k].to_ms);
        assert_int_equal(cut.n, pieces[k].cells);
        cells += cut.n;
        aggregate_of(&cut, 0, cut.n, &want);
        if (pieces[k].whole) {
            got = pieces[k].aggregate;
            count->whole++;
        } else {
            assert_int_equal(pieces[k].columns.n, cut.n);
            assert_memory_equal(pieces[k].columns.t, cut.t, cut.n * sizeof *cut.t);
            aggregate_of(&pieces[k].columns, 0, cut.n, &got);
            count->decoded++;
        }
        assert_true(aggregate_eq(&want, &got));
    }
    assert_int_equal(cells, all.n);
    arena_fini(&arena);
}

/* resolution_ms 0: raw. */
static void read_both(
    struct store *store, int64_t from, int64_t to, int64_t resolution_ms, struct count *count)
{
    struct matcher all = {MATCH_NOT_EQUAL, SLICE("__name__"), SLICE(""), NULL};
    struct snapshot *s = snapshot_get(store);
    struct plan *plan[2];
    struct err err;
    for (int k = 0; k < 2; k++) {
        assert_true(plan_new(s, NULL, &all, 1, NULL, &plan[k], &err));
        for (size_t i = 0; i < plan_n(plan[k]); i++) {
            const struct metric_def *def = plan_metric(plan[k], i);
            if (resolution_ms && (!resolution_fits(def, resolution_ms) ||
                                     def->kind == KIND_SAMPLE)) /* histograms have none */
                continue;
            plan_range(plan[k], i, from, to);
            if (resolution_ms)
                plan_resolution(plan[k], i, resolution_ms);
            if (k == 1)
                plan_aggregates(plan[k], i);
        }
    }
    if (!snapshot_fetch(s, NULL, NULL, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < plan_n(plan[0]); i++) {
        const struct metric_def *def = plan_metric(plan[0], i);
        if (!resolution_ms || (resolution_fits(def, resolution_ms) && def->kind != KIND_SAMPLE))
            compare(plan[0], plan[1], i, count);
    }
    snapshot_put(&s);
}

static void maintain(struct store *store, int64_t passed)
{
    struct err err;
    if (!store_maintain(store, passed, &err))
        fail_msg("%s", err.text);
}

static void test_random(void **state)
{
    const char *steps = getenv("LARDER_STEPS"), *seed = getenv("LARDER_SEED");
    uint64_t total = steps ? strtoull(steps, NULL, 10) : STEPS;
    uint64_t start = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL) * 2654435761u;
    char dir[FOLDER_MAX];
    struct count count = {0};
    struct workload w;
    struct store *store;
    struct err err;
    (void)state;
    printf("# LARDER_SEED=%llu\n", (unsigned long long)start);
    folder_make("pieces", dir);
    struct store_options options = {.path = dir, .block_ms = WORKLOAD_BLOCK};
    assert_true(store_open(&options, &store, &err));
    workload_init(&w, start, 6, 60);
    w.histograms = true;
    while (w.ops < total) {
        struct txn *txn = txn_begin(store);
        workload_fill(&w, txn, 60);
        assert_true(txn_commit(&txn, NULL, &err));
        w.newest += workload_below(&w, 3) == 0;
        if (workload_below(&w, 30) == 0)
            maintain(store, workload_end(w.newest - workload_below(&w, 60)));
        if (workload_below(&w, 500) == 0 && !workload_delete(&w, store, &err))
            fail_msg("%s", err.text);
        if (workload_below(&w, 20) > 0)
            continue;
        int64_t from = workload_end((int64_t)workload_below(&w, (uint32_t)w.newest)) -
                       workload_below(&w, (uint32_t)WORKLOAD_EVERY + 1);
        int64_t to = from + (int64_t)workload_below(&w, 300) * WORKLOAD_EVERY;
        read_both(store, from, to, 0, &count);
        from -= from % RESOLUTION_1H;
        to -= to % RESOLUTION_1H;
        read_both(store, from, to, RESOLUTION_1H, &count);
    }
    read_both(store, INT64_MIN, INT64_MAX, 0, &count);
    printf("# %llu whole chunks, %llu decoded pieces\n", (unsigned long long)count.whole,
        (unsigned long long)count.decoded);
    assert_true(count.whole > 100 && count.decoded > 100);
    store_close(&store);
    folder_remove(dir);
    workload_fini(&w);
}

/* Of a sealed day, read from the middle of its first chunk: only that one is read. */
static void test_reads_the_edges_only(void **state)
{
    char dir[FOLDER_MAX];
    struct metric_def def = {.name = SLICE("up"), .kind = KIND_SAMPLE};
    struct label label = {SLICE("__name__"), def.name};
    struct matcher m = {MATCH_EQUAL, label.name, label.value, NULL};
    struct store *store;
    struct plan_piece *pieces;
    struct arena arena;
    struct plan *plan;
    struct err err;
    uint32_t metric, id;
    size_t n;
    (void)state;
    folder_make("pieces", dir);
    struct store_options options = {.path = dir, .block_ms = 24 * RESOLUTION_1H};
    assert_true(store_open(&options, &store, &err));
    struct txn *txn = txn_begin(store);
    assert_true(txn_metric(txn, &def, &metric, &err));
    assert_true(txn_series(txn, metric, (struct labels){&label, 1}, &id, &err));
    for (int64_t t = 1; t <= 4 * CHUNK_CELLS_MAX; t++)
        txn_sample(txn, id, t * 10000, (double)(t % 1000));
    assert_true(txn_commit(&txn, NULL, &err));
    maintain(store, 24 * RESOLUTION_1H);
    arena_init(&arena, 0);
    struct snapshot *s = snapshot_get(store);
    assert_true(plan_new(s, NULL, &m, 1, NULL, &plan, &err));
    plan_range(plan, 0, 100 * 10000, INT64_MAX);
    plan_aggregates(plan, 0);
    assert_true(snapshot_fetch(s, NULL, NULL, &err));
    assert_true(snapshot_cells(s) <= CHUNK_CELLS_MAX);
    assert_true(plan_pieces(plan, 0, &arena, &pieces, &n, &err));
    assert_true(n >= 4 && !pieces[0].whole);
    double sum = 0, want = 0;
    for (int64_t t = 101; t <= 4 * CHUNK_CELLS_MAX; t++)
        want += (double)(t % 1000);
    for (size_t i = 0; i < n; i++) {
        assert_true(i == 0 || pieces[i].whole);
        for (size_t k = 0; !pieces[i].whole && k < pieces[i].columns.n; k++)
            sum += bits_double(pieces[i].columns.bits[k]);
        if (pieces[i].whole) {
            assert_true(pieces[i].aggregate.has & SEGMENT_DECIMAL);
            assert_int_equal(pieces[i].aggregate.digits, 0);
            sum += (double)pieces[i].aggregate.sum;
        }
    }
    assert_true(sum == want);
    snapshot_put(&s);
    arena_fini(&arena);
    store_close(&store);
    folder_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_the_edges_only),
        cmocka_unit_test(test_random),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
