/*
 * The HTTP layer with handlers of the test's own: what it lets in, what it refuses, and that no
 * client can hold more than its bounds allow.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>

#include "api/http.h"
#include "base/mem.h"
#include "base/thread.h"
#include "tests/api/raw_client.h"

struct fixture {
    struct http *http;
    int port;
    struct buf answer;
    atomic_int parked;   /* handlers that wait in /park */
    atomic_bool release; /* lets them go */
    atomic_int canceled; /* of them, those that saw a cancel */
    atomic_int done;
};

static enum http_admission admit(void *ctx, struct request *request, struct response *response)
{
    (void)ctx;
    if (slice_is(request->path, "/refused")) {
        response_text(response, 404, "no\n");
        return HTTP_REFUSE;
    }
    return slice_is(request->path, "/here") ? HTTP_HERE : HTTP_QUEUE;
}

static void park(struct fixture *f, struct request *request, struct response *response)
{
    atomic_fetch_add(&f->parked, 1);
    while (!atomic_load(&f->release) && !atomic_load(request->cancel))
        clock_sleep_ms(1);
    if (atomic_load(request->cancel))
        atomic_fetch_add(&f->canceled, 1);
    atomic_fetch_sub(&f->parked, 1);
    response_text(response, 200, "parked\n");
}

static void handle(void *ctx, struct request *request, struct response *response)
{
    struct fixture *f = ctx;
    if (slice_is(request->path, "/park")) {
        park(f, request, response);
    } else if (slice_is(request->path, "/big") || slice_is(request->path, "/huge")) {
        for (int i = request->path.len == 4 ? 0 : -1100000; i < 100000; i++)
            buf_str(&response->body, "0123456789");
    } else {
        response->type = "text/plain";
        buf_printf(&response->body, "method %d path %.*s query %.*s body %zu form %d",
            request->method, SLICE_FMT(request->path), SLICE_FMT(request->query), request->body.len,
            request->form);
    }
}

static void done(void *ctx, const struct request *request, const struct response *response)
{
    struct fixture *f = ctx;
    (void)request, (void)response;
    atomic_fetch_add(&f->done, 1);
}

static struct http_options small_options(struct fixture *f)
{
    return (struct http_options){
        .address = "127.0.0.1",
        .workers = 2,
        .queue = 2,
        .connections = 40,
        .header_bytes = 32768,
        .body_bytes = 100000,
        .answer_bytes = 2000000,
        .total_bytes = 2500000,
        .connect_ms = 300,
        .idle_ms = 500,
        .body_ms = 400,
        .send_ms = 600,
        .ctx = f,
        .admit = admit,
        .handle = handle,
        .done = done,
    };
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    struct http_options options = small_options(f);
    struct err err;
    if (!http_start(&options, &f->http, &err)) {
        print_error("%s\n", err.text);
        return -1;
    }
    f->port = http_port(f->http);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    atomic_store(&f->release, true);
    http_stop(&f->http, 1000);
    buf_fini(&f->answer);
    free(f);
    return 0;
}

static void restart(struct fixture *f, const struct http_options *options)
{
    struct err err;
    http_stop(&f->http, 1000);
    assert_true(http_start(options, &f->http, &err));
    f->port = http_port(f->http);
}

static void wait_for(atomic_int *what, int n)
{
    for (int i = 0; i < 2000 && atomic_load(what) != n; i++)
        clock_sleep_ms(5);
    assert_int_equal(atomic_load(what), n);
}

static void assert_body(struct fixture *f, const char *want)
{
    assert_string_equal(client_body(&f->answer), want);
}

static void test_passes_requests(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(client_get(f->port, "/a%20b%2fc?q=1&r=%41", &f->answer), 200);
    assert_body(f, "method 1 path /a b/c query q=1&r=%41 body 0 form 1");
    assert_int_equal(client_get(f->port, "/here", &f->answer), 200);
    assert_body(f, "method 1 path /here query  body 0 form 1");
    assert_int_equal(client_post(f->port, "/x", "12345", &f->answer), 200);
    assert_body(f, "method 2 path /x query  body 5 form 1");
    assert_int_equal(client_get(f->port, "/refused", &f->answer), 404);
    assert_body(f, "no\n");
    wait_for(&f->done, 4);
}

