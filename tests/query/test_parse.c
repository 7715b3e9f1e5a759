/*
 * The parser by tables: what parses and to which type, what does not and with which words and
 * place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "query/function.h"
#include "query/parse.h"
#include "tests/query/suite.h"

struct fixture {
    struct arena arena;
    struct ast ast;
    struct err err;
};

static const struct node *parse(struct fixture *f, const char *text)
{
    f->err = (struct err){0};
    if (!parse_query(slice_from(text), &f->arena, &f->ast, &f->err)) {
        print_error("%s\n  %d:%d: %s\n", text, f->err.line, f->err.col, f->err.text);
        fail();
    }
    return f->ast.root;
}

static void begin(struct fixture *f)
{
    *f = (struct fixture){0};
    arena_init(&f->arena, 64 << 20);
}

static void end(struct fixture *f)
{
    ast_free(&f->ast);
    arena_fini(&f->arena);
}

static void test_types(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum node_type node;
        enum value_type value;
    } cases[] = {
        {"1", NODE_NUMBER, VALUE_SCALAR},
        {"-5m", NODE_NUMBER, VALUE_SCALAR},
        {"\"a\"", NODE_STRING, VALUE_STRING},
        {"foo", NODE_SELECTOR, VALUE_VECTOR},
        {"{a=\"b\"}", NODE_SELECTOR, VALUE_VECTOR},
        {"foo[5m]", NODE_MATRIX, VALUE_MATRIX},
        {"foo[5m:]", NODE_SUBQUERY, VALUE_MATRIX},
        {"rate(foo[5m])", NODE_CALL, VALUE_VECTOR},
        {"time()", NODE_CALL, VALUE_SCALAR},
        {"sum(foo)", NODE_AGGREGATE, VALUE_VECTOR},
        {"1 + 1", NODE_BINARY, VALUE_SCALAR},
        {"1 + foo", NODE_BINARY, VALUE_VECTOR},
        {"-foo", NODE_UNARY, VALUE_VECTOR},
        {"-time()", NODE_UNARY, VALUE_SCALAR},
        {"(1)", NODE_PAREN, VALUE_SCALAR},
        {"(foo[5m])", NODE_PAREN, VALUE_MATRIX},
        {"sum", NODE_SELECTOR, VALUE_VECTOR}, /* names of metrics */
        {"offset", NODE_SELECTOR, VALUE_VECTOR},
        {"start", NODE_SELECTOR, VALUE_VECTOR},
        {"foo and and", NODE_BINARY, VALUE_VECTOR},
        {"min_of(1, 2)", NODE_CALL, VALUE_SCALAR},
        {"foo + fill(0) fill", NODE_BINARY, VALUE_VECTOR},
        {"rate{a=\"b\"}", NODE_SELECTOR, VALUE_VECTOR},
        {"# first\nfoo # last", NODE_SELECTOR, VALUE_VECTOR},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture f;
        begin(&f);
        const struct node *node = parse(&f, cases[i].text);
        assert_int_equal(node->type, cases[i].node);
        assert_int_equal(node->value, cases[i].value);
        end(&f);
    }
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double v;
    } cases[] = {
        {"1", 1},
        {"-1", -1},
        {"+-+1", -1},
        {".5", 0.5},
        {"5.", 5},
        {"1e3", 1000},
        {"12.34e-6", 12.34e-6},
        {"0x1F", 31},
        {"0X_ff", 255},
        {"017", 15},
        {"08", 8},
        {"00.5", 0.5},
        {"1_000_000", 1e6},
        {"1_0.5", 10.5},
        {"9223372036854775807", 9223372036854775807.0},
        {"92233720368547758080", 92233720368547758080.0},
        {"iNf", INFINITY},
        {"-Inf", -INFINITY},
        {"1m", 60},
        {"1h30m", 5400},
        {"1y1w1d1h1m1s1ms", 31536000.0 + 604800 + 86400 + 3600 + 60 + 1 + 0.001},
        {"7ms", 0.007},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture f;
        begin(&f);
        const struct node *node = parse(&f, cases[i].text);
        assert_int_equal(node->type, NODE_NUMBER);
        assert_true(node->u.number.v == cases[i].v);
        end(&f);
    }
    struct fixture f;
    begin(&f);
    assert_true(isnan(parse(&f, "nAN")->u.number.v));
    end(&f);
}

