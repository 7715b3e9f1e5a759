/*
 * The JSON event scanner: one flat object to an event, checked against its contract, without any
 * allocation on the common path. Strict JSON (RFC 8259); a field that occurs twice is malformed;
 * unknown fields are skipped, nested ones too, to a depth of JSON_DEPTH_MAX. Strings with escapes
 * and numbers with exponents or more digits than fit take a slow path through jansson on the same
 * bytes.
 */
#ifndef INGEST_JSON_EVENT_H
#define INGEST_JSON_EVENT_H

#include "base/arena.h"
#include "base/slice.h"
#include "ingest/event_rules.h"

#define JSON_DEPTH_MAX 32

/* The contract's field names, prepared for the scanner. Immutable, shared by threads. */
struct json_decoder;

/* The contract outlives the decoder. */
struct json_decoder *json_decoder_new(const struct contract *contract);
void json_decoder_free(struct json_decoder **decoder);
/* The contract's, borrowed. */
const struct event_rules *json_decoder_rules(const struct json_decoder *decoder);

/* Decodes and checks everything but lateness. scratch holds unescaped strings, at most
 * FIELDS_MAX * FIELD_STRING_MAX bytes of an event, for which its limit must leave room; the event
 * borrows from it and from payload. REFUSED_NOT, or the first reason of the enum that applies to
 * any field; then *field (may be NULL) is the first field with it in the contract's order, or -1.
 * An int in any spelling without a fraction is an int (3.0, 3e0); with one it is refused: type. */
enum refusal json_decode(const struct json_decoder *decoder, struct slice payload,
    struct arena *scratch, struct event *out, int *field);
/* The same, of a record whose key or headers hold fields of the contract. */
enum refusal json_decode_beside(const struct json_decoder *decoder,
    const struct record_fields *beside, struct slice payload, struct arena *scratch,
    struct event *out, int *field);

/* RFC 3339 with any offset, fractions cut (not rounded) at ms, years 0000..9999, leap second 60
 * as 59.999; to ms. False: not one. */
bool time_parse_rfc3339(struct slice text, int64_t *ms);

#endif
