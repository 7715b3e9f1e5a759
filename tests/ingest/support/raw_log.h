/*
 * Bytes of a Kafka log, as no producer would send them, and their way into a log of librdkafka's
 * mock cluster, which keeps what one request brings as it is and answers with all of it.
 */
#ifndef TESTS_INGEST_SUPPORT_RAW_LOG_H
#define TESTS_INGEST_SUPPORT_RAW_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum raw_state { RAW_GOOD, RAW_BAD_CRC, RAW_BAD_ZSTD };

/* A batch of n records of format 2 from offset base on. said: how many records its header names,
 * which is what the mock believes of a request's first batch. */
void raw_batch(struct buf *out, int64_t base, const struct slice *values, size_t n, int32_t said,
    int64_t timestamp_ms, enum raw_state state);
/* One record of format 1: old segments have these. */
void raw_message(struct buf *out, int64_t offset, struct slice value, int64_t timestamp_ms,
    enum raw_state state);

/* Appends what lies in `records` in one request; the mock gives the first batch its offset.
 * brokers: the address of the cluster's one broker. Fails the test. */
void raw_append(const char *brokers, const char *topic, int32_t partition, struct slice records);

#endif