struct bad {
    const char *text;
    int line, col;
    const char *error;
};

static void check_bad(const struct bad *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct fixture f;
        begin(&f);
        if (parse_query(slice_from(cases[i].text), &f.arena, &f.ast, &f.err))
            fail_msg("parses: %s", cases[i].text);
        char want[ERR_TEXT_MAX], got[ERR_TEXT_MAX + 64];
        snprintf(want, sizeof want, "%d:%d: parse error: %s", cases[i].line, cases[i].col,
            cases[i].error);
        assert_int_equal(f.err.code, ERR_INVALID);
        assert_string_equal(err_format(&f.err, got, sizeof got), want);
        assert_null(f.ast.regexes);
        end(&f);
    }
}
#define CHECK_BAD(cases) check_bad(cases, sizeof(cases) / sizeof(cases)[0])

static void test_bad_syntax(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {"", 1, 1, "no expression found in input"},
        {" # nothing\n", 1, 1, "no expression found in input"},
        {"1 +", 1, 4, "unexpected end of input"},
        {"*1", 1, 1, "unexpected <op:*>"},
        {"1 2", 1, 3, "unexpected number \"2\""},
        {"foo bar", 1, 5, "unexpected identifier \"bar\""},
        {"foo\n  bar", 2, 3, "unexpected identifier \"bar\""},
        {"foo \"a long string literal\"", 1, 5, "unexpected string \"\\\"a long st\"..."},
        {"(1", 1, 3, "unclosed left parenthesis"},
        {"1)", 1, 2, "unexpected right parenthesis ')'"},
        {"a:b(1)", 1, 4, "unexpected \"(\""},
        {"1 and on", 1, 9, "unexpected end of input in grouping opts, expected \"(\""},
        {"a + on(1) b", 1, 8, "unexpected number \"1\" in grouping opts, expected label"},
        {"a + on(b c) d", 1, 10,
            "unexpected identifier \"c\" in grouping opts, expected \",\" or \")\""},
        {"a + on(\"\") d", 1, 8, "invalid label name for grouping: \"\""},
        {"a + group_left b", 1, 5, "unexpected <group_left>"},
        {"a + fill() b", 1, 10, "unexpected \")\""},
        {"a + fill_left(1) fill_left(2) b", 1, 18, "unexpected <fill_left>"},
        {"sum", 1, 4, NULL},
        {"sum by (a)", 1, 11, "unexpected end of input in aggregation"},
        {"sum by foo (a)", 1, 8, "unexpected identifier \"foo\" in grouping opts, expected \"(\""},
        {"sum(a b)", 1, 7, "unexpected identifier \"b\" in aggregation"},
        {"sum()", 1, 1, "no arguments for aggregate expression provided"},
        {"sum(a, b)", 1, 1,
            "wrong number of arguments for aggregate expression provided, expected 1, got 2"},
        {"1 + topk(a)", 1, 5,
            "wrong number of arguments for aggregate expression provided, expected 2, got 1"},
        {"sum(a,)", 1, 6, "trailing commas not allowed in function call args"},
        {"rate(a[5m],)", 1, 11, "trailing commas not allowed in function call args"},
        {"nope(a)", 1, 1, "unknown function with name \"nope\""},
        {"Rate(a[5m])", 1, 1, "unknown function with name \"Rate\""},
        {"{", 1, 2, "unexpected end of input inside braces"},
        {"foo{bar}", 1, 8, "unexpected \"}\" in label matching, expected label matching operator"},
        {"foo{bar=1}", 1, 9, "unexpected character inside braces: '1'"},
        {"foo{bar=baz}", 1, 9, "unexpected identifier \"baz\" in label matching, expected string"},
        {"foo{a=\"b\" c=\"d\"}", 1, 11,
            "unexpected identifier \"c\" in label matching, expected \",\" or \"}\""},
        {"foo{,}", 1, 5, "unexpected \",\" in label matching, expected identifier or \"}\""},
        {"foo{a=~\"(\"}", 1, 5, NULL},
        {"foo[5m", 1, 7, "unclosed left bracket"},
        {"foo[]", 1, 5,
            "unexpected \"]\" in subquery or range selector, expected number, duration, step(), or "
            "range()"},
        {"foo[5m:1m 2]", 1, 11, "unexpected number \"2\" in subquery selector, expected \"]\""},
        {"foo[5m 2]", 1, 8,
            "unexpected number \"2\" in subquery or range, expected \":\" or \"]\""},
        {"foo[0]", 1, 5, "duration must be greater than 0"},
        {"foo[-5m]", 1, 5, "duration must be greater than 0"},
        {"foo[5m:0s]", 1, 8, "duration must be greater than 0"},
        {"foo[1.5m]", 1, 5, "not a valid duration string: \"1.5m\""},
        {"foo[5m1h]", 1, 5, "not a valid duration string: \"5m1h\""},
        {"foo[999999999y]", 1, 5, "duration out of range"},
        {"foo[1e30]", 1, 5, "duration out of range"},
        {"foo[5m / 0]", 1, 8, "division by zero"},
        {"foo[5m % 0s]", 1, 8, "modulo by zero"},
        {"foo offset", 1, 11,
            "unexpected end of input in offset, expected number, duration, step(), or range()"},
        {"foo offset bar", 1, 12,
            "unexpected identifier \"bar\" in offset, expected number, duration, step(), or "
            "range()"},
        {"foo @", 1, 6, "unexpected end of input in @, expected timestamp"},
        {"foo @ start", 1, 12, "unexpected end of input in @, expected timestamp"},
        {"foo @ Inf", 1, 1, "timestamp out of bounds for @ modifier: +Inf"},
        {"foo @ 1e30", 1, 1,
            "timestamp out of bounds for @ modifier: 1000000000000000019884624838656.000000"},
        {"1e309", 1, 1,
            "error parsing number: strconv.ParseFloat: parsing \"1e309\": value out of range"},
        {"1e5.5", 1, 1,
            "error parsing number: strconv.ParseFloat: parsing \"1e5.5\": invalid syntax"},
        {"0x", 1, 1, "error parsing number: strconv.ParseFloat: parsing \"0x\": invalid syntax"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (cases[i].error)
            check_bad(&cases[i], 1);
    struct fixture f;
    begin(&f);
    assert_false(parse_query(SLICE("foo{a=~\"(\"}"), &f.arena, &f.ast, &f.err));
    assert_int_equal(f.err.col, 5);
    assert_non_null(strstr(f.err.text, "parse error: error parsing regexp: "));
    end(&f);
}

static void test_bad_modifiers(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {"1 offset 5m", 1, 1,
            "offset modifier must be preceded by an instant vector selector or range vector "
            "selector "
            "or a subquery"},
        {"(foo) offset 5m", 1, 1,
            "offset modifier must be preceded by an instant vector selector or range vector "
            "selector "
            "or a subquery"},
        {"sum(foo) @ 5", 1, 1,
            "@ modifier must be preceded by an instant vector selector or range vector selector or "
            "a "
            "subquery"},
        {"foo offset 5m offset 1m", 1, 1, "offset may not be set multiple times"},
        {"foo @ 5 @ start()", 1, 1, "@ <timestamp> may not be set multiple times"},
        {"foo offset 5m [5m]", 1, 15, "no offset modifiers allowed before range"},
        {"foo @ 5 [5m]", 1, 9, "no @ modifiers allowed before range"},
        {"sum(foo)[5m]", 1, 9, "ranges only allowed for vector selectors"},
        {"foo[5m][5m]", 1, 8, "ranges only allowed for vector selectors"},
        {"foo[5m] anchored smoothed", 1, 1,
            "anchored and smoothed modifiers cannot be used together"},
        {"foo[5m:] anchored", 1, 1, "anchored modifier is not supported for subqueries"},
        {"sum(foo) smoothed", 1, 1, "smoothed modifier not implemented"},
    };
    CHECK_BAD(cases);
}

