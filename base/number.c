#include "base/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"

/* digits without a point, decimal exponent of the first: 0.d1d2d3... * 10^exp10 */
struct digits {
    char d[24];
    int n, exp10;
    bool neg;
};

static void parse_e(const char *text, struct digits *out)
{
    out->n = 0;
    out->neg = *text == '-';
    if (out->neg)
        text++;
    for (; *text && *text != 'e'; text++)
        if (*text != '.')
            out->d[out->n++] = *text;
    out->exp10 = (*text == 'e' ? atoi(text + 1) : 0) + 1;
    while (out->n > 1 && out->d[out->n - 1] == '0')
        out->n--;
    out->d[out->n] = 0;
}

/* For a power of two the gap below is half of the gap above, and the closest 16-digit decimal may
 * lie in the wrong one while its upper neighbour reads back. */
static bool next_up_reads_back(double v, char *text)
{
    char *e = strchr(text, 'e');
    for (char *p = e - 1; p >= text; p--) {
        if (*p == '.' || *p == '-')
            continue;
        if (*p != '9') {
            (*p)++;
            return strtod(text, NULL) == v;
        }
        *p = '0';
    }
    return false;
}

/* The shortest digits: 15 always suffice when they read back at all, else 16, else 17. */
static void shortest(double v, struct digits *out)
{
    char text[40];
    int exp2;
    for (int precision = 14; precision <= 16; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, v);
        if (strtod(text, NULL) == v)
            break;
        if (precision == 15 && fabs(frexp(v, &exp2)) == 0.5 && next_up_reads_back(v, text))
            break;
    }
    parse_e(text, out);
}

static size_t put_f(const struct digits *g, char *out)
{
    char *p = out;
    if (g->neg)
        *p++ = '-';
    if (g->exp10 <= 0) {
        *p++ = '0';
        *p++ = '.';
        for (int i = g->exp10; i < 0; i++)
            *p++ = '0';
        memcpy(p, g->d, (size_t)g->n);
        p += g->n;
    } else {
        for (int i = 0; i < g->exp10 || i < g->n; i++) {
            if (i == g->exp10)
                *p++ = '.';
            *p++ = i < g->n ? g->d[i] : '0';
        }
    }
    *p = 0;
    return (size_t)(p - out);
}

static size_t put_e(const struct digits *g, char *out)
{
    char *p = out;
    if (g->neg)
        *p++ = '-';
    *p++ = g->d[0];
    if (g->n > 1) {
        *p++ = '.';
        memcpy(p, g->d + 1, (size_t)(g->n - 1));
        p += g->n - 1;
    }
    int e = g->exp10 - 1;
    p += sprintf(p, "e%c%02d", e < 0 ? '-' : '+', abs(e));
    return (size_t)(p - out);
}

static size_t put_special(double v, char *out)
{
    const char *text = isnan(v) ? "NaN" : v > 0 ? "+Inf" : "-Inf";
    memcpy(out, text, strlen(text) + 1);
    return strlen(text);
}

/* Integers below 2^53, the most common values, need no search. */
static bool put_integer(double v, char *out, size_t *len)
{
    if (!(fabs(v) < 9007199254740992.0) || v != (double)(int64_t)v || (v == 0 && signbit(v)))
        return false;
    char tmp[24];
    size_t n = 0;
    uint64_t u = (uint64_t)(v < 0 ? -v : v);
    do
        tmp[n++] = (char)('0' + u % 10);
    while (u /= 10);
    char *p = out;
    if (v < 0)
        *p++ = '-';
    while (n)
        *p++ = tmp[--n];
    *p = 0;
    *len = (size_t)(p - out);
    return true;
}

/* What looks the same in all forms. */
static bool put_simple(double v, char *out, size_t *len)
{
    if (!isfinite(v))
        *len = put_special(v, out);
    else if (v == 0 && signbit(v))
        *len = (size_t)sprintf(out, "-0");
    else
        return put_integer(v, out, len);
    return true;
}

size_t number_format_f(double v, char *out)
{
    struct digits g;
    size_t len;
    if (put_simple(v, out, &len))
        return len;
    shortest(v, &g);
    return put_f(&g, out);
}

size_t number_format_g(double v, char *out)
{
    struct digits g;
    size_t len;
    if (put_simple(v, out, &len))
        return len;
    shortest(v, &g);
    return g.exp10 - 1 < -4 || g.exp10 - 1 >= 21 ? put_e(&g, out) : put_f(&g, out);
}

size_t number_format_json(double v, char *out)
{
    double a = fabs(v);
    if (!isfinite(v) || v == 0 || (a >= 1e-6 && a < 1e21))
        return number_format_f(v, out);
    struct digits g;
    shortest(v, &g);
    return put_e(&g, out);
}

bool number_parse(struct slice text, double *out)
{
    char tmp[128];
    if (text.len == 0 || text.len >= sizeof tmp)
        return false;
    char c =
        text.ptr[0] == '-' || text.ptr[0] == '+' ? (text.len > 1 ? text.ptr[1] : 0) : text.ptr[0];
    if (!((c >= '0' && c <= '9') || c == '.'))
        return false;
    memcpy(tmp, text.ptr, text.len);
    tmp[text.len] = 0;
    char *end;
    *out = strtod(tmp, &end);
    return end == tmp + text.len;
}

int64_t pow10_int(int n)
{
    static const int64_t p[DIGITS_MAX + 1] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000,
        100000000, 1000000000, 10000000000, 100000000000, 1000000000000, 10000000000000,
        100000000000000, 1000000000000000, 10000000000000000, 100000000000000000,
        1000000000000000000};
    ensure(n >= 0 && n <= DIGITS_MAX);
    return p[n];
}

double scaled_to_double(int128 v, int digits)
{
    int64_t scale = pow10_int(digits);
    /* Exact operands: one correctly rounded division. */
    if (v >= -((int128)1 << 53) && v <= (int128)1 << 53 && digits <= 15)
        return (double)(int64_t)v / (double)scale;
    /* Past 2^53 long double's 64 bits round once more, by at most half a unit in its last place. */
    return (double)((long double)v / (long double)scale);
}
