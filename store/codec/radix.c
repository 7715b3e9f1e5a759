#include "store/codec/radix.h"

#include "base/ensure.h"

#define GROUP_BITS 31
#define BLOCK      128 /* values that the rule counts the bits of */

static struct radix_split splits[RADIX_MAX + 1];

static unsigned bit_length(uint64_t v)
{
    return v ? 64 - (unsigned)__builtin_clzll(v) : 0;
}

static struct radix_split find_split(unsigned radix)
{
    struct radix_split best = {0};
    unsigned best_bits = UINT32_MAX;
    uint64_t power = radix;
    for (unsigned digits = 2; (power *= radix) <= UINT64_C(1) << GROUP_BITS; digits++) {
        unsigned bits = bit_length(power - 1);
        unsigned all = (BLOCK + digits - 1) / digits * bits;
        if (all >= best_bits)
            continue;
        best_bits = all;
        best.digits = (uint8_t)digits;
        best.bits = (uint8_t)bits;
    }
    best.shift = (uint8_t)(GROUP_BITS + bit_length(radix - 1));
    best.multiplier = (uint32_t)((UINT64_C(1) << best.shift) / radix + 1);
    return best;
}

void radix_init(void)
{
    for (unsigned radix = RADIX_MIN; radix <= RADIX_MAX; radix++)
        splits[radix] = find_split(radix);
}

const struct radix_split *radix_split(unsigned radix)
{
    ensure(radix >= RADIX_MIN && radix <= RADIX_MAX && splits[radix].digits);
    return &splits[radix];
}
