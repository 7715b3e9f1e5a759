#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "query/counter_view.h"
#include "query/when.h"

/*
 * The view against a slow model that follows the definition: it walks over every window of some
 * days, knows for each whether it is alive, and collects the points one by one.
 */

#define HOUR   INT64_C(3600000)
#define DAYS   4
#define CELLS  64
#define POINTS 1024

struct model {
    int64_t cells[CELLS], amount[CELLS];
    size_t n;
    int64_t every, stale, frontier;
    int64_t t[POINTS], c[POINTS];
    size_t n_points;
};

static bool has_cell(const struct model *m, int64_t end)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->cells[i] == end)
            return true;
    return false;
}

static bool is_alive(const struct model *m, int64_t end)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->cells[i] > end - m->stale && m->cells[i] <= end)
            return true;
    return false;
}

static bool is_known(const struct model *m, int64_t end)
{
    return has_cell(m, end) || (is_alive(m, end) && end <= m->frontier);
}

/* The sum of the cells of t's day that end by t. */
static int64_t value_at(const struct model *m, int64_t t)
{
    int64_t sum = 0;
    for (size_t i = 0; i < m->n; i++)
        if (m->cells[i] <= t && time_floor(m->cells[i] - 1, DAY_MS) == time_floor(t - 1, DAY_MS))
            sum += m->amount[i];
    return sum;
}

static void add(struct model *m, int64_t t, int64_t c)
{
    size_t at = m->n_points;
    for (size_t i = 0; i < m->n_points; i++)
        if (m->t[i] == t)
            return;
    for (; at > 0 && m->t[at - 1] > t; at--) {
        m->t[at] = m->t[at - 1];
        m->c[at] = m->c[at - 1];
    }
    assert_true(m->n_points < POINTS);
    m->t[at] = t;
    m->c[at] = c;
    m->n_points++;
}

/* A midnight lies inside a life when the life (with the point before it) began by then, and the
 * life has a point after it. */
static bool is_inside(const struct model *m, int64_t midnight)
{
    int64_t w = midnight + m->every;
    if (!is_alive(m, w))
        return false;
    for (; is_alive(m, w); w += m->every)
        if (is_known(m, w))
            return true;
    return false;
}

static void build(struct model *m)
{
    m->n_points = 0;
    for (int64_t w = 0; w <= (DAYS + 2) * DAY_MS; w += m->every) {
        if (is_known(m, w))
            add(m, w, value_at(m, w));
        if (has_cell(m, w) && !is_alive(m, w - m->every))
            add(m, w - m->every, value_at(m, w - m->every));
    }
    for (int64_t midnight = 0; midnight <= (DAYS + 2) * DAY_MS; midnight += DAY_MS) {
        bool before = is_alive(m, midnight) || has_cell(m, midnight + m->every);
        if (before && is_inside(m, midnight))
            add(m, midnight + 1, 0);
    }
}

static uint64_t seed = 88172645463325252u;

static int64_t below(int64_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (int64_t)(seed % (uint64_t)n);
}

static void random_model(struct model *m)
{
    static const int64_t every[] = {HOUR, HOUR / 2, HOUR / 4};
    *m = (struct model){.every = every[below(3)]};
    m->stale = m->every * (1 + below(12)) + (below(4) == 0 ? 1000 : 0);
    m->frontier = below(5) == 0 ? INT64_MIN : below(DAYS * DAY_MS);
    int64_t at = below(DAY_MS) / m->every * m->every;
    while (m->n < CELLS && at < DAYS * DAY_MS) {
        m->cells[m->n] = at;
        m->amount[m->n++] = 1 + below(9);
        at += m->every * (below(3) == 0 ? 1 + below(16) : 1 + below(2));
    }
}

static struct counter_view view_of(const struct model *m)
{
    return (struct counter_view){.t = m->cells,
        .n = m->n,
        .every_ms = m->every,
        .stale_after_ms = m->stale,
        .frontier_ms = m->frontier};
}

/* Sum of the cells [first, end) of a view whose first cell is cell skip of the model. */
static int64_t sum_cells(const struct model *m, size_t skip, size_t first, size_t end)
{
    int64_t sum = 0;
    for (size_t i = first; i < end; i++)
        sum += m->amount[skip + i];
    return sum;
}

static void check_newest(const struct model *m, int64_t t)
{
    struct counter_view view = view_of(m);
    struct counter_point point;
    size_t n = 0;
    while (n < m->n_points && m->t[n] <= t)
        n++;
    assert_int_equal(counter_newest(&view, t, &point), n > 0);
    if (n == 0)
        return;
    assert_int_equal(point.t_ms, m->t[n - 1]);
    assert_int_equal(sum_cells(m, 0, point.first, point.end), m->c[n - 1]);
}

static void test_points_as_defined(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        struct model m;
        random_model(&m);
        build(&m);
        for (size_t i = 0; i < m.n_points; i++) {
            check_newest(&m, m.t[i] - 1);
            check_newest(&m, m.t[i]);
            check_newest(&m, m.t[i] + 1);
        }
        for (int i = 0; i < 50; i++)
            check_newest(&m, below((DAYS + 1) * DAY_MS));
    }
}

