/*
 * A cursor over a run, in the order of its keys, for merging and iteration. It reads ahead by pages
 * and passes the cache by. Keys that do not ascend are ERR_CORRUPT, so that whoever merges need not
 * doubt them. One thread uses a cursor; the run outlives it.
 */
#ifndef STORE_STATE_RUN_CURSOR_H
#define STORE_STATE_RUN_CURSOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/checksum.h"
#include "base/err.h"

struct run;
struct run_cursor;

struct run_cursor *run_cursor_new(const struct run *run);
void run_cursor_free(struct run_cursor **cursor);
/* To the first key at or above `key`. */
bool run_cursor_seek(struct run_cursor *cursor, struct hash128 key, struct err *err);
bool run_cursor_next(struct run_cursor *cursor, struct err *err);
bool run_cursor_ended(const struct run_cursor *cursor);

/* Of the key where it stands; borrowed until it moves. */
struct hash128 run_cursor_key(const struct run_cursor *cursor);
bool run_cursor_deleted(const struct run_cursor *cursor);
const uint8_t *run_cursor_record(const struct run_cursor *cursor);
/* The page, and whether it is the page's first key. */
uint32_t run_cursor_page(const struct run_cursor *cursor);
bool run_cursor_first(const struct run_cursor *cursor);

#endif
