/*
 * The greatest numbers that may enter, in all kinds, through everything that adds them up: merging
 * in the head, sealing, late segments, compaction, coarser cells, aggregates of chunks, openings.
 * Built with SANITIZE=undefined this is where an overflow would show; the sums are exact. What may
 * not enter is refused.
 */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "store/bounds.h"
#include "store/read.h"
#include "store/resolution.h"
#include "tests/store/support/folder.h"

#define EVERY INT64_C(60000)
#define BLOCK (2 * RESOLUTION_1H)
#define DAY   (24 * RESOLUTION_1H)
#define TIMES 24 /* cells: one each hour */
#define ADDS  5  /* to each of them */

enum { COUNTER, LEVEL, GAUGE, HISTOGRAM, SAMPLE, METRICS };

static const struct metric_def defs[METRICS] = {
    {.name = {"a_total", 7}, .kind = KIND_COUNTER, .every_ms = EVERY},
    {.name = {"b_level", 7}, .kind = KIND_LEVEL, .every_ms = EVERY},
    {.name = {"c_gauge", 7}, .kind = KIND_GAUGE, .every_ms = EVERY},
    {.name = {"d_seconds", 9}, .kind = KIND_HISTOGRAM, .every_ms = EVERY, .schema = 8},
    {.name = {"e", 1}, .kind = KIND_SAMPLE},
};

/* Two series of each: one of the greatest numbers, one of the least. */
static const char *const signs[2] = {"plus", "minus"};

static uint32_t series_of(struct txn *txn, int metric, int sign)
{
    uint32_t m, id;
    struct err err;
    struct label l[2] = {
        {SLICE("__name__"), defs[metric].name}, {SLICE("sign"), slice_from(signs[sign])}};
    assert_true(txn_metric(txn, &defs[metric], &m, &err));
    assert_true(txn_series(txn, m, (struct labels){l, 2}, &id, &err));
    return id;
}

static int128 most(int sign)
{
    return sign ? -(SUM_BOUND - 1) : SUM_BOUND - 1;
}

static double sample_of(int sign, int i)
{
    static const double odd[] = {DBL_MAX, 9007199254740991.0, 9007199.254740991, DBL_MIN, 0};
    return odd[i % 5] * (sign ? -1 : 1);
}

static struct gauge_cell gauge_of(int sign, int64_t t)
{
    int64_t v = sign ? INT64_MIN : INT64_MAX;
    return (struct gauge_cell){v, t - EVERY / 2, INT64_MIN, INT64_MAX, most(sign), COUNT_BOUND - 1};
}

static void add_all(struct store *store, int64_t t, int i)
{
    struct txn *txn = txn_begin(store);
    struct err err;
    for (int sign = 0; sign < 2; sign++) {
        int64_t count = sign ? 1 - COUNT_BOUND : COUNT_BOUND - 1;
        struct hist_bucket b[3] = {{HIST_NEGATIVE(HIST_INDEX_BOUND - 1), count}, {HIST_ZERO, count},
            {HIST_INDEX_BOUND - 1, count}};
        struct hist_cell hist = {most(sign), 3, b};
        struct gauge_cell gauge = gauge_of(sign, t);
        assert_true(txn_add(txn, series_of(txn, COUNTER, sign), t, most(sign)));
        assert_true(txn_add(txn, series_of(txn, LEVEL, sign), t, most(sign)));
        assert_true(txn_gauge(txn, series_of(txn, GAUGE, sign), t, &gauge));
        assert_true(txn_histogram(txn, series_of(txn, HISTOGRAM, sign), t, &hist));
        assert_true(txn_sample(txn, series_of(txn, SAMPLE, sign), t, sample_of(sign, i)));
        txn_sample_start(txn, sign ? INT64_MIN : INT64_MAX);
    }
    if (!txn_commit(&txn, NULL, &err))
        fail_msg("%s", err.text);
}

/* ---- reading ---- */

/* The sums over all cells of a series; count: what gauges and histograms have counted. */
static int128 sum_of(const struct columns *c, int64_t *count)
{
    int128 sum = 0;
    *count = 0;
    for (size_t i = 0; i < c->n; i++) {
        sum += c->amount ? c->amount[i] : c->sum ? c->sum[i] : 0;
        if (c->kind == KIND_GAUGE)
            *count += c->count[i];
    }
    for (uint32_t i = 0; c->bucket_at && i < c->bucket_at[c->n]; i++)
        *count += c->bucket[i].count;
    return sum;
}

static void check_cells(const struct columns *c, int metric, int sign)
{
    int64_t count, each = COUNT_BOUND - 1;
    int128 sum = sum_of(c, &count);
    assert_true(sum == most(sign) * TIMES * ADDS);
    if (metric == GAUGE)
        assert_int_equal(count, each * TIMES * ADDS);
    if (metric == HISTOGRAM)
        assert_int_equal(count, (sign ? -each : each) * TIMES * ADDS * 3);
    if (metric == GAUGE)
        assert_true(c->min[0] == INT64_MIN && c->max[0] == INT64_MAX);
}

