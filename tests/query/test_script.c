/*
 * Scripts: how lines are read, how values are expanded, what counts as equal; and that a runner
 * with a wrong expectation says so, for each kind of expectation.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>

#include "query/script_compare.h"
#include "query/script_histogram.h"
#include "query/script_nhcb.h"
#include "query/script_run.h"

/* ---- series ---- */

/* The expanded values as text, with blanks between. */
static void print_series(const struct script_series *s, struct buf *out)
{
    buf_clear(out);
    for (size_t i = 0; i < s->n; i++) {
        const struct script_value *v = &s->values[i];
        buf_str(out, i ? " " : "");
        if (v->omitted)
            buf_char(out, '_');
        else if (v->h)
            script_histogram_print(v->h, out);
        else if (script_is_stale(v->v))
            buf_str(out, "stale");
        else
            buf_printf(out, "%g", v->v);
    }
}

static void test_series_values(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"m", ""},
        {"m{}  1\t2", "1 2"},
        {"m 1+2x3", "1 3 5 7"},
        {"m 1-2x3", "1 -1 -3 -5"},
        {"m -1+-2x1", NULL},
        {"m 0x5", "0 0 0 0 0 0"},
        {"m 1e1+1e1x2", "10 20 30"},
        {"m .5 5. 1e-3", "0.5 5 0.001"},
        {"m _ _x2 3x0", "_ _ _ 3"},
        {"m Inf -inf +Inf NaN infx1", "inf -inf inf nan inf inf"},
        {"m stale stalex1", "stale stale stale"},
        {"m {{}}x1", "{{schema:0 count:0 sum:0}} {{schema:0 count:0 sum:0}}"},
        {"m {{schema:1 count:3 sum:5 z_bucket:1 z_bucket_w:0.5 offset:-2 buckets:[1 0 2] "
         "n_offset:1 "
         "n_buckets:[4] counter_reset_hint:not_reset}}",
            "{{schema:1 count:3 sum:5 z_bucket:1 z_bucket_w:0.5 offset:-2 buckets:[1 0 2] "
            "n_offset:1 "
            "n_buckets:[4] counter_reset_hint:not_reset}}"},
        {"m {{schema:-53 sum:-1 count:2 custom_values:[0.5 2] buckets:[1 1]}}",
            "{{schema:-53 count:2 sum:-1 custom_values:[0.5 2] buckets:[1 1]}}"},
        {"m {{count:1 sum:2 buckets:[1]}}+{{count:1 sum:1 buckets:[1]}}x2",
            "{{schema:0 count:1 sum:2 buckets:[1]}} {{schema:0 count:2 sum:3 buckets:[2]}} "
            "{{schema:0 count:3 sum:4 buckets:[3]}}"},
        {"m {{count:3 buckets:[3]}}-{{count:1 buckets:[1]}}x1",
            "{{schema:0 count:3 sum:0 buckets:[3]}} {{schema:0 count:2 sum:0 buckets:[2]}}"},
    };
    struct buf out;
    buf_init(&out, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena arena;
        struct script_series s;
        struct err err = {0};
        arena_init(&arena, 1 << 20);
        bool ok = script_series_parse(slice_from(cases[i][0]), &arena, &s, &err);
        assert_int_equal(ok, cases[i][1] != NULL);
        if (ok) {
            print_series(&s, &out);
            assert_string_equal(buf_cstr(&out), cases[i][1]);
        }
        arena_fini(&arena);
    }
    buf_fini(&out);
}

static void test_series_labels(void **state)
{
    (void)state;
    struct arena arena;
    struct script_series s;
    struct err err = {0};
    arena_init(&arena, 1 << 20);
    assert_true(script_series_parse(
        SLICE("sum{z='1', \"a.b\"=\"\\n\", empty=\"\", by=`c`,} 1"), &arena, &s, &err));
    assert_int_equal(s.labels.n, 4);
    assert_true(slice_is(s.labels.items[0].name, "__name__"));
    assert_true(slice_is(s.labels.items[0].value, "sum"));
    assert_true(slice_is(labels_get(s.labels, SLICE("a.b")), "\n"));
    assert_true(script_series_parse(SLICE("{\"x y\", le=\"1\"} 1"), &arena, &s, &err));
    assert_true(slice_is(labels_get(s.labels, SLICE("__name__")), "x y"));
    assert_true(script_series_parse(SLICE("{} 1"), &arena, &s, &err));
    assert_int_equal(s.labels.n, 0);
    arena_fini(&arena);
}

