#include "store/segment/chunk_derived.h"

#include <string.h>

#include "base/ensure.h"
#include "base/wrap.h"
#include "store/segment.h"
#include "store/segment/chunk.h"
#include "store/segment/scaled.h"
#include "store/segment/stream.h"

enum {
    COUNT,
    FIRST,
    LAST,
    MIN,
    MAX,
    SUM_LO,
    SUM_HI,
    RESET_SUM,
    RESETS,
    FIRST_MS,
    LAST_MS,
    DIGITS,
    STREAMS,
};

/* The streams of a chunk, before they are encoded or after they were decoded. */
struct derived_streams {
    int64_t values[STREAMS][CHUNK_CELLS_MAX];
};

static int128 wide(int64_t lo, int64_t hi)
{
    return (int128)((uint128)(uint64_t)hi << 64 | (uint64_t)lo);
}

/* What the sum of a cell is expected to be. */
static uint128 expected_sum(int64_t count, int64_t first, int64_t last)
{
    return (uint128)((int128)count * (first + last) / 2);
}

static bool is_double(int stream, int digits)
{
    return digits == DIGITS_MIXED && stream >= FIRST && stream <= RESET_SUM;
}

/* ---- encoding ---- */

/* The digits that all cells have; DIGITS_MIXED when they differ or a value is no such decimal. */
static int common_digits(const struct columns *c, size_t from, size_t n)
{
    int64_t digits = c->digits[from], k;
    if (digits < 0 || digits > DECIMAL_DIGITS)
        return DIGITS_MIXED;
    for (size_t i = from; i < from + n; i++)
        if (c->digits[i] != digits || !scaled_of((uint64_t)c->first[i], (int)digits, &k) ||
            !scaled_of((uint64_t)c->last[i], (int)digits, &k) ||
            !scaled_of((uint64_t)c->min[i], (int)digits, &k) ||
            !scaled_of((uint64_t)c->max[i], (int)digits, &k))
            return DIGITS_MIXED;
    return (int)digits;
}

static int64_t integer_of(int64_t bits, int digits)
{
    int64_t k = 0;
    ensure(scaled_of((uint64_t)bits, digits, &k));
    return k;
}

static void take_mixed(const struct columns *c, size_t at, size_t i, struct derived_streams *s)
{
    s->values[FIRST][i] = c->first[at];
    s->values[LAST][i] = c->last[at];
    s->values[MIN][i] = c->min[at];
    s->values[MAX][i] = c->max[at];
    s->values[SUM_LO][i] = (int64_t)c->sum[at];
    s->values[SUM_HI][i] = (int64_t)(c->sum[at] >> 64);
    s->values[DIGITS][i] = c->digits[at] + 1;
}

static void take_decimals(
    const struct columns *c, size_t at, size_t i, int digits, struct derived_streams *s)
{
    int64_t first = integer_of(c->first[at], digits), last = integer_of(c->last[at], digits);
    uint128 sum = (uint128)c->sum[at] - expected_sum(c->count[at], first, last);
    s->values[LAST][i] = last;
    s->values[FIRST][i] = first - s->values[LAST][i ? i - 1 : 0];
    s->values[MIN][i] = (first < last ? first : last) - integer_of(c->min[at], digits);
    s->values[MAX][i] = integer_of(c->max[at], digits) - (first > last ? first : last);
    s->values[SUM_LO][i] = (int64_t)sum;
    s->values[SUM_HI][i] = wrap_sub((int64_t)(sum >> 64), (int64_t)sum < 0 ? -1 : 0);
    s->values[DIGITS][i] = 0;
}

static void take_cells(
    const struct columns *c, size_t from, size_t n, int digits, struct derived_streams *s)
{
    for (size_t i = 0; i < n; i++) {
        size_t at = from + i;
        if (digits == DIGITS_MIXED)
            take_mixed(c, at, i, s);
        else
            take_decimals(c, at, i, digits, s);
        s->values[COUNT][i] = c->count[at];
        s->values[RESET_SUM][i] = c->reset_sum[at];
        s->values[RESETS][i] = c->resets[at];
        s->values[FIRST_MS][i] = wrap_sub(c->t[at], c->first_ms[at]);
        s->values[LAST_MS][i] = wrap_sub(c->t[at], c->last_ms[at]);
    }
}

static bool is_zero(const int64_t *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (values[i])
            return false;
    return true;
}

/* Streams of zeros are never the same as another that is there. */
static void put_one(
    const struct derived_streams *s, int stream, size_t n, int digits, struct buf *out)
{
    const int64_t *values = s->values[stream];
    for (int same = 0; same < stream; same++)
        if (memcmp(s->values[same], values, n * sizeof *values) == 0) {
            buf_u8(out, STREAM_SAME);
            buf_u8(out, (uint8_t)same);
            return;
        }
    stream_put(out, values, n, is_double(stream, digits));
}

void chunk_derived_encode(const struct columns *columns, size_t from, size_t n, struct buf *out)
{
    struct derived_streams s;
    uint16_t mask = 0;
    ensure(n > 0 && n <= CHUNK_CELLS_MAX);
    int digits = common_digits(columns, from, n);
    take_cells(columns, from, n, digits, &s);
    for (int i = 0; i < STREAMS; i++)
        mask |= (uint16_t)(!is_zero(s.values[i], n) << i);
    buf_u8(out, (uint8_t)digits);
    buf_le16(out, mask);
    for (int i = 0; i < STREAMS; i++)
        if (mask >> i & 1)
            put_one(&s, i, n, digits, out);
}

