/* What operators ask over HTTP: each parameter, each refusal, and that pages cannot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/server.h"
#include "base/mem.h"
#include "tests/api/raw_client.h"

struct fixture {
    struct server *server;
    int port, asked;
    struct source_request last;
    char target[64], who[64];
    int fails; /* an enum err_code; 0: answered */
    struct buf answer;
};

static void keep(char *to, size_t size, struct slice text)
{
    snprintf(to, size, "%.*s", SLICE_FMT(text));
}

static bool source(void *ctx, const struct source_request *request, struct arena *arena,
    struct source_answer *answer, struct err *err)
{
    struct fixture *f = ctx;
    f->asked++;
    f->last = *request;
    keep(f->target, sizeof f->target, request->target);
    keep(f->who, sizeof f->who, request->who);
    *answer = (struct source_answer){0};
    if (f->fails)
        return err_set(err, (enum err_code)f->fails, "so it is");
    answer->rows = arena_array(arena, 1, sizeof *answer->rows);
    answer->n = 1;
    answer->rows[0] = (struct source_row){.name = SLICE("orders/0"),
        .stream = SLICE("orders"),
        .state = "halted",
        .cause = SLICE("a \"cause\""),
        .advice = "do it",
        .next = 7,
        .end = -1,
        .lag = -1,
        .newest_ms = INT64_MIN};
    marks_hole(&answer->rows[0].marks, 3, 5);
    marks_change(&answer->rows[0].marks, 1500, SLICE("ann"), "skip from 3 to 5");
    answer->notes = arena_array(arena, 1, sizeof *answer->notes);
    answer->notes[answer->n_notes++] = SLICE("a note");
    return true;
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    struct err err = {0};
    struct server_options options = {.address = "127.0.0.1", .source = source, .source_ctx = f};
    assert_true(server_start(&options, &f->server, &err));
    f->port = server_port(f->server);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    server_stop(&f->server);
    buf_fini(&f->answer);
    free(f);
    return 0;
}

static void has(struct fixture *f, const char *text)
{
    if (!strstr(buf_cstr(&f->answer), text))
        fail_msg("no \"%s\" in: %s", text, f->answer.ptr);
}

static void post(struct fixture *f, const char *action, const char *body, int status)
{
    char path[128];
    snprintf(path, sizeof path, "/api/v1/source/%s", action);
    int got = client_post(f->port, path, body, &f->answer);
    if (got != status)
        fail_msg("%s %s: %d, not %d: %s", action, body, got, status, buf_cstr(&f->answer));
}

static void test_list(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(client_get(f->port, "/api/v1/source/list?target=orders%2F0", &f->answer), 200);
    assert_string_equal(client_body(&f->answer),
        "{\"status\":\"success\",\"data\":{\"partitions\":[{\"partition\":\"orders/0\",\"stream\":"
        "\"orders\",\"state\":\"halted\",\"cause\":\"a \\\"cause\\\"\",\"advice\":\"do "
        "it\",\"position\":7,\"end\":null,"
        "\"lag\":null,\"newest\":null,\"lost\":2,\"holes\":[{\"from\":3,\"to\":5}],\"changes\":["
        "{\"at\":1.500,\"by\":\"ann\",\"what\":\"skip from 3 to 5\"}]}],\"notes\":[\"a note\"]}}");
    assert_int_equal(f->last.action, SOURCE_LIST);
    assert_string_equal(f->target, "orders/0");
    post(f, "list", "", 200);
    assert_string_equal(f->target, "");
}

static void test_changes(void **state)
{
    struct fixture *f = *state;
    post(f, "pause", "target=orders&by=ann", 200);
    assert_int_equal(f->last.action, SOURCE_PAUSE);
    assert_string_equal(f->target, "orders");
    assert_string_equal(f->who, "ann");
    post(f, "resume", "target=orders%2F1&by=b", 200);
    assert_int_equal(f->last.action, SOURCE_RESUME);
    post(f, "skip", "target=orders%2F1&by=b", 200);
    assert_int_equal(f->last.action, SOURCE_SKIP);
    assert_int_equal(f->last.place, PLACE_NONE);
    post(f, "skip", "target=o&by=b&to=latest", 200);
    assert_int_equal(f->last.place, PLACE_LATEST);
    post(f, "seek", "target=o&by=b&to=earliest", 200);
    assert_int_equal(f->last.place, PLACE_EARLIEST);
    assert_false(f->last.again);
    post(f, "seek", "target=o&by=b&to=9223372036854775807&again=true", 200);
    assert_int_equal(f->last.place, PLACE_OFFSET);
    assert_int_equal(f->last.at, INT64_MAX);
    assert_true(f->last.again);
    post(f, "seek", "target=o&by=b&to=1970-01-01T00:00:01Z", 200);
    assert_int_equal(f->last.place, PLACE_TIME);
    assert_int_equal(f->last.at, 1000);
}