static void test_bad_series(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int col;
    } cases[] = {{"1 2", 1}, {"m{a}", 4}, {"m{a=b}", 5}, {"m{a=\"b\" c=\"d\"}", 9},
        {"m{a=\"b\",a=\"c\"} 1", 15}, {"m 1x", 5}, {"m 1+x3", 4}, {"m 1+2", 6}, {"m 1y", 4},
        {"m foo", 3}, {"m 1x99999999", 5}, {"m {{", 5}, {"m {{sum:}}", 9}, {"m {{nope:1}}", 5},
        {"m {{sum:1 sum:2}}", 15}, {"m {{buckets:[1 x]}}", 16}, {"m {{buckets:1}}", 13},
        {"m {{schema:9}}", 13}, {"m {{schema:99999999999}}", 12}, {"m {{sum:1count:2}}", 10},
        {"m {{counter_reset_hint:maybe}}", 24}, {"m {{}}+{{}}", 12},
        {"m {{schema:1}}+{{schema:0}}x1", 30}, {"m {{schema:-53 custom_values:[1]}}+{{}}x1", 42}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena arena;
        struct script_series s;
        struct err err = {0};
        arena_init(&arena, 1 << 20);
        if (script_series_parse(slice_from(cases[i].text), &arena, &s, &err))
            fail_msg("parses: %s", cases[i].text);
        assert_int_equal(err.code, ERR_INVALID);
        if (cases[i].col != err.col)
            fail_msg("%s: column %d, not %d: %s", cases[i].text, err.col, cases[i].col, err.text);
        arena_fini(&arena);
    }
}

/* ---- lines ---- */

static void test_script_lines(void **state)
{
    (void)state;
    static const char text[] = "# comment\n\nload 5m\n  a 1+1x2  \n # inside\n\n b 2\n";
    struct arena arena;
    struct script s;
    struct err err = {0};
    arena_init(&arena, 1 << 20);
    /* A comment line is a blank line, and ends the block. */
    assert_false(script_parse(slice_from(text), &arena, &s, &err));
    assert_int_equal(err.line, 7);
    assert_true(script_parse(
        SLICE("clear\r\nload_with_nhcb 1h30m\na 1\nb{c=\"d\"}@st -1m\nb{c=\"d\"} 2\n\n"
              "eval range from 1m to 5m step 2m sum by (x) (a)\n"
              "expect warn msg: a b\nexpect info regex: c.*\nexpect info\n{x=\"y\"} 1 _ 3\n\n"
              "eval instant at 10 -1 +  2\n1\n\n"
              "eval_ordered instant at 1m a[5m]\nexpect range vector from 0 to 1m step 30s\n"
              "a 1 2 3\n\neval instant at 0 'x'\nexpect string `x`\n\n"
              "eval_fail instant at 0 a\nexpected_fail_message no a\n"),
        &arena, &s, &err));
    assert_int_equal(s.n, 7);
    assert_int_equal(s.commands[0].type, SCRIPT_CLEAR);
    const struct script_load *load = &s.commands[1].u.load;
    assert_true(load->custom_buckets);
    assert_int_equal(load->gap_ms, 5400000);
    assert_int_equal(load->n, 2);
    assert_int_equal(load->start_times_line, 4);
    const struct script_eval *eval = &s.commands[2].u.eval;
    assert_int_equal(s.commands[2].line, 7);
    assert_true(eval->is_range && slice_is(eval->expr, "sum by (x) (a)"));
    assert_int_equal(eval->start_ms, 60000);
    assert_int_equal(eval->end_ms, 300000);
    assert_int_equal(eval->step_ms, 120000);
    assert_int_equal(eval->notes[NOTE_WARN].n, 1);
    assert_true(slice_is(eval->notes[NOTE_WARN].items[0].text, "a b"));
    assert_int_equal(eval->notes[NOTE_INFO].n, 2);
    assert_int_equal(eval->series[0].n, 3);
    eval = &s.commands[3].u.eval;
    assert_true(slice_is(eval->expr, "-1 +  2"));
    assert_int_equal(eval->start_ms, 10000);
    assert_int_equal(eval->expect, EXPECT_SCALAR);
    eval = &s.commands[4].u.eval;
    assert_true(eval->ordered && eval->range_vector);
    assert_int_equal(eval->range_step_ms, 30000);
    eval = &s.commands[5].u.eval;
    assert_int_equal(eval->expect, EXPECT_STRING);
    assert_true(slice_is(eval->string, "x"));
    eval = &s.commands[6].u.eval;
    assert_true(eval->notes[NOTE_FAIL].n == 1 && eval->notes[NOTE_FAIL].items[0].exact);
    script_free(&s);
    arena_fini(&arena);
}

