#include "query/histogram_math.h"

#include <float.h>
#include <math.h>

#include "query/histogram_stat.h"
#include "tests/query/vector_fixture.h"

/* A histogram of n positive buckets. */
static struct hist make(int schema, size_t n, const struct hist_fbucket *buckets)
{
    struct hist h = {.schema = schema, .positive = buckets, .n_positive = (uint32_t)n};
    for (size_t i = 0; i < n; i++)
        h.count += buckets[i].count;
    return h;
}

static const char *text_of(struct fixture *f, const struct hist *h)
{
    buf_clear(&f->text);
    hist_text(h, &f->text);
    return buf_cstr(&f->text);
}

static void adds_the_same_layout(void **state)
{
    struct fixture *f = *state;
    struct hist_fbucket a[] = {{0, 1}, {1, 2}}, b[] = {{0, 10}, {1, 20}};
    struct hist x = make(0, 2, a), y = make(0, 2, b);
    const struct hist *sum;
    unsigned notes = 0;
    x.sum = 3;
    y.sum = 30;
    assert_int_equal(hist_add(&f->arena, &x, &y, &notes, &sum), HIST_OK);
    assert_string_equal(text_of(f, sum), "{count:33, sum:33, (0.5,1]:11, (1,2]:22}");
    assert_int_equal(hist_subtract(&f->arena, &x, &x, &notes, &sum), HIST_OK);
    assert_string_equal(text_of(f, sum), "{count:0, sum:0}");
    assert_int_equal(sum->n_positive, 0);
    assert_int_equal(notes, 0);
}

/* Buckets that only one has go in between, before and behind. */
static void merges_layouts(void **state)
{
    struct fixture *f = *state;
    struct hist_fbucket a[] = {{0, 1}, {2, 2}}, b[] = {{-1, 5}, {1, 6}, {2, 7}, {3, 8}};
    struct hist x = make(0, 2, a), y = make(0, 4, b);
    const struct hist *sum;
    unsigned notes = 0;
    assert_int_equal(hist_add(&f->arena, &x, &y, &notes, &sum), HIST_OK);
    assert_string_equal(
        text_of(f, sum), "{count:29, sum:0, (0.25,0.5]:5, (0.5,1]:1, (1,2]:6, (2,4]:9, (4,8]:8}");
    assert_int_equal(hist_subtract(&f->arena, &y, &x, &notes, &sum), HIST_OK);
    assert_string_equal(
        text_of(f, sum), "{count:23, sum:0, (0.25,0.5]:5, (0.5,1]:-1, (1,2]:6, (2,4]:5, (4,8]:8}");
}

static void meets_at_the_lower_schema(void **state)
{
    struct fixture *f = *state;
    struct hist_fbucket fine[] = {{1, 1}, {2, 2}, {3, 4}, {4, 8}}, coarse[] = {{1, 100}};
    struct hist x = make(1, 4, fine), y = make(0, 1, coarse);
    const struct hist *sum;
    unsigned notes = 0;
    assert_int_equal(hist_add(&f->arena, &x, &y, &notes, &sum), HIST_OK);
    assert_int_equal(sum->schema, 0);
    assert_string_equal(text_of(f, sum), "{count:115, sum:0, (1,2]:103, (2,4]:12}");
    assert_int_equal(hist_add(&f->arena, &y, &x, &notes, &sum), HIST_OK);
    assert_string_equal(text_of(f, sum), "{count:115, sum:0, (1,2]:103, (2,4]:12}");
    const struct hist *reduced = hist_reduce(&f->arena, &x, -1);
    assert_string_equal(text_of(f, reduced), "{count:15, sum:0, (1,4]:15}");
}

/* The threshold 0.6 lies in the populated bucket (0.5,1], so both go to 1. */
static void meets_at_a_free_zero_threshold(void **state)
{
    struct fixture *f = *state;
    struct hist_fbucket a[] = {{-1, 1}, {0, 2}, {1, 4}}, b[] = {{1, 8}};
    struct hist x = make(0, 3, a), y = make(0, 1, b);
    const struct hist *sum;
    unsigned notes = 0;
    y.zero_threshold = 0.6;
    y.zero_count = 16;
    y.count += 16;
    const char *want = "{count:31, sum:0, [-1,1]:19, (1,2]:12}";
    assert_int_equal(hist_add(&f->arena, &x, &y, &notes, &sum), HIST_OK);
    assert_string_equal(text_of(f, sum), want);
    assert_int_equal(hist_add(&f->arena, &y, &x, &notes, &sum), HIST_OK);
    assert_string_equal(text_of(f, sum), want);
}

