#include "store/head/block_memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"

#define REGION_MIN (4u << 10)
#define REGION_MAX (256u << 10)

#define PIECES_AT_ONCE 32
#define LINE           64

struct region {
    struct region *next;
    uint64_t align;
    char bytes[];
};

void block_memory_init(struct block_memory *memory)
{
    *memory = (struct block_memory){.next_bytes = REGION_MIN};
}

void block_memory_fini(struct block_memory *memory)
{
    for (struct region *r = memory->regions, *next; r; r = next) {
        next = r->next;
        free(r);
    }
    block_memory_init(memory);
}

static struct region *region_add(struct block_memory *memory, size_t bytes)
{
    struct region *r = xmalloc(bytes);
    r->next = memory->regions;
    memory->regions = r;
    memory->bytes += bytes;
    return r;
}

void *block_alloc(struct block_memory *memory, size_t size)
{
    size = (size + 7) & ~(size_t)7;
    if (size > REGION_MAX / 8)
        return region_add(memory, sizeof(struct region) + size)->bytes;
    if (size > (size_t)(memory->end - memory->at)) {
        size_t bytes = memory->next_bytes;
        while (bytes < sizeof(struct region) + size)
            bytes *= 2;
        memory->at = region_add(memory, bytes)->bytes;
        memory->end = (char *)memory->regions + bytes;
        memory->next_bytes = bytes < REGION_MAX ? bytes * 2 : REGION_MAX;
    }
    void *p = memory->at;
    memory->at += size;
    return p;
}

void *block_zalloc(struct block_memory *memory, size_t size)
{
    return memset(block_alloc(memory, size), 0, size);
}

void *block_alloc_lines(struct block_memory *memory, size_t size)
{
    size_t gap = -(uintptr_t)memory->at % LINE;
    if (memory->at && size <= REGION_MAX / 8 && gap + size <= (size_t)(memory->end - memory->at)) {
        memory->at += gap;
        return block_alloc(memory, size);
    }
    char *p = block_alloc(memory, size + LINE - 8);
    return p + -(uintptr_t)p % LINE;
}

/* A new batch of free pieces, each a line of memory. */
static void add_pieces(struct block_memory *memory)
{
    struct tail_piece *pieces = block_alloc_lines(memory, PIECES_AT_ONCE * sizeof *pieces);
    for (int i = PIECES_AT_ONCE - 1; i >= 0; i--) {
        struct tail_piece *piece = pieces + i;
        piece->next = memory->free;
        memory->free = piece;
    }
}

struct tail_piece *tail_piece_alloc(struct block_memory *memory)
{
    if (!memory->free)
        add_pieces(memory);
    struct tail_piece *piece = memory->free;
    memory->free = piece->next;
    return piece;
}

void tail_free(struct block_memory *memory, struct tail_piece *first, struct tail_piece *last)
{
    last->next = memory->free;
    memory->free = first;
}
