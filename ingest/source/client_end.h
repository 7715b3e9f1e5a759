/*
 * The end of a Kafka client, in bounded time. librdkafka 2.0 keeps a reference to the broker of
 * each partition whose topic was deleted while it was known, and then waits for itself for ever.
 */
#ifndef INGEST_CLIENT_END_H
#define INGEST_CLIENT_END_H

#include <librdkafka/rdkafka.h>

/* Takes rk over. A client that has not ended within wait_ms is left behind, with its threads, until
 * the process ends: its callbacks but the logger's are not called any more, since nobody polls. */
void client_end(rd_kafka_t *rk, int wait_ms);

#endif
