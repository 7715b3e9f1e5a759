#include "tests/query/engine_fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Counters, histograms, gauges: exact functions, C, zeros, the frontier. Amounts have 2 digits. */

/* A quiet time of day. */
#define NOON (MIDNIGHT + 12 * HOUR)

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    fixture_open(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    fixture_close(f);
    free(f);
    return 0;
}

static void count(struct fixture *f, const char *name, int64_t end, int64_t amount)
{
    struct metric_def def = fixture_def(name, KIND_COUNTER);
    txn_add(f->txn, fixture_series(f, &def, "a"), end, amount);
}

static void frontier(struct fixture *f, int64_t t)
{
    txn_clock(f->txn, SLICE("orders"), t, t);
}

static void test_increase_and_rate_are_exact(void **state)
{
    struct fixture *f = *state;
    frontier(f, NOON + 10 * MINUTE);
    count(f, "orders_total", NOON, 100);
    count(f, "orders_total", NOON + 5 * SECOND, 300);
    count(f, "orders_total", NOON + 60 * SECOND, 700);
    fixture_commit(f);
    int64_t now = NOON + 60 * SECOND;
    assert_true(fixture_value(f, "increase(orders_total[1m])", now) == 10);
    assert_true(fixture_value(f, "increase(orders_total[65s])", now) == 11);
    assert_true(fixture_value(f, "increase(orders_total[55s])", now) == 7);
    assert_true(fixture_value(f, "rate(orders_total[1m])", now) == 10.0 / 60);
    assert_true(fixture_value(f, "irate(orders_total[1m])", now) == 7.0 / 5);
    assert_true(fixture_value(f, "irate(orders_total[1m])", now + 5 * SECOND) == 0);
    assert_true(fixture_value(f, "changes(orders_total[65s])", now) == 3);
    assert_true(fixture_value(f, "resets(orders_total[65s])", now) == 0);
    assert_int_equal(f->answer.notes.n_infos + f->answer.notes.n_warnings, 0);
    assert_int_equal(f->answer.value.series[0].labels.n, 1);
}

/* Empty windows of a series that is alive are zeros, as far as the frontier is. */
static void test_zeros(void **state)
{
    struct fixture *f = *state;
    frontier(f, NOON + 30 * MINUTE);
    count(f, "orders_total", NOON, 100);
    count(f, "old_total", NOON - 2 * HOUR, 100);
    fixture_commit(f);
    assert_true(fixture_value(f, "increase(orders_total[5m])", NOON + 20 * MINUTE) == 0);
    assert_int_equal(fixture_count(f, "increase(orders_total[5m])", NOON - 5 * SECOND), 0);
    assert_int_equal(fixture_count(f, "increase(orders_total[5m])", NOON + 40 * MINUTE), 0);
    assert_int_equal(f->answer.notes.n_infos, 1);
    assert_int_equal(fixture_count(f, "increase(old_total[5m])", NOON), 0);
    assert_int_equal(fixture_count(f, "increase(old_total[3h])", NOON), 1);
    assert_true(fixture_value(f, "increase(old_total[1h])", NOON - HOUR) == 0);
    assert_int_equal(fixture_count(f, "increase(old_total[5m])", NOON - HOUR + 4 * MINUTE), 1);
    assert_int_equal(fixture_count(f, "increase(old_total[5m])", NOON - HOUR + 5 * MINUTE), 0);
}

