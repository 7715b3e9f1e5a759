/*
 * `shard: i/n` of larder.yml: which share of the partitions this instance reads.
 */
#ifndef CMD_CONFIG_SHARD_H
#define CMD_CONFIG_SHARD_H

#include "base/settings.h"
#include "ingest/ingest.h"

#define SHARDS_MAX 1024

/* Mistakes are in the settings' list; then *out is as it was. */
void config_shard_read(struct settings *settings, const struct yaml_node *node, struct shard *out);

#endif
