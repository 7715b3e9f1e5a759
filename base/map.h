/*
 * A hash map from byte strings or 64-bit keys to 32-bit ids: open addressing, linear probing, load
 * at most 4/5, growing by half, so that a large map wastes little. It keeps hashes and ids only;
 * the owner of the ids keeps the keys and says whether one matches.
 *
 *     slot := hash u32 | id u32         id MAP_NONE: empty
 *
 * A key's home is where its hash lies in [0, 2^32) scaled to [0, slots).
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAP_NONE UINT32_MAX

struct map_slot {
    uint32_t hash, id;
};

struct map {
    struct map_slot *slots;
    size_t size, used; /* slots, and those with an entry */
};

/* True when the entry with this id has the key that is looked for. */
typedef bool map_match_f(const void *ctx, const void *key, uint32_t id);

void map_init(struct map *map);
void map_fini(struct map *map);
/* Empties it; keeps a table that was well used, gives back one that was far too large. */
void map_clear(struct map *map);
/* The id, or MAP_NONE. */
uint32_t map_find(
    const struct map *map, uint64_t hash, map_match_f *match, const void *ctx, const void *key);
/* Says that the hash is looked for soon. */
void map_prefetch(const struct map *map, uint64_t hash);
/* The caller has made sure with map_find that the key is not there. */
void map_insert(struct map *map, uint64_t hash, uint32_t id);
/* Takes out the entry with this hash and id, which must be there. */
void map_remove(struct map *map, uint64_t hash, uint32_t id);
size_t map_bytes(const struct map *map);

#endif