static void test_the_frontier_is_named(void **state)
{
    struct fixture *f = *state;
    frontier(f, NOON + 7 * SECOND);
    count(f, "orders_total", NOON, 100);
    count(f, "orders_total", NOON + 20 * SECOND, 500);
    fixture_commit(f);
    /* Summed as far as it is known, divided by all windows; cells behind the frontier count. */
    assert_true(fixture_value(f, "increase(orders_total[1m])", NOON + 30 * SECOND) == 6);
    assert_int_equal(f->answer.notes.n_infos, 1);
    assert_non_null(strstr(f->answer.notes.infos[0], "known up to 2026-11-20T12:00:07Z"));
    assert_non_null(strstr(f->answer.notes.infos[0], "(1:10)"));
    assert_true(fixture_value(f, "rate(orders_total[1m])", NOON + 30 * SECOND) == 6.0 / 60);
    assert_true(fixture_value(f, "irate(orders_total[1m])", NOON + 15 * SECOND) == 0);
    /* Windows that end by the frontier do not pass it. */
    assert_true(fixture_value(f, "increase(orders_total[1m])", NOON + 9 * SECOND) == 1);
    assert_int_equal(f->answer.notes.n_infos, 0);
}

static void test_ranges_that_are_no_multiple(void **state)
{
    struct fixture *f = *state;
    frontier(f, NOON + HOUR);
    count(f, "orders_total", NOON, 100);
    count(f, "orders_total", NOON + 5 * SECOND, 300);
    fixture_commit(f);
    assert_true(fixture_value(f, "rate(orders_total[7s])", NOON + 6 * SECOND) == 4.0 / 10);
    assert_string_equal(f->answer.notes.infos[0],
        "PromQL info: metric \"orders_total\" has windows of 5s: the "
        "range of 7s covered 10s (1:6)");
    fixture_value(f, "increase(orders_total[20d2s500ms])", NOON + 6 * SECOND);
    assert_non_null(strstr(f->answer.notes.infos[0], "the range of 1728002.500s covered 1728005s"));
    assert_true(fixture_value(f, "rate(orders_total[7s])", NOON + 8 * SECOND) == 3.0 / 5);
    assert_true(fixture_ask_range(
        f, "rate(orders_total[7s])", NOON + 6 * SECOND, NOON + 8 * SECOND, 2 * SECOND));
    assert_int_equal(f->answer.notes.n_infos, 1);
    assert_non_null(strstr(f->answer.notes.infos[0], "covered 5s to 10s"));
    /* No window ends in the range: rate takes the last one, increase has no result. */
    assert_true(fixture_value(f, "rate(orders_total[2s])", NOON + 8 * SECOND) == 3.0 / 5);
    assert_int_equal(f->answer.notes.n_infos, 1);
    assert_int_equal(fixture_count(f, "increase(orders_total[2s])", NOON + 8 * SECOND), 0);
    assert_true(fixture_value(f, "irate(orders_total[2s])", NOON + 8 * SECOND) == 3.0 / 5);
}

/* A range shorter than a window: steps and subqueries see what an instant query sees. */
static void test_ranges_within_a_window(void **state)
{
    struct fixture *f = *state;
    struct metric_def def = fixture_def("hourly_total", KIND_COUNTER);
    def.every_ms = HOUR;
    def.stale_after_ms = 90 * MINUTE;
    frontier(f, NOON + 5 * HOUR);
    txn_add(f->txn, fixture_series(f, &def, "a"), NOON, 100);
    fixture_commit(f);
    static const char *const functions[] = {"rate", "irate"};
    for (size_t i = 0; i < 2; i++) {
        char text[128];
        int64_t from = NOON + 110 * MINUTE, to = NOON + 190 * MINUTE;
        snprintf(text, sizeof text, "%s(hourly_total[5m])", functions[i]);
        assert_true(fixture_value(f, text, from) == 0);
        assert_int_equal(fixture_count(f, text, NOON + 120 * MINUTE), 0);
        assert_true(fixture_ask_range(f, text, from, to, 10 * MINUTE));
        assert_int_equal(f->answer.value.n, 1);
        assert_int_equal(f->answer.value.series[0].n, 1);
        assert_int_equal(f->answer.value.series[0].points[0].t_ms, from);
        assert_true(f->answer.value.series[0].points[0].v == 0);
        snprintf(text, sizeof text, "count_over_time(%s(hourly_total[5m])[81m:10m])", functions[i]);
        assert_true(fixture_value(f, text, to) == 1);
    }
}

