#include "query/script_histogram.h"

#include <stdio.h>

#include "base/number.h"
#include "query/script_scan.h"

enum field {
    FIELD_SCHEMA,
    FIELD_SUM,
    FIELD_COUNT,
    FIELD_ZERO_COUNT,
    FIELD_ZERO_WIDTH,
    FIELD_OFFSET,
    FIELD_BUCKETS,
    FIELD_NEGATIVE_OFFSET,
    FIELD_NEGATIVE_BUCKETS,
    FIELD_BOUNDS,
    FIELD_HINT,
    FIELDS,
};

static const char *const fields[FIELDS] = {
    [FIELD_SCHEMA] = "schema:",
    [FIELD_SUM] = "sum:",
    [FIELD_COUNT] = "count:",
    [FIELD_ZERO_COUNT] = "z_bucket:",
    [FIELD_ZERO_WIDTH] = "z_bucket_w:",
    [FIELD_OFFSET] = "offset:",
    [FIELD_BUCKETS] = "buckets:",
    [FIELD_NEGATIVE_OFFSET] = "n_offset:",
    [FIELD_NEGATIVE_BUCKETS] = "n_buckets:",
    [FIELD_BOUNDS] = "custom_values:",
    [FIELD_HINT] = "counter_reset_hint:",
};

static const char *const hints[] = {
    [HIST_RESET_UNKNOWN] = "unknown",
    [HIST_RESET_YES] = "reset",
    [HIST_RESET_NO] = "not_reset",
    [HIST_GAUGE] = "gauge",
};

struct numbers {
    double *items;
    size_t n;
};

struct reading {
    struct slice text;
    size_t at;
    struct arena *arena;
    struct err *err;
    bool seen[FIELDS];
    struct numbers buckets, negative, bounds;
    int64_t offset, negative_offset;
    struct hist *h;
};

static bool fail(struct reading *r, const char *what)
{
    err_set(r->err, ERR_INVALID, "histogram: %s", what);
    return err_at(r->err, NULL, 0, (int)r->at + 1);
}

static bool full(struct reading *r)
{
    return err_set(r->err, ERR_LIMIT, "a script of this size needs too much memory");
}

static bool read_int(struct reading *r, int64_t *out)
{
    uint64_t v;
    bool minus = scan_char(r->text, &r->at, '-');
    if (!scan_count(r->text, &r->at, 1 << 30, &v))
        return fail(r, "expected an integer of at most 2^30");
    *out = minus ? -(int64_t)v : (int64_t)v;
    return true;
}

static bool read_float(struct reading *r, double *out)
{
    return scan_signed(r->text, &r->at, out) || fail(r, "expected a number");
}

/* [1 2 3] */
static bool read_list(struct reading *r, struct numbers *out)
{
    if (!scan_char(r->text, &r->at, '['))
        return fail(r, "expected \"[\"");
    size_t cap = 0;
    out->n = 0;
    scan_blanks(r->text, &r->at);
    while (!scan_char(r->text, &r->at, ']')) {
        if (out->n == cap) {
            double *more = arena_array(r->arena, cap ? cap * 2 : 16, sizeof *more);
            if (!more)
                return full(r);
            if (out->n)
                memcpy(more, out->items, out->n * sizeof *more);
            out->items = more;
            cap = cap ? cap * 2 : 16;
        }
        if (!read_float(r, &out->items[out->n]))
            return false;
        if (++out->n > SCRIPT_BUCKETS_MAX)
            return fail(r, "too many buckets");
        scan_blanks(r->text, &r->at);
    }
    return true;
}

static bool read_hint(struct reading *r)
{
    /* The longer word first: "reset" is the beginning of no other. */
    for (int i = HIST_GAUGE; i >= 0; i--) {
        if (scan_word(r->text, &r->at, hints[i])) {
            r->h->reset_hint = (enum hist_reset_hint)i;
            return true;
        }
    }
    return fail(r, "expected unknown, reset, not_reset or gauge");
}

static bool read_schema(struct reading *r)
{
    int64_t schema;
    if (!read_int(r, &schema))
        return false;
    if (schema != HIST_SCHEMA_CUSTOM && (schema < -4 || schema > 8))
        return fail(r, "the schema must be from -4 to 8, or -53");
    r->h->schema = (int)schema;
    return true;
}

