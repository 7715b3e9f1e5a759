#include "tests/query/engine_fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * The exact functions of counters against an oracle: C itself, written out as an ordinary series of
 * samples and asked with `anchored`, which neither extrapolates nor loses what happened before the
 * first point. The functions of gauges, whose windows move, against sums over each window alone.
 */

#define EVERY (10 * MINUTE)
#define START (MIDNIGHT - 12 * HOUR)
#define END   (MIDNIGHT + 36 * HOUR)

static uint64_t seed = 88172645463325252u;

static int64_t below(int64_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (int64_t)(seed % (uint64_t)n);
}

/* Cells of some lives, with gaps of less and more than stale_after. */
static void put_cells(struct fixture *f)
{
    struct metric_def def = fixture_def("orders_total", KIND_COUNTER);
    def.every_ms = EVERY;
    uint32_t series = fixture_series(f, &def, "a");
    int64_t t = START + below(100) * EVERY;
    while (t < END) {
        txn_add(f->txn, series, t, 1 + below(100000));
        t += EVERY * (below(4) == 0 ? 1 + below(20) : 1);
    }
    txn_clock(f->txn, SLICE("orders"), START + below(END - START), 0);
    fixture_commit(f);
}

/* All points of C become samples of c_total. */
static void write_c(struct fixture *f)
{
    struct metric_def def = fixture_def("c_total", KIND_SAMPLE);
    uint32_t series = fixture_series(f, &def, "a");
    if (!fixture_ask(f, "orders_total[4d]", END + DAY))
        fail_msg("%s", f->err.text);
    assert_int_equal(f->answer.value.n, 1);
    const struct series *c = &f->answer.value.series[0];
    for (size_t i = 0; i < c->n; i++)
        txn_sample(f->txn, series, c->points[i].t_ms, c->points[i].v);
    fixture_commit(f);
}

static bool ask_one(struct fixture *f, const char *text, int64_t t, double *v)
{
    if (!fixture_ask(f, text, t))
        fail_msg("%s: %s", text, f->err.text);
    if (f->answer.value.n == 0)
        return false;
    *v = f->answer.value.series[0].points[0].v;
    return true;
}

static void compare(struct fixture *f, int64_t t)
{
    static const char *const functions[] = {"increase", "rate"};
    long long minutes = 10 * (1 + below(below(2) ? 6 : 300));
    for (size_t i = 0; i < 2; i++) {
        char exact[64], oracle[64];
        double got, want;
        snprintf(exact, sizeof exact, "%s(orders_total[%lldm])", functions[i], minutes);
        snprintf(oracle, sizeof oracle, "%s(c_total[%lldm] anchored)", functions[i], minutes);
        if (!ask_one(f, exact, t, &got))
            continue;
        if (!ask_one(f, oracle, t, &want))
            fail_msg("%s at %lld: only the exact one has a result", exact, (long long)t);
        if (fabs(got - want) > 1e-9 * fabs(want) + 1e-9)
            fail_msg("%s at %lld: %.17g, not %.17g", exact, (long long)t, got, want);
    }
}

static void test_exact_is_anchored_c(void **state)
{
    (void)state;
    for (int round = 0; round < 40; round++) {
        struct fixture f;
        fixture_open(&f);
        f.options.experimental = true;
        /* Behind the frontier C has gaps: its last point may lie far back. */
        f.options.lookback_ms = 4 * DAY;
        put_cells(&f);
        write_c(&f);
        for (int i = 0; i < 30; i++) {
            int64_t t = START + below(END - START);
            compare(&f, below(2) ? t : t - t % EVERY);
            arena_reset(&f.arena);
        }
        fixture_close(&f);
    }
}

/* What a window of cells gives, cell by cell. */
static double gauge_oracle(char function, const int64_t (*cells)[2], int64_t lo, int64_t hi)
{
    int64_t min = INT64_MAX, max = INT64_MIN, sum = 0;
    for (int64_t i = lo; i < hi; i++)
        for (int r = 0; r < 2; r++) {
            min = cells[i][r] < min ? cells[i][r] : min;
            max = cells[i][r] > max ? cells[i][r] : max;
            sum += cells[i][r];
        }
    double n = (double)(2 * (hi - lo));
    switch (function) {
    case 'i': return (double)min / 100;
    case 'a': return (double)max / 100;
    case 's': return (double)sum / 100;
    case 'v': return (double)sum / 100 / n;
    default: return n;
    }
}

/* Windows that overlap, touch, leave gaps, and stand still. */
static void test_gauge_windows_move(void **state)
{
    (void)state;
    struct fixture fixture, *f = &fixture;
    fixture_open(f);
    enum { CELLS = 120 };
    int64_t cells[CELLS][2];
    struct metric_def def = fixture_def("stock", KIND_GAUGE);
    for (int i = 0; i < CELLS; i++) {
        for (int r = 0; r < 2; r++)
            cells[i][r] = below(40) - 20;
        int64_t a = cells[i][0], b = cells[i][1];
        struct gauge_cell cell = {.last = b, .min = a < b ? a : b, .max = a < b ? b : a};
        cell.sum = a + b;
        cell.count = 2;
        txn_gauge(f->txn, fixture_series(f, &def, "a"), MIDNIGHT + i * MINUTE, &cell);
    }
    fixture_commit(f);
    static const char *const functions[] = {"min", "max", "sum", "avg", "count"};
    static const char letters[] = "iasvc";
    static const int64_t ranges[] = {1, 7, 30}, steps[] = {1, 7, 13};
    for (size_t i = 0; i < 5 * 3 * 3; i++) {
        char text[64];
        int64_t range = ranges[i / 5 % 3], step = steps[i / 15];
        snprintf(
            text, sizeof text, "%s_over_time(stock[%lldm])", functions[i % 5], (long long)range);
        assert_true(
            fixture_ask_range(f, text, MIDNIGHT, MIDNIGHT + (CELLS - 1) * MINUTE, step * MINUTE));
        const struct series *series = &f->answer.value.series[0];
        assert_int_equal(series->n, (CELLS - 1) / step + 1);
        for (size_t k = 0; k < series->n; k++) {
            int64_t hi = (int64_t)k * step + 1, lo = hi > range ? hi - range : 0;
            assert_true(series->points[k].v == gauge_oracle(letters[i % 5], cells, lo, hi));
        }
        snprintf(text, sizeof text, "%s_over_time(stock[7m] @ %lld)", functions[i % 5],
            (long long)(MIDNIGHT / SECOND + 600));
        assert_true(fixture_ask_range(f, text, MIDNIGHT, MIDNIGHT + HOUR, 30 * MINUTE));
        assert_int_equal(f->answer.value.series[0].n, 3);
        assert_true(
            f->answer.value.series[0].points[2].v == gauge_oracle(letters[i % 5], cells, 4, 11));
    }
    fixture_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_is_anchored_c), cmocka_unit_test(test_gauge_windows_move)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
