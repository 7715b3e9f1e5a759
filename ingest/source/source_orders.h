/*
 * What an operator's request does to the partitions of a source. It changes them in memory; they
 * are dirty then, and whoever calls commits them before it answers.
 */
#ifndef INGEST_SOURCE_ORDERS_H
#define INGEST_SOURCE_ORDERS_H

#include "ingest/kafka_source.h"
#include "ingest/source/source_request.h"

/* Called while nothing is open: what has come and was not taken in is dropped of those that change.
 * May wait for a broker, some seconds. ERR_NOT_FOUND: no such partition; ERR_INVALID: it cannot be
 * done so; ERR_UNAVAILABLE: the broker does not answer; then nothing has changed. */
bool source_orders_do(struct kafka_source *source, const struct source_request *request,
    struct arena *arena, struct source_answer *answer, struct err *err);

#endif
