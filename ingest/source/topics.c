#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "ingest/source/kafka_source_priv.h"

struct topic *topic_named(const struct kafka_source *s, const char *name)
{
    for (size_t i = 0; i < s->n_topics; i++)
        if (strcmp(s->topics[i].name, name) == 0)
            return &s->topics[i];
    return NULL;
}

struct partition *topic_partition(const struct topic *topic, int64_t id)
{
    return topic && id >= 0 && (uint64_t)id < topic->n ? topic->partitions[id] : NULL;
}

static struct topic *add_topic(struct kafka_source *s, struct slice name, size_t stream)
{
    GROW(s->topics, s->topics_cap, s->n_topics + 1);
    struct topic *topic = &s->topics[s->n_topics++];
    *topic = (struct topic){.name = xstrndup(name.ptr, name.len), .stream = stream};
    return topic;
}

void topics_init(struct kafka_source *s)
{
    s->names = stream_topics_new(s->streams);
    s->stream_read_before = xcalloc(s->streams->n_streams + 1, sizeof *s->stream_read_before);
    for (size_t i = 0; i < s->streams->n_streams; i++) {
        const struct stream *stream = &s->streams->streams[i];
        for (size_t k = 0; k < stream->n_topics; k++) {
            if (topic_is_pattern(stream->topics[k]))
                s->has_patterns = true;
            else
                add_topic(s, stream->topics[k], i);
        }
    }
}

void topics_fini(struct kafka_source *s)
{
    for (size_t i = 0; i < s->n_topics; i++) {
        free(s->topics[i].name);
        free(s->topics[i].partitions);
    }
    for (size_t i = 0; i < s->n_partitions; i++)
        free(s->partitions[i]);
    free(s->topics);
    free(s->partitions);
    free(s->stream_read_before);
    stream_topics_free(&s->names);
}

struct topic *topic_matched(struct kafka_source *s, const char *name)
{
    bool by_pattern;
    struct topic *topic = topic_named(s, name);
    int stream = topic ? -1 : stream_topics_find(s->names, slice_from(name), &by_pattern);
    if (stream < 0)
        return topic;
    topic = add_topic(s, slice_from(name), (size_t)stream);
    topic->by_pattern = by_pattern;
    return topic;
}

void topic_trouble(struct topic *topic, const char *text)
{
    if (strcmp(topic->trouble, text) == 0)
        return;
    snprintf(topic->trouble, sizeof topic->trouble, "%s", text);
    if (text[0])
        log_warn("kafka: topic %s: %s; trying again", topic->name, text);
    else
        log_info("kafka: topic %s: %" PRId32 " partitions", topic->name, topic->count);
}

static bool is_ours(const struct kafka_source *s, int32_t id)
{
    return s->shard.of == 0 || (uint32_t)id % s->shard.of == s->shard.number - 1;
}

static size_t count_given_up(const struct kafka_source *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_partitions; i++)
        n += s->partitions[i]->marks.given_up;
    return n;
}

static bool is_crowded(struct kafka_source *s, const struct topic *topic, int32_t id)
{
    if (s->n_partitions < PARTITIONS_MAX || s->n_partitions - count_given_up(s) < PARTITIONS_MAX)
        return false;
    if (!s->crowded)
        log_error("kafka: partition %s/%" PRId32 " and others are not read: at most %d are",
            topic->name, id, PARTITIONS_MAX);
    s->crowded = true;
    return true;
}

bool topic_add_partition(struct kafka_source *s, struct topic *topic, int32_t id, int64_t now_ms,
    partition_found_f *found, void *ctx)
{
    if (id < 0 || id > PARTITION_NUMBER_MAX || !is_ours(s, id) || topic_partition(topic, id) ||
        is_crowded(s, topic, id))
        return false;
    size_t n = (size_t)id + 1;
    if (n > topic->n) {
        GROW(topic->partitions, topic->cap, n);
        memset(topic->partitions + topic->n, 0, (n - topic->n) * sizeof *topic->partitions);
        topic->n = n;
    }
    struct partition *p = xcalloc(1, sizeof *p);
    p->stream = topic->stream;
    p->topic = (size_t)(topic - s->topics);
    p->id = id;
    p->retried = slice_is(s->streams->streams[topic->stream].retry, topic->name);
    p->next = p->end = p->committed = p->passed = p->first = p->stop_at = -1;
    p->leader = -1;
    p->newest_ms = INT64_MIN;
    p->quiet_ms = now_ms;
    marks_init(&p->marks);
    snprintf(p->name, sizeof p->name, "%s/%" PRId32, topic->name, id);
    found(ctx, p);
    p->committed = p->passed = p->next;
    p->print_before = p->marks.print;
    p->lane = lanes_add(s->lanes, p);
    topic->partitions[id] = p;
    GROW(s->partitions, s->partitions_cap, s->n_partitions + 1);
    s->partitions[s->n_partitions++] = p;
    s->changed = true;
    return true;
}

void kafka_source_recall(struct kafka_source *source, struct slice name, int64_t now_ms,
    partition_found_f *found, void *ctx)
{
    struct slice name_of;
    char text[PARTITION_NAME_MAX];
    int32_t id;
    if (name.len >= sizeof text || !partition_name_split(name, &name_of, &id))
        return;
    snprintf(text, sizeof text, "%.*s", SLICE_FMT(name_of));
    struct topic *topic = topic_matched(source, text);
    if (!topic)
        return;
    topic->read_before = source->stream_read_before[topic->stream] = true;
    topic_add_partition(source, topic, id, now_ms, found, ctx);
}
