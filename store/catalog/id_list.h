/*
 * A growing list of ascending ids: what series have a label pair. Ids are mostly appended and come
 * close together, so that one takes one or two bytes.
 *
 *     one id      in the struct itself
 *     more        block -> block -> block    each half as large again, up to 512 bytes
 *     block    := next u32 | first id u32 | used u16 | bytes u16 | ids u16 | difference varint*
 *
 * Each block begins with a whole id, so that a reader who looks for an id steps over blocks.
 */
#ifndef STORE_CATALOG_ID_LIST_H
#define STORE_CATALOG_ID_LIST_H

#include <stdbool.h>
#include <stdint.h>

#include "store/catalog/pool.h"

/* For qsort and bsearch of ids. */
int id_cmp(const void *a, const void *b);

struct id_list {
    uint32_t n;
    uint32_t last;       /* the greatest id */
    uint32_t head, tail; /* blocks; POOL_NONE while there is at most one id */
};

/* The id is greater than all others. */
void id_list_add(struct pool *pool, struct id_list *list, uint32_t id);
void id_list_fini(struct pool *pool, struct id_list *list);

/* Reads the ids that the list had when the cursor was made; later ones may be added meanwhile. */
struct id_cursor {
    const struct pool *pool;
    uint32_t left;      /* ids to come */
    uint32_t block, at; /* where the next one is; at 0: the block's first */
    uint32_t given;     /* of this block */
    uint32_t id;        /* the last that was given */
};

struct id_cursor id_cursor_new(const struct pool *pool, const struct id_list *list);
/* False at the end. */
bool id_cursor_next(struct id_cursor *cursor, uint32_t *id);
/* The next ids, at most max of them; how many is returned, 0 at the end. */
size_t id_cursor_take(struct id_cursor *cursor, uint32_t *ids, size_t max);
/* The next id that is at least `least`; false when there is none. */
bool id_cursor_seek(struct id_cursor *cursor, uint32_t least, uint32_t *id);

#endif