static void meets_at_common_custom_bounds(void **state)
{
    struct fixture *f = *state;
    static const double five[] = {1, 2, 3, 4, 5}, two[] = {2, 4, 6};
    struct hist_fbucket a[] = {{0, 1}, {1, 2}, {2, 4}, {3, 8}, {4, 16}, {5, 32}};
    struct hist_fbucket b[] = {{0, 100}, {1, 200}, {2, 300}, {3, 400}};
    struct hist x = make(HIST_SCHEMA_CUSTOM, 6, a), y = make(HIST_SCHEMA_CUSTOM, 4, b);
    const struct hist *sum;
    unsigned notes = 0;
    x.bounds = five;
    x.n_bounds = 5;
    y.bounds = two;
    y.n_bounds = 3;
    const char *want = "{count:1063, sum:0, [-Inf,2]:103, (2,4]:212, (4,+Inf]:748}";
    assert_int_equal(hist_add(&f->arena, &x, &y, &notes, &sum), HIST_OK);
    assert_int_equal(notes, HIST_BOUNDS_RECONCILED);
    assert_string_equal(text_of(f, sum), want);
    assert_int_equal(hist_add(&f->arena, &y, &x, &notes, &sum), HIST_OK);
    assert_string_equal(text_of(f, sum), want);
    struct hist none = make(HIST_SCHEMA_CUSTOM, 1, b);
    assert_int_equal(hist_add(&f->arena, &none, &x, &notes, &sum), HIST_OK);
    assert_string_equal(text_of(f, sum), "{count:163, sum:0, [-Inf,+Inf]:163}");
    struct hist exponential = make(0, 1, b);
    assert_int_equal(hist_add(&f->arena, &exponential, &x, &notes, &sum), HIST_INCOMPATIBLE);
}

static void keeps_hints(void **state)
{
    static const struct {
        enum hist_reset_hint a, b, sum;
        unsigned notes;
    } cases[] = {
        {HIST_RESET_YES, HIST_RESET_YES, HIST_RESET_YES, 0},
        {HIST_RESET_YES, HIST_RESET_NO, HIST_RESET_UNKNOWN, HIST_RESET_COLLISION},
        {HIST_RESET_NO, HIST_RESET_UNKNOWN, HIST_RESET_UNKNOWN, 0},
        {HIST_GAUGE, HIST_RESET_NO, HIST_GAUGE, 0},
        {HIST_RESET_UNKNOWN, HIST_GAUGE, HIST_GAUGE, 0},
    };
    struct fixture *f = *state;
    struct hist_fbucket a[] = {{0, 1}};
    struct hist x = make(0, 1, a), y = make(0, 1, a);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct hist *sum;
        unsigned notes = 0;
        x.reset_hint = cases[i].a;
        y.reset_hint = cases[i].b;
        assert_int_equal(hist_add(&f->arena, &x, &y, &notes, &sum), HIST_OK);
        assert_int_equal(sum->reset_hint, cases[i].sum);
        assert_int_equal(notes, cases[i].notes);
    }
    assert_int_equal(hist_multiply(&f->arena, &x, -2)->reset_hint, HIST_GAUGE);
}

/* 1 is lost beside 1e100 without compensation, in the sum and in the buckets. */
static void compensates(void **state)
{
    struct fixture *f = *state;
    static const double values[] = {1, 1e100, 1, -1e100};
    struct hist_sum sum;
    unsigned notes = 0;
    hist_sum_init(&sum, &f->arena);
    for (size_t i = 0; i < 4; i++) {
        struct hist_fbucket b[] = {{3, values[i]}};
        struct hist h = make(0, 1, b);
        h.sum = values[i];
        assert_int_equal(hist_sum_add(&sum, &h, &notes), HIST_OK);
    }
    assert_string_equal(text_of(f, hist_sum_result(&sum)), "{count:2, sum:2, (4,8]:2}");
}

static void means_do_not_overflow(void **state)
{
    struct fixture *f = *state;
    struct hist_sum sum;
    unsigned notes = 0;
    hist_sum_init(&sum, &f->arena);
    for (int i = 0; i < 4; i++) {
        struct hist_fbucket b[] = {{0, 1}, {1, 3}};
        struct hist h = make(0, 2, b);
        h.sum = DBL_MAX / 1.5;
        assert_int_equal(hist_mean_add(&sum, &h, &notes), HIST_OK);
    }
    const struct hist *mean = hist_mean_result(&sum);
    assert_true(fabs(mean->sum / (DBL_MAX / 1.5) - 1) < 1e-14);
    assert_true(fabs(mean->count - 4) < 1e-14);
    assert_true(fabs(mean->positive[1].count - 3) < 1e-14);
    hist_sum_clear(&sum);
    struct hist_fbucket one[] = {{0, 1}}, two[] = {{2, 4}};
    struct hist a = make(0, 1, one), b = make(0, 1, two);
    assert_int_equal(hist_mean_add(&sum, &a, &notes), HIST_OK);
    assert_int_equal(hist_mean_add(&sum, &b, &notes), HIST_OK);
    assert_string_equal(
        text_of(f, hist_mean_result(&sum)), "{count:2.5, sum:0, (0.5,1]:0.5, (2,4]:2}");
}

