/*
 * The horizon of a stream: event ids and lives are forgotten by it. It is the watermark as far as
 * the stream's events say it themselves: a stream that is idle is complete up to now, but history
 * that is still sent to it, after a pause, has to find that its ids are known.
 *
 * It is kept as the watermark of a clock of its own, "STREAM/horizon".
 */
#ifndef INGEST_HORIZON_H
#define INGEST_HORIZON_H

#include <stdint.h>

#include "ingest/lifecycle/lifecycle.h"
#include "ingest/rollup.h"

/* By stream: complete_ms, what its partitions say now; newest_ms, the greatest event time that was
 * read. INT64_MIN: not known. Streams that share a lifecycle say the same but for what is not
 * complete: one that is silent does not keep their lives for ever. */
void horizons(const struct streams *streams, const int64_t *complete_ms, const int64_t *newest_ms,
    int64_t *out);

#endif
