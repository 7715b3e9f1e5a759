/*
 * Codecs: how a stream, a run of 64-bit integers whose number is known from elsewhere, becomes
 * bytes. Every stream in a segment carries the id of its codec, so that a new codec is one more id
 * and files written before it stay readable.
 *
 *     id   name       for
 *     0    plain      anything: 8 bytes a value, little-endian, two's complement
 *     1    integers   integers, at most CODEC_VALUES_MAX (integers.h)
 *     2    doubles    bits of doubles, at most as many (doubles.h)
 *
 * A stream delimits itself: given n, the decoder knows where it ends. 255 is no codec: it stands
 * where a stream is left out. The bytes are laid down in docs/format/codec.md.
 *
 * Any thread may call, with its own buffers.
 */
#ifndef STORE_CODEC_CODEC_H
#define STORE_CODEC_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"

#define CODEC_PLAIN    0
#define CODEC_INTEGERS 1
#define CODEC_DOUBLES  2
#define CODEC_NONE     255

#define CODEC_VALUES_MAX 65536 /* of one stream; plain ones may be longer */

/* Whether this program can read the codec. */
bool codec_known(uint8_t id);
/* The codec that suits these integers best. */
uint8_t codec_choose(const int64_t *values, size_t n);
/* The same for bits of doubles. */
uint8_t codec_choose_doubles(const int64_t *bits, size_t n);
/* Appends the stream. id is known and n not above its maximum (ensured). Any values will do for any
 * codec; what it is for only makes it small. */
void codec_encode(uint8_t id, const int64_t *values, size_t n, struct buf *out);
/* Takes a stream of n values off the front of in. False when the codec is unknown or the bytes are
 * no such stream; then out holds anything. Reads nothing behind the end of in, writes n values. */
bool codec_decode(uint8_t id, struct reader *in, size_t n, int64_t *out);

#endif