static int get_target(struct fixture *f, const char *target)
{
    buf_clear(&f->answer);
    return client_get(f->port, target, &f->answer);
}

/* RFC 9112, 3.2.2: a server takes the absolute form too. */
static void test_absolute_target(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(get_target(f, "http://x/a/b?q=1"), 200);
    assert_body(f, "method 1 path /a/b query q=1 body 0 form 1");
    assert_int_equal(get_target(f, "HTTPS://[::1]:80/a?q=http://y/z"), 200);
    assert_body(f, "method 1 path /a query q=http://y/z body 0 form 1");
    assert_int_equal(get_target(f, "http://x"), 200);
    assert_body(f, "method 1 path / query  body 0 form 1");
    assert_int_equal(get_target(f, "http://x?q=1/2"), 200);
    assert_body(f, "method 1 path / query q=1/2 body 0 form 1");
    assert_int_equal(get_target(f, "/http://x/"), 200);
    assert_body(f, "method 1 path /http://x/ query  body 0 form 1");
    assert_int_equal(get_target(f, "http:///a"), 400);
    assert_int_equal(get_target(f, "http://?a"), 400);
    assert_int_equal(get_target(f, "http:/a"), 400);
    assert_int_equal(get_target(f, "ftp://x/a"), 400);
}

static void test_content_type(void **state)
{
    struct fixture *f = *state;
    static const char other[] =
        "POST /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n"
        "Content-Type: application/json\r\n\r\n{}";
    static const char charset[] =
        "POST /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n"
        "Content-Type: Application/X-WWW-Form-Urlencoded; charset=utf-8\r\n\r\n{}";
    assert_int_equal(client_exchange(f->port, other, sizeof other - 1, &f->answer), 200);
    assert_body(f, "method 2 path /x query  body 2 form 0");
    assert_int_equal(client_exchange(f->port, charset, sizeof charset - 1, &f->answer), 200);
    assert_body(f, "method 2 path /x query  body 2 form 1");
}

