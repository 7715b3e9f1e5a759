/*
 * Whose topics are whose: a topic is of the stream that names it, or else of the first one with a
 * pattern for it. As the Kafka source decides, for those who know a topic by its name alone.
 */
#ifndef INGEST_STREAM_TOPICS_H
#define INGEST_STREAM_TOPICS_H

#include "ingest/rollup.h"

struct stream_topics;

/* The streams outlive it. */
struct stream_topics *stream_topics_new(const struct streams *streams);
void stream_topics_free(struct stream_topics **topics);

/* The stream of a partition, by its name as a source of the store, "topic/number"; -1: it is of
 * none, or no partition. */
int stream_topics_of(const struct stream_topics *topics, struct slice source);

#endif
