/*
 * Levels in queries against a naive model, while blocks are sealed, days compacted, coarser cells
 * derived, late and inverse changes land, the store is opened anew, and retention takes raw cells.
 * Functions over ranges are those of an ordinary series of samples with the same points.
 */
#include "tests/query/engine_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/store/support/folder.h"

#define EVERY   (20 * SECOND)
#define DAYS    4
#define WINDOWS (DAYS * DAY / EVERY)
#define LEVELS  3

/* Of the same changes, each. */
static const int64_t stale_after[LEVELS] = {10 * MINUTE, HOUR, 30 * HOUR};

struct model {
    struct fixture f;
    char dir[64];
    int64_t change[WINDOWS + 1]; /* by the window's number; [0] unused */
    int64_t newest;              /* window */
    int64_t frontier, raw_ms;
};

static uint64_t rng;

static int64_t below(int64_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (int64_t)((rng >> 11) % (uint64_t)n);
}

static int64_t end_of(int64_t window)
{
    return MIDNIGHT + window * EVERY;
}

static void open_store(struct model *m)
{
    struct store_options options = {.path = m->dir, .retention.raw_ms = m->raw_ms};
    if (!store_open(&options, &m->f.store, &m->f.err))
        fail_msg("%s", m->f.err.text);
    m->f.txn = txn_begin(m->f.store);
}

static void reopen(struct model *m)
{
    txn_abort(&m->f.txn);
    store_close(&m->f.store);
    open_store(m);
}

static void maintain(struct model *m, int64_t passed)
{
    txn_abort(&m->f.txn);
    if (!store_maintain(m->f.store, passed, &m->f.err))
        fail_msg("%s", m->f.err.text);
    m->f.txn = txn_begin(m->f.store);
}

static void put(struct model *m, int64_t window, int64_t amount)
{
    for (int i = 0; amount && i < LEVELS; i++) {
        char name[16];
        snprintf(name, sizeof name, "open%d", i);
        struct metric_def def = fixture_def(name, KIND_LEVEL);
        def.every_ms = EVERY;
        def.digits = 0;
        def.stale_after_ms = stale_after[i];
        txn_add(m->f.txn, fixture_series(&m->f, &def, "a"), end_of(window), amount);
    }
    m->change[window] += amount;
}

/* Changes near the newest window, some far behind it, some that take another one back. */
static void append(struct model *m)
{
    m->newest += 1 + below(below(8) ? 200 : 1000);
    m->newest = m->newest < WINDOWS ? m->newest : WINDOWS;
    for (int64_t n = 1 + below(40); n > 0; n--) {
        int64_t back = below(below(12) ? 200 : m->newest);
        int64_t window = m->newest - back > 0 ? m->newest - back : 1;
        put(m, window, below(5) ? below(15) - 7 : -m->change[window]);
    }
    m->frontier = end_of(m->newest) + (below(500) - 300) * SECOND;
    txn_clock(m->f.txn, SLICE("orders"), m->frontier, m->frontier);
    fixture_commit(&m->f);
    store_clock(m->f.store, SLICE("orders"), &m->frontier, &(int64_t){0});
}

/* ---- the model's answers ---- */

/* The newest bucket by t of which a change is left, in buckets of step windows; its end's window
 * number. 0: there is none. */
static int64_t last_change(const struct model *m, int64_t t, int64_t step)
{
    for (int64_t w = (t - MIDNIGHT) / EVERY / step * step; w > 0; w -= step) {
        int64_t sum = 0;
        for (int64_t i = 0; i < step && w <= WINDOWS; i++)
            sum += m->change[w - i];
        if (sum)
            return w;
    }
    return 0;
}

static bool is_alive(const struct model *m, int level, int64_t t, int64_t step)
{
    int64_t last = last_change(m, t, step);
    return last > 0 && end_of(last) > t - stale_after[level];
}

