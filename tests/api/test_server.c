/*
 * The whole server over a store in memory, asked over real connections: every endpoint, its errors,
 * and what it does with input that means it harm.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdatomic.h>

#include "api/server.h"
#include "base/mem.h"
#include "base/thread.h"
#include "cmd/ask.h"
#include "tests/api/raw_client.h"

/* A multiple of 5 s; everything in the store happens before it. */
#define T0 INT64_C(1700000000000)

struct fixture {
    struct store *store;
    struct server *server;
    int port;
    struct buf answer, form;
    atomic_bool waits; /* more_metrics: until this is false */
    atomic_bool waiting;
};

/* ---- the data ---- */

static struct metric_def orders = {.name = {"orders_total", 12},
    .kind = KIND_COUNTER,
    .every_ms = 5000,
    .stale_after_ms = 3600000,
    .clock = {"orders", 6},
    .help = {"Orders \"by\" market.", 19},
    .unit = {"orders", 6}};
static struct metric_def levels = {.name = {"orders_open", 11},
    .kind = KIND_LEVEL,
    .every_ms = 5000,
    .stale_after_ms = 3600000,
    .clock = {"orders", 6}};
static struct metric_def up = {.name = {"up", 2}, .kind = KIND_SAMPLE};
static struct metric_def delay = {.name = {"delay_seconds", 13},
    .kind = KIND_HISTOGRAM,
    .schema = 0,
    .every_ms = 5000,
    .stale_after_ms = 3600000,
    .clock = {"orders", 6}};

static uint32_t series(struct txn *txn, struct metric_def *def, const char *name, const char *value)
{
    uint32_t metric, id;
    struct err err = {0};
    struct label l[2] = {{SLICE("__name__"), def->name}, {slice_from(name), slice_from(value)}};
    assert_true(txn_metric(txn, def, &metric, &err));
    assert_true(txn_series(txn, metric, (struct labels){l, 2}, &id, &err));
    return id;
}

static void fill(struct store *store)
{
    struct err err = {0};
    struct txn *txn = txn_begin(store);
    uint32_t zrh = series(txn, &orders, "market", "zrh"),
             ber = series(txn, &orders, "market", "ber");
    for (int64_t t = T0 - 600000 + 5000; t <= T0; t += 5000) {
        txn_add(txn, zrh, t, 1);
        txn_add(txn, ber, t, 2);
    }
    txn_add(txn, series(txn, &levels, "market", "zrh"), T0 - 86400000, 5);
    uint32_t job = series(txn, &up, "job", "a\"\n\xc3\xa9");
    for (int64_t t = T0 - 600000; t <= T0; t += 15000)
        txn_sample(txn, job, t, 1.5);
    txn_sample(txn, series(txn, &up, "a.b", "dotted"), T0 - 1000, 0);
    struct hist_bucket buckets[] = {{1, 3}, {3, 4}};
    struct hist_cell cell = {.sum = 25, .n = 2, .buckets = buckets};
    txn_histogram(txn, series(txn, &delay, "market", "zrh"), T0 - 5000, &cell);
    txn_clock(txn, SLICE("orders"), T0, T0);
    assert_true(txn_commit(&txn, NULL, &err));
}

/* ---- fixture ---- */

static const unsigned char page[] = "<!doctype html>";
static const struct asset pages[] = {{"/", "text/html; charset=utf-8", page, sizeof page - 1}};

static void more_metrics(void *ctx, struct buf *out)
{
    struct fixture *f = ctx;
    while (atomic_load(&f->waits)) {
        atomic_store(&f->waiting, true);
        clock_sleep_ms(1);
    }
    buf_str(out, "more_metrics 1\n");
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    struct err err = {0};
    struct store_options options = {0};
    assert_true(store_open(&options, &f->store, &err));
    fill(f->store);
    struct server_options server = {
        .address = "127.0.0.1",
        .store = f->store,
        .pages = pages,
        .n_pages = 1,
        .metrics = more_metrics,
        .metrics_ctx = f,
    };
    assert_true(server_start(&server, &f->server, &err));
    f->port = server_port(f->server);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    server_stop(&f->server);
    store_close(&f->store);
    buf_fini(&f->answer);
    buf_fini(&f->form);
    free(f);
    return 0;
}

