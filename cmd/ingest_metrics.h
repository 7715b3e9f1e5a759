/*
 * What the ingestion knows about itself, for /metrics.
 */
#ifndef CMD_INGEST_METRICS_H
#define CMD_INGEST_METRICS_H

#include "base/buf.h"
#include "ingest/ingest.h"

void ingest_metrics_write(struct ingest *ingest, struct buf *out);

#endif
