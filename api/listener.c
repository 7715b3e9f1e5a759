#include "api/listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 1024

static bool resolve(const char *address, int port, struct addrinfo **out, struct err *err)
{
    char host[256], service[16];
    size_t n = strlen(address);
    bool all = n == 0 || strcmp(address, "*") == 0;
    if (n >= 2 && address[0] == '[' && address[n - 1] == ']')
        snprintf(host, sizeof host, "%.*s", (int)(n - 2), address + 1);
    else
        snprintf(host, sizeof host, "%s", address);
    snprintf(service, sizeof service, "%d", port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    int rc = getaddrinfo(all ? NULL : host, service, &hints, out);
    if (rc == EAI_SYSTEM)
        return err_sys(err, "cannot look up the address \"%s\"", address);
    if (rc)
        return err_set(err, ERR_USAGE, "cannot listen on \"%s\": %s", address, gai_strerror(rc));
    return true;
}

static bool bind_to(const struct addrinfo *info, int *out)
{
    int on = 1, fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) {
        *out = fd;
        return true;
    }
    int saved = errno;
    close(fd);
    errno = saved;
    return false;
}

static int port_of(int fd)
{
    struct sockaddr_storage at = {0};
    socklen_t len = sizeof at;
    if (getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        return 0;
    /* The port lies at the same place in both families. */
    struct sockaddr_in in;
    memcpy(&in, &at, sizeof in);
    return ntohs(in.sin_port);
}

bool listener_open(const char *address, int port, int *fd, int *bound, struct err *err)
{
    struct addrinfo *list;
    if (port < 0 || port > 65535)
        return err_set(err, ERR_USAGE, "%d is no port: 0 to 65535", port);
    if (!resolve(address, port, &list, err))
        return false;
    bool ok = false;
    for (struct addrinfo *i = list; i && !ok; i = i->ai_next)
        ok = bind_to(i, fd);
    int saved = errno;
    freeaddrinfo(list);
    if (ok) {
        *bound = port_of(*fd);
        return true;
    }
    errno = saved;
    if (saved == EADDRINUSE)
        return err_set(err, ERR_BUSY,
            "port %d of %s is in use by another process: stop it, or choose another port", port,
            *address ? address : "*");
    return err_sys(err, "cannot listen on %s:%d", address, port);
}
