/*
 * A contract with a field of each type, for the tests of the JSON decoder.
 */
#ifndef TESTS_INGEST_JSON_FIXTURE_H
#define TESTS_INGEST_JSON_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ingest/json_event.h"

enum { ID, TYPE, AT, N, AMOUNT, BIG, FLAG, NOTE, LONG_1, LONG_2, FIELDS };

#define F(n, t, ...)                                                                               \
    {                                                                                              \
        .name = {n, sizeof(n) - 1}, .type = t, __VA_ARGS__                                         \
    }

static const struct slice types[] = {
    {"placed", 6}, {"delivered", 9}, {"out for delivery", 16}, {"", 0}};

static const struct contract contract = {
    .stream = {"test", 4},
    .n_fields = FIELDS,
    .event_time = AT,
    .event_id = ID,
    .key = -1,
    .fields =
        {
            F("id", FIELD_STRING, .required = true),
            F("type", FIELD_STRING, .allowed = types, .n_allowed = 4),
            F("at", FIELD_TIME),
            F("n", FIELD_INT, .has_min = true, .min = -5, .has_max = true, .max = 1000),
            F("amount", FIELD_DECIMAL, .digits = 2),
            F("big", FIELD_INT),
            F("flag", FIELD_BOOL),
            F("note", FIELD_STRING),
            F("a_rather_long_name_1", FIELD_STRING),
            F("a_rather_long_name_2", FIELD_STRING),
        },
};

struct fixture {
    struct json_decoder *decoder;
    struct arena scratch;
    struct event event;
    int field;
};

static inline int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->decoder = json_decoder_new(&contract);
    arena_init(&f->scratch, 256u << 10);
    *state = f;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *f = *state;
    json_decoder_free(&f->decoder);
    arena_fini(&f->scratch);
    free(f);
    return 0;
}

/* The bytes are copied to a block of exactly their size, so that AddressSanitizer sees an overrun.
 */
static inline enum refusal decode(struct fixture *f, const char *text, size_t len)
{
    static char *block;
    free(block);
    block = malloc(len ? len : 1);
    if (len)
        memcpy(block, text, len);
    arena_reset(&f->scratch);
    return json_decode(f->decoder, slice_of(block, len), &f->scratch, &f->event, &f->field);
}

static inline enum refusal decode_text(struct fixture *f, const char *text)
{
    return decode(f, text, strlen(text));
}

#endif