static void check_pieces(const struct plan *plan, struct arena *arena, int metric, int sign)
{
    struct plan_piece *pieces;
    struct err err;
    size_t n;
    int128 sum = 0;
    if (!plan_pieces(plan, 0, arena, &pieces, &n, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < n; i++) {
        int64_t count;
        sum += pieces[i].whole ? pieces[i].aggregate.sum : sum_of(&pieces[i].columns, &count);
    }
    if (metric != SAMPLE)
        assert_true(sum == most(sign) * TIMES * ADDS);
}

static void check_series(struct store *store, int metric, int sign, int64_t resolution_ms)
{
    struct matcher m[2] = {{MATCH_EQUAL, SLICE("__name__"), defs[metric].name, NULL},
        {MATCH_EQUAL, SLICE("sign"), slice_from(signs[sign]), NULL}};
    struct snapshot *s = snapshot_get(store);
    struct plan *plan, *pieces;
    struct columns c;
    struct arena arena;
    struct err err;
    int128 sum;
    assert_true(plan_new(s, NULL, m, 2, NULL, &plan, &err));
    assert_true(plan_new(s, NULL, m, 2, NULL, &pieces, &err));
    assert_int_equal(plan_n(plan), 1);
    plan_range(plan, 0, 0, 4 * DAY);
    plan_range(pieces, 0, 0, 4 * DAY);
    if (resolution_ms)
        plan_resolution(plan, 0, resolution_ms);
    plan_aggregates(pieces, 0);
    if (metric == LEVEL)
        assert_true(plan_opening(plan, 0, 4 * DAY, &err));
    if (!snapshot_fetch(s, NULL, NULL, &err))
        fail_msg("%s", err.text);
    arena_init(&arena, 0);
    if (!plan_columns(plan, 0, &arena, &c, &err))
        fail_msg("%s", err.text);
    assert_true(c.n > 0);
    if (metric != SAMPLE)
        check_cells(&c, metric, sign);
    check_pieces(pieces, &arena, metric, sign);
    if (metric == LEVEL) {
        assert_true(plan_opening_sum(plan, 0, &arena, &sum, &err));
        assert_true(sum == most(sign) * TIMES * ADDS);
    }
    arena_fini(&arena);
    snapshot_put(&s);
}

static void check_all(struct store *store)
{
    static const int64_t resolutions_ms[] = {0, RESOLUTION_1M, RESOLUTION_1H};
    for (int metric = 0; metric < METRICS; metric++)
        for (int sign = 0; sign < 2; sign++)
            for (int r = 0; r < 3; r++)
                if (r == 0 || resolution_fits(&defs[metric], resolutions_ms[r]))
                    check_series(store, metric, sign, resolutions_ms[r]);
}

static void test_the_greatest_numbers(void **state)
{
    (void)state;
    char dir[FOLDER_MAX];
    struct store *store;
    struct store_stats stats;
    struct err err;
    folder_make("extremes", dir);
    struct store_options options = {.path = dir, .block_ms = BLOCK};
    assert_true(store_open(&options, &store, &err));
    for (int k = 0; k < ADDS - 1; k++)
        for (int i = 0; i < TIMES; i++)
            add_all(store, DAY + i * RESOLUTION_1H + EVERY, i);
    if (!store_maintain(store, DAY + 6 * RESOLUTION_1H, &err)) /* some blocks */
        fail_msg("%s", err.text);
    for (int i = 0; i < TIMES; i++) /* late for these */
        add_all(store, DAY + i * RESOLUTION_1H + EVERY, i);
    check_all(store);
    store_close(&store);
    assert_true(store_open(&options, &store, &err)); /* from the log */
    check_all(store);
    if (!store_maintain(store, 5 * DAY, &err))
        fail_msg("%s", err.text);
    store_stats(store, &stats);
    assert_true(stats.compactions > 0 && stats.derived_segments > 0);
    check_all(store);
    store_close(&store);
    folder_remove(dir);
}

/* ---- what may not enter ---- */

static void check_refused(struct txn *txn, bool taken, const char *why)
{
    struct err err;
    assert_false(taken);
    assert_true(txn_refused(txn, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_non_null(strstr(err.text, why));
}

static void test_greater_ones_are_refused(void **state)
{
    (void)state;
    struct store_options options = {0};
    struct store *store;
    struct err err;
    assert_true(store_open(&options, &store, &err));
    struct txn *txn = txn_begin(store);
    struct gauge_cell gauge = gauge_of(0, EVERY);
    struct hist_bucket bucket = {1, COUNT_BOUND};
    struct hist_cell hist = {0, 1, &bucket};
    uint32_t counter = series_of(txn, COUNTER, 0), histogram = series_of(txn, HISTOGRAM, 0);
    check_refused(txn, txn_add(txn, counter, EVERY, SUM_BOUND), "an amount");
    check_refused(txn, txn_add(txn, counter, EVERY, -SUM_BOUND), "an amount");
    check_refused(txn, txn_histogram(txn, histogram, EVERY, &hist), "counts 281474976710656");
    bucket.count = -COUNT_BOUND;
    check_refused(txn, txn_histogram(txn, histogram, EVERY, &hist), "counts -281474976710656");
    hist = (struct hist_cell){SUM_BOUND, 0, NULL};
    check_refused(txn, txn_histogram(txn, histogram, EVERY, &hist), "whose sum");
    gauge.count = COUNT_BOUND;
    check_refused(txn, txn_gauge(txn, series_of(txn, GAUGE, 0), EVERY, &gauge), "readings");
    gauge.count = 0;
    check_refused(txn, txn_gauge(txn, series_of(txn, GAUGE, 0), EVERY, &gauge), "readings");
    gauge = (struct gauge_cell){.sum = SUM_BOUND, .count = 1};
    check_refused(txn, txn_gauge(txn, series_of(txn, GAUGE, 0), EVERY, &gauge), "whose sum");
    txn_abort(&txn);
    store_close(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_greatest_numbers),
        cmocka_unit_test(test_greater_ones_are_refused),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
