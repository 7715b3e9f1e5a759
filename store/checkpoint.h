/*
 * Checkpoints: all state that is not in segments, nor in the catalogue's file: sources, clocks and
 * the head's cells; see docs/format/wal.md. Once the manifest names a checkpoint, the WAL files up
 * to its LSN go: a start loads the catalogue and the checkpoint and replays what came after.
 *
 * A checkpoint does not stop the world. The head is walked through in runs of series, each copied
 * under a short hold of the lock; a run says with which LSN it was copied, at or after the
 * checkpoint's own. A replay leaves out the cells that a run has already: those of its series in
 * transactions up to that LSN. So the result is exact, and nobody has waited.
 */
#ifndef STORE_CHECKPOINT_H
#define STORE_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct catalog;
struct store;
struct transaction;

/* The name of a checkpoint file: checkpoint-<lsn, 16 hex digits>. */
#define CHECKPOINT_NAME_MAX 40
void checkpoint_name(uint64_t lsn, char out[CHECKPOINT_NAME_MAX]);

/* What a checkpoint holds, by series: cells of transactions up to which LSN. */
struct captured {
    struct captured_run {
        uint32_t first, end; /* series from first, below end */
        uint64_t lsn;
    } * runs; /* ascending */
    size_t n, cap;
    uint64_t greatest; /* LSN */
};

void captured_fini(struct captured *captured);
/* Takes the cells that the checkpoint has, and those of series that have been removed since, out of
 * a transaction that is replayed. */
void captured_drop(const struct captured *captured, const struct catalog *catalog, uint64_t lsn,
    struct transaction *t);

/* Applies the checkpoint that the manifest names, if any, to a store that is being opened.
 * ERR_CORRUPT names file and byte. */
bool checkpoint_load(struct store *store, struct captured *captured, struct err *err);

/* Whether there is enough in the log, and a failed attempt lies long enough back (setback.h). The
 * caller holds store.seal. */
bool checkpoint_due(struct store *store);
/* Writes one, names it in the manifest, and drops the WAL files and the older checkpoint that it
 * makes superfluous. The caller holds store.seal. */
bool checkpoint_write(struct store *store, struct err *err);
/* Removes files of the log that the checkpoint has made superfluous, which writing it does: for
 * those that could not be removed then. The caller holds store.seal. */
bool checkpoint_forget_log(struct store *store, struct err *err);

#endif
