/* The keys of `store: retention:` in larder.yml. */
#ifndef CMD_CONFIG_RETENTION_H
#define CMD_CONFIG_RETENTION_H

#include "base/settings.h"
#include "store/retention.h"

/* More of them would be asked for every metric of every segment. */
#define RETENTION_METRICS_MAX 1000

/* Mistakes go to the settings' list; what is read lives in their arena. */
void config_retention_read(
    struct settings *settings, const struct yaml_node *node, struct retention *out);

#endif
