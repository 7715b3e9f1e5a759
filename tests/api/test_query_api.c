/* Queries and metadata, as Prometheus' API has them: answers, their limits, and errors. */
#include "tests/api/server_fixture.h"

/* ---- queries ---- */

static void test_scalars(void **state)
{
    struct fixture *f = *state;
    /* Grafana's health check. */
    form(f, "query", "1+1", "time", "4", NULL);
    ask(f, "/api/v1/query", 200,
        "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[4,\"2\"]}}");
    form(f, "query", "-0.0000001", "time", "1.5", "unknown", "x", NULL);
    ask(f, "/api/v1/query", 200,
        "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1.500,"
        "\"-0.0000001\"]}}");
    form(f, "query", "'a\"b'", "time", "1970-01-01T00:00:02Z", NULL);
    ask(f, "/api/v1/query", 200,
        "{\"status\":\"success\",\"data\":{\"resultType\":\"string\",\"result\":[2,\"a\\\"b\"]}}");
    form(f, "query", "vector(0/0)", "time", "4", NULL);
    ask(f, "/api/v1/query", 200,
        "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{},"
        "\"value\":[4,\"NaN\"]}]}}");
}

static void test_vectors(void **state)
{
    struct fixture *f = *state;
    form(f, "query", "up{job=~\"a.*\"}", "time", T0_TEXT, NULL);
    ask(f, "/api/v1/query", 200,
        "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":"
        "{\"__name__\":\"up\",\"job\":\"a\\\"\\n\xc3\xa9\"},\"value\":[1700000000,\"1.5\"]}]}}");
    form(f, "query", "no_such_metric", "time", T0_TEXT, NULL);
    ask(f, "/api/v1/query", 200,
        "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[]}}");
    form(f, "query", "increase(orders_total{market=\"ber\"}[5m])", "time", T0_TEXT, NULL);
    ask(f, "/api/v1/query", 200,
        "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":"
        "{\"market\":\"ber\"},\"value\":[1700000000,\"120\"]}]}}");
    form(f, "query", "sum(increase(orders_total[10m]))", "time", T0_TEXT, NULL);
    ask(f, "/api/v1/query", 200,
        "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{},"
        "\"value\":[1700000000,\"360\"]}]}}");
}

static void test_histogram(void **state)
{
    struct fixture *f = *state;
    form(f, "query", "increase(delay_seconds[5m])", "time", T0_TEXT, NULL);
    ask(f, "/api/v1/query", 200, NULL);
    assert_has(f, "\"histogram\":[1700000000,{\"count\":\"7\",\"sum\":\"25\",\"buckets\":"
                  "[[0,\"1\",\"2\",\"3\"],[0,\"4\",\"8\",\"4\"]]}]");
}

static void test_range(void **state)
{
    struct fixture *f = *state;
    form(f, "query", "up{job!=\"\"}", "start", "1699999970", "end", T0_TEXT, "step", "15", NULL);
    ask(f, "/api/v1/query_range", 200,
        "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[{\"metric\":"
        "{\"__name__\":\"up\",\"job\":\"a\\\"\\n\xc3\xa9\"},\"values\":[[1699999970,\"1.5\"],"
        "[1699999985,\"1.5\"],[1700000000,\"1.5\"]]}]}}");
    form(f, "query", "1", "start", "0", "end", "2", "step", "1s", NULL);
    ask(f, "/api/v1/query_range", 200,
        "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[{\"metric\":{},"
        "\"values\":[[0,\"1\"],[1,\"1\"],[2,\"1\"]]}]}}");
    form(f, "query", "nothing", "start", "0", "end", "11000", "step", "1", NULL);
    ask(f, "/api/v1/query_range", 200,
        "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[]}}");
}

