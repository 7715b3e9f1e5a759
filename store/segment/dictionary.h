/*
 * Dictionaries: sorted values, front-coded in blocks of 16, so that a value's code is its rank.
 * Dictionary 0 holds the label names; dictionary k holds the values of the k-th name, from 1. A
 * code is the rank plus 1: 0 says that a series does not have the label.
 *
 *     page  := dict u32 | first u32 | n u32 | total u32 | offset u32 per block | block*
 *     block := value | 15 times (shared varint | rest), fewer in the last block
 *     value, rest := varint length, bytes
 *
 * first is the rank of the page's first value, a multiple of 16; total the number of values in the
 * dictionary; offsets count from the page's first raw byte. Values are in byte order, none twice.
 */
#ifndef STORE_SEGMENT_DICTIONARY_H
#define STORE_SEGMENT_DICTIONARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "store/segment/section.h"

#define DICT_BLOCK 16

/* Appends the pages of dictionary `dict` with n > 0 sorted values. */
void dict_put(struct section_buf *section, uint32_t dict, const struct slice *values, uint32_t n);

struct dict {
    struct slice *values;
    uint32_t n, total; /* read so far, in all */
    uint32_t first;    /* rank of values[0]; 0 but for a part */
    uint32_t max_len;  /* longer values are refused */
};

/* Which dictionary a page belongs to. */
bool dict_page_of(struct slice raw, const struct place *place, uint32_t *dict, struct err *err);
/* Adds the page's values, which must follow those that are there. Strings live in the arena. */
bool dict_page_get(struct dict *dict, struct slice raw, const struct place *place,
    struct arena *arena, struct err *err);
/* The values of one page alone, into an empty dict. */
bool dict_page_part(struct dict *dict, struct slice raw, const struct place *place,
    struct arena *arena, struct err *err);
/* The place of a value among n ascending ones, or UINT32_MAX. */
uint32_t values_find(const struct slice *values, uint32_t n, struct slice value);
/* The rank of the value, or UINT32_MAX. */
uint32_t dict_find(const struct dict *dict, struct slice value);

#endif
