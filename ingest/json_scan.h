/*
 * The lexical layer under the JSON event scanner: strings, numbers and values to be skipped, in
 * bytes that end where they end (no NUL is needed behind them). It is strict RFC 8259, and every
 * string is checked to be UTF-8. Nothing here allocates but jansson in json_unescape.
 *
 * Strings are scanned eight bytes at a time: the word tells with a few operations where the first
 * byte is that is a quote, a backslash, a control character or not ASCII. The borrow of a
 * subtraction can only mark bytes above a true hit, so the lowest mark is always right.
 */
#ifndef INGEST_JSON_SCAN_H
#define INGEST_JSON_SCAN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/slice.h"

#define JSON_ONES  0x0101010101010101u
#define JSON_HIGHS 0x8080808080808080u

static inline uint64_t json_load8(const char *p)
{
    uint64_t w;
    memcpy(&w, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    w = __builtin_bswap64(w);
#endif
    return w;
}

/* High bits of the bytes that end the fast run of a string. */
static inline uint64_t json_special(uint64_t w)
{
    uint64_t quote = w ^ JSON_ONES * '"', slash = w ^ JSON_ONES * '\\';
    uint64_t hit = ((quote - JSON_ONES) & ~quote) | ((slash - JSON_ONES) & ~slash) |
                   ((w - JSON_ONES * 0x20) & ~w) | w;
    return hit & JSON_HIGHS;
}

/* Bytes of the UTF-8 sequence at p, or 0 when it is not well-formed (Unicode 15, table 3-7). */
size_t utf8_sequence(const char *p, const char *end);
/* All of it is. */
bool utf8_is_valid(struct slice text);

/* p is at a byte that json_special marks; the closing quote, or NULL: malformed. */
const char *json_string_odd(const char *p, const char *end, bool *escaped);

/* p is behind the opening quote. Returns the closing quote, or NULL: malformed. *escaped is set
 * when the string has escapes; whether these are right is for json_unescape to say. */
static inline const char *json_string_end(const char *p, const char *end, bool *escaped)
{
    while (end - p >= 8) {
        uint64_t hit = json_special(json_load8(p));
        if (hit) {
            p += __builtin_ctzll(hit) >> 3;
            return *p == '"' ? p : json_string_odd(p, end, escaped);
        }
        p += 8;
    }
    return json_string_odd(p, end, escaped);
}

static inline const char *json_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

/* Strings with escapes are rare: jansson unescapes them. token has its quotes. At most `size` bytes
 * go to out (NULL: none), *len is the whole length. False: malformed (a bad escape, a lone
 * surrogate). */
bool json_unescape(struct slice token, char *out, size_t size, size_t *len);

/* A number as it was found. Up to 18 digits without an exponent are already an integer. */
struct json_number {
    uint64_t mantissa;
    int fraction; /* digits behind the point */
    bool negative;
    bool odd; /* exponent, or more than 18 digits: mantissa and fraction say nothing */
    struct slice token;
};

/* The first byte behind the number, or NULL: malformed. */
const char *json_number_scan(const char *p, const char *end, struct json_number *out);

/* The number times 10^digits, half to even, exactly. False: it does not fit 64 bits. *exact says
 * whether anything was rounded away. */
bool json_number_scale(const struct json_number *number, int digits, int64_t *out, bool *exact);

/* Skips the value at p whatever it is, at most `depth` levels deep. NULL: malformed. */
const char *json_skip(const char *p, const char *end, int depth);

/* true, false, null: the byte behind, or NULL. */
const char *json_literal(const char *p, const char *end, struct slice word);

#endif
