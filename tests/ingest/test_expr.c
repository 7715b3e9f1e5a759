#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/number.h"
#include "ingest/expr.h"

enum {
    TYPE,
    LEVEL,
    AMOUNT,
    RATIO,
    TEMP,
    PLACED,
    DELIVERED,
    MARKET,
    FLAG,
    CUSTOMER,
    ID,
    ORDER,
    ODD,
    FIELDS
};

#define F(n, t, ...)                                                                               \
    {                                                                                              \
        .name = {n, sizeof(n) - 1}, .type = t, __VA_ARGS__                                         \
    }

static const struct slice types[] = {{"level", 5}, {"sold", 4}, {"restocked", 9}};

static const struct contract contract = {
    .stream = {"fridges", 7},
    .n_fields = FIELDS,
    .event_time = PLACED,
    .event_id = ID,
    .key = -1,
    .fields =
        {
            F("type", FIELD_STRING, .allowed = types, .n_allowed = 3),
            F("level", FIELD_INT, .has_min = true, .min = 0, .has_max = true, .max = 1000),
            F("amount", FIELD_DECIMAL, .digits = 2, .has_min = true, .min = 100),
            F("ratio", FIELD_DECIMAL, .digits = 15),
            F("celsius", FIELD_DECIMAL, .digits = 1, .has_min = true, .min = -400),
            F("placed", FIELD_TIME),
            F("delivered", FIELD_TIME),
            F("market", FIELD_STRING),
            F("flag", FIELD_BOOL),
            F("customer", FIELD_STRING, .personal = true),
            F("event_id", FIELD_STRING),
            F("order_id", FIELD_STRING, .unbounded = true),
            F("odd-name", FIELD_STRING),
        },
};

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static const struct expr *compiled(const char *text, bool label)
{
    const struct expr *expr = NULL;
    struct err err = {0};
    if (!expr_compile(slice_from(text), &contract, label, "f", 1, 1, &arena, &expr, &err))
        fail_msg("%s: %d: %s", text, err.col, err.text);
    return expr;
}

static struct event event(void)
{
    struct event e = {.contract = &contract};
    e.v[TYPE] = (struct field_value){true, 0, SLICE("level")};
    e.v[LEVEL] = (struct field_value){true, 7, {0}};
    e.v[AMOUNT] = (struct field_value){true, 4895, {0}};
    e.v[RATIO] = (struct field_value){true, 500000000000000, {0}};
    e.v[TEMP] = (struct field_value){true, -35, {0}};
    e.v[PLACED] = (struct field_value){true, 1000000, {0}};
    e.v[DELIVERED] = (struct field_value){true, 1090500, {0}};
    e.v[MARKET] = (struct field_value){true, 0, SLICE("m\"1")};
    e.v[FLAG] = (struct field_value){true, 1, {0}};
    e.v[ODD] = (struct field_value){true, 0, SLICE("x")};
    return e; /* customer, event_id, order_id are absent */
}

/* Conditions: 1, 0, or -1: absent. */
static void test_conditions(void **state)
{
    static const struct {
        const char *text;
        int want;
    } cases[] = {
        {"type == \"level\"", 1},
        {"type == 'sold'", 0},
        {"'level' == type", 1},
        {"type != \"sold\"", 1},
        {"market == \"m\\\"1\"", 1},
        {"type in [\"sold\", \"level\"]", 1},
        {"type in [\"sold\"]", 0},
        {"type not in [\"sold\"]", 1},
        {"not type in [\"sold\"]", 1},
        {"level in [1, 7.0, 9]", 1},
        {"celsius in [-3.5]", 1},
        {"celsius in [-3]", 0},
        {"level >= 7", 1},
        {"level > 7", 0},
        {"level < 7.001", 1},
        {"level <= 6", 0},
        {"amount == 48.95", 1},
        {"amount == 48.951", 0},
        {"amount != 48.950", 0},
        {"ratio == 0.5", 1},
        {"celsius < 0", 1},
        {"celsius == -3.5", 1},
        {"flag", 1},
        {"not flag", 0},
        {"flag == true", 1},
        {"flag != false", 1},
        {"true and not false", 1},
        {"delivered > placed", 1},
        {"delivered - placed == 90.5", 1},
        {"level + 1 == 8 and level - 1 == 6", 1},
        {"level * 2 + 1 == 15", 1},
        {"2 + level * 2 == 16", 1},
        {"(2 + level) * 2 == 18", 1},
        {"- level + 8 == 1", 1},
        {"--level == 7", 1},
        {"flag or level == 1 and false", 1},
        {"(flag or level == 1) and false", 0},
        {"not flag or flag", 1},
        {"`odd-name` == \"x\"", 1},
        {"customer == \"x\"", -1},
        {"customer != \"x\"", -1},
        {"customer in [\"x\"]", -1},
        {"customer not in [\"x\"]", -1},
        {"not customer == \"x\"", -1},
        {"customer == \"x\" or flag", 1},
        {"flag and customer == \"x\"", 0},
        {"customer == \"x\" or customer == \"y\"", 0},
        {"not (customer == \"x\" and flag)", 1},
    };
    struct event e = event();
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct expr *expr = compiled(cases[i].text, false);
        struct field_value v = {0};
        assert_int_equal(expr_type(expr), EXPR_BOOL);
        enum expr_result r = expr_eval(expr, &e, &v);
        int got = r == EXPR_ABSENT ? -1 : r == EXPR_OK && v.present ? (int)v.num : -2;
        if (got != cases[i].want)
            fail_msg("%s: %d", cases[i].text, got);
    }
}

