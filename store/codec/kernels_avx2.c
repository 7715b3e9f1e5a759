/*
 * The kernels with AVX2 and FMA.
 *
 * Unpacking: eight numbers of w bits end at a byte. One shuffle brings to each lane the bytes that
 * its number begins in, one shift by lane and one mask leave the number; w up to 25 so, in lanes of
 * 32 bits, and up to 57 in lanes of 64.
 *
 * Dividing by 10^e: multiply by the rounded inverse y, then correct once by the remainder
 * (Markstein): q = a y, r = a - q b, q' = q + r y. That is the correctly rounded a / b for every a
 * that is an integer or came from rounding one: the error of q is at most 1.5 ulp, so r is exact (a
 * multiple of ulp(q) 2^e with a factor below 2 * 5^14), and q + r y is off from a / b by less than
 * 2^-51 ulp. And no a / b is so close to the middle of two doubles without being one: with the
 * middle M 2^s, M odd of 54 bits, the distance is a multiple of ulp / 2 / 5^e > 2^-34 ulp, and it
 * is not 0, for a = M 5^e 2^(e + s) would have more than 53 bits.
 */
#if defined(__x86_64__)
#include <immintrin.h>

#include "store/codec/kernels.h"
#include "store/codec/radix.h"

#define AVX2       __attribute__((target("avx2,fma")))
#define NARROW_MAX 25 /* bits; with 7 before them still in 32 */
#define WIDE_MAX   57

AVX2 static __m256i load_lanes(const uint8_t *low, const uint8_t *high)
{
    __m128i a = _mm_loadu_si128((const __m128i *)low), b = _mm_loadu_si128((const __m128i *)high);
    return _mm256_inserti128_si256(_mm256_castsi128_si256(a), b, 1);
}

/* Four numbers from bit `at` behind a byte on. */
struct take4 {
    size_t low, high; /* where the bytes of either lane begin */
    __m256i bytes, shift;
};

AVX2 static struct take4 take4_at(unsigned at, unsigned bits)
{
    unsigned second = at + 2 * bits;
    __m256i from = _mm256_setr_epi64x(at & 7, (at & 7) + bits, second & 7, (second & 7) + bits);
    __m256i byte = _mm256_srli_epi64(from, 3);
    __m256i eight =
        _mm256_shuffle_epi8(byte, _mm256_setr_epi64x(0, 0x0808080808080808, 0, 0x0808080808080808));
    return (struct take4){at >> 3, second >> 3,
        _mm256_add_epi8(eight, _mm256_set1_epi64x(0x0706050403020100)),
        _mm256_and_si256(from, _mm256_set1_epi64x(7))};
}

AVX2 static __m256i take4(const struct take4 *t, const uint8_t *src, __m256i mask)
{
    __m256i v = _mm256_shuffle_epi8(load_lanes(src + t->low, src + t->high), t->bytes);
    return _mm256_and_si256(_mm256_srlv_epi64(v, t->shift), mask);
}

AVX2 static void unpack_middle(const uint8_t *src, unsigned bits, size_t n, uint32_t *out)
{
    struct take4 first = take4_at(0, bits), second = take4_at(4 * bits, bits);
    __m256i mask = _mm256_set1_epi64x((INT64_C(1) << bits) - 1);
    for (size_t i = 0; i < n; i += 8, src += bits) {
        __m256i a = take4(&first, src, mask), b = take4(&second, src, mask);
        __m256i even = _mm256_castps_si256(_mm256_shuffle_ps(
            _mm256_castsi256_ps(a), _mm256_castsi256_ps(b), _MM_SHUFFLE(2, 0, 2, 0)));
        even = _mm256_permute4x64_epi64(even, _MM_SHUFFLE(3, 1, 2, 0));
        _mm256_storeu_si256((__m256i *)(out + i), even);
    }
}

