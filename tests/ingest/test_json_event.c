/* The scanner by tables of good and bad events. */
#include "tests/ingest/json_fixture.h"

#include <stdio.h>

/* An event with one more field, given as a member: "\"n\":5". */
static enum refusal decode_with(struct fixture *f, const char *member)
{
    char *text;
    assert_true(asprintf(&text, "{\"id\":\"e1\",\"at\":\"2026-11-21T10:00:00Z\",%s}", member) > 0);
    enum refusal r = decode_text(f, text);
    free(text);
    return r;
}

static void test_whole_event(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        decode_text(f,
            " {\"note\":null,\"id\" : \"e1\",\"other\":{\"a\":[1,{\"b\":[]}],\"c\":{}},\"type\":"
            "\"delivered\",\n\"at\":1795255200000,\"n\":-5,\"amount\":48.95,\"flag\":true,"
            "\"a_rather_long_name_2\":\"x\"}\t\r\n"),
        REFUSED_NOT);
    const struct event *e = &f->event;
    assert_int_equal(f->field, -1);
    assert_ptr_equal(e->contract, &contract);
    assert_true(slice_is(e->v[ID].str, "e1"));
    assert_true(slice_is(e->v[TYPE].str, "delivered"));
    assert_int_equal(e->time_ms, 1795255200000);
    assert_int_equal(e->v[N].num, -5);
    assert_int_equal(e->v[AMOUNT].num, 4895);
    assert_int_equal(e->v[FLAG].num, 1);
    assert_true(slice_is(e->v[LONG_2].str, "x"));
    assert_true(e->v[FLAG].present && e->v[LONG_2].present);
    assert_false(e->v[NOTE].present || e->v[LONG_1].present || e->v[BIG].present);
}

