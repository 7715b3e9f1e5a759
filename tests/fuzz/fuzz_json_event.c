/*
 * The event scanner on any bytes: it must come to what the oracle comes to, the same reason of
 * refusal at the same field, or the same values.
 */
#include <stdint.h>

#include "tests/ingest/json_oracle.h"

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
    struct slice payload = slice_of(data, size);
    struct oracle oracle;
    struct arena scratch;
    struct event event;
    const char *why;
    int field;
    arena_init(&scratch, 256u << 10);
    enum refusal refusal = json_decode(decoder, payload, &scratch, &event, &field);
    ensure(field >= -1 && field < (int)contract.n_fields);
    oracle_ask(&oracle, &contract, payload.ptr, payload.len);
    ensure(oracle.silent || oracle_agrees(&oracle, refusal, &event, field, &why));
    json_decref(oracle.root);
    arena_fini(&scratch);
    json_decoder_free(&decoder);
    return 0;
}
