/*
 * Merging sorted sources of one generation: what a transaction has changed, memtables, runs.
 * Sources are given newest first; of a key that several have, the newest counts and the others are
 * passed by. Flushing, merging runs and iteration are this one operation.
 */
#ifndef STORE_STATE_STATE_MERGE_H
#define STORE_STATE_STATE_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checksum.h"
#include "base/err.h"

struct memtable;
struct run;
struct state_merge;

struct state_entry {
    struct hash128 key;
    bool deleted;
    const uint8_t *record; /* borrowed until the next call */
};

struct state_merge *state_merge_new(void);
void state_merge_free(struct state_merge **merge);
/* Adds an older source. `order` are places of the memtable by ascending key; both are borrowed. */
void state_merge_memtable(
    struct state_merge *merge, const struct memtable *memtable, const uint32_t *order, size_t n);
/* From the first key at or above `from`. The run is borrowed. */
bool state_merge_run(
    struct state_merge *merge, const struct run *run, struct hash128 from, struct err *err);
/* The next key; *end: there is none. */
bool state_merge_next(
    struct state_merge *merge, struct state_entry *out, bool *end, struct err *err);

#endif
