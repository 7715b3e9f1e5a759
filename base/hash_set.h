/*
 * A set of 128-bit hashes, without order. One thread uses it.
 */
#ifndef BASE_HASH_SET_H
#define BASE_HASH_SET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/checksum.h"
#include "base/map.h"

struct hash_set {
    struct map map; /* of all */
    struct hash128 *all;
    size_t n, cap;
};

void hash_set_init(struct hash_set *set);
void hash_set_fini(struct hash_set *set);
void hash_set_clear(struct hash_set *set);
bool hash_set_has(const struct hash_set *set, struct hash128 hash);
/* False: it was there. At most 2^32 - 1 of them. */
bool hash_set_add(struct hash_set *set, struct hash128 hash);

#endif
