/*
 * A run: one immutable file with keys of one generation of a state table, sorted, each with its
 * record or the word that it is deleted. docs/format/state.md has every byte.
 *
 *     header 4096 | page * n | fence per page: its first key | filter
 *
 * Opening reads header, fences and filter; they stay in memory: 12 bits and about 0.05 bytes a key.
 * Pages are read when they are asked for, checked, and kept in a cache that all runs share. A run
 * is counted by references (atomics), and may be read from any thread. One that is doomed removes
 * its file when the last reference goes: nobody reads a file that is not there.
 */
#ifndef STORE_STATE_RUN_H
#define STORE_STATE_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checksum.h"
#include "base/err.h"
#include "base/slice.h"
#include "store/state/run_cache.h"

#define STATE_TABLE_NAME_MAX   64
#define STATE_RECORD_BYTES_MAX 4096
/* 32 hex digits of the content's hash, ".run" and NUL. */
#define RUN_NAME_MAX 37

struct run;

/* What the header says. */
struct run_info {
    char name[RUN_NAME_MAX];
    char table[STATE_TABLE_NAME_MAX + 1];
    uint32_t record_bytes, page_bytes, pages, level;
    int64_t generation;
    uint64_t lsn; /* the last transaction whose changes are in it */
    uint64_t entries, deleted;
    uint64_t bytes; /* of the file */
    struct hash128 min, max;
};

enum run_answer { RUN_ABSENT, RUN_DELETED, RUN_PRESENT };

/* ERR_CORRUPT names file and place. */
bool run_open(const char *dir, const char *name, struct run **out, struct err *err);
struct run *run_ref(struct run *run);
/* NULL is fine. */
void run_unref(struct run **run);
/* The file is removed with the last reference. */
void run_doom(struct run *run);

const struct run_info *run_info(const struct run *run);
const char *run_path(const struct run *run);
/* Memory of fences and filter. */
size_t run_memory(const struct run *run);

/* Asks for the line of the filter that run_may_have reads. */
void run_prefetch(const struct run *run, struct hash128 key);
/* False: the key is not in it. No I/O. */
bool run_may_have(const struct run *run, struct hash128 key);
/* record: record_bytes are written when the key is there; may be NULL. */
bool run_get(struct run *run, struct run_cache *cache, struct hash128 key, void *record,
    enum run_answer *answer, struct err *err);
/* Reads `count` pages from `first`, unchecked; for cursors. */
bool run_read_pages(
    const struct run *run, uint32_t first, uint32_t count, uint8_t *out, struct err *err);
/* The page that holds the key if any does: the last one that begins at or below it; 0 for keys
 * below all. */
uint32_t run_page_of(const struct run *run, struct hash128 key);
/* The text of err gets file, page and byte in front. Returns false. */
bool run_page_failed(const struct run *run, uint32_t page, struct err *err);
/* Reads every page: that all checks hold, keys ascend, fences, filter and counts agree. */
bool run_verify(const struct run *run, struct err *err);

#endif
