/*
 * How far and how complete the data are, for /metrics: the two clocks of every partition and of
 * every metric, lags, and how late events come. The clocks of streams are in ingest_metrics.h.
 */
#ifndef CMD_CLOCK_METRICS_H
#define CMD_CLOCK_METRICS_H

#include "base/buf.h"
#include "ingest/ingest.h"
#include "ingest/streams_config.h"

/* What is told of streams and rollups, of one moment. */
struct ingest_moment {
    struct ingest_stats stats;
    struct stream_stats streams[STREAMS_MAX];
    size_t n_streams;
    struct generation_stats *rollups;
    size_t n_rollups;
};

/* now_ms: lags in seconds are counted to it. The config that the ingestion runs on stays there. */
void clock_metrics_write(const struct ingest_moment *moment, struct ingest *ingest,
    struct store *store, int64_t now_ms, struct buf *out);

#endif
