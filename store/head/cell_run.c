#include "store/head/cell_run.h"

#include <math.h>

#include "base/bytes.h"
#include "base/double_bits.h"
#include "base/number.h"

#define DECIMAL_MAX 9007199254740992.0 /* 2^53 */
#define OPAQUE_RUN  8 /* after so many doubles that are no decimals, one in so many is tried */

static const double powers[RUN_DIGITS_MAX + 1] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};

/* ---- writing ---- */

static inline uint8_t *put_varint(uint8_t *at, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        *at++ = (uint8_t)(v | 0x80);
    *at++ = (uint8_t)v;
    return at;
}

static uint8_t *put_wide(uint8_t *at, int128 v)
{
    uint128 u = ((uint128)v << 1) ^ (uint128)(v >> 127);
    for (; u >= 0x80; u >>= 7)
        *at++ = (uint8_t)(u | 0x80);
    *at++ = (uint8_t)u;
    return at;
}

static inline uint8_t *put_svarint(uint8_t *at, int64_t v)
{
    return put_varint(at, zigzag(v));
}

/* How far t is from where it was expected, ms; the state moves on. */
static inline int64_t time_step(struct run_state *state, uint32_t unit_ms, uint32_t t)
{
    int64_t step = (int64_t)t - state->t;
    int64_t d = step - state->step;
    /* The first cell says nothing about the next but that a window is the least distance. */
    state->step = state->t == 0 ? (int32_t)unit_ms : (int32_t)step;
    state->t = t;
    return d;
}

static inline bool put_late(uint8_t **at, int64_t d, uint32_t unit_ms, unsigned op)
{
    bool exact = d % unit_ms != 0;
    int64_t units = exact ? d : d / unit_ms;
    *at = put_varint(*at, zigzag(units) << 3 | (exact ? RUN_EXACT : op) << 1 | 1);
    return exact;
}

/* Whether v fits the head, with room for the low bit. */
static inline bool fits(int64_t v)
{
    return v >= -(INT64_C(1) << 61) && v < INT64_C(1) << 61;
}

size_t run_put_amount(
    struct run_state *state, const struct run_shape *shape, uint32_t t, int128 amount, uint8_t *out)
{
    uint8_t *at = out;
    int64_t d = time_step(state, shape->unit_ms, t);
    int64_t low = (int64_t)amount;
    bool narrow = low == amount;
    if (d == 0 && narrow && fits(low))
        return (size_t)(put_varint(at, zigzag(low) << 1) - out);
    unsigned op = amount == 1 ? RUN_FIRST : narrow ? RUN_SECOND : RUN_THIRD;
    if (put_late(&at, d, shape->unit_ms, op) || op == RUN_THIRD)
        at = put_wide(at, amount);
    else if (op == RUN_SECOND)
        at = put_svarint(at, low);
    return (size_t)(at - out);
}

size_t run_put_gauge(struct run_state *state, const struct run_shape *shape, uint32_t t,
    int64_t block_start, const struct gauge_cell *cell, uint8_t *out)
{
    uint8_t *at = out;
    int64_t d = time_step(state, shape->unit_ms, t);
    int64_t change = (int64_t)((uint64_t)cell->last - (uint64_t)state->value);
    int64_t age = (int64_t)((uint64_t)block_start + t - (uint64_t)cell->last_ms);
    bool single = cell->count == 1 && cell->min == cell->last && cell->max == cell->last &&
                  cell->sum == cell->last && age >= 0;
    state->value = cell->last;
    if (single && d == 0 && fits(change)) {
        at = put_varint(at, zigzag(change) << 1);
        return (size_t)(put_varint(at, (uint64_t)age) - out);
    }
    single = !put_late(&at, d, shape->unit_ms, single ? RUN_FIRST : RUN_SECOND) && single;
    at = put_svarint(at, change);
    if (single)
        return (size_t)(put_varint(at, (uint64_t)age) - out);
    at = put_svarint(at, age);
    at = put_svarint(at, cell->min);
    at = put_svarint(at, cell->max);
    at = put_varint(at, (uint64_t)cell->count);
    return (size_t)(put_wide(at, cell->sum) - out);
}

/* ---- samples ---- */

static inline double decimal_value(int64_t k, unsigned digits)
{
    return digits ? (double)k / powers[digits] : (double)k;
}

static inline bool decimal(uint64_t bits, unsigned digits, int64_t *k)
{
    double scaled = bits_double(bits) * powers[digits];
    if (!(fabs(scaled) < DECIMAL_MAX))
        return false;
    *k = (int64_t)(scaled + (scaled < 0 ? -0.5 : 0.5));
    return double_bits(decimal_value(*k, digits)) == bits;
}