/* Name and value pairs, ended by NULL, to f->form. */
static const char *form(struct fixture *f, const char *name, ...)
{
    va_list ap;
    va_start(ap, name);
    buf_clear(&f->form);
    for (; name; name = va_arg(ap, const char *))
        ask_field(&f->form, name, slice_from(va_arg(ap, const char *)));
    va_end(ap);
    return buf_cstr(&f->form);
}

/* GETs path with the form in the URL, and POSTs it: both must give the same. */
static void ask(struct fixture *f, const char *path, int status, const char *want)
{
    char target[4096];
    snprintf(target, sizeof target, "%s?%s", path, buf_cstr(&f->form));
    for (int post = 0; post < 2; post++) {
        int got = post ? client_post(f->port, path, buf_cstr(&f->form), &f->answer)
                       : client_get(f->port, target, &f->answer);
        const char *body = client_body(&f->answer);
        if (got != status || (want && strcmp(body, want) != 0))
            fail_msg("%s %s: %d %s\nwanted: %d %s", path, f->form.ptr, got, body, status,
                want ? want : "");
    }
}

/* GET only. */
static void get(struct fixture *f, const char *target, int status, const char *want)
{
    int got = client_get(f->port, target, &f->answer);
    const char *body = client_body(&f->answer);
    if (got != status || (want && strcmp(body, want) != 0))
        fail_msg("%s: %d %s\nwanted: %d %s", target, got, body, status, want ? want : "");
}

/* The answer as JSON; the caller frees. */
static json_t *parsed(struct fixture *f)
{
    json_error_t where;
    json_t *json = json_loads(client_body(&f->answer), 0, &where);
    if (!json)
        fail_msg("no JSON: %s: %s", where.text, client_body(&f->answer));
    return json;
}

static void assert_has(struct fixture *f, const char *text)
{
    if (!strstr(buf_cstr(&f->answer), text))
        fail_msg("no \"%s\" in: %s", text, f->answer.ptr);
}

#define T0_TEXT "1700000000"

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

/* Half an hour behind the last cells: the counters are still alive, the level holds for ever, the
 * samples are over. A day later only the level is left, and before everything there is nothing. */
static void test_series_in_time(void **state)
{
    struct fixture *f = *state;
    get(f, "/api/v1/label/__name__/values?start=1700001800&end=1700001900", 200,
        "{\"status\":\"success\",\"data\":[\"delay_seconds\",\"orders_open\",\"orders_total\"]}");
    get(f, "/api/v1/label/__name__/values?start=1700086400&end=1700086500", 200,
        "{\"status\":\"success\",\"data\":[\"orders_open\"]}");
    get(f, "/api/v1/label/__name__/values?start=0&end=1000", 200,
        "{\"status\":\"success\",\"data\":[]}");
    get(f,
        "/api/v1/label/__name__/values?start=-292273086-05-16T16:47:06Z&"
        "end=292277025-08-18T07:12:54.999999999Z&match[]=up",
        200, "{\"status\":\"success\",\"data\":[\"up\"]}");
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

/* ---- status ---- */

static void test_tsdb(void **state)
{
    static const char *const lists[] = {"seriesCountByMetricName", "labelValueCountByLabelName",
        "memoryInBytesByLabelName", "seriesCountByLabelValuePair"};
    struct fixture *f = *state;
    get(f, "/api/v1/status/tsdb?limit=2", 200, NULL);
    json_t *json = parsed(f), *data = json_object_get(json, "data");
    json_t *head = json_object_get(data, "headStats");
    assert_true(json_integer_value(json_object_get(head, "numSeries")) > 0);
    assert_true(json_integer_value(json_object_get(head, "numLabelPairs")) > 0);
    assert_true(json_is_integer(json_object_get(head, "chunkCount")));
    assert_true(json_integer_value(json_object_get(head, "minTime")) <=
                json_integer_value(json_object_get(head, "maxTime")));
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        json_t *list = json_object_get(data, lists[i]);
        assert_int_equal(json_array_size(list), 2);
        json_t *first = json_array_get(list, 0), *second = json_array_get(list, 1);
        assert_true(json_is_string(json_object_get(first, "name")));
        assert_true(json_integer_value(json_object_get(first, "value")) >=
                    json_integer_value(json_object_get(second, "value")));
    }
    json_decref(json);
    get(f, "/api/v1/status/tsdb?limit=-1", 400, NULL);
    get(f, "/api/v1/status/tsdb?limit=10001", 400, NULL);
}

