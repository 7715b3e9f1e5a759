/*
 * The `lifecycles:` of larder.yml, and what rollups may say of them.
 */
#ifndef INGEST_LIFECYCLES_CONFIG_H
#define INGEST_LIFECYCLES_CONFIG_H

#include "base/settings.h"
#include "ingest/lifecycle/lifecycle.h"
#include "ingest/rollup.h"

/* Reads the lifecycles over the streams of out, and makes them see what the rollups' expressions
 * need. rollups: nodes of all that are read, n of them. sound: for each stream, whether the types
 * of its fields are known. Returns out's lifecycles, whose labels are added by their rollups. */
struct lifecycle *lifecycles_config_read(struct settings *settings, const struct yaml_node *node,
    const struct yaml_node *const *rollups, size_t n_rollups, const bool *sound,
    struct streams *out);

/* Whether what the rollup has at a time depends on what comes later in a life, so that it is final
 * only when the lives are over: at the watermark less `expire`. The rollup was read without a
 * mistake. */
bool lifecycle_rollup_waits(const struct lifecycle *lifecycle, const struct rollup *rollup);

/* Reads `at`, `when`, `value` and `by` of a rollup of the lifecycle, whose kind is known. */
void lifecycle_rollup_read(struct settings *settings, const struct yaml_node *node,
    struct lifecycle *lifecycle, const struct streams *streams, struct rollup *out);

/* Puts the labels of the lifecycle into an order that does not hang on that of its rollups, by
 * which stored ones are read; when all are read. */
void lifecycle_sort_labels(const struct streams *streams, int number, struct lifecycle *lifecycle,
    struct rollup *rollups, size_t n);

#endif
