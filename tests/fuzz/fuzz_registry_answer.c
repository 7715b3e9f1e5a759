/*
 * A registry that answers anything: the first byte says of which kind it is, then come its answers,
 * one for each question, each a byte for the status and a text up to a zero byte. There is a schema
 * that a program can be asked for, or an error of the codes that registry_fetch.h names; there are
 * never more questions than answers may be kept, and none twice.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/slice.h"
#include "ingest/avro/avro_program.h"
#include "ingest/registry/registry_answer.h"

static const struct contract contract = {
    .stream = {"fuzz", 4},
    .n_fields = 2,
    .event_time = 0,
    .event_id = -1,
    .key = -1,
    .fields = {{.name = {"at", 2}, .type = FIELD_TIME}, {.name = {"x", 1}, .type = FIELD_STRING}},
};

static const long statuses[] = {200, 404, 400, 401, 500, 0};

struct server {
    struct slice rest;
    char paths[AVRO_SCHEMA_TEXTS_MAX + 1][4096];
    size_t asked;
};

static json_t *next_answer(struct server *s, long *status)
{
    *status = 500;
    if (s->rest.len == 0)
        return NULL;
    *status = statuses[(uint8_t)s->rest.ptr[0] % (sizeof statuses / sizeof statuses[0])];
    s->rest = slice_of(s->rest.ptr + 1, s->rest.len - 1);
    const char *zero = memchr(s->rest.ptr, 0, s->rest.len);
    size_t len = zero ? (size_t)(zero - s->rest.ptr) : s->rest.len;
    json_t *json = json_loadb(s->rest.ptr, len, 0, NULL);
    s->rest = slice_of(s->rest.ptr + len + (zero != NULL), s->rest.len - len - (zero != NULL));
    return json;
}

static bool get(void *ctx, const char *path, json_t **answer, struct err *err)
{
    struct server *s = ctx;
    long status;
    ensure(s->asked <= AVRO_SCHEMA_TEXTS_MAX);
    snprintf(s->paths[s->asked], sizeof s->paths[0], "%s", path);
    for (size_t i = 0; i < s->asked; i++)
        ensure(strlen(path) >= sizeof s->paths[0] || strcmp(s->paths[i], path) != 0);
    s->asked++;
    *answer = next_answer(s, &status);
    switch (answer_judge("http://fuzz", status, *answer, err)) {
    case ANSWER_SCHEMA: return true;
    case ANSWER_NONE: err_set(err, ERR_NOT_FOUND, "none"); break;
    case ANSWER_NOTHING: ensure(err->code == ERR_UNAVAILABLE); break;
    }
    json_decref(*answer);
    return false;
}

static void use(struct avro_schema *schema)
{
    struct event_rules rules;
    struct avro_program *program = NULL;
    struct err err;
    event_rules_init(&rules, &contract);
    ensure(avro_schema_bytes(schema) > 0);
    if (avro_program_new(schema, NULL, &rules, &program, &err))
        avro_program_free(&program);
    event_rules_fini(&rules);
    avro_schema_free(&schema);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct server server;
    struct avro_schema *schema = NULL;
    struct err err = {0};
    bool ok;
    if (size == 0)
        return 0;
    server.rest = slice_of(data + 1, size - 1);
    server.asked = 0;
    if (data[0] & 1) {
        long status;
        json_t *json = next_answer(&server, &status);
        ok = answer_glue("http://fuzz", status, json, &schema, &err);
        json_decref(json);
    } else {
        ok = answer_confluent(get, &server, "/schemas/ids/1", &schema, &err);
    }
    if (ok)
        use(schema);
    else
        ensure(err.text[0] && (err.code == ERR_NOT_FOUND || err.code == ERR_UNSUPPORTED ||
                                  err.code == ERR_INVALID || err.code == ERR_LIMIT ||
                                  err.code == ERR_UNAVAILABLE));
    return 0;
}
