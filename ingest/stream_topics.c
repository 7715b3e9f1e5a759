#include "ingest/stream_topics.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/regex.h"
#include "ingest/partition.h"

struct pattern {
    size_t stream;
    struct regex *regex;
};

struct stream_topics {
    const struct streams *streams;
    struct pattern *patterns;
    size_t n_patterns, cap;
};

static void add_pattern(struct stream_topics *t, struct slice text, size_t stream)
{
    struct regex *regex;
    struct err err;
    if (!regex_new(slice_of(text.ptr + 1, text.len - 1), &regex, &err))
        return;
    GROW(t->patterns, t->cap, t->n_patterns + 1);
    t->patterns[t->n_patterns++] = (struct pattern){stream, regex};
}

struct stream_topics *stream_topics_new(const struct streams *streams)
{
    struct stream_topics *t = xcalloc(1, sizeof *t);
    t->streams = streams;
    for (size_t s = 0; s < streams->n_streams; s++)
        for (size_t i = 0; i < streams->streams[s].n_topics; i++)
            if (topic_is_pattern(streams->streams[s].topics[i]))
                add_pattern(t, streams->streams[s].topics[i], s);
    return t;
}

void stream_topics_free(struct stream_topics **topics)
{
    struct stream_topics *t = *topics;
    *topics = NULL;
    if (!t)
        return;
    for (size_t i = 0; i < t->n_patterns; i++)
        regex_free(&t->patterns[i].regex);
    free(t->patterns);
    free(t);
}

static int stream_that_names(const struct streams *streams, struct slice topic)
{
    for (size_t s = 0; s < streams->n_streams; s++)
        for (size_t i = 0; i < streams->streams[s].n_topics; i++)
            if (slice_eq(streams->streams[s].topics[i], topic))
                return (int)s;
    return -1;
}

/* Kafka keeps names that begin so for itself. */
#define INTERNAL "__"

int stream_topics_find(const struct stream_topics *topics, struct slice topic, bool *by_pattern)
{
    int stream = stream_that_names(topics->streams, topic);
    *by_pattern = stream < 0;
    if (stream >= 0 || slice_starts(topic, SLICE(INTERNAL)))
        return stream;
    for (size_t i = 0; i < topics->n_patterns; i++)
        if (regex_match(topics->patterns[i].regex, topic))
            return (int)topics->patterns[i].stream;
    return -1;
}

int stream_topics_of(const struct stream_topics *topics, struct slice source)
{
    struct slice topic;
    int32_t id;
    bool by_pattern;
    return partition_name_split(source, &topic, &id)
               ? stream_topics_find(topics, topic, &by_pattern)
               : -1;
}
