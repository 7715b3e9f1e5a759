/*
 * The `streams:` and `rollups:` of larder.yml to what the ingestion runs on.
 */
#ifndef INGEST_STREAMS_CONFIG_H
#define INGEST_STREAMS_CONFIG_H

#include "base/settings.h"
#include "ingest/rollup.h"
#include "ingest/rollup_history.h"

#define STREAMS_MAX     64
#define STREAM_NAME_MAX 40 /* bytes: it is part of a state table's name */
#define TOPICS_MAX      64 /* of a stream */
#define ROLLUPS_MAX     1024

/* Any node may be NULL: there are none; registry too, then no stream is Avro. past: generations of
 * rollups that the store knows (rollup_history.h), of which those become former rollups that are
 * not the config's own and make sense with its streams; NULL: none. What is made lives
 * in the settings' arena and borrows its strings from the tree. Mistakes are in the settings' list;
 * out is for use only when there is none. */
void streams_config_read(struct settings *settings, const struct yaml_node *streams,
    const struct yaml_node *lifecycles, const struct yaml_node *rollups,
    const struct registry_options *registry, const struct rollup_histories *past,
    struct streams *out);

#endif
