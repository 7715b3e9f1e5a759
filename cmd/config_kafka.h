/*
 * The `kafka:` section of larder.yml: `brokers`, and librdkafka's own settings, which librdkafka
 * checks.
 */
#ifndef CMD_CONFIG_KAFKA_H
#define CMD_CONFIG_KAFKA_H

#include "base/settings.h"
#include "ingest/ingest.h"

/* `brokers` becomes bootstrap.servers. Mistakes are in the settings' list. */
void config_kafka_read(
    struct settings *settings, const struct yaml_node *node, struct kafka_setting **out, size_t *n);

#endif
