/* What a server says of itself, and what it does with input that means it harm. */
#include "tests/api/server_fixture.h"

#include "base/thread.h"

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
