#include "tests/query/engine_fixture.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/double_bits.h"

/* Series of kind sample, as in Prometheus; limits, cancellation, errors. */

static double stale(void)
{
    return bits_double(STALE_BITS);
}

static const struct metric_def requests = {.name = {"requests_total", 14}, .kind = KIND_SAMPLE};

/* requests_total{job="a"} 0 10 20 ... and {job="b"} 0 20 40 ..., every 10 s from 0 to 1000 s. */
static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    fixture_open(f);
    uint32_t a = fixture_series(f, &requests, "a"), b = fixture_series(f, &requests, "b");
    for (int i = 0; i <= 100; i++) {
        txn_sample(f->txn, a, i * 10 * SECOND, i * 10);
        txn_sample(f->txn, b, i * 10 * SECOND, i * 20);
    }
    fixture_commit(f);
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

static void put_sample(struct fixture *f, const char *name, const char *job, int64_t t, double v)
{
    struct metric_def def = fixture_def(name, KIND_SAMPLE);
    txn_sample(f->txn, fixture_series(f, &def, job), t, v);
}

/* ---- selectors ---- */

static void test_lookback_is_left_open(void **state)
{
    struct fixture *f = *state;
    put_sample(f, "one", "a", 100 * SECOND, 7);
    fixture_commit(f);
    assert_int_equal(fixture_count(f, "one", 100 * SECOND - 1), 0);
    assert_true(fixture_value(f, "one", 100 * SECOND) == 7);
    assert_true(fixture_value(f, "one", 400 * SECOND - 1) == 7);
    assert_int_equal(fixture_count(f, "one", 400 * SECOND), 0);
    f->options.lookback_ms = SECOND;
    assert_int_equal(fixture_count(f, "one", 101 * SECOND), 0);
}

static void test_a_staleness_marker_ends_a_series(void **state)
{
    struct fixture *f = *state;
    put_sample(f, "gone", "a", 100 * SECOND, 7);
    put_sample(f, "gone", "a", 110 * SECOND, stale());
    put_sample(f, "gone", "a", 130 * SECOND, NAN);
    fixture_commit(f);
    assert_true(fixture_value(f, "gone", 109 * SECOND) == 7);
    assert_int_equal(fixture_count(f, "gone", 110 * SECOND), 0);
    assert_int_equal(fixture_count(f, "gone", 129 * SECOND), 0);
    assert_true(isnan(fixture_value(f, "gone", 130 * SECOND)));
    assert_true(fixture_value(f, "count_over_time(gone[1m])", 135 * SECOND) == 2);
}

static void test_at_and_offset(void **state)
{
    struct fixture *f = *state;
    int64_t now = 500 * SECOND;
    assert_true(fixture_value(f, "requests_total{job='a'}", now) == 500);
    assert_true(fixture_value(f, "requests_total{job='a'} offset 100s", now) == 400);
    assert_true(fixture_value(f, "requests_total{job='a'} offset -100s", now) == 600);
    assert_true(fixture_value(f, "requests_total{job='a'} @ 200", now) == 200);
    assert_true(fixture_value(f, "requests_total{job='a'} @ 200 offset 50s", now) == 150);
    assert_true(fixture_value(f, "timestamp(requests_total{job='a'} @ 203)", now) == 200);
    assert_true(fixture_ask_range(
        f, "requests_total{job='a'} @ end()", 100 * SECOND, 300 * SECOND, 100 * SECOND));
    assert_int_equal(f->answer.value.series[0].n, 3);
    for (size_t k = 0; k < 3; k++)
        assert_true(f->answer.value.series[0].points[k].v == 300);
}

static void test_range_answers_are_sorted(void **state)
{
    struct fixture *f = *state;
    assert_true(fixture_ask_range(f, "requests_total", 0, 95 * SECOND, 10 * SECOND));
    const struct value *value = &f->answer.value;
    assert_int_equal(value->type, VALUE_MATRIX);
    assert_int_equal(value->n, 2);
    assert_true(labels_cmp(value->series[0].labels, value->series[1].labels) < 0);
    assert_int_equal(value->series[1].n, 10);
    assert_int_equal(value->series[1].points[9].t_ms, 90 * SECOND);
    assert_true(value->series[1].points[9].v == 180);
    assert_int_equal(f->answer.stats.series, 2);
    assert_int_equal(f->answer.stats.points, 20);
    assert_true(f->answer.stats.lsn > 0);
}

