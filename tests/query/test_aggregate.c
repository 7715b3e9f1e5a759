#include <math.h>

#include "tests/query/vector_fixture.h"

/* Evaluates the aggregation in text over x, with param when it has one. */
static bool run(struct fixture *f, const char *text, const struct vector *param,
    const struct vector *x, struct vector *out)
{
    size_t n_steps = f->eval.n_steps;
    const struct node *node = fixture_query(f, text, n_steps);
    return eval_aggregate(&f->eval, node, param, x, out, &f->err);
}

#define assert_run(f, expr_, param, x, want)                                                       \
    do {                                                                                           \
        struct vector out_;                                                                        \
        if (!run(f, expr_, param, &(x), &out_))                                                    \
            fail_msg("%s", (f)->err.text);                                                         \
        assert_vector(f, out_, want);                                                              \
    } while (0)

static void groups(void **state)
{
    struct fixture *f = *state;
    f->eval.n_steps = 3;
    struct vector x = fixture_vector(
        f, "x{a=1,b=1} 1 2 _", "x{a=1,b=2} 10 _ _", "x{a=2,b=1} 100 _ 300", "y{c=1} 5 5 5", NULL);
    assert_run(f, "sum(x)", NULL, x, "{} 116 7 305");
    assert_run(f, "sum by (a) (x)", NULL, x, "{a=\"1\"} 11 2 _\n{a=\"2\"} 100 _ 300\n{} 5 5 5");
    assert_run(f, "sum without (b) (x)", NULL, x,
        "{a=\"1\"} 11 2 _\n{a=\"2\"} 100 _ 300\n{c=\"1\"} 5 5 5");
    assert_run(
        f, "count by (__name__) (x)", NULL, x, "{__name__=\"x\"} 3 1 1\n{__name__=\"y\"} 1 1 1");
    assert_run(f, "min by (nope) (x)", NULL, x, "{} 1 2 5");
    assert_run(f, "max(x)", NULL, x, "{} 100 5 300");
    assert_run(f, "avg(x)", NULL, x, "{} 29 3.5 152.5");
    assert_run(f, "group(x)", NULL, x, "{} 1 1 1");
    assert_run(f, "stdvar by (a) (x)", NULL, x, "{a=\"1\"} 20.25 0 _\n{a=\"2\"} 0 _ 0\n{} 0 0 0");
}

static void sums_precisely(void **state)
{
    struct fixture *f = *state;
    struct vector x =
        fixture_vector(f, "x{a=1} 2", "x{a=2} 8", "x{a=3} 1e100", "x{a=4} -1e100", NULL);
    assert_run(f, "sum(x)", NULL, x, "{} 10");
    assert_run(f, "avg(x)", NULL, x, "{} 2.5");
    struct vector big =
        fixture_vector(f, "x{a=1} 1.5e308", "x{a=2} 1.5e308", "x{a=3} 1.5e308", NULL);
    assert_run(f, "avg(x)", NULL, big, "{} 1.5e+308");
    assert_run(f, "sum(x)", NULL, big, "{} +Inf");
    struct vector odd = fixture_vector(f, "x{a=1} nan", "x{a=2} 3", "x{a=3} inf", NULL);
    assert_run(f, "min(x)", NULL, odd, "{} 3");
    assert_run(f, "max(x)", NULL, odd, "{} +Inf");
    assert_run(f, "stddev(x)", NULL, odd, "{} NaN");
    assert_run(f, "sum(x)", NULL, odd, "{} NaN");
}

static void marks_lost_names(void **state)
{
    struct fixture *f = *state;
    struct vector x = fixture_vector(f, "x{a=1} 1", "x{a=2} 2", "y{a=1} _", NULL);
    bool drop[] = {false, true, true};
    x.drop_name = drop;
    assert_run(f, "sum by (__name__) (x)", NULL, x, "{__name__=\"x\"}! 3");
}

static void takes_quantiles(void **state)
{
    struct fixture *f = *state;
    f->eval.n_steps = 2;
    struct vector x = fixture_vector(f, "x{a=1} 4 nan", "x{a=2} 1 1", "x{a=3} 0 _", NULL);
    struct vector q = fixture_scalar(f, 0.8);
    assert_run(f, "quantile(0.8, x)", &q, x, "{} 2.8000000000000003 NaN");
    q.v[0] = 1.5;
    assert_run(f, "quantile(1.5, x)", &q, x, "{} +Inf +Inf");
    assert_int_equal(f->eval.notes.n_warnings, 1);
    assert_string_equal(f->eval.notes.warnings[0],
        "PromQL warning: quantile value should be between 0 and 1, got 1.5 (1:10)");
    q.v[0] = NAN;
    assert_run(f, "quantile(NaN, x)", &q, x, "{} NaN NaN");
}

