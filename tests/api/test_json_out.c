#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <math.h>

#include "api/json_out.h"

static void assert_text(struct buf *out, const char *want)
{
    assert_string_equal(buf_cstr(out), want);
    buf_fini(out);
}

static void assert_string(struct slice in, const char *want)
{
    struct buf out;
    buf_init(&out, 0);
    json_out_string(&out, in);
    assert_text(&out, want);
}

static void test_strings(void **state)
{
    (void)state;
    assert_string(SLICE(""), "\"\"");
    assert_string(SLICE("a\"b\\c\n\r\t\x01\x7f/"), "\"a\\\"b\\\\c\\n\\r\\t\\u0001\\u007f/\"");
    assert_string(SLICE("a\0b"), "\"a\\u0000b\"");
    assert_string(SLICE("Zürich €\xf0\x9f\x8d\x95"), "\"Zürich €\xf0\x9f\x8d\x95\"");
    /* Broken: a lone continuation, overlong, a surrogate, past the end of Unicode, cut off. */
    assert_string(SLICE("\x80"), "\"\xef\xbf\xbd\"");
    assert_string(SLICE("\xc0\xaf"), "\"\xef\xbf\xbd\xef\xbf\xbd\"");
    assert_string(SLICE("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    assert_string(
        SLICE("\xf4\x90\x80\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    assert_string(SLICE("\xff\xfe"), "\"\xef\xbf\xbd\xef\xbf\xbd\"");
    assert_string(SLICE("a\xe2\x82"), "\"a\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void test_times(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *want;
    } cases[] = {{0, "0"}, {1435781451781, "1435781451.781"}, {1500, "1.500"}, {1005, "1.005"},
        {1050, "1.050"}, {-1, "-0.001"}, {-1500, "-1.500"}, {60000, "60"},
        {INT64_MIN, "-9223372036854775.808"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out;
        buf_init(&out, 0);
        json_out_time(&out, cases[i].ms);
        assert_text(&out, cases[i].want);
    }
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        double v;
        const char *want;
    } cases[] = {{1, "\"1\""}, {-0.5, "\"-0.5\""}, {NAN, "\"NaN\""}, {INFINITY, "\"+Inf\""},
        {-INFINITY, "\"-Inf\""}, {1e21, "\"1e+21\""}, {1e20, "\"100000000000000000000\""},
        {1e-7, "\"1e-07\""}, {1e-6, "\"0.000001\""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out;
        buf_init(&out, 0);
        json_out_number(&out, cases[i].v);
        assert_text(&out, cases[i].want);
    }
}

static struct labels two_labels(void)
{
    static const struct label items[] = {{{"__name__", 8}, {"up", 2}}, {{"job", 3}, {"x\"y", 3}}};
    return (struct labels){items, 2};
}

static void assert_value(const struct value *value, size_t limit, const char *want)
{
    struct buf out;
    buf_init(&out, 0);
    json_out_value(&out, value, limit, NULL);
    json_error_t error;
    json_t *parsed = json_loadb(out.ptr, out.len, 0, &error);
    assert_non_null(parsed);
    json_decref(parsed);
    assert_text(&out, want);
}

static void test_values(void **state)
{
    (void)state;
    struct point points[] = {{.t_ms = 1500, .v = 2}, {.t_ms = 2000, .v = NAN}};
    struct series series[] = {
        {.labels = two_labels(), .points = points, .n = 2}, {.points = points, .n = 1}};
    struct value matrix = {.type = VALUE_MATRIX, .series = series, .n = 2};
    assert_value(&matrix, SIZE_MAX,
        "{\"resultType\":\"matrix\",\"result\":[{\"metric\":{\"__name__\":\"up\",\"job\":"
        "\"x\\\"y\"},"
        "\"values\":[[1.500,\"2\"],[2,\"NaN\"]]},{\"metric\":{},\"values\":[[1.500,\"2\"]]}]}");
    struct value vector = {.type = VALUE_VECTOR, .series = series + 1, .n = 1};
    assert_value(&vector, SIZE_MAX,
        "{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"value\":[1.500,\"2\"]}]}");
    assert_value(&vector, 0, "{\"resultType\":\"vector\",\"result\":[]}");
    struct point tiny = {.t_ms = 4000, .v = -1e-7};
    struct series one = {.points = &tiny, .n = 1};
    struct value scalar = {.type = VALUE_SCALAR, .series = &one, .n = 1, .t_ms = 4000};
    assert_value(&scalar, SIZE_MAX, "{\"resultType\":\"scalar\",\"result\":[4,\"-0.0000001\"]}");
    struct value string = {.type = VALUE_STRING, .string = SLICE("a\n"), .t_ms = 4000};
    assert_value(&string, SIZE_MAX, "{\"resultType\":\"string\",\"result\":[4,\"a\\n\"]}");
}

/* The wanted texts follow Prometheus' marshalHistogram and its AllBucketIterator. */
static void test_exponential_histogram(void **state)
{
    (void)state;
    struct hist_fbucket positive[] = {{-2, 1}, {1, 2}, {2, 0}, {3, 4}},
                        negative[] = {{1, 5}, {2, 6}};
    struct hist h = {.schema = 0,
        .zero_threshold = 0.25,
        .zero_count = 3,
        .count = 21,
        .sum = 12.5,
        .n_positive = 4,
        .positive = positive,
        .n_negative = 2,
        .negative = negative};
    struct buf out;
    buf_init(&out, 0);
    json_out_histogram(&out, &h);
    assert_text(&out,
        "{\"count\":\"21\",\"sum\":\"12.5\",\"buckets\":[[1,\"-4\",\"-2\",\"6\"],[1,\"-2\",\"-1\","
        "\"5\"],"
        "[3,\"-0.25\",\"0.25\",\"3\"],[0,\"0.25\",\"0.25\",\"1\"],[0,\"1\",\"2\",\"2\"],"
        "[0,\"4\",\"8\",\"4\"]]}");
    struct hist empty = {.schema = 3};
    json_out_histogram(&out, &empty);
    assert_text(&out, "{\"count\":\"0\",\"sum\":\"0\"}");
}

static void test_custom_histogram(void **state)
{
    (void)state;
    static const double custom[] = {1, 5};
    struct hist_fbucket positive[] = {{0, 1}, {1, 2}, {2, 3}};
    struct hist h = {.schema = HIST_SCHEMA_CUSTOM,
        .count = 6,
        .sum = 20,
        .n_positive = 3,
        .positive = positive,
        .n_bounds = 2,
        .bounds = custom};
    struct buf out;
    buf_init(&out, 0);
    json_out_histogram(&out, &h);
    assert_text(&out, "{\"count\":\"6\",\"sum\":\"20\",\"buckets\":[[3,\"-Inf\",\"1\",\"1\"],"
                      "[0,\"1\",\"5\",\"2\"],[0,\"5\",\"+Inf\",\"3\"]]}");
}

static void test_histogram_points(void **state)
{
    (void)state;
    struct hist h = {.count = 1, .sum = 2};
    struct point points[] = {{.t_ms = 1000, .v = 7}, {.t_ms = 2000, .h = &h}};
    struct series mixed = {.points = points, .n = 2}, only = {.points = points + 1, .n = 1};
    struct value matrix = {.type = VALUE_MATRIX, .series = &mixed, .n = 1};
    assert_value(&matrix, SIZE_MAX,
        "{\"resultType\":\"matrix\",\"result\":[{\"metric\":{},\"values\":[[1,\"7\"]],"
        "\"histograms\":[[2,{\"count\":\"1\",\"sum\":\"2\"}]]}]}");
    struct value vector = {.type = VALUE_VECTOR, .series = &only, .n = 1};
    assert_value(&vector, SIZE_MAX,
        "{\"resultType\":\"vector\",\"result\":[{\"metric\":{},"
        "\"histogram\":[2,{\"count\":\"1\",\"sum\":\"2\"}]}]}");
}

static void test_envelope(void **state)
{
    (void)state;
    const char *texts[12];
    for (size_t i = 0; i < 12; i++)
        texts[i] = "w";
    struct notes notes = {.warnings = texts, .n_warnings = 12, .infos = texts, .n_infos = 1};
    struct buf out;
    buf_init(&out, 0);
    json_out_begin(&out);
    buf_str(&out, "[]");
    json_out_end(&out, &notes, true);
    assert_text(&out, "{\"status\":\"success\",\"data\":[],\"warnings\":[\"w\",\"w\",\"w\",\"w\","
                      "\"w\",\"w\",\"w\","
                      "\"w\",\"w\",\"w\",\"2 more warning annotations omitted\",\"results "
                      "truncated due to limit\"],"
                      "\"infos\":[\"w\"]}");
    json_out_begin(&out);
    buf_str(&out, "{}");
    json_out_end(&out, NULL, false);
    assert_text(&out, "{\"status\":\"success\",\"data\":{}}");
    json_out_error(&out, "bad_data", SLICE("a \"b\""));
    assert_text(
        &out, "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"a \\\"b\\\"\"}");
}

/* Past the limit the writers stop and say so; they do not write behind it. */
static void test_limit(void **state)
{
    (void)state;
    struct point points[100];
    for (size_t i = 0; i < 100; i++)
        points[i] = (struct point){.t_ms = (int64_t)i, .v = 1};
    struct series series = {.labels = two_labels(), .points = points, .n = 100};
    struct value matrix = {.type = VALUE_MATRIX, .series = &series, .n = 1};
    for (size_t limit = 1; limit < 600; limit += 7) {
        struct buf out;
        buf_init(&out, limit);
        json_out_value(&out, &matrix, SIZE_MAX, NULL);
        assert_true(out.failed);
        assert_true(out.len <= limit);
        buf_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_exponential_histogram),
        cmocka_unit_test(test_custom_histogram),
        cmocka_unit_test(test_histogram_points),
        cmocka_unit_test(test_envelope),
        cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests_name("json_out", tests, NULL, NULL);
}
