#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/params.h"

struct fixture {
    struct arena arena;
    struct params params;
    struct err err;
};

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){0};
    arena_init(&f.arena, 1 << 22);
    params_init(&f.params, &f.arena);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    arena_fini(&f->arena);
    return 0;
}

static void assert_value(struct fixture *f, const char *name, struct slice want)
{
    struct slice got = params_get(&f->params, name);
    if (!slice_eq(got, want) || !got.ptr)
        fail_msg("%s is \"%.*s\", not \"%.*s\"", name, SLICE_FMT(got), SLICE_FMT(want));
}

static void test_pairs(void **state)
{
    struct fixture *f = *state;
    assert_true(params_parse(&f->params,
        SLICE("query=sum+by+%28a%29%20%2B1&&time=1.5&empty=&flag&match[]=a&match%5B%5D=b&z=%00%ff&="
              "v"),
        &f->err));
    assert_value(f, "query", SLICE("sum by (a) +1"));
    assert_value(f, "time", SLICE("1.5"));
    assert_value(f, "z", SLICE("\0\xff"));
    assert_value(f, "", SLICE("v"));
    assert_null(params_get(&f->params, "empty").ptr);
    assert_null(params_get(&f->params, "flag").ptr);
    assert_null(params_get(&f->params, "absent").ptr);
    struct slice value;
    size_t i = 0;
    assert_true(params_each(&f->params, "match[]", &i, &value));
    assert_true(slice_is(value, "a"));
    assert_true(params_each(&f->params, "match[]", &i, &value));
    assert_true(slice_is(value, "b"));
    assert_false(params_each(&f->params, "match[]", &i, &value));
}

/* The body is parsed before the URL, so its values win. */
static void test_first_wins(void **state)
{
    struct fixture *f = *state;
    assert_true(params_parse(&f->params, SLICE("query=body"), &f->err));
    assert_true(params_parse(&f->params, SLICE("query=url&step=5"), &f->err));
    assert_value(f, "query", SLICE("body"));
    assert_value(f, "step", SLICE("5"));
}

static void test_bad_pairs(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *text, *why;
    } bad[] = {{"a=%", "invalid URL escape \"%\""}, {"a=%4", "invalid URL escape \"%4\""},
        {"a=%zz1", "invalid URL escape \"%zz\""}, {"%g0=1", "invalid URL escape \"%g0\""},
        {"a=1;b=2", "invalid semicolon separator in query"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(params_parse(&f->params, slice_from(bad[i].text), &f->err));
        assert_int_equal(f->err.code, ERR_INVALID);
        assert_string_equal(f->err.text, bad[i].why);
    }
}

static void test_bounds(void **state)
{
    struct fixture *f = *state;
    static char many[3 * PARAMS_MAX + 3];
    for (size_t i = 0; i < sizeof many; i += 3)
        memcpy(many + i, "a=&", 3);
    assert_true(params_parse(&f->params, slice_of(many, 3 * PARAMS_MAX), &f->err));
    assert_false(params_parse(&f->params, SLICE("b=1"), &f->err));
    assert_int_equal(f->err.code, ERR_LIMIT);

    struct arena small;
    struct params params;
    arena_init(&small, 4096);
    params_init(&params, &small);
    assert_false(params_parse(&params, slice_of(many, sizeof many), &f->err));
    assert_int_equal(f->err.code, ERR_LIMIT);
    arena_fini(&small);
}

