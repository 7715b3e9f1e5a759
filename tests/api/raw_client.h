/*
 * A client that sends exactly the bytes it is told to, for requests that no HTTP library would
 * send.
 */
#ifndef TESTS_RAW_CLIENT_H
#define TESTS_RAW_CLIENT_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

static inline int client_connect(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr = {htonl(INADDR_LOOPBACK)}};
    if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) != 0) {
        perror("connect");
        abort();
    }
    return fd;
}

/* False when the peer has closed. */
static inline bool client_send(int fd, const void *bytes, size_t len)
{
    for (const char *p = bytes; len;) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

static inline bool client_send_text(int fd, const char *text)
{
    return client_send(fd, text, strlen(text));
}

/* Reads until the peer closes, until `enough` is in what came, or for ms. True: not for ms. */
static inline bool client_read(int fd, struct buf *out, const char *enough, int64_t ms)
{
    int64_t end = clock_mono_ns() + ms * 1000000;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = (end - clock_mono_ns()) / 1000000;
        if (left <= 0 || poll(&p, 1, (int)left) <= 0)
            return false;
        char *at = buf_reserve(out, 65536);
        ssize_t n = at ? recv(fd, at, 65536, 0) : -1;
        if (n <= 0)
            return true;
        out->len += (size_t)n;
        if (enough && strstr(buf_cstr(out), enough))
            return true;
    }
}

/* The status of an answer, 0 when there is none. */
static inline int client_status(struct buf *answer)
{
    int status = 0;
    return sscanf(buf_cstr(answer), "HTTP/1.%*d %d", &status) == 1 ? status : 0;
}

/* Where the body starts. */
static inline const char *client_body(struct buf *answer)
{
    const char *at = strstr(buf_cstr(answer), "\r\n\r\n");
    return at ? at + 4 : "";
}

/* One connection, one request, all of the answer; returns its status. */
static inline int client_exchange(int port, const void *bytes, size_t len, struct buf *answer)
{
    int fd = client_connect(port);
    buf_clear(answer);
    client_send(fd, bytes, len);
    client_read(fd, answer, NULL, 10000);
    close(fd);
    return client_status(answer);
}

static inline int client_get(int port, const char *target, struct buf *answer)
{
    struct buf request;
    buf_init(&request, 0);
    buf_printf(&request, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", target);
    int status = client_exchange(port, request.ptr, request.len, answer);
    buf_fini(&request);
    return status;
}

static inline int client_post(int port, const char *target, const char *body, struct buf *answer)
{
    struct buf request;
    buf_init(&request, 0);
    buf_printf(&request,
        "POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %zu\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n\r\n%s",
        target, strlen(body), body);
    int status = client_exchange(port, request.ptr, request.len, answer);
    buf_fini(&request);
    return status;
}

#endif
