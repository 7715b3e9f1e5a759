#include "store/segment/scaled.h"

#include <math.h>

#include "base/double_bits.h"
#include "store/codec/kernels.h"

_Static_assert(DECIMAL_DIGITS <= DECIMAL_MAX, "a power of ten for all");

bool scaled_of(uint64_t bits, int digits, int64_t *k)
{
    double v = bits_double(bits), scaled = v * kernels_power[digits];
    if (!(fabs(scaled) < (double)SCALED_MAX))
        return false;
    *k = (int64_t)nearbyint(scaled);
    return (double)*k / kernels_power[digits] == v && (v != 0 || !signbit(v));
}

uint64_t scaled_bits(int64_t k, int digits)
{
    return double_bits((double)k / kernels_power[digits]);
}

bool scaled_sum(const uint64_t *bits, size_t n, int digits, struct scaled_sum *out)
{
    int64_t k = 0, previous = 0;
    bool first = true;
    *out = (struct scaled_sum){.digits = digits};
    for (size_t i = 0; i < n; i++) {
        if (bits[i] == STALE_BITS)
            continue;
        if (!scaled_of(bits[i], digits, &k))
            return false;
        out->sum += k;
        if (!first && k < previous &&
            __builtin_add_overflow(out->reset_sum, previous, &out->reset_sum))
            return false;
        previous = k;
        first = false;
    }
    return true;
}
