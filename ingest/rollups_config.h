/*
 * One rollup of larder.yml. Called by streams_config.c, which knows all of them.
 */
#ifndef INGEST_ROLLUPS_CONFIG_H
#define INGEST_ROLLUPS_CONFIG_H

#include "base/settings.h"
#include "ingest/lifecycle/lifecycle.h"
#include "ingest/rollup.h"

#define EVERY_DEFAULT_MS 5000

/* streams: what `from` may name. sound: for each, whether all types of its fields are known; when
 * not, expressions over them are not looked at, because their errors would only follow from those.
 */
void rollups_config_read(struct settings *settings, const struct yaml_node *name,
    const struct yaml_node *node, const struct streams *streams, const bool *sound,
    struct lifecycle *lifecycles, struct rollup *out);

#endif
