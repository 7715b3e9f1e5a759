/*
 * Codecs: how a stream, a run of 64-bit integers whose number is known from elsewhere, becomes
 * bytes. Every stream in a segment carries the id of its codec, so that a new codec is one more id
 * and files written before it stay readable.
 *
 *     id   name    bytes of n values
 *     0    plain   8 n: little-endian, two's complement
 *
 * A stream delimits itself: given n, the decoder knows where it ends. 255 is no codec: it stands
 * where a stream is left out.
 */
#ifndef STORE_CODEC_CODEC_H
#define STORE_CODEC_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"

#define CODEC_PLAIN 0
#define CODEC_NONE  255

/* Whether this program can read the codec. */
bool codec_known(uint8_t id);
/* The codec that suits these values best. */
uint8_t codec_choose(const int64_t *values, size_t n);
/* Appends the stream. id is known (ensured). */
void codec_encode(uint8_t id, const int64_t *values, size_t n, struct buf *out);
/* Takes a stream of n values off the front of in. False when the codec is unknown or the bytes are
 * no such stream; then out holds anything. */
bool codec_decode(uint8_t id, struct reader *in, size_t n, int64_t *out);

#endif
