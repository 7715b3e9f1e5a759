#include "cmd/cell_text.h"

#include <inttypes.h>
#include <math.h>

#include "base/double_bits.h"
#include "base/number.h"

static void add_quoted(struct buf *out, struct slice s)
{
    buf_char(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c == '\n')
            buf_str(out, "\\n");
        else
            buf_char(out, c);
    }
    buf_char(out, '"');
}

void cell_text_series(struct buf *out, const struct metric_def *def, struct labels labels)
{
    const char *comma = "";
    buf_slice(out, def->name);
    buf_char(out, '{');
    for (size_t i = 0; i < labels.n; i++) {
        if (slice_is(labels.items[i].name, LABEL_METRIC_NAME))
            continue;
        buf_str(out, comma);
        if (label_name_is_plain(labels.items[i].name))
            buf_slice(out, labels.items[i].name);
        else
            add_quoted(out, labels.items[i].name);
        buf_char(out, '=');
        add_quoted(out, labels.items[i].value);
        comma = ",";
    }
    buf_char(out, '}');
}

/* v / 10^digits, exactly. */
static void add_scaled(struct buf *out, int128 v, int digits)
{
    char text[64];
    size_t at = sizeof text;
    uint128 left = v < 0 ? -(uint128)v : (uint128)v;
    for (int n = 0; left > 0 || n <= digits; n++) {
        if (n == digits && digits > 0)
            text[--at] = '.';
        text[--at] = (char)('0' + (int)(left % 10));
        left /= 10;
    }
    if (v < 0)
        text[--at] = '-';
    buf_add(out, text + at, sizeof text - at);
}

static void add_sample(struct buf *out, uint64_t bits)
{
    char text[NUMBER_MAX];
    double v = bits_double(bits);
    if (isnan(v)) {
        buf_printf(out, "NaN(0x%016" PRIx64 ")", bits);
        return;
    }
    number_format_f(v, text);
    buf_str(out, text);
}

static void add_gauge(struct buf *out, const struct columns *c, size_t i, int digits)
{
    buf_str(out, "last=");
    add_scaled(out, c->last[i], digits);
    buf_printf(out, " last_ms=%" PRId64 " min=", c->last_ms[i]);
    add_scaled(out, c->min[i], digits);
    buf_str(out, " max=");
    add_scaled(out, c->max[i], digits);
    buf_str(out, " sum=");
    add_scaled(out, c->sum[i], digits);
    buf_printf(out, " count=%" PRId64, c->count[i]);
}

static void add_histogram(struct buf *out, const struct columns *c, size_t i, int digits)
{
    int128 count = 0;
    for (uint32_t b = c->bucket_at[i]; b < c->bucket_at[i + 1]; b++)
        count += c->bucket[b].count;
    buf_str(out, "sum=");
    add_scaled(out, c->sum[i], digits);
    buf_str(out, " count=");
    add_scaled(out, count, 0);
    buf_str(out, " [");
    for (uint32_t b = c->bucket_at[i]; b < c->bucket_at[i + 1]; b++)
        buf_printf(out, "%s%" PRId32 ":%" PRId64, b > c->bucket_at[i] ? " " : "", c->bucket[b].key,
            c->bucket[b].count);
    buf_char(out, ']');
}

static void add_double(struct buf *out, const char *name, double v)
{
    buf_str(out, name);
    add_sample(out, double_bits(v));
}

static void add_fbuckets(
    struct buf *out, const char *sign, const struct hist_fbucket *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        buf_printf(out, " %s%" PRId32, sign, b[i].index);
        add_double(out, ":", b[i].count);
    }
}

static void add_native(struct buf *out, const struct hist *h)
{
    static const char *const hints[] = {"unknown", "yes", "no", "gauge"};
    add_double(out, "count=", h->count);
    add_double(out, " sum=", h->sum);
    buf_printf(out, " schema=%d reset=%s", h->schema, hints[h->reset_hint]);
    add_double(out, " zero<=", h->zero_threshold);
    add_double(out, ":", h->zero_count);
    for (uint32_t i = 0; i < h->n_bounds; i++)
        add_double(out, i ? "," : " bounds=", h->bounds[i]);
    buf_str(out, " [");
    add_fbuckets(out, "n", h->negative, h->n_negative);
    add_fbuckets(out, "", h->positive, h->n_positive);
    buf_str(out, " ]");
}

static void add_bits(struct buf *out, const char *name, int64_t bits)
{
    buf_str(out, name);
    add_sample(out, (uint64_t)bits);
}

static void add_derived(struct buf *out, const struct columns *c, size_t i)
{
    buf_printf(out, "count=%" PRId64, c->count[i]);
    add_bits(out, " first=", c->first[i]);
    buf_printf(out, " first_ms=%" PRId64, c->first_ms[i]);
    add_bits(out, " last=", c->last[i]);
    buf_printf(out, " last_ms=%" PRId64, c->last_ms[i]);
    add_bits(out, " min=", c->min[i]);
    add_bits(out, " max=", c->max[i]);
    if (c->digits[i] == DIGITS_INEXACT) {
        add_bits(out, " sum=", (int64_t)c->sum[i]);
        add_bits(out, " compensation=", (int64_t)(c->sum[i] >> 64));
        add_bits(out, " reset_sum=", c->reset_sum[i]);
    } else {
        buf_str(out, " sum=");
        add_scaled(out, c->sum[i], (int)c->digits[i]);
        buf_str(out, " reset_sum=");
        add_scaled(out, c->reset_sum[i], (int)c->digits[i]);
    }
    buf_printf(out, " resets=%" PRId64, c->resets[i]);
}

static void add_any_sample(struct buf *out, const struct columns *c, size_t i)
{
    if (c->first)
        add_derived(out, c, i);
    else if (c->hist && c->hist[i])
        add_native(out, c->hist[i]);
    else
        add_sample(out, c->bits[i]);
    if (c->start && c->start[i])
        buf_printf(out, " start=%" PRId64, c->start[i]);
}

void cell_text_add(struct buf *out, const struct metric_def *def, const struct columns *c, size_t i)
{
    buf_printf(out, " %" PRId64 " ", c->t[i]);
    switch (c->kind) {
    case KIND_COUNTER:
    case KIND_LEVEL: add_scaled(out, c->amount[i], def->digits); break;
    case KIND_GAUGE: add_gauge(out, c, i, def->digits); break;
    case KIND_HISTOGRAM: add_histogram(out, c, i, def->digits); break;
    case KIND_SAMPLE: add_any_sample(out, c, i); break;
    }
    buf_char(out, '\n');
}

void cell_text_loss(struct buf *out, const struct segment *segment, const struct segment_loss *loss)
{
    const struct metric_def *def;
    buf_str(out, "lost: ");
    if (loss->labels.n && segment_metric(segment, loss->ordinal, &def, NULL))
        cell_text_series(out, def, loss->labels);
    else
        buf_printf(out, "series %" PRIu32, loss->ordinal);
    buf_printf(out, " from %" PRId64 " to %" PRId64, loss->min_t, loss->max_t);
    if (loss->cells)
        buf_printf(out, ", %" PRIu64 " cells", loss->cells);
    buf_printf(out, ": %s\n", loss->why->text);
}