static void chooses_the_best(void **state)
{
    struct fixture *f = *state;
    struct vector k = fixture_scalar(f, 2);
    struct vector x =
        fixture_vector(f, "x{a=1} 3", "x{a=2} nan", "x{a=3} 7", "x{a=4} 5", "x{a=5} 7", NULL);
    assert_run(f, "topk(2, x)", &k, x, "{__name__=\"x\", a=\"3\"} 7\n{__name__=\"x\", a=\"5\"} 7");
    assert_run(
        f, "bottomk(2, x)", &k, x, "{__name__=\"x\", a=\"1\"} 3\n{__name__=\"x\", a=\"4\"} 5");
    k.v[0] = 1e12;
    assert_run(f, "bottomk(1e12, x)", &k, x,
        "{__name__=\"x\", a=\"1\"} 3\n{__name__=\"x\", a=\"4\"} 5\n{__name__=\"x\", a=\"3\"} 7\n"
        "{__name__=\"x\", a=\"5\"} 7\n{__name__=\"x\", a=\"2\"} NaN");
    k.v[0] = 0.5;
    assert_run(f, "topk(0.5, x)", &k, x, "");
    k.v[0] = -3;
    assert_run(f, "limitk(-3, x)", &k, x, "");
    k.v[0] = 2;
    assert_run(
        f, "limitk(2, x)", &k, x, "{__name__=\"x\", a=\"1\"} 3\n{__name__=\"x\", a=\"2\"} NaN");
    f->eval.n_steps = 2;
    struct vector y = fixture_vector(f, "x{a=1} 1 9", "x{a=2} 2 _", "x{a=3} 3 1", NULL);
    k.v[0] = 1;
    assert_run(
        f, "topk(1, x)", &k, y, "{__name__=\"x\", a=\"1\"} _ 9\n{__name__=\"x\", a=\"3\"} 3 _");
}

static void refuses_parameters(void **state)
{
    struct fixture *f = *state;
    struct vector x = fixture_vector(f, "x 1", NULL), out;
    struct vector k = fixture_scalar(f, NAN);
    assert_false(run(f, "topk(NaN, x)", &k, &x, &out));
    assert_string_equal(f->err.text, "Parameter value is NaN");
    assert_int_equal(f->err.code, ERR_INVALID);
    assert_int_equal(f->err.sys, 1);
    assert_false(run(f, "limit_ratio(NaN, x)", &k, &x, &out));
    assert_string_equal(f->err.text, "Ratio value is NaN");
    k.v[0] = 1e20;
    assert_false(run(f, "topk(1e20, x)", &k, &x, &out));
    assert_string_equal(f->err.text, "Scalar value 100000000000000000000 overflows int64");
}

/* limit_ratio(r) and limit_ratio(r - 1) are complements, series by series. */
static void takes_ratios(void **state)
{
    struct fixture *f = *state;
    struct vector all, some, rest;
    assert_true(vector_new(&f->eval, 1000, 1, false, &all, &f->err));
    for (size_t s = 0; s < all.n; s++) {
        char *text = arena_printf(&f->arena, "x{a=%zu}", s);
        fixture_labels(f, text, &all.labels[s]);
        all.present[s] = true;
        all.v[s] = (double)s;
    }
    for (int tenths = 1; tenths < 10; tenths += 2) {
        double r = tenths / 10.0;
        struct vector ratio = fixture_scalar(f, r);
        assert_true(run(f, "limit_ratio(0.5, x)", &ratio, &all, &some));
        ratio.v[0] = r - 1;
        assert_true(run(f, "limit_ratio(0.5, x)", &ratio, &all, &rest));
        assert_int_equal(some.n + rest.n, all.n);
        assert_true(fabs((double)some.n / 1000 - r) < 0.06);
        for (size_t i = 0, j = 0; i < some.n; i++) {
            while (j < rest.n && rest.v[j] < some.v[i])
                j++;
            assert_true(j == rest.n || rest.v[j] != some.v[i]);
        }
    }
    struct vector ratio = fixture_scalar(f, 1.1);
    assert_true(run(f, "limit_ratio(1.1, x)", &ratio, &all, &some));
    assert_int_equal(some.n, all.n);
    assert_string_equal(f->eval.notes.warnings[0],
        "PromQL warning: ratio value should be between -1 and 1, got 1.1, capping to 1 (1:13)");
}