/* A correction that takes a cell back leaves nothing of it. */
static void test_corrections(void **state)
{
    struct fixture *f = *state;
    frontier(f, NOON + HOUR);
    count(f, "orders_total", NOON, 100);
    count(f, "orders_total", NOON + 5 * SECOND, 300);
    fixture_commit(f);
    count(f, "orders_total", NOON + 5 * SECOND, -300);
    fixture_commit(f);
    assert_true(fixture_value(f, "increase(orders_total[1m])", NOON + 10 * SECOND) == 1);
    assert_true(fixture_value(f, "changes(orders_total[1m])", NOON + 10 * SECOND) == 1);
}

/* Everything else sees the counter C, which restarts at midnight. */
static void test_c_over_midnight(void **state)
{
    struct fixture *f = *state;
    frontier(f, MIDNIGHT + HOUR);
    count(f, "orders_total", MIDNIGHT - 10 * SECOND, 500);
    count(f, "orders_total", MIDNIGHT, 100);
    count(f, "orders_total", MIDNIGHT + 5 * SECOND, 900);
    fixture_commit(f);
    assert_true(fixture_value(f, "orders_total", MIDNIGHT - 5 * SECOND) == 5);
    assert_true(fixture_value(f, "orders_total", MIDNIGHT) == 6);
    assert_true(fixture_value(f, "orders_total", MIDNIGHT + 1) == 0);
    assert_true(fixture_value(f, "orders_total", MIDNIGHT + 5 * SECOND) == 9);
    /* 0 5 5 6 0 9: a point before the first cell, one after midnight, and a zero between. */
    assert_true(fixture_value(f, "count_over_time(orders_total[1m])", MIDNIGHT + 5 * SECOND) == 6);
    assert_true(fixture_value(f, "sum_over_time(orders_total[1m])", MIDNIGHT + 5 * SECOND) == 25);
    assert_true(fixture_value(f, "increase(orders_total[1m])", MIDNIGHT + 5 * SECOND) == 15);
    assert_true(fixture_value(f, "resets(orders_total[1m:1ms])", MIDNIGHT + 5 * SECOND) == 1);
    assert_int_equal(fixture_count(f, "orders_total", MIDNIGHT - 15 * SECOND), 1);
    assert_int_equal(fixture_count(f, "orders_total", MIDNIGHT - 15 * SECOND - 1), 0);
    assert_int_equal(f->answer.value.n, 0);
}

/* A value late in the day needs the whole day's cells. */
static void test_c_reads_its_day(void **state)
{
    struct fixture *f = *state;
    frontier(f, MIDNIGHT + 24 * HOUR);
    for (int h = 0; h < 24; h++)
        count(f, "orders_total", MIDNIGHT + h * HOUR + 5 * SECOND, 100);
    fixture_commit(f);
    assert_true(fixture_value(f, "orders_total", MIDNIGHT + 23 * HOUR + MINUTE) == 24);
    assert_true(fixture_value(f, "delta(orders_total[1h])", MIDNIGHT + 23 * HOUR + MINUTE) > 0.9);
    assert_true(fixture_value(f, "orders_total offset 5h", MIDNIGHT + 23 * HOUR + MINUTE) == 19);
}

static void test_without_a_clock_there_are_no_zeros(void **state)
{
    struct fixture *f = *state;
    count(f, "orders_total", NOON, 100);
    fixture_commit(f);
    assert_int_equal(fixture_count(f, "increase(orders_total[1m])", NOON + 2 * MINUTE), 0);
    assert_int_equal(f->answer.notes.n_infos, 0);
    assert_true(fixture_value(f, "orders_total", NOON + 4 * MINUTE) == 1);
    assert_int_equal(fixture_count(f, "orders_total", NOON + 5 * MINUTE), 0);
}

