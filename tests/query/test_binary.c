#include <math.h>

#include "tests/query/vector_fixture.h"

static bool run(struct fixture *f, const char *text, const struct vector *lhs,
    const struct vector *rhs, struct vector *out)
{
    const struct node *node = fixture_query(f, text, f->eval.n_steps);
    return eval_binary(&f->eval, node, lhs, rhs, out, &f->err);
}

#define assert_run(f, expr_, l, r, want)                                                           \
    do {                                                                                           \
        struct vector out_;                                                                        \
        if (!run(f, expr_, &(l), &(r), &out_))                                                     \
            fail_msg("%s", (f)->err.text);                                                         \
        assert_vector(f, out_, want);                                                              \
    } while (0)

#define assert_fails(f, expr_, l, r, want)                                                         \
    do {                                                                                           \
        struct vector out_;                                                                        \
        assert_false(run(f, expr_, &(l), &(r), &out_));                                            \
        assert_string_equal((f)->err.text, want);                                                  \
        assert_int_equal((f)->err.sys, 1);                                                         \
    } while (0)

static void scalars(void **state)
{
    struct fixture *f = *state;
    struct vector seven = fixture_scalar(f, 7), two = fixture_scalar(f, -2);
    assert_run(f, "7 + -2", seven, two, "{} 5");
    assert_run(f, "7 % -2", seven, two, "{} 1");
    assert_run(f, "7 ^ -2", seven, two, "{} 0.02040816326530612");
    assert_run(f, "7 < bool -2", seven, two, "{} 0");
    assert_run(f, "7 != bool -2", seven, two, "{} 1");
}

static void vector_and_scalar(void **state)
{
    struct fixture *f = *state;
    f->eval.n_steps = 3;
    struct vector x = fixture_vector(f, "x{a=1} 1 2 3", "x{a=2} _ 5 nan", NULL);
    struct vector two = fixture_scalar(f, 2);
    assert_run(f, "x * 2", x, two,
        "{__name__=\"x\", a=\"1\"}! 2 4 6\n{__name__=\"x\", a=\"2\"}! _ 10 NaN");
    assert_run(f, "2 - x", two, x,
        "{__name__=\"x\", a=\"1\"}! 1 0 -1\n{__name__=\"x\", a=\"2\"}! _ -3 NaN");
    assert_run(
        f, "x > 2", x, two, "{__name__=\"x\", a=\"1\"} _ _ 3\n{__name__=\"x\", a=\"2\"} _ 5 _");
    assert_run(
        f, "2 < x", two, x, "{__name__=\"x\", a=\"1\"} _ _ 3\n{__name__=\"x\", a=\"2\"} _ 5 _");
    assert_run(f, "2 >= bool x", two, x,
        "{__name__=\"x\", a=\"1\"}! 1 1 0\n{__name__=\"x\", a=\"2\"}! _ 0 0");
    f->options.delayed_name_removal = false;
    assert_run(f, "x / 2", x, two, "{a=\"1\"} 0.5 1 1.5\n{a=\"2\"} _ 2.5 NaN");
    assert_run(f, "x == 2", x, two, "{__name__=\"x\", a=\"1\"} _ 2 _");
    /* Without their names these are the same series, and may take turns. */
    struct vector turns = fixture_vector(f, "x{a=1} 1 _ 3", "y{a=1} _ 2 _", NULL);
    assert_run(f, "x + 2", turns, two, "{a=\"1\"} 3 4 5");
    struct vector clash = fixture_vector(f, "x{a=1} 1 _ 3", "y{a=1} _ 2 4", NULL);
    assert_fails(f, "x + 2", clash, two, "vector cannot contain metrics with the same labelset");
}

static void one_to_one(void **state)
{
    struct fixture *f = *state;
    f->eval.n_steps = 2;
    struct vector x = fixture_vector(f, "x{a=1} 1 2", "x{a=2} 3 4", "x{a=3} 5 6", NULL);
    struct vector y = fixture_vector(f, "y{a=2} 10 20", "y{a=1} 30 _", "y{a=9} 1 1", NULL);
    assert_run(f, "x + y", x, y, "{a=\"1\"} 31 _\n{a=\"2\"} 13 24");
    assert_run(f, "x < y", x, y, "{__name__=\"x\", a=\"1\"} 1 _\n{__name__=\"x\", a=\"2\"} 3 4");
    assert_run(f, "x > bool on(a) y", x, y, "{a=\"1\"}! 0 _\n{a=\"2\"}! 0 0");
    struct vector on = fixture_vector(f, "y{a=2,b=7} 2 2", NULL);
    assert_run(f, "x / ignoring(b) y", x, on, "{a=\"2\"} 1.5 2");
    assert_run(f, "x > on(a) y", x, on, "{a=\"2\"} 3 4");
    assert_run(f, "x + y", x, on, "");
}

