/*
 * Chunks of differences: samples of one series less those of another, their base, at the same
 * times. The buckets of a classic histogram count everything up to their `le`, so each repeats what
 * its neighbour says; the difference of two is one bucket's own count, which is small.
 *
 *     form 3 of a chunk   0 differences   1 start, when a sample has one
 *
 *     sample i is    base i                   when base i is no count
 *                    base i + difference i    otherwise
 *
 * A count is a whole number from -2^51 on and below 2^51 that is not -0. What is none, as the
 * staleness markers of a whole family, has to be the same in the base.
 *
 * The base may be a chunk of differences in turn, CHUNK_BASES_MAX deep. Where the last base has a
 * count all have, so their differences are added up as integers, and then once to the samples.
 */
#ifndef STORE_SEGMENT_CHUNK_DIFFERENCES_H
#define STORE_SEGMENT_CHUNK_DIFFERENCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "store/columns.h"
#include "store/segment.h"
#include "store/segment/page.h"

/* What one chunk is decoded from. */
struct chunk_link {
    struct slice bytes;
    const uint8_t *codecs; /* CHUNK_STREAMS_MAX */
    struct place place;
};

/* True when the bits are a count, which is then *out. */
bool differences_count(uint64_t bits, int64_t *out);
/* The differences of bits to base, n each. False: they cannot be stored so. */
bool differences_of(const uint64_t *bits, const uint64_t *base, size_t n, int64_t *out);
/* Fills everything but the times of *out, whose arrays come from the arena. links: the chunk, its
 * base, the base of that, ...; the last one stands alone. */
bool chunk_differences_decode(const struct chunk_link *links, size_t n_links, size_t n,
    struct arena *arena, struct columns *out, struct err *err);

#endif