static void test_bad_types(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {"sum(1)", 1, 5, "expected type instant vector in aggregation expression, got scalar"},
        {"topk(foo, foo)", 1, 6,
            "expected type scalar in aggregation parameter, got instant vector"},
        {"count_values(1, foo)", 1, 14,
            "expected type string in aggregation parameter, got scalar"},
        {"rate(foo)", 1, 6,
            "expected type range vector in call to function \"rate\", got instant vector"},
        {"rate(foo[5m], 1)", 1, 1, "expected 1 argument(s) in call to \"rate\", got 2"},
        {"round()", 1, 1, "expected at least 1 argument(s) in call to \"round\", got 0"},
        {"round(foo, 1, 2)", 1, 1, "expected at most 2 argument(s) in call to \"round\", got 3"},
        {"label_join(foo, \"a\")", 1, 1,
            "expected at least 3 argument(s) in call to \"label_join\", got 2"},
        {"label_join(foo, \"a\", \"b\", \"c\", \"d\", 1)", 1, 37,
            "expected type string in call to function \"label_join\", got scalar"},
        {"info(foo, bar)", 1, 11, "expected label selectors only, got vector selector instead"},
        {"info(foo, (bar))", 1, 11, "expected label selectors only"},
        {"1 > 2", 1, 3, "comparisons between scalars must use BOOL modifier"},
        {"1 + bool 2", 1, 3, "bool modifier can only be used on comparison operators"},
        {"1 and foo", 1, 1, "set operator \"and\" not allowed in binary scalar expression"},
        {"1 + on(a) foo", 1, 1, "vector matching only allowed between instant vectors"},
        {"1 + fill(0) foo", 1, 1, "filling in missing series only allowed between instant vectors"},
        {"foo or fill(0) bar", 1, 1, "filling in missing series not allowed for set operators"},
        {"foo and on(a) group_left bar", 1, 1, "no grouping allowed for \"and\" operation"},
        {"foo + on(a) group_left(a) bar", 1, 5,
            "label \"a\" must not occur in ON and GROUP clause at once"},
        {"foo[5m] + 1", 1, 1,
            "binary expression must contain only scalar and instant vector types"},
        {"1 + \"a\"", 1, 5, "binary expression must contain only scalar and instant vector types"},
        {"-\"a\"", 1, 1,
            "unary expression only allowed on expressions of type scalar or instant vector, got "
            "\"string\""},
        {"-foo[5m]", 1, 1,
            "unary expression only allowed on expressions of type scalar or instant vector, got "
            "\"range vector\""},
        {"1[5m:]", 1, 1, "subquery is only allowed on instant vector, got scalar instead"},
        {"foo[5m][5m:]", 1, 1, "subquery is only allowed on instant vector, got matrix instead"},
        {"{}", 1, 1, "vector selector must contain at least one non-empty matcher"},
        {"1 + {a=~\".*\"}", 1, 5, "vector selector must contain at least one non-empty matcher"},
        {"{a=\"\"}", 1, 1, "vector selector must contain at least one non-empty matcher"},
        {"foo{__name__=\"bar\"}", 1, 1, "metric name must not be set twice: \"foo\" or \"bar\""},
        {"foo{\"bar\"}", 1, 1, "metric name must not be set twice: \"foo\" or \"bar\""},
        /* Syntax comes before types. */
        {"sum(1) + foo bar", 1, 14, "unexpected identifier \"bar\""},
    };
    CHECK_BAD(cases);
}

