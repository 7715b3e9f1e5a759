/*
 * The kernels in C. Bits are taken through unaligned 64-bit loads, without code per width.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/double_bits.h"
#include "store/codec/kernels.h"
#include "store/codec/radix.h"

static uint64_t load64(const uint8_t *p)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
#else
    return le64_get(p);
#endif
}

static void unpack32(const uint8_t *src, unsigned bits, size_t n, uint32_t *out)
{
    uint64_t mask = (UINT64_C(1) << bits) - 1;
    size_t at = 0;
    for (size_t i = 0; i < n; i++, at += bits)
        out[i] = (uint32_t)(load64(src + (at >> 3)) >> (at & 7) & mask);
}

/* A number may reach into a ninth byte. */
static void unpack64(const uint8_t *src, unsigned bits, size_t n, uint64_t *out)
{
    uint64_t mask = bits < 64 ? (UINT64_C(1) << bits) - 1 : UINT64_MAX;
    size_t at = 0;
    for (size_t i = 0; i < n; i++, at += bits) {
        const uint8_t *p = src + (at >> 3);
        unsigned shift = at & 7;
        out[i] = (load64(p) >> shift | (uint64_t)p[8] << 1 << (63 - shift)) & mask;
    }
}

static void split(uint32_t *groups, size_t n_groups, unsigned radix, uint32_t *out)
{
    const struct radix_split *s = radix_split(radix);
    for (unsigned d = 0; d + 1 < s->digits; d++, out += n_groups)
        for (size_t g = 0; g < n_groups; g++) {
            uint32_t quotient = (uint32_t)((uint64_t)groups[g] * s->multiplier >> s->shift);
            out[g] = groups[g] - quotient * radix;
            groups[g] = quotient;
        }
    memcpy(out, groups, n_groups * sizeof *out);
}

static void add32(const uint32_t *in, size_t n, uint64_t base, uint64_t *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = in[i] + base;
}

static void sum32(const uint32_t *in, size_t n, uint64_t base, uint64_t *sum, uint64_t *out)
{
    uint64_t s = *sum;
    for (size_t i = 0; i < n; i++)
        out[i] = s += in[i] + base;
    *sum = s;
}

static void sum64(const uint64_t *in, size_t n, uint64_t base, uint64_t *sum, uint64_t *out)
{
    uint64_t s = *sum;
    for (size_t i = 0; i < n; i++)
        out[i] = s += in[i] + base;
    *sum = s;
}

static void unfold(uint64_t *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        values[i] = (uint64_t)unzigzag(values[i]);
}

static void decimals(uint64_t *values, size_t n, unsigned e)
{
    double power = kernels_power[e];
    for (size_t i = 0; i < n; i++)
        values[i] = double_bits((double)(int64_t)values[i] / power);
}

const struct kernels kernels_portable = {
    "portable", unpack32, unpack64, split, add32, sum32, sum64, unfold, decimals};
