#include "api/http.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "api/framing.h"
#include "api/listener.h"
#include "api/peers.h"
#include "api/worker_pool.h"
#include "base/clock.h"
#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"

#define MIB (1024ul * 1024ul)

struct http {
    struct http_options options;
    struct MHD_Daemon *daemon;
    struct worker_pool *pool;
    struct peers *peers;
    int port;
    atomic_bool stopping;
    atomic_size_t held;   /* bytes of bodies and answers */
    atomic_size_t active; /* exchanges that are with the pool */
    atomic_size_t open;   /* exchanges that are not sent yet */
    atomic_ullong refused;
};

enum stage { STAGE_HEADERS, STAGE_BODY, STAGE_WORK, STAGE_READY, STAGE_SENT };

/* One request and its answer. The server's thread owns it, a worker between suspend and resume. */
struct exchange {
    struct http *http;
    struct MHD_Connection *connection;
    struct peer *peer;
    enum stage stage;
    enum http_admission admission;
    char *uri;
    struct buf body;
    bool too_large, no_room;
    size_t held;
    struct arena arena;
    atomic_bool cancel;
    struct request request;
    struct response response;
};

/* ---- bytes in memory ---- */

static bool hold(struct exchange *x, size_t bytes)
{
    size_t before = atomic_fetch_add(&x->http->held, bytes);
    if (before + bytes > x->http->options.total_bytes) {
        atomic_fetch_sub(&x->http->held, bytes);
        return false;
    }
    x->held += bytes;
    return true;
}

static void refuse_busy(struct exchange *x, const char *why)
{
    atomic_fetch_add(&x->http->refused, 1);
    response_error(&x->response, 503, "unavailable", "%s", why);
    response_header(&x->response, "Retry-After", "1");
}

/* ---- an exchange's life ---- */

static struct peer *peer_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

/* libmicrohttpd calls this with the request line's target as it was sent, before it is decoded. */
static void *exchange_new(void *cls, const char *uri, struct MHD_Connection *connection)
{
    struct http *http = cls;
    struct exchange *x = xcalloc(1, sizeof *x);
    x->http = http;
    x->connection = connection;
    x->peer = peer_of(connection);
    x->uri = xstrdup(uri);
    atomic_init(&x->cancel, false);
    arena_init(&x->arena, http->options.arena_bytes);
    buf_init(&x->body, http->options.body_bytes);
    response_init(&x->response, http->options.answer_bytes);
    atomic_fetch_add(&http->open, 1);
    return x;
}

static void exchange_free(
    void *cls, struct MHD_Connection *connection, void **slot, enum MHD_RequestTerminationCode why)
{
    struct exchange *x = *slot;
    (void)cls, (void)connection, (void)why;
    *slot = NULL;
    if (!x)
        return;
    ensure(x->stage != STAGE_WORK);
    if (x->peer)
        peers_set(x->http->peers, x->peer, PEER_IDLE, NULL);
    atomic_fetch_sub(&x->http->held, x->held);
    atomic_fetch_sub(&x->http->open, 1);
    response_fini(&x->response);
    buf_fini(&x->body);
    arena_fini(&x->arena);
    free(x->uri);
    free(x);
}

static struct MHD_Response *mhd_response(struct exchange *x)
{
    struct response *r = &x->response;
    struct slice body = r->fixed.ptr ? r->fixed : buf_view(&r->body);
    /* The exchange outlives the sending: exchange_free is called behind the last byte. The library
     * takes a pointer without const, and does not write through it. */
    union {
        const char *given;
        void *taken;
    } bytes = {body.ptr};
    struct MHD_Response *out =
        MHD_create_response_from_buffer(body.len, bytes.taken, MHD_RESPMEM_PERSISTENT);
    if (!out)
        return NULL;
    bool ok = r->status == 204 || MHD_add_response_header(out, "Content-Type", r->type) == MHD_YES;
    for (size_t i = 0; i < r->n_headers && ok; i++)
        ok = MHD_add_response_header(out, r->headers[i].name, r->headers[i].value) == MHD_YES;
    if (ok && r->close)
        ok = MHD_add_response_header(out, "Connection", "close") == MHD_YES;
    if (ok)
        return out;
    MHD_destroy_response(out);
    return NULL;
}

static enum MHD_Result answer(struct exchange *x)
{
    struct MHD_Response *out = mhd_response(x);
    if (!out)
        return MHD_NO;
    if (x->http->options.done)
        x->http->options.done(x->http->options.ctx, &x->request, &x->response);
    x->stage = STAGE_SENT;
    if (x->peer)
        peers_set(x->http->peers, x->peer, PEER_SEND, NULL);
    enum MHD_Result rc = MHD_queue_response(x->connection, (unsigned)x->response.status, out);
    MHD_destroy_response(out);
    return rc;
}

/* ---- headers ---- */

/* What stands behind "http://host" of an absolute target (RFC 9112, 3.2.2), which names the server
 * again; any other target as it is. */