/* ---- histograms ---- */

static void observe(struct fixture *f, int64_t end, int64_t value, int64_t n)
{
    struct metric_def def = fixture_def("delay_seconds", KIND_HISTOGRAM);
    struct hist_bucket bucket = {hist_bucket_key(value, def.digits, def.schema), n};
    struct hist_cell cell = {.sum = (int128)value * n, .n = 1, .buckets = &bucket};
    txn_histogram(f->txn, fixture_series(f, &def, "a"), end, &cell);
}

static void test_histograms(void **state)
{
    struct fixture *f = *state;
    frontier(f, NOON + HOUR);
    observe(f, NOON, 150, 2);
    observe(f, NOON + 5 * SECOND, 150, 1);
    observe(f, NOON + 5 * SECOND, 800, 4);
    observe(f, NOON + 10 * SECOND, 0, 3);
    observe(f, NOON + 10 * SECOND, -800, 1);
    observe(f, NOON + 10 * SECOND, -150, 1);
    fixture_commit(f);
    const struct hist *h = fixture_hist(f, "increase(delay_seconds[10s])", NOON + 10 * SECOND);
    assert_int_equal(h->schema, 3);
    assert_int_equal(h->reset_hint, HIST_GAUGE);
    assert_true(h->count == 10 && h->zero_count == 3);
    assert_true(fabs(h->sum - (1.5 + 32 - 8 - 1.5)) < 1e-12);
    assert_int_equal(h->n_positive, 2);
    assert_int_equal(h->n_negative, 2);
    assert_int_equal(h->positive[0].index, hist_bucket_key(150, 2, 3));
    assert_int_equal(h->positive[1].index, hist_bucket_key(800, 2, 3));
    assert_int_equal(h->negative[0].index, h->positive[0].index);
    assert_int_equal(h->negative[1].index, h->positive[1].index);
    h = fixture_hist(f, "rate(delay_seconds[10s])", NOON + 5 * SECOND);
    assert_true(h->count == 7.0 / 10 && h->positive[0].count == 3.0 / 10);
    h = fixture_hist(f, "delay_seconds", NOON + MINUTE);
    assert_true(h->count == 12 && h->n_positive == 2 && h->positive[0].count == 3);
    /* The empty histogram before the first cell, and C at three windows. */
    assert_true(fixture_value(f, "count_over_time(delay_seconds[1m])", NOON + 10 * SECOND) == 4);
    h = fixture_hist(f, "sum_over_time(delay_seconds[1m])", NOON + 10 * SECOND);
    assert_true(h->count == 2 + 7 + 12);
    assert_true(fixture_value(f, "changes(delay_seconds[1m])", NOON + 10 * SECOND) == 3);
    /* A window that moves gives the same as one that stands. */
    assert_true(
        fixture_ask_range(f, "increase(delay_seconds[10s])", NOON, NOON + 20 * SECOND, 5 * SECOND));
    static const double counts[] = {2, 7, 10, 5, 0};
    assert_int_equal(f->answer.value.series[0].n, 5);
    for (size_t k = 0; k < 5; k++)
        assert_true(f->answer.value.series[0].points[k].h->count == counts[k]);
}

/* A result takes the room of its own buckets, not of all that its series ever had. */
static void test_histograms_take_their_own_room(void **state)
{
    struct fixture *f = *state;
    struct metric_def def = fixture_def("delay_seconds", KIND_HISTOGRAM);
    def.stale_after_ms = DAY;
    frontier(f, MIDNIGHT + DAY);
    for (int s = 0; s < 20; s++) {
        char job[16];
        snprintf(job, sizeof job, "%d", s);
        uint32_t series = fixture_series(f, &def, job);
        for (int i = 0; i < 300; i++) {
            struct hist_bucket bucket = {1 + i, 1};
            struct hist_cell cell = {.sum = 100, .n = 1, .buckets = &bucket};
            txn_histogram(f->txn, series, MIDNIGHT + (i + 1) * MINUTE, &cell);
        }
    }
    fixture_commit(f);
    const char *text = "histogram_quantile(0.95, sum(rate(delay_seconds[1m])))";
    if (!fixture_ask_range(f, text, MIDNIGHT, MIDNIGHT + DAY, MINUTE))
        fail_msg("%s", f->err.text);
    assert_int_equal(f->answer.value.n, 1);
}

