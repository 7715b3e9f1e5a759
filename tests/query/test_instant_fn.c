#include <math.h>

#include "query/classic_histogram.h"
#include "tests/query/vector_fixture.h"

/* Calls the function in text with these arguments. */
static bool run(
    struct fixture *f, const char *text, size_t n, const struct vector *args, struct vector *out)
{
    const struct node *node = fixture_query(f, text, f->eval.n_steps);
    return eval_instant_function(&f->eval, node, args, n, out, &f->err);
}

#define ARGS(...)                                                                                  \
    sizeof((struct vector[]){__VA_ARGS__}) / sizeof(struct vector), (struct vector[])              \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

#define NO_ARGS 0, NULL

#define assert_run(f, expr_, args, want)                                                           \
    do {                                                                                           \
        struct vector out_;                                                                        \
        if (!run(f, expr_, args, &out_))                                                           \
            fail_msg("%s", (f)->err.text);                                                         \
        assert_vector(f, out_, want);                                                              \
    } while (0)

#define assert_fails(f, expr_, args, want)                                                         \
    do {                                                                                           \
        struct vector out_;                                                                        \
        assert_false(run(f, expr_, args, &out_));                                                  \
        assert_string_equal((f)->err.text, want);                                                  \
    } while (0)

static void mathematics(void **state)
{
    struct fixture *f = *state;
    f->eval.n_steps = 4;
    struct vector x = fixture_vector(f, "x -2.5 _ 0 nan", NULL);
    assert_run(f, "abs(x)", ARGS(x), "{__name__=\"x\"}! 2.5 _ 0 NaN");
    assert_run(f, "ceil(x)", ARGS(x), "{__name__=\"x\"}! -2 _ 0 NaN");
    assert_run(f, "sgn(x)", ARGS(x), "{__name__=\"x\"}! -1 _ 0 NaN");
    assert_run(f, "sqrt(x)", ARGS(x), "{__name__=\"x\"}! NaN _ 0 NaN");
    assert_run(f, "round(x)", ARGS(x), "{__name__=\"x\"}! -2 _ 0 NaN");
    struct vector tenth = fixture_scalar(f, 2), low = fixture_scalar(f, -1),
                  high = fixture_scalar(f, 1);
    assert_run(f, "round(x, 2)", ARGS(x, tenth), "{__name__=\"x\"}! -2 _ 0 NaN");
    assert_run(f, "clamp(x, -1, 1)", ARGS(x, low, high), "{__name__=\"x\"}! -1 _ 0 NaN");
    assert_run(f, "clamp(x, 1, -1)", ARGS(x, high, low), "");
    assert_run(f, "clamp_min(x, 1)", ARGS(x, high), "{__name__=\"x\"}! 1 _ 1 NaN");
    f->options.delayed_name_removal = false;
    assert_run(f, "deg(x)", ARGS(x), "{} -143.2394487827058 _ 0 NaN");
    struct vector clash = fixture_vector(f, "x{a=1} 1 1 1 1", "y{a=1} 1 1 1 1", NULL);
    assert_fails(f, "abs(x)", ARGS(clash), "vector cannot contain metrics with the same labelset");
}

static void dates(void **state)
{
    struct fixture *f = *state;
    /* 2024-02-29 23:59:59, 1969-12-31 23:59:59, 2100-03-01, not a time */
    f->eval.n_steps = 4;
    struct vector x = fixture_vector(f, "x 1709251199 -1 4107542400 inf", NULL);
    assert_run(f, "year(x)", ARGS(x), "{__name__=\"x\"}! 2024 1969 2100 NaN");
    assert_run(f, "month(x)", ARGS(x), "{__name__=\"x\"}! 2 12 3 NaN");
    assert_run(f, "day_of_month(x)", ARGS(x), "{__name__=\"x\"}! 29 31 1 NaN");
    assert_run(f, "day_of_year(x)", ARGS(x), "{__name__=\"x\"}! 60 365 60 NaN");
    assert_run(f, "day_of_week(x)", ARGS(x), "{__name__=\"x\"}! 4 3 1 NaN");
    assert_run(f, "days_in_month(x)", ARGS(x), "{__name__=\"x\"}! 29 31 31 NaN");
    assert_run(f, "hour(x)", ARGS(x), "{__name__=\"x\"}! 23 23 0 NaN");
    assert_run(f, "minute(x)", ARGS(x), "{__name__=\"x\"}! 59 59 0 NaN");
    f->eval.start_ms = 1709251199000;
    assert_run(f, "day_of_month()", NO_ARGS, "{} 29 1 1 1");
}