static void detects_resets(void **state)
{
    (void)state;
    struct hist_fbucket few[] = {{0, 1}, {1, 2}}, more[] = {{0, 1}, {1, 3}}, moved[] = {{0, 4}};
    struct hist_fbucket empty[] = {{0, 1}, {1, 0}};
    struct hist a = make(0, 2, few), b = make(0, 2, more), c = make(0, 1, moved);
    assert_false(hist_detect_reset(&b, &a));
    assert_true(hist_detect_reset(&a, &b));
    assert_true(hist_detect_reset(&c, &a)); /* more in all, but a bucket went empty */
    struct hist d = make(0, 1, few), e = make(0, 2, empty);
    assert_false(hist_detect_reset(&d, &e)); /* a bucket that never had anything */
    struct hist finer = make(1, 2, more);
    assert_true(hist_detect_reset(&finer, &a)); /* resolution rises only with a restart */
    struct hist coarser = make(-1, 1, (struct hist_fbucket[]){{1, 2}});
    coarser.count = 3;
    assert_true(hist_detect_reset(&coarser, &a)); /* (1,4] has 2, the rest is gone */
    b.reset_hint = HIST_RESET_YES;
    assert_true(hist_detect_reset(&b, &a));
    a.reset_hint = HIST_RESET_NO;
    assert_false(hist_detect_reset(&a, &b));
    struct hist wide = make(0, 1, (struct hist_fbucket[]){{1, 2}});
    wide.zero_threshold = 1;
    wide.zero_count = 1;
    wide.count = 3;
    assert_false(hist_detect_reset(&wide, &d)); /* (0.5,1] became zero bucket */
    wide.zero_threshold = 0.75;
    assert_true(hist_detect_reset(&wide, &d)); /* in the middle of a populated bucket */
}

static void detects_resets_of_custom_bounds(void **state)
{
    (void)state;
    static const double three[] = {1, 2, 3}, two[] = {1, 3};
    struct hist_fbucket a[] = {{0, 1}, {1, 2}, {2, 3}}, b[] = {{0, 1}, {1, 5}},
                        c[] = {{0, 2}, {1, 4}};
    struct hist x = make(HIST_SCHEMA_CUSTOM, 3, a), y = make(HIST_SCHEMA_CUSTOM, 2, b);
    struct hist z = make(HIST_SCHEMA_CUSTOM, 2, c);
    x.bounds = three;
    x.n_bounds = 3;
    y.bounds = z.bounds = two;
    y.n_bounds = z.n_bounds = 2;
    assert_false(hist_detect_reset(&y, &x));
    assert_true(hist_detect_reset(&z, &x)); /* between 1 and 3 there were 5 */
}

static void compares(void **state)
{
    (void)state;
    struct hist_fbucket a[] = {{0, 1}, {1, 0}, {2, 2}}, b[] = {{0, 1}, {2, 2}},
                        c[] = {{0, 1}, {3, 2}};
    struct hist x = make(0, 3, a), y = make(0, 2, b), z = make(0, 2, c);
    assert_true(hist_equal(&x, &y));
    assert_false(hist_equal(&x, &z));
    y.sum = NAN;
    x.sum = NAN;
    assert_true(hist_equal(&x, &y));
    x.reset_hint = HIST_GAUGE;
    assert_true(hist_equal(&x, &y));
    y.schema = 1;
    assert_false(hist_equal(&x, &y));
}