static void test_precedence(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    const struct node *n = parse(&f, "-1 ^ 2");
    assert_int_equal(n->type, NODE_UNARY);
    assert_int_equal(n->u.unary.expr->u.binary.op, OP_POW);
    ast_free(&f.ast);
    n = parse(&f, "2 ^ 3 ^ 4"); /* right */
    assert_int_equal(n->u.binary.lhs->type, NODE_NUMBER);
    ast_free(&f.ast);
    n = parse(&f, "2 - 3 - 4"); /* left */
    assert_int_equal(n->u.binary.rhs->type, NODE_NUMBER);
    ast_free(&f.ast);
    n = parse(&f, "a or b and c == d + e * f ^ g");
    static const enum binary_op order[] = {OP_OR, OP_AND, OP_EQ, OP_ADD, OP_MUL, OP_POW};
    for (size_t i = 0; i < 6; i++, n = n->u.binary.rhs)
        assert_int_equal(n->u.binary.op, order[i]);
    ast_free(&f.ast);
    n = parse(&f, "-foo * bar");
    assert_int_equal(n->type, NODE_BINARY);
    ast_free(&f.ast);
    n = parse(&f, "a </ 1 + 2");
    assert_int_equal(n->u.binary.op, OP_TRIM_UPPER);
    assert_int_equal(n->u.binary.rhs->u.binary.op, OP_ADD);
    end(&f);
}

