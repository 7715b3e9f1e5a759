#include "cmd/ask.h"

#include <stdlib.h>

#include <curl/curl.h>
#include <string.h>

#include "base/ensure.h"

#define CONNECT_MS 5000L

const char *ask_server(const char *given, const char *otherwise)
{
    const char *server = given && *given ? given : getenv("LARDER_SERVER");
    return server && *server ? server : otherwise;
}

void ask_field(struct buf *form, const char *name, struct slice value)
{
    static const char hex[] = "0123456789ABCDEF";
    if (form->len)
        buf_char(form, '&');
    buf_str(form, name);
    buf_char(form, '=');
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                     c == '-' || c == '_' || c == '.' || c == '~';
        if (plain) {
            buf_char(form, (char)c);
        } else {
            buf_char(form, '%');
            buf_char(form, hex[c >> 4]);
            buf_char(form, hex[c & 15]);
        }
    }
}

static size_t on_data(char *data, size_t size, size_t n, void *ctx)
{
    struct buf *body = ctx;
    buf_add(body, data, size * n);
    return body->failed ? 0 : size * n;
}

static void make_url(const char *server, const char *path, struct buf *url)
{
    size_t n = strlen(server);
    while (n && server[n - 1] == '/')
        n--;
    if (!strstr(server, "://"))
        buf_str(url, "http://");
    buf_add(url, server, n);
    buf_str(url, path);
}

static bool failure(
    CURLcode code, const char *server, const char *detail, const struct buf *body, struct err *err)
{
    if (body->failed)
        return err_set(err, ERR_LIMIT, "the answer is larger than %u bytes", ASK_ANSWER_MAX);
    const char *why = *detail ? detail : curl_easy_strerror(code);
    switch (code) {
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return err_set(err, ERR_USAGE, "\"%s\" is no URL of a server: %s", server, why);
    case CURLE_OPERATION_TIMEDOUT:
        return err_set(err, ERR_TIMEOUT, "no answer from %s: %s", server, why);
    default: return err_set(err, ERR_UNAVAILABLE, "cannot ask %s: %s", server, why);
    }
}

/* form NULL: a GET. */
static bool call(const char *server, const char *path, const struct slice *form, int64_t timeout_ms,
    struct buf *body, long *status, struct err *err)
{
    char detail[CURL_ERROR_SIZE] = "";
    struct buf url;
    buf_init(&url, 0);
    make_url(server, path, &url);
    ensure(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    CURL *curl = curl_easy_init();
    ensure(curl);
    curl_easy_setopt(curl, CURLOPT_URL, buf_cstr(&url));
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    if (form) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)form->len);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, form->ptr);
    }
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
    CURLcode code = curl_easy_perform(curl);
    *status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
    bool ok = code == CURLE_OK || failure(code, server, detail, body, err);
    curl_easy_cleanup(curl);
    curl_global_cleanup();
    buf_fini(&url);
    return ok;
}

bool ask_post(const char *server, const char *path, struct slice form, int64_t timeout_ms,
    struct buf *body, long *status, struct err *err)
{
    return call(server, path, &form, timeout_ms, body, status, err);
}

bool ask_get(const char *server, const char *path, int64_t timeout_ms, struct buf *body,
    long *status, struct err *err)
{
    return call(server, path, NULL, timeout_ms, body, status, err);
}
