#include "api/response.h"

#include <stdarg.h>
#include <stdio.h>

#include "api/json_out.h"
#include "base/ensure.h"

#define TYPE_JSON "application/json"

void response_init(struct response *response, size_t body_limit)
{
    *response = (struct response){.status = 200, .type = TYPE_JSON};
    buf_init(&response->body, body_limit);
}

void response_fini(struct response *response)
{
    buf_fini(&response->body);
}

void response_header(struct response *response, const char *name, const char *value)
{
    ensure(response->n_headers < RESPONSE_HEADERS_MAX);
    response->headers[response->n_headers].name = name;
    response->headers[response->n_headers].value = value;
    response->n_headers++;
}

void response_time(struct response *response, const char *name, int64_t ms)
{
    ensure(response->n_times < RESPONSE_TIMES_MAX);
    char *text = response->times[response->n_times++];
    rfc3339_format(ms, text);
    response_header(response, name, text);
}

/* A body that was begun may be huge: its memory goes back now, not when the answer is sent. */
static void restart(struct response *response, int status, const char *type)
{
    buf_fini(&response->body);
    response->body.failed = false;
    response->fixed = (struct slice){NULL, 0};
    response->status = status;
    response->type = type;
}

void response_text(struct response *response, int status, const char *text)
{
    restart(response, status, "text/plain; charset=utf-8");
    buf_str(&response->body, text);
}

void response_error(struct response *response, int status, const char *type, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX + 512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    restart(response, status, TYPE_JSON);
    json_out_error(&response->body, type, slice_from(text));
}

void response_err(struct response *response, const struct err *err)
{
    int status = 500;
    const char *type = "internal";
    switch (err->code) {
    case ERR_USAGE:
    case ERR_INVALID:
        status = err->sys == 1 ? 422 : 400;
        type = err->sys == 1 ? "execution" : "bad_data";
        break;
    case ERR_UNSUPPORTED:
    case ERR_LIMIT:
        status = 422;
        type = "execution";
        break;
    case ERR_TIMEOUT:
        status = 503;
        type = "timeout";
        break;
    case ERR_CANCELED:
        status = 499;
        type = "canceled";
        break;
    case ERR_NOT_FOUND:
        status = 404;
        type = "not_found";
        break;
    case ERR_UNAVAILABLE:
    case ERR_BUSY:
        status = 503;
        type = "unavailable";
        break;
    case ERR_OK:
    case ERR_IO:
    case ERR_NO_SPACE:
    case ERR_CORRUPT: break;
    }
    char text[ERR_TEXT_MAX + ERR_FILE_MAX + 32];
    response_error(response, status, type, "%s", err_format(err, text, sizeof text));
    if (status == 503)
        response_header(response, "Retry-After", "1");
}
