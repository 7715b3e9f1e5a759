/*
 * Whose topics are whose: a topic is of the stream that names it, or else of the first one with a
 * pattern for it; names that Kafka keeps for itself are of those alone who name them. A pattern is
 * matched against whole names, as if it ended in '$'; one that is none wants nothing.
 */
#ifndef INGEST_STREAM_TOPICS_H
#define INGEST_STREAM_TOPICS_H

#include "ingest/rollup.h"

struct stream_topics;

/* The streams outlive it. */
struct stream_topics *stream_topics_new(const struct streams *streams);
void stream_topics_free(struct stream_topics **topics);

/* Which stream reads the topic; -1: none. *by_pattern: none names it. */
int stream_topics_find(const struct stream_topics *topics, struct slice topic, bool *by_pattern);

/* The stream of a partition, by its name as a source of the store; -1: it is of none, or no
 * partition. */
int stream_topics_of(const struct stream_topics *topics, struct slice source);

#endif
