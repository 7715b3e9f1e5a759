/*
 * Avro schemas (specification 1.12): JSON text to a checked tree. Names are full (with namespace),
 * references point at what they name, so a recursive schema is a graph with cycles. What the
 * reference implementation lets into registries is no mistake here: namespaces of any characters,
 * and letters of all scripts.
 *
 *     {"type": "record", "name": "Order", "fields": [{"name": "id", "type": "string"}, ...]}
 *
 * A schema comes from outside, from a registry perhaps: its size, depth and names are bounded, and
 * nothing in it makes work that grows faster than its text. Immutable once parsed.
 */
#ifndef INGEST_AVRO_SCHEMA_H
#define INGEST_AVRO_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

#define AVRO_SCHEMA_BYTES_MAX (1u << 20) /* of all texts of one schema */
#define AVRO_SCHEMA_TEXTS_MAX 64         /* a schema and what it refers to */
#define AVRO_DEPTH_MAX        64         /* types inside types, as written */
#define AVRO_NODES_MAX        16384
#define AVRO_DECIMAL_DIGITS   150 /* the greatest precision */

enum avro_type {
    AVRO_NULL,
    AVRO_BOOLEAN,
    AVRO_INT,
    AVRO_LONG,
    AVRO_FLOAT,
    AVRO_DOUBLE,
    AVRO_BYTES,
    AVRO_STRING,
    AVRO_PRIMITIVES, /* how many there are */
    AVRO_RECORD = AVRO_PRIMITIVES,
    AVRO_ENUM,
    AVRO_ARRAY,
    AVRO_MAP,
    AVRO_UNION,
    AVRO_FIXED,
};

/* What a value means. One that does not fit its type is ignored, as the specification says. */
enum avro_logical {
    LOGICAL_NONE,
    LOGICAL_DECIMAL,
    LOGICAL_UUID,
    LOGICAL_DATE,
    LOGICAL_TIMESTAMP_MILLIS,
    LOGICAL_TIMESTAMP_MICROS,
    LOGICAL_TIMESTAMP_NANOS,
};

struct avro_node;

struct avro_field {
    struct slice name;
    const struct slice *aliases;
    size_t n_aliases;
    const struct avro_node *type;
    const json_t *value; /* the default; NULL: none. Borrowed from the schema */
};

struct avro_node {
    enum avro_type type;
    enum avro_logical logical;   /* local timestamps count as UTC */
    int precision, scale;        /* LOGICAL_DECIMAL */
    struct slice name;           /* full; of records, enums and fixed */
    const struct slice *aliases; /* full */
    size_t n_aliases;
    const struct avro_field *fields;   /* AVRO_RECORD */
    const struct slice *symbols;       /* AVRO_ENUM */
    const struct avro_node **branches; /* AVRO_UNION; AVRO_ARRAY and AVRO_MAP: one, the items */
    size_t n;                          /* of fields, symbols or branches */
    int default_symbol;                /* AVRO_ENUM; -1: none */
    size_t size;                       /* AVRO_FIXED, bytes */
    size_t number;                     /* of this node, from 0; unique in its schema */
};

struct avro_schema;

/* texts: the schema is the last; those before are what it refers to, each after what it refers to
 * itself. They need not outlive the call. ERR_INVALID says which rule is broken and where in the
 * schema ("Order.items[]"); ERR_LIMIT: it is larger than the bounds above. */
bool avro_schema_parse(
    const struct slice *texts, size_t n, struct avro_schema **out, struct err *err);
/* The same for one that is never a reader's but of what it has written itself: without defaults,
 * and the texts are given back, which take more memory than all the rest. */
bool avro_schema_parse_writer(
    const struct slice *texts, size_t n, struct avro_schema **out, struct err *err);
void avro_schema_free(struct avro_schema **schema);
const struct avro_node *avro_schema_root(const struct avro_schema *schema);
/* Of its texts. */
size_t avro_schema_bytes(const struct avro_schema *schema);

/* "record Order", "array", "long (timestamp-millis)": for messages. Returns out. */
#define AVRO_TYPE_TEXT_MAX 320
const char *avro_type_text(const struct avro_node *node, char *out);
/* A full name without its namespace. */
struct slice avro_short_name(struct slice name);

#endif
