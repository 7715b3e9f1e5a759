/*
 * Events per second of the JSON scanner on one core, on the 266-byte order event of 14 fields, and
 * what jansson needs for the same. Times are CPU times of this thread's process, so that neighbours
 * do not count.
 *
 *     build/bench/micro_json [events]
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/ensure.h"
#include "ingest/json_event.h"

#define F(n, t, ...)                                                                               \
    {                                                                                              \
        .name = {n, sizeof(n) - 1}, .type = t, __VA_ARGS__                                         \
    }

static const struct slice stages[] = {{"placed", 6}, {"accepted", 8}, {"rejected", 8},
    {"prepared", 8}, {"picked_up", 9}, {"delivered", 9}, {"cancelled", 9}};

static const struct contract orders = {
    .stream = {"orders", 6},
    .n_fields = 14,
    .event_time = 3,
    .event_id = 0,
    .key = 2,
    .fields =
        {
            F("event_id", FIELD_STRING, .required = true),
            F("type", FIELD_STRING, .required = true, .allowed = stages, .n_allowed = 7),
            F("order_id", FIELD_STRING, .required = true),
            F("occurred_at", FIELD_TIME, .required = true),
            F("market", FIELD_STRING, .required = true),
            F("store", FIELD_STRING),
            F("category", FIELD_STRING),
            F("channel", FIELD_STRING),
            F("items", FIELD_INT, .has_min = true, .min = 1),
            F("amount", FIELD_DECIMAL, .digits = 2, .has_min = true),
            F("promised_at", FIELD_TIME),
            F("courier", FIELD_STRING),
            F("reason", FIELD_STRING),
            F("customer", FIELD_STRING, .personal = true),
        },
};

static const char event[] =
    "{\"event_id\":\"018f3c2e7b1a4c5d\",\"type\":\"delivered\",\"order_id\":\"o-20261121-0048213\","
    "\"occurred_at\":\"2026-11-21T18:04:31.250Z\",\"market\":\"3\",\"store\":\"s-1845\","
    "\"category\":\"italian\",\"channel\":\"app\",\"items\":3,\"amount\":48.95,"
    "\"promised_at\":\"2026-11-21T18:10:00Z\",\"courier\":\"c-77\"}";

static double report(const char *what, long n, int64_t ns)
{
    double each = (double)ns / (double)n;
    printf("%-10s %8.1f ns/event %8.2f M events/s\n", what, each, 1e3 / each);
    return each;
}

int main(int argc, char **argv)
{
    long n = argc > 1 ? atol(argv[1]) : 2000000;
    struct slice payload = slice_from(event);
    struct json_decoder *decoder = json_decoder_new(&orders);
    struct arena scratch;
    struct event out;
    int64_t check = 0;
    arena_init(&scratch, 0);
    printf("event of %zu bytes\n", payload.len);
    int64_t start = clock_cpu_ns();
    for (long i = 0; i < n; i++) {
        ensure(json_decode(decoder, payload, &scratch, &out, NULL) == REFUSED_NOT);
        check += out.v[9].num;
    }
    report("scanner", n, clock_cpu_ns() - start);
    start = clock_cpu_ns();
    for (long i = 0; i < n / 20; i++) {
        json_t *root = json_loadb(payload.ptr, payload.len, JSON_REJECT_DUPLICATES, NULL);
        check += (int64_t)json_object_size(root);
        json_decref(root);
    }
    report("jansson", n / 20, clock_cpu_ns() - start);
    json_decoder_free(&decoder);
    arena_fini(&scratch);
    return check == 0;
}
