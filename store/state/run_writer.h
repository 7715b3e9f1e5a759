/*
 * Writes a run: keys in ascending order, each with its record or as deleted. The file is there,
 * under the name that its content gives it, whole and synced, or not at all.
 */
#ifndef STORE_STATE_RUN_WRITER_H
#define STORE_STATE_RUN_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/checksum.h"
#include "base/err.h"
#include "store/state/run.h"

struct run_writer;

struct run_plan {
    const char *table; /* borrowed until the writer is freed, as is dir */
    uint32_t record_bytes, level;
    int64_t generation;
    uint64_t lsn;
    uint64_t keys_max; /* at most so many will come; the filter is made for them */
};

bool run_writer_new(
    const char *dir, const struct run_plan *plan, struct run_writer **out, struct err *err);
bool run_writer_add(struct run_writer *writer, struct hash128 key, bool deleted,
    const uint8_t *record, struct err *err);
/* Makes the file durable and sets its name; when no key came there is no file and the name is
 * empty.
 */
bool run_writer_finish(struct run_writer *writer, char name[RUN_NAME_MAX], struct err *err);
/* Removes what is not finished. */
void run_writer_free(struct run_writer **writer);

#endif
