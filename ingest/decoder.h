/*
 * The bytes of a stream's records to events, in the stream's format. JSON needs nothing else; of
 * Avro the schema that a record was written with must be known, and the registry is asked for it.
 */
#ifndef INGEST_DECODER_H
#define INGEST_DECODER_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "ingest/contract.h"
#include "ingest/kafka_source.h"
#include "ingest/registry/registry.h"
#include "ingest/rollup.h"

struct decoder;

/* The stream and the registry outlive it; registry NULL: no stream is Avro. One thread uses it.
 * quiet: of schemas that no event can be made of, the log says nothing. */
struct decoder *decoder_new(const struct stream *stream, struct registry *registry, bool quiet);
void decoder_free(struct decoder **decoder);

/* What a record waits for. */
struct decoder_wait {
    bool waits;
    struct schema_ref schema;
    struct err why; /* for a person; "": nothing is the matter yet */
};

/* Checks everything but lateness. The event borrows from the record and from scratch, of which an
 * event takes at most DECODER_SCRATCH bytes. *field as json_decode's. When wait->waits then, the
 * record can only be read when the registry has answered, and is to be tried again. */
#define DECODER_SCRATCH (2 * EVENT_BYTES_MAX)
enum refusal decoder_decode(struct decoder *decoder, const struct kafka_record *record,
    struct arena *scratch, struct event *out, int *field, struct decoder_wait *wait);

#endif
