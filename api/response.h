/*
 * One answer: status, type and a body that is built in memory under a byte limit, or that is fixed
 * (pages in the program). Errors have Prometheus' envelope:
 *
 *     bad_data 400, execution 422, canceled 499, internal 500, timeout and unavailable 503
 */
#ifndef API_RESPONSE_H
#define API_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/rfc3339.h"
#include "base/slice.h"

#define RESPONSE_HEADERS_MAX 8
#define RESPONSE_TIMES_MAX   2

struct response {
    int status;
    const char *type; /* Content-Type */
    struct buf body;
    struct slice fixed; /* sent instead of the body when ptr is set; outlives the server */
    struct {
        const char *name, *value; /* outlive the server */
    } headers[RESPONSE_HEADERS_MAX];
    size_t n_headers;
    char times[RESPONSE_TIMES_MAX][RFC3339_MAX]; /* values of headers */
    size_t n_times;
    bool close; /* the connection ends with this answer */
};

/* 200, JSON, empty. */
void response_init(struct response *response, size_t body_limit);
void response_fini(struct response *response);
void response_header(struct response *response, const char *name, const char *value);
/* The value is a time. At most RESPONSE_TIMES_MAX of them. */
void response_time(struct response *response, const char *name, int64_t ms);

/* These replace what is there. */
void response_text(struct response *response, int status, const char *text);
void response_error(struct response *response, int status, const char *type, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Status and type from the code: see the top of the file. ERR_INVALID with sys = 1 is an error of
 * executing a query, not of asking it. */
void response_err(struct response *response, const struct err *err);

#endif
