/*
 * What the headers of a request say about its method and body, and whether they may say so. See
 * RFC 9112 sections 3.2 and 6: libmicrohttpd 0.9.75 takes requests that these forbid.
 */
#ifndef API_FRAMING_H
#define API_FRAMING_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/request.h"

struct framing {
    uint64_t content_length; /* 0: none, or chunked */
    bool chunked;
    bool form, from_page; /* as in struct request */
    const char
        *fault; /* what is wrong, or NULL: such a request is refused and its connection closed */
};

void framing_read(struct MHD_Connection *connection, struct framing *out);
enum http_method framing_method(const char *name);

#endif
