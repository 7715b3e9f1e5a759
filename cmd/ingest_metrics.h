/*
 * What the ingestion knows about itself, for /metrics: all streams and rollups in one moment.
 */
#ifndef CMD_INGEST_METRICS_H
#define CMD_INGEST_METRICS_H

#include "base/buf.h"
#include "ingest/ingest.h"

/* As clock_metrics_write, which it calls. */
void ingest_metrics_write(
    struct ingest *ingest, struct store *store, int64_t now_ms, struct buf *out);

#endif