static void test_bad_lines(void **state)
{
    (void)state;
    static const char *const cases[] = {"nope", "clear now", "load", "load x", "load 5m extra",
        "loader 5m", "eval", "eval instant a", "eval instant at x a", "eval instant at 5m",
        "eval_maybe instant at 5m a", "eval range from 0 to 5m a",
        "eval range from 5m to 0 step 1m a", "eval instant at 0 a\nexpect nothing",
        "eval instant at 0 a\nexpect warn message: x", "eval instant at 0 a\nexpect warn regex: (",
        "eval instant at 0 a\nexpect warn\nexpect no_warn",
        "eval instant at 0 a\nexpect info\nexpect no_info",
        "eval instant at 0 a\nexpect fail\nexpect fail", "eval instant at 0 a\na 1 2",
        "eval instant at 0 a\nexpect string x", "eval instant at 0 a\nexpect string \"x\" y",
        "eval instant at 0 a\nexpect range vector from 5m to 0 step 1m",
        "eval instant at 0 a\nexpect range vector from 5m"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena arena;
        struct script s;
        struct err err = {0};
        arena_init(&arena, 1 << 20);
        if (script_parse(slice_from(cases[i]), &arena, &s, &err))
            fail_msg("parses: %s", cases[i]);
        assert_true(err.line > 0);
        arena_fini(&arena);
    }
}

/* ---- comparing ---- */

static void test_almost_equal(void **state)
{
    (void)state;
    assert_true(script_almost_equal(1, 1 + 1e-7));
    assert_false(script_almost_equal(1, 1 + 1e-5));
    assert_true(script_almost_equal(1e300, 1e300 * (1 + 1e-7)));
    assert_true(script_almost_equal(1.7e308, 1.7e308));
    assert_false(script_almost_equal(0, 1e-300));
    assert_true(script_almost_equal(0, -0.0));
    assert_true(script_almost_equal(INFINITY, INFINITY));
    assert_false(script_almost_equal(INFINITY, -INFINITY));
    assert_true(script_almost_equal(NAN, -NAN));
    assert_false(script_almost_equal(NAN, 1));
    assert_true(script_almost_equal(script_stale_nan(), script_stale_nan()));
    assert_false(script_almost_equal(script_stale_nan(), NAN));
}

static void test_nhcb(void **state)
{
    (void)state;
    static const char good[] =
        "load_with_nhcb 1m\nx_bucket{a=\"b\",le=\"5\"} 3 _ 4\nx_bucket{a=\"b\",le=\"1\"} 2 _ 2\n"
        "x_bucket{a=\"b\",le=\"+Inf\"} 4 _ 7\nx_sum{a=\"b\"} 20 1 30\nx_count{a=\"b\"} 4 0 7\n"
        "x_bucket{a=\"b\",le=\"nope\"} 1\nother 1\n";
    static const char *const bad[] = {
        "load_with_nhcb 1m\nx_bucket{le=\"1\"} 5\nx_bucket{le=\"2\"} 4\n",
        "load_with_nhcb 1m\nx_bucket{le=\"+Inf\"} 5\nx_count 4\n"};
    struct arena arena;
    struct script s;
    struct script_series *out;
    struct buf text;
    size_t n;
    struct err err = {0};
    arena_init(&arena, 1 << 20);
    buf_init(&text, 0);
    assert_true(script_parse(slice_from(good), &arena, &s, &err));
    assert_true(script_nhcb(&s.commands[0].u.load, &arena, &out, &n, &err));
    assert_int_equal(n, 1);
    assert_int_equal(out[0].labels.n, 2);
    assert_true(slice_is(labels_get(out[0].labels, SLICE("__name__")), "x"));
    print_series(&out[0], &text);
    assert_string_equal(buf_cstr(&text),
        "{{schema:-53 count:4 sum:20 custom_values:[1 5] buckets:[2 1 1]}} {{schema:-53 count:0 "
        "sum:1}} "
        "{{schema:-53 count:7 sum:30 custom_values:[1 5] buckets:[2 2 3]}}");
    script_free(&s);
    for (size_t i = 0; i < 2; i++) {
        assert_true(script_parse(slice_from(bad[i]), &arena, &s, &err));
        assert_false(script_nhcb(&s.commands[0].u.load, &arena, &out, &n, &err));
        script_free(&s);
    }
    buf_fini(&text);
    arena_fini(&arena);
}

