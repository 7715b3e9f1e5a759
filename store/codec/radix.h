/*
 * Mixed radix: values 0..radix-1, where radix is no power of two, as digits of a larger number. A
 * *group* of `digits` values takes `bits` bits, which wastes less than one width per value does:
 *
 *     radix    3: 5 digits in  8 bits, 1.600 bits a value instead of 2 (log2 is 1.585)
 *     radix   20: 3 digits in 13 bits, 4.333 instead of 5 (4.322)
 *     radix  101: 3 digits in 20 bits, 6.667 instead of 7 (6.658)
 *
 * The split of a radix is a rule, not a choice, so that files need not say it: of the numbers of
 * digits whose group fits 31 bits, the smallest for which 128 values take the fewest bits. 31 and
 * not 32, because then the reciprocal of every radix is exact in 32 bits: with
 * shift = 31 + bits(radix - 1) and multiplier = floor(2^shift / radix) + 1, the quotient g / radix
 * is (g * multiplier) >> shift for every g < 2^31.
 */
#ifndef STORE_CODEC_RADIX_H
#define STORE_CODEC_RADIX_H

#include <stdint.h>

#define RADIX_MIN 3
#define RADIX_MAX 4096

struct radix_split {
    uint8_t digits, bits; /* of one group */
    uint8_t shift;
    uint32_t multiplier;
};

/* Fills the table; before the first radix_split. Kernels see to it (kernels.h). */
void radix_init(void);
/* radix is RADIX_MIN..RADIX_MAX. Powers of two have a split too, though widths serve them. */
const struct radix_split *radix_split(unsigned radix);

#endif