static void test_scalars_strings_and_range_vectors(void **state)
{
    struct fixture *f = *state;
    assert_true(fixture_ask_range(f, "step()", 0, 10 * SECOND, 5 * SECOND) == false);
    f->options.experimental = true;
    assert_true(fixture_ask_range(f, "step()", 0, 10 * SECOND, 5 * SECOND));
    assert_int_equal(f->answer.value.type, VALUE_MATRIX);
    assert_int_equal(f->answer.value.series[0].n, 3);
    assert_true(fixture_ask(f, "\"a\\tb\"", 0));
    assert_int_equal(f->answer.value.type, VALUE_STRING);
    assert_true(slice_is(f->answer.value.string, "a\tb"));
    assert_true(fixture_ask(f, "1 + 1", 7));
    assert_int_equal(f->answer.value.type, VALUE_SCALAR);
    assert_int_equal(f->answer.value.series[0].points[0].t_ms, 7);
    assert_true(fixture_ask(f, "requests_total[25s]", 100 * SECOND));
    assert_int_equal(f->answer.value.type, VALUE_MATRIX);
    assert_int_equal(f->answer.value.series[0].n, 3);
    assert_int_equal(f->answer.value.series[0].points[0].t_ms, 80 * SECOND);
    assert_false(fixture_ask_range(f, "requests_total[25s]", 0, SECOND, SECOND));
    assert_string_equal(f->err.text, "invalid expression type \"range vector\" for range query, "
                                     "must be Scalar or instant Vector");
    assert_false(fixture_ask_range(f, "'x'", 0, SECOND, SECOND));
    assert_non_null(strstr(f->err.text, "\"string\""));
}

/* ---- functions ---- */

/* Expected values worked out by hand from Prometheus' rules. */
static void test_rates_extrapolate(void **state)
{
    struct fixture *f = *state;
    int64_t now = 505 * SECOND;
    /* Points at 450 ... 500 s: 50 in 50 s, stretched to the minute's ends. */
    assert_true(fabs(fixture_value(f, "increase(requests_total{job='a'}[1m])", now) - 60) < 1e-9);
    assert_true(fabs(fixture_value(f, "rate(requests_total{job='b'}[1m])", now) - 2) < 1e-9);
    assert_true(fixture_value(f, "irate(requests_total{job='b'}[1m])", now) == 2);
    assert_true(fixture_value(f, "idelta(requests_total{job='b'}[1m])", now) == 20);
    assert_int_equal(fixture_count(f, "rate(requests_total{job='b'}[9s])", now), 0);
    /* 3 before the reset and 1 after it: 3 - 0 + 1 - 0 from 0 to 40, ends at the range's. */
    static const double v[] = {0, 1, 3, 0, 1};
    for (int i = 0; i < 5; i++)
        put_sample(f, "reset_total", "a", 2000 * SECOND + i * 10 * SECOND, v[i]);
    fixture_commit(f);
    assert_true(fabs(fixture_value(f, "increase(reset_total[41s])", 2040 * SECOND) - 4) < 1e-9);
    assert_true(fixture_value(f, "resets(reset_total[41s])", 2040 * SECOND) == 1);
    assert_true(fixture_value(f, "changes(reset_total[41s])", 2040 * SECOND) == 4);
    assert_int_equal(f->answer.notes.n_infos, 0);
}