AVX2 static void unpack32(const uint8_t *src, unsigned bits, size_t n, uint32_t *out)
{
    if (bits > NARROW_MAX) {
        unpack_middle(src, bits, n, out);
        return;
    }
    unsigned half = 4 * bits;
    __m256i from =
        _mm256_mullo_epi32(_mm256_setr_epi32(0, 1, 2, 3, 0, 1, 2, 3), _mm256_set1_epi32((int)bits));
    from = _mm256_add_epi32(
        from, _mm256_inserti128_si256(_mm256_setzero_si256(), _mm_set1_epi32((int)(half & 7)), 1));
    __m256i bytes = _mm256_add_epi32(
        _mm256_mullo_epi32(_mm256_srli_epi32(from, 3), _mm256_set1_epi32(0x01010101)),
        _mm256_set1_epi32(0x03020100));
    __m256i shift = _mm256_and_si256(from, _mm256_set1_epi32(7));
    __m256i mask = _mm256_set1_epi32((1 << bits) - 1);
    for (size_t i = 0; i < n; i += 8, src += bits) {
        __m256i v = _mm256_shuffle_epi8(load_lanes(src, src + (half >> 3)), bytes);
        v = _mm256_and_si256(_mm256_srlv_epi32(v, shift), mask);
        _mm256_storeu_si256((__m256i *)(out + i), v);
    }
}

AVX2 static void unpack64(const uint8_t *src, unsigned bits, size_t n, uint64_t *out)
{
    if (bits > WIDE_MAX) {
        kernels_portable.unpack64(src, bits, n, out);
        return;
    }
    struct take4 first = take4_at(0, bits), second = take4_at(4 * bits, bits);
    __m256i mask = _mm256_set1_epi64x((INT64_C(1) << bits) - 1);
    for (size_t i = 0; i < n; i += 8, src += bits) {
        _mm256_storeu_si256((__m256i *)(out + i), take4(&first, src, mask));
        _mm256_storeu_si256((__m256i *)(out + i + 4), take4(&second, src, mask));
    }
}

AVX2 static void split(uint32_t *groups, size_t n_groups, unsigned radix, uint32_t *out)
{
    const struct radix_split *s = radix_split(radix);
    __m256i multiplier = _mm256_set1_epi64x(s->multiplier);
    __m256i times = _mm256_set1_epi32((int)radix);
    __m128i shift = _mm_cvtsi32_si128(s->shift), shift_odd = _mm_cvtsi32_si128(s->shift - 32);
    for (unsigned d = 0; d + 1 < s->digits; d++, out += n_groups)
        for (size_t g = 0; g < n_groups; g += 8) {
            __m256i v = _mm256_loadu_si256((const __m256i *)(groups + g));
            __m256i even = _mm256_mul_epu32(v, multiplier);
            __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(v, 32), multiplier);
            __m256i quotient = _mm256_blend_epi32(
                _mm256_srl_epi64(even, shift), _mm256_srl_epi64(odd, shift_odd), 0xaa);
            __m256i digit = _mm256_sub_epi32(v, _mm256_mullo_epi32(quotient, times));
            _mm256_storeu_si256((__m256i *)(out + g), digit);
            _mm256_storeu_si256((__m256i *)(groups + g), quotient);
        }
    for (size_t g = 0; g < n_groups; g += 8)
        _mm256_storeu_si256(
            (__m256i *)(out + g), _mm256_loadu_si256((const __m256i *)(groups + g)));
}

AVX2 static __m256i widen(const uint32_t *in)
{
    return _mm256_cvtepu32_epi64(_mm_loadu_si128((const __m128i *)in));
}

AVX2 static void add32(const uint32_t *in, size_t n, uint64_t base, uint64_t *out)
{
    __m256i bases = _mm256_set1_epi64x((int64_t)base);
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        _mm256_storeu_si256((__m256i *)(out + i), _mm256_add_epi64(widen(in + i), bases));
    for (; i < n; i++)
        out[i] = in[i] + base;
}

