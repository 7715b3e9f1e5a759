/*
 * Codec 2: doubles, given and gotten back as their bits. They become integers, which codec 1 packs:
 * decimals with one exponent (decimal.h), or, when most values are none, their bits in the order of
 * their values. Among decimals the others (NaN with its payload, infinities, -0, values with more
 * digits) are exceptions, written as they are.
 *
 *     stream     := head u8 | [exceptions] | stream of n integers       nothing when n is 0
 *     head       := bits 0-3: e, 15: ordered bits; bit 4: exceptions; bit 5: all with the same
 *                   bits; bits 6, 7 are 0; with e = 15 also 4 and 5
 *     exceptions := count varint, 1..n | how many values stand before it and after the one
 *                   before, varint each | bits u64 each, once when they are the same
 *
 *     value i    := k / 10^e, k = integer i converted to a double, both correctly rounded
 *                   e = 15: the bits are the integer, its lower 63 bits flipped when negative
 *
 * Where an exception stands the integer means nothing.
 */
#ifndef STORE_CODEC_DOUBLES_H
#define STORE_CODEC_DOUBLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"

/* Appends the stream of n values, at most STREAM_MAX (ensured). */
void doubles_encode(const int64_t *bits, size_t n, struct buf *out);
/* As integers_decode. */
bool doubles_decode(struct reader *in, size_t n, int64_t *bits);

#endif