static const char *skip_authority(const char *uri)
{
    const char *host = strncasecmp(uri, "http://", 7) == 0    ? uri + 7
                       : strncasecmp(uri, "https://", 8) == 0 ? uri + 8
                                                              : NULL;
    size_t len = host ? strcspn(host, "/?") : 0;
    return len ? host + len : uri;
}

/* Splits the target "/path?query"; false: it is no path of this server. */
static bool split_target(struct exchange *x, struct err *err)
{
    const char *uri = skip_authority(x->uri), *mark = strchr(uri, '?');
    struct slice path = {uri, mark ? (size_t)(mark - uri) : strlen(uri)};
    if (uri != x->uri && path.len == 0)
        path = SLICE("/");
    if (path.len == 0 || path.ptr[0] != '/')
        return err_set(err, ERR_INVALID, "the request's target is not a path");
    if (mark)
        x->request.query = slice_from(mark + 1);
    return percent_decode(&x->arena, path, false, &x->request.path, err);
}

static bool refuse(struct exchange *x, int status, const char *why)
{
    response_error(&x->response, status, status == 503 ? "unavailable" : "bad_data", "%s", why);
    x->response.close = true;
    return false;
}

/* Decides about the request when its headers are in. False: the response is filled. */
static bool admit(struct exchange *x, const char *method)
{
    struct http *http = x->http;
    struct request *request = &x->request;
    struct framing framing;
    struct err err = {0};
    framing_read(x->connection, &framing);
    request->method = framing_method(method);
    request->form = framing.form;
    request->from_page = framing.from_page;
    request->arena = &x->arena;
    request->cancel = &x->cancel;
    request->now_ms = clock_now_ms();
    request->start_ns = clock_mono_ns();
    request->path = SLICE("/");
    if (framing.fault)
        return refuse(x, 400, framing.fault);
    if (!split_target(x, &err))
        return refuse(x, 400, err.text);
    if (atomic_load(&http->stopping))
        return refuse(x, 503, "the server is stopping");
    if (framing.content_length > http->options.body_bytes)
        return refuse(x, 413, "the request's body is too large");
    x->admission = http->options.admit(http->options.ctx, request, &x->response);
    if (x->admission != HTTP_REFUSE)
        return true;
    /* What is not read of a body would be taken for the next request. */
    x->response.close |= framing.content_length > 0 || framing.chunked;
    return false;
}

/* ---- body ---- */

static void take_body(struct exchange *x, const char *data, size_t size)
{
    if (x->too_large || x->no_room)
        return;
    if (x->body.len + size > x->http->options.body_bytes)
        x->too_large = true;
    else if (!hold(x, size))
        x->no_room = true;
    else
        buf_add(&x->body, data, size);
}

/* ---- work ---- */

static void handle(struct exchange *x)
{
    struct http *http = x->http;
    x->request.body = buf_view(&x->body);
    http->options.handle(http->options.ctx, &x->request, &x->response);
    if (x->response.body.failed)
        response_error(&x->response, 422, "execution",
            "the answer is larger than the %zu bytes that are allowed: ask for less at once",
            http->options.answer_bytes);
    if (!hold(x, x->response.body.cap))
        refuse_busy(x, "too many bytes of answers wait to be fetched");
    /* The memory of the work goes back before the answer is on its way. */
    x->request.path = x->request.capture = SLICE("");
    x->request.params = (struct params){0};
    arena_fini(&x->arena);
}

static void work(void *arg)
{
    struct exchange *x = arg;
    struct http *http = x->http;
    struct MHD_Connection *connection = x->connection;
    handle(x);
    x->stage = STAGE_READY;
    MHD_resume_connection(connection);
    /* From here on the exchange belongs to the server's thread again. */
    atomic_fetch_sub(&http->active, 1);
}

static enum MHD_Result queue(struct exchange *x)
{
    struct http *http = x->http;
    x->stage = STAGE_WORK;
    if (x->peer)
        peers_set(http->peers, x->peer, PEER_WORK, &x->cancel);
    atomic_fetch_add(&http->active, 1);
    /* Suspended first: a worker may resume it before worker_pool_submit has returned. */
    MHD_suspend_connection(x->connection);
    if (!worker_pool_submit(http->pool, x)) {
        refuse_busy(x, "too many queries at once: the queue is full");
        x->stage = STAGE_READY;
        MHD_resume_connection(x->connection);
        atomic_fetch_sub(&http->active, 1);
    }
    return MHD_YES;
}

static enum MHD_Result run(struct exchange *x)
{
    if (x->too_large) {
        refuse(x, 413, "the request's body is too large");
        return answer(x);
    }
    if (x->no_room) {
        refuse_busy(x, "too many bytes of requests at once");
        return answer(x);
    }
    if (x->admission == HTTP_QUEUE)
        return queue(x);
    handle(x);
    return answer(x);
}

