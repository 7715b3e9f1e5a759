/*
 * What stands around an Avro message and says with which schema it was written.
 *
 *     Confluent   00 | id u32 big-endian | message
 *                 or in the header __value_schema_id:  00 | id u32  or  01 | GUID, 16 bytes; then
 *                 the record's value is the message alone
 *     AWS Glue    03 | 00 plain, 05 zlib | UUID of the schema version, 16 bytes | message
 */
#ifndef INGEST_REGISTRY_SCHEMA_FRAMING_H
#define INGEST_REGISTRY_SCHEMA_FRAMING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"
#include "ingest/contract.h"

enum framing { FRAMING_CONFLUENT, FRAMING_GLUE };

#define FRAMING_HEADER "__value_schema_id"

/* Which schema of the registry. The bytes of an id that is a number are big-endian, zeros behind.
 */
struct schema_ref {
    bool is_number;
    uint8_t bytes[16];
};

uint32_t schema_ref_number(const struct schema_ref *ref);
bool schema_ref_eq(const struct schema_ref *a, const struct schema_ref *b);
/* "17", or "3f2b...": as registries write it, with a NUL. Returns out. */
#define SCHEMA_REF_TEXT 40
const char *schema_ref_text(const struct schema_ref *ref, char out[SCHEMA_REF_TEXT]);

/* header: the value of FRAMING_HEADER; ptr NULL: the record has none. *message is borrowed from
 * value, or lies in scratch when it was compressed: at most EVENT_BYTES_MAX bytes, for which its
 * limit must leave room, and `room` is where it is made, again and again. REFUSED_NOT or
 * REFUSED_MALFORMED. */
enum refusal framing_open(enum framing framing, struct slice value, struct slice header,
    struct buf *room, struct arena *scratch, struct schema_ref *ref, struct slice *message);

#endif