static void test_over_time(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *fn;
        double want;
    } cases[] = {{"sum", 300}, {"avg", 75}, {"min", 60}, {"max", 90}, {"count", 4}, {"last", 90},
        {"first", 60}, {"present", 1}, {"stdvar", 125}, {"mad", 10}, {"ts_of_min", 60},
        {"ts_of_last", 90}};
    f->options.experimental = true;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, "%s_over_time(requests_total{job='a'}[40s])", cases[i].fn);
        assert_true(fixture_value(f, text, 95 * SECOND) == cases[i].want);
    }
    assert_true(fixture_value(
                    f, "quantile_over_time(0.5, requests_total{job='a'}[40s])", 95 * SECOND) == 75);
    assert_true(fixture_value(f, "deriv(requests_total{job='b'}[1m])", 95 * SECOND) == 2);
    assert_true(
        fixture_value(f, "predict_linear(requests_total{job='b'}[1m], 5)", 95 * SECOND) == 200);
    assert_true(fixture_value(f, "absent_over_time(nothing{x='y'}[1m])", 0) == 1);
    assert_true(slice_is(labels_get(f->answer.value.series[0].labels, SLICE("x")), "y"));
    assert_int_equal(fixture_count(f, "absent_over_time(requests_total[1m])", 0), 0);
}

static void test_subqueries_are_aligned(void **state)
{
    struct fixture *f = *state;
    const char *sum = "sum_over_time(requests_total{job='a'}[30s:10s])";
    assert_true(fixture_value(f, sum, 100 * SECOND) == 80 + 90 + 100);
    assert_true(fixture_value(f, sum, 109 * SECOND) == 80 + 90 + 100);
    assert_true(fixture_value(f, "sum_over_time(requests_total{job='a'}[30s:10s] offset 9s)",
                    109 * SECOND) == 80 + 90 + 100);
    assert_true(fixture_value(f, "count_over_time(vector(1)[5m:])", 600 * SECOND) == 5);
    assert_true(
        fixture_value(f, "max_over_time(rate(requests_total{job='b'}[1m])[5m:30s] @ 600)", 0) == 2);
    /* A range query's windows share the inner evaluation. */
    assert_true(fixture_ask_range(f, sum, 100 * SECOND, 200 * SECOND, 50 * SECOND));
    assert_int_equal(f->answer.value.series[0].n, 3);
    assert_true(f->answer.value.series[0].points[1].v == 130 + 140 + 150);
}

/* 10 per 10 s: anchored counts from the last point before the range, smoothed draws lines. */
static void test_anchored_and_smoothed(void **state)
{
    struct fixture *f = *state;
    int64_t now = 103 * SECOND;
    fixture_fails(f, "rate(requests_total[25s] anchored)", now, ERR_INVALID, "not enabled");
    f->options.experimental = true;
    assert_true(fixture_value(f, "increase(requests_total{job='a'}[25s] anchored)", now) == 30);
    assert_true(fixture_value(f, "increase(requests_total{job='a'}[25s] smoothed)", now) == 25);
    assert_true(fixture_value(f, "rate(requests_total{job='b'}[25s] smoothed)", now) == 2);
    assert_true(fixture_value(f, "changes(requests_total{job='a'}[25s] anchored)", now) == 3);
    assert_true(fixture_value(f, "requests_total{job='a'} smoothed", now) == 103);
    assert_true(fixture_value(f, "requests_total{job='a'} smoothed", 1003 * SECOND) == 1000);
    assert_true(fixture_ask(f, "requests_total{job='a'}[25s] smoothed", now));
    const struct series *series = &f->answer.value.series[0];
    assert_int_equal(series->n, 5);
    assert_true(series->points[0].t_ms == 78 * SECOND && series->points[0].v == 78);
    assert_true(series->points[4].t_ms == 103 * SECOND && series->points[4].v == 103);
    fixture_fails(f, "resets(requests_total[25s] smoothed)", now, ERR_INVALID,
        "smoothed modifier can only be used with: delta, increase, rate - not with resets");
}