/* ---- running ---- */

#define LOAD                                                                                       \
    "load 1m\n"                                                                                    \
    "  a{x=\"1\"} 0+1x10\n"                                                                        \
    "  a{x=\"2\"} 0+2x10\n"                                                                        \
    "  h {{count:4 sum:6 buckets:[1 2 1]}}x10\n\n"

struct seen {
    size_t failed, unsupported;
    int line;
    char text[1024];
};

static void note(void *ctx, enum script_event event, int line, const char *text)
{
    struct seen *seen = ctx;
    *(event == SCRIPT_FAILED ? &seen->failed : &seen->unsupported) += 1;
    seen->line = line;
    snprintf(seen->text, sizeof seen->text, "%s", text);
}

static bool run(const char *text, struct script_result *result, struct seen *seen, struct err *err)
{
    static const struct engine_options options = {.lookback_ms = 300000,
        .default_step_ms = 60000,
        .experimental = true,
        .delayed_name_removal = true};
    struct arena arena;
    struct script s;
    *seen = (struct seen){0};
    *err = (struct err){0};
    arena_init(&arena, 64 << 20);
    if (!script_parse(slice_from(text), &arena, &s, err))
        fail_msg("%s: %d: %s", text, err->line, err->text);
    bool ok = script_run(&s, &options, note, seen, result, err);
    script_free(&s);
    arena_fini(&arena);
    return ok;
}

