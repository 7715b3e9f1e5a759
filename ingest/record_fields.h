/*
 * What stands beside a message's value: fields of the contract that are its key or one of its
 * headers, and the W3C trace context. Their bytes are read as text: a string is UTF-8, a number is
 * written as in JSON, a time as RFC 3339 or in milliseconds, a boolean as true or false. An absent
 * key or header is an absent field, as is an empty one that is no string.
 */
#ifndef INGEST_RECORD_FIELDS_H
#define INGEST_RECORD_FIELDS_H

#include "ingest/event_rules.h"
#include "ingest/kafka_source.h"

#define TRACE_HEADER "traceparent"

/* A bit for each field that stands beside the value; 0: none does. */
uint64_t record_fields_of(const struct contract *contract);

/* Reads the fields of the set. The values borrow from the record. */
void record_fields_read(const struct event_rules *rules, uint64_t fields,
    const struct kafka_record *record, struct record_fields *out);

/* "00-<32 hex>-<16 hex>-<2 hex>" of https://www.w3.org/TR/trace-context/; of later versions what
 * they have in common with it. False: it is none, or all zeros. */
bool trace_parse(struct slice text, struct trace *out);

#endif
