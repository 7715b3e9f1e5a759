#include "api/json_out.h"

#include <math.h>

#include "base/number.h"
#include "store/cell.h"

#define NOTES_SHOWN 10

/* Length of the UTF-8 sequence at p, 0 when it is broken: overlong, a surrogate, past U+10FFFF,
 * cut. */
static size_t utf8_len(const unsigned char *p, size_t left)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = p[0] < 0x80   ? 1
               : p[0] < 0xc0 ? 0
               : p[0] < 0xe0 ? 2
               : p[0] < 0xf0 ? 3
               : p[0] < 0xf8 ? 4
                             : 0;
    if (n <= 1 || n > left)
        return n <= left ? n : 0;
    uint32_t c = p[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3fu);
    }
    return c >= least[n] && c <= 0x10ffff && !(c >= 0xd800 && c < 0xe000) ? n : 0;
}

static void escape(struct buf *out, unsigned char c)
{
    switch (c) {
    case '"': buf_str(out, "\\\""); break;
    case '\\': buf_str(out, "\\\\"); break;
    case '\n': buf_str(out, "\\n"); break;
    case '\r': buf_str(out, "\\r"); break;
    case '\t': buf_str(out, "\\t"); break;
    default: buf_printf(out, "\\u%04x", c);
    }
}

void json_out_string(struct buf *out, struct slice text)
{
    const unsigned char *p = (const unsigned char *)text.ptr, *end = p + text.len, *run = p;
    buf_char(out, '"');
    while (p < end) {
        bool plain = *p >= 0x20 && *p != '"' && *p != '\\' && *p != 0x7f;
        size_t n = plain ? utf8_len(p, (size_t)(end - p)) : 0;
        if (n) {
            p += n;
            continue;
        }
        buf_add(out, run, (size_t)(p - run));
        if (*p < 0x80)
            escape(out, *p);
        else
            buf_str(out, "\xef\xbf\xbd");
        run = ++p;
    }
    buf_add(out, run, (size_t)(p - run));
    buf_char(out, '"');
}

/* Answers are mostly numbers, so they are written in place, without printf. */
static char *put_uint(char *p, uint64_t v)
{
    char tmp[20];
    size_t n = 0;
    do
        tmp[n++] = (char)('0' + v % 10);
    while (v /= 10);
    while (n)
        *p++ = tmp[--n];
    return p;
}

void json_out_time(struct buf *out, int64_t ms)
{
    char *start = buf_reserve(out, 32), *p = start;
    if (!p)
        return;
    uint64_t u = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
    unsigned part = (unsigned)(u % 1000);
    if (ms < 0)
        *p++ = '-';
    p = put_uint(p, u / 1000);
    if (part) {
        *p++ = '.';
        *p++ = (char)('0' + part / 100);
        *p++ = (char)('0' + part / 10 % 10);
        *p++ = (char)('0' + part % 10);
    }
    out->len += (size_t)(p - start);
}

static void quoted(struct buf *out, double v, size_t (*format)(double, char *))
{
    char tmp[NUMBER_MAX];
    size_t n = format(v, tmp);
    char *p = buf_reserve(out, n + 2);
    if (!p)
        return;
    p[0] = '"';
    memcpy(p + 1, tmp, n);
    p[n + 1] = '"';
    out->len += n + 2;
}

void json_out_number(struct buf *out, double v)
{
    quoted(out, v, number_format_json);
}

void json_out_labels(struct buf *out, struct labels labels)
{
    buf_char(out, '{');
    for (size_t i = 0; i < labels.n; i++) {
        if (i)
            buf_char(out, ',');
        json_out_string(out, labels.items[i].name);
        buf_char(out, ':');
        json_out_string(out, labels.items[i].value);
    }
    buf_char(out, '}');
}

/* ---- histograms ---- */

enum boundaries { OPEN_LEFT = 0, OPEN_RIGHT = 1, CLOSED = 3 };

static void bucket(struct buf *out, bool *any, enum boundaries boundaries, double lower,
    double upper, double count)
{
    if (count == 0)
        return;
    buf_str(out, *any ? "," : ",\"buckets\":[");
    *any = true;
    buf_printf(out, "[%d,", boundaries);
    json_out_number(out, lower);
    buf_char(out, ',');
    json_out_number(out, upper);
    buf_char(out, ',');
    json_out_number(out, count);
    buf_char(out, ']');
}

static void custom_buckets(struct buf *out, bool *any, const struct hist *h)
{
    for (uint32_t i = 0; i < h->n_positive; i++) {
        int32_t at = h->positive[i].index;
        bool inside = at >= 0 && (uint32_t)at < h->n_bounds;
        double lower = at > 0 && (uint32_t)at <= h->n_bounds ? h->bounds[at - 1] : -INFINITY;
        bucket(out, any, at == 0 ? CLOSED : OPEN_LEFT, lower, inside ? h->bounds[at] : INFINITY,
            h->positive[i].count);
    }
}