/* id and at are there; the member decides. */
static void test_members(void **state)
{
    static const struct {
        const char *member;
        enum refusal refusal;
        int field;
    } cases[] = {
        {"\"n\":1000", REFUSED_NOT, -1},
        {"\"n\":1001", REFUSED_RANGE, N},
        {"\"n\":-6", REFUSED_RANGE, N},
        {"\"n\":3.0", REFUSED_NOT, -1},
        {"\"n\":30e-1", REFUSED_NOT, -1},
        {"\"n\":3.5", REFUSED_TYPE, N},
        {"\"n\":1e-400", REFUSED_TYPE, N},
        {"\"n\":\"3\"", REFUSED_TYPE, N},
        {"\"n\":true", REFUSED_TYPE, N},
        {"\"n\":[1]", REFUSED_TYPE, N},
        {"\"n\":{}", REFUSED_TYPE, N},
        {"\"n\":null", REFUSED_NOT, -1},
        {"\"n\":01", REFUSED_MALFORMED, -1},
        {"\"n\":-", REFUSED_MALFORMED, -1},
        {"\"n\":1.", REFUSED_MALFORMED, -1},
        {"\"n\":.5", REFUSED_MALFORMED, -1},
        {"\"n\":+1", REFUSED_MALFORMED, -1},
        {"\"n\":1e", REFUSED_MALFORMED, -1},
        {"\"n\":1e+", REFUSED_MALFORMED, -1},
        {"\"n\":0x10", REFUSED_MALFORMED, -1},
        {"\"n\":NaN", REFUSED_MALFORMED, -1},
        {"\"n\":Infinity", REFUSED_MALFORMED, -1},
        {"\"n\":-inf", REFUSED_MALFORMED, -1},
        {"\"n\":nul", REFUSED_MALFORMED, -1},
        {"\"n\":1,\"n\":1", REFUSED_MALFORMED, N},
        {"\"n\":null,\"n\":1", REFUSED_MALFORMED, N},
        {"\"n\":1,\"\\u006e\":1", REFUSED_MALFORMED, N},
        {"\"at\":5", REFUSED_MALFORMED, AT},
        {"\"big\":9223372036854775807", REFUSED_NOT, -1},
        {"\"big\":9223372036854775808", REFUSED_RANGE, BIG},
        {"\"big\":-9223372036854775808", REFUSED_NOT, -1},
        {"\"big\":-9223372036854775809", REFUSED_RANGE, BIG},
        {"\"big\":1e400", REFUSED_RANGE, BIG},
        {"\"big\":1e99999999999999999999", REFUSED_RANGE, BIG},
        {"\"type\":\"placed\"", REFUSED_NOT, -1},
        {"\"type\":\"out for delivery\"", REFUSED_NOT, -1},
        {"\"type\":\"\"", REFUSED_NOT, -1},
        {"\"type\":\"plac\\u0065d\"", REFUSED_NOT, -1},
        {"\"type\":\"lost\"", REFUSED_NOT_ALLOWED, TYPE},
        {"\"type\":\"plac\\u0065e\"", REFUSED_NOT_ALLOWED, TYPE},
        {"\"type\":7", REFUSED_TYPE, TYPE},
        {"\"flag\":false", REFUSED_NOT, -1},
        {"\"flag\":0", REFUSED_TYPE, FLAG},
        {"\"flag\":\"true\"", REFUSED_TYPE, FLAG},
        {"\"note\":false", REFUSED_TYPE, NOTE},
        {"\"note\":\"\\ud83d\\ude00\"", REFUSED_NOT, -1},
        {"\"note\":\"\\ud83d\"", REFUSED_MALFORMED, -1},
        {"\"note\":\"\\ude00\"", REFUSED_MALFORMED, -1},
        {"\"other\":\"\\ude00\"", REFUSED_MALFORMED, -1},
        {"\"note\":\"\\x41\"", REFUSED_MALFORMED, -1},
        {"\"note\":\"a\tb\"", REFUSED_MALFORMED, -1},
        {"\"note\":\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"", REFUSED_NOT, -1},
        {"\"note\":\"\xc0\x80\"", REFUSED_MALFORMED, -1},
        {"\"note\":\"\xed\xa0\x80\"", REFUSED_MALFORMED, -1},
        {"\"note\":\"\xf4\x90\x80\x80\"", REFUSED_MALFORMED, -1},
        {"\"other\":\"\xff\"", REFUSED_MALFORMED, -1},
        {"\"\":1", REFUSED_NOT, -1},
        {"\"\":1,\"\":2", REFUSED_NOT, -1},
        {"\"other\":[1,2,]", REFUSED_MALFORMED, -1},
        {"\"other\":{\"a\"}", REFUSED_MALFORMED, -1},
        {"\"other\":{\"a\":1,}", REFUSED_MALFORMED, -1},
        {"\"other\":[}", REFUSED_MALFORMED, -1},
        {"other:1", REFUSED_MALFORMED, -1},
        {"\"other\":1,", REFUSED_MALFORMED, -1},
        {"\"other\"", REFUSED_MALFORMED, -1},
        {"'other':1", REFUSED_MALFORMED, -1},
        {"\"other\":1 /* no */", REFUSED_MALFORMED, -1},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum refusal r = decode_with(f, cases[i].member);
        if (r != cases[i].refusal || f->field != cases[i].field)
            fail_msg("%s: %s, field %d", cases[i].member, refusal_name(r), f->field);
    }
}

static void test_messages(void **state)
{
    static const char *const malformed[] = {"", " ", "{", "}", "[]", "null", "\"id\"", "{}{}",
        "{\"id\":\"e\",\"at\":5}x", "{\"id\":\"e\",\"at\":5},",
        "\xef\xbb\xbf{\"id\":\"e\",\"at\":5}", "{\"id\":\"e\",\"at\":5",
        "{\"id\":\"e\",\"at\":", "{\"id\":\"e\",\"at", "{\"id\":\"e\",", "{,}", "{\"id\" \"e\"}",
        "{\"id\":\"e\"\"at\":5}"};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
        if (decode_text(f, malformed[i]) != REFUSED_MALFORMED)
            fail_msg("%s is not refused", malformed[i]);
    assert_int_equal(decode(f, "{\"id\":\"e\",\"at\":5}\0", 18), REFUSED_MALFORMED);
    assert_int_equal(decode_text(f, "{\"id\":\"e\",\"at\":5}"), REFUSED_NOT);
    assert_int_equal(decode_text(f, "{}"), REFUSED_MISSING);
    assert_int_equal(f->field, ID);
}

/* Every prefix of a good event is malformed. */
static void test_truncated(void **state)
{
    static const char text[] =
        "{\"id\":\"\\u00e9\",\"x\":[{\"y\":\"\xc3\xa9\"},1.5e3],\"at\":1795255200000,"
        "\"flag\":true}";
    struct fixture *f = *state;
    assert_int_equal(decode_text(f, text), REFUSED_NOT);
    for (size_t n = 0; n < sizeof text - 1; n++)
        assert_int_equal(decode(f, text, n), REFUSED_MALFORMED);
}

/* One reason for an event: the first of the enum, and of those the first field of the contract. */
static void test_precedence(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(decode_text(f, "{\"type\":\"lost\",\"n\":5000,\"amount\":\"x\",\"flag\":1}"),
        REFUSED_MISSING);
    assert_int_equal(f->field, ID);
    assert_int_equal(
        decode_with(f, "\"type\":\"lost\",\"n\":5000,\"flag\":1,\"amount\":\"x\""), REFUSED_TYPE);
    assert_int_equal(f->field, AMOUNT);
    assert_int_equal(decode_with(f, "\"big\":1e30,\"type\":\"lost\",\"n\":5000"), REFUSED_RANGE);
    assert_int_equal(f->field, N);
    assert_int_equal(decode_with(f, "\"type\":\"lost\""), REFUSED_NOT_ALLOWED);
    assert_int_equal(decode_with(f, "\"type\":\"lost\",\"n\":5000,\"flag\":1,\"amount\":\"x\",}"),
        REFUSED_MALFORMED);
    assert_int_equal(f->field, -1);
}

static void test_decimals(void **state)
{
    static const struct {
        const char *text;
        int64_t scaled;
    } cases[] = {
        {"48.95", 4895},
        {"48.955", 4896},
        {"48.945", 4894},
        {"48.9450000000000000000000001", 4895},
        {"-48.945", -4894},
        {"-48.955", -4896},
        {"0.005", 0},
        {"0.015", 2},
        {"0.0051", 1},
        {"-0", 0},
        {"-0.0", 0},
        {"0e9", 0},
        {"0.001e3", 100},
        {"4895e-2", 4895},
        {"4.895E+1", 4895},
        {"0.00000000000000000000000000000000001", 0},
        {"1e-99999999999", 0},
        {"1e16", 1000000000000000000},
        {"92233720368547758.07", INT64_MAX},
        {"-92233720368547758.08", INT64_MIN},
        {"92233720368547758.0749999", INT64_MAX},
        {"123456789012345678", -1},
        {"1e17", -1},
        {"92233720368547758.075", -1},
        {"-92233720368547758.085", INT64_MIN},
        {"-92233720368547758.0851", -1},
        {"0.004999999999999999999999999", 0},
        {"0.5e-2", 0},
        {"1.5e-2", 2},
        {"12345678901234567.891", 1234567890123456789},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char member[128];
        snprintf(member, sizeof member, "\"amount\":%s", cases[i].text);
        enum refusal r = decode_with(f, member);
        bool out = cases[i].scaled == -1;
        if (r != (out ? REFUSED_RANGE : REFUSED_NOT) ||
            (!out && f->event.v[AMOUNT].num != cases[i].scaled))
            fail_msg(
                "%s: %s %lld", cases[i].text, refusal_name(r), (long long)f->event.v[AMOUNT].num);
    }
}

static void test_strings(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        decode_with(f, "\"note\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u20ac\\ud83d\\ude00\\u0000!\""),
        REFUSED_NOT);
    struct slice want = SLICE("\"\\/\b\f\n\r\t\xe2\x82\xac\xf0\x9f\x98\x80\0!");
    assert_true(slice_eq(f->event.v[NOTE].str, want));
    assert_int_equal(decode_with(f, "\"\\u006eote\":\"x\""), REFUSED_NOT);
    assert_true(slice_is(f->event.v[NOTE].str, "x"));
    char member[3 * FIELD_STRING_MAX];
    for (int escape = 0; escape < 2; escape++)
        for (int extra = 0; extra < 2; extra++) {
            int n = snprintf(member, sizeof member, "\"note\":\"%s", escape ? "\\n" : "y");
            memset(member + n, 'x', FIELD_STRING_MAX);
            strcpy(member + n + FIELD_STRING_MAX - 1 + extra, "\"");
            assert_int_equal(decode_with(f, member), extra ? REFUSED_RANGE : REFUSED_NOT);
        }
    assert_int_equal(decode_with(f, "\"a_rather_long_name_1\":\"1\",\"a_rather_long_name_2\":\"2\","
                                    "\"a_rather_long_name_3\":3"),
        REFUSED_NOT);
    assert_true(slice_is(f->event.v[LONG_1].str, "1"));
    assert_true(slice_is(f->event.v[LONG_2].str, "2"));
}

