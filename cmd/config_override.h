/*
 * `--set kafka.brokers=HOST:PORT`: one value of the config tree replaced from the command line.
 */
#ifndef CMD_CONFIG_OVERRIDE_H
#define CMD_CONFIG_OVERRIDE_H

#include "base/settings.h"

/* Puts the value into the tree; collections on the way are made when they are not there. Behind
 * `kafka.` the rest is one key, for librdkafka's settings have dots. A value that begins with [, {
 * or a quote is YAML, any other is taken as it is. */
void config_override(struct settings *settings, struct yaml_node *root, const char *override);

#endif
