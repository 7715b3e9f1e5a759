/*
 * Scaled: doubles that are the nearest to an integer over 10^digits, as most samples are. Sums of
 * them are exact as integers, in any order.
 */
#ifndef STORE_SEGMENT_SCALED_H
#define STORE_SEGMENT_SCALED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/number.h"

#define DECIMAL_DIGITS 9
#define SCALED_MAX     (INT64_C(1) << 53) /* integers below it are doubles */

/* Whether the bits are the double nearest to *k / 10^digits, |*k| < SCALED_MAX, and not -0. */
bool scaled_of(uint64_t bits, int digits, int64_t *k);
/* The bits of the double nearest to k / 10^digits, |k| < SCALED_MAX. */
uint64_t scaled_bits(int64_t k, int digits);

struct scaled_sum {
    int digits;
    int128 sum;        /* over 10^digits, as is the next */
    int64_t reset_sum; /* of the values before each smaller one */
};

/* Exact sums of n samples, staleness markers aside, with that many digits. False when one is no
 * such decimal, or a sum does not fit. */
bool scaled_sum(const uint64_t *bits, size_t n, int digits, struct scaled_sum *out);

#endif
