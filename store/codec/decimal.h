/*
 * Decimals: doubles that are k / 10^e for an integer k, correctly rounded, with one e for many. Any
 * number that was written with at most 15 digits is one. k is exact, so that differences and common
 * factors of the numbers come back, which the bits of a double hide.
 *
 * Never approximate: a value counts as a decimal only when the division gives back its bits.
 */
#ifndef STORE_CODEC_DECIMAL_H
#define STORE_CODEC_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/codec/kernels.h" /* DECIMAL_MAX */

/* The least exponent, 0..DECIMAL_MAX, with which nearly all of 32 values, evenly taken, are
 * decimals. False when most are none. A guess: decimal_integers has the truth. */
bool decimal_guess(const uint64_t *bits, size_t n, unsigned *e);
/* The exponent that the first few values need which are no decimals with *e. True when that is a
 * larger one. */
bool decimal_raise(const uint64_t *bits, size_t n, unsigned *e);
/* out[i] = k of value i; where it is no decimal with this e, the k before it. Returns how many
 * those are; their indices go to others, which has room for n, or is NULL. */
size_t decimal_integers(const uint64_t *bits, size_t n, unsigned e, int64_t *out, uint32_t *others);
/* In place: k becomes the bits of k / 10^e, correctly rounded; of every k. */
void decimal_bits(int64_t *values, size_t n, unsigned e);

#endif
