/*
 * The kernels with AVX-512 (F, BW, DQ): those of kernels_avx2.c, twice as wide, where width pays.
 * Numbers of more than 25 bits are rare, and unpacked as there.
 */
#if defined(__x86_64__)
#include <immintrin.h>

#include "store/codec/kernels.h"
#include "store/codec/radix.h"

#define AVX512     __attribute__((target("avx512f,avx512bw,avx512dq")))
#define NARROW_MAX 25

AVX512 static __m512i load_lanes(const uint8_t *src, const size_t at[4])
{
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(src + at[0])));
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(src + at[1])), 1);
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(src + at[2])), 2);
    return _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(src + at[3])), 3);
}

/* Sixteen at a time: each 128 bits take the bytes in which their four numbers lie. */
AVX512 static void unpack32(const uint8_t *src, unsigned bits, size_t n, uint32_t *out)
{
    if (bits > NARROW_MAX) {
        kernels_avx2.unpack32(src, bits, n, out);
        return;
    }
    size_t at[4];
    uint32_t from[16];
    for (unsigned i = 0; i < 16; i++) {
        at[i / 4] = i / 4 * 4 * bits / 8;
        from[i] = (uint32_t)(i * bits - 8 * at[i / 4]);
    }
    __m512i first = _mm512_loadu_si512(from);
    __m512i bytes = _mm512_add_epi32(
        _mm512_mullo_epi32(_mm512_srli_epi32(first, 3), _mm512_set1_epi32(0x01010101)),
        _mm512_set1_epi32(0x03020100));
    __m512i shift = _mm512_and_si512(first, _mm512_set1_epi32(7));
    __m512i mask = _mm512_set1_epi32((1 << bits) - 1);
    for (size_t i = 0; i < n; i += 16, src += (size_t)2 * bits) {
        __m512i v = _mm512_shuffle_epi8(load_lanes(src, at), bytes);
        _mm512_storeu_si512(out + i, _mm512_and_si512(_mm512_srlv_epi32(v, shift), mask));
    }
}

static void unpack64(const uint8_t *src, unsigned bits, size_t n, uint64_t *out)
{
    kernels_avx2.unpack64(src, bits, n, out);
}

AVX512 static void split(uint32_t *groups, size_t n_groups, unsigned radix, uint32_t *out)
{
    const struct radix_split *s = radix_split(radix);
    __m512i multiplier = _mm512_set1_epi64(s->multiplier);
    __m512i times = _mm512_set1_epi32((int)radix);
    __m128i shift = _mm_cvtsi32_si128(s->shift), shift_odd = _mm_cvtsi32_si128(s->shift - 32);
    for (unsigned d = 0; d + 1 < s->digits; d++, out += n_groups)
        for (size_t g = 0; g < n_groups; g += 16) {
            __m512i v = _mm512_loadu_si512(groups + g);
            __m512i even = _mm512_mul_epu32(v, multiplier);
            __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(v, 32), multiplier);
            __m512i quotient = _mm512_mask_blend_epi32(
                0xaaaa, _mm512_srl_epi64(even, shift), _mm512_srl_epi64(odd, shift_odd));
            __m512i digit = _mm512_sub_epi32(v, _mm512_mullo_epi32(quotient, times));
            _mm512_storeu_si512(out + g, digit);
            _mm512_storeu_si512(groups + g, quotient);
        }
    for (size_t g = 0; g < n_groups; g += 16)
        _mm512_storeu_si512(out + g, _mm512_loadu_si512(groups + g));
}

AVX512 static __m512i widen(const uint32_t *in)
{
    return _mm512_cvtepu32_epi64(_mm256_loadu_si256((const __m256i *)in));
}

AVX512 static void add32(const uint32_t *in, size_t n, uint64_t base, uint64_t *out)
{
    __m512i bases = _mm512_set1_epi64((int64_t)base);
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm512_storeu_si512(out + i, _mm512_add_epi64(widen(in + i), bases));
    for (; i < n; i++)
        out[i] = in[i] + base;
}

/* The sums of eight, each with those before it. */
AVX512 static __m512i prefix(__m512i v)
{
    __m512i zero = _mm512_setzero_si512();
    v = _mm512_add_epi64(v, _mm512_alignr_epi64(v, zero, 7));
    v = _mm512_add_epi64(v, _mm512_alignr_epi64(v, zero, 6));
    return _mm512_add_epi64(v, _mm512_alignr_epi64(v, zero, 4));
}

AVX512 static __m512i put_sums(__m512i v, __m512i before, uint64_t *out)
{
    v = prefix(v);
    _mm512_storeu_si512(out, _mm512_add_epi64(v, before));
    return _mm512_add_epi64(before, _mm512_permutexvar_epi64(_mm512_set1_epi64(7), v));
}

AVX512 static void sum32(const uint32_t *in, size_t n, uint64_t base, uint64_t *sum, uint64_t *out)
{
    __m512i bases = _mm512_set1_epi64((int64_t)base), before = _mm512_set1_epi64((int64_t)*sum);
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        before = put_sums(_mm512_add_epi64(widen(in + i), bases), before, out + i);
    uint64_t s = i ? out[i - 1] : *sum;
    for (; i < n; i++)
        out[i] = s += in[i] + base;
    *sum = s;
}

AVX512 static void sum64(const uint64_t *in, size_t n, uint64_t base, uint64_t *sum, uint64_t *out)
{
    __m512i bases = _mm512_set1_epi64((int64_t)base), before = _mm512_set1_epi64((int64_t)*sum);
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        before = put_sums(_mm512_add_epi64(_mm512_loadu_si512(in + i), bases), before, out + i);
    uint64_t s = i ? out[i - 1] : *sum;
    for (; i < n; i++)
        out[i] = s += in[i] + base;
    *sum = s;
}

AVX512 static void unfold(uint64_t *values, size_t n)
{
    __m512i zero = _mm512_setzero_si512(), one = _mm512_set1_epi64(1);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m512i v = _mm512_loadu_si512(values + i);
        __m512i sign = _mm512_sub_epi64(zero, _mm512_and_si512(v, one));
        _mm512_storeu_si512(values + i, _mm512_xor_si512(_mm512_srli_epi64(v, 1), sign));
    }
    if (i < n)
        kernels_portable.unfold(values + i, n - i);
}

/* The division is that of kernels_avx2.c. */
AVX512 static void decimals(uint64_t *values, size_t n, unsigned e)
{
    __m512d power = _mm512_set1_pd(kernels_power[e]), inverse = _mm512_set1_pd(kernels_inverse[e]);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m512d a = _mm512_cvtepi64_pd(_mm512_loadu_si512(values + i));
        if (e > 0) {
            __m512d q = _mm512_mul_pd(a, inverse);
            a = _mm512_fmadd_pd(_mm512_fnmadd_pd(q, power, a), inverse, q);
        }
        _mm512_storeu_pd(values + i, a);
    }
    if (i < n)
        kernels_portable.decimals(values + i, n - i, e);
}

const struct kernels kernels_avx512 = {
    "avx512", unpack32, unpack64, split, add32, sum32, sum64, unfold, decimals};

#endif
