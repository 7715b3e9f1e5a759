/*
 * Clients of librdkafka beside the ingestion's consumer: what sends letters, and what reads them.
 * They take the settings of the config's `kafka`, then what exactness stands on.
 */
#ifndef INGEST_LETTERS_KAFKA_CLIENT_H
#define INGEST_LETTERS_KAFKA_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include <librdkafka/rdkafka.h>

#include "base/err.h"
#include "ingest/ingest.h"
#include "ingest/source/kafka_settings.h"

/* defaults come before the config's settings, fixed ones after them. conf_take: callbacks and what
 * they are given; NULL: none. ERR_INVALID: librdkafka does not take a setting. Does not connect
 * yet. */
bool kafka_client_new(rd_kafka_type_t type, const struct ingest_options *options,
    const struct client_setting *defaults, size_t n_defaults, const struct client_setting *fixed,
    size_t n_fixed, rd_kafka_conf_t *conf_take, rd_kafka_t **out, struct err *err);

/* A consumer that is assigned and joins no group; of committed messages alone, or of all. */
bool kafka_reader_new(
    const struct ingest_options *options, bool committed, rd_kafka_t **out, struct err *err);

/* Takes the client over, and ends it in bounded time (client_end.h). */
void kafka_client_end(rd_kafka_t *client);

/* The number of the topic's partitions. ERR_NOT_FOUND: there is no such topic; ERR_UNAVAILABLE: no
 * broker says. */
bool kafka_topic_partitions(
    rd_kafka_t *client, const char *topic, int wait_ms, int *out, struct err *err);

/* What the config calls this instance: its group.id, "larder" unless it is set. */
struct slice kafka_instance(const struct ingest_options *options);

#endif
