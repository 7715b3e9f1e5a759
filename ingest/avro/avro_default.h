/*
 * Defaults of Avro schemas: JSON to the bytes that a writer would have written.
 */
#ifndef INGEST_AVRO_DEFAULT_H
#define INGEST_AVRO_DEFAULT_H

#include <stdbool.h>

#include <jansson.h>

#include "base/buf.h"
#include "ingest/avro/avro_schema.h"

/* A limit for the buffer. */
#define AVRO_DEFAULT_BYTES_MAX (64u << 10)

/* Appends the value as type's bytes. Of a union the first branch that the value fits. False: it is
 * no value of the type, or too large a one. */
bool avro_default_encode(const json_t *value, const struct avro_node *type, struct buf *out);

#endif
