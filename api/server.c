#include "api/server.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "api/http.h"
#include "api/metrics_api.h"
#include "api/route.h"
#include "base/clock.h"
#include "base/mem.h"

#define DRAIN_MS         5000
#define QUERY_TIMEOUT_MS 120000

struct server {
    struct server_options options;
    struct http *http;
    struct metrics *metrics;
    _Atomic(struct store *) store;
};

static struct api api_of(struct server *server)
{
    return (struct api){
        .store = atomic_load(&server->store),
        .http = server->http,
        .metrics = server->metrics,
        .more_metrics = server->options.metrics,
        .more_metrics_ctx = server->options.metrics_ctx,
        .source = server->options.source,
        .source_ctx = server->options.source_ctx,
        .reload = server->options.reload,
        .reload_ctx = server->options.reload_ctx,
        .replay = server->options.replay,
        .replay_ctx = server->options.replay_ctx,
        .engine = &server->options.engine,
        .timeout_ms = server->options.timeout_ms,
    };
}

/* ---- pages ---- */

static const struct asset *find_page(const struct server *server, struct slice path)
{
    for (size_t i = 0; i < server->options.n_pages; i++)
        if (slice_is(path, server->options.pages[i].path))
            return &server->options.pages[i];
    return NULL;
}

/* The pages load nothing from elsewhere and run no inline script, and nobody may frame them. */
static void send_page(const struct asset *page, struct response *response)
{
    response->type = page->type;
    response->fixed = slice_of(page->data, page->len);
    response_header(response, "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; font-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'");
    response_header(response, "Cache-Control", "no-cache");
    response_header(response, "Referrer-Policy", "no-referrer");
}

/* ---- requests ---- */

/* "GET, HEAD": fits every or-ed set of methods. */
static const char *allow_of(unsigned methods)
{
    if (methods == (HTTP_GET | HTTP_POST))
        return "GET, POST, OPTIONS";
    if (methods == HTTP_POST)
        return "POST, OPTIONS";
    return methods & HTTP_HEAD ? "GET, HEAD, OPTIONS" : "GET, OPTIONS";
}

static enum http_admission admit(void *ctx, struct request *request, struct response *response)
{
    struct server *server = ctx;
    const struct route *route = route_find(request->path, &request->capture);
    request->route = route;
    response_header(response, "X-Content-Type-Options", "nosniff");
    if (!route && !find_page(server, request->path)) {
        response_text(response, 404, "404 page not found\n");
        return HTTP_REFUSE;
    }
    unsigned methods = route ? route->methods : (unsigned)(HTTP_GET | HTTP_HEAD);
    if (!(request->method & methods)) {
        bool asked = request->method == HTTP_OPTIONS;
        response_text(response, asked ? 204 : 405, asked ? "" : "Method Not Allowed\n");
        response_header(response, "Allow", allow_of(methods));
        return HTTP_REFUSE;
    }
    if (route && route->changes && request->from_page) {
        response_error(response, 403, "forbidden", "a page in a browser may not change anything");
        return HTTP_REFUSE;
    }
    if (route && route->needs_store && !atomic_load(&server->store)) {
        response_error(response, 503, "unavailable", "starting: the store is being opened");
        response_header(response, "Retry-After", "1");
        return HTTP_REFUSE;
    }
    return !route || route->here ? HTTP_HERE : HTTP_QUEUE;
}

static void handle(void *ctx, struct request *request, struct response *response)
{
    struct server *server = ctx;
    struct err err = {0};
    if (!request->route) {
        send_page(find_page(server, request->path), response);
        return;
    }
    if (request->body.len && !request->form) {
        response_error(response, 415, "bad_data",
            "the body must be a form: Content-Type: application/x-www-form-urlencoded");
        return;
    }
    params_init(&request->params, request->arena);
    struct slice form = request->method == HTTP_POST ? request->body : SLICE("");
    if (!params_parse(&request->params, form, &err) ||
        !params_parse(&request->params, request->query, &err)) {
        err_wrap(&err, "error parsing form values");
        response_err(response, &err);
        return;
    }
    struct api api = api_of(server);
    request->route->handle(&api, request, response);
}

static void done(void *ctx, const struct request *request, const struct response *response)
{
    struct server *server = ctx;
    int64_t took_ns = clock_mono_ns() - request->start_ns;
    metrics_request(server->metrics, request->route, response->status, took_ns);
}

/* ---- start and stop ---- */

bool server_start(const struct server_options *options, struct server **out, struct err *err)
{
    struct server *server = xcalloc(1, sizeof *server);
    server->options = *options;
    if (!server->options.timeout_ms)
        server->options.timeout_ms = QUERY_TIMEOUT_MS;
    atomic_init(&server->store, options->store);
    server->metrics = metrics_new();
    struct http_options http = {
        .address = options->address,
        .port = options->port,
        .workers = options->workers,
        .queue = options->queue,
        .arena_bytes = options->query_bytes,
        .ctx = server,
        .admit = admit,
        .handle = handle,
        .done = done,
    };
    if (!http_start(&http, &server->http, err)) {
        metrics_free(&server->metrics);
        free(server);
        return false;
    }
    *out = server;
    return true;
}

int server_port(const struct server *server)
{
    return http_port(server->http);
}

void server_set_store(struct server *server, struct store *store)
{
    atomic_store(&server->store, store);
}

void server_stop(struct server **slot)
{
    struct server *server = *slot;
    *slot = NULL;
    if (!server)
        return;
    http_stop(&server->http, DRAIN_MS);
    metrics_free(&server->metrics);
    free(server);
}