static void test_numbers(void **state)
{
    static const struct {
        const char *text;
        int digits;
        int64_t want;
    } cases[] = {
        {"level", 0, 7},
        {"amount", 2, 4895},
        {"0.250", 3, 250},
        {"amount + level", 2, 5595},
        {"level - amount", 2, -4195},
        {"amount * amount", 4, 23961025},
        {"amount * 0.1", 3, 4895},
        {"level / 2", 6, 3500000},
        {"1 / 3", 6, 333333},
        {"2 / 3", 6, 666667},
        {"-2 / 3", 6, -666667},
        {"1 / 0.4", 6, 2500000},
        {"1.0000001 / 2", 13, 5000000500000},
        {"0.0000005 / 10000000", 13, 0}, /* half to even: 0.5 to 0 */
        {"0.0000015 / 10000000", 13, 2}, /* 1.5 to 2 */
        {"ratio / 3", 18, 166666666666666667},
        {"ratio * ratio", 18, 250000000000000000},
        {"ratio * 0.000000000000000003", 18, 2}, /* 1.5 to 2 */
        {"ratio * 0.000000000000000005", 18, 2}, /* 2.5 to 2 */
        {"0 - ratio * 0.000000000000000003", 18, -2},
        {"delivered - placed", 3, 90500},
        {"placed - delivered", 3, -90500},
        {"(delivered - placed) / 60", 9, 1508333333},
        {"celsius", 1, -35},
        {"if(flag, level, -level)", 0, 7},
        {"if(type == \"sold\", level, -level)", 0, -7},
        {"if(flag, level, amount)", 2, 700}, /* the digits of the larger side */
        {"if(not flag, level, amount)", 2, 4895},
        {"2 * if(customer == \"x\", 1, if(level > 6, 3, 4))", 0, 6}, /* absent: does not hold */
        {"if(flag, delivered, placed) - placed", 3, 90500},
    };
    struct event e = event();
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct expr *expr = compiled(cases[i].text, false);
        struct field_value v = {0};
        assert_int_equal(expr_type(expr), EXPR_NUMBER);
        if (expr_eval(expr, &e, &v) != EXPR_OK || v.num != cases[i].want ||
            expr_digits(expr) != cases[i].digits)
            fail_msg("%s: %lld, %d digits", cases[i].text, (long long)v.num, expr_digits(expr));
    }
}

static void test_out_of_range(void **state)
{
    static const char *const cases[] = {"level / (level - 7)", "ratio + 9000000000",
        "ratio * ratio * 40", "999999999999999999 * 10", "100000000000000 / 0.000001",
        "ratio * 100000 / 0.0001", "level / (level - 7) > 0", "level / (level - 7) > 0 or true",
        "if(level / (level - 7) > 0, 1, 2)", "if(flag, 9999999999999999, 0.001) * 1"};
    struct event e = event();
    struct field_value v;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (expr_eval(compiled(cases[i], false), &e, &v) != EXPR_RANGE)
            fail_msg("%s fits", cases[i]);
    /* A decided condition looks no further. */
    assert_int_equal(
        expr_eval(compiled("true or level / (level - 7) > 0", false), &e, &v), EXPR_OK);
    e.v[LEVEL].num = INT64_MIN;
    assert_int_equal(expr_eval(compiled("-level", false), &e, &v), EXPR_RANGE);
    assert_int_equal(expr_eval(compiled("level / -1", false), &e, &v), EXPR_RANGE);
    assert_int_equal(expr_eval(compiled("level - 1", false), &e, &v), EXPR_RANGE);
    /* Comparing needs no common scale that fits. */
    assert_int_equal(expr_eval(compiled("level < 0.000000000000000001", false), &e, &v), EXPR_OK);
    assert_int_equal(v.num, 1);
}

