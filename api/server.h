/*
 * The HTTP server: Prometheus' API over the engine and the store, health, metrics and the built-in
 * pages. libmicrohttpd accepts; queries run on a bounded pool of workers. Everything read from
 * outside is bounded: request line, headers, body, parameters, connections, time (see http.h).
 */
#ifndef API_SERVER_H
#define API_SERVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/route.h"
#include "base/buf.h"
#include "base/err.h"
#include "dashboards/assets.h"
#include "query/engine.h"
#include "store/store.h"

struct server;

struct server_options {
    const char *address; /* "127.0.0.1" */
    int port;            /* 0: any free one */
    struct store *store; /* NULL until the store is open: see server_set_store */
    struct engine_options engine;
    int workers;          /* query threads; 0: 4 */
    int queue;            /* requests that may wait for one; 0: 64; more get 503 with Retry-After */
    int64_t timeout_ms;   /* of a query; 0: 2 minutes */
    uint64_t query_bytes; /* memory that one query may take; 0: 1 GiB */
    const struct asset *pages; /* outlive the server; may be NULL */
    size_t n_pages;
    /* Adds further lines to /metrics, in Prometheus' text format; may be NULL. Called from
     * several workers at once. */
    void (*metrics)(void *ctx, struct buf *out);
    void *metrics_ctx;
    source_ask_f *source; /* what operators ask; may be NULL. Called from several workers at once */
    void *source_ctx;
    /* Reads the config again, for POST /-/reload; NULL: it is refused. A worker calls it. */
    bool (*reload)(void *ctx, const atomic_bool *cancel, struct err *err);
    void *reload_ctx;
    /* Answers /api/v1/replay, with JSON; NULL: nobody does. A worker calls it. */
    bool (*replay)(
        void *ctx, const struct replay_request *request, struct buf *out, struct err *err);
    void *replay_ctx;
};

/* Listens at once; until server_set_store, queries and /-/ready answer 503 "starting". ERR_BUSY:
 * the port is in use, and the text says so. */
bool server_start(const struct server_options *options, struct server **out, struct err *err);
int server_port(const struct server *server);
void server_set_store(struct server *server, struct store *store);
/* Stops accepting, lets running queries end (at most 5 s, then cancels them), frees. */
void server_stop(struct server **server);

#endif
