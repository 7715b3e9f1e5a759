/*
 * The event scanner on any bytes. What it accepts, jansson must read as JSON too; what jansson
 * cannot read for its syntax, the scanner must call malformed.
 */
#include <jansson.h>
#include <stdint.h>

#include "base/ensure.h"
#include "ingest/json_event.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_decoder *decoder = json_decoder_new(&contract);
    struct arena scratch;
    struct event event;
    int field;
    arena_init(&scratch, 256u << 10);
    enum refusal refusal = json_decode(decoder, slice_of(data, size), &scratch, &event, &field);
    ensure(field >= -1 && field < 6);
    json_error_t error;
    json_t *root = json_loadb((const char *)data, size, JSON_ALLOW_NUL, &error);
    if (!root && refusal != REFUSED_MALFORMED)
        ensure(json_error_code(&error) == json_error_numeric_overflow ||
               json_error_code(&error) == json_error_null_byte_in_key);
    if (refusal == REFUSED_NOT)
        ensure(event.v[0].present && event.v[2].present);
    json_decref(root);
    arena_fini(&scratch);
    json_decoder_free(&decoder);
    return 0;
}