static void test_absent(void **state)
{
    static const char *const cases[] = {"level + 1", "-level", "delivered - placed", "level"};
    struct event e = event();
    struct field_value v;
    (void)state;
    e.v[LEVEL].present = e.v[DELIVERED].present = false;
    assert_int_equal(expr_eval(compiled("if(flag, level, 1)", false), &e, &v), EXPR_ABSENT);
    assert_int_equal(expr_eval(compiled("if(not flag, level, 1)", false), &e, &v), EXPR_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(expr_eval(compiled(cases[i], false), &e, &v), EXPR_ABSENT);
}

static void test_minimum(void **state)
{
    static const struct {
        const char *text;
        int64_t min; /* INT64_MAX: not known */
    } cases[] = {
        {"level", 0},
        {"amount", 100},
        {"ratio", INT64_MAX},
        {"level + amount", 100},
        {"level - 3", -3},
        {"level - celsius", INT64_MAX},
        {"celsius + 40", 0},
        {"3 - level", -997},
        {"3 - amount", INT64_MAX},
        {"-level", -1000},
        {"level * amount", 0},
        {"level * level", 0},
        {"level * -2", -2000},
        {"ratio * ratio", INT64_MAX},
        {"amount / 3", 0},
        {"celsius / 3", INT64_MAX},
        {"3 / ratio", INT64_MAX},
        {"delivered - placed", INT64_MAX},
        {"2.5", 25},
        {"if(flag, level, 5)", 0},
        {"if(flag, -level, 5)", -1000},
        {"if(flag, level, amount)", 0},
        {"if(flag, level, ratio)", INT64_MAX},
        {"level * 100000000000000000 * 100000000000000000", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t min = INT64_MAX;
        bool known = expr_min(compiled(cases[i].text, false), &min);
        if (known != (cases[i].min != INT64_MAX) || min != cases[i].min)
            fail_msg("%s: %lld", cases[i].text, (long long)min);
    }
}

static void test_errors(void **state)
{
    static const struct {
        const char *text;
        int col; /* of the text's first byte: 1 */
        const char *want;
    } cases[] = {
        {"", 1, "expected a field, a number or a string, not the end"},
        {"typ == \"level\"", 1, "unknown field 'typ', did you mean 'type'?"},
        {"level > 0 and zzz", 15, "unknown field 'zzz' in stream 'fridges'"},
        {"type == \"levle\"", 9,
            "'type' is never \"levle\" by its contract, did you mean \"level\"?"},
        {"\"x\" != type", 1, "'type' is never \"x\" by its contract: see its allowed values"},
        {"type in [\"sold\", \"solt\"]", 18,
            "'type' is never \"solt\" by its contract, did you mean \"sold\"?"},
        {"type = \"level\"", 6, "'=' is not an operator here: use '==' to compare"},
        {"flag && flag", 6, "'&&' is not an operator here: use 'and'"},
        {"flag || flag", 6, "'||' is not an operator here: use 'or'"},
        {"!flag", 1, "'!' is not an operator here: use 'not'"},
        {"market =~ \"a\"", 8, "there are no regular expressions here: use '==' or 'in [...]'"},
        {"level == \"7\"", 7, "cannot compare a number with a string"},
        {"placed > 7", 8, "cannot compare a time with a number"},
        {"type < \"z\"", 6, "a string has no order: use '==', '!=' or 'in'"},
        {"flag < true", 6, "a condition has no order: use '==', '!=' or 'in'"},
        {"level + type", 9, "'+' needs a number, this is a string"},
        {"flag * 2", 1, "'*' needs a number, this is a condition"},
        {"placed + 60", 1, "a time can only be compared, or subtracted from a time"},
        {"level - placed", 9, "a time can only be compared, or subtracted from a time"},
        {"-type", 2, "'-' needs a number, this is a string"},
        {"level and flag", 1, "'and' needs a condition, this is a number"},
        {"flag or type", 9, "'or' needs a condition, this is a string"},
        {"not level", 5, "'not' needs a condition, this is a number"},
        {"1 < level < 5", 11, "comparisons do not chain: join them with 'and'"},
        {"(level", 7, "expected ')'"},
        {"level)", 6, "unexpected ')' behind the expression"},
        {"level 5", 7, "unexpected '5' behind the expression"},
        {"level +", 8, "expected a field, a number or a string, not the end"},
        {"level + * 2", 9, "expected a field, a number or a string, not '*'"},
        {"type in \"level\"", 9, "expected '[' and a list behind 'in'"},
        {"type in []", 10, "expected a string or a number in the list"},
        {"type in [market]", 10, "expected a string or a number in the list"},
        {"type in [-\"x\"]", 10, "expected a string or a number in the list"},
        {"type in [5]", 10, "the list holds a number, the left side is a string"},
        {"level in [5, 0.5]", 14, "the left side has 0 digits and is never this number"},
        {"type in [\"sold\"", 16, "expected ',' or ']'"},
        {"flag in [1]", 1, "'in' needs a string or a number, this is a condition"},
        {"type not \"x\"", 10, "expected 'in' behind 'not'"},
        {"type == \"lev", 9, "the closing quote is missing"},
        {"`odd-name", 1, "the closing backquote is missing"},
        {"market == \"a\\n\"", 13, "only quotes and backslashes are escaped with a backslash"},
        {"level > 1e5", 9, "a number has at most 18 digits and no exponent"},
        {"level > 1234567890123456789", 9, "a number has at most 18 digits and no exponent"},
        {"level > 01", 9, "not a number: write 5, 0.25"},
        {"level > 5x", 9, "not a number: write 5, 0.25"},
        {"level > .5", 9, "unexpected character"},
        {"level ? 5", 7, "unexpected character"},
        {"if(level, 1, 2)", 4, "'if' needs a condition, this is a number"},
        {"if(flag, 1, type)", 13, "both sides of 'if' must be of one type: a number, and a string"},
        {"if flag", 4, "expected '('"},
        {"if(flag, 1)", 11, "expected ','"},
        {"if(flag, 1, 2", 14, "expected ')'"},
        {"level.x > 1", 1, "unknown field 'level.x', did you mean 'level'?"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct expr *expr;
        struct err err = {0};
        if (expr_compile(slice_from(cases[i].text), &contract, false, "larder.yml", 7, 21, &arena,
                &expr, &err))
            fail_msg("%s compiles", cases[i].text);
        assert_int_equal(err.code, ERR_INVALID);
        assert_string_equal(err.file, "larder.yml");
        if (strcmp(err.text, cases[i].want) != 0 || err.line != 7 || err.col != 20 + cases[i].col)
            fail_msg("%s: %d: %s", cases[i].text, err.col - 20, err.text);
    }
}

static void test_labels(void **state)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"customer", "'customer' is never a label: it is personal data"},
        {"customer == \"x\"", "'customer' is never a label: it is personal data"},
        {"event_id", "'event_id' is never a label: it is the event id, new for every event"},
        {"order_id", "'order_id' is never a label: it is unbounded"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct expr *expr;
        struct err err = {0};
        assert_false(expr_compile(
            slice_from(cases[i].text), &contract, true, NULL, 0, 0, &arena, &expr, &err));
        assert_string_equal(err.text, cases[i].want);
        assert_non_null(compiled(cases[i].text, false));
    }
    assert_int_equal(expr_field(compiled("market", true)), MARKET);
    assert_int_equal(expr_field(compiled("(market)", true)), MARKET);
    assert_int_equal(expr_field(compiled("level > 5", true)), -1);
}

static void test_bounds(void **state)
{
    char text[EXPR_BYTES_MAX + 2];
    struct err err = {0};
    const struct expr *expr;
    (void)state;
    static const char *const openings[] = {"(", "-", "not ", "1+(", "flag or (not "};
    for (size_t k = 0; k < sizeof openings / sizeof *openings; k++) {
        text[0] = 0;
        while (strlen(text) + strlen(openings[k]) < sizeof text - 8)
            strcat(text, openings[k]);
        assert_false(
            expr_compile(slice_from(text), &contract, false, NULL, 1, 1, &arena, &expr, &err));
        assert_string_equal(err.text, "the expression is nested too deeply: at most 64 levels");
    }
    /* A chain makes a deep tree without deep parsing. */
    strcpy(text, "1");
    for (int i = 0; i < EXPR_DEPTH_MAX - 1; i++)
        strcat(text, "+1");
    assert_true(expr_compile(slice_from(text), &contract, false, NULL, 1, 1, &arena, &expr, &err));
    strcat(text, "+1");
    assert_false(expr_compile(slice_from(text), &contract, false, NULL, 1, 1, &arena, &expr, &err));
    /* Nor is a string longer than a field's. */
    for (int extra = 0; extra < 2; extra++) {
        memset(text, 'x', sizeof text);
        text[0] = text[FIELD_STRING_MAX + 1 + extra] = '"';
        text[FIELD_STRING_MAX + 2 + extra] = 0;
        bool fits =
            expr_compile(slice_from(text), &contract, true, NULL, 1, 1, &arena, &expr, &err);
        assert_int_equal(fits, !extra);
    }
    assert_string_equal(err.text, "a string has at most 1024 bytes");
    memset(text, ' ', sizeof text);
    assert_false(expr_compile(
        slice_of(text, sizeof text), &contract, false, NULL, 1, 1, &arena, &expr, &err));
    assert_string_equal(err.text, "the expression is too long: at most 4096 bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_out_of_range),
        cmocka_unit_test(test_absent),
        cmocka_unit_test(test_minimum),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
