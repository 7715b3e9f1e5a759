/*
 * A fixed set of names, found by their bytes in a few nanoseconds: field names, and the values that
 * a field may have. A name is told by its length and two words, its first eight bytes and its last
 * eight (zeros behind a shorter one); up to 16 bytes these are the whole name, and longer ones are
 * compared as well. Open addressing with linear probing, at most a quarter full. Immutable once
 * made.
 */
#ifndef INGEST_JSON_NAMES_H
#define INGEST_JSON_NAMES_H

#include <stdint.h>

#include "base/slice.h"
#include "ingest/json_scan.h"

struct json_name {
    uint64_t first, last;
    struct slice text;
};

struct json_names {
    struct json_name *names;
    uint16_t *slots; /* index + 1; 0: empty */
    uint32_t mask;
};

/* names: at most JSON_NAMES_MAX, no two equal; their bytes outlive the set. One with ptr NULL is
 * left out: nothing is found under its index. */
#define JSON_NAMES_MAX 16384
void json_names_init(struct json_names *set, const struct slice *names, size_t n);
void json_names_fini(struct json_names *set);

/* end: that far bytes may be read behind the text, so that short names are read with one load. */
static inline struct json_name json_name_of(struct slice text, const char *end)
{
    struct json_name name = {0, 0, text};
    if (text.len >= 8) {
        name.first = json_load8(text.ptr);
        name.last = json_load8(text.ptr + text.len - 8);
    } else if (end - text.ptr >= 8) {
        name.first = json_load8(text.ptr) & ((UINT64_C(1) << (8 * text.len)) - 1);
    } else {
        for (size_t i = 0; i < text.len; i++)
            name.first |= (uint64_t)(uint8_t)text.ptr[i] << (8 * i);
    }
    return name;
}

static inline uint32_t json_name_hash(const struct json_name *name)
{
    uint64_t h = (name->first ^ name->last << 7 ^ name->text.len) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(h >> 32);
}

/* The index of the name, or -1. */
static inline int json_names_find(const struct json_names *set, struct slice text, const char *end)
{
    struct json_name name = json_name_of(text, end);
    for (uint32_t i = json_name_hash(&name) & set->mask; set->slots[i]; i = (i + 1) & set->mask) {
        const struct json_name *known = &set->names[set->slots[i] - 1];
        if (known->first == name.first && known->last == name.last && known->text.len == text.len &&
            (text.len <= 16 || memcmp(known->text.ptr, text.ptr, text.len) == 0))
            return set->slots[i] - 1;
    }
    return -1;
}

#endif
