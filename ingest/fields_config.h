/*
 * The `fields:` of a stream in larder.yml to the fields of its contract.
 */
#ifndef INGEST_FIELDS_CONFIG_H
#define INGEST_FIELDS_CONFIG_H

#include "base/settings.h"
#include "ingest/contract.h"

/* Fills fields and n_fields; strings are borrowed from the tree. False when a field's type is not
 * known, so that expressions over it cannot be checked; every mistake is in the settings' list. */
bool fields_config_read(
    struct settings *settings, const struct yaml_node *node, struct contract *contract);

/* The index of the field that a scalar names; -1 after an error, with the closest field proposed.
 */
int fields_config_find(struct settings *settings, const struct yaml_node *node, const char *what,
    const struct contract *contract);

#endif
