/*
 * The filter of a run: says of most absent keys that they are absent, for one cache line a key and
 * without reading the file. A blocked Bloom filter: a line is 8 words of 64 bits, a key sets one
 * bit in each of them. The line comes from the high bits of the key and the bits from the low half,
 * so a run, which is written in the order of its keys, fills its lines one after the other.
 *
 * At FILTER_KEY_BITS a key about 1 absent key in 250 is taken for present (docs/notes/ has the
 * measurements). Keys that are no hashes make it useless, never wrong.
 */
#ifndef STORE_STATE_RUN_FILTER_H
#define STORE_STATE_RUN_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checksum.h"

#define FILTER_KEY_BITS   12
#define FILTER_LINE_WORDS 8
#define FILTER_LINE_BYTES 64

/* Lines for n keys, at least 1. */
uint64_t filter_lines(uint64_t n);
/* Lines that are all zero, aligned to cache lines; large ones ask for large pages. Freed by
 * free(). */
uint64_t *filter_new(uint64_t lines);

static inline const uint64_t *filter_line(
    const uint64_t *filter, uint64_t lines, struct hash128 key)
{
    return filter + (uint64_t)((unsigned __int128)key.hi * lines >> 64) * FILTER_LINE_WORDS;
}

static inline void filter_prefetch(const uint64_t *filter, uint64_t lines, struct hash128 key)
{
    __builtin_prefetch(filter_line(filter, lines, key));
}

/* False: the key is not in the run, for sure. */
static inline bool filter_has(const uint64_t *filter, uint64_t lines, struct hash128 key)
{
    const uint64_t *line = filter_line(filter, lines, key);
    uint64_t all = 1;
    for (unsigned i = 0; i < FILTER_LINE_WORDS; i++)
        all &= line[i] >> (key.lo >> 6 * i & 63);
    return all & 1;
}

void filter_add(uint64_t *filter, uint64_t lines, struct hash128 key);

#endif
