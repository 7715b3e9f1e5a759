/*
 * What clients of librdkafka are told: what the user may change, then the user's settings, then
 * what exactly-once stands on.
 */
#ifndef INGEST_KAFKA_SETTINGS_H
#define INGEST_KAFKA_SETTINGS_H

#include <librdkafka/rdkafka.h>

#include "base/err.h"
#include "ingest/ingest.h"

/* How old librdkafka's view of itself may be when it reaches us. */
#define KAFKA_STATS_MS 500

struct client_setting {
    const char *name, *value;
};

/* All of these: ERR_INVALID: a setting that librdkafka does not know or take; the text is
 * librdkafka's. */
bool client_settings_set(
    rd_kafka_conf_t *conf, const struct client_setting *settings, size_t n, struct err *err);
/* What every client has, unless the user says otherwise. */
bool client_settings_common(rd_kafka_conf_t *conf, struct err *err);
/* Those of the config's `kafka`. */
bool client_settings_user(
    rd_kafka_conf_t *conf, const struct ingest_options *options, struct err *err);

/* The ingestion's consumer. */
bool kafka_settings_apply(
    rd_kafka_conf_t *conf, const struct ingest_options *options, struct err *err);

/* Bytes of fetched messages that may wait in librdkafka (queued.max.messages.kbytes). */
size_t kafka_settings_queue_bytes(const rd_kafka_conf_t *conf);

#endif
