/*
 * A whole server on a mock broker, in a folder of its own: topics "orders" (3 partitions) and
 * "audits" (1). Its config is a line for the broker and what a test says.
 */
#ifndef TESTS_CMD_SUPPORT_RUNNING_H
#define TESTS_CMD_SUPPORT_RUNNING_H

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "base/buf.h"
#include "cmd/service.h"

#define RUNNING_T0 INT64_C(1700000000000) /* the time of the first event */

struct running {
    char folder[64], file[96], url[64];
    rd_kafka_t *host, *producer;
    rd_kafka_mock_cluster_t *cluster;
    struct config config;
    struct service *service;
    int sent;
};

/* text: streams, lifecycles and rollups, as YAML. */
void running_open(struct running *r, const char *text);
void running_close(struct running *r);
/* What is in the file from now on; a reload takes it over. */
void running_write(struct running *r, const char *text);
/* Ends the server and starts it again, with the file as it is. */
void running_restart(struct running *r);

/* n events {"id", "at", "market"}, a millisecond after each other. */
void running_produce(struct running *r, const char *topic, int n);
/* One event, as it is. */
void running_send(struct running *r, const char *topic, int64_t timestamp_ms, const char *json);

/* POSTs to the path; the answer's body is in *out, which is cleared. Returns the status. */
long running_post(struct running *r, const char *path, const char *form, struct buf *out);
/* What an instant query an hour after T0 answers first; -1: nothing. */
int running_total(struct running *r, const char *query);
/* Waits until it is that. */
void running_await(struct running *r, const char *query, int want);
/* Of /metrics; -1: it is not there. */
double running_metric(struct running *r, const char *name);

#endif
