/*
 * The demo's Kafka: librdkafka's mock cluster, one broker, in a process of its own, on random ports
 * of 127.0.0.1. It keeps everything in memory, the last 5 MiB (DEMO_BROKER_KEEPS) of each
 * partition: who produces must not be that far ahead of who reads.
 *
 * The process ends when demo_broker_stop is called and when its parent dies, however that happens.
 */
#ifndef CMD_DEMO_BROKER_H
#define CMD_DEMO_BROKER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define DEMO_BROKER_KEEPS (5u << 20) /* stored bytes per partition: compressed batches */

struct demo_broker;

struct demo_broker_topic {
    const char *name;
    int partitions;
};

/* Forks: call it before the process has threads. Returns when the broker listens and has the
 * topics. */
bool demo_broker_start(const struct demo_broker_topic *topics, size_t n_topics,
    struct demo_broker **out, struct err *err);
/* "127.0.0.1:12345", for bootstrap.servers. */
const char *demo_broker_addresses(const struct demo_broker *broker);
/* False when the process has ended by itself: somebody killed it. */
bool demo_broker_runs(struct demo_broker *broker);
void demo_broker_stop(struct demo_broker **broker);

#endif
