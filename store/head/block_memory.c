#include "store/head/block_memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"

#define REGION_MIN (4u << 10)
#define REGION_MAX (256u << 10)

struct region {
    struct region *next;
    uint64_t align;
    char bytes[];
};

static const uint16_t class_bytes[TAIL_CLASSES] = {
    16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, TAIL_BYTES_MAX};

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

unsigned tail_class(size_t size)
{
    unsigned class = 0;
    ensure(size <= TAIL_BYTES_MAX);
    while (class_bytes[class] < size)
        class ++;
    return class;
}

size_t tail_bytes(unsigned class)
{
    return class_bytes[class];
}

uint8_t *tail_alloc(struct block_memory *memory, unsigned class)
{
    uint8_t *tail = memory->free[class];
    if (!tail)
        return block_alloc(memory, class_bytes[class]);
    memcpy(&memory->free[class], tail, sizeof(void *));
    return tail;
}

void tail_free(struct block_memory *memory, uint8_t *tail, unsigned class)
{
    memcpy(tail, &memory->free[class], sizeof(void *));
    memory->free[class] = tail;
}