static void test_depth_and_size(void **state)
{
    struct fixture *f = *state;
    char member[256];
    for (int levels = JSON_DEPTH_MAX - 2; levels <= JSON_DEPTH_MAX; levels++) {
        for (int object = 0; object < 2; object++) {
            char *p = member + sprintf(member, "\"other\":");
            for (int i = 0; i < levels; i++)
                p += sprintf(p, object ? "{\"k\":" : "[");
            p += sprintf(p, "1");
            for (int i = 0; i < levels; i++)
                *p++ = object ? '}' : ']';
            *p = 0;
            assert_int_equal(
                decode_with(f, member), levels < JSON_DEPTH_MAX ? REFUSED_NOT : REFUSED_MALFORMED);
        }
    }
    size_t len = EVENT_BYTES_MAX + 1;
    char *big = malloc(len);
    memset(big, ' ', len);
    memcpy(big, "{\"id\":\"e\",\"at\":5}", 17);
    assert_int_equal(decode(f, big, len - 1), REFUSED_NOT);
    assert_int_equal(decode(f, big, len), REFUSED_MALFORMED);
    memset(big, '[', len);
    assert_int_equal(decode(f, big, len - 1), REFUSED_MALFORMED);
    free(big);
}

/* Many escaped keys and values that nobody keeps cost no scratch. */
static void test_scratch_is_bounded(void **state)
{
    struct fixture *f = *state;
    char *big = malloc(EVENT_BYTES_MAX), *p = big + sprintf(big, "{\"id\":\"e\",\"at\":5");
    for (int i = 0; i < 20000; i++)
        p += sprintf(p, ",\"\\u0061%d\":\"\\u0062\"", i);
    *p++ = '}';
    assert_int_equal(decode(f, big, (size_t)(p - big)), REFUSED_NOT);
    assert_true(f->scratch.used_bytes < (64u << 10));
    free(big);
}

