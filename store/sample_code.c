/*
 * Samples as bytes; see cell_code.h. A float that is a short decimal is an integer and a scale, and
 * the difference to the sample before when that is smaller; any other is its bits. A histogram
 * stands behind its front byte with all that it has, floats exact to the bit.
 */
#include "base/double_bits.h"
#include "base/ensure.h"
#include "base/mem.h"
#include "store/bounds.h"
#include "store/cell_bytes.h"
#include "store/cell_code.h"

enum {
    SAMPLE_BITS = 0,  /* 8 bytes */
    SAMPLE_SAME = 1,  /* the bits of the sample before */
    SAMPLE_STALE = 2, /* a staleness marker */
    SAMPLE_SCALE = 3, /* 3..9: scale 0..6, an integer follows */
    SAMPLE_DIFF = 10, /* scale of the sample before, difference to its integer */
    SAMPLE_HIST = 11, /* a histogram follows */
    SAMPLE_START = 15 /* another start timestamp follows, then a byte with the form */
};

#define SAMPLE_BYTES_MAX (FRONT_MAX + VARINT_MAX + 1 + VARINT_MAX)
#define STRIDE           256
/* After that many floats in a row that are no decimals, most are not tried any more. */
#define HOPELESS 16

/* What the sample before left. */
struct value_state {
    uint64_t bits;
    int64_t m, start;
    int scale;        /* -1: no integer */
    int hint;         /* the scale that did last; only the encoder's */
    unsigned in_vain; /* only the encoder's */
};

#define VALUE_START ((struct value_state){.scale = -1})

struct coded {
    unsigned form;
    int64_t m;
};

static struct coded code_value(struct value_state *s, uint64_t bits)
{
    double v = bits_double(bits);
    struct coded c = {SAMPLE_BITS, 0};
    if (bits == s->bits)
        return (struct coded){SAMPLE_SAME, 0};
    s->bits = bits;
    if (bits == STALE_BITS) {
        s->scale = -1;
        return (struct coded){SAMPLE_STALE, 0};
    }
    int scale = -1;
    if (decimal_of(v, 0, &c.m))
        scale = 0;
    else if (s->in_vain < HOPELESS || s->in_vain % HOPELESS == 0)
        scale = decimal_scale(v, s->hint, &c.m);
    if (scale < 0) {
        s->in_vain++;
        s->scale = -1;
        return c;
    }
    s->in_vain = 0;
    c.form = SAMPLE_SCALE + (unsigned)scale;
    int64_t m = c.m, diff = wrap_sub(m, s->m);
    if (scale)
        s->hint = scale;
    if (scale == s->scale && zigzag(diff) < zigzag(m))
        c = (struct coded){SAMPLE_DIFF, diff};
    s->scale = scale;
    s->m = m;
    return c;
}

static uint8_t *value_at(uint8_t *p, const struct coded *c, uint64_t bits)
{
    if (c->form == SAMPLE_BITS) {
        le64_put(p, bits);
        return p + 8;
    }
    return c->form >= SAMPLE_SCALE ? svarint_at(p, c->m) : p;
}

/* ---- histograms ---- */

static uint8_t *fbuckets_at(uint8_t *p, const struct hist_fbucket *b, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        p = k ? varint_at(p, (uint64_t)((int64_t)b[k].index - b[k - 1].index - 1))
              : svarint_at(p, b[k].index);
        p = double_at(p, b[k].count);
    }
    return p;
}

static void encode_hist(const struct hist *h, struct buf *out)
{
    size_t n = (size_t)h->n_positive + h->n_negative + h->n_bounds;
    uint8_t *p = (uint8_t *)buf_reserve(out, 6 * VARINT_MAX + 4 * DOUBLE_MAX + n * 2 * DOUBLE_MAX);
    ensure(p != NULL);
    p = svarint_at(p, h->schema);
    *p++ = (uint8_t)h->reset_hint;
    p = double_at(p, h->zero_threshold);
    p = double_at(p, h->zero_count);
    p = double_at(p, h->count);
    p = double_at(p, h->sum);
    p = varint_at(p, h->n_positive);
    p = varint_at(p, h->n_negative);
    p = varint_at(p, h->n_bounds);
    p = fbuckets_at(p, h->positive, h->n_positive);
    p = fbuckets_at(p, h->negative, h->n_negative);
    for (uint32_t k = 0; k < h->n_bounds; k++)
        p = double_at(p, h->bounds[k]);
    out->len = (size_t)((char *)p - out->ptr);
}