/* ---- gauges and levels ---- */

static void read_reduced(
    struct fixture *f, enum gauge_reduce reduce, int64_t end, const int64_t *v, size_t n)
{
    struct metric_def def = fixture_def("stock", KIND_GAUGE);
    def.schema = reduce;
    struct gauge_cell cell = {
        .last = v[n - 1], .last_ms = end - 1, .min = v[0], .max = v[0], .count = (int64_t)n};
    for (size_t i = 0; i < n; i++) {
        cell.min = v[i] < cell.min ? v[i] : cell.min;
        cell.max = v[i] > cell.max ? v[i] : cell.max;
        cell.sum += v[i];
    }
    txn_gauge(f->txn, fixture_series(f, &def, "a"), end, &cell);
}

static void read_gauge(struct fixture *f, int64_t end, const int64_t *v, size_t n)
{
    read_reduced(f, REDUCE_LAST, end, v, n);
}

/* What is shown of a window is decided when it is asked; late readings take part. */
static void test_reduced_gauges(void **state)
{
    struct fixture *f = *state;
    static const double want[] = {7, 22.0 / 4, 3, 9, 22};
    read_reduced(f, REDUCE_LAST, NOON, (const int64_t[]){300, 900, 300}, 3);
    fixture_commit(f);
    read_gauge(f, NOON, (const int64_t[]){700}, 1);
    read_gauge(f, NOON + 5 * SECOND, (const int64_t[]){100}, 1);
    for (int reduce = REDUCE_LAST; reduce <= REDUCE_SUM; reduce++) {
        read_reduced(
            f, (enum gauge_reduce)reduce, NOON + (10 + reduce) * MINUTE, (const int64_t[]){100}, 1);
        fixture_commit(f);
        assert_true(fixture_value(f, "stock", NOON) == want[reduce]);
        assert_true(
            fixture_value(f, "delta(stock[10s:5s])", NOON + 5 * SECOND) == 2 * (1 - want[reduce]));
        assert_true(fixture_value(f, "last_over_time(stock[1s])", NOON) == want[reduce]);
        assert_true(fixture_value(f, "avg_over_time(stock[1s])", NOON) == 22.0 / 4);
        assert_true(fixture_value(f, "max_over_time(stock[1s])", NOON) == 9);
    }
}

static void test_gauges(void **state)
{
    struct fixture *f = *state;
    read_gauge(f, NOON, (const int64_t[]){300, 900, 500}, 3);
    read_gauge(f, NOON + MINUTE, (const int64_t[]){200, 700}, 2);
    fixture_commit(f);
    assert_true(fixture_value(f, "stock", NOON) == 5);
    assert_true(fixture_value(f, "stock", NOON + 59 * MINUTE) == 7);
    assert_true(fixture_value(f, "stock", NOON + 61 * MINUTE - 1) == 7);
    assert_int_equal(fixture_count(f, "stock", NOON + 61 * MINUTE), 0);
    int64_t now = NOON + 90 * SECOND;
    assert_true(fixture_value(f, "min_over_time(stock[2m])", now) == 2);
    assert_true(fixture_value(f, "max_over_time(stock[2m])", now) == 9);
    assert_true(fixture_value(f, "max_over_time(stock[1m])", now) == 7);
    assert_true(fixture_value(f, "sum_over_time(stock[2m])", now) == 26);
    assert_true(fixture_value(f, "count_over_time(stock[2m])", now) == 5);
    assert_true(fixture_value(f, "avg_over_time(stock[2m])", now) == 26.0 / 5);
    assert_true(fixture_value(f, "last_over_time(stock[2m])", now) == 7);
    assert_true(fixture_value(f, "present_over_time(stock[2m])", now) == 1);
    assert_true(fixture_value(f, "idelta(stock[2m])", now) == 2);
    assert_true(fixture_value(f, "timestamp(stock)", now) == (double)(NOON + MINUTE) / 1000);
    assert_int_equal(fixture_count(f, "min_over_time(stock[20s])", now), 0);
}

