/*
 * One event of the demo's business, before it becomes text: what happened, to what, when, and when
 * it reached the broker. demo_json.h writes it; demo_truth.h counts it.
 */
#ifndef CMD_DEMO_EVENT_H
#define CMD_DEMO_EVENT_H

#include <stdbool.h>
#include <stdint.h>

enum demo_topic {
    DEMO_ORDERS,
    DEMO_FRIDGES,
    DEMO_REVIEWS,
    DEMO_COURIERS,
    DEMO_PAYMENTS,
    DEMO_TOPICS,
};

enum demo_stage {
    DEMO_PLACED,
    DEMO_ACCEPTED,
    DEMO_REJECTED,
    DEMO_PREPARED,
    DEMO_PICKED_UP,
    DEMO_DELIVERED,
    DEMO_CANCELLED,
    DEMO_STAGES,
};

enum demo_fridge_event {
    DEMO_LEVEL,
    DEMO_RESTOCKED,
    DEMO_SOLD,
    DEMO_EXPIRED,
    DEMO_REMOVED,
    DEMO_TEMPERATURE,
    DEMO_DOOR,
    DEMO_FRIDGE_EVENTS,
};

enum demo_payment {
    DEMO_AUTHORIZED,
    DEMO_CAPTURED,
    DEMO_FAILED,
    DEMO_REFUNDED,
    DEMO_PAYMENT_STATUSES,
};

/* What is wrong with an event that is to be refused. */
enum demo_defect {
    DEMO_SOUND,
    DEMO_CUT,         /* the JSON ends in the middle: malformed */
    DEMO_NO_MARKET,   /* missing */
    DEMO_WRONG_TYPE,  /* a number that is words: type */
    DEMO_OFF_SCALE,   /* a number out of its bounds, such as a score of 9: range */
    DEMO_UNKNOWN,     /* a type or status that nobody declared: not_allowed */
    DEMO_TOO_LATE,    /* more than 24 h: late */
    DEMO_FROM_FUTURE, /* more than 5 min: ahead */
    DEMO_DEFECTS,
};

enum demo_reason {
    DEMO_NO_REASON,
    DEMO_KITCHEN_BUSY,
    DEMO_OUT_OF_STOCK,
    DEMO_PAYMENT_FAILED,
    DEMO_CUSTOMER,
    DEMO_NO_COURIER,
    DEMO_REASONS,
};

struct demo_event {
    int64_t time_ms;    /* when it happened */
    int64_t arrival_ms; /* when it was sent: the record's timestamp */
    uint64_t number;    /* event id: two records with one number are the same event twice */
    uint64_t order;
    int64_t promised_ms;
    int32_t amount_cents;
    int32_t lat_micro, lon_micro;
    int32_t eta_seconds;
    int32_t milli_celsius;
    uint32_t courier, customer;
    uint16_t store, fridge;
    uint16_t units, level, capacity;
    int16_t sentiment_milli;
    uint8_t topic, type; /* enum demo_topic; its stage, fridge event or payment status */
    uint8_t market, category, channel, items, sku;
    uint8_t score, nps;
    uint8_t reason, defect;
    bool again; /* a second sending of an event that was sent before */
};

#endif