static double stands_at(const struct model *m, int64_t t)
{
    int64_t sum = 0;
    for (int64_t w = 1; w <= WINDOWS && end_of(w) <= t; w++)
        sum += m->change[w];
    return (double)sum;
}

/* ---- comparing ---- */

static void compare_instant(struct model *m, int level, int64_t t, bool present)
{
    char text[32];
    snprintf(text, sizeof text, "open%d", level);
    if (fixture_count(&m->f, text, t) != present)
        fail_msg("%s at %lld: %spresent", text, (long long)(t - MIDNIGHT), present ? "not " : "");
    if (present)
        assert_true(m->f.answer.value.series[0].points[0].v == stands_at(m, t));
}

/* Where raw cells are gone, at whole hours; what was there at the edges of stale_after may have
 * moved to the end of its hour. */
static void compare_coarse(struct model *m, int level)
{
    int64_t t = MIDNIGHT + (1 + below(DAYS * 24)) * HOUR;
    bool present = is_alive(m, level, t, 1);
    if (present == is_alive(m, level, t, MINUTE / EVERY) &&
        present == is_alive(m, level, t, HOUR / EVERY))
        compare_instant(m, level, t, present);
}

/* The points of the level in (from, to] as samples of a store of their own. */
static void write_points(
    const struct model *m, int level, int64_t from, int64_t to, struct fixture *samples)
{
    struct metric_def def = fixture_def("points", KIND_SAMPLE);
    uint32_t series = fixture_series(samples, &def, "a");
    for (int64_t w = (from - MIDNIGHT) / EVERY; end_of(w) <= to; w++) {
        bool changes = w > 0 && w <= WINDOWS && m->change[w] != 0;
        if (w > 0 && end_of(w) > from &&
            (changes || (end_of(w) <= m->frontier && is_alive(m, level, end_of(w), 1))))
            txn_sample(samples->txn, series, end_of(w), stands_at(m, end_of(w)));
    }
    fixture_commit(samples);
}

static void compare_values(const struct value *a, const struct value *b, const char *text)
{
    if (a->n != b->n || (a->n && a->series[0].n != b->series[0].n))
        fail_msg("%s: %zu series, not %zu", text, a->n, b->n);
    for (size_t i = 0; a->n && i < a->series[0].n; i++)
        if (a->series[0].points[i].t_ms != b->series[0].points[i].t_ms ||
            a->series[0].points[i].v != b->series[0].points[i].v)
            fail_msg("%s, point %zu: %.17g, not %.17g", text, i, a->series[0].points[i].v,
                b->series[0].points[i].v);
}

static void compare_ranges(struct model *m, int level, int64_t t)
{
    static const char *const functions[] = {"avg_over_time", "sum_over_time", "count_over_time",
        "min_over_time", "max_over_time", "last_over_time", "stddev_over_time", "delta", "idelta",
        "deriv", "changes", "resets", "quantile_over_time"};
    enum { STEPS = 5 };
    int64_t range = (1 + below(below(2) ? 20 : 400)) * 10 * SECOND;
    int64_t step = (1 + below(300)) * SECOND;
    struct fixture samples;
    fixture_open(&samples);
    write_points(m, level, t - range, t + STEPS * step, &samples);
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        char a[96], b[96];
        const char *first = i == 12 ? "0.9, " : "";
        snprintf(a, sizeof a, "%s(%sopen%d[%llds])", functions[i], first, level,
            (long long)range / SECOND);
        snprintf(
            b, sizeof b, "%s(%spoints[%llds])", functions[i], first, (long long)range / SECOND);
        assert_true(fixture_ask_range(&m->f, a, t, t + STEPS * step, step));
        assert_true(fixture_ask_range(&samples, b, t, t + STEPS * step, step));
        compare_values(&m->f.answer.value, &samples.answer.value, a);
    }
    fixture_close(&samples);
}

