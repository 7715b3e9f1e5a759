#include "store/segment/scaled.h"

#include <math.h>

#include "base/double_bits.h"

static const double power_of_ten[DECIMAL_DIGITS + 1] = {
    1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};

bool scaled_of(uint64_t bits, int digits, int64_t *k)
{
    double v = bits_double(bits), scaled = v * power_of_ten[digits];
    if (!(fabs(scaled) < (double)SCALED_MAX))
        return false;
    *k = (int64_t)nearbyint(scaled);
    return (double)*k / power_of_ten[digits] == v && (v != 0 || !signbit(v));
}

uint64_t scaled_bits(int64_t k, int digits)
{
    return double_bits((double)k / power_of_ten[digits]);
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
