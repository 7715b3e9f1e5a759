/*
 * One call of a server's HTTP API, as the command line makes it.
 */
#ifndef CMD_ASK_H
#define CMD_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#define ASK_DEFAULT_SERVER "http://127.0.0.1:9595"
#define ASK_ANSWER_MAX     (1024u << 20) /* bytes of an answer */

/* The server that is asked: the one that is given, else $LARDER_SERVER, else otherwise. NULL and ""
 * name none. */
const char *ask_server(const char *given, const char *otherwise);

/* Adds "name=value" to an application/x-www-form-urlencoded body. */
void ask_field(struct buf *form, const char *name, struct slice value);

/* POSTs the form to server + path. The body is read whatever the status is. ERR_UNAVAILABLE: the
 * server cannot be reached; ERR_TIMEOUT; ERR_LIMIT: the answer is too large; ERR_USAGE: the URL. */
bool ask_post(const char *server, const char *path, struct slice form, int64_t timeout_ms,
    struct buf *body, long *status, struct err *err);

/* The same as a GET. */
bool ask_get(const char *server, const char *path, int64_t timeout_ms, struct buf *body,
    long *status, struct err *err);

#endif
