/*
 * Plays the model to the broker, in a thread of its own: the history as fast as the ingestion reads
 * it, then live, by the clock. Records carry their arrival as timestamp. It counts the truth, and
 * says that a minute is complete once the broker has acknowledged all of it.
 *
 *     model -> JSON -> partition by key -> librdkafka -> broker
 *                \-> truth
 *
 * The broker keeps DEMO_BROKER_KEEPS of each partition, so the producer never has more than
 * UNREAD_MAX bytes of a topic, uncompressed, before the reader: even all in one partition they fit.
 */
#ifndef CMD_DEMO_PRODUCER_H
#define CMD_DEMO_PRODUCER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "cmd/demo/demo_broker.h"
#include "cmd/demo/demo_model.h"

extern const struct demo_broker_topic demo_topics[DEMO_TOPICS];

struct demo_producer;

struct demo_producer_options {
    const char *brokers;
    struct demo_model_options model;
    const char *truth_path; /* NULL: none */
    /* How many records of each topic the reader has read. Called from the producer's thread. */
    void (*records_read)(void *ctx, uint64_t read[DEMO_TOPICS]);
    void *ctx;
};

struct demo_producer_progress {
    uint64_t produced, acknowledged;
    int64_t arrival_ms; /* of the last event */
    bool live;          /* the history is out */
    bool failed;        /* text says why; nothing more is produced */
    char text[256];
};

bool demo_producer_start(
    const struct demo_producer_options *options, struct demo_producer **out, struct err *err);
/* Thread-safe. */
void demo_producer_progress(struct demo_producer *producer, struct demo_producer_progress *out);
/* Waits for acknowledgements (at most 5 s), ends the truth, frees; last gets how far it came. False
 * when the truth is not whole. */
bool demo_producer_stop(
    struct demo_producer **producer, struct demo_producer_progress *last, struct err *err);

#endif