static bool read_value(struct reading *r, enum field field)
{
    switch (field) {
    case FIELD_SCHEMA: return read_schema(r);
    case FIELD_SUM: return read_float(r, &r->h->sum);
    case FIELD_COUNT: return read_float(r, &r->h->count);
    case FIELD_ZERO_COUNT: return read_float(r, &r->h->zero_count);
    case FIELD_ZERO_WIDTH: return read_float(r, &r->h->zero_threshold);
    case FIELD_OFFSET: return read_int(r, &r->offset);
    case FIELD_BUCKETS: return read_list(r, &r->buckets);
    case FIELD_NEGATIVE_OFFSET: return read_int(r, &r->negative_offset);
    case FIELD_NEGATIVE_BUCKETS: return read_list(r, &r->negative);
    case FIELD_BOUNDS: return read_list(r, &r->bounds);
    case FIELD_HINT: return read_hint(r);
    case FIELDS: break;
    }
    return fail(r, "unknown field");
}

static bool read_field(struct reading *r)
{
    for (int i = 0; i < FIELDS; i++) {
        if (!scan_word(r->text, &r->at, fields[i]))
            continue;
        if (r->seen[i])
            return fail(r, "a field occurs twice");
        r->seen[i] = true;
        return read_value(r, (enum field)i);
    }
    return fail(r, "expected a field such as sum:1 or buckets:[5 10 7]");
}

static bool set_side(struct reading *r, const struct numbers *counts, int64_t offset,
    const struct hist_fbucket **out, uint32_t *n)
{
    struct hist_fbucket *buckets = arena_array(r->arena, counts->n, sizeof *buckets);
    if (!buckets)
        return full(r);
    for (size_t i = 0; i < counts->n; i++)
        buckets[i] = (struct hist_fbucket){(int32_t)(offset + (int64_t)i), counts->items[i]};
    *out = buckets;
    *n = (uint32_t)counts->n;
    return true;
}

bool script_histogram_parse(struct slice text, size_t *at, struct arena *arena, struct hist **out,
    bool *hint_set, struct err *err)
{
    struct reading r = {.text = text, .at = *at, .arena = arena, .err = err};
    r.h = arena_zalloc(arena, sizeof *r.h);
    if (!r.h)
        return full(&r);
    if (!scan_word(text, &r.at, "{{"))
        return fail(&r, "expected \"{{\"");
    scan_blanks(text, &r.at);
    while (!scan_word(text, &r.at, "}}")) {
        if (!read_field(&r))
            return false;
        if (!scan_blanks(text, &r.at) && (r.at >= text.len || text.ptr[r.at] != '}'))
            return fail(&r, "expected a blank or \"}}\"");
    }
    if (!set_side(&r, &r.buckets, r.offset, &r.h->positive, &r.h->n_positive) ||
        !set_side(&r, &r.negative, r.negative_offset, &r.h->negative, &r.h->n_negative))
        return false;
    r.h->bounds = r.bounds.items;
    r.h->n_bounds = (uint32_t)r.bounds.n;
    *hint_set = r.seen[FIELD_HINT];
    *at = r.at;
    *out = r.h;
    return true;
}

/* ---- printing ---- */

static void print_number(const char *name, double v, struct buf *out)
{
    char text[NUMBER_MAX];
    number_format_g(v, text);
    buf_printf(out, "%s%s", name, text);
}

/* Gaps between the buckets are written as zeros. */
static void print_side(const char *offset, const char *name, const struct hist_fbucket *buckets,
    uint32_t n, struct buf *out)
{
    if (n == 0)
        return;
    if (buckets[0].index != 0)
        buf_printf(out, "%s%d", offset, (int)buckets[0].index);
    buf_str(out, name);
    for (uint32_t i = 0; i < n; i++) {
        int64_t gap = i ? (int64_t)buckets[i].index - buckets[i - 1].index - 1 : 0;
        for (int64_t k = 0; k < gap && k < 1000; k++)
            buf_str(out, " 0");
        print_number(i ? " " : "", buckets[i].count, out);
    }
    buf_char(out, ']');
}

void script_histogram_print(const struct hist *h, struct buf *out)
{
    buf_printf(out, "{{schema:%d", h->schema);
    print_number(" count:", h->count, out);
    print_number(" sum:", h->sum, out);
    if (h->zero_count != 0)
        print_number(" z_bucket:", h->zero_count, out);
    if (h->zero_threshold != 0)
        print_number(" z_bucket_w:", h->zero_threshold, out);
    for (uint32_t i = 0; i < h->n_bounds; i++)
        print_number(i ? " " : " custom_values:[", h->bounds[i], out);
    buf_str(out, h->n_bounds ? "]" : "");
    print_side(" offset:", " buckets:[", h->positive, h->n_positive, out);
    print_side(" n_offset:", " n_buckets:[", h->negative, h->n_negative, out);
    if (h->reset_hint != HIST_RESET_UNKNOWN)
        buf_printf(out, " counter_reset_hint:%s", hints[h->reset_hint]);
    buf_str(out, "}}");
}