/* With the digits of the last decimal, or with as few others as do. */
static bool find_decimal(struct run_state *state, uint64_t bits, unsigned *digits, int64_t *k)
{
    *digits = state->digits;
    if (decimal(bits, *digits, k)) {
        state->opaque = 0;
        return true;
    }
    if (state->opaque++ >= OPAQUE_RUN && state->opaque % OPAQUE_RUN != 0)
        return false;
    for (*digits = 0; *digits <= RUN_DIGITS_MAX; ++*digits)
        if (decimal(bits, *digits, k)) {
            state->opaque = 0;
            return true;
        }
    return false;
}

static uint8_t *put_bits(uint8_t *at, uint64_t bits)
{
    le64_put(at, bits);
    return at + 8;
}

size_t run_put_sample(
    struct run_state *state, uint32_t t, uint64_t bits, int64_t start, uint8_t *out)
{
    uint8_t *at = out;
    int64_t d = time_step(state, 1, t), k = 0;
    unsigned digits;
    bool is_decimal = find_decimal(state, bits, &digits, &k);
    bool same = is_decimal && digits == state->digits;
    if (same && start == RUN_NO_START) {
        int64_t change = k - state->value;
        state->value = k;
        if (d == 0)
            return (size_t)(put_varint(at, zigzag(change) << 1) - out);
        put_late(&at, d, 1, RUN_DECIMAL);
        return (size_t)(put_svarint(at, change) - out);
    }
    if (!is_decimal && start == RUN_NO_START) {
        put_late(&at, d, 1, RUN_BITS);
        return (size_t)(put_bits(at, bits) - out);
    }
    put_late(&at, d, 1, RUN_FLAGS);
    *at++ = (uint8_t)((is_decimal ? RUN_FLAG_DIGITS : RUN_FLAG_BITS) |
                      (start != RUN_NO_START ? RUN_FLAG_START : 0));
    if (is_decimal) {
        *at++ = (uint8_t)digits;
        at = put_svarint(at, k);
        state->digits = (uint8_t)digits;
        state->value = k;
    } else {
        at = put_bits(at, bits);
    }
    if (start != RUN_NO_START)
        at = put_svarint(at, start);
    return (size_t)(at - out);
}

/* ---- histograms ---- */

void run_put_histogram(struct run_state *state, const struct run_shape *shape, uint32_t t,
    const struct hist_cell *cell, struct buf *out)
{
    uint8_t head[RUN_CELL_MAX], *at = head;
    int64_t d = time_step(state, shape->unit_ms, t);
    bool narrow = (int64_t)cell->sum == cell->sum;
    if (put_late(&at, d, shape->unit_ms, narrow ? RUN_FIRST : RUN_SECOND) || !narrow)
        at = put_wide(at, cell->sum);
    else
        at = put_svarint(at, (int64_t)cell->sum);
    at = put_varint(at, cell->n);
    buf_add(out, head, (size_t)(at - head));
    int64_t key = 0;
    for (uint32_t i = 0; i < cell->n; i++) {
        buf_svarint(out, cell->buckets[i].key - key);
        buf_svarint(out, cell->buckets[i].count);
        key = cell->buckets[i].key;
    }
}

static void put_double(struct buf *out, double v)
{
    buf_le64(out, double_bits(v));
}

static void put_fbuckets(struct buf *out, const struct hist_fbucket *bucket, uint32_t n)
{
    int64_t index = 0;
    buf_varint(out, n);
    for (uint32_t i = 0; i < n; i++) {
        buf_svarint(out, bucket[i].index - index);
        put_double(out, bucket[i].count);
        index = bucket[i].index;
    }
}

void run_put_sample_histogram(struct run_state *state, uint32_t t, const struct hist *histogram,
    int64_t start, struct buf *out)
{
    uint8_t head[RUN_CELL_MAX], *at = head;
    put_late(&at, time_step(state, 1, t), 1, RUN_FLAGS);
    *at++ = (uint8_t)(RUN_FLAG_HISTOGRAM | (start != RUN_NO_START ? RUN_FLAG_START : 0));
    if (start != RUN_NO_START)
        at = put_svarint(at, start);
    buf_add(out, head, (size_t)(at - head));
    buf_svarint(out, histogram->schema);
    buf_u8(out, (uint8_t)histogram->reset_hint);
    put_double(out, histogram->zero_threshold);
    put_double(out, histogram->zero_count);
    put_double(out, histogram->count);
    put_double(out, histogram->sum);
    put_fbuckets(out, histogram->positive, histogram->n_positive);
    put_fbuckets(out, histogram->negative, histogram->n_negative);
    buf_varint(out, histogram->n_bounds);
    for (uint32_t i = 0; i < histogram->n_bounds; i++)
        put_double(out, histogram->bounds[i]);
}
