/*
 * Walking through the catalogue's metrics and series, as the payloads of transactions: for the
 * catalogue file, and for the start of each file of the log.
 */
#ifndef STORE_DEFINITIONS_H
#define STORE_DEFINITIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

struct store;

/* What is left to walk through. */
struct definitions {
    size_t metric, metrics_end;
    size_t series, series_end;
    size_t updates_end; /* metrics below it are described anew */
};

/* Encodes the next part, of at most max_series series and what a frame holds, into the empty
 * buffer; false at the end. The catalogue does not change meanwhile. */
bool definitions_next(
    const struct store *store, struct definitions *left, size_t max_series, struct buf *payload);

#endif
