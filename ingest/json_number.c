/*
 * JSON's numbers to exact scaled integers. The common number has at most 18 digits and no exponent:
 * its digits fit a word and are shifted by a power of ten. Every other goes through its digits one
 * by one, of which only the first 19 and the question "is there anything behind" can matter. No
 * double is ever made.
 */
#include "base/number.h"
#include "ingest/json_scan.h"

static inline bool is_digit(const char *p, const char *end)
{
    return p < end && (uint8_t)(*p - '0') < 10;
}

const char *json_number_scan(const char *p, const char *end, struct json_number *out)
{
    const char *start = p;
    uint64_t mantissa = 0;
    out->negative = p < end && *p == '-';
    if (out->negative)
        p++;
    const char *first = p;
    while (is_digit(p, end))
        mantissa = mantissa * 10 + (uint64_t)(*p++ - '0'); /* may wrap: then odd is set */
    size_t digits = (size_t)(p - first);
    if (digits == 0 || (*first == '0' && digits > 1))
        return NULL;
    out->fraction = 0;
    if (p < end && *p == '.') {
        const char *point = p++;
        while (is_digit(p, end))
            mantissa = mantissa * 10 + (uint64_t)(*p++ - '0');
        size_t fraction = (size_t)(p - point) - 1;
        if (fraction == 0)
            return NULL;
        digits += fraction;
        out->fraction = fraction <= DIGITS_MAX ? (int)fraction : 0;
    }
    out->odd =
        digits - (*first == '0') > DIGITS_MAX; /* a zero before the point is no digit of it */
    if (p < end && (*p == 'e' || *p == 'E')) {
        out->odd = true;
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        if (!is_digit(p, end))
            return NULL;
        while (is_digit(p, end))
            p++;
    }
    out->mantissa = mantissa;
    out->token = slice_of(start, (size_t)(p - start));
    return p;
}

/* Half to even; rest is what was cut, compared with one half: -1 less (or nothing), 0 half, 1 more.
 */
static bool finish(uint64_t v, int rest, bool negative, int64_t *out)
{
    if (rest > 0 || (rest == 0 && (v & 1)))
        v++; /* v < 10^19: no wrap */
    if (v > (uint64_t)INT64_MAX + negative)
        return false;
    *out = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

/* The significant digits of a token, and where its point stands: 0.d1d2d3... * 10^point. */
struct decimal {
    const char *digits, *end; /* a '.' may be among them, trailing zeros too */
    int64_t point;
};

static void decimal_of(struct slice token, struct decimal *out)
{
    const char *p = token.ptr, *end = p + token.len, *mantissa_end = p;
    while (mantissa_end < end && *mantissa_end != 'e' && *mantissa_end != 'E')
        mantissa_end++;
    int64_t exponent = 0;
    if (mantissa_end < end) {
        const char *e = mantissa_end + 1;
        bool negative = *e == '-';
        for (e += *e == '-' || *e == '+'; e < end; e++)
            if (exponent < 1000000000) /* past any that matters for a message's worth of digits */
                exponent = exponent * 10 + (*e - '0');
        if (negative)
            exponent = -exponent;
    }
    if (*p == '-')
        p++;
    int64_t point = 0;
    bool behind = false;
    for (; p < mantissa_end && (*p == '0' || *p == '.'); p++) {
        if (*p == '.')
            behind = true;
        else if (behind)
            point--;
    }
    *out = (struct decimal){p, mantissa_end, 0};
    for (; !behind && p < mantissa_end && *p != '.'; p++)
        point++;
    out->point = point + exponent;
}

static bool scale_odd(const struct json_number *number, int digits, int64_t *out, bool *exact)
{
    struct decimal d;
    decimal_of(number->token, &d);
    *exact = true;
    *out = 0;
    if (d.digits == d.end)
        return true;
    int64_t take = d.point + digits; /* digits of the result */
    if (take > 19)
        return false;
    const char *p = d.digits;
    uint64_t v = 0;
    for (int64_t i = 0; i < take; i++) {
        if (p < d.end && *p == '.')
            p++;
        v = v * 10 + (p < d.end ? (uint64_t)(*p++ - '0') : 0);
    }
    int rest = -1, first = -1;
    bool more = false;
    for (; p < d.end; p++) {
        if (*p == '.')
            continue;
        if (first < 0)
            first = *p - '0';
        else
            more |= *p != '0';
    }
    *exact = first <= 0 && !more;
    if (take < 0) /* below a tenth of a unit */
        *exact = false;
    else if (first >= 5)
        rest = first > 5 || more;
    return finish(v, rest, number->negative, out);
}

bool json_number_scale(const struct json_number *number, int digits, int64_t *out, bool *exact)
{
    if (number->odd)
        return scale_odd(number, digits, out, exact);
    uint64_t v = number->mantissa;
    *exact = true;
    if (number->fraction <= digits) {
        if (number->fraction < digits &&
            __builtin_mul_overflow(v, (uint64_t)pow10_int(digits - number->fraction), &v))
            return false;
        return finish(v, -1, number->negative, out);
    }
    uint64_t unit = (uint64_t)pow10_int(number->fraction - digits);
    uint64_t cut = v % unit;
    *exact = cut == 0;
    return finish(v / unit, cut > unit / 2 ? 1 : cut == unit / 2 ? 0 : -1, number->negative, out);
}
