/*
 * How many events were refused, as JSON: {"malformed": 1, "schema": 0, ...}, all reasons.
 */
#ifndef CMD_REFUSAL_JSON_H
#define CMD_REFUSAL_JSON_H

#include <jansson.h>
#include <stdint.h>

#include "ingest/contract.h"

/* The caller owns it. */
json_t *refusal_json(const uint64_t counts[REFUSALS]);

#endif