static void compare(struct model *m)
{
    int level = (int)below(LEVELS);
    int64_t back = below(below(3) ? HOUR : 2 * DAY), t = end_of(m->newest) + 10 * MINUTE - back;
    arena_reset(&m->f.arena);
    if (m->raw_ms)
        compare_coarse(m, level);
    /* Raw cells are there of all that a range of 4000 s needs. */
    if (m->raw_ms && t - stale_after[level] - 2 * HOUR <= end_of(m->newest) - m->raw_ms)
        return;
    if (t > MIDNIGHT)
        compare_instant(m, level, t, is_alive(m, level, t, 1));
    if (t > MIDNIGHT && below(8) == 0)
        compare_ranges(m, level, t);
}

static void run(uint64_t seed)
{
    struct model *m = calloc(1, sizeof *m);
    rng = seed;
    folder_new("levels", m->dir, sizeof m->dir);
    arena_init(&m->f.arena, 64u << 20);
    open_store(m);
    while (m->newest < WINDOWS) {
        append(m);
        for (int i = 0; i < 4; i++)
            compare(m);
        if (below(4) == 0)
            maintain(m, end_of(m->newest) - 10 * MINUTE);
        if (!m->raw_ms && m->newest > 2 * DAY / EVERY) {
            m->raw_ms = DAY;
            reopen(m);
        }
        if (below(60) == 0)
            reopen(m);
    }
    maintain(m, end_of(WINDOWS) + 2 * DAY);
    for (int i = 0; i < 200; i++)
        compare_coarse(m, i % LEVELS);
    fixture_close(&m->f);
    folder_remove(m->dir);
    free(m);
}

static void test_levels_are_those_of_the_model(void **state)
{
    (void)state;
    const char *seed = getenv("LARDER_SEED");
    uint64_t first = seed ? strtoull(seed, NULL, 10) : 88172645463325252u;
    for (uint64_t i = 0; i < (seed ? 1 : 3); i++) {
        printf("seed %llu\n", (unsigned long long)(first + i));
        run(first + i);
    }
}

/* Retention leaves the level what it was, and an answer between the ends of what is left says so.
 */
static void test_retention_leaves_levels(void **state)
{
    (void)state;
    struct model *m = calloc(1, sizeof *m);
    folder_new("levels", m->dir, sizeof m->dir);
    arena_init(&m->f.arena, 64u << 20);
    m->raw_ms = DAY;
    open_store(m);
    put(m, 10, 5);                       /* 00:03:20 */
    put(m, 12 * HOUR / EVERY + 10, 100); /* 12:03:20 */
    put(m, 3 * DAY / EVERY, 1000);
    txn_clock(m->f.txn, SLICE("orders"), MIDNIGHT + 3 * DAY, MIDNIGHT + 3 * DAY);
    fixture_commit(&m->f);
    int64_t noon = MIDNIGHT + 12 * HOUR;
    assert_true(fixture_value(&m->f, "open2", noon + 210 * SECOND) == 105);
    maintain(m, MIDNIGHT + 3 * DAY);
    assert_true(fixture_value(&m->f, "open2", noon) == 5);
    assert_true(fixture_value(&m->f, "open2", noon + 4 * MINUTE) == 105);
    assert_true(fixture_value(&m->f, "open2", noon + 210 * SECOND) == 5);
    assert_int_equal(m->f.answer.notes.n_infos, 1);
    assert_non_null(strstr(m->f.answer.notes.infos[0], "cells of a minute"));
    assert_true(fixture_value(&m->f, "open2", MIDNIGHT + DAY + HOUR) == 105);
    assert_true(fixture_value(&m->f, "open2", MIDNIGHT + 3 * DAY) == 1105);
    assert_int_equal(m->f.answer.notes.n_infos, 0);
    fixture_close(&m->f);
    folder_remove(m->dir);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels_are_those_of_the_model),
        cmocka_unit_test(test_retention_leaves_levels),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
