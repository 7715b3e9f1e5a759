/*
 * The memory of one open block: many small things that live as long as the block, and the pieces of
 * tails, which come and go. All of it is given back at once, when the block goes.
 *
 *     region 4 KiB -> region 8 KiB -> ... -> regions of 256 KiB       things are cut off the newest
 *
 * A tail is a chain of pieces of one line of memory each: it grows without being moved, and all
 * tails share one list of free pieces. (Tails of doubling sizes left twice their memory in lists of
 * sizes that nobody needed any more, since series grow in step.) What the regions take is what
 * `bytes` says: nothing is counted twice, or estimated.
 *
 * Not thread-safe: who owns the block has a lock.
 */
#ifndef STORE_HEAD_BLOCK_MEMORY_H
#define STORE_HEAD_BLOCK_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#define TAIL_PIECE_BYTES 56
#define TAIL_BYTES_MAX   1024 /* of a whole tail */

struct tail_piece {
    struct tail_piece *next; /* the last one's means nothing */
    uint8_t bytes[TAIL_PIECE_BYTES];
};

struct region;

struct block_memory {
    struct region *regions; /* newest first */
    char *at, *end;         /* free part of the newest */
    struct tail_piece *free;
    size_t next_bytes; /* of the next region */
    uint64_t bytes;
};

void block_memory_init(struct block_memory *memory);
void block_memory_fini(struct block_memory *memory);

/* For as long as the block lives; aligned to 8. */
void *block_alloc(struct block_memory *memory, size_t size);
/* Aligned to a line of memory. */
void *block_alloc_lines(struct block_memory *memory, size_t size);
void *block_zalloc(struct block_memory *memory, size_t size);

struct tail_piece *tail_piece_alloc(struct block_memory *memory);
/* All pieces of a tail. */
void tail_free(struct block_memory *memory, struct tail_piece *first, struct tail_piece *last);

#endif