static void needs_groups(void **state)
{
    struct fixture *f = *state;
    struct vector many = fixture_vector(f, "m{j=1,l=a} 1", "m{j=1,l=b} 5", NULL);
    struct vector one = fixture_vector(f, "o{j=1,k=z} 2", NULL);
    const char *explicit = "multiple matches for labels: many-to-one matching must be explicit "
                           "(group_left/group_right)";
    assert_fails(f, "m > on(j) o", many, one, explicit);
    assert_fails(f, "m < on(j) o", many, one, explicit);
    assert_run(
        f, "m * on(j) group_left o", many, one, "{j=\"1\", l=\"a\"} 2\n{j=\"1\", l=\"b\"} 10");
    assert_run(
        f, "m > on(j) group_left(k) o", many, one, "{__name__=\"m\", j=\"1\", k=\"z\", l=\"b\"} 5");
    assert_run(f, "o - on(j) group_right(k) m", one, many,
        "{j=\"1\", k=\"z\", l=\"a\"} 1\n{j=\"1\", k=\"z\", l=\"b\"} -3");
    assert_run(f, "o < on(j) group_right m", one, many, "{__name__=\"m\", j=\"1\", l=\"b\"} 2");
    assert_fails(f, "o * on(j) m", one, many,
        "found duplicate series for the match group {j=\"1\"} on the right hand-side of the "
        "operation: [{__name__=\"m\", j=\"1\", l=\"a\"}, {__name__=\"m\", j=\"1\", l=\"b\"}];"
        "many-to-many matching not allowed: matching labels must be unique on one side");
    assert_fails(f, "m * on(j) group_right o", many, one,
        "found duplicate series for the match group {j=\"1\"} on the left hand-side of the "
        "operation: [{__name__=\"m\", j=\"1\", l=\"a\"}, {__name__=\"m\", j=\"1\", l=\"b\"}];"
        "many-to-many matching not allowed: matching labels must be unique on one side");
    assert_fails(f, "m * ignoring(l, k) group_left(l) o", many, one,
        "multiple matches for labels: grouping labels must ensure unique matches");
}

/* What is an error at one step is none when the series take turns. */
static void series_take_turns(void **state)
{
    struct fixture *f = *state;
    f->eval.n_steps = 3;
    struct vector x = fixture_vector(f, "x{a=1,l=a} 1 _ 3", "x{a=1,l=b} _ 2 _", NULL);
    struct vector y = fixture_vector(f, "y{a=1} 10 _ _", "z{a=1} _ 20 30", NULL);
    assert_run(f, "x + on(a) y", x, y, "{a=\"1\"} 11 22 33");
    struct vector z = fixture_vector(f, "y{a=1} 10 _ 1", "z{a=1} _ 20 30", NULL);
    struct vector w = fixture_vector(f, "x{a=1} 10 1 _", NULL);
    assert_run(f, "x + on(a) z", w, z, "{a=\"1\"} 20 21 _"); /* nothing on the left at step 3 */
}

