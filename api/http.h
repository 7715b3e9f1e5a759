/*
 * HTTP/1.1 over libmicrohttpd, without knowledge of what is served. Two functions of the owner do
 * that:
 *
 *     admit   sees method and path when the headers are in, before any of the body is read
 *     handle  makes the answer of a complete request: what never waits in the server's thread, all
 *             else on a pool of workers
 *
 *     accept -> headers -> admit -> body -> [suspend -> queue -> worker: handle -> resume] -> send
 *
 * One thread accepts, parses and sends; it never waits. Everything read from outside is bounded:
 * line and headers share one buffer, the body has a limit, so do the bytes of all bodies and
 * answers together, connections, queued requests, and the time that a connection may take for each
 * of its steps (peers.h).
 *
 * libmicrohttpd 0.9.75 lets through what RFC 9112 forbids and what makes request smuggling possible
 * behind a proxy: Content-Length together with Transfer-Encoding, either of them twice, two Host
 * headers. All of these are refused here with 400, and the connection is closed.
 */
#ifndef API_HTTP_H
#define API_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "api/request.h"
#include "api/response.h"
#include "base/err.h"

enum http_admission {
    HTTP_REFUSE, /* the response is filled already; the body is not read */
    HTTP_HERE,   /* handle in the server's thread */
    HTTP_QUEUE,  /* handle on a worker */
};

struct http_options {
    const char *address;
    int port;
    int workers, queue;
    size_t connections;  /* open at once; more wait in the system's queue. 0: 512 */
    size_t header_bytes; /* of request line and headers together; 0: 128 KiB */
    size_t body_bytes;   /* of one request; 0: 4 MiB */
    size_t answer_bytes; /* of one answer; 0: 256 MiB */
    size_t total_bytes;  /* of all bodies and answers in memory; 0: 1 GiB */
    size_t arena_bytes;  /* that answering one request may take; 0: 1 GiB */
    /* How long, in ms: from accept to the end of the headers (0: 10 s), between requests (0: 2
     * min), for a body (0: 30 s), for an answer to be fetched (0: 5 min). */
    int64_t connect_ms, idle_ms, body_ms, send_ms;

    void *ctx;
    enum http_admission (*admit)(void *ctx, struct request *request, struct response *response);
    void (*handle)(void *ctx, struct request *request, struct response *response);
    /* Called once per answered request, for counting; may be NULL. */
    void (*done)(void *ctx, const struct request *request, const struct response *response);
};

struct http_load {
    size_t connections, waiting, running, held_bytes;
    uint64_t cut;     /* connections that were closed at a deadline */
    uint64_t refused; /* requests refused because the queue or the memory was full */
};

struct http;

bool http_start(const struct http_options *options, struct http **out, struct err *err);
int http_port(const struct http *http);
void http_load(struct http *http, struct http_load *out);
/* Stops accepting; requests that come in on open connections get 503. Lets running work end, at
 * most drain_ms, then cancels it; sends what is ready, frees. */
void http_stop(struct http **http, int64_t drain_ms);

#endif
