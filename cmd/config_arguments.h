/*
 * The config as the command line names it: -c FILE, --set KEY=VALUE, and --stream for one of its
 * streams. What is wrong is told on standard error.
 */
#ifndef CMD_CONFIG_ARGUMENTS_H
#define CMD_CONFIG_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "cmd/config.h"

struct config_arguments {
    const char *command; /* for messages: "larder replay" */
    const char *file;    /* NULL: larder.yml */
    const char *stream;  /* NULL: the only one that there is */
    const char **overrides;
    size_t n_overrides, cap;
};

/* "KEY=VALUE", borrowed. */
void config_arguments_set(struct config_arguments *arguments, const char *override);
void config_arguments_fini(struct config_arguments *arguments);

/* The caller frees the config in any case. */
bool config_arguments_load(const struct config_arguments *arguments, struct config *out);
/* The number of the stream that is meant. */
bool config_arguments_stream(
    const struct config_arguments *arguments, const struct config *config, size_t *out);

#endif
