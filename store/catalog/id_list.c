#include "store/catalog/id_list.h"

#include <stddef.h>
#include <string.h>

#include "base/ensure.h"

#define BLOCK_MIN 24
#define BLOCK_MAX 512

struct block {
    uint32_t next, first;
    uint16_t used, bytes; /* of data */
    uint16_t n;           /* ids */
    uint8_t data[];
};

#define BLOCK_HEADER ((uint32_t)offsetof(struct block, data))

static uint32_t add_block(struct pool *pool, uint32_t size, uint32_t first)
{
    uint32_t ref = pool_alloc(pool, size);
    struct block *b = pool_at(pool, ref);
    b->next = POOL_NONE;
    b->first = first;
    b->used = 0;
    b->n = 1;
    b->bytes = (uint16_t)(size - BLOCK_HEADER);
    return ref;
}

static uint32_t next_size(const struct block *b)
{
    uint32_t size = BLOCK_HEADER + b->bytes;
    size = (size + size / 2 + 7) & ~7u;
    return size < BLOCK_MAX ? size : BLOCK_MAX;
}

/* False when the block is full. */
static bool put(struct block *b, uint32_t difference)
{
    uint8_t bytes[5];
    uint16_t n = 0;
    for (; difference >= 0x80; difference >>= 7)
        bytes[n++] = (uint8_t)(difference | 0x80);
    bytes[n++] = (uint8_t)difference;
    if (b->used + n > b->bytes)
        return false;
    memcpy(b->data + b->used, bytes, n);
    b->used = (uint16_t)(b->used + n);
    b->n++;
    return true;
}

int id_cmp(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

void id_list_add(struct pool *pool, struct id_list *list, uint32_t id)
{
    ensure(list->n == 0 || id > list->last);
    if (list->n == 1)
        list->head = list->tail = add_block(pool, BLOCK_MIN, list->last);
    if (list->n >= 1) {
        struct block *b = pool_at(pool, list->tail);
        if (!put(b, id - list->last)) {
            uint32_t ref = add_block(pool, next_size(b), id);
            b->next = ref;
            list->tail = ref;
        }
    }
    list->last = id;
    list->n++;
}

void id_list_fini(struct pool *pool, struct id_list *list)
{
    uint32_t ref = list->head;
    while (ref != POOL_NONE) {
        const struct block *b = pool_at(pool, ref);
        uint32_t next = b->next;
        pool_free(pool, ref, BLOCK_HEADER + b->bytes);
        ref = next;
    }
    *list = (struct id_list){0};
}

/* ---- reading ---- */

struct id_cursor id_cursor_new(const struct pool *pool, const struct id_list *list)
{
    return (struct id_cursor){.pool = pool, .left = list->n, .block = list->head, .id = list->last};
}

static const struct block *enter_block(struct id_cursor *cursor, uint32_t ref)
{
    cursor->block = ref;
    cursor->at = cursor->given = 0;
    return pool_at(cursor->pool, ref);
}

/* One difference; most take a byte. */
static inline const uint8_t *read_difference(const uint8_t *p, uint32_t *out)
{
    uint32_t v = *p & 0x7f;
    for (int shift = 7; *p++ & 0x80; shift += 7)
        v |= (uint32_t)(*p & 0x7f) << shift;
    *out = v;
    return p;
}

bool id_cursor_next(struct id_cursor *cursor, uint32_t *id)
{
    if (cursor->left == 0)
        return false;
    cursor->left--;
    if (cursor->block == POOL_NONE) { /* the only id */
        *id = cursor->id;
        return true;
    }
    const struct block *b = pool_at(cursor->pool, cursor->block);
    if (cursor->given == b->n)
        b = enter_block(cursor, b->next);
    if (cursor->given++ == 0) {
        cursor->id = b->first;
    } else {
        uint32_t difference;
        const uint8_t *p = read_difference(b->data + cursor->at, &difference);
        cursor->id += difference;
        cursor->at = (uint32_t)(p - b->data);
    }
    *id = cursor->id;
    return true;
}

size_t id_cursor_take(struct id_cursor *cursor, uint32_t *ids, size_t max)
{
    size_t n = 0;
    while (n < max && id_cursor_next(cursor, &ids[n])) {
        n++;
        if (cursor->block == POOL_NONE)
            continue;
        const struct block *b = pool_at(cursor->pool, cursor->block); /* the rest of it */
        size_t rest = b->n - cursor->given;
        rest = rest < cursor->left ? rest : cursor->left;
        rest = rest < max - n ? rest : max - n;
        const uint8_t *p = b->data + cursor->at;
        uint32_t id = cursor->id;
        for (size_t end = n + rest; n < end; n++) {
            uint32_t difference;
            p = read_difference(p, &difference);
            ids[n] = id += difference;
        }
        cursor->id = id;
        cursor->at = (uint32_t)(p - b->data);
        cursor->given += (uint32_t)rest;
        cursor->left -= (uint32_t)rest;
    }
    return n;
}

/* Goes on in the block, of which an id was given, to the last id before one that is `least` or
 * more. */
static void skip_below(struct id_cursor *cursor, uint32_t least)
{
    if (cursor->block == POOL_NONE)
        return;
    const struct block *b = pool_at(cursor->pool, cursor->block);
    uint32_t rest = b->n - cursor->given, id = cursor->id, n = 0;
    rest = rest < cursor->left ? rest : cursor->left;
    const uint8_t *p = b->data + cursor->at;
    for (; n < rest; n++) {
        uint32_t difference;
        const uint8_t *next = read_difference(p, &difference);
        if (id + difference >= least)
            break;
        id += difference;
        p = next;
    }
    cursor->id = id;
    cursor->at = (uint32_t)(p - b->data);
    cursor->given += n;
    cursor->left -= n;
}

bool id_cursor_seek(struct id_cursor *cursor, uint32_t least, uint32_t *id)
{
    while (cursor->left > 0 && cursor->block != POOL_NONE) {
        const struct block *b = pool_at(cursor->pool, cursor->block);
        uint32_t rest = b->n - cursor->given;
        if (rest >= cursor->left)
            break;
        const struct block *after = pool_at(cursor->pool, b->next);
        if (after->first > least)
            break;
        cursor->left -= rest;
        enter_block(cursor, b->next);
    }
    while (id_cursor_next(cursor, id)) {
        if (*id >= least)
            return true;
        skip_below(cursor, least);
    }
    return false;
}
