/*
 * Families, while a segment is written: the series of one metric that differ in the label `le`
 * only, the buckets of a classic histogram. A chunk of one is stored as differences to a chunk of
 * another (chunk_differences.h) where that is smaller.
 *
 * Series come in order of their labels. So all of a family lie where the labels before `le` stay
 * the same, and nothing is remembered beyond that. Between two of them lie those of other families,
 * when there are labels behind `le`; so what is remembered is bounded, the oldest goes first, and a
 * family whose members lie farther apart is stored as it is.
 *
 *     key      the labels behind `le` (a hash), vector of times, its start, cells
 *     chunk    row, depth, movement, the encoded samples
 *
 * Of the chunks with one key the nearest in movement is the base, movement being the sum of all
 * steps up and down: between the buckets of a histogram, it differs by what lies between their
 * bounds. Only the key's vector and cells have to be right; two families of one hash would be bases
 * for each other, and cost bytes.
 */
#ifndef STORE_SEGMENT_FAMILIES_H
#define STORE_SEGMENT_FAMILIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/checksum.h"
#include "base/map.h"
#include "store/columns.h"
#include "store/labels.h"
#include "store/segment.h"

struct family_key {
    uint64_t family;
    uint32_t vector, start, n;
};

struct family_chunk {
    struct family_key key;
    uint32_t row;
    uint32_t depth; /* bases below it */
    uint32_t older; /* number of another with this key; MAP_NONE, or forgotten */
    uint64_t movement;
    uint8_t codec;
    char *samples; /* as they are, encoded */
    size_t len;
};

struct families {
    struct hash128 before;       /* labels before `le`, of the series that came last */
    uint64_t family;             /* labels behind it */
    bool inside;                 /* the series that came last has an `le` */
    struct map newest;           /* by key, the number of its newest chunk */
    struct family_chunk *chunks; /* a ring: number i is at i % FAMILY_CHUNKS */
    uint32_t first, next;        /* numbers of those that are remembered */
    size_t bytes;                /* of their samples */
    struct buf text;
};

void families_init(struct families *families);
void families_fini(struct families *families);
/* The chunks that come belong to the series with these labels. */
void families_series(struct families *families, struct labels labels);
/* Replaces the encoded samples [from, from + n) by differences when that saves enough, and
 * remembers them. Returns how many rows back their base is; 0: nothing is replaced. */
uint32_t families_encode(struct families *families, const struct columns *columns, size_t from,
    const struct family_key *where, uint32_t row, struct buf *bytes,
    uint8_t codecs[CHUNK_STREAMS_MAX]);

#endif