static void test_selector(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    const struct node *n =
        parse(&f, "foo{a=\"b\", 'l.x'!=\"v\", c=~\"d.*\", e!~'f',}[5m] @ 1.5 offset -1h");
    const struct node *s = n->u.matrix.selector;
    assert_int_equal(n->u.matrix.range.ms, 300000);
    assert_true(slice_is(s->u.selector.name, "foo"));
    assert_int_equal(s->u.selector.n_matchers, 5);
    assert_true(slice_is(s->u.selector.matchers[1].name, "l.x"));
    assert_int_equal(s->u.selector.matchers[1].op, MATCH_NOT_EQUAL);
    assert_true(regex_match(s->u.selector.matchers[2].regex, SLICE("d1")));
    assert_false(regex_match(s->u.selector.matchers[2].regex, SLICE("xd1")));
    assert_int_equal(s->u.selector.matchers[3].op, MATCH_NOT_REGEX);
    assert_true(slice_is(s->u.selector.matchers[4].name, "__name__"));
    assert_int_equal(s->u.selector.when.at, AT_TIME);
    assert_int_equal(s->u.selector.when.at_ms, 1500);
    assert_int_equal(s->u.selector.when.offset.ms, -3600000);
    assert_int_equal(f.ast.n_regexes, 2);
    ast_free(&f.ast);
    n = parse(&f, "{\"a.b\", c=\"d\"}");
    assert_int_equal(n->u.selector.name.len, 0);
    assert_true(slice_is(n->u.selector.matchers[0].name, "__name__"));
    assert_true(slice_is(n->u.selector.matchers[0].value, "a.b"));
    ast_free(&f.ast);
    n = parse(&f, "foo smoothed[5m]");
    assert_int_equal(n->u.matrix.selector->u.selector.extend, EXTEND_SMOOTHED);
    ast_free(&f.ast);
    n = parse(&f, "foo[1h:5m] @ end() offset 5");
    assert_int_equal(n->u.subquery.when.at, AT_END);
    assert_int_equal(n->u.subquery.when.offset.ms, 5000);
    assert_int_equal(n->u.subquery.step.ms, 300000);
    end(&f);
}

