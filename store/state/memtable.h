/*
 * A memtable: what came to one generation of a state table since its last flush; also what an open
 * transaction has changed there. Open addressing over entries that lie in the order they came:
 *
 *     slots    u32 each: place of the entry + 1 (26 bits) | tag of the key (6 bits); 0: empty
 *     entries  key 16 bytes | record, one behind the other, in pages: none is copied when it grows
 *     gone     a bit per entry: deleted here, whatever older runs say; absent until the first one
 *
 * A slot costs 4 bytes at a load of at most 3/4, so a key of a set costs 16 + 5 to 11 bytes and
 * what the last page has in reserve; memtable_bytes counts all of it. A key that is put again
 * replaces its record in place. Keys are hashes already, yet any keys work.
 *
 * One thread changes a memtable; who reads it meanwhile is kept away by the owner's lock.
 * References are counted by atomics.
 */
#ifndef STORE_STATE_MEMTABLE_H
#define STORE_STATE_MEMTABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/checksum.h"

#define STATE_KEY_BYTES      16
#define MEMTABLE_NONE        UINT32_MAX
#define MEMTABLE_ENTRIES_MAX ((1u << 26) - 2)
#define MEMTABLE_PAGE        4096 /* entries */

struct memtable {
    atomic_uint refs;
    uint32_t record_bytes, entry_bytes;
    uint32_t n, deleted; /* entries; those that are deletions */
    size_t cap;
    uint8_t **pages; /* of entries; the first one is smaller while it is the only one */
    size_t pages_cap;
    uint64_t *gone;
    uint32_t *slots;
    unsigned slot_bits; /* 0: no slots yet */
};

/* By hi, then lo: the order of run files and of iteration. */
static inline int state_key_cmp(struct hash128 a, struct hash128 b)
{
    if (a.hi != b.hi)
        return a.hi < b.hi ? -1 : 1;
    return a.lo < b.lo ? -1 : a.lo > b.lo;
}

struct memtable *memtable_new(uint32_t record_bytes);
struct memtable *memtable_ref(struct memtable *memtable);
/* Drops a reference; the last one frees. NULL is fine. */
void memtable_unref(struct memtable **memtable);

/* The entry's place, or MEMTABLE_NONE. Places last until the memtable goes. */
uint32_t memtable_find(const struct memtable *memtable, struct hash128 key);
/* Asks for the cache line that a find or put of this key will touch first. */
void memtable_prefetch(const struct memtable *memtable, struct hash128 key);
/* record: record_bytes bytes. There is room for MEMTABLE_ENTRIES_MAX keys (ensured). */
void memtable_put(struct memtable *memtable, struct hash128 key, const void *record);
void memtable_delete(struct memtable *memtable, struct hash128 key);
/* Memory, reserves included. */
size_t memtable_bytes(const struct memtable *memtable);
/* The places of all entries in the order of their keys; order has room for n. */
void memtable_order(const struct memtable *memtable, uint32_t *order);

static inline uint8_t *memtable_entry(const struct memtable *m, uint32_t at)
{
    return m->pages[at / MEMTABLE_PAGE] + (size_t)(at % MEMTABLE_PAGE) * m->entry_bytes;
}

static inline struct hash128 memtable_key(const struct memtable *m, uint32_t at)
{
    struct hash128 key;
    memcpy(&key, memtable_entry(m, at), sizeof key);
    return key;
}

static inline const uint8_t *memtable_record(const struct memtable *m, uint32_t at)
{
    return memtable_entry(m, at) + STATE_KEY_BYTES;
}

static inline bool memtable_gone(const struct memtable *m, uint32_t at)
{
    return m->gone && (m->gone[at / 64] >> at % 64 & 1);
}

#endif
