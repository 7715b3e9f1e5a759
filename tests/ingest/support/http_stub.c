#include "tests/ingest/support/http_stub.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/ensure.h"
#include "base/mem.h"
#include "base/thread.h"

#define ROUTES_MAX  128
#define HANGING_MAX 16
#define REQUEST_MAX (64u << 10)

enum manner { SAYS, REDIRECTS, HANGS };

struct route {
    enum manner manner;
    int status;
    char *path, *text;
};

struct http_stub {
    int fd, port;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    struct route routes[ROUTES_MAX];
    size_t n_routes, n_requests;
    struct buf request;          /* the one that comes; the thread's */
    char last[REQUEST_MAX + 1];  /* a copy of the last one */
    char given[REQUEST_MAX + 1]; /* to whoever asks */
    int hanging[HANGING_MAX];
    size_t n_hanging;
};

/* ---- routes; the lock is held ---- */

static bool covers(const struct route *r, const char *path)
{
    size_t n = strlen(r->path);
    return n > 1 && r->path[n - 1] == '/' && strncmp(r->path, path, n) == 0;
}

static const struct route *find(const struct http_stub *s, const char *path)
{
    const struct route *found = NULL;
    for (size_t i = 0; i < s->n_routes; i++) {
        if (strcmp(s->routes[i].path, path) == 0)
            return &s->routes[i];
        if (covers(&s->routes[i], path))
            found = &s->routes[i];
    }
    return found;
}

static void set(
    struct http_stub *s, const char *path, enum manner manner, int status, const char *text)
{
    mutex_lock(&s->lock);
    struct route *r = NULL;
    for (size_t i = 0; i < s->n_routes; i++)
        if (strcmp(s->routes[i].path, path) == 0)
            r = &s->routes[i];
    if (!r) {
        ensure(s->n_routes < ROUTES_MAX);
        r = &s->routes[s->n_routes++];
        r->path = strdup(path);
    }
    free(r->text);
    r->text = strdup(text);
    r->manner = manner;
    r->status = status;
    mutex_unlock(&s->lock);
}

void http_stub_says(struct http_stub *stub, const char *path, int status, const char *body)
{
    set(stub, path, SAYS, status, body);
}

void http_stub_redirects(struct http_stub *stub, const char *path, const char *location)
{
    set(stub, path, REDIRECTS, 307, location);
}

void http_stub_hangs(struct http_stub *stub, const char *path)
{
    set(stub, path, HANGS, 0, "");
}

/* ---- requests ---- */

static bool is_whole(struct buf *request)
{
    const char *text = buf_cstr(request), *end = strstr(text, "\r\n\r\n");
    const char *length = end ? strcasestr(text, "\r\ncontent-length:") : NULL;
    size_t body = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
    return end && request->len >= (size_t)(end + 4 - text) + body;
}

static bool read_request(struct http_stub *s, int fd)
{
    char part[4096];
    buf_clear(&s->request);
    while (!is_whole(&s->request)) {
        ssize_t n = recv(fd, part, sizeof part, 0);
        if (n <= 0)
            return false;
        buf_add(&s->request, part, (size_t)n);
        ensure(!s->request.failed);
    }
    return true;
}

static void send_all(int fd, struct slice bytes)
{
    while (bytes.len) {
        ssize_t n = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (n <= 0) /* who asked has gone */
            return;
        bytes = slice_of(bytes.ptr + n, bytes.len - (size_t)n);
    }
}

static void answer(const struct route *r, struct buf *out)
{
    if (r && r->manner == REDIRECTS)
        buf_printf(
            out, "HTTP/1.1 307 Over there\r\nLocation: %s\r\nContent-Length: 0\r\n", r->text);
    else
        buf_printf(out, "HTTP/1.1 %d As told\r\nContent-Length: %zu\r\n", r ? r->status : 500,
            r ? strlen(r->text) : 0);
    buf_str(out, "Connection: close\r\n\r\n");
    if (r && r->manner == SAYS)
        buf_str(out, r->text);
}

/* Whether the connection is to be closed. */
static bool serve(struct http_stub *s, int fd)
{
    char path[1024] = "";
    struct buf out;
    if (!read_request(s, fd))
        return true;
    buf_init(&out, 0);
    mutex_lock(&s->lock);
    const char *text = buf_cstr(&s->request), *from = strchr(text, ' ');
    if (from)
        snprintf(path, sizeof path, "%.*s", (int)strcspn(from + 1, " \r"), from + 1);
    snprintf(s->last, sizeof s->last, "%s", text);
    s->n_requests++;
    const struct route *r = find(s, path);
    bool hangs = r && r->manner == HANGS;
    if (hangs) {
        ensure(s->n_hanging < HANGING_MAX);
        s->hanging[s->n_hanging++] = fd;
    } else {
        answer(r, &out);
    }
    mutex_unlock(&s->lock);
    send_all(fd, buf_view(&out));
    buf_fini(&out);
    return !hangs;
}

static void *run(void *arg)
{
    struct http_stub *s = arg;
    for (int fd; (fd = accept(s->fd, NULL, NULL)) >= 0;)
        if (serve(s, fd))
            close(fd);
    return NULL;
}

size_t http_stub_requests(struct http_stub *stub)
{
    mutex_lock(&stub->lock);
    size_t n = stub->n_requests;
    mutex_unlock(&stub->lock);
    return n;
}

const char *http_stub_last(struct http_stub *stub)
{
    mutex_lock(&stub->lock);
    memcpy(stub->given, stub->last, sizeof stub->given);
    mutex_unlock(&stub->lock);
    return stub->given;
}

/* ---- life ---- */

struct http_stub *http_stub_new(void)
{
    struct http_stub *s = xcalloc(1, sizeof *s);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ensure(s->fd >= 0);
    ensure(bind(s->fd, (struct sockaddr *)&address, sizeof address) == 0);
    ensure(listen(s->fd, 64) == 0);
    ensure(getsockname(s->fd, (struct sockaddr *)&address, &size) == 0);
    s->port = ntohs(address.sin_port);
    mutex_init(&s->lock);
    buf_init(&s->request, REQUEST_MAX);
    thread_start(&s->thread, "stub", run, s);
    return s;
}

void http_stub_free(struct http_stub **stub)
{
    struct http_stub *s = *stub;
    *stub = NULL;
    shutdown(s->fd, SHUT_RDWR);
    thread_join(s->thread);
    close(s->fd);
    for (size_t i = 0; i < s->n_hanging; i++)
        close(s->hanging[i]);
    for (size_t i = 0; i < s->n_routes; i++) {
        free(s->routes[i].path);
        free(s->routes[i].text);
    }
    buf_fini(&s->request);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

int http_stub_port(const struct http_stub *stub)
{
    return stub->port;
}