static void test_run(void **state)
{
    (void)state;
    /* Each is right, and each with the replacement is wrong. */
    static const struct {
        const char *right, *wrong;
    } cases[] = {
        {"eval instant at 5m a\na{x=\"1\"} 5\na{x=\"2\"} 10",
            "eval instant at 5m a\na{x=\"1\"} 5\na{x=\"2\"} 10.1"},
        {"eval instant at 5m a{x=\"1\"}\na{x=\"1\"} 5", "eval instant at 5m a\na{x=\"1\"} 5"},
        {"eval instant at 5m nope", "eval instant at 5m nope\nnope 1"},
        {"eval instant at 5m sort_desc(a)\nexpect ordered\na{x=\"2\"} 10\na{x=\"1\"} 5",
            "eval instant at 5m sort(a)\nexpect ordered\na{x=\"2\"} 10\na{x=\"1\"} 5"},
        {"eval range from 0 to 2m step 1m a{x=\"1\"}\na{x=\"1\"} 0 1 2",
            "eval range from 0 to 2m step 1m a{x=\"1\"}\na{x=\"1\"} 0 1"},
        {"eval range from 0 to 2m step 1m a{x=\"1\"} > 0\na{x=\"1\"} _ 1 2",
            "eval range from 0 to 2m step 1m a{x=\"1\"} > 0\na{x=\"1\"} 1 2"},
        {"eval instant at 2m a{x=\"1\"}[2m]\nexpect range vector from 1m to 2m step 1m\na{x=\"1\"} "
         "1 2",
            "eval instant at 2m a{x=\"1\"}[2m]\nexpect range vector from 1m to 2m step "
            "1m\na{x=\"1\"} 1 3"},
        {"eval instant at 0 1 + 1\n2", "eval instant at 0 1 + 1\n3"},
        {"eval instant at 0 'x'\nexpect string \"x\"",
            "eval instant at 0 'x'\nexpect string \"y\""},
        {"eval instant at 0 'x'\nexpect string \"x\"", "eval instant at 0 1\nexpect string \"1\""},
        {"eval instant at 0 vector(1)\n{} 1", "eval instant at 0 1\n{} 1"},
        {"eval instant at 5m h\nh {{count:4 sum:6 buckets:[1 2 1]}}",
            "eval instant at 5m h\nh {{count:4 sum:6 buckets:[1 1 2]}}"},
        {"eval instant at 5m h\nh {{count:4 sum:6 buckets:[1 2 1 0]}}",
            "eval instant at 5m h\nh 1"},
        {"eval instant at 5m quantile(2, a)\nexpect warn\n{} Inf",
            "eval instant at 5m quantile(2, a)\nexpect no_warn\n{} Inf"},
        {"eval instant at 5m quantile(2, a)\nexpect warn regex: quantile\n{} Inf",
            "eval instant at 5m quantile(2, a)\nexpect warn msg: quantile\n{} Inf"},
        {"eval instant at 5m sum(a)\nexpect no_warn\n{} 15",
            "eval instant at 5m sum(a)\nexpect warn\n{} 15"},
        {"eval instant at 5m sum(rate(a[5m]))\nexpect info\n{} 0.05",
            "eval instant at 5m sum(rate(a[5m]))\nexpect no_info\n{} 0.05"},
        {"eval instant at 5m a * on() a\nexpect fail",
            "eval instant at 5m a * on(x) a\nexpect fail"},
        {"eval instant at 5m a * on() a\nexpect fail regex: many-to-many",
            "eval instant at 5m a * on() a\nexpect fail msg: no"},
        {"eval instant at 0 sum(\nexpect fail", "eval instant at 0 sum(\n1"},
        {"eval instant at 0 1[5m]\nexpect fail regex: 1:2: parse error",
            "eval instant at 0 a[\nexpect fail msg: x"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[2048];
        struct script_result result;
        struct seen seen;
        struct err err;
        snprintf(text, sizeof text, LOAD "%s", cases[i].right);
        assert_true(run(text, &result, &seen, &err));
        if (result.passed != 1)
            fail_msg("%s\n%s", cases[i].right, seen.text);
        snprintf(text, sizeof text, LOAD "%s", cases[i].wrong);
        assert_true(run(text, &result, &seen, &err));
        if (result.failed != 1 || seen.failed != 1 || result.passed != 0)
            fail_msg("passes: %s", cases[i].wrong);
        assert_int_equal(seen.line, 6);
        assert_true(seen.text[0] != 0);
    }
}

static void test_run_unsupported(void **state)
{
    (void)state;
    struct script_result result;
    struct seen seen;
    struct err err;
    assert_true(
        run("load 1m\n a@st -1m\n a 1\n\neval instant at 0 a\na 1\n\nclear\n\nload 1m\n a 1\n\n"
            "eval instant at 0 a\na 1\n",
            &result, &seen, &err));
    assert_int_equal(result.unsupported, 1);
    assert_int_equal(result.passed, 1);
    assert_int_equal(seen.line, 5);
    assert_non_null(strstr(seen.text, "start timestamps"));
    /* Data add up until they are cleared. */
    assert_true(
        run("load 1m\n a 1\n\nload 1m\n a _ 2\n\neval instant at 1m a[5m]\n"
            "expect range vector from 0 to 1m step 1m\na 1 2\n\nclear\n\neval instant at 1m a\n",
            &result, &seen, &err));
    assert_int_equal(result.passed, 2);
    assert_false(run("clear\n\nload_with_nhcb 1m\nx_bucket{le=\"1\"} 5\nx_bucket{le=\"2\"} 4\n",
        &result, &seen, &err));
    assert_int_equal(err.line, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_series_values),
        cmocka_unit_test(test_series_labels),
        cmocka_unit_test(test_bad_series),
        cmocka_unit_test(test_script_lines),
        cmocka_unit_test(test_bad_lines),
        cmocka_unit_test(test_almost_equal),
        cmocka_unit_test(test_nhcb),
        cmocka_unit_test(test_run),
        cmocka_unit_test(test_run_unsupported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