/* Several requests on one connection, a pipelined one among them. */
static void test_keep_alive(void **state)
{
    struct fixture *f = *state;
    int fd = client_connect(f->port);
    for (int i = 0; i < 5; i++) {
        buf_clear(&f->answer);
        assert_true(client_send_text(fd, "GET /n HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_true(client_read(fd, &f->answer, "form 1", 5000));
    }
    buf_clear(&f->answer);
    assert_true(client_send_text(fd, "GET /n HTTP/1.1\r\nHost: x\r\n\r\n"
                                     "GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    assert_true(client_read(fd, &f->answer, "path /last", 5000));
    close(fd);
}

static void test_framing(void **state)
{
    struct fixture *f = *state;
#define HEAD "POST /x HTTP/1.1\r\n"
    static const char *const bad[] = {
        HEAD "Host: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD "Host: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n1",
        HEAD "Host: x\r\nContent-Length: 1\r\nContent-Length: 5\r\n\r\n12345",
        HEAD "Host: x\r\nHost: y\r\nContent-Length: 0\r\n\r\n",
        HEAD "Host: x\r\nContent-Length: +1\r\n\r\n1",
        HEAD "Host: x\r\nContent-Length: -1\r\n\r\n1",
        HEAD "Host: x\r\nContent-Length: 1x\r\n\r\n1",
        HEAD "Host: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD "Host: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        HEAD "Content-Length: 0\r\n\r\n",
        "GET noslash HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /a%zz HTTP/1.1\r\nHost: x\r\n\r\n",
    };
#undef HEAD
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        /* The server closes by itself: client_exchange reads to the end. */
        int64_t start = clock_mono_ns();
        int status = client_exchange(f->port, bad[i], strlen(bad[i]), &f->answer);
        if (status != 400)
            fail_msg("answered %d: %s", status, bad[i]);
        assert_true(clock_mono_ns() - start < 5000000000);
    }
}

static void test_chunked(void **state)
{
    struct fixture *f = *state;
    static const char good[] =
        "POST /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n";
    assert_int_equal(client_exchange(f->port, good, sizeof good - 1, &f->answer), 200);
    assert_body(f, "method 2 path /x query  body 7 form 1");
}

static void test_long_target(void **state)
{
    struct fixture *f = *state;
    static char target[200000];
    memset(target, 'a', sizeof target);
    target[0] = '/';
    target[20000] = 0;
    assert_int_equal(client_get(f->port, target, &f->answer), 200);
    target[20000] = 'a';
    target[sizeof target - 1] = 0;
    int status = client_get(f->port, target, &f->answer);
    if (status != 414 && status != 431)
        fail_msg("answered %d", status);
}

static void test_large_body(void **state)
{
    struct fixture *f = *state;
    static char body[100002];
    memset(body, 'a', sizeof body - 1);
    assert_int_equal(client_post(f->port, "/x", body, &f->answer), 413);
    body[100000] = 0;
    assert_int_equal(client_post(f->port, "/x", body, &f->answer), 200);

    /* Chunked, so that only counting can tell. */
    int fd = client_connect(f->port);
    buf_clear(&f->answer);
    client_send_text(fd, "POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 20; i++) {
        client_send_text(fd, "4000\r\n");
        client_send(fd, body, 0x4000);
        client_send_text(fd, "\r\n");
    }
    client_send_text(fd, "0\r\n\r\n");
    assert_true(client_read(fd, &f->answer, NULL, 5000));
    assert_int_equal(client_status(&f->answer), 413);
    close(fd);
}

/* An answer past its limit becomes an error instead of half an answer. */
static void test_large_answer(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(client_get(f->port, "/big", &f->answer), 200);
    assert_int_equal(strlen(client_body(&f->answer)), 1000000);
    struct http_options options = small_options(f);
    options.answer_bytes = 500000;
    restart(f, &options);
    assert_int_equal(client_get(f->port, "/big", &f->answer), 422);
    assert_non_null(strstr(client_body(&f->answer), "500000 bytes"));
}

/* Two workers and a queue of two: the fifth is refused at once, and told when to come back. */
static void test_full_queue(void **state)
{
    struct fixture *f = *state;
    int fds[4];
    for (int i = 0; i < 4; i++) {
        fds[i] = client_connect(f->port);
        client_send_text(fds[i], "GET /park HTTP/1.1\r\nHost: x\r\n\r\n");
        if (i == 1)
            wait_for(&f->parked, 2);
    }
    struct http_load load;
    for (int i = 0; i < 1000; i++, clock_sleep_ms(5)) {
        http_load(f->http, &load);
        if (load.waiting == 2)
            break;
    }
    assert_int_equal(load.waiting, 2);
    assert_int_equal(load.running, 2);
    assert_int_equal(client_get(f->port, "/x", &f->answer), 503);
    assert_non_null(strstr(f->answer.ptr, "Retry-After: 1\r\n"));
    assert_int_equal(client_get(f->port, "/here", &f->answer), 200);
    atomic_store(&f->release, true);
    for (int i = 0; i < 4; i++) {
        buf_clear(&f->answer);
        assert_true(client_read(fds[i], &f->answer, "parked", 5000));
        close(fds[i]);
    }
    http_load(f->http, &load);
    assert_int_equal(load.refused, 1);
}

static void test_gone_client_cancels(void **state)
{
    struct fixture *f = *state;
    int fd = client_connect(f->port);
    client_send_text(fd, "GET /park HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_for(&f->parked, 1);
    close(fd);
    wait_for(&f->canceled, 1);
    wait_for(&f->parked, 0);
    assert_int_equal(client_get(f->port, "/x", &f->answer), 200);
}

/* Sends a byte every 20 ms; true when the server has ended the connection within two seconds. */
static bool drips(int fd, const char *text)
{
    struct buf answer;
    buf_init(&answer, 0);
    int64_t start = clock_mono_ns();
    bool ended = false;
    for (size_t i = 0; !ended && clock_mono_ns() - start < 2000000000; i++) {
        bool sent = client_send(fd, &text[i % strlen(text)], 1);
        ended = !sent || client_read(fd, &answer, NULL, 20);
    }
    buf_fini(&answer);
    close(fd);
    return ended;
}

static void test_slow_clients(void **state)
{
    struct fixture *f = *state;
    assert_true(drips(client_connect(f->port), "GET /aaaaaaaaaaaaaaaaa"));
    int fd = client_connect(f->port);
    client_send_text(fd, "GET /x HTTP/1.1\r\nHost: x\r\n");
    assert_true(drips(fd, "X: yyyyyyyyyyyyyyyyyyyyyyyy\r\n"));
    fd = client_connect(f->port);
    client_send_text(fd, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n");
    assert_true(drips(fd, "body"));
    /* Between two requests. */
    fd = client_connect(f->port);
    buf_clear(&f->answer);
    client_send_text(fd, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(client_read(fd, &f->answer, "form 1", 5000));
    assert_true(drips(fd, "GET /aaaaaaaaaaaaaaaaa"));
    struct http_load load;
    http_load(f->http, &load);
    assert_int_equal(load.cut, 4);
    assert_int_equal(client_get(f->port, "/x", &f->answer), 200);
}

/* A client that does not fetch its answer keeps its memory only until the deadline; meanwhile an
 * answer that would pass the bound of all is refused. 12 MB are more than the sockets take in. */
static void test_held_answers(void **state)
{
    struct fixture *f = *state;
    struct http_options options = small_options(f);
    struct http_load load;
    options.answer_bytes = 20000000;
    options.total_bytes = 20000000;
    restart(f, &options);
    int fd = client_connect(f->port);
    client_send_text(fd, "GET /huge HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_for(&f->done, 1);
    http_load(f->http, &load);
    assert_true(load.held_bytes >= 12000000);
    assert_int_equal(client_get(f->port, "/huge", &f->answer), 503);
    assert_int_equal(client_get(f->port, "/big", &f->answer), 200);
    for (int i = 0; i < 400 && load.held_bytes; i++, clock_sleep_ms(10))
        http_load(f->http, &load);
    assert_int_equal(load.held_bytes, 0);
    assert_int_equal(load.cut, 1);
    assert_int_equal(client_get(f->port, "/huge", &f->answer), 200);
    close(fd);
}

/* Connections past the limit wait; they do not hurt those that are open. */
static void test_many_connections(void **state)
{
    struct fixture *f = *state;
    int fds[60];
    int open = client_connect(f->port);
    for (int i = 0; i < 60; i++)
        fds[i] = client_connect(f->port);
    struct http_load load;
    for (int i = 0; i < 100; i++) {
        http_load(f->http, &load);
        assert_true(load.connections <= 40);
        clock_sleep_ms(1);
    }
    client_send_text(open, "GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    buf_clear(&f->answer);
    assert_true(client_read(open, &f->answer, NULL, 5000));
    assert_int_equal(client_status(&f->answer), 200);
    for (int i = 0; i < 60; i++)
        close(fds[i]);
    close(open);
    assert_int_equal(client_get(f->port, "/x", &f->answer), 200);
}

static void *stop_soon(void *arg)
{
    struct fixture *f = arg;
    http_stop(&f->http, 200);
    return NULL;
}

/* Work that runs is cancelled when the drain is over, and still answered. */
static void test_stop(void **state)
{
    struct fixture *f = *state;
    int fd = client_connect(f->port);
    client_send_text(fd, "GET /park HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_for(&f->parked, 1);
    pthread_t thread;
    thread_start(&thread, "stop", stop_soon, f);
    buf_clear(&f->answer);
    assert_true(client_read(fd, &f->answer, "parked\n", 5000));
    assert_int_equal(client_status(&f->answer), 200);
    thread_join(thread);
    assert_int_equal(atomic_load(&f->canceled), 1);
    close(fd);
}

static void test_port_in_use(void **state)
{
    struct fixture *f = *state;
    struct http_options options = small_options(f);
    struct http *second = NULL;
    struct err err = {0};
    options.port = f->port;
    assert_false(http_start(&options, &second, &err));
    assert_int_equal(err.code, ERR_BUSY);
    assert_non_null(strstr(err.text, "is in use"));
    options.address = "192.0.2.1";
    assert_false(http_start(&options, &second, &err));
    assert_int_equal(err.code, ERR_IO);
    options.address = "no such host";
    assert_false(http_start(&options, &second, &err));
    assert_null(second);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_passes_requests),
        T(test_absolute_target),
        T(test_content_type),
        T(test_keep_alive),
        T(test_framing),
        T(test_chunked),
        T(test_long_target),
        T(test_large_body),
        T(test_large_answer),
        T(test_full_queue),
        T(test_gone_client_cancels),
        T(test_slow_clients),
        T(test_held_answers),
        T(test_many_connections),
        T(test_stop),
        T(test_port_in_use),
    };
    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