static void test_status(void **state)
{
    struct fixture *f = *state;
    get(f, "/-/healthy", 200, "Larder is healthy.\n");
    get(f, "/-/ready", 200, "Larder is ready.\n");
    get(f, "/api/v1/status/buildinfo", 200, NULL);
    json_t *json = parsed(f), *data = json_object_get(json, "data"), *value;
    const char *key;
    json_object_foreach(data, key, value) assert_true(json_is_string(value));
    assert_non_null(json_object_get(data, "version"));
    assert_null(json_object_get(data, "features"));
    json_decref(json);
    static const char head[] = "HEAD /-/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_int_equal(client_exchange(f->port, head, sizeof head - 1, &f->answer), 200);
    assert_string_equal(client_body(&f->answer), "");
}

static void test_metrics(void **state)
{
    struct fixture *f = *state;
    form(f, "query", "count(up)", "time", T0_TEXT, NULL);
    ask(f, "/api/v1/query", 200, NULL);
    get(f, "/metrics", 200, NULL);
    assert_has(f, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
    assert_has(f, "\nlarder_http_requests_total{path=\"/api/v1/query\",code=\"200\"} 2\n");
    assert_has(f, "\nlarder_queries_total{outcome=\"ok\"} 2\n");
    assert_has(f, "\nlarder_query_duration_seconds_count 2\n");
    assert_has(f, "\nlarder_store_series 6\n");
    assert_has(f, "\n# TYPE process_resident_memory_bytes gauge\n");
    assert_has(f, "\nlarder_ready 1\n");
    assert_has(f, "\nmore_metrics 1\n");
}

/* While the numbers of a busy store are waited for, the server answers everybody else. */
static void test_metrics_wait(void **state)
{
    struct fixture *f = *state;
    static const char ask_metrics[] = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    int fd = client_connect(f->port), other = client_connect(f->port);
    atomic_store(&f->waits, true);
    assert_true(client_send_text(fd, ask_metrics));
    for (int i = 0; i < 5000 && !atomic_load(&f->waiting); i++)
        clock_sleep_ms(1);
    assert_true(atomic_load(&f->waiting));
    assert_true(client_send_text(other, "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"));
    buf_clear(&f->answer);
    bool answered = client_read(other, &f->answer, "healthy.\n", 3000);
    atomic_store(&f->waits, false);
    assert_true(answered);
    buf_clear(&f->answer);
    assert_true(client_read(fd, &f->answer, "\nmore_metrics 1\n", 5000));
    close(fd);
    close(other);
}

static void test_page(void **state)
{
    struct fixture *f = *state;
    get(f, "/", 200, "<!doctype html>");
    assert_has(f, "Content-Type: text/html; charset=utf-8\r\n");
    assert_has(f, "Content-Security-Policy: default-src 'none'; script-src 'self'");
    assert_has(f, "X-Content-Type-Options: nosniff\r\n");
}

static int method(struct fixture *f, const char *name, const char *path)
{
    char request[256];
    int n = snprintf(request, sizeof request,
        "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", name, path);
    return client_exchange(f->port, request, (size_t)n, &f->answer);
}

static void test_routing(void **state)
{
    struct fixture *f = *state;
    get(f, "/nothing", 404, "404 page not found\n");
    get(f, "/api/v1/query/", 404, "404 page not found\n");
    get(f, "/../etc/passwd", 404, "404 page not found\n");
    get(f, "/%2e%2e/%2e%2e/etc/passwd", 404, "404 page not found\n");
    assert_int_equal(method(f, "DELETE", "/api/v1/query"), 405);
    assert_string_equal(client_body(&f->answer), "Method Not Allowed\n");
    assert_has(f, "Allow: GET, POST, OPTIONS\r\n");
    assert_int_equal(method(f, "HEAD", "/api/v1/query"), 405);
    assert_int_equal(method(f, "POST", "/metrics"), 405);
    assert_int_equal(method(f, "BREW", "/metrics"), 405);
    assert_int_equal(method(f, "OPTIONS", "/api/v1/query"), 204);
}

/* ---- harm ---- */

static void test_bad_forms(void **state)
{
    struct fixture *f = *state;
    get(f, "/api/v1/query?query=%zz", 400, NULL);
    assert_has(f, "invalid URL escape \\\"%zz\\\"");
    get(f, "/api/v1/query?query=1;time=2", 400, NULL);
    get(f, "/api/v1/query?query=%ff%fe%00&time=1", 400, NULL);
    json_decref(parsed(f));
    get(f, "/api/v1/label/%ff/values", 200, "{\"status\":\"success\",\"data\":[]}");
    static const char json[] = "POST /api/v1/query HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                               "Content-Length: 2\r\nContent-Type: application/json\r\n\r\n{}";
    assert_int_equal(client_exchange(f->port, json, sizeof json - 1, &f->answer), 415);
    json_decref(parsed(f));
}

static void test_large_input(void **state)
{
    struct fixture *f = *state;
    struct buf text;
    buf_init(&text, 0);
    /* A query that nests too deep is refused; one that is only long is answered. */
    for (int i = 0; i < 20000; i++)
        buf_str(&text, i ? "%2B1" : "query=1");
    assert_int_equal(client_post(f->port, "/api/v1/query", buf_cstr(&text), &f->answer), 400);
    buf_clear(&text);
    buf_str(&text, "/api/v1/query?time=1&query=1");
    for (int i = 0; i < 15000; i++)
        buf_str(&text, "%20%20");
    get(f, buf_cstr(&text), 200, NULL);
    for (int i = 0; i < 15000; i++)
        buf_str(&text, "%20%20");
    assert_int_equal(client_get(f->port, buf_cstr(&text), &f->answer), 414);
    /* A query that is longer than any is. */
    buf_clear(&text);
    buf_str(&text, "query=1");
    for (size_t i = 0; i < PARSE_TEXT_MAX / 8; i++)
        buf_str(&text, "++++++++");
    assert_int_equal(client_post(f->port, "/api/v1/query", buf_cstr(&text), &f->answer), 400);
    assert_has(
        f, "\"errorType\":\"bad_data\",\"error\":\"invalid parameter \\\"query\\\": the query");
    /* More parameters than anybody sends. */
    buf_clear(&text);
    for (int i = 0; i < 20000; i++)
        buf_str(&text, "a=1&");
    assert_int_equal(client_post(f->port, "/api/v1/query", buf_cstr(&text), &f->answer), 422);
    /* A body past the limit. */
    buf_clear(&text);
    for (int i = 0; i < 5000; i++)
        buf_printf(&text, "query=%01000d&", i);
    assert_int_equal(client_post(f->port, "/api/v1/query", buf_cstr(&text), &f->answer), 413);
    buf_fini(&text);
}

/* Until the store is there, everything that needs it says so, and the rest answers. */
static void test_starting(void **state)
{
    struct fixture *f = *state;
    struct server_options options = {.address = "127.0.0.1"};
    struct err err;
    server_stop(&f->server);
    assert_true(server_start(&options, &f->server, &err));
    f->port = server_port(f->server);
    form(f, "query", "1", "time", "1", NULL);
    ask(f, "/api/v1/query", 503, NULL);
    assert_has(f, "\"errorType\":\"unavailable\",\"error\":\"starting");
    assert_has(f, "Retry-After: 1\r\n");
    get(f, "/-/ready", 503, "Larder is starting.\n");
    get(f, "/-/healthy", 200, NULL);
    get(f, "/metrics", 200, NULL);
    assert_has(f, "\nlarder_ready 0\n");
    server_set_store(f->server, f->store);
    ask(f, "/api/v1/query", 200, NULL);
    get(f, "/-/ready", 200, NULL);
}

static void *ask_often(void *arg)
{
    int port = *(int *)arg;
    struct buf answer;
    buf_init(&answer, 0);
    size_t bad = 0;
    for (int i = 0; i < 20; i++) {
        int status = client_post(
            port, "/api/v1/query", "query=sum(increase(orders_total[5m]))&time=" T0_TEXT, &answer);
        bad += status != 200 || !strstr(buf_cstr(&answer), "\"180\"");
    }
    buf_fini(&answer);
    return (void *)(uintptr_t)bad;
}

static void test_many_at_once(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        thread_start(&threads[i], "asker", ask_often, &f->port);
    for (int i = 0; i < 8; i++) {
        void *bad;
        assert_int_equal(pthread_join(threads[i], &bad), 0);
        assert_null(bad);
    }
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
        T(test_metadata),
        T(test_status),
        T(test_tsdb),
        T(test_metrics),
        T(test_metrics_wait),
        T(test_page),
        T(test_routing),
        T(test_bad_forms),
        T(test_large_input),
        T(test_starting),
        T(test_many_at_once),
    };
    return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