/* The sums of four, each with those before it. */
AVX2 static __m256i prefix(__m256i v)
{
    v = _mm256_add_epi64(v, _mm256_slli_si256(v, 8));
    __m256i low = _mm256_permute4x64_epi64(v, _MM_SHUFFLE(1, 1, 0, 0));
    return _mm256_add_epi64(v, _mm256_blend_epi32(_mm256_setzero_si256(), low, 0xf0));
}

AVX2 static void sum32(const uint32_t *in, size_t n, uint64_t base, uint64_t *sum, uint64_t *out)
{
    __m256i bases = _mm256_set1_epi64x((int64_t)base), before = _mm256_set1_epi64x((int64_t)*sum);
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        __m256i v = prefix(_mm256_add_epi64(widen(in + i), bases));
        _mm256_storeu_si256((__m256i *)(out + i), _mm256_add_epi64(v, before));
        before = _mm256_add_epi64(before, _mm256_permute4x64_epi64(v, 0xff));
    }
    uint64_t s = i ? out[i - 1] : *sum;
    for (; i < n; i++)
        out[i] = s += in[i] + base;
    *sum = s;
}

AVX2 static void sum64(const uint64_t *in, size_t n, uint64_t base, uint64_t *sum, uint64_t *out)
{
    __m256i bases = _mm256_set1_epi64x((int64_t)base), before = _mm256_set1_epi64x((int64_t)*sum);
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(in + i));
        v = prefix(_mm256_add_epi64(v, bases));
        _mm256_storeu_si256((__m256i *)(out + i), _mm256_add_epi64(v, before));
        before = _mm256_add_epi64(before, _mm256_permute4x64_epi64(v, 0xff));
    }
    uint64_t s = i ? out[i - 1] : *sum;
    for (; i < n; i++)
        out[i] = s += in[i] + base;
    *sum = s;
}

AVX2 static void unfold(uint64_t *values, size_t n)
{
    __m256i zero = _mm256_setzero_si256(), one = _mm256_set1_epi64x(1);
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(values + i));
        __m256i sign = _mm256_sub_epi64(zero, _mm256_and_si256(v, one));
        _mm256_storeu_si256(
            (__m256i *)(values + i), _mm256_xor_si256(_mm256_srli_epi64(v, 1), sign));
    }
    if (i < n)
        kernels_portable.unfold(values + i, n - i);
}

/* Any 64-bit integer, rounded once: its upper 16 and middle 32 bits as one double, of which
 * numbers the last subtraction is exact, and its lower 48 as another. */
AVX2 static __m256d to_double(__m256i v)
{
    const double upper = 0x1.8p68, lower = 0x1p52; /* their bits make room for the parts */
    __m256i high = _mm256_srai_epi32(v, 16);
    high = _mm256_blend_epi16(high, _mm256_setzero_si256(), 0x33);
    high = _mm256_add_epi64(high, _mm256_castpd_si256(_mm256_set1_pd(upper)));
    __m256i low = _mm256_blend_epi16(v, _mm256_castpd_si256(_mm256_set1_pd(lower)), 0x88);
    __m256d f = _mm256_sub_pd(_mm256_castsi256_pd(high), _mm256_set1_pd(upper + lower));
    return _mm256_add_pd(f, _mm256_castsi256_pd(low));
}

AVX2 static void decimals(uint64_t *values, size_t n, unsigned e)
{
    __m256d power = _mm256_set1_pd(kernels_power[e]), inverse = _mm256_set1_pd(kernels_inverse[e]);
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        __m256d a = to_double(_mm256_loadu_si256((const __m256i *)(values + i)));
        if (e > 0) {
            __m256d q = _mm256_mul_pd(a, inverse);
            a = _mm256_fmadd_pd(_mm256_fnmadd_pd(q, power, a), inverse, q);
        }
        _mm256_storeu_pd((double *)(values + i), a);
    }
    if (i < n)
        kernels_portable.decimals(values + i, n - i, e);
}

const struct kernels kernels_avx2 = {
    "avx2", unpack32, unpack64, split, add32, sum32, sum64, unfold, decimals};

#endif
