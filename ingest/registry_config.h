/*
 * The `registry:` of larder.yml.
 */
#ifndef INGEST_REGISTRY_CONFIG_H
#define INGEST_REGISTRY_CONFIG_H

#include "base/settings.h"
#include "ingest/registry/registry.h"

/* As streams_config_read: out lives in the settings' arena and is for use only when no mistake is
 * in the list. AWS' region, and its keys when none of them is there, come from the environment,
 * under AWS' own names. */
const struct registry_options *registry_config_read(
    struct settings *settings, const struct yaml_node *node);

#endif