static void test_times(void **state)
{
    static const struct {
        const char *json;
        int64_t ms;
        enum refusal refusal;
    } cases[] = {
        {"\"2026-11-21T10:00:00Z\"", 1795255200000, REFUSED_NOT},
        {"\"2026-11-21t10:00:00z\"", 1795255200000, REFUSED_NOT},
        {"\"2026-11-21T11:30:00.0019999+01:30\"", 1795255200001, REFUSED_NOT},
        {"\"2026-11-20T22:00:00.5-12:00\"", 1795255200500, REFUSED_NOT},
        {"\"2016-12-31T23:59:60Z\"", 1483228799999, REFUSED_NOT},
        {"\"2016-12-31T15:59:60.123-08:00\"", 1483228799999, REFUSED_NOT},
        {"\"2017-01-01T00:59:60+01:00\"", 1483228799999, REFUSED_NOT},
        {"\"2016-12-31T22:59:60Z\"", 0, REFUSED_TYPE},
        {"\"2016-12-31T23:59:61Z\"", 0, REFUSED_TYPE},
        {"\"2016-12-31T23:59:60\"", 0, REFUSED_TYPE},
        {"\"2026-02-29T00:00:00Z\"", 0, REFUSED_TYPE},
        {"\"2024-02-29T00:00:00Z\"", 1709164800000, REFUSED_NOT},
        {"\"2026-11-21T10:00:00\"", 0, REFUSED_TYPE},
        {"\"2026-11-21 10:00:00Z\"", 0, REFUSED_TYPE},
        {"\"2026-11-21T10:00:00,5Z\"", 0, REFUSED_TYPE},
        {"\"2026-11-21T10:00:00.Z\"", 0, REFUSED_TYPE},
        {"\"1795255200000\"", 0, REFUSED_TYPE},
        {"\"\"", 0, REFUSED_TYPE},
        {"1795255200000", 1795255200000, REFUSED_NOT},
        {"1.7952552e12", 1795255200000, REFUSED_NOT},
        {"-1", -1, REFUSED_NOT},
        {"1.5", 0, REFUSED_TYPE},
        {"253402300799999", 253402300799999, REFUSED_NOT},
        {"253402300800000", 0, REFUSED_RANGE},
        {"-62167219200001", 0, REFUSED_RANGE},
        {"\"9999-12-31T23:59:59.999Z\"", 253402300799999, REFUSED_NOT},
        {"\"9999-12-31T23:59:59.999-00:01\"", 0, REFUSED_RANGE},
        {"\"0000-01-01T00:00:00Z\"", -62167219200000, REFUSED_NOT},
        {"\"0000-01-01T00:00:00+00:01\"", 0, REFUSED_RANGE},
        {"\"2016-12-31T23:59:60,5Z\"", 0, REFUSED_TYPE},
        {"true", 0, REFUSED_TYPE},
        {"null", 0, REFUSED_MISSING},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[128];
        snprintf(text, sizeof text, "{\"id\":\"e\",\"at\":%s}", cases[i].json);
        enum refusal r = decode_text(f, text);
        if (r != cases[i].refusal || (r == REFUSED_NOT && f->event.time_ms != cases[i].ms))
            fail_msg("%s: %s %lld", cases[i].json, refusal_name(r), (long long)f->event.time_ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_whole_event, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_members, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_messages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_truncated, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_precedence, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_decimals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_strings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_depth_and_size, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_scratch_is_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_times, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
