/*
 * The small pieces that cells are written with: varints at a pointer, 128-bit integers, doubles,
 * and the byte in front of each cell. Writers are given room for the longest form; readers check.
 *
 *     front byte:  bits 0-1 series   0 the one before + 1, 1 the same, 2 a difference follows
 *                  bits 2-3 time     0 the same, 1 the step before again, 2 a difference follows
 *                  bits 4-7 form     of the value, by kind
 */
#ifndef STORE_CELL_BYTES_H
#define STORE_CELL_BYTES_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/double_bits.h"
#include "base/number.h"
#include "base/wrap.h"
#include "store/bounds.h"

#define VARINT_MAX   10
#define INT128_BYTES 19
#define DOUBLE_MAX   (2 * VARINT_MAX)
/* The front byte with both differences. */
#define FRONT_MAX (1 + 2 * VARINT_MAX)

enum { SERIES_NEXT = 0, SERIES_SAME = 1, SERIES_DIFF = 2 };
enum { TIME_SAME = 0, TIME_STEP = 1, TIME_DIFF = 2 };

/* Where the cell before stands; at a section's start series -1, time 0, step 0. */
struct front {
    int64_t series;
    int64_t t, step;
};

#define FRONT_START ((struct front){-1, 0, 0})

static inline uint8_t *varint_at(uint8_t *p, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        *p++ = (uint8_t)(v | 0x80);
    *p++ = (uint8_t)v;
    return p;
}

static inline uint8_t *svarint_at(uint8_t *p, int64_t v)
{
    return varint_at(p, zigzag(v));
}

static inline uint8_t *front_at(
    uint8_t *p, struct front *last, uint32_t series, int64_t t, unsigned form)
{
    int64_t id = wrap_sub(series, last->series), step = wrap_sub(t, last->t);
    unsigned s = id == 1 ? SERIES_NEXT : id == 0 ? SERIES_SAME : SERIES_DIFF;
    unsigned k = step == 0 ? TIME_SAME : step == last->step ? TIME_STEP : TIME_DIFF;
    *p++ = (uint8_t)(s | k << 2 | form << 4);
    if (s == SERIES_DIFF)
        p = svarint_at(p, id);
    if (k == TIME_DIFF) {
        p = svarint_at(p, step);
        last->step = step;
    }
    last->series = series;
    last->t = t;
    return p;
}

static inline uint64_t varint_of(struct reader *r)
{
    if (r->at < r->end && *r->at < 0x80)
        return *r->at++;
    return read_varint(r);
}

static inline int64_t svarint_of(struct reader *r)
{
    return unzigzag(varint_of(r));
}

/* Moves *last to the next cell and returns its form. */
static inline unsigned front_of(struct reader *r, struct front *last)
{
    unsigned c = read_u8(r), s = c & 3, k = c >> 2 & 3;
    int64_t id = s == SERIES_NEXT ? 1 : 0;
    if (s == SERIES_DIFF)
        id = svarint_of(r);
    last->series = wrap_add(last->series, id);
    if (k == TIME_DIFF)
        last->step = svarint_of(r);
    if (k != TIME_SAME)
        last->t = wrap_add(last->t, last->step);
    if (s > SERIES_DIFF || k > TIME_DIFF || last->series < 0 || last->series > UINT32_MAX ||
        !time_fits(last->t))
        r->failed = true;
    return c >> 4;
}

/* 128 bits as zigzag LEB128. */
static inline uint8_t *int128_at(uint8_t *p, int128 v)
{
    uint128 u = ((uint128)v << 1) ^ (uint128)(v >> 127);
    for (; u >= 0x80; u >>= 7)
        *p++ = (uint8_t)(u | 0x80);
    *p++ = (uint8_t)u;
    return p;
}

int128 int128_of(struct reader *r);

/*
 * Any double, bit for bit:  varint of 2 * zigzag(m): the integer m
 *                           varint of 2 * k + 1, k 1..6, then svarint m: m / 10^k
 *                           1, then 8 bytes: its bits
 */
uint8_t *double_at(uint8_t *p, double v);
double double_of(struct reader *r);

#define DECIMALS_MAX 6
extern const double decimal_powers[DECIMALS_MAX + 1];

/* v as *m / 10^scale, when that gives the very bits of v again. */
static inline bool decimal_of(double v, int scale, int64_t *m)
{
    double scaled = scale ? v * decimal_powers[scale] : v;
    if (!(scaled > -9e15 && scaled < 9e15))
        return false;
    /* To nearest: what a multiplication left beside the integer does not matter. */
    int64_t i = scale ? (int64_t)(scaled + (scaled < 0 ? -0.5 : 0.5)) : (int64_t)scaled;
    double back = scale ? (double)i / decimal_powers[scale] : (double)i;
    *m = i;
    return double_bits(v) == double_bits(back);
}

/* The smallest scale that does, trying `hint` first; -1: none. */
int decimal_scale(double v, int hint, int64_t *m);

#endif