static void counts_values(void **state)
{
    struct fixture *f = *state;
    f->eval.n_steps = 3;
    struct vector x = fixture_vector(f, "x{a=1} 6 6 0.1", "x{a=2} 6 7 _", "x{a=3} 8 6 0.1", NULL);
    struct vector label = fixture_string("v"), out;
    assert_run(f, "count_values(\"v\", x)", &label, x,
        "{v=\"6\"} 2 2 _\n{v=\"0.1\"} _ _ 2\n{v=\"7\"} _ 1 _\n{v=\"8\"} 1 _ _");
    label = fixture_string("a");
    assert_run(f, "count_values without (b) (\"a\", x)", &label, x,
        "{a=\"6\"} 2 2 _\n{a=\"0.1\"} _ _ 2\n{a=\"7\"} _ 1 _\n{a=\"8\"} 1 _ _");
    label = fixture_string("a\xff");
    assert_false(run(f, "count_values(\"v\", x)", &label, &x, &out));
    assert_string_equal(f->err.text, "invalid label name \"a\\xff\"");
}

static struct hist make(enum hist_reset_hint hint, const struct hist_fbucket *b, int schema)
{
    return (struct hist){
        .schema = schema, .reset_hint = hint, .count = b->count, .positive = b, .n_positive = 1};
}

static void aggregates_histograms(void **state)
{
    struct fixture *f = *state;
    static const struct hist_fbucket one[] = {{0, 1}}, three[] = {{1, 3}};
    struct hist a = make(HIST_RESET_YES, one, 0), b = make(HIST_RESET_NO, three, 0);
    struct hist c = make(HIST_RESET_UNKNOWN, one, HIST_SCHEMA_CUSTOM);
    f->hist[0] = &a;
    f->hist[1] = &b;
    f->hist[2] = &c;
    f->eval.n_steps = 4;
    struct vector x = fixture_vector(f, "x{a=1} H0 H0 H0 1", "x{a=2} H1 2 H2 _", NULL);
    assert_run(f, "sum(x)", NULL, x, "{} {count:4, sum:0, (0.5,1]:1, (1,2]:3} _ _ 1");
    assert_int_equal(f->eval.notes.n_warnings, 3);
    assert_string_equal(f->eval.notes.warnings[0],
        "PromQL warning: conflicting counter resets during histogram aggregation (1:5)");
    assert_string_equal(f->eval.notes.warnings[1],
        "PromQL warning: encountered a mix of histograms and floats for aggregation (1:5)");
    assert_string_equal(f->eval.notes.warnings[2],
        "PromQL warning: vector contains a mix of histograms with exponential and custom buckets "
        "schemas for metric name \"x\" (1:5)");
    assert_run(f, "avg((x))", NULL, x, "{} {count:2, sum:0, (0.5,1]:0.5, (1,2]:1.5} _ _ 1");
    assert_run(f, "count(x)", NULL, x, "{} 2 2 2 1");
    assert_int_equal(f->eval.notes.n_infos, 0);
    assert_run(f, "max(\nx)", NULL, x, "{} _ 2 _ 1");
    assert_int_equal(f->eval.notes.n_infos, 1);
    assert_string_equal(
        f->eval.notes.infos[0], "PromQL info: ignored histogram in max aggregation (2:1)");
    struct vector k = fixture_scalar(f, 5);
    assert_run(f, "topk(5, x)", &k, x,
        "{__name__=\"x\", a=\"1\"} _ _ _ 1\n{__name__=\"x\", a=\"2\"} _ 2 _ _");
    assert_string_equal(
        f->eval.notes.infos[0], "PromQL info: ignored histogram in topk aggregation (1:1)");
}

static void stays_within_limits(void **state)
{
    struct fixture *f = *state;
    f->eval.n_steps = 100;
    f->options.max_samples = 150;
    struct vector x, out;
    assert_true(vector_new(&f->eval, 1, 100, false, &x, &f->err));
    x.labels[0] = (struct labels){NULL, 0};
    assert_false(run(f, "sum(x)", NULL, &x, &out));
    assert_int_equal(f->err.code, ERR_LIMIT);
    assert_non_null(strstr(f->err.text, "query needs more memory than allowed"));
    atomic_bool cancel = true;
    f->options.max_samples = 0;
    f->query.cancel = &cancel;
    assert_false(run(f, "sum(x)", NULL, &x, &out));
    assert_int_equal(f->err.code, ERR_CANCELED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(groups),
        TEST(sums_precisely),
        TEST(marks_lost_names),
        TEST(takes_quantiles),
        TEST(chooses_the_best),
        TEST(refuses_parameters),
        TEST(takes_ratios),
        TEST(counts_values),
        TEST(aggregates_histograms),
        TEST(stays_within_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
