/*
 * Why an event was refused, in words for the person who has to mend it. They name fields and
 * bounds, and never hold a value: values may be personal.
 */
#ifndef INGEST_LETTERS_REFUSAL_CAUSE_H
#define INGEST_LETTERS_REFUSAL_CAUSE_H

#include <stddef.h>
#include <stdint.h>

#include "ingest/contract.h"
#include "ingest/rollup.h"

struct refusal_case {
    enum refusal reason;
    int field;          /* the first one with the reason, or -1 */
    size_t value_bytes; /* of the message */
    int64_t time_ms;    /* of late and ahead: the event's time */
    int64_t
        arrival_ms; /* what it was measured against; INT64_MIN: nothing, its id's hour is over */
};

/* Writes at most size bytes with the NUL. Returns out. */
const char *refusal_cause(
    const struct stream *stream, const struct refusal_case *refused, char *out, size_t size);

#endif