static void sets(void **state)
{
    struct fixture *f = *state;
    f->eval.n_steps = 2;
    struct vector x = fixture_vector(f, "x{a=1} 1 2", "x{a=2} 3 4", NULL);
    struct vector y = fixture_vector(f, "y{a=2} 9 _", "y{a=3} 8 8", NULL);
    assert_run(f, "x and y", x, y, "{__name__=\"x\", a=\"2\"} 3 _");
    assert_run(
        f, "x unless y", x, y, "{__name__=\"x\", a=\"1\"} 1 2\n{__name__=\"x\", a=\"2\"} _ 4");
    assert_run(f, "y or x", y, x,
        "{__name__=\"y\", a=\"2\"} 9 _\n{__name__=\"y\", a=\"3\"} 8 8\n"
        "{__name__=\"x\", a=\"1\"} 1 2\n{__name__=\"x\", a=\"2\"} _ 4");
    assert_run(
        f, "x and on() y", x, y, "{__name__=\"x\", a=\"1\"} 1 2\n{__name__=\"x\", a=\"2\"} 3 4");
    struct vector same = fixture_vector(f, "x{a=1} _ _", "x{a=2} _ 7", NULL);
    struct vector other = fixture_vector(f, "x{a=2} 5 5", NULL);
    assert_run(f, "x or x", same, other, "{__name__=\"x\", a=\"2\"} 5 7");
    struct vector none = fixture_vector(f, NULL);
    assert_run(f, "x and y", x, none, "");
    assert_run(
        f, "x or y", none, y, "{__name__=\"y\", a=\"2\"} 9 _\n{__name__=\"y\", a=\"3\"} 8 8");
}

static void fills(void **state)
{
    struct fixture *f = *state;
    f->eval.n_steps = 2;
    struct vector x = fixture_vector(f, "x{a=1} 1 2", "x{a=2} 3 4", NULL);
    struct vector y = fixture_vector(f, "y{a=2} 10 _", "y{a=3} 20 30", NULL);
    assert_run(f, "x + fill(0) y", x, y, "{a=\"1\"} 1 2\n{a=\"2\"} 13 4\n{a=\"3\"} 20 30");
    assert_run(f, "x + fill_right(5) y", x, y, "{a=\"1\"} 6 7\n{a=\"2\"} 13 9");
    assert_run(f, "x - fill_left(5) y", x, y, "{a=\"2\"} -7 _\n{a=\"3\"} -15 -25");
    struct vector none = fixture_vector(f, NULL);
    assert_run(f, "x + fill_left(1) y", none, y, "{a=\"2\"} 11 _\n{a=\"3\"} 21 31");
    assert_run(f, "x + fill_right(1) y", none, y, "");
}

static void histograms(void **state)
{
    struct fixture *f = *state;
    static const struct hist_fbucket one[] = {{0, 1}}, three[] = {{1, 3}};
    struct hist a = {.count = 1, .positive = one, .n_positive = 1};
    struct hist b = {.count = 3, .positive = three, .n_positive = 1};
    struct hist c = {.schema = HIST_SCHEMA_CUSTOM, .count = 1, .positive = one, .n_positive = 1};
    f->hist[0] = &a;
    f->hist[1] = &b;
    f->hist[2] = &c;
    f->eval.n_steps = 4;
    struct vector x = fixture_vector(f, "x H0 H0 H0 1", NULL);
    struct vector y = fixture_vector(f, "y H1 H2 2 H0", NULL);
    assert_run(f, "x + y", x, y, "{} {count:4, sum:0, (0.5,1]:1, (1,2]:3} _ _ _");
    assert_int_equal(f->eval.notes.n_warnings, 1);
    assert_string_equal(f->eval.notes.warnings[0], "PromQL warning: incompatible bucket layout "
                                                   "encountered for binary operator + (1:1)");
    assert_int_equal(f->eval.notes.n_infos, 2);
    assert_string_equal(f->eval.notes.infos[0],
        "PromQL info: incompatible sample types encountered for binary operator \"+\": histogram + "
        "float (1:1)");
    assert_run(f, "x * y", x, y, "{} _ _ {count:2, sum:0, (0.5,1]:2} {count:1, sum:0, (0.5,1]:1}");
    assert_run(f, "x == x", x, x,
        "{__name__=\"x\"} {count:1, sum:0, (0.5,1]:1} {count:1, sum:0, (0.5,1]:1} {count:1, "
        "sum:0, (0.5,1]:1} 1");
    assert_run(f, "x != bool y", x, y, "{__name__=\"x\"}! 1 1 _ _");
    struct vector two = fixture_scalar(f, 2);
    assert_run(f, "y / 2", y, two,
        "{__name__=\"y\"}! {count:1.5, sum:0, (1,2]:1.5} {count:0.5, sum:0, [-Inf,+Inf]:0.5} 1 "
        "{count:0.5, sum:0, (0.5,1]:0.5}");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(scalars),
        TEST(vector_and_scalar),
        TEST(one_to_one),
        TEST(needs_groups),
        TEST(series_take_turns),
        TEST(sets),
        TEST(fills),
        TEST(histograms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