static void scalars(void **state)
{
    struct fixture *f = *state;
    f->eval.n_steps = 2;
    f->eval.start_ms = 1500;
    f->query = (struct query){.start_ms = 1500, .end_ms = 2500, .step_ms = 1000};
    assert_run(f, "time()", NO_ARGS, "{} 1.5 2.5");
    assert_run(f, "range()", NO_ARGS, "{} 1");
    assert_run(f, "end()", NO_ARGS, "{} 2.5");
    struct vector x = fixture_vector(f, "x{a=1} 1 2", "x{a=2} _ 3", NULL);
    assert_run(f, "scalar(x)", ARGS(x), "{} 1 NaN");
    assert_run(f, "timestamp(x)", ARGS(x),
        "{__name__=\"x\", a=\"1\"}! 1.5 2.5\n{__name__=\"x\", a=\"2\"}! _ 2.5");
    struct vector one = fixture_scalar(f, 1), nan = fixture_scalar(f, NAN),
                  two = fixture_scalar(f, 2);
    assert_run(f, "vector(1)", ARGS(one), "{} 1");
    assert_run(f, "max_of(1, 2)", ARGS(one, two), "{} 2");
    assert_run(f, "min_of(1, NaN)", ARGS(one, nan), "{} NaN");
}

static void absence(void **state)
{
    struct fixture *f = *state;
    f->eval.n_steps = 3;
    struct vector x = fixture_vector(f, "x{a=1} 1 _ _", "x{a=2} _ _ 3", NULL);
    assert_run(f, "absent(x{a=\"1\",b=~\"c\",d=\"2\",d=\"3\"})", ARGS(x), "{a=\"1\"} _ 1 _");
    assert_run(f, "absent(sum(x))", ARGS(x), "{} _ 1 _");
}