static void says_quantiles(void **state)
{
    (void)state;
    struct hist_fbucket b[] = {{0, 2}, {1, 3}, {3, 1}, {4, 4}};
    struct hist h = make(0, 4, b);
    unsigned notes = 0;
    h.zero_threshold = 0.001;
    h.zero_count = 2;
    h.count += 2;
    assert_true(hist_quantile(-1, &h, &notes) == -INFINITY);
    assert_true(hist_quantile(2, &h, &notes) == INFINITY);
    assert_true(isnan(hist_quantile(NAN, &h, &notes)));
    assert_true(hist_quantile(0, &h, &notes) == 0);
    /* Rank 6 of 12: the second of the three in (1,2]. */
    assert_true(fabs(hist_quantile(0.5, &h, &notes) - exp2(2.0 / 3)) < 1e-12);
    assert_true(fabs(hist_quantile(0.9, &h, &notes) - exp2(3 + 0.7)) < 1e-12);
    h.sum = NAN;
    h.count = 14; /* two NaN */
    assert_true(isnan(hist_quantile(0.99, &h, &notes)));
    assert_int_equal(notes, HIST_NAN_RESULT);
    notes = 0;
    hist_quantile(0.5, &h, &notes);
    assert_int_equal(notes, HIST_NAN_SKEW);
    struct hist none = {.schema = 0};
    assert_true(isnan(hist_quantile(0.5, &none, &notes)));
}

static void says_fractions(void **state)
{
    (void)state;
    struct hist_fbucket p[] = {{1, 4}}, n[] = {{1, 4}};
    struct hist h = make(0, 1, p);
    unsigned notes = 0;
    h.negative = n;
    h.n_negative = 1;
    h.count = 8;
    assert_true(hist_fraction(0, INFINITY, &h, &notes) == 0.5);
    assert_true(fabs(hist_fraction(-sqrt(2), sqrt(2), &h, &notes) - 0.5) < 1e-12);
    assert_true(hist_fraction(2, 1, &h, &notes) == 0);
    assert_true(isnan(hist_fraction(NAN, 1, &h, &notes)));
    static const double bounds[] = {-1, 1};
    struct hist_fbucket c[] = {{0, 1}, {1, 2}, {2, 1}};
    struct hist custom = make(HIST_SCHEMA_CUSTOM, 3, c);
    custom.bounds = bounds;
    custom.n_bounds = 2;
    assert_true(hist_fraction(-INFINITY, -1, &custom, &notes) == 0.25);
    assert_true(hist_fraction(1, 100, &custom, &notes) == 0);
    assert_true(hist_fraction(1, INFINITY, &custom, &notes) == 0.25);
    assert_int_equal(notes, 0);
}

static void trims(void **state)
{
    struct fixture *f = *state;
    struct hist_fbucket p[] = {{0, 2}, {1, 4}}, n[] = {{1, 8}};
    struct hist h = make(0, 2, p);
    h.negative = n;
    h.n_negative = 1;
    h.count = 14;
    h.sum = 5;
    assert_ptr_equal(hist_trim(&f->arena, &h, INFINITY, true), &h);
    const struct hist *below = hist_trim(&f->arena, &h, sqrt(2), true);
    assert_true(fabs(below->count - 12) < 1e-12);
    assert_true(fabs(below->positive[1].count - 2) < 1e-12);
    /* What is kept lies at the geometric middles of (0.5,1], (1,sqrt 2] and [-2,-1). */
    assert_true(fabs(below->sum - (2 * sqrt(0.5) + 2 * sqrt(sqrt(2)) - 8 * sqrt(2))) < 1e-9);
    const struct hist *above = hist_trim(&f->arena, &h, 0, false);
    assert_string_equal(text_of(f, hist_trim(&f->arena, above, 1, false)),
        "{count:4, sum:5.656854249492381, (1,2]:4}");
    assert_string_equal(text_of(f, hist_trim(&f->arena, &h, INFINITY, false)), "{count:0, sum:0}");
}

static void stays_within_memory(void **state)
{
    (void)state;
    struct arena small;
    arena_init(&small, 4096);
    struct hist_fbucket b[300];
    for (int i = 0; i < 300; i++)
        b[i] = (struct hist_fbucket){i, 1};
    struct hist h = make(8, 300, b);
    const struct hist *out;
    unsigned notes = 0;
    assert_int_equal(hist_add(&small, &h, &h, &notes, &out), HIST_NO_MEMORY);
    assert_null(hist_multiply(&small, &h, 2));
    assert_null(hist_trim(&small, &h, 1, true));
    arena_fini(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(adds_the_same_layout, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(merges_layouts, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(meets_at_the_lower_schema, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(
            meets_at_a_free_zero_threshold, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(
            meets_at_common_custom_bounds, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(keeps_hints, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(compensates, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(means_do_not_overflow, fixture_setup, fixture_teardown),
        cmocka_unit_test(detects_resets),
        cmocka_unit_test(detects_resets_of_custom_bounds),
        cmocka_unit_test(compares),
        cmocka_unit_test(says_quantiles),
        cmocka_unit_test(says_fractions),
        cmocka_unit_test_setup_teardown(trims, fixture_setup, fixture_teardown),
        cmocka_unit_test(stays_within_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
