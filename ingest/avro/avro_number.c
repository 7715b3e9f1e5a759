#include "ingest/avro/avro_number.h"

#include <string.h>

#include "base/double_bits.h"
#include "base/number.h"

/* Half to even; rest says what was cut: -1 less than half (or nothing), 0 half, 1 more. */
static bool finish(uint128 v, int rest, bool negative, int64_t *out)
{
    v += rest > 0 || (rest == 0 && (v & 1));
    if (v > (uint128)INT64_MAX + negative)
        return false;
    *out = negative ? (int64_t)(0 - (uint64_t)v) : (int64_t)v;
    return true;
}

/* The bits of a double. */
#define FRACTION ((UINT64_C(1) << 52) - 1)
#define EXPONENT 0x7ff

bool avro_scale_double(double v, int digits, int64_t *out, bool *exact)
{
    uint64_t bits = double_bits(v), fraction = bits & FRACTION;
    int exponent = (int)(bits >> 52 & EXPONENT); /* v = fraction * 2^exponent, in a moment */
    if (exponent == EXPONENT)
        return false;
    fraction += exponent ? FRACTION + 1 : 0;
    exponent -= exponent ? 1075 : 1074;
    uint128 m = (uint128)fraction * (uint128)pow10_int(digits); /* below 2^113 */
    *exact = true;
    if (m == 0 || exponent >= 0)
        return (m == 0 || (exponent < 64 && m >> (64 - exponent) == 0)) &&
               finish(m << (m ? exponent : 0), -1, v < 0, out);
    if (exponent <= -128) {
        *exact = false;
        return finish(0, -1, v < 0, out);
    }
    uint128 half = (uint128)1 << (-exponent - 1), cut = m & (half * 2 - 1);
    *exact = cut == 0;
    return finish(m >> -exponent, cut > half ? 1 : cut == half ? 0 : -1, v < 0, out);
}

bool avro_scale_long(int64_t v, int digits, int64_t *out)
{
    return !__builtin_mul_overflow(v, pow10_int(digits), out);
}

/* ---- decimals ---- */

/* 150 digits have 499 bits. */
#define LIMBS 16

struct magnitude {
    uint32_t limbs[LIMBS]; /* least significant first */
    bool negative;
};

/* Of at most 8 bytes. */
static int64_t small_number(struct slice bytes)
{
    uint64_t v = bytes.len && (uint8_t)bytes.ptr[0] >= 0x80 ? UINT64_MAX : 0;
    for (size_t i = 0; i < bytes.len; i++)
        v = v << 8 | (uint8_t)bytes.ptr[i];
    return (int64_t)v;
}

/* Bytes that say no more than the sign are left out. */
static struct slice significant(struct slice bytes)
{
    while (bytes.len > 1) {
        uint8_t first = (uint8_t)bytes.ptr[0], second = (uint8_t)bytes.ptr[1];
        if (!(first == 0 && second < 0x80) && !(first == 0xff && second >= 0x80))
            break;
        bytes.ptr++;
        bytes.len--;
    }
    return bytes;
}

static bool magnitude_of(struct slice bytes, struct magnitude *out)
{
    bytes = significant(bytes);
    *out = (struct magnitude){.negative = bytes.len && (uint8_t)bytes.ptr[0] >= 0x80};
    if (bytes.len > sizeof out->limbs)
        return false;
    uint32_t carry = 1;
    for (size_t i = 0; i < sizeof out->limbs; i++) {
        uint8_t byte = i < bytes.len   ? (uint8_t)bytes.ptr[bytes.len - 1 - i]
                       : out->negative ? 0xff
                                       : 0;
        if (out->negative) { /* minus it: every bit turned, and one more */
            carry += (uint8_t)~byte;
            byte = (uint8_t)carry;
            carry >>= 8;
        }
        out->limbs[i / 4] |= (uint32_t)byte << (8 * (i % 4));
    }
    return true;
}

static uint32_t divide(struct magnitude *m, uint32_t by)
{
    uint64_t rest = 0;
    for (int i = LIMBS - 1; i >= 0; i--) {
        rest = rest << 32 | m->limbs[i];
        m->limbs[i] = (uint32_t)(rest / by);
        rest %= by;
    }
    return (uint32_t)rest;
}

/* The lowest 64 bits; false: there are more. */
static bool low_bits(const struct magnitude *m, uint64_t *out)
{
    for (int i = 2; i < LIMBS; i++)
        if (m->limbs[i])
            return false;
    *out = (uint64_t)m->limbs[1] << 32 | m->limbs[0];
    return true;
}

static bool cut_digits(struct magnitude *m, int n, int64_t *out, bool *exact)
{
    bool more = false; /* something is behind the first digit that is cut */
    uint64_t v;
    for (int left = n - 1; left > 0; left -= 9)
        more |= divide(m, (uint32_t)pow10_int(left < 9 ? left : 9)) != 0;
    uint32_t first = divide(m, 10);
    *exact = first == 0 && !more;
    int rest = first > 5 || (first == 5 && more) ? 1 : first == 5 ? 0 : -1;
    return low_bits(m, &v) && finish(v, rest, m->negative, out);
}

bool avro_scale_decimal(struct slice bytes, int scale, int digits, int64_t *out, bool *exact)
{
    struct magnitude m;
    uint64_t v;
    if (bytes.len <= 8 && scale <= digits) {
        *exact = true;
        return avro_scale_long(small_number(bytes), digits - scale, out);
    }
    if (!magnitude_of(bytes, &m))
        return false;
    if (scale > digits)
        return cut_digits(&m, scale - digits, out, exact);
    *exact = true;
    return low_bits(&m, &v) &&
           finish((uint128)v * (uint64_t)pow10_int(digits - scale), -1, m.negative, out);
}
