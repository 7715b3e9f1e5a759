/*
 * An arena: many allocations, one free. One per query, per batch, per request. It has a byte limit,
 * and arena_alloc returns NULL when the limit (not the machine's memory) is reached, so that sizes
 * that come from input end in a clear error. Not thread-safe: one thread uses an arena at a time.
 *
 *     blocks:  [hdr|....used....|free]  ->  [hdr|....]  ->  NULL      newest first
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

#include "base/slice.h"

struct arena_block;

struct arena {
    struct arena_block *blocks;
    char *at, *end;    /* free part of the newest block */
    size_t used_bytes; /* handed out, and overhead of blocks */
    size_t limit_bytes;
};

/* limit_bytes 0 means no limit: only for sizes that do not come from input. */
void arena_init(struct arena *arena, size_t limit_bytes);
void arena_fini(struct arena *arena);
/* Frees everything but one block, for reuse in a loop. */
void arena_reset(struct arena *arena);

/* 16-byte aligned, not zeroed. NULL when the limit is reached. */
void *arena_alloc(struct arena *arena, size_t size);
void *arena_zalloc(struct arena *arena, size_t size);
/* n elements of size bytes; NULL on overflow or limit. */
void *arena_array(struct arena *arena, size_t n, size_t size);
/* Room for one element more behind n: when *cap is n, a copy in an array of twice the capacity.
 * Returns the array; NULL at the limit, then nothing has changed. */
void *arena_grow(struct arena *arena, void *items, size_t n, size_t *cap, size_t size);
/* A copy, with a NUL behind it. {NULL, 0} when the limit is reached. */
struct slice arena_slice(struct arena *arena, struct slice s);
/* A formatted string in the arena; NULL when the limit is reached. */
char *arena_printf(struct arena *arena, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
