/*
 * The definition of a rollup as text, so that it can be kept in the store and read again: YAML on
 * one line, keys in order of name, every scalar in quotes.
 *
 *     {"by": ["market", {"stage": "type"}], "from": "orders", "kind": "counter"}
 *
 * Its *meaning* is a hash of what of it decides which cells there are: not `help`, `unit`, `reduce`
 * and `stale_after`, nor the order of labels, and with defaults filled in. Expressions mean the
 * same when they are written the same.
 */
#ifndef INGEST_ROLLUP_TEXT_H
#define INGEST_ROLLUP_TEXT_H

#include "base/buf.h"
#include "base/checksum.h"
#include "base/yaml.h"
#include "ingest/rollup.h"

/* node: the rollup's mapping. */
void rollup_text_write(const struct yaml_node *node, struct buf *out);
/* rollup: what the node was read to, without a mistake. */
struct hash128 rollup_meaning(const struct yaml_node *node, const struct rollup *rollup);

#endif