static void change(struct fixture *f, const char *job, int64_t end, int64_t amount)
{
    struct metric_def def = fixture_def("open", KIND_LEVEL);
    txn_add(f->txn, fixture_series(f, &def, job), end, amount);
}

/* What it stands at follows from all changes, and shows for stale_after behind the last one. */
static void test_levels(void **state)
{
    struct fixture *f = *state;
    frontier(f, NOON + 3 * HOUR);
    change(f, "a", NOON - 3 * DAY, 1000);
    change(f, "a", NOON, 300);
    change(f, "a", NOON + 10 * SECOND, -200);
    fixture_commit(f);
    assert_int_equal(fixture_count(f, "open", NOON - 1), 0);
    assert_true(fixture_value(f, "open", NOON - 3 * DAY) == 10);
    assert_true(fixture_value(f, "open", NOON) == 13);
    assert_true(fixture_value(f, "open", NOON + 9999) == 13);
    assert_true(fixture_value(f, "open", NOON + 10 * SECOND) == 11);
    assert_true(fixture_value(f, "open", NOON + 10 * SECOND + HOUR - 1) == 11);
    assert_int_equal(fixture_count(f, "open", NOON + 10 * SECOND + HOUR), 0);
    assert_true(fixture_value(f, "open offset 1h", NOON + HOUR) == 13);
    assert_true(fixture_value(f, "open @ 1795176005", NOON + 3 * DAY) == 13);
    assert_true(fixture_value(f, "timestamp(open)", NOON + 33333) == (NOON + 30000) / 1000.0);
    assert_true(fixture_ask_range(f, "open", NOON - MINUTE, NOON + MINUTE, 30 * SECOND));
    assert_int_equal(f->answer.value.n, 1);
    assert_int_equal(f->answer.value.series[0].n, 3);
    static const double values[] = {13, 11, 11};
    for (size_t i = 0; i < 3; i++)
        assert_true(f->answer.value.series[0].points[i].v == values[i]);
    assert_int_equal(f->answer.notes.n_infos + f->answer.notes.n_warnings, 0);
}

/* Functions over a range see a gauge that was sampled at every window's end. */
static void test_ranges_of_levels(void **state)
{
    struct fixture *f = *state;
    frontier(f, NOON + 20 * SECOND);
    change(f, "a", NOON, 300);
    change(f, "a", NOON + 10 * SECOND, -200);
    change(f, "a", NOON + 30 * SECOND, 500);
    fixture_commit(f);
    /* 3 3 1 1 1, then nothing is known but the change behind the frontier. */
    int64_t now = NOON + 30 * SECOND;
    assert_true(fixture_value(f, "count_over_time(open[1m])", now) == 6);
    assert_true(fixture_value(f, "sum_over_time(open[1m])", now) == 15);
    assert_true(fixture_value(f, "avg_over_time(open[25s])", NOON + 20 * SECOND) == 9.0 / 5);
    assert_true(fixture_value(f, "max_over_time(open[15s])", NOON + 25 * SECOND) == 1);
    assert_true(fixture_value(f, "min_over_time(open[1m])", now) == 1);
    assert_true(fixture_value(f, "last_over_time(open[1m])", now) == 6);
    assert_true(fixture_value(f, "changes(open[1m])", now) == 2);
    assert_true(fixture_value(f, "resets(open[1m])", now) == 1);
    assert_true(fixture_value(f, "idelta(open[1m])", now) == 5);
    assert_true(fixture_value(f, "delta(open[10s])", NOON + 10 * SECOND) == -4);
    assert_true(fixture_value(f, "deriv(open[15s])", NOON + 10 * SECOND) == -0.2);
    assert_int_equal(fixture_count(f, "present_over_time(open[5s])", NOON - SECOND), 0);
    assert_true(fixture_ask(f, "open[20s]", now));
    assert_int_equal(f->answer.value.series[0].n, 3);
    assert_int_equal(f->answer.value.series[0].points[0].t_ms, NOON + 15 * SECOND);
    /* A selector looks back instead. */
    assert_true(fixture_value(f, "open", NOON + 25 * SECOND) == 1);
    assert_true(fixture_value(f, "timestamp(open)", NOON + 25 * SECOND) == (NOON + 20000) / 1000.0);
}

