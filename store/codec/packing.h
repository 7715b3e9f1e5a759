/*
 * Blocks: up to 128 unsigned integers, small ones mostly, packed into bits.
 *
 *     block   := code u8 [radix u16] [patches] groups
 *     code    := 0..64: the width; 65..126: radix 3..64; 127: the radix follows; + 128: patched
 *     patches := n u8 | high bits u8 | n positions of 7 bits | n highs
 *     groups  := by width, one value each; by radix, m groups of `digits` values (radix.h):
 *                value i is digit i / m of group i % m, digit 0 the lowest
 *
 * Positions, highs and groups each begin at a byte; numbers lie low bits first. Values that do not
 * fit are patched: the group holds value % span, and the high is value / span - 1, where span is
 * the radix or 2^width. The writer takes what is smallest, counting bits, for each block by itself.
 *
 * In a block by radix the digits of one place lie side by side, so that the split is a few
 * multiplications over whole arrays (kernels.h).
 */
#ifndef STORE_CODEC_PACKING_H
#define STORE_CODEC_PACKING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "store/codec/kernels.h"

#define BLOCK_VALUES 128

/* How values without patches lie in bits. */
struct packing {
    uint16_t radix; /* 0: by width */
    uint8_t digits; /* values in a group; 1 by width */
    uint8_t bits;   /* of a group */
};

struct block_plan {
    struct packing packing;
    uint8_t n_patches, high_bits;
    uint32_t bytes; /* all of the block */
};

static inline unsigned bit_length(uint64_t v)
{
    return v ? 64 - (unsigned)__builtin_clzll(v) : 0;
}

/* ---- writing ---- */

/* The packing that takes values 0..max in the fewest bits. */
struct packing packing_of(uint64_t max);
/* Bytes of its code and of the groups of n values. */
size_t packing_code_bytes(struct packing packing);
size_t packing_bytes(struct packing packing, size_t n);
void packing_put(struct packing packing, struct buf *out);
/* Groups only; every value fits. n is 1..BLOCK_VALUES, here and below. */
void packing_put_values(struct packing packing, const uint64_t *values, size_t n, struct buf *out);

void block_plan(const uint64_t *values, size_t n, struct block_plan *plan);
void block_put(const struct block_plan *plan, const uint64_t *values, size_t n, struct buf *out);

/* ---- reading ---- */

/* A block being read. Values that fit 32 bits stay there: the loops after this one are then twice
 * as fast. */
struct block {
    bool wide;
    uint32_t narrow[BLOCK_VALUES + KERNEL_ROOM]; /* not wide */
    uint64_t values[BLOCK_VALUES + KERNEL_ROOM]; /* wide */
    uint32_t groups[BLOCK_VALUES + KERNEL_ROOM]; /* scratch */
};

/* False when the bytes are none, or say patched where that may not be. */
bool packing_get(struct reader *in, struct packing *packing, bool *patched);
/* The n values of a block with its packing known. False when they pass the end of in. */
bool packing_get_values(struct reader *in, const struct kernels *k, struct packing packing,
    bool patched, size_t n, struct block *block);
/* Makes the block wide. */
void block_widen(const struct kernels *k, struct block *block, size_t n);

#endif