/* A bucket that reaches into the zero bucket is shown up to the zero threshold only. */
static void exponential_buckets(struct buf *out, bool *any, const struct hist *h)
{
    double lower, upper, zero = h->zero_threshold;
    for (uint32_t i = h->n_negative; i-- > 0;) {
        hist_bucket_bounds(h->negative[i].index, h->schema, &lower, &upper);
        lower = lower < zero ? zero : lower;
        bucket(out, any, OPEN_RIGHT, -upper, -lower, h->negative[i].count);
    }
    bucket(out, any, CLOSED, -zero, zero, h->zero_count);
    for (uint32_t i = 0; i < h->n_positive; i++) {
        hist_bucket_bounds(h->positive[i].index, h->schema, &lower, &upper);
        lower = lower < zero ? zero : lower;
        bucket(out, any, OPEN_LEFT, lower, upper, h->positive[i].count);
    }
}

void json_out_histogram(struct buf *out, const struct hist *h)
{
    bool any = false;
    buf_str(out, "{\"count\":");
    json_out_number(out, h->count);
    buf_str(out, ",\"sum\":");
    json_out_number(out, h->sum);
    if (h->schema == HIST_SCHEMA_CUSTOM)
        custom_buckets(out, &any, h);
    else
        exponential_buckets(out, &any, h);
    buf_str(out, any ? "]}" : "}");
}

/* ---- values ---- */

static void point(struct buf *out, const struct point *p)
{
    buf_char(out, '[');
    json_out_time(out, p->t_ms);
    buf_char(out, ',');
    if (p->h)
        json_out_histogram(out, p->h);
    else
        json_out_number(out, p->v);
    buf_char(out, ']');
}

static void points(struct buf *out, const struct series *s, const char *key, bool histograms)
{
    bool any = false;
    for (size_t i = 0; i < s->n && !out->failed; i++) {
        if ((s->points[i].h != NULL) != histograms)
            continue;
        buf_str(out, any ? "," : key);
        any = true;
        point(out, &s->points[i]);
    }
    if (any)
        buf_char(out, ']');
}

static void one_series(struct buf *out, const struct series *s, bool matrix)
{
    buf_str(out, "{\"metric\":");
    json_out_labels(out, s->labels);
    if (matrix) {
        points(out, s, ",\"values\":[", false);
        points(out, s, ",\"histograms\":[", true);
    } else if (s->n) {
        buf_str(out, s->points[0].h ? ",\"histogram\":" : ",\"value\":");
        point(out, &s->points[0]);
    }
    buf_char(out, '}');
}

static const char *result_type(enum value_type type)
{
    switch (type) {
    case VALUE_SCALAR: return "scalar";
    case VALUE_VECTOR: return "vector";
    case VALUE_MATRIX: return "matrix";
    case VALUE_STRING: return "string";
    }
    return "none";
}

void json_out_value(struct buf *out, const struct value *value, size_t limit, const char *stats)
{
    buf_printf(out, "{\"resultType\":\"%s\",\"result\":[", result_type(value->type));
    if (value->type == VALUE_SCALAR || value->type == VALUE_STRING) {
        json_out_time(out, value->t_ms);
        buf_char(out, ',');
        if (value->type == VALUE_STRING)
            json_out_string(out, value->string);
        else
            quoted(out, value->n && value->series[0].n ? value->series[0].points[0].v : 0,
                number_format_f);
    } else {
        size_t n = value->n < limit ? value->n : limit;
        for (size_t i = 0; i < n && !out->failed; i++) {
            if (i)
                buf_char(out, ',');
            one_series(out, &value->series[i], value->type == VALUE_MATRIX);
        }
    }
    buf_char(out, ']');
    if (stats) {
        buf_str(out, ",\"stats\":");
        buf_str(out, stats);
    }
    buf_char(out, '}');
}

/* ---- envelope ---- */

void json_out_begin(struct buf *out)
{
    buf_str(out, "{\"status\":\"success\",\"data\":");
}

static void notes_list(struct buf *out, const char *key, const char *one, const char *const *items,
    size_t n, bool truncated)
{
    if (!n && !truncated)
        return;
    buf_printf(out, ",\"%s\":[", key);
    size_t shown = n < NOTES_SHOWN ? n : NOTES_SHOWN;
    for (size_t i = 0; i < shown; i++) {
        if (i)
            buf_char(out, ',');
        json_out_string(out, slice_from(items[i]));
    }
    if (n > shown)
        buf_printf(out, ",\"%zu more %s annotations omitted\"", n - shown, one);
    if (truncated)
        buf_printf(out, "%s\"results truncated due to limit\"", n ? "," : "");
    buf_char(out, ']');
}

void json_out_end(struct buf *out, const struct notes *notes, bool truncated)
{
    static const struct notes none;
    if (!notes)
        notes = &none;
    notes_list(out, "warnings", "warning", notes->warnings, notes->n_warnings, truncated);
    notes_list(out, "infos", "info", notes->infos, notes->n_infos, false);
    buf_char(out, '}');
}

void json_out_error(struct buf *out, const char *type, struct slice text)
{
    buf_printf(out, "{\"status\":\"error\",\"errorType\":\"%s\",\"error\":", type);
    json_out_string(out, text);
    buf_char(out, '}');
}
