#include "api/params.h"

#include <math.h>

#include "base/number.h"
#include "base/rfc3339.h"
#include "query/parse.h"

void params_init(struct params *params, struct arena *arena)
{
    *params = (struct params){.arena = arena};
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool percent_decode(
    struct arena *arena, struct slice text, bool plus, struct slice *out, struct err *err)
{
    *out = text;
    if (text.len == 0 ||
        (!memchr(text.ptr, '%', text.len) && !(plus && memchr(text.ptr, '+', text.len))))
        return true;
    char *p = arena_alloc(arena, text.len);
    if (!p)
        return err_set(err, ERR_LIMIT, "the request is too large");
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '%') {
            int hi = i + 2 < text.len ? hex_digit(text.ptr[i + 1]) : -1;
            int lo = hi >= 0 ? hex_digit(text.ptr[i + 2]) : -1;
            if (lo < 0)
                return err_set(err, ERR_INVALID, "invalid URL escape \"%.*s\"",
                    text.len - i < 3 ? (int)(text.len - i) : 3, text.ptr + i);
            c = (char)(hi << 4 | lo);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        p[n++] = c;
    }
    *out = (struct slice){p, n};
    return true;
}

static bool add(struct params *params, struct param param, struct err *err)
{
    if (params->n == PARAMS_MAX)
        return err_set(err, ERR_LIMIT, "more than %d parameters", PARAMS_MAX);
    struct param *items =
        arena_grow(params->arena, params->items, params->n, &params->cap, sizeof *items);
    if (!items)
        return err_set(err, ERR_LIMIT, "the request is too large");
    params->items = items;
    params->items[params->n++] = param;
    return true;
}

static bool parse_pair(struct params *params, struct slice pair, struct err *err)
{
    struct param param = {pair, SLICE("")};
    const char *eq = memchr(pair.ptr, '=', pair.len);
    if (memchr(pair.ptr, ';', pair.len))
        return err_set(err, ERR_INVALID, "invalid semicolon separator in query");
    if (eq) {
        param.name.len = (size_t)(eq - pair.ptr);
        param.value = slice_of(eq + 1, pair.len - param.name.len - 1);
    }
    return percent_decode(params->arena, param.name, true, &param.name, err) &&
           percent_decode(params->arena, param.value, true, &param.value, err) &&
           add(params, param, err);
}

bool params_parse(struct params *params, struct slice text, struct err *err)
{
    while (text.len) {
        const char *amp = memchr(text.ptr, '&', text.len);
        size_t n = amp ? (size_t)(amp - text.ptr) : text.len;
        if (n && !parse_pair(params, slice_of(text.ptr, n), err))
            return false;
        n += amp != NULL;
        text = slice_of(text.ptr + n, text.len - n);
    }
    return true;
}

struct slice params_get(const struct params *params, const char *name)
{
    for (size_t i = 0; i < params->n; i++)
        if (slice_is(params->items[i].name, name))
            return params->items[i].value.len ? params->items[i].value : (struct slice){NULL, 0};
    return (struct slice){NULL, 0};
}

bool params_each(const struct params *params, const char *name, size_t *i, struct slice *value)
{
    for (; *i < params->n; (*i)++)
        if (slice_is(params->items[*i].name, name)) {
            *value = params->items[(*i)++].value;
            return true;
        }
    return false;
}

/* The text of a value in an error: quoted, cut, and without bytes that a terminal would obey. */
static const char *shown(struct slice text, char out[80])
{
    size_t n = 0;
    for (size_t i = 0; i < text.len && n < 72; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        out[n++] = c < 32 || c == 127 ? '?' : (char)c;
    }
    memcpy(out + n, n < text.len ? "..." : "", n < text.len ? 4 : 1);
    return out;
}

bool params_parse_time(struct slice text, int64_t *out, struct err *err)
{
    char tmp[80];
    double seconds;
    if (number_parse(text, &seconds)) {
        double whole, part = modf(seconds, &whole);
        /* Compared as doubles first: a value past 64 bits has no integer to convert to. */
        if (!(fabs(seconds) <= (double)TIME_MAX_MS / 1000))
            return err_set(
                err, ERR_INVALID, "cannot parse \"%s\" to a valid timestamp", shown(text, tmp));
        *out = (int64_t)whole * 1000 + (int64_t)round(part * 1000);
        return true;
    }
    if (rfc3339_parse(text, out))
        return true;
    /* What Prometheus' clients send for "since ever" and "for ever". */
    if (slice_is(text, "-292273086-05-16T16:47:06Z")) {
        *out = -TIME_MAX_MS;
        return true;
    }
    if (slice_is(text, "292277025-08-18T07:12:54.999999999Z")) {
        *out = TIME_MAX_MS;
        return true;
    }
    return err_set(err, ERR_INVALID, "cannot parse \"%s\" to a valid timestamp", shown(text, tmp));
}

bool params_parse_duration(struct slice text, int64_t *out, struct err *err)
{
    char tmp[80];
    double seconds;
    if (number_parse(text, &seconds)) {
        /* The bound of Prometheus: 64 bits of nanoseconds, 292 years. */
        if (!(fabs(seconds) < 9223372036.0))
            return err_set(err, ERR_INVALID,
                "cannot parse \"%s\" to a valid duration. It overflows int64", shown(text, tmp));
        *out = (int64_t)round(seconds * 1000);
        return true;
    }
    int64_t ms;
    if (parse_duration(text, &ms, NULL)) {
        *out = ms;
        return true;
    }
    return err_set(err, ERR_INVALID, "cannot parse \"%s\" to a valid duration", shown(text, tmp));
}

bool params_wrap(const char *name, struct err *err)
{
    char text[ERR_TEXT_MAX + 64];
    struct err placed = *err;
    placed.file[0] = 0;
    err_format(&placed, text, sizeof text);
    return err_set(err, err->code, "invalid parameter \"%s\": %s", name, text);
}

bool params_time(const struct params *params, const char *name, int64_t *out, struct err *err)
{
    struct slice text = params_get(params, name);
    return !text.ptr || params_parse_time(text, out, err) || params_wrap(name, err);
}

bool params_duration(const struct params *params, const char *name, int64_t *out, struct err *err)
{
    struct slice text = params_get(params, name);
    return !text.ptr || params_parse_duration(text, out, err) || params_wrap(name, err);
}

bool params_limit(const struct params *params, const char *name, size_t *out, struct err *err)
{
    struct slice text = params_get(params, name);
    *out = SIZE_MAX;
    if (!text.ptr)
        return true;
    bool minus = text.ptr[0] == '-';
    size_t v = 0, i = minus || text.ptr[0] == '+';
    bool ok = i < text.len;
    for (; ok && i < text.len; i++) {
        char c = text.ptr[i];
        ok = c >= '0' && c <= '9' && v <= (size_t)INT64_MAX / 10 - 1;
        v = v * 10 + (size_t)(c - '0');
    }
    char tmp[80];
    if (!ok)
        err_set(err, ERR_INVALID, "cannot parse \"%s\" to a valid limit", shown(text, tmp));
    else if (minus && v)
        ok = err_set(err, ERR_INVALID, "limit must be non-negative");
    if (!ok)
        return params_wrap(name, err);
    *out = v ? v : SIZE_MAX;
    return true;
}