static void test_names_go_and_sets_must_differ(void **state)
{
    struct fixture *f = *state;
    put_sample(f, "other_total", "a", 500 * SECOND, 1);
    fixture_commit(f);
    int64_t now = 500 * SECOND;
    assert_int_equal(fixture_count(f, "last_over_time(other_total[1m])", now), 1);
    assert_int_equal(f->answer.value.series[0].labels.n, 2);
    assert_int_equal(fixture_count(f, "max_over_time(other_total[1m])", now), 1);
    assert_int_equal(f->answer.value.series[0].labels.n, 1);
    const char *same = "max_over_time({__name__=~'.+',job='a'}[1m])";
    fixture_fails(
        f, same, now, ERR_INVALID, "vector cannot contain metrics with the same labelset");
    assert_int_equal(f->err.sys, 1);
    f->options.delayed_name_removal = true;
    fixture_fails(f, same, now, ERR_INVALID, "same labelset");
    assert_int_equal(fixture_count(f, "-other_total", now), 1);
    assert_int_equal(f->answer.value.series[0].labels.n, 1);
    assert_true(f->answer.value.series[0].points[0].v == -1);
}

static void test_annotations_name_their_place(void **state)
{
    struct fixture *f = *state;
    put_sample(f, "plain", "a", 490 * SECOND, 1);
    put_sample(f, "plain", "a", 500 * SECOND, 2);
    fixture_commit(f);
    assert_true(fixture_ask(f, "1 + rate(plain[1m])", 500 * SECOND));
    assert_int_equal(f->answer.notes.n_infos, 1);
    assert_string_equal(f->answer.notes.infos[0],
        "PromQL info: metric might not be a counter, name does not end in "
        "_total/_sum/_count/_bucket: \"plain\" (1:10)");
    assert_true(fixture_ask(f, "quantile_over_time(2, plain[1m])", 500 * SECOND));
    assert_string_equal(f->answer.notes.warnings[0],
        "PromQL warning: quantile value should be between 0 and 1, got 2 (1:20)");
}

/* ---- limits ---- */

static void test_limits(void **state)
{
    struct fixture *f = *state;
    f->options.max_series = 1;
    fixture_fails(f, "requests_total", 0, ERR_LIMIT, "1");
    f->options.max_series = 0;
    f->options.max_samples = 20;
    assert_true(fixture_ask_range(f, "requests_total", 0, 90 * SECOND, 10 * SECOND));
    assert_false(fixture_ask_range(f, "requests_total", 0, 100 * SECOND, 10 * SECOND));
    assert_int_equal(f->err.code, ERR_LIMIT);
    assert_false(fixture_ask_range(f, "1", 0, 100 * SECOND, SECOND));
    assert_int_equal(f->err.code, ERR_LIMIT);
    fixture_fails(f, "count_over_time(vector(1)[1y:1ms])", 0, ERR_LIMIT, "allowed");
    /* Steps without a point count as well. */
    assert_int_equal(fixture_count(f, "count_over_time(nothing[20s:1s])", 0), 0);
    fixture_fails(f, "count_over_time(nothing[21s:1s])", 0, ERR_LIMIT,
        "subquery asks for 21 steps, allowed are 20");
    f->options.max_samples = 0;
    fixture_fails(f, "count_over_time(topk(1, nothing)[1y:1ms])", 0, ERR_LIMIT,
        "subquery asks for 31536000000 steps, allowed are 50000000");
    arena_fini(&f->arena);
    arena_init(&f->arena, 8192);
    assert_false(fixture_ask_range(f, "requests_total", 0, 1000 * SECOND, SECOND));
    assert_int_equal(f->err.code, ERR_LIMIT);
}

static void test_cancellation_and_deadline(void **state)
{
    struct fixture *f = *state;
    atomic_bool cancel = true;
    struct query query = {.text = SLICE("requests_total"), .cancel = &cancel};
    assert_false(engine_query(f->store, &f->options, &query, &f->arena, &f->answer, &f->err));
    assert_int_equal(f->err.code, ERR_CANCELED);
    query.cancel = NULL;
    query.deadline_ns = clock_mono_ns() - 1;
    assert_false(engine_query(f->store, &f->options, &query, &f->arena, &f->answer, &f->err));
    assert_int_equal(f->err.code, ERR_TIMEOUT);
}

