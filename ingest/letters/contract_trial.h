/*
 * A contract tried on single events, without a store: would the ingestion take it, and if not, why?
 * What it cannot know is whether an id was seen before, and what lifecycles make of the event.
 */
#ifndef INGEST_LETTERS_CONTRACT_TRIAL_H
#define INGEST_LETTERS_CONTRACT_TRIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "ingest/kafka_source.h"
#include "ingest/letters/refusal_cause.h"
#include "ingest/rollup.h"

struct contract_trial;

/* The streams outlive it. Of an Avro stream the registry is asked. */
struct contract_trial *contract_trial_new(const struct streams *streams, size_t stream);
void contract_trial_free(struct contract_trial **trial);

/* Tries the record, of which value, key and headers count; its partition may be NULL. at_ms: the
 * record's timestamp, for late and ahead; INT64_MIN: they are not judged. With arrival: partition
 * late is not, since nothing is known of the partition. out->reason REFUSED_NOT: it
 * is taken; then out->time_ms is its event time. Waits for its schema. ERR_UNAVAILABLE: that cannot
 * be had. */
bool contract_trial_record(struct contract_trial *trial, const struct kafka_record *record,
    int64_t at_ms, struct refusal_case *out, struct err *err);
/* The id of the event that was taken last; ptr NULL: the stream has none. Borrowed from it. */
struct slice contract_trial_id(const struct contract_trial *trial);

#endif
