/*
 * Checkpoints: all state that is not in segments, at one LSN: metrics, series, sources, clocks and
 * the head's cells, as the payloads of transactions; see docs/format/wal.md. Once the manifest
 * names a checkpoint, the WAL files up to its LSN go: a start applies the checkpoint and replays
 * what came after it.
 */
#ifndef STORE_CHECKPOINT_H
#define STORE_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct store;

/* The name of a checkpoint file: checkpoint-<lsn, 16 hex digits>. */
#define CHECKPOINT_NAME_MAX 40
void checkpoint_name(uint64_t lsn, char out[CHECKPOINT_NAME_MAX]);

/* Applies the checkpoint to a store that is being opened. ERR_CORRUPT names file and byte. */
bool checkpoint_load(struct store *store, uint64_t lsn, struct err *err);

/* Writes one as of the last commit, names it in the manifest, and drops the WAL files and the older
 * checkpoint that it makes superfluous. The caller holds store.seal; no block is frozen. */
bool checkpoint_write(struct store *store, struct err *err);

#endif
