/*
 * Avro on any bytes: two schemas and a message, with a zero byte behind each schema. Whatever
 * resolves must decode without reading past the message, and an event that is accepted keeps its
 * contract. An empty second schema is the first.
 */
#include <stdint.h>

#include "base/ensure.h"
#include "ingest/avro/avro_program.h"

#define F(n, t, ...)                                                                               \
    {                                                                                              \
        .name = {n, sizeof(n) - 1}, .type = t, __VA_ARGS__                                         \
    }

static const struct slice types[] = {{"placed", 6}, {"delivered", 9}};

static const struct contract contract = {
    .stream = {"fuzz", 4},
    .n_fields = 6,
    .event_time = 2,
    .event_id = 0,
    .key = -1,
    .fields =
        {
            F("id", FIELD_STRING, .required = true),
            F("type", FIELD_STRING, .allowed = types, .n_allowed = 2),
            F("at", FIELD_TIME),
            F("n", FIELD_INT, .has_min = true, .min = -5),
            F("amount", FIELD_DECIMAL, .digits = 2),
            F("flag", FIELD_BOOL),
        },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool next_part(struct slice *rest, struct slice *part)
{
    const char *zero = memchr(rest->ptr, 0, rest->len);
    if (!zero)
        return false;
    *part = slice_of(rest->ptr, (size_t)(zero - rest->ptr));
    *rest = slice_of(zero + 1, rest->len - part->len - 1);
    return true;
}

static void decode(const struct avro_program *program, struct slice message)
{
    struct arena scratch;
    struct event event;
    int field;
    arena_init(&scratch, 64u << 10);
    enum refusal why = avro_decode(program, message, &scratch, &event, &field);
    ensure(field >= -1 && field < 6);
    if (why == REFUSED_NOT) {
        ensure(event.v[0].present && event.v[2].present);
        ensure(!event.v[3].present || event.v[3].num >= -5);
        ensure(!event.v[1].present || slice_eq(event.v[1].str, types[0]) ||
               slice_eq(event.v[1].str, types[1]));
    }
    arena_fini(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_of(data, size), texts[2];
    struct avro_schema *writer = NULL, *reader = NULL;
    struct avro_program *program;
    struct event_rules rules;
    struct err err = {0};
    if (size == 0 || !next_part(&rest, &texts[0]) || !next_part(&rest, &texts[1]))
        return 0;
    event_rules_init(&rules, &contract);
    bool ok = avro_schema_parse(&texts[0], 1, &writer, &err) &&
              (texts[1].len == 0 || avro_schema_parse(&texts[1], 1, &reader, &err)) &&
              avro_program_new(writer, reader, &rules, &program, &err);
    ensure(ok || err.text[0]);
    if (ok) {
        decode(program, rest);
        avro_program_free(&program);
    }
    avro_schema_free(&writer);
    avro_schema_free(&reader);
    event_rules_fini(&rules);
    return 0;
}
