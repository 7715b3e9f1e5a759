/*
 * What a registry's answers say. No I/O: whoever has asked gives the answer's status and its JSON;
 * what a schema refers to is asked for through a function.
 */
#ifndef INGEST_REGISTRY_REGISTRY_ANSWER_H
#define INGEST_REGISTRY_REGISTRY_ANSWER_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "ingest/avro/avro_schema.h"

enum answer_verdict {
    ANSWER_SCHEMA,  /* it may hold what was asked for */
    ANSWER_NONE,    /* the registry says that there is none */
    ANSWER_NOTHING, /* another server's, a refusal, nonsense: *err is ERR_UNAVAILABLE */
};

/* Of Confluent's interface. json NULL: the answer is none. url is for the error's text. */
enum answer_verdict answer_judge(const char *url, long status, const json_t *json, struct err *err);

/* Gets the answer of a path that the interface has, an object: ANSWER_SCHEMA. *answer is the
 * caller's. False: ERR_NOT_FOUND, or another, as registry_fetch_schema says. */
typedef bool answer_get(void *ctx, const char *path, json_t **answer, struct err *err);

/* The schema at the path with all that it refers to; errors as of registry_fetch_schema. Every
 * path that is asked for is a new one, and there are AVRO_SCHEMA_TEXTS_MAX + 1 at most. */
bool answer_confluent(
    answer_get *get, void *ctx, const char *path, struct avro_schema **out, struct err *err);

/* The same of Glue's one answer; json stays the caller's. */
bool answer_glue(
    const char *url, long status, const json_t *json, struct avro_schema **out, struct err *err);

#endif
