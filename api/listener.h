/*
 * The listening socket of the HTTP server, opened apart from it so that what goes wrong has a name.
 */
#ifndef API_LISTENER_H
#define API_LISTENER_H

#include <stdbool.h>

#include "base/err.h"

/* address: a name or a number, "[::1]" in brackets or not, "" or "*" for all; port 0 for any free
 * one, *bound says which. The caller closes *fd. ERR_BUSY: the port is in use; ERR_USAGE: there is
 * no such address on this machine; ERR_IO. */
bool listener_open(const char *address, int port, int *fd, int *bound, struct err *err);

#endif
