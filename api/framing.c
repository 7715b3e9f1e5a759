#include "api/framing.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct headers {
    unsigned host, length, encoding;
    bool length_ok, encoding_ok;
    uint64_t content_length;
};

static enum MHD_Result count_header(
    void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct headers *h = cls;
    (void)kind;
    if (strcasecmp(name, "Host") == 0) {
        h->host++;
    } else if (strcasecmp(name, "Content-Length") == 0) {
        size_t n = value ? strspn(value, "0123456789") : 0;
        h->length++;
        h->length_ok = n > 0 && n < 19 && !value[n];
        h->content_length = h->length_ok ? strtoull(value, NULL, 10) : 0;
    } else if (strcasecmp(name, "Transfer-Encoding") == 0) {
        h->encoding++;
        h->encoding_ok = value && strcasecmp(value, "chunked") == 0;
    }
    return MHD_YES;
}

static const char *fault_of(const struct headers *h)
{
    if (h->host > 1)
        return "more than one Host header";
    if (h->length > 1)
        return "more than one Content-Length header";
    if (h->length && !h->length_ok)
        return "Content-Length is not a number";
    if (h->length && h->encoding)
        return "Content-Length and Transfer-Encoding exclude each other";
    if (h->encoding > 1 || (h->encoding && !h->encoding_ok))
        return "the only Transfer-Encoding that is taken is chunked";
    return NULL;
}

static bool is_form(struct MHD_Connection *connection)
{
    static const char form[] = "application/x-www-form-urlencoded";
    const char *type = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Type");
    if (!type || !*type)
        return true;
    char next = strncasecmp(type, form, sizeof form - 1) == 0 ? type[sizeof form - 1] : 'x';
    return next == 0 || next == ';' || next == ' ' || next == '\t';
}

void framing_read(struct MHD_Connection *connection, struct framing *out)
{
    struct headers h = {0};
    MHD_get_connection_values(connection, MHD_HEADER_KIND, count_header, &h);
    out->content_length = h.content_length;
    out->chunked = h.encoding > 0;
    out->form = is_form(connection);
    out->from_page = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Origin") != NULL;
    out->fault = fault_of(&h);
}

enum http_method framing_method(const char *name)
{
    static const struct {
        const char *name;
        enum http_method method;
    } known[] = {
        {"GET", HTTP_GET}, {"POST", HTTP_POST}, {"HEAD", HTTP_HEAD}, {"OPTIONS", HTTP_OPTIONS}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(name, known[i].name) == 0)
            return known[i].method;
    return HTTP_OTHER;
}
