/*
 * The canonical form by a table, and printing as the inverse of parsing over every expression of
 * the suite.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "query/parse.h"
#include "tests/query/suite.h"

/* What the text prints as; the caller frees. */
static char *canonical(const char *text)
{
    struct arena arena;
    struct ast ast;
    struct err err = {0};
    struct buf out;
    arena_init(&arena, 64 << 20);
    buf_init(&out, 0);
    if (!parse_query(slice_from(text), &arena, &ast, &err))
        fail_msg("%s: %d:%d: %s", text, err.line, err.col, err.text);
    print_node(ast.root, &out);
    buf_cstr(&out);
    ast_free(&ast);
    arena_fini(&arena);
    return out.ptr;
}

static void check_again(const char *printed)
{
    char *again = canonical(printed);
    assert_string_equal(again, printed);
    free(again);
}

static void test_table(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"1", "1"},
        {"1e3", "1000"},
        {"0x1F", "31"},
        {"1e-7", "0.0000001"},
        {"1e25", "10000000000000000000000000"},
        {"- 1", "-1"},
        {"+5", "5"},
        {"inf", "+Inf"},
        {"-iNF", "-Inf"},
        {"NAN", "NaN"},
        {"inf ^ 2", "Inf ^ 2"},
        {"90m", "1h30m"},
        {"-300s", "-5m"},
        {"'a\"b'", "\"a\\\"b\""},
        {"`\\d`", "\"\\\\d\""},
        {"foo{ }", "foo"},
        {"foo{b='1',a=\"2\",}", "foo{a=\"2\",b=\"1\"}"},
        {"{\"foo\", 'x.y'!~'z'}", "{\"x.y\"!~\"z\",__name__=\"foo\"}"},
        {"{__name__=\"foo\"}", "{__name__=\"foo\"}"},
        {"foo OFFSET 60s @ 1.5", "foo @ 1.500 offset 1m"},
        {"foo @ -1 offset -1d", "foo @ -1.000 offset -1d"},
        {"foo offset 0s", "foo"},
        {"foo[300] @ START() offset 1h", "foo[5m] @ start() offset 1h"},
        {"foo[1w] smoothed @ end()", "foo[1w] smoothed @ end()"},
        {"foo anchored @ 3", "foo @ 3.000 anchored"},
        {"foo[1d1h]", "foo[1d1h]"},
        {"foo[8d]", "foo[8d]"},
        {"foo[365d]", "foo[1y]"},
        {"(foo)[10m:] offset 5m", "(foo)[10m:] offset 5m"},
        {"foo[600s : 60s ] @ 7", "foo[10m:1m] @ 7.000"},
        {"foo[2*step( ) + (1m)]", "foo[2 * step() + (1m)]"},
        {"foo[+STEP()]", "foo[step()]"},
        {"foo offset -range()", "foo offset -range()"},
        {"foo offset -(min_of(1,Step())^2)", "foo offset -(min_of(1, step()) ^ 2)"},
        {"foo offset 5m * 2", "foo offset 5m * 2"},
        {"a+b", "a + b"},
        {"a  AND  b", "a and b"},
        {"a </ 1", "a </ 1"},
        {"a == Bool on (b,'c d') Group_Left d", "a == bool on (b, \"c d\") group_left () d"},
        {"a + ignoring() b", "a + b"},
        {"a + on() b", "a + on () b"},
        {"1 + on() group_left() b", "1 + b"},
        {"a + fill(1e21) b", "a + fill (1e+21) b"},
        {"a + fill_right(2) fill_left(1) b", "a + fill_left (1) fill_right (2) b"},
        {"a + fill_right(2) b", "a + fill_right (2) b"},
        {"SUM(a) BY (b, \"c.d\")", "sum by (b, \"c.d\") (a)"},
        {"sum by () (a)", "sum(a)"},
        {"sum without () (a)", "sum without () (a)"},
        {"topk(5,a)", "topk(5, a)"},
        {"sum by (\"inf\") (a)", "sum by (\"inf\") (a)"},
        {"count_values('x', a)", "count_values(\"x\", a)"},
        {"round( a,5 )", "round(a, 5)"},
        {"-(a)", "-(a)"},
        {"+a", "+a"},
        {"--a ^ b", "--a ^ b"},
        {"((a))", "((a))"},
        {"a # b\n+ c", "a + c"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *printed = canonical(cases[i][0]);
        assert_string_equal(printed, cases[i][1]);
        check_again(printed);
        free(printed);
    }
}

/* A time for everything that has none; what stands in a subquery keeps what it has. */
static void test_at(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"foo", "foo @ 60.500"},
        {"foo @ 5", "foo @ 5.000"},
        {"foo @ start() offset 5m", "foo @ 60.500 offset 5m"},
        {"rate(foo[5m] anchored)", "rate(foo[5m] anchored @ 60.500)"},
        {"max_over_time(foo[5m:1m])", "max_over_time(foo[5m:1m] @ 60.500)"},
        {"max_over_time(rate(foo[1m])[5m:1m] @ 3)", "max_over_time(rate(foo[1m])[5m:1m] @ 3.000)"},
        {"-(a + topk(scalar(b), c)) * 2",
            "-(a @ 60.500 + topk(scalar(b @ 60.500), c @ 60.500)) * 2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena arena;
        struct ast ast;
        struct err err = {0};
        struct buf out;
        arena_init(&arena, 1 << 20);
        buf_init(&out, 0);
        assert_true(parse_query(slice_from(cases[i][0]), &arena, &ast, &err));
        print_node_at(ast.root, 60500, &out);
        assert_string_equal(buf_cstr(&out), cases[i][1]);
        check_again(out.ptr);
        ast_free(&ast);
        buf_fini(&out);
        arena_fini(&arena);
    }
}

static void test_duration(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {{0, "0s"}, {1, "1ms"}, {1000, "1s"}, {61001, "1m1s1ms"}, {-5400000, "-1h30m"},
        {604800000, "1w"}, {691200000, "8d"}, {31536000000, "1y"}, {31536000001, "365d1ms"},
        {2 * 31536000000, "2y"}};
    struct buf out;
    buf_init(&out, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        buf_clear(&out);
        print_duration(cases[i].ms, &out);
        assert_string_equal(buf_cstr(&out), cases[i].text);
    }
    buf_fini(&out);
}

static void print_one(void *ctx, const char *file, int line, const char *expr)
{
    (void)file;
    (void)line;
    char *printed = canonical(expr);
    check_again(printed);
    free(printed);
    ++*(size_t *)ctx;
}

static void test_suite_round_trip(void **state)
{
    (void)state;
    size_t n = 0;
    if (!suite_each(print_one, &n))
        skip();
    assert_true(n > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_at),
        cmocka_unit_test(test_duration),
        cmocka_unit_test(test_suite_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
