/*
 * Sealing: how the head becomes segments.
 *
 * Sealing a block:   freeze (under the lock) -> write the segment, sync, rename -> one manifest
 * edit that adds it and says up to which LSN the block is sealed -> attach it and drop the frozen
 * block (under the lock). A crash before the edit leaves a file that no manifest names, and the WAL
 * has everything; after it, a replay skips the block's cells up to that LSN.
 *
 * The bytes depend on the transactions up to then alone: on their order, and on nothing else.
 */
#ifndef STORE_SEAL_H
#define STORE_SEAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct store;

/* In a segment's provenance, beside the sources: the last transaction whose cells may be in it. */
#define SEAL_LSN "larder/lsn"

/* Seals the open block, or tries again to seal the frozen one, which must be it. The caller holds
 * `seal`. */
bool seal_block(struct store *store, int64_t block, struct err *err);

#endif
