/*
 * One request as the handlers see it. It is filled by the HTTP server, which owns all of it, and
 * lives until its answer is sent.
 */
#ifndef API_REQUEST_H
#define API_REQUEST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/params.h"
#include "base/arena.h"
#include "base/slice.h"

enum http_method {
    HTTP_GET = 1,
    HTTP_POST = 2,
    HTTP_HEAD = 4,
    HTTP_OPTIONS = 8,
    HTTP_OTHER = 16,
};

struct route;

struct request {
    enum http_method method;
    struct slice path;  /* decoded; always starts with '/' */
    struct slice query; /* behind the '?', as sent */
    struct slice body;  /* empty until the request is complete */
    bool from_page;     /* a browser sent it on behalf of a page: it has an Origin */
    bool form;          /* the body says that it is a form, or does not say what it is */
    struct arena *arena;
    const atomic_bool *cancel; /* becomes true when the client has gone away, or the server stops */
    int64_t now_ms;            /* wall clock when the headers had come in */
    int64_t start_ns;          /* the same on clock_mono_ns */

    /* Set by the router. */
    const struct route *route;
    struct slice capture; /* what stood where the route's path has a '*' */
    struct params params;
};

#endif
