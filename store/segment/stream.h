/*
 * Streams that carry their codec: a byte with its id, then the values. Where the directory's eight
 * codecs of a chunk do not suffice.
 */
#ifndef STORE_SEGMENT_STREAM_H
#define STORE_SEGMENT_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "store/segment/page.h"

/* The codec that suits these values best; `doubles`: they are bits of doubles. */
uint8_t stream_codec(const int64_t *values, size_t n, bool doubles);
void stream_put(struct buf *out, const int64_t *values, size_t n, bool doubles);
bool stream_get(
    struct reader *in, size_t n, int64_t *out, const struct place *place, struct err *err);

#endif