/* ---- decoding ---- */

/* A stream, or a copy of an earlier one. */
static bool get_one(struct reader *in, int stream, size_t n, struct derived_streams *s,
    const struct place *place, struct err *err)
{
    if (reader_left(in) == 0 || *in->at != STREAM_SAME)
        return stream_get(in, n, s->values[stream], place, err);
    read_u8(in);
    uint8_t same = read_u8(in);
    if (in->failed || same >= stream)
        return place_corrupt(place, err, "stream %d of derived cells equals none", stream);
    memcpy(s->values[stream], s->values[same], n * sizeof **s->values);
    return true;
}

static bool get_streams(struct reader *in, uint16_t mask, size_t n, struct derived_streams *s,
    const struct place *place, struct err *err)
{
    for (int i = 0; i < STREAMS; i++) {
        if (!(mask >> i & 1))
            memset(s->values[i], 0, n * sizeof **s->values);
        else if (!get_one(in, i, n, s, place, err))
            return false;
    }
    return true;
}

static void give_common(const struct derived_streams *s, size_t n, struct columns *out)
{
    const struct {
        int64_t *to;
        int stream;
    } copies[] = {{out->count, COUNT}, {out->reset_sum, RESET_SUM}, {out->resets, RESETS},
        {out->first_ms, FIRST_MS}, {out->last_ms, LAST_MS}};
    for (size_t i = 0; i < sizeof copies / sizeof *copies; i++)
        memcpy(copies[i].to, s->values[copies[i].stream], n * sizeof(int64_t));
}

/* False: digits that cannot be. */
static bool give_mixed(const struct derived_streams *s, size_t n, struct columns *out)
{
    give_common(s, n, out);
    memcpy(out->first, s->values[FIRST], n * sizeof *out->first);
    memcpy(out->last, s->values[LAST], n * sizeof *out->last);
    memcpy(out->min, s->values[MIN], n * sizeof *out->min);
    memcpy(out->max, s->values[MAX], n * sizeof *out->max);
    for (size_t i = 0; i < n; i++) {
        if (s->values[DIGITS][i] < 0 || s->values[DIGITS][i] > DECIMAL_DIGITS + 1)
            return false;
        out->digits[i] = s->values[DIGITS][i] - 1;
        out->sum[i] = wide(s->values[SUM_LO][i], s->values[SUM_HI][i]);
    }
    return true;
}

static bool fits(int64_t k)
{
    return k > -SCALED_MAX && k < SCALED_MAX;
}

static bool give_decimals(
    const struct derived_streams *s, size_t n, int digits, struct columns *out)
{
    give_common(s, n, out);
    for (size_t i = 0; i < n; i++) {
        int64_t last = s->values[LAST][i];
        int64_t first = wrap_add(s->values[FIRST][i], s->values[LAST][i ? i - 1 : 0]);
        int64_t min = wrap_sub(first < last ? first : last, s->values[MIN][i]);
        int64_t max = wrap_add(first > last ? first : last, s->values[MAX][i]);
        int64_t lo = s->values[SUM_LO][i], hi = wrap_add(s->values[SUM_HI][i], lo < 0 ? -1 : 0);
        if (!fits(first) || !fits(last) || !fits(min) || !fits(max))
            return false;
        out->first[i] = (int64_t)scaled_bits(first, digits);
        out->last[i] = (int64_t)scaled_bits(last, digits);
        out->min[i] = (int64_t)scaled_bits(min, digits);
        out->max[i] = (int64_t)scaled_bits(max, digits);
        out->digits[i] = digits;
        out->sum[i] =
            (int128)((uint128)wide(lo, hi) + expected_sum(s->values[COUNT][i], first, last));
    }
    return true;
}

bool chunk_derived_decode(struct reader *in, int form, size_t n, const struct place *place,
    struct arena *arena, struct columns *out, struct err *err)
{
    struct derived_streams s;
    int digits = DIGITS_MIXED;
    uint16_t mask = (1u << DIGITS) - 1; /* FORM_DERIVED: no digits, all else as it is */
    ensure(n > 0 && n <= CHUNK_CELLS_MAX);
    if (!columns_alloc_derived(arena, n, out))
        return err_set(err, ERR_LIMIT, "memory of the query is used up while reading a chunk");
    if (form == FORM_COARSE) {
        digits = read_u8(in);
        mask = read_le16(in);
        if (in->failed || mask >> STREAMS || (digits > DECIMAL_DIGITS && digits != DIGITS_MIXED))
            return place_corrupt(
                place, err, "derived cells of %d digits, streams %#x", digits, mask);
    }
    if (!get_streams(in, mask, n, &s, place, err))
        return false;
    return (digits == DIGITS_MIXED ? give_mixed(&s, n, out) : give_decimals(&s, n, digits, out)) ||
           place_corrupt(place, err, "values of derived cells that cannot be");
}

void chunk_derived_finish(struct columns *columns)
{
    struct columns *c = columns;
    for (size_t i = 0; i < c->n; i++) {
        c->first_ms[i] = wrap_sub(c->t[i], c->first_ms[i]);
        c->last_ms[i] = wrap_sub(c->t[i], c->last_ms[i]);
    }
}
