/*
 * A writer's and a reader's Avro schema, resolved and compiled to a program that makes events of
 * what the writer wrote: the rules of the specification's "Schema Resolution" are decided once, and
 * a message costs one pass over its bytes.
 *
 *     writer's schema  \
 *     reader's schema   >  avro_program_new  ->  ops  ->  avro_decode(message)  ->  struct event
 *     contract         /
 *
 * An event gets the top fields of the reader's record by their names. How a value becomes a field:
 *
 *     string   string, enum (its symbol), uuid; bytes and fixed that are UTF-8, else they are
 *              refused: type
 *     int      int, long, decimal, float and double; with a fraction it is refused: type
 *     decimal  the same, exactly, half to even at the field's digits
 *     time     timestamps, local ones as UTC, and dates; else a long of milliseconds, or a string
 *              as in JSON. Micro- and nanoseconds are cut towards the past
 *     bool     boolean
 *
 * null is absent, and so is a field that the reader's schema does not have. Any other type is
 * refused: type, when the value is there.
 *
 * Where a rule of the specification leaves something open:
 *   - names of records, enums and fixed match without their namespaces, or by an alias of the
 *     reader;
 *   - of a reader's union the branch of the same type comes before one that it is promoted to, and
 *     among those the first;
 *   - a field that was written serves one of the reader's: that of its name, else the first that
 *     has it as an alias;
 *   - decimals of different precision or scale, and instants of different units, do not resolve;
 *   - what does not resolve is an error of the whole pair, but for a branch of the writer's union:
 *     there it refuses the messages that use the branch.
 */
#ifndef INGEST_AVRO_PROGRAM_H
#define INGEST_AVRO_PROGRAM_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "ingest/avro/avro_schema.h"
#include "ingest/event_rules.h"

struct avro_program;

/* reader NULL: as the writer. The schemas may go afterwards, the rules may not. ERR_INVALID: they
 * do not resolve, and where; ERR_LIMIT: the program would be too large. */
bool avro_program_new(const struct avro_schema *writer, const struct avro_schema *reader,
    const struct event_rules *rules, struct avro_program **out, struct err *err);
void avro_program_free(struct avro_program **program);

/* Decodes a message without its framing and checks everything but lateness; any number of threads
 * at once. scratch holds what is not in the message as it is, at most FIELDS_MAX * 64 bytes. The
 * event borrows from payload, scratch and program. REFUSED_MALFORMED: the bytes are not of the
 * schema, or something is behind them; REFUSED_SCHEMA: a branch or symbol that the reader's schema
 * has not; else as event_end. *field may be NULL. */
enum refusal avro_decode(const struct avro_program *program, struct slice payload,
    struct arena *scratch, struct event *out, int *field);
/* The same, of a record whose key or headers hold fields of the contract. */
enum refusal avro_decode_beside(const struct avro_program *program,
    const struct record_fields *beside, struct slice payload, struct arena *scratch,
    struct event *out, int *field);

#endif