static void test_levels_in_expressions(void **state)
{
    struct fixture *f = *state;
    frontier(f, NOON + HOUR);
    change(f, "a", NOON - 2 * HOUR, 500);
    change(f, "a", NOON, 300);
    change(f, "b", NOON, -100);
    count(f, "orders_total", NOON, 400);
    fixture_commit(f);
    int64_t now = NOON + MINUTE;
    assert_true(fixture_value(f, "sum(open)", now) == 7);
    assert_true(fixture_value(f, "open{job=\"b\"}", now) == -1);
    assert_true(fixture_value(f, "topk(1, open)", now) == 8);
    assert_true(fixture_value(f, "open / on (job) increase(orders_total[5m])", now) == 2);
    assert_int_equal(fixture_count(f, "open > 5 or open < 0", now), 2);
    assert_true(fixture_value(f, "max_over_time(sum(open)[10m:1m])", now) == 7);
    assert_true(fixture_value(f, "avg_over_time(open{job=\"a\"}[10m:1m])", now) == 8);
    /* Two selectors of one plan, of which the second reaches further back. */
    assert_true(fixture_value(f, "sum(open) - sum(open offset 2h)", now) == 2);
    assert_true(fixture_value(f, "sum(open offset 2h) + sum(open)", now) == 12);
    assert_int_equal(fixture_count(f, "absent(open)", NOON - 30 * MINUTE), 1);
}

/* A change that is taken back in its window was none: not for what shows, nor for how long. */
static void test_changes_that_are_none(void **state)
{
    struct fixture *f = *state;
    frontier(f, NOON + 3 * HOUR);
    change(f, "a", NOON, 300);
    change(f, "a", NOON + 50 * MINUTE, 100);
    fixture_commit(f);
    assert_true(fixture_value(f, "open", NOON + 90 * MINUTE) == 4);
    change(f, "a", NOON + 50 * MINUTE, -100);
    fixture_commit(f);
    assert_true(fixture_value(f, "open", NOON + 55 * MINUTE) == 3);
    assert_int_equal(fixture_count(f, "open", NOON + 90 * MINUTE), 0);
    /* A late one changes everything after it. */
    change(f, "a", NOON - 12 * HOUR, 200);
    fixture_commit(f);
    assert_true(fixture_value(f, "open", NOON + 55 * MINUTE) == 5);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_increase_and_rate_are_exact),
        T(test_zeros),
        T(test_the_frontier_is_named),
        T(test_ranges_that_are_no_multiple),
        T(test_ranges_within_a_window),
        T(test_corrections),
        T(test_c_over_midnight),
        T(test_c_reads_its_day),
        T(test_without_a_clock_there_are_no_zeros),
        T(test_histograms),
        T(test_histograms_take_their_own_room),
        T(test_gauges),
        T(test_reduced_gauges),
        T(test_levels),
        T(test_ranges_of_levels),
        T(test_levels_in_expressions),
        T(test_changes_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