/* libmicrohttpd calls this with the headers, with every piece of the body, at its end, and after a
 * suspended connection was resumed. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
    const char *method, const char *version, const char *data, size_t *size, void **slot)
{
    struct exchange *x = *slot;
    (void)cls, (void)connection, (void)url, (void)version;
    switch (x->stage) {
    case STAGE_HEADERS:
        if (!admit(x, method))
            return answer(x);
        x->stage = STAGE_BODY;
        if (x->peer)
            peers_set(x->http->peers, x->peer, PEER_BODY, NULL);
        return MHD_YES;
    case STAGE_BODY:
        if (*size == 0)
            return run(x);
        take_body(x, data, *size);
        *size = 0;
        return MHD_YES;
    case STAGE_READY: return answer(x);
    case STAGE_WORK:
    case STAGE_SENT: break;
    }
    return MHD_YES;
}

/* ---- start and stop ---- */

static void on_connection(void *cls, struct MHD_Connection *connection, void **slot,
    enum MHD_ConnectionNotificationCode what)
{
    struct http *http = cls;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        *slot = info ? peers_add(http->peers, info->connect_fd) : NULL;
    } else if (*slot) {
        peers_remove(http->peers, *slot);
        *slot = NULL;
    }
}

__attribute__((format(printf, 2, 0))) static void on_log(void *cls, const char *fmt, va_list ap)
{
    char line[512];
    (void)cls;
    int n = vsnprintf(line, sizeof line, fmt, ap);
    while (n > 0 && (size_t)n < sizeof line && line[n - 1] == '\n')
        line[--n] = 0;
    log_debug("http: %s", line);
}

static void fill_defaults(struct http_options *o)
{
    o->workers = o->workers ? o->workers : 4;
    o->queue = o->queue ? o->queue : 64;
    o->connections = o->connections ? o->connections : 512;
    o->header_bytes = o->header_bytes ? o->header_bytes : MIB / 8;
    o->body_bytes = o->body_bytes ? o->body_bytes : 4 * MIB;
    o->answer_bytes = o->answer_bytes ? o->answer_bytes : 256 * MIB;
    o->total_bytes = o->total_bytes ? o->total_bytes : 1024 * MIB;
    o->arena_bytes = o->arena_bytes ? o->arena_bytes : 1024 * MIB;
    o->connect_ms = o->connect_ms ? o->connect_ms : 10000;
    o->idle_ms = o->idle_ms ? o->idle_ms : 120000;
    o->body_ms = o->body_ms ? o->body_ms : 30000;
    o->send_ms = o->send_ms ? o->send_ms : 300000;
}

static struct MHD_Daemon *start_daemon(struct http *http, int fd)
{
    return MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        on_request, http, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)http->options.connections, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        http->options.header_bytes, MHD_OPTION_URI_LOG_CALLBACK, exchange_new, http,
        MHD_OPTION_NOTIFY_COMPLETED, exchange_free, http, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, http, MHD_OPTION_END);
}

static void http_free(struct http *http)
{
    worker_pool_free(&http->pool);
    peers_free(&http->peers);
    free(http);
}

bool http_start(const struct http_options *options, struct http **out, struct err *err)
{
    int fd, port;
    if (!listener_open(options->address, options->port, &fd, &port, err))
        return false;
    struct http *http = xcalloc(1, sizeof *http);
    http->options = *options;
    http->port = port;
    fill_defaults(&http->options);
    const struct http_options *o = &http->options;
    int64_t limits[PEER_STATES] = {[PEER_CONNECTED] = o->connect_ms,
        [PEER_IDLE] = o->idle_ms,
        [PEER_BODY] = o->body_ms,
        [PEER_SEND] = o->send_ms};
    http->peers = peers_new(limits);
    http->pool = worker_pool_new("http-worker", (size_t)o->workers, (size_t)o->queue, work);
    /* Set before the first request can come in: handlers may use it. */
    *out = http;
    http->daemon = start_daemon(http, fd);
    if (!http->daemon) {
        *out = NULL;
        http_free(http); /* the library has closed the socket */
        return err_set(
            err, ERR_IO, "cannot start the HTTP server on %s:%d", options->address, port);
    }
    return true;
}

int http_port(const struct http *http)
{
    return http->port;
}

void http_load(struct http *http, struct http_load *out)
{
    worker_pool_load(http->pool, &out->waiting, &out->running);
    peers_count(http->peers, &out->connections, &out->cut);
    out->held_bytes = atomic_load(&http->held);
    out->refused = atomic_load(&http->refused);
}

/* Waits until the counter is 0, at most ms. */
static void wait_for_none(atomic_size_t *count, int64_t ms)
{
    int64_t end = clock_mono_ns() + ms * 1000000;
    while (atomic_load(count) && clock_mono_ns() < end)
        clock_sleep_ms(5);
}

void http_stop(struct http **slot, int64_t drain_ms)
{
    struct http *http = *slot;
    if (!http)
        return;
    atomic_store(&http->stopping, true);
    int fd = MHD_quiesce_daemon(http->daemon);
    wait_for_none(&http->active, drain_ms);
    while (atomic_load(&http->active)) {
        peers_cancel(http->peers);
        wait_for_none(&http->active, 50);
    }
    worker_pool_end(http->pool);
    wait_for_none(&http->open, 1000);
    MHD_stop_daemon(http->daemon);
    if (fd >= 0)
        close(fd);
    *slot = NULL; /* not before: handlers that drain may use it */
    http_free(http);
}
