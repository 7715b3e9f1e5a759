#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define BLOCK_FIRST (16u << 10)
#define BLOCK_MAX   (1u << 20)
#define ALIGN       16u

struct arena_block {
    struct arena_block *next;
    size_t size; /* with this header */
};

_Static_assert(sizeof(struct arena_block) % ALIGN == 0, "blocks keep the alignment");

void arena_init(struct arena *arena, size_t limit_bytes)
{
    *arena = (struct arena){.limit_bytes = limit_bytes};
}

void arena_fini(struct arena *arena)
{
    for (struct arena_block *b = arena->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    *arena = (struct arena){.limit_bytes = arena->limit_bytes};
}

void arena_reset(struct arena *arena)
{
    struct arena_block *keep = arena->blocks;
    if (!keep)
        return;
    for (struct arena_block *b = keep->next, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    keep->next = NULL;
    arena->at = (char *)(keep + 1);
    arena->end = (char *)keep + keep->size;
    arena->used_bytes = keep->size;
}

static void *alloc_block(struct arena *arena, size_t need)
{
    size_t size = arena->blocks ? arena->blocks->size * 2 : BLOCK_FIRST;
    if (size > BLOCK_MAX)
        size = BLOCK_MAX;
    if (need > SIZE_MAX - sizeof(struct arena_block))
        return NULL;
    if (size < need + sizeof(struct arena_block))
        size = need + sizeof(struct arena_block);
    if (arena->limit_bytes &&
        (size > arena->limit_bytes || arena->used_bytes > arena->limit_bytes - size)) {
        size = need + sizeof(struct arena_block);
        if (size > arena->limit_bytes || arena->used_bytes > arena->limit_bytes - size)
            return NULL;
    }
    struct arena_block *b = malloc(size);
    if (!b)
        return NULL;
    b->next = arena->blocks;
    b->size = size;
    arena->blocks = b;
    arena->used_bytes += size;
    arena->at = (char *)(b + 1) + need;
    arena->end = (char *)b + size;
    return b + 1;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    if (size > SIZE_MAX - ALIGN)
        return NULL;
    size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (size == 0)
        size = ALIGN;
    if (arena->at && (size_t)(arena->end - arena->at) >= size) {
        void *p = arena->at;
        arena->at += size;
        return p;
    }
    return alloc_block(arena, size);
}

void *arena_zalloc(struct arena *arena, size_t size)
{
    void *p = arena_alloc(arena, size);
    if (p)
        memset(p, 0, size);
    return p;
}

void *arena_array(struct arena *arena, size_t n, size_t size)
{
    if (size && n > SIZE_MAX / size)
        return NULL;
    return arena_alloc(arena, n * size);
}

void *arena_grow(struct arena *arena, void *items, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return items;
    size_t more = n < 8 ? 16 : n > SIZE_MAX / 2 ? SIZE_MAX : 2 * n;
    void *moved = arena_array(arena, more, size);
    if (!moved)
        return NULL;
    if (n)
        memcpy(moved, items, n * size);
    *cap = more;
    return moved;
}

struct slice arena_slice(struct arena *arena, struct slice s)
{
    char *p = s.len == SIZE_MAX ? NULL : arena_alloc(arena, s.len + 1);
    if (!p)
        return (struct slice){NULL, 0};
    if (s.len)
        memcpy(p, s.ptr, s.len);
    p[s.len] = 0;
    return (struct slice){p, s.len};
}

char *arena_printf(struct arena *arena, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *p = n < 0 ? NULL : arena_alloc(arena, (size_t)n + 1);
    if (!p)
        return NULL;
    va_start(ap, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return p;
}
