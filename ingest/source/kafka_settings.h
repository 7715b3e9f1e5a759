/*
 * What librdkafka is told: what the user may change, then the user's settings, then what
 * exactly-once stands on.
 */
#ifndef INGEST_KAFKA_SETTINGS_H
#define INGEST_KAFKA_SETTINGS_H

#include <librdkafka/rdkafka.h>

#include "base/err.h"
#include "ingest/ingest.h"

/* How old librdkafka's view of itself may be when it reaches us. */
#define KAFKA_STATS_MS 500

/* ERR_INVALID: a setting that librdkafka does not know or take; the text is librdkafka's. */
bool kafka_settings_apply(
    rd_kafka_conf_t *conf, const struct ingest_options *options, struct err *err);

/* Bytes of fetched messages that may wait in librdkafka (queued.max.messages.kbytes). */
size_t kafka_settings_queue_bytes(const rd_kafka_conf_t *conf);

#endif