static void test_limit_and_stats(void **state)
{
    struct fixture *f = *state;
    form(f, "query", "orders_total", "time", T0_TEXT, "limit", "1", NULL);
    ask(f, "/api/v1/query", 200, NULL);
    assert_has(f, "\"warnings\":[\"results truncated due to limit\"]");
    json_t *json = parsed(f);
    assert_int_equal(json_array_size(json_object_get(json_object_get(json, "data"), "result")), 1);
    json_decref(json);
    form(f, "query", "orders_total", "time", T0_TEXT, "limit", "2", "stats", "all", NULL);
    ask(f, "/api/v1/query", 200, NULL);
    assert_null(strstr(f->answer.ptr, "warnings"));
    static const char *const timings[] = {"evalTotalTime", "resultSortTime", "queryPreparationTime",
        "innerEvalTime", "execQueueTime", "execTotalTime"};
    json = parsed(f);
    const json_t *stats = json_object_get(json_object_get(json, "data"), "stats");
    const json_t *times = json_object_get(stats, "timings");
    for (size_t i = 0; i < 6; i++)
        assert_true(json_is_number(json_object_get(times, timings[i])));
    double eval = json_number_value(json_object_get(times, "evalTotalTime"));
    assert_true(eval > 0);
    assert_true(json_number_value(json_object_get(times, "execTotalTime")) > eval);
    const json_t *samples = json_object_get(stats, "samples");
    assert_true(json_integer_value(json_object_get(samples, "totalQueryableSamples")) > 0);
    assert_true(json_is_integer(json_object_get(samples, "peakSamples")));
    assert_int_equal(json_integer_value(json_object_get(stats, "series")), 2);
    json_decref(json);
}

/* An annotation of the engine arrives as an info, with its place in the query. */
static void test_infos(void **state)
{
    struct fixture *f = *state;
    form(f, "query", "rate(up[5m])", "time", T0_TEXT, NULL);
    ask(f, "/api/v1/query", 200, NULL);
    json_t *json = parsed(f);
    const char *info = json_string_value(json_array_get(json_object_get(json, "infos"), 0));
    assert_non_null(info);
    assert_non_null(strstr(info, "(1:6)"));
    json_decref(json);
}

static void assert_error(
    struct fixture *f, const char *path, int status, const char *type, const char *text)
{
    ask(f, path, status, NULL);
    json_t *json = parsed(f);
    const char *got = json_string_value(json_object_get(json, "error"));
    assert_string_equal(json_string_value(json_object_get(json, "status")), "error");
    assert_string_equal(json_string_value(json_object_get(json, "errorType")), type);
    if (!got || !strstr(got, text))
        fail_msg("%s: \"%s\" instead of \"%s\"", f->form.ptr, got, text);
    json_decref(json);
}

#define QUERY(...) (form(f, __VA_ARGS__, NULL), "/api/v1/query")
#define RANGE(...) (form(f, __VA_ARGS__, NULL), "/api/v1/query_range")