static void replaces_labels(void **state)
{
    struct fixture *f = *state;
    f->eval.n_steps = 2;
    struct vector x = fixture_vector(f, "x{s=a-10} 1 _", "x{s=b-20} _ 2", NULL);
    struct {
        const char *to, *with, *from, *regex, *want;
    } cases[] = {
        {"d", "${1}_$2$$$3", "s", "(.*)-(.*)",
            "{__name__=\"x\", d=\"a_10$\", s=\"a-10\"} 1 _\n"
            "{__name__=\"x\", d=\"b_20$\", s=\"b-20\"} _ 2"},
        {"d", "$1x$", "s", "(?P<n>.).*", /* the group 1x does not exist */
            "{__name__=\"x\", d=\"$\", s=\"a-10\"} 1 _\n"
            "{__name__=\"x\", d=\"$\", s=\"b-20\"} _ 2"},
        {"d", "${n}${", "s", "(?P<n>.).*",
            "{__name__=\"x\", d=\"a${\", s=\"a-10\"} 1 _\n"
            "{__name__=\"x\", d=\"b${\", s=\"b-20\"} _ 2"},
        {"d", "q", "s", "10", /* the whole value has to match */
            "{__name__=\"x\", s=\"a-10\"} 1 _\n{__name__=\"x\", s=\"b-20\"} _ 2"},
        {"s", "", "s", ".*", "{__name__=\"x\"} 1 2"},
        {"d", "v$1", "nope", "(.*)",
            "{__name__=\"x\", d=\"v\", s=\"a-10\"} 1 _\n{__name__=\"x\", d=\"v\", s=\"b-20\"} _ 2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_run(f, "label_replace(x, \"\", \"\", \"\", \"\")",
            ARGS(x, fixture_string(cases[i].to), fixture_string(cases[i].with),
                fixture_string(cases[i].from), fixture_string(cases[i].regex)),
            cases[i].want);
    struct vector empty = fixture_string(""), bad = fixture_string("(.*");
    assert_fails(f, "label_replace(x, \"\", \"\", \"\", \"\")", ARGS(x, bad, empty, empty, bad),
        "invalid regular expression in label_replace(): (.*");
    assert_fails(f, "label_replace(x, \"\", \"\", \"\", \"\")", ARGS(x, empty, empty, empty, empty),
        "invalid destination label name in label_replace(): ");
    struct vector both = fixture_vector(f, "x{s=1} 1 1", "x{s=2} _ 2", NULL);
    struct vector all = fixture_string(".*"), s = fixture_string("s");
    assert_fails(f, "label_replace(x, \"\", \"\", \"\", \"\")", ARGS(both, s, empty, s, all),
        "vector cannot contain metrics with the same labelset");
}

static void joins_labels(void **state)
{
    struct fixture *f = *state;
    struct vector x = fixture_vector(f, "x{a=1,b=2,d=3} 1", NULL);
    struct vector a = fixture_string("a"), b = fixture_string("b"), d = fixture_string("d"),
                  no = fixture_string("no"), dash = fixture_string("-"),
                  name = fixture_string("__name__");
    assert_run(f, "label_join(x, \"d\", \"-\", \"a\", \"no\", \"b\")", ARGS(x, d, dash, a, no, b),
        "{__name__=\"x\", a=\"1\", b=\"2\", d=\"1--2\"} 1");
    assert_run(
        f, "label_join(x, \"d\", \"-\")", ARGS(x, d, dash), "{__name__=\"x\", a=\"1\", b=\"2\"} 1");
    /* A name that is set on purpose stays. */
    bool drop[] = {true};
    x.drop_name = drop;
    assert_run(f, "label_join(x, \"__name__\", \"-\", \"a\")", ARGS(x, name, dash, a),
        "{__name__=\"1\", a=\"1\", b=\"2\", d=\"3\"} 1");
    assert_run(f, "label_join(x, \"d\", \"-\", \"a\")", ARGS(x, d, dash, a),
        "{__name__=\"x\", a=\"1\", b=\"2\", d=\"1\"}! 1");
    struct vector bad = fixture_string("");
    assert_fails(f, "label_join(x, \"d\", \"-\", \"\")", ARGS(x, d, dash, bad),
        "invalid source label name in label_join(): ");
}

static void sorts(void **state)
{
    struct fixture *f = *state;
    struct vector x = fixture_vector(f, "x{i=10} 2", "x{i=9} nan", "x{i=09a} 1", "x{i=1} 3", NULL);
    assert_run(f, "sort(x)", ARGS(x),
        "{__name__=\"x\", i=\"09a\"} 1\n{__name__=\"x\", i=\"10\"} 2\n{__name__=\"x\", i=\"1\"} 3\n"
        "{__name__=\"x\", i=\"9\"} NaN");
    assert_run(f, "sort_desc(x)", ARGS(x),
        "{__name__=\"x\", i=\"1\"} 3\n{__name__=\"x\", i=\"10\"} 2\n{__name__=\"x\", i=\"09a\"} "
        "1\n{__name__=\"x\", i=\"9\"} NaN");
    struct vector i = fixture_string("i");
    assert_run(f, "sort_by_label(x, \"i\")", ARGS(x, i),
        "{__name__=\"x\", i=\"1\"} 3\n{__name__=\"x\", i=\"9\"} NaN\n{__name__=\"x\", i=\"09a\"} "
        "1\n{__name__=\"x\", i=\"10\"} 2");
    assert_run(f, "sort_by_label_desc(x, \"i\")", ARGS(x, i),
        "{__name__=\"x\", i=\"10\"} 2\n{__name__=\"x\", i=\"09a\"} 1\n{__name__=\"x\", i=\"9\"} "
        "NaN\n{__name__=\"x\", i=\"1\"} 3");
    f->eval.n_steps = 2;
    struct vector y = fixture_vector(f, "x{i=10} 2 1", NULL);
    assert_run(f, "sort(x)", ARGS(y), "{__name__=\"x\", i=\"10\"} 2 1");
    assert_string_equal(f->eval.notes.warnings[0],
        "PromQL warning: sort is ineffective for range queries since results are always ordered by "
        "labels (1:1)");
}

static void classic_quantiles(void **state)
{
    struct fixture *f = *state;
    f->eval.n_steps = 2;
    struct vector x = fixture_vector(
        f, "x{le=1} 1 4", "x{le=+Inf} 10 6", "x{le=4} 5 _", "x{le=2} 3 2", "x{le=2.0} 0 0", NULL);
    struct vector q = fixture_scalar(f, 0.3);
    assert_run(f, "histogram_quantile(0.3, x)", ARGS(q, x), "{}! 2 0.44999999999999996");
    assert_int_equal(f->eval.notes.n_infos, 1);
    assert_string_equal(f->eval.notes.infos[0],
        "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see "
        "https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile) for "
        "metric name \"x\", from buckets 2 to 2, with a max diff of 2, over 1 samples from "
        "1970-01-01T00:00:01Z to 1970-01-01T00:00:01Z (1:25)");
    struct vector from = fixture_scalar(f, 0.5), to = fixture_scalar(f, 3);
    assert_run(f, "histogram_fraction(0.5, 3, x)", ARGS(from, to, x), "{}! 0.35 0");
    q.v[0] = -1;
    assert_run(f, "histogram_quantile(-1, x)", ARGS(q, x), "{}! -Inf -Inf");
    assert_string_equal(f->eval.notes.warnings[0],
        "PromQL warning: quantile value should be between 0 and 1, got -1 (1:20)");
    struct vector bad = fixture_vector(f, "x{le=Hello} 1 1", NULL);
    assert_run(f, "histogram_quantile(-1, x)", ARGS(q, bad), "");
    assert_string_equal(f->eval.notes.warnings[1],
        "PromQL warning: bucket label \"le\" is missing or has a malformed value of \"Hello\" for "
        "metric name \"x\" (1:24)");
    struct vector half = fixture_scalar(f, 1), label = fixture_string("q");
    assert_run(f, "histogram_quantiles(x, \"q\", -1, 1)", ARGS(x, label, q, half),
        "{q=\"-1.0\"}! -Inf -Inf\n{q=\"1.0\"}! 4 2");
}

static void finds_bounds(void **state)
{
    (void)state;
    double v;
    assert_true(classic_bound(SLICE("+Inf"), &v) && v == INFINITY);
    assert_true(classic_bound(SLICE("inf"), &v) && v == INFINITY);
    assert_true(classic_bound(SLICE("-INF"), &v) && v == -INFINITY);
    assert_true(classic_bound(SLICE("1e-3"), &v) && v == 1e-3);
    assert_true(classic_bound(SLICE("+.5"), &v) && v == 0.5);
    assert_false(classic_bound(SLICE(""), &v));
    assert_false(classic_bound(SLICE("1s"), &v));
    assert_false(classic_bound(SLICE("++1"), &v));
}

static void native_histograms(void **state)
{
    struct fixture *f = *state;
    static const struct hist_fbucket b[] = {{1, 4}, {2, 4}};
    struct hist h = {.count = 8, .sum = 16, .positive = b, .n_positive = 2};
    f->hist[0] = &h;
    f->eval.n_steps = 2;
    struct vector x =
        fixture_vector(f, "x{a=1} H0 3", "x{a=1,le=2} 4 _", "x{a=1,le=+Inf} 4 _", NULL);
    struct vector y = fixture_vector(f, "y H0 H0", NULL), q = fixture_scalar(f, 0.5);
    assert_run(f, "histogram_count(y)", ARGS(y), "{__name__=\"y\"}! 8 8");
    assert_run(f, "histogram_avg(y)", ARGS(y), "{__name__=\"y\"}! 2 2");
    assert_run(f, "histogram_quantile(0.5, y)", ARGS(q, y), "{__name__=\"y\"}! 2 2");
    assert_run(f, "abs(y)", ARGS(y), "");
    assert_run(f, "histogram_quantile(0.5, x)", ARGS(q, x), "");
    assert_string_equal(f->eval.notes.warnings[0],
        "PromQL warning: bucket label \"le\" is missing or has a malformed value of \"\" for "
        "metric name \"x\" (1:25)");
    assert_string_equal(f->eval.notes.warnings[1],
        "PromQL warning: vector contains a mix of classic and native histograms for metric name "
        "\"x\" (1:25)");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(mathematics),
        TEST(dates),
        TEST(scalars),
        TEST(absence),
        TEST(replaces_labels),
        TEST(joins_labels),
        TEST(sorts),
        TEST(classic_quantiles),
        TEST(finds_bounds),
        TEST(native_histograms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
