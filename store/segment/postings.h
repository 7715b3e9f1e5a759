/*
 * Posting lists: the ordinals of the series that have one value of one label, ascending. Each is
 * stored in the smallest of three shapes; the first of the table when two are equal.
 *
 *     list    := shape u8 | one of
 *     1 range    first u32 | n u32                     first, first + 1, ..., n of them
 *     2 delta    n u32 | skip* | block*                one of each per 128 ordinals
 *                skip  := first u32 | at u32           first ordinal; where, behind the skips, the
 *                                                      block begins
 *                block := width u8 | packed            differences to the ordinal before, less 1,
 *                                                      width bits each, low bits first, whole bytes
 *     3 bitmap   first u32 | n_bits u32 | n u32 | bits bit i of the run: first + i; n of them are
 *                                                      set
 *
 * Series are sorted by metric, so a metric's list is always a range, and labels that lead the sort
 * give ranges too; the skips let an intersection pass over whole blocks.
 */
#ifndef STORE_SEGMENT_POSTINGS_H
#define STORE_SEGMENT_POSTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

#define POSTINGS_BLOCK 128

enum postings_shape { POSTINGS_RANGE = 1, POSTINGS_DELTA = 2, POSTINGS_BITMAP = 3 };

/* Where ordinals go: to out up to max, counted always. */
struct ordinals {
    uint32_t *out;
    size_t n, max;
};

static inline void ordinals_add(struct ordinals *to, uint32_t ordinal)
{
    if (to->n < to->max)
        to->out[to->n] = ordinal;
    to->n++;
}

/* Appends the list of n > 0 ascending ordinals (ensured). */
void postings_put(struct buf *out, const uint32_t *ordinals, size_t n);
/* True when bytes are exactly one list of ordinals below `end`; *n is their number. */
bool postings_check(struct slice bytes, uint32_t end, size_t *n);
/* Writes the first max ordinals of a list that was checked; returns how many there are in all. */
size_t postings_get(struct slice bytes, uint32_t *out, size_t max);

#endif