static void test_duration_expr(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    const struct node *n = parse(&f, "foo offset 5m + 1"); /* ends behind the literal */
    assert_int_equal(n->type, NODE_BINARY);
    assert_int_equal(n->u.binary.lhs->u.selector.when.offset.ms, 300000);
    ast_free(&f.ast);
    n = parse(&f, "foo offset -2 ^ 2");
    assert_int_equal(n->u.binary.op, OP_POW);
    ast_free(&f.ast);
    n = parse(&f, "foo offset (5m + 1) * 2"); /* goes on behind a parenthesis */
    assert_int_equal(n->type, NODE_SELECTOR);
    assert_int_equal(n->u.selector.when.offset.expr->u.duration.op, '*');
    ast_free(&f.ast);
    n = parse(&f, "foo offset -step() * 2");
    assert_int_equal(n->type, NODE_BINARY);
    n = n->u.binary.lhs->u.selector.when.offset.expr;
    assert_int_equal(n->type, NODE_UNARY);
    assert_int_equal(n->u.unary.expr->u.duration.op, 's');
    ast_free(&f.ast);
    n = parse(&f, "foo[1h - 2 * step():max_of(range(), 5m)]");
    const struct node *range = n->u.subquery.range.expr, *step = n->u.subquery.step.expr;
    assert_int_equal(range->u.duration.op, '-');
    assert_int_equal(range->u.duration.rhs->u.duration.op, '*');
    assert_int_equal(step->u.duration.op, 'M');
    assert_int_equal(step->u.duration.lhs->u.duration.op, 'r');
    end(&f);
}

static void test_matching(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    const struct node *n =
        parse(&f, "a == BOOL ON (b, \"c.d\",) GROUP_LEFT (e) fill_right(-1) fill_left(5m) f");
    assert_true(n->u.binary.return_bool && n->u.binary.on && n->u.binary.matching);
    assert_int_equal(n->u.binary.card, CARD_MANY_TO_ONE);
    assert_int_equal(n->u.binary.n_labels, 2);
    assert_true(slice_is(n->u.binary.labels[1], "c.d"));
    assert_int_equal(n->u.binary.n_include, 1);
    assert_true(n->u.binary.fill_left.set && n->u.binary.fill_left.value == 300);
    assert_true(n->u.binary.fill_right.set && n->u.binary.fill_right.value == -1);
    ast_free(&f.ast);
    n = parse(&f, "a unless ignoring () b");
    assert_int_equal(n->u.binary.card, CARD_MANY_TO_MANY);
    assert_true(n->u.binary.matching && !n->u.binary.on);
    ast_free(&f.ast);
    n = parse(&f, "sum without (a, sum, on,) (b)");
    assert_true(n->u.aggregate.without && n->u.aggregate.grouped);
    assert_int_equal(n->u.aggregate.n_labels, 3);
    ast_free(&f.ast);
    n = parse(&f, "quantile(0.5, foo) by ()");
    assert_true(n->u.aggregate.grouped && n->u.aggregate.param);
    assert_int_equal(n->u.aggregate.n_labels, 0);
    end(&f);
}

static char *repeat(const char *left, const char *middle, const char *right, size_t n)
{
    struct buf out;
    buf_init(&out, 0);
    for (size_t i = 0; i < n; i++)
        buf_str(&out, left);
    buf_str(&out, middle);
    for (size_t i = 0; i < n; i++)
        buf_str(&out, right);
    buf_cstr(&out);
    return out.ptr;
}

