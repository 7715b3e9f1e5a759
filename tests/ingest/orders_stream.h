/* A small stream of orders with three rollups, for the tests of the ingestion. */
#ifndef TESTS_ORDERS_STREAM_H
#define TESTS_ORDERS_STREAM_H

#include <stdlib.h>

#include "ingest/rollup.h"

enum { F_EVENT_ID, F_TYPE, F_AT, F_MARKET, F_AMOUNT, F_PROMISED, F_COUNT };

struct orders {
    struct arena arena;
    struct slice topic;
    struct stream stream;
    struct rollup rollups[3];
    struct streams streams;
};

static inline const struct expr *orders_expr(struct orders *o, const char *text, bool label)
{
    const struct expr *e;
    struct err err = {0};
    if (!expr_compile(
            slice_from(text), &o->stream.contract, label, "test", 1, 1, &o->arena, &e, &err))
        abort();
    return e;
}

static inline void orders_init(struct orders *o, const char *topic)
{
    struct contract *c = &o->stream.contract;
    *o = (struct orders){.topic = slice_from(topic)};
    arena_init(&o->arena, 0);
    c->stream = SLICE("orders");
    c->n_fields = F_COUNT;
    c->fields[F_EVENT_ID] =
        (struct field){.name = SLICE("event_id"), .type = FIELD_STRING, .required = true};
    c->fields[F_TYPE] =
        (struct field){.name = SLICE("type"), .type = FIELD_STRING, .required = true};
    c->fields[F_AT] =
        (struct field){.name = SLICE("occurred_at"), .type = FIELD_TIME, .required = true};
    c->fields[F_MARKET] =
        (struct field){.name = SLICE("market"), .type = FIELD_STRING, .required = true};
    c->fields[F_AMOUNT] =
        (struct field){.name = SLICE("amount"), .type = FIELD_DECIMAL, .digits = 2};
    c->fields[F_PROMISED] = (struct field){.name = SLICE("promised_at"), .type = FIELD_TIME};
    c->event_time = F_AT;
    c->event_id = F_EVENT_ID;
    c->key = -1;
    c->late_ms = 24 * 3600000;
    c->ahead_ms = 300000;
    o->stream.name = SLICE("orders");
    o->stream.topics = &o->topic;
    o->stream.n_topics = 1;
    o->stream.horizon_clock = SLICE("orders/horizon");
    o->stream.watermark_bound_ms = 300000;
    o->stream.idle_after_ms = 30000;
    o->rollups[0] = (struct rollup){.def = {.name = SLICE("orders_total"),
                                        .kind = KIND_COUNTER,
                                        .every_ms = 5000,
                                        .stale_after_ms = 3600000,
                                        .clock = SLICE("orders")},
        .labels = {{.name = SLICE("market"), .value = orders_expr(o, "market", true)},
            {.name = SLICE("stage"), .value = orders_expr(o, "type", true)}},
        .n_labels = 2};
    o->rollups[1] = (struct rollup){.def = {.name = SLICE("eta_error_seconds"),
                                        .kind = KIND_HISTOGRAM,
                                        .digits = 3,
                                        .schema = 5,
                                        .every_ms = 5000,
                                        .stale_after_ms = 3600000,
                                        .clock = SLICE("orders")},
        .when = orders_expr(o, "type == \"delivered\"", false),
        .value = orders_expr(o, "occurred_at - promised_at", false),
        .labels = {{.name = SLICE("market"), .value = orders_expr(o, "market", true)}},
        .n_labels = 1};
    o->rollups[2] = (struct rollup){.def = {.name = SLICE("order_amount_last"),
                                        .kind = KIND_GAUGE,
                                        .digits = 2,
                                        .every_ms = 5000,
                                        .stale_after_ms = 3600000,
                                        .clock = SLICE("orders")},
        .value = orders_expr(o, "amount", false),
        .labels = {{.name = SLICE("market"), .value = orders_expr(o, "market", true)}},
        .n_labels = 1};
    o->streams = (struct streams){
        .streams = &o->stream, .n_streams = 1, .rollups = o->rollups, .n_rollups = 3};
}

static inline void orders_fini(struct orders *o)
{
    arena_fini(&o->arena);
}

#endif
