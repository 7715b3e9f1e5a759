/*
 * The business whose events the benchmarks read: orders that go through their lives, and around
 * them payments, reviews, couriers and fridges, as the five topics of larder.yml expect them.
 *
 *     of 100 events   45 orders  18 payments  2 reviews  20 couriers  15 fridges
 *     an order        placed, accepted, prepared, picked_up, delivered; one in eleven is cancelled
 *                     after accepted, one in forty rejected; authorized when placed, captured when
 *                     delivered; one delivery in four is reviewed
 *
 * Event time goes on evenly; an order is open for about half an hour (open_s), so that its events
 * lie far from each other. A record's timestamp is up to two seconds after the event's. Everything
 * follows from the seed.
 */
#ifndef BENCH_BUSINESS_H
#define BENCH_BUSINESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum topic { TOPIC_ORDERS, TOPIC_FRIDGES, TOPIC_REVIEWS, TOPIC_COURIERS, TOPIC_PAYMENTS, TOPICS };

/* "orders", ...; also the names of the streams. */
extern const char *const topic_names[TOPICS];
/* What Avro events of the topic are written with; its number in the registry is the topic's + 1. */
const char *topic_schema(enum topic topic);

struct business_options {
    uint64_t seed; /* not 0 */
    int64_t first_ms;
    uint64_t per_second; /* events, of event time */
    uint32_t open_s;     /* from placed to delivered, about; 0: 1800 */
    bool avro;           /* in Confluent's framing; else JSON of VALUE_BYTES */
    bool orders_only;
};

#define VALUE_BYTES 270
#define VALUE_MAX   512
#define KEY_MAX     32

struct business_event {
    enum topic topic;
    int64_t time_ms, timestamp_ms;
    uint64_t entity; /* number of the order, fridge or courier: what the key names */
    size_t key_len, value_len;
    char key[KEY_MAX], value[VALUE_MAX];
};

/* What a query must find. */
struct business_totals {
    uint64_t events, by_topic[TOPICS], bytes;
    uint64_t placed, delivered, cancelled, rejected, captured, amount; /* cents, of placed */
    int64_t last_ms;
};

struct business;

struct business *business_new(const struct business_options *options);
void business_free(struct business **business);
/* Memory that it takes. */
size_t business_bytes(const struct business *business);
void business_next(struct business *business, struct business_event *out);
const struct business_totals *business_totals(const struct business *business);

#endif
