/*
 * Streams of the shapes that codecs are made for, and of those that they are not made for.
 */
#ifndef TESTS_STORE_SUPPORT_STREAMS_H
#define TESTS_STORE_SUPPORT_STREAMS_H

#include <stddef.h>
#include <stdint.h>

#define STREAM_SHAPES 20

/* n values of a shape, 0..STREAM_SHAPES - 1; the seed decides the rest. */
void stream_make(size_t shape, uint64_t seed, size_t n, int64_t *values);
const char *stream_name(size_t shape);

#endif
