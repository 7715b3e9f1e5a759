/*
 * The demo's events as Kafka records: topic, key and a JSON value, in the shapes that the shipped
 * larder.yml declares. Orders, fridges, reviews and payments write their time with their market's
 * offset, couriers' devices in milliseconds.
 */
#ifndef CMD_DEMO_JSON_H
#define CMD_DEMO_JSON_H

#include "base/buf.h"
#include "cmd/demo/demo_event.h"

/* "orders", "fridges", ... */
const char *demo_topic_name(enum demo_topic topic);
/* "placed", ...; "level", ...; "authorized", ... */
const char *demo_stage_name(int stage);
const char *demo_fridge_event_name(int type);
const char *demo_payment_name(int status);

/* The reason for which ingest refuses an event with this defect; NULL when it is sound. */
const char *demo_defect_refusal(enum demo_defect defect);

/* Appends to both. seed makes event ids differ from run to run. */
void demo_json_write(
    const struct demo_event *event, uint64_t seed, struct buf *key, struct buf *value);

#endif