static void test_time(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"0", 0}, {"1435781451.781", 1435781451781}, {"1435781451.7814", 1435781451781},
        {"1435781451.7816", 1435781451782}, {"-1.5", -1500}, {"1e3", 1000000},
        {"2015-07-01T20:10:51.781Z", 1435781451781},
        {"2015-07-01T22:10:51.781+02:00", 1435781451781},
        /* Grafana's probe for exemplars sends milliseconds where seconds are meant. */
        {"1700000000000", 1700000000000000}, {"-292273086-05-16T16:47:06Z", -TIME_MAX_MS},
        {"292277025-08-18T07:12:54.999999999Z", TIME_MAX_MS}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int64_t ms = 42;
        if (!params_parse_time(slice_from(good[i].text), &ms, &f->err) || ms != good[i].ms)
            fail_msg("%s: %lld", good[i].text, (long long)ms);
    }
    static const char *const bad[] = {
        "", "x", "NaN", "Inf", "1e300", "-1e300", "9007199254741", "1 ", "0x", "2015-07-01"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t ms = 42;
        if (params_parse_time(slice_from(bad[i]), &ms, &f->err))
            fail_msg("taken for a time: %s", bad[i]);
        assert_int_equal(f->err.code, ERR_INVALID);
    }
}

static void test_duration(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"15", 15000}, {"0.5", 500}, {"-1", -1000}, {"0", 0}, {"5m", 300000},
        {"1m0s", 60000}, {"1h30m", 5400000}, {"100ms", 100}, {"1d", 86400000}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int64_t ms = 42;
        if (!params_parse_duration(slice_from(good[i].text), &ms, &f->err) || ms != good[i].ms)
            fail_msg("%s: %lld", good[i].text, (long long)ms);
    }
    static const char *const bad[] = {"", "x", "5x", "m", "NaN", "1e300", "5m ", "5.5m"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t ms = 42;
        if (params_parse_duration(slice_from(bad[i]), &ms, &f->err))
            fail_msg("taken for a duration: %s", bad[i]);
        assert_int_equal(f->err.code, ERR_INVALID);
    }
}

static void test_typed(void **state)
{
    struct fixture *f = *state;
    int64_t ms = 7;
    size_t limit;
    assert_true(params_parse(&f->params,
        SLICE("time=foo&step=bar&limit=-3&end=&big=99999999999999999999&l=10&none=0"), &f->err));
    assert_false(params_time(&f->params, "time", &ms, &f->err));
    assert_string_equal(
        f->err.text, "invalid parameter \"time\": cannot parse \"foo\" to a valid timestamp");
    assert_false(params_duration(&f->params, "step", &ms, &f->err));
    assert_string_equal(
        f->err.text, "invalid parameter \"step\": cannot parse \"bar\" to a valid duration");
    assert_false(params_limit(&f->params, "limit", &limit, &f->err));
    assert_string_equal(f->err.text, "invalid parameter \"limit\": limit must be non-negative");
    assert_false(params_limit(&f->params, "big", &limit, &f->err));
    assert_false(params_limit(&f->params, "time", &limit, &f->err));
    assert_int_equal(ms, 7);
    assert_true(params_time(&f->params, "end", &ms, &f->err));
    assert_true(params_time(&f->params, "absent", &ms, &f->err));
    assert_int_equal(ms, 7);
    assert_true(params_limit(&f->params, "l", &limit, &f->err));
    assert_int_equal(limit, 10);
    assert_true(params_limit(&f->params, "none", &limit, &f->err));
    assert_true(limit == SIZE_MAX);
    assert_true(params_limit(&f->params, "absent", &limit, &f->err));
    assert_true(limit == SIZE_MAX);
}

/* What is shown of a bad value is short and cannot steer a terminal. */
static void test_shown(void **state)
{
    struct fixture *f = *state;
    char text[500];
    int64_t ms;
    memset(text, 'x', sizeof text);
    text[0] = 27;
    assert_false(params_parse_time(slice_of(text, sizeof text), &ms, &f->err));
    assert_null(strchr(f->err.text, 27));
    assert_non_null(strstr(f->err.text, "xxx...\""));
    assert_true(strlen(f->err.text) < 150);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pairs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_first_wins, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_pairs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_duration, setup, teardown),
        cmocka_unit_test_setup_teardown(test_typed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shown, setup, teardown),
    };
    return cmocka_run_group_tests_name("params", tests, NULL, NULL);
}