static void check_windows(const struct model *m, int64_t from, int64_t to)
{
    struct counter_view view = view_of(m);
    struct counter_span span = counter_windows(&view, from, to);
    size_t windows = 0;
    int64_t sum = 0, newest = INT64_MIN;
    for (int64_t w = time_floor(from, m->every); w <= to; w += m->every) {
        if (w <= from)
            continue;
        windows++;
        if (is_known(m, w))
            newest = w;
    }
    for (size_t i = 0; i < m->n; i++)
        if (m->cells[i] > from && m->cells[i] <= to)
            sum += m->amount[i];
    assert_int_equal(span.windows, windows);
    assert_int_equal(span.any, newest != INT64_MIN);
    assert_int_equal(sum_cells(m, 0, span.first, span.end), sum);
    if (span.any)
        assert_int_equal(span.newest_ms, newest);
}

static void test_windows_as_defined(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        struct model m;
        random_model(&m);
        for (int i = 0; i < 50; i++) {
            int64_t from = below(DAYS * DAY_MS), length = below(below(2) ? HOUR : DAY_MS);
            if (below(2)) {
                from -= from % m.every;
                length -= length % m.every;
            }
            check_windows(&m, from, from + length);
        }
    }
}

/* The cells that counter_reach asks for say the same about the range as all cells. */
static void check_reach(const struct model *m, int64_t from, int64_t to)
{
    int64_t reach_from = from, reach_to = to;
    counter_reach(m->every, m->stale, false, &reach_from, &reach_to);
    struct counter_view all = view_of(m), some = all;
    size_t skip = 0;
    while (skip < m->n && m->cells[skip] <= reach_from)
        skip++;
    some.t = m->cells + skip;
    some.n = 0;
    while (skip + some.n < m->n && m->cells[skip + some.n] <= reach_to)
        some.n++;
    for (int64_t t = to;;) {
        struct counter_point a, b;
        bool more = counter_newest(&all, t, &a) && a.t_ms > from;
        assert_int_equal(counter_newest(&some, t, &b) && b.t_ms > from, more);
        if (!more)
            break;
        assert_int_equal(a.t_ms, b.t_ms);
        assert_int_equal(sum_cells(m, 0, a.first, a.end), sum_cells(m, skip, b.first, b.end));
        t = a.t_ms - 1;
    }
    reach_from = from;
    counter_reach(m->every, m->stale, true, &reach_from, &reach_to);
    for (skip = 0; skip < m->n && m->cells[skip] <= reach_from;)
        skip++;
    some.t = m->cells + skip;
    some.n = m->n - skip;
    struct counter_span a = counter_windows(&all, from, to), b = counter_windows(&some, from, to);
    assert_int_equal(a.any, b.any);
    assert_int_equal(sum_cells(m, 0, a.first, a.end), sum_cells(m, skip, b.first, b.end));
}

static void test_reach_is_enough(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        struct model m;
        random_model(&m);
        for (int i = 0; i < 50; i++) {
            int64_t from = below(DAYS * DAY_MS);
            if (below(2))
                from = time_floor(from, below(2) ? m.every : DAY_MS) + below(3) - 1;
            check_reach(&m, from, from + below(below(2) ? HOUR : DAY_MS));
        }
    }
}

/* The picture of the header, in numbers. */
static void test_a_life_over_midnight(void **state)
{
    (void)state;
    struct model m = {.n = 2, .every = HOUR, .stale = 4 * HOUR, .frontier = 30 * HOUR};
    m.cells[0] = 22 * HOUR;
    m.amount[0] = 5;
    m.cells[1] = 25 * HOUR;
    m.amount[1] = 7;
    static const struct {
        int64_t t, c;
    } want[] = {{21 * HOUR, 0}, {22 * HOUR, 5}, {23 * HOUR, 5}, {24 * HOUR, 5}, {24 * HOUR + 1, 0},
        {25 * HOUR, 7}, {26 * HOUR, 7}, {27 * HOUR, 7}, {28 * HOUR, 7}};
    struct counter_view view = view_of(&m);
    size_t n = sizeof want / sizeof want[0];
    int64_t t = 100 * HOUR;
    struct counter_point point;
    for (size_t i = n; i-- > 0; t = point.t_ms - 1) {
        assert_true(counter_newest(&view, t, &point));
        assert_int_equal(point.t_ms, want[i].t);
        assert_int_equal(sum_cells(&m, 0, point.first, point.end), want[i].c);
    }
    assert_false(counter_newest(&view, t, &point));
}

/* Behind the frontier only cells are points, and without a clock there are no zeros at all. */
static void test_zeros_end_at_the_frontier(void **state)
{
    (void)state;
    struct model m = {.n = 2, .every = HOUR, .stale = 8 * HOUR, .frontier = 5 * HOUR - 1};
    m.cells[0] = 2 * HOUR;
    m.amount[0] = 3;
    m.cells[1] = 7 * HOUR;
    m.amount[1] = 4;
    struct counter_view view = view_of(&m);
    struct counter_point point;
    assert_true(counter_newest(&view, 6 * HOUR, &point));
    assert_int_equal(point.t_ms, 4 * HOUR);
    assert_true(counter_newest(&view, 9 * HOUR, &point));
    assert_int_equal(point.t_ms, 7 * HOUR);
    assert_true(counter_windows(&view, 2 * HOUR, 6 * HOUR).any);
    assert_false(counter_windows(&view, 4 * HOUR, 6 * HOUR).any);
    view.frontier_ms = INT64_MIN;
    assert_true(counter_newest(&view, 6 * HOUR, &point));
    assert_int_equal(point.t_ms, 2 * HOUR);
    assert_false(counter_windows(&view, 2 * HOUR, 6 * HOUR).any);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_life_over_midnight),
        cmocka_unit_test(test_zeros_end_at_the_frontier),
        cmocka_unit_test(test_points_as_defined),
        cmocka_unit_test(test_windows_as_defined),
        cmocka_unit_test(test_reach_is_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
