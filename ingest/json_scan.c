#include "ingest/json_scan.h"

#include <jansson.h>

#include "base/ensure.h"

/* Bytes of the UTF-8 sequence at p, or 0 when it is not well-formed (Unicode 15, table 3-7). */
size_t utf8_sequence(const char *p, const char *end)
{
    const uint8_t *u = (const uint8_t *)p;
    size_t left = (size_t)(end - p);
    if (left < 1)
        return 0;
    if (u[0] < 0x80)
        return 1;
    if (u[0] < 0xc2 || u[0] > 0xf4)
        return 0;
    size_t n = u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : 4;
    if (left < n)
        return 0;
    /* No overlong forms, no surrogates, nothing past U+10FFFF. */
    uint8_t low = u[0] == 0xe0 ? 0xa0 : u[0] == 0xf0 ? 0x90 : 0x80;
    uint8_t high = u[0] == 0xed ? 0x9f : u[0] == 0xf4 ? 0x8f : 0xbf;
    if (u[1] < low || u[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((u[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

bool utf8_is_valid(struct slice text)
{
    const char *p = text.ptr, *end = p + text.len;
    while (p < end) {
        if (end - p >= 8 && !(json_load8(p) & JSON_HIGHS)) {
            p += 8;
            continue;
        }
        size_t n = utf8_sequence(p, end);
        if (n == 0)
            return false;
        p += n;
    }
    return true;
}

const char *json_string_odd(const char *p, const char *end, bool *escaped)
{
    while (p < end) {
        uint8_t c = (uint8_t)*p;
        if (c == '"')
            return p;
        if (c < 0x20)
            return NULL;
        if (c == '\\') {
            *escaped = true;
            if (end - p < 2)
                return NULL;
            p++; /* The escaped character is looked at again: it may be anything but a quote. */
            if (*p == '"' || *p == '\\')
                p++;
            continue;
        }
        size_t n = c < 0x80 ? 1 : utf8_sequence(p, end);
        if (!n)
            return NULL;
        p += n;
    }
    return NULL;
}

bool json_unescape(struct slice token, char *out, size_t size, size_t *len)
{
    json_t *string = json_loadb(token.ptr, token.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (!string)
        return false;
    *len = json_string_length(string);
    if (out)
        memcpy(out, json_string_value(string), *len < size ? *len : size);
    json_decref(string);
    return true;
}

const char *json_literal(const char *p, const char *end, struct slice word)
{
    if ((size_t)(end - p) < word.len || memcmp(p, word.ptr, word.len) != 0)
        return NULL;
    return p + word.len;
}

/* A string, number or literal. */
static const char *skip_scalar(const char *p, const char *end)
{
    switch (*p) {
    case '"': {
        bool escaped = false;
        const char *quote = json_string_end(p + 1, end, &escaped);
        if (!quote)
            return NULL;
        size_t len;
        if (escaped && !json_unescape(slice_of(p, (size_t)(quote + 1 - p)), NULL, 0, &len))
            return NULL;
        return quote + 1;
    }
    case 't': return json_literal(p, end, SLICE("true"));
    case 'f': return json_literal(p, end, SLICE("false"));
    case 'n': return json_literal(p, end, SLICE("null"));
    default: {
        struct json_number number;
        return json_number_scan(p, end, &number);
    }
    }
}

/* Behind an object's `{` or `,`: the key and its colon. */
static const char *skip_key(const char *p, const char *end)
{
    p = json_space(p, end);
    if (p == end || *p != '"')
        return NULL;
    p = skip_scalar(p, end);
    if (!p)
        return NULL;
    p = json_space(p, end);
    return p < end && *p == ':' ? p + 1 : NULL;
}

/*
 * No recursion: `open` has one bit for each level, 1 for an object. Each turn of the loop reads one
 * value, or opens a level; then as many levels are closed as end there.
 */
const char *json_skip(const char *p, const char *end, int depth)
{
    uint64_t open = 0;
    int level = 0;
    ensure(depth < 64);
    for (;;) {
        p = json_space(p, end);
        if (p == end)
            return NULL;
        if (*p == '{' || *p == '[') {
            bool object = *p == '{';
            if (level == depth)
                return NULL;
            p = json_space(p + 1, end);
            if (p == end)
                return NULL;
            if (*p != (object ? '}' : ']')) {
                open = open << 1 | object;
                level++;
                if (object && !(p = skip_key(p, end)))
                    return NULL;
                continue;
            }
            p++;
        } else if (!(p = skip_scalar(p, end))) {
            return NULL;
        }
        for (;; p++, open >>= 1, level--) {
            if (level == 0)
                return p;
            p = json_space(p, end);
            if (p == end)
                return NULL;
            if (*p != (open & 1 ? '}' : ']'))
                break;
        }
        if (*p++ != ',')
            return NULL;
        if ((open & 1) && !(p = skip_key(p, end)))
            return NULL;
    }
}
