/*
 * A server of HTTP on a port of 127.0.0.1 that answers what it is told to, one request per
 * connection, one after the other on its own thread. Any thread may call.
 */
#ifndef TESTS_INGEST_SUPPORT_HTTP_STUB_H
#define TESTS_INGEST_SUPPORT_HTTP_STUB_H

#include <stddef.h>

struct http_stub;

struct http_stub *http_stub_new(void);
/* Ends the requests that hang, too. */
void http_stub_free(struct http_stub **stub);
int http_stub_port(const struct http_stub *stub);

/* What a path is answered with, its query included, from now on. A path that ends with a slash is
 * that of all below it, unless there is a better one. Others are answered 500. Texts are copied. */
void http_stub_says(struct http_stub *stub, const char *path, int status, const char *body);
void http_stub_redirects(struct http_stub *stub, const char *path, const char *location);
/* No answer at all. */
void http_stub_hangs(struct http_stub *stub, const char *path);

/* How many there were so far; one counts before it is answered. */
size_t http_stub_requests(struct http_stub *stub);
/* The last one, head and body; until the next call. Names of headers as they came. */
const char *http_stub_last(struct http_stub *stub);

#endif
