/*
 * In which of the generations that are held an id may be: one look into memory for all of them,
 * where a filter per generation would be one each. A Bloom filter in slices: every generation has a
 * column, and a line of the processor's cache holds 16 words with a bit for each column. An id has
 * one line, and sets its generation's bit in 4 of the 16 words.
 *
 *     line := word u32 * 16            mask of the generations = word a & word b & word c & word d
 *
 * It is only in memory, and grows with the largest generation, twofold each time, where it lies: a
 * line is copied to the two that take its place. Several filters share what they may take; when
 * nothing is left, more generations are taken for possible, never one too few. One for which no
 * column is left is always possible; and so is one that had ids before this run began, until all of
 * them were added, which is for the user to know.
 *
 * Any number of threads look while nobody adds.
 */
#ifndef INGEST_HELD_FILTER_H
#define INGEST_HELD_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checksum.h"

#define HELD_COLUMNS 32

struct held_filter;

/* left: bytes that it may take, from which it takes; outlives it. It has a line at least. */
struct held_filter *held_filter_new(size_t *left);
void held_filter_free(struct held_filter **filter);

/* The column of a generation, as a bit; 0: it has none. */
uint32_t held_filter_column(const struct held_filter *filter, int64_t generation);
/* Gives it one, when one is free. */
void held_filter_begin(struct held_filter *filter, int64_t generation);
/* Takes it away. */
void held_filter_end(struct held_filter *filter, int64_t generation);
/* Takes away the columns of all generations below. */
void held_filter_drop(struct held_filter *filter, int64_t below);

/* column: of the id's generation. */
void held_filter_add(struct held_filter *filter, struct hash128 id, uint32_t column);
void held_filter_prefetch(const struct held_filter *filter, struct hash128 id);
/* Takes more memory when it is due, and there is some; ahead, for a generation of so many ids. */
void held_filter_grow(struct held_filter *filter);
void held_filter_expect(struct held_filter *filter, uint64_t ids);
/* The columns of the generations that may have the id. */
uint32_t held_filter_may_have(const struct held_filter *filter, struct hash128 id);

#endif
