/*
 * Any text as an expression: it compiles and evaluates, on an event with all fields and on one with
 * none, or the error points into the text.
 */
#include <stdint.h>

#include "base/ensure.h"
#include "ingest/expr.h"

#define F(n, t, ...)                                                                               \
    {                                                                                              \
        .name = {n, sizeof(n) - 1}, .type = t, __VA_ARGS__                                         \
    }

static const struct slice types[] = {{"level", 5}, {"sold", 4}};

static const struct contract contract = {
    .stream = {"fuzz", 4},
    .n_fields = 7,
    .event_time = 4,
    .event_id = 6,
    .key = -1,
    .fields =
        {
            F("type", FIELD_STRING, .allowed = types, .n_allowed = 2),
            F("n", FIELD_INT, .has_min = true, .min = -5, .has_max = true, .max = INT64_MAX),
            F("amount", FIELD_DECIMAL, .digits = 2),
            F("ratio", FIELD_DECIMAL, .digits = 18),
            F("at", FIELD_TIME),
            F("flag", FIELD_BOOL),
            F("id", FIELD_STRING),
        },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct event none = {.contract = &contract};
    struct event full = {.contract = &contract,
        .v = {
            {true, 0, {"level", 5}},
            {true, INT64_MAX, {0}},
            {true, INT64_MIN, {0}},
            {true, 1, {0}},
            {true, 253402300799999, {0}},
            {true, 1, {0}},
            {true, 0, {"x", 1}},
        }};
    struct arena arena;
    struct err err = {0};
    struct field_value v;
    const struct expr *expr;
    int64_t min;
    arena_init(&arena, 1 << 20);
    if (expr_compile(slice_of(data, size), &contract, false, "fuzz", 1, 1, &arena, &expr, &err)) {
        enum expr_result result = expr_eval(expr, &full, &v);
        ensure(result != EXPR_ABSENT);
        if (result == EXPR_OK && expr_min(expr, &min))
            ensure(v.num >= min);
        expr_eval(expr, &none, &v);
        ensure(expr_digits(expr) >= 0 && expr_digits(expr) <= 18);
    } else {
        ensure(err.text[0] && err.col >= 1 && err.col <= (int)size + 1);
    }
    arena_fini(&arena);
    return 0;
}