static void test_errors(void **state)
{
    struct fixture *f = *state;
    assert_error(f, QUERY("time", "1"), 400, "bad_data",
        "invalid parameter \"query\": unknown position: parse error: no expression found in input");
    assert_error(f, QUERY("query", "sum(", "time", "1"), 400, "bad_data",
        "invalid parameter \"query\": 1:5: parse error: ");
    assert_error(f, QUERY("query", "up", "time", "foo"), 400, "bad_data",
        "invalid parameter \"time\": cannot parse \"foo\" to a valid timestamp");
    assert_error(f, QUERY("query", "up", "timeout", "foo"), 400, "bad_data",
        "invalid parameter \"timeout\": cannot parse \"foo\" to a valid duration");
    assert_error(f, QUERY("query", "up", "limit", "-1"), 400, "bad_data",
        "invalid parameter \"limit\": limit must be non-negative");
    assert_error(f, QUERY("query", "\xff{"), 400, "bad_data", "invalid parameter \"query\": 1:1");
    assert_error(
        f, QUERY("query", "up + on(x) orders_total", "time", T0_TEXT), 422, "execution", "m");
    assert_error(f, RANGE("query", "up", "end", "2", "step", "1"), 400, "bad_data",
        "invalid parameter \"start\": cannot parse \"\" to a valid timestamp");
    assert_error(f, RANGE("query", "up", "start", "3", "end", "2", "step", "1"), 400, "bad_data",
        "invalid parameter \"end\": end timestamp must not be before start time");
    assert_error(f, RANGE("query", "up", "start", "1", "end", "2", "step", "0"), 400, "bad_data",
        "invalid parameter \"step\": zero or negative query resolution step widths are not "
        "accepted. "
        "Try a positive integer");
    assert_error(f, RANGE("query", "up", "start", "1", "end", "2", "step", "-1"), 400, "bad_data",
        "zero or negative query resolution");
    assert_error(f, RANGE("query", "up", "start", "1", "end", "2"), 400, "bad_data",
        "invalid parameter \"step\": cannot parse \"\" to a valid duration");
    assert_error(f, RANGE("query", "up", "start", "0", "end", "11001", "step", "1"), 400,
        "bad_data",
        "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query "
        "resolution (?step=XX)");
    assert_error(f, RANGE("query", "up[5m]", "start", "0", "end", "1", "step", "1"), 400,
        "bad_data",
        "invalid expression type \"range vector\" for range query, must be Scalar or instant "
        "Vector");
}

static void test_timeout(void **state)
{
    struct fixture *f = *state;
    assert_error(
        f, QUERY("query", "sum(up)", "time", T0_TEXT, "timeout", "-1"), 503, "timeout", "time");
}

static void test_format(void **state)
{
    struct fixture *f = *state;
    form(f, "query", "sum  by(a)(x{b='1'})", NULL);
    ask(f, "/api/v1/format_query", 200,
        "{\"status\":\"success\",\"data\":\"sum by (a) (x{b=\\\"1\\\"})\"}");
    form(f, "query", "sum(", NULL);
    ask(f, "/api/v1/format_query", 400, NULL);
    /* Grafana's probe when a data source is set up. */
    get(f, "/api/v1/query_exemplars?query=test&start=1700000000000&end=1700000001000", 200,
        "{\"status\":\"success\",\"data\":[]}");
}

/* ---- metadata ---- */

static void test_labels(void **state)
{
    struct fixture *f = *state;
    form(f, NULL);
    ask(f, "/api/v1/labels", 200,
        "{\"status\":\"success\",\"data\":[\"__name__\",\"a.b\",\"job\",\"market\"]}");
    form(f, "match[]", "up", "match[]", "delay_seconds", "limit", "2", NULL);
    ask(f, "/api/v1/labels", 200,
        "{\"status\":\"success\",\"data\":[\"__name__\",\"a.b\"],\"warnings\":[\"results truncated "
        "due to limit\"]}");
    form(f, "match[]", "nothing", NULL);
    ask(f, "/api/v1/labels", 200, "{\"status\":\"success\",\"data\":[]}");
    form(f, "match[]", "{", NULL);
    ask(f, "/api/v1/labels", 400, NULL);
    assert_has(f, "invalid parameter \\\"match[]\\\": 1:2: parse error: ");
}

static void test_label_values(void **state)
{
    struct fixture *f = *state;
    get(f, "/api/v1/label/market/values", 200,
        "{\"status\":\"success\",\"data\":[\"ber\",\"zrh\"]}");
    get(f, "/api/v1/label/__name__/values", 200,
        "{\"status\":\"success\",\"data\":[\"delay_seconds\",\"orders_open\",\"orders_total\","
        "\"up\"]}");
    get(f, "/api/v1/label/market/values?match[]=delay_seconds", 200,
        "{\"status\":\"success\",\"data\":[\"zrh\"]}");
    get(f, "/api/v1/label/U__a_2e_b/values", 200, "{\"status\":\"success\",\"data\":[\"dotted\"]}");
    get(f, "/api/v1/label/a.b/values", 200, "{\"status\":\"success\",\"data\":[\"dotted\"]}");
    get(f, "/api/v1/label/none/values", 200, "{\"status\":\"success\",\"data\":[]}");
    get(f, "/api/v1/label/market/values?limit=1", 200,
        "{\"status\":\"success\",\"data\":[\"ber\"],\"warnings\":[\"results truncated due to "
        "limit\"]}");
    get(f, "/api/v1/label//values", 404, NULL);
    get(f, "/api/v1/label/a/b/values", 404, NULL);
    assert_int_equal(client_post(f->port, "/api/v1/label/market/values", "", &f->answer), 405);
}

