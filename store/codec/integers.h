/*
 * Codec 1: integers that have something in common with their neighbours. What is coded is one of
 *
 *     constant   one value
 *     line       first value and a constant difference
 *     frame      the values
 *     delta      first value; the differences of neighbours
 *     delta 2    first value, first difference; the differences of differences
 *
 * The last three leave numbers x, which become small unsigned ones: less a base, divided by their
 * greatest common factor, and either the base is their least one, or it lies in the middle of most
 * and signs are folded (zigzag), so that a few far below, as when a counter starts again, cost only
 * themselves. They are packed in blocks (packing.h). All sums wrap around, so that every sequence
 * of 64-bit words has a form.
 *
 *     stream   := head u8 | fields by mode                     nothing at all when n is 0
 *     head     := mode, bits 0-2
 *       0 constant   bits 3-7: zigzag of the value, 31: value svarint follows
 *       1 line       first svarint | difference svarint
 *       2 frame      bit 3: factor, 4: one packing, 5: signs folded; bits 6, 7 are 0
 *       3 delta      the same
 *       4 delta 2    the same
 *
 *     fields of 2-4 := [factor varint] [first svarint, 3 and 4] [difference svarint, 4]
 *                      base svarint | [code, when one packing] | blocks of 128, fewer in the last
 *
 * With one packing the blocks are groups alone: no codes, no patches. Streams are as long as n
 * says, less 1 in mode 3 and less 2 in mode 4, in which n is at least 2 and 3.
 */
#ifndef STORE_CODEC_INTEGERS_H
#define STORE_CODEC_INTEGERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "store/codec/packing.h"

#define STREAM_MAX 65536 /* values of a stream of codecs 1 and 2 */

enum { MODE_CONSTANT, MODE_LINE, MODE_FRAME, MODE_DELTA, MODE_DELTA2 };
enum { HEAD_MODE = 7, HEAD_FACTOR = 8, HEAD_ONE_PACKING = 16, HEAD_FOLDED = 32 };
#define HEAD_SMALL_SHIFT 3
#define HEAD_SMALL_NONE  31

/* Appends the stream of n values, at most STREAM_MAX (ensured). */
void integers_encode(const int64_t *values, size_t n, struct buf *out);
/* Takes it off the front of in. False when the bytes are no stream of n values; then out holds
 * anything. */
bool integers_decode(struct reader *in, size_t n, int64_t *out);

#endif
