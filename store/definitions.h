/*
 * Walking through the catalogue's metrics and series, and the state tables, as the payloads of
 * transactions: for the catalogue file (without the tables, which checkpoints hold), and for the
 * start of each file of the log.
 */
#ifndef STORE_DEFINITIONS_H
#define STORE_DEFINITIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct store;

/* What is left to walk through. */
struct definitions {
    size_t metric, metrics_end;
    size_t series, series_end;
    size_t updates_end; /* metrics below it are described anew, if they were since that */
    uint64_t described; /* value of catalog.descriptions */
    size_t table, tables_end;
};

/* Encodes the next part, of at most max_series series and about DEFINITIONS_BYTES, into the empty
 * buffer; false at the end. Neither the catalogue nor the list of tables changes meanwhile. */
#define DEFINITIONS_BYTES (4u << 20)
bool definitions_next(
    const struct store *store, struct definitions *left, size_t max_series, struct buf *payload);

#endif