static void test_refusals(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *action, *body;
        int status;
        const char *text;
    } bad[] = {
        {"move", "target=o&by=b", 404, "no action \\\"move\\\""},
        {"pause", "by=b", 400, "\\\"target\\\" is missing"},
        {"pause", "target=&by=b", 400, "\\\"target\\\" is missing"},
        {"pause", "target=o", 400, "\\\"by\\\" is missing"},
        {"pause", "target=o&by=", 400, "\\\"by\\\" is missing"},
        {"pause", "target=o&by=b&to=3", 400, "only skip and seek"},
        {"resume", "target=o&by=b&to=latest", 400, "only skip and seek"},
        {"seek", "target=o&by=b", 400, "\\\"to\\\" is missing"},
        {"seek", "target=o&by=b&to=", 400, "\\\"to\\\" is missing"},
        {"seek", "target=o&by=b&to=-1", 400, "must be earliest"},
        {"seek", "target=o&by=b&to=%2B1", 400, "must be earliest"},
        {"seek", "target=o&by=b&to=1x", 400, "must be earliest"},
        {"seek", "target=o&by=b&to=9223372036854775808", 400, "must be earliest"},
        {"seek", "target=o&by=b&to=99999999999999999999999", 400, "must be earliest"},
        {"seek", "target=o&by=b&to=Latest", 400, "must be earliest"},
        {"skip", "target=o&by=b&to=yesterday", 400, "must be earliest"},
        {"seek", "target=o&by=b&to=1&again=yes", 400, "\\\"again\\\" must be true"},
        {"pause", "target=o&by=b&again=true", 400, "only seek reads"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        post(f, bad[i].action, bad[i].body, bad[i].status);
        has(f, bad[i].text);
    }
    assert_int_equal(f->asked, 0);
}

static void test_what_the_ingestion_says(void **state)
{
    struct fixture *f = *state;
    static const struct {
        enum err_code code;
        int status;
    } said[] = {
        {ERR_NOT_FOUND, 404}, {ERR_INVALID, 400}, {ERR_UNAVAILABLE, 503}, {ERR_TIMEOUT, 503}};
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        f->fails = said[i].code;
        post(f, "pause", "target=o&by=b", said[i].status);
        has(f, "so it is");
    }
}

/* Whatever it is that they would change: any site's page may post to any server. */
static void test_pages_are_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const paths[] = {
        "/api/v1/source/pause", "/api/v1/replay", "/api/v1/replay/cancel", "/-/reload"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        char request[512];
        int n = snprintf(request, sizeof request,
            "POST %s HTTP/1.1\r\nHost: x\r\nOrigin: http://evil.example\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 13\r\n"
            "Connection: close\r\n\r\ntarget=o&by=b",
            paths[i]);
        assert_int_equal(client_exchange(f->port, request, (size_t)n, &f->answer), 403);
        has(f, "a page in a browser may not change anything");
    }
    assert_int_equal(client_get(f->port, "/api/v1/source/pause?target=o&by=b", &f->answer), 405);
    has(f, "Allow: POST, OPTIONS");
    assert_int_equal(f->asked, 0);
}

static void test_without_ingestion(void **state)
{
    struct buf answer = {0};
    struct err err = {0};
    struct server *server;
    (void)state;
    struct server_options options = {.address = "127.0.0.1"};
    assert_true(server_start(&options, &server, &err));
    assert_int_equal(client_get(server_port(server), "/api/v1/source/list", &answer), 503);
    server_stop(&server);
    buf_fini(&answer);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_list),
        T(test_changes),
        T(test_refusals),
        T(test_what_the_ingestion_says),
        T(test_pages_are_refused),
        cmocka_unit_test(test_without_ingestion),
    };
    return cmocka_run_group_tests_name("source_api", tests, NULL, NULL);
}