static void test_bounds(void **state)
{
    (void)state;
    static const char *const shapes[][3] = {{"(", "1", ")"}, {"-", "a", ""}, {"1+", "1", ""},
        {"1^", "1", ""}, {"abs(", "a", ")"}, {"sum(", "a", ")"}, {"", "a", "[1s:]"},
        {"a offset (", "1", ")"}, {"a[1+", "1", "]"}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct fixture f;
        begin(&f);
        char *text = repeat(shapes[i][0], shapes[i][1], shapes[i][2], 20000);
        assert_false(parse_query(slice_from(text), &f.arena, &f.ast, &f.err));
        assert_int_equal(f.err.code, ERR_INVALID);
        free(text);
        end(&f);
    }
    struct fixture f;
    begin(&f);
    char *text = repeat("(", "1", ")", PARSE_DEPTH_MAX - 1);
    assert_int_equal(parse(&f, text)->height, PARSE_DEPTH_MAX);
    free(text);
    end(&f);

    begin(&f);
    text = calloc(1, PARSE_TEXT_MAX + 2);
    memset(text, ' ', PARSE_TEXT_MAX + 1);
    assert_false(parse_query(slice_from(text), &f.arena, &f.ast, &f.err));
    assert_int_equal(f.err.code, ERR_INVALID);
    free(text);
    end(&f);

    begin(&f);
    arena_fini(&f.arena);
    arena_init(&f.arena, 1 << 10);
    assert_false(parse_query(SLICE("a + b + c + d + e + f + g"), &f.arena, &f.ast, &f.err));
    assert_int_equal(f.err.code, ERR_LIMIT);
    end(&f);
}

static void test_parse_selector(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"foo", NULL},
        {"{a=\"b\"}", NULL},
        {"{__name__=~\"a|b\",c!=\"\"}", NULL},
        {"foo[5m]", "1:4: parse error: unexpected \"[\""},
        {"foo offset 5m", "1:5: parse error: unexpected <offset>"},
        {"1", "1:1: parse error: unexpected number \"1\""},
        {"", "1:1: parse error: unexpected end of input"},
        {"{}", "match[] must contain at least one non-empty matcher"},
        {"{a=~\".*\"}", "match[] must contain at least one non-empty matcher"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture f;
        begin(&f);
        bool ok = parse_selector(slice_from(cases[i].text), &f.arena, &f.ast, &f.err);
        assert_int_equal(ok, cases[i].error == NULL);
        char got[ERR_TEXT_MAX + 64];
        if (!ok)
            assert_string_equal(err_format(&f.err, got, sizeof got), cases[i].error);
        end(&f);
    }
}

static void test_parse_duration(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms; /* -1: refused */
    } cases[] = {{"5m", 300000}, {"0", 0}, {"300", 300000}, {"1.5", 1500}, {"0s", 0},
        {"1h30m", 5400000},
        {"1y2w3d4h5m6s7ms", 31536000000 + 2 * 604800000 + 3 * 86400000 + 14706007}, {"", -1},
        {"m", -1}, {"5", 5000}, {"5mm", -1}, {"1m1h", -1}, {"1m1m", -1}, {"-5m", -1}, {"1.5m", -1},
        {"1 m", -1}, {"292y", 292LL * 31536000000}, {"293y", -1}, {"99999999999999999999s", -1},
        {"1..5", -1}, {".", -1}, {"9e9", -1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t ms;
        struct err err = {0};
        bool ok = parse_duration(slice_from(cases[i].text), &ms, &err);
        assert_int_equal(ok, cases[i].ms >= 0);
        if (ok)
            assert_int_equal(ms, cases[i].ms);
    }
}

static void parse_one(void *ctx, const char *file, int line, const char *expr)
{
    struct fixture f;
    begin(&f);
    if (!parse_query(slice_from(expr), &f.arena, &f.ast, &f.err))
        fail_msg("%s:%d: %s\n%d:%d %s", file, line, expr, f.err.line, f.err.col, f.err.text);
    end(&f);
    ++*(size_t *)ctx;
}

/* Those that are expected to fail do so when they run. */
static void test_suite_expressions(void **state)
{
    (void)state;
    size_t n = 0;
    if (!suite_each(parse_one, &n))
        skip();
    assert_true(n > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_bad_syntax),
        cmocka_unit_test(test_bad_modifiers),
        cmocka_unit_test(test_bad_types),
        cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_selector),
        cmocka_unit_test(test_duration_expr),
        cmocka_unit_test(test_matching),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_parse_selector),
        cmocka_unit_test(test_parse_duration),
        cmocka_unit_test(test_suite_expressions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