/* How long a query with steps of 1 ms takes; limit_ns 0: without a deadline. */
static int64_t time_query(
    struct fixture *f, const char *text, int64_t n_steps, int64_t limit_ns, bool *ok)
{
    int64_t begin = clock_mono_ns();
    struct query query = {.text = slice_from(text),
        .start_ms = DAY,
        .end_ms = DAY + n_steps - 1,
        .step_ms = 1,
        .deadline_ns = limit_ns ? begin + limit_ns : 0};
    f->err = (struct err){0};
    arena_reset(&f->arena);
    *ok = engine_query(f->store, &f->options, &query, &f->arena, &f->answer, &f->err);
    return clock_mono_ns() - begin;
}

/* One series with long windows, and one with many steps, stop soon after their deadline. A busy
 * machine may take the time away: once of four times is enough. */
static void test_deadline_inside_a_series(void **state)
{
    struct fixture *f = *state;
    struct metric_def counter = fixture_def("orders_total", KIND_COUNTER);
    txn_add(f->txn, fixture_series(f, &counter, "a"), DAY, 100);
    fixture_commit(f);
    static const struct {
        const char *text;
        int64_t n_steps;
    } cases[] = {{"quantile_over_time(0.5, vector(time())[6h:1s])", 300},
        {"stddev_over_time(vector(time())[6h:1s])", 1000},
        {"absent_over_time(changes(orders_total[12h])[60m:1ms])", 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool ok, soon = false;
        int64_t whole = time_query(f, cases[i].text, cases[i].n_steps, 0, &ok);
        if (!ok)
            fail_msg("%s: %s", cases[i].text, f->err.text);
        for (int tries = 0; tries < 4 && !soon; tries++) {
            int64_t took = time_query(f, cases[i].text, cases[i].n_steps, whole / 5, &ok);
            assert_false(ok);
            assert_int_equal(f->err.code, ERR_TIMEOUT);
            soon = took < whole / 2;
        }
        if (!soon)
            fail_msg("%s does not stop", cases[i].text);
    }
}

static void test_errors_have_their_place(void **state)
{
    struct fixture *f = *state;
    fixture_fails(f, "sum(", 0, ERR_INVALID, "parse error");
    fixture_fails(f, "1 + info(requests_total)", 0, ERR_INVALID, "not enabled");
    f->options.experimental = true;
    fixture_fails(f, "1 + info(requests_total)", 0, ERR_UNSUPPORTED, "not supported yet: info");
    assert_int_equal(f->err.col, 5);
    fixture_fails(f, "rate(requests_total[1m-1m])", 0, ERR_INVALID, "greater than 0");
    fixture_fails(f, "double_exponential_smoothing(requests_total[1m], 2, 0.1)", 60 * SECOND,
        ERR_INVALID, "invalid smoothing factor. Expected: 0 < sf < 1, got: 2.000000");
    assert_int_equal(f->err.sys, 1);
    assert_false(fixture_ask_range(f, "1", 10, 0, 1));
    assert_false(fixture_ask_range(f, "1", 0, 10, 0));
    assert_false(fixture_ask_range(f, "1", INT64_MIN, INT64_MAX, 1));
}

/* Extreme times and durations must not overflow. */
static void test_far_times(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(fixture_count(f, "requests_total @ 9e12", 0), 0);
    assert_int_equal(fixture_count(f, "requests_total offset 290y", 0), 0);
    assert_int_equal(fixture_count(f, "rate(requests_total[290y] offset -290y)", 0), 2);
    assert_int_equal(fixture_count(f, "sum_over_time(requests_total[290y:100y] @ -9e12)", 0), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_lookback_is_left_open),
        T(test_a_staleness_marker_ends_a_series),
        T(test_at_and_offset),
        T(test_range_answers_are_sorted),
        T(test_scalars_strings_and_range_vectors),
        T(test_rates_extrapolate),
        T(test_over_time),
        T(test_subqueries_are_aligned),
        T(test_anchored_and_smoothed),
        T(test_names_go_and_sets_must_differ),
        T(test_annotations_name_their_place),
        T(test_limits),
        T(test_cancellation_and_deadline),
        T(test_deadline_inside_a_series),
        T(test_errors_have_their_place),
        T(test_far_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