static const struct hist_fbucket *decode_fbuckets(struct reader *r, struct arena *arena, uint32_t n)
{
    struct hist_fbucket *b = arena_array(arena, n, sizeof *b);
    int64_t index = 0;
    for (uint32_t k = 0; k < n && !r->failed; k++) {
        if (k) {
            uint64_t between = varint_of(r);
            index = between > UINT32_MAX ? INT64_MAX : index + 1 + (int64_t)between;
        } else {
            index = svarint_of(r);
        }
        if (index < INT32_MIN || index > INT32_MAX) {
            r->failed = true;
            break;
        }
        b[k] = (struct hist_fbucket){(int32_t)index, double_of(r)};
    }
    return b;
}

static const struct hist *decode_hist(struct reader *r, struct arena *arena)
{
    struct hist *h = arena_zalloc(arena, sizeof *h);
    int64_t schema = svarint_of(r);
    unsigned hint = read_u8(r);
    h->zero_threshold = double_of(r);
    h->zero_count = double_of(r);
    h->count = double_of(r);
    h->sum = double_of(r);
    uint64_t n_positive = varint_of(r), n_negative = varint_of(r), n_bounds = varint_of(r);
    uint64_t left = reader_left(r);
    /* Two bytes a bucket, one a bound. */
    if (schema < INT8_MIN || schema > INT8_MAX || n_positive > left / 2 || n_negative > left / 2 ||
        n_bounds > left) {
        r->failed = true;
        return NULL;
    }
    h->schema = (int)schema;
    h->reset_hint = (enum hist_reset_hint)hint;
    h->n_positive = (uint32_t)n_positive;
    h->n_negative = (uint32_t)n_negative;
    h->n_bounds = (uint32_t)n_bounds;
    h->positive = decode_fbuckets(r, arena, h->n_positive);
    h->negative = decode_fbuckets(r, arena, h->n_negative);
    double *bounds = arena_array(arena, h->n_bounds, sizeof *bounds);
    for (uint32_t k = 0; k < h->n_bounds; k++)
        bounds[k] = double_of(r);
    h->bounds = bounds;
    if (!r->failed && !hist_fits(h, NULL))
        r->failed = true;
    return h;
}

/* ---- the section ---- */

void cells_encode_samples(const struct transaction *t, struct buf *out)
{
    struct front front = FRONT_START;
    struct value_state state = VALUE_START;
    uint8_t *p = NULL;
    for (size_t i = 0; i < t->n_samples; i++) {
        const struct sample_entry *s = &t->samples[i];
        if (i % STRIDE == 0 || !p) {
            p = (uint8_t *)buf_reserve(out, STRIDE * SAMPLE_BYTES_MAX);
            ensure(p != NULL);
        }
        struct coded c = s->hist ? (struct coded){SAMPLE_HIST, 0} : code_value(&state, s->bits);
        bool starts = s->start != state.start;
        p = front_at(p, &front, s->series, s->t, starts ? SAMPLE_START : c.form);
        if (starts) {
            p = svarint_at(p, wrap_sub(s->start, state.start));
            *p++ = (uint8_t)c.form;
            state.start = s->start;
        }
        if (!s->hist)
            p = value_at(p, &c, s->bits);
        out->len = (size_t)((char *)p - out->ptr);
        if (s->hist) {
            encode_hist(s->hist, out);
            p = NULL;
        }
    }
}

static void decode_value(struct reader *r, struct value_state *s, unsigned form)
{
    if (form == SAMPLE_SAME)
        return;
    if (form == SAMPLE_BITS || form == SAMPLE_STALE) {
        s->bits = form == SAMPLE_BITS ? read_le64(r) : STALE_BITS;
        s->scale = -1;
        return;
    }
    if (form == SAMPLE_DIFF && s->scale >= 0) {
        s->m = wrap_add(s->m, svarint_of(r));
    } else if (form < SAMPLE_DIFF) {
        s->scale = (int)form - SAMPLE_SCALE;
        s->m = svarint_of(r);
    } else {
        r->failed = true;
        return;
    }
    double v = (double)s->m;
    if (s->scale)
        v /= decimal_powers[s->scale];
    s->bits = double_bits(v);
}

void cells_decode_samples(struct reader *r, struct transaction *t, uint64_t n)
{
    struct front front = FRONT_START;
    struct value_state state = VALUE_START;
    GROW(t->samples, t->samples_cap, t->n_samples + n);
    for (uint64_t i = 0; i < n && !r->failed; i++) {
        const struct hist *hist = NULL;
        unsigned form = front_of(r, &front);
        if (form == SAMPLE_START) {
            state.start = wrap_add(state.start, svarint_of(r));
            form = read_u8(r);
        }
        if (form == SAMPLE_HIST)
            hist = decode_hist(r, &t->arena);
        else
            decode_value(r, &state, form);
        t->samples[t->n_samples++] = (struct sample_entry){
            (uint32_t)front.series, front.t, state.start, hist ? 0 : state.bits, hist};
    }
}