static void test_series(void **state)
{
    struct fixture *f = *state;
    form(f, "match[]", "orders_total", "match[]", "{market=\"zrh\",__name__!=\"delay_seconds\"}",
        NULL);
    ask(f, "/api/v1/series", 200,
        "{\"status\":\"success\",\"data\":[{\"__name__\":\"orders_open\",\"market\":\"zrh\"},"
        "{\"__name__\":\"orders_total\",\"market\":\"ber\"},"
        "{\"__name__\":\"orders_total\",\"market\":\"zrh\"}]}");
    form(f, "match[]", "orders_total", "limit", "1", NULL);
    ask(f, "/api/v1/series", 200,
        "{\"status\":\"success\",\"data\":[{\"__name__\":\"orders_total\",\"market\":\"ber\"}],"
        "\"warnings\":[\"results truncated due to limit\"]}");
    form(f, "match[]", "nothing", NULL);
    ask(f, "/api/v1/series", 200, "{\"status\":\"success\",\"data\":[]}");
    form(f, "start", "0", NULL);
    ask(f, "/api/v1/series", 400, NULL);
    assert_has(f, "no match[] parameter provided");
    form(f, "match[]", "{a=~\".*\"}", NULL);
    ask(f, "/api/v1/series", 400, NULL);
}

/* Half an hour behind the last cells what is made of events is still alive, the samples are over;
 * so it is for the level, which has changed a day before. A day later nothing is left, and before
 * everything there is nothing. */
static void test_series_in_time(void **state)
{
    struct fixture *f = *state;
    get(f, "/api/v1/label/__name__/values?start=1700001800&end=1700001900", 200,
        "{\"status\":\"success\",\"data\":[\"delay_seconds\",\"orders_total\"]}");
    get(f, "/api/v1/label/__name__/values?start=1699915400&end=1699915500", 200,
        "{\"status\":\"success\",\"data\":[\"orders_open\"]}");
    get(f, "/api/v1/label/__name__/values?start=1700086400&end=1700086500", 200,
        "{\"status\":\"success\",\"data\":[]}");
    get(f, "/api/v1/label/__name__/values?start=0&end=1000", 200,
        "{\"status\":\"success\",\"data\":[]}");
    get(f,
        "/api/v1/label/__name__/values?start=-292273086-05-16T16:47:06Z&"
        "end=292277025-08-18T07:12:54.999999999Z&match[]=up",
        200, "{\"status\":\"success\",\"data\":[\"up\"]}");
}

/* How complete an answer is, beside its data: of what was selected. */
static void test_clocks(void **state)
{
    struct fixture *f = *state;
    get(f, "/api/v1/query?query=orders_total%2Bdelay_seconds%2Bup&time=1700000000", 200, NULL);
    assert_has(f, "\r\nLarder-Frontier: 2023-11-14T22:13:20Z\r\n");
    assert_has(f, "\r\nLarder-Watermark: 2023-11-14T22:13:20Z\r\n");
    assert_null(strstr(buf_cstr(&f->answer), "\"clocks\""));
    get(f, "/api/v1/query?query=orders_total%2Bup%2Borders_total&time=1700000000&clocks=1", 200,
        NULL);
    assert_has(f, "},\"clocks\":[{\"metric\":\"orders_total\",\"clock\":\"orders\","
                  "\"frontier\":1700000000,\"watermark\":1700000000}]");
    get(f, "/api/v1/query?query=up&time=1700000000&clocks=1", 200, NULL);
    assert_has(f, "},\"clocks\":[]}");
    assert_null(strstr(buf_cstr(&f->answer), "Larder-"));
    get(f,
        "/api/v1/query_range?query=orders_total&start=1699999900&end=1700000000&step=10&clocks=1",
        200, NULL);
    assert_has(f, "\r\nLarder-Watermark: 2023-11-14T22:13:20Z\r\n");
    assert_has(f, "},\"clocks\":[{\"metric\":\"orders_total\",");
}

