/*
 * The catalogue's file: metrics and series, each written once.
 *
 *     catalog-000001 := header | frame*        frames of type 6, numbered from 1; see
 *                                              docs/format/wal.md
 *
 * A checkpoint appends what was defined since the last one, syncs, and has the manifest say how
 * much of the file counts: what stands behind that is what a crash has left, and is written over.
 * So a series costs its bytes once, and no checkpoint has to repeat it. A metric that is described
 * anew is written again; when that has become half of the file, a new one is begun.
 */
#ifndef STORE_CATALOG_FILE_H
#define STORE_CATALOG_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct store;

#define CATALOG_NAME_MAX 32
void catalog_file_name(uint32_t number, char out[CATALOG_NAME_MAX]);

/* Fills the catalogue of a store that is being opened with what the manifest names. ERR_CORRUPT
 * names file and byte. */
bool catalog_file_load(struct store *store, struct err *err);

/* Makes all that is defined by now durable and named by the manifest. The caller holds store.seal;
 * readers and the writer go on. */
bool catalog_file_write(struct store *store, struct err *err);

#endif
