/*
 * The memory of one open block: many small pieces that live as long as the block, and tails that
 * grow and are emptied. All of it is given back at once, when the block goes.
 *
 *     region 4 KiB -> region 8 KiB -> ... -> regions of 256 KiB       pieces are cut off the newest
 *
 * A tail has one of a few sizes; one that is given back is kept for the next of its size. What the
 * regions take is what `bytes` says: nothing is counted twice, or estimated.
 *
 * Not thread-safe: who owns the block has a lock.
 */
#ifndef STORE_HEAD_BLOCK_MEMORY_H
#define STORE_HEAD_BLOCK_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#define TAIL_CLASSES   12
#define TAIL_BYTES_MAX 1024

struct region;

struct block_memory {
    struct region *regions; /* newest first */
    char *at, *end;         /* free part of the newest */
    void *free[TAIL_CLASSES];
    size_t next_bytes; /* of the next region */
    uint64_t bytes;
};

void block_memory_init(struct block_memory *memory);
void block_memory_fini(struct block_memory *memory);

/* For as long as the block lives; aligned to 8. */
void *block_alloc(struct block_memory *memory, size_t size);
void *block_zalloc(struct block_memory *memory, size_t size);

/* The least class whose tails have room for `size` bytes, at most TAIL_BYTES_MAX. */
unsigned tail_class(size_t size);
size_t tail_bytes(unsigned class);
uint8_t *tail_alloc(struct block_memory *memory, unsigned class);
void tail_free(struct block_memory *memory, uint8_t *tail, unsigned class);

#endif