/* Of several clocks the slowest holds; one that is not known yet makes nothing known. */
static void test_slowest_clock(void **state)
{
    static struct metric_def refunds = {.name = {"refunds_total", 13},
        .kind = KIND_COUNTER,
        .every_ms = 5000,
        .stale_after_ms = 3600000,
        .clock = {"order/cohort", 12}};
    static const char path[] =
        "/api/v1/query?query=orders_total%2Brefunds_total&time=1700000000&clocks=1";
    struct fixture *f = *state;
    struct err err = {0};
    struct txn *txn = txn_begin(f->store);
    txn_add(txn, series(txn, &refunds, "market", "zrh"), T0, 1);
    assert_true(txn_commit(&txn, NULL, &err));
    get(f, path, 200, NULL);
    assert_null(strstr(buf_cstr(&f->answer), "Larder-"));
    assert_has(f, "{\"metric\":\"refunds_total\",\"clock\":\"order/cohort\",\"frontier\":null,"
                  "\"watermark\":null}]");
    txn = txn_begin(f->store);
    txn_clock(txn, SLICE("order/cohort"), T0 + 5000, T0 - 3600001);
    assert_true(txn_commit(&txn, NULL, &err));
    get(f, path, 200, NULL);
    assert_has(f, "\r\nLarder-Frontier: 2023-11-14T22:13:20Z\r\n");
    assert_has(f, "\r\nLarder-Watermark: 2023-11-14T21:13:19.999Z\r\n");
    assert_has(f, "\"clocks\":[{\"metric\":\"orders_total\",\"clock\":\"orders\",\"frontier\":"
                  "1700000000,\"watermark\":1700000000},");
    assert_has(f, "\"frontier\":1700000005,\"watermark\":1699996399.999}]");
}

static void test_metadata(void **state)
{
    struct fixture *f = *state;
    get(f, "/api/v1/metadata?metric=orders_total", 200,
        "{\"status\":\"success\",\"data\":{\"orders_total\":[{\"type\":\"counter\",\"help\":"
        "\"Orders \\\"by\\\" market.\",\"unit\":\"orders\"}]}}");
    get(f, "/api/v1/metadata", 200, NULL);
    assert_has(f, "\"delay_seconds\":[{\"type\":\"histogram\"");
    assert_has(f, "\"orders_open\":[{\"type\":\"gauge\"");
    assert_has(f, "\"up\":[{\"type\":\"unknown\"");
    get(f, "/api/v1/metadata?limit=1", 200, NULL);
    json_t *json = parsed(f);
    assert_int_equal(json_object_size(json_object_get(json, "data")), 1);
    json_decref(json);
    get(f, "/api/v1/metadata?metric=none", 200, "{\"status\":\"success\",\"data\":{}}");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_scalars),
        T(test_vectors),
        T(test_histogram),
        T(test_range),
        T(test_limit_and_stats),
        T(test_infos),
        T(test_errors),
        T(test_timeout),
        T(test_format),
        T(test_labels),
        T(test_label_values),
        T(test_series),
        T(test_series_in_time),
        T(test_clocks),
        T(test_slowest_clock),
        T(test_metadata),
    };
    return cmocka_run_group_tests_name("query_api", tests, NULL, NULL);
}
