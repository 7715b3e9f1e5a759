/*
 * What the broker is asked for, waiting: which partitions there are, where their logs begin and
 * end. All of it is bounded in time, and tried again with the next look.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "ingest/lifecycle/lifecycle.h"
#include "ingest/source/kafka_source_priv.h"

/* One question about one log; others wait meanwhile. */
#define RANGE_MS 1000

struct look {
    struct kafka_source *s;
    int wait_ms;
    int64_t now_ms;
    partition_found_f *found;
    void *ctx;
    bool answered; /* false: no broker said anything, and none will for the next question */
};

/* ---- where logs begin and end ---- */

bool log_range(struct kafka_source *s, const struct partition *p, int wait_ms, int64_t *low,
    int64_t *high, struct err *err)
{
    rd_kafka_resp_err_t rc = rd_kafka_query_watermark_offsets(
        s->rk, s->topics[p->topic].name, p->id, low, high, wait_ms);
    if (rc == RD_KAFKA_RESP_ERR_NO_ERROR)
        return true;
    return err_set(err, ERR_UNAVAILABLE, "partition %s: the broker does not say where it ends: %s",
        p->name, rd_kafka_err2str(rc));
}

bool log_offset_at(struct kafka_source *s, const struct partition *p, int64_t time_ms, int wait_ms,
    int64_t *offset, struct err *err)
{
    int64_t low;
    if (!log_range(s, p, wait_ms, &low, offset, err))
        return false;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, s->topics[p->topic].name, p->id)->offset =
        time_ms > 0 ? time_ms : 0;
    rd_kafka_resp_err_t rc = rd_kafka_offsets_for_times(s->rk, list, wait_ms);
    rc = rc ? rc : list->elems[0].err;
    if (!rc && list->elems[0].offset >= 0)
        *offset = list->elems[0].offset;
    rd_kafka_topic_partition_list_destroy(list);
    return !rc ||
           err_set(err, ERR_UNAVAILABLE, "partition %s: the broker does not look for a time: %s",
               p->name, rd_kafka_err2str(rc));
}

/* ---- a position that is out of range ---- */

static void skip_hole(struct kafka_source *s, struct partition *p, int64_t low)
{
    log_error("kafka: partition %s: offsets %" PRId64 " to %" PRId64
              " are gone before they were read; they are skipped",
        p->name, p->next, low - 1);
    marks_hole(&p->marks, p->next, low);
    partition_move(s, p, low);
}

/* Where it was to go on is not in the log, or only what was read last is not there any more. */
static void judge_range(struct kafka_source *s, struct partition *p, int64_t low, int64_t high)
{
    const struct stream *stream = &s->streams->streams[p->stream];
    p->end = high;
    p->examined = false;
    s->changed = true;
    if (p->next > high)
        partition_halt(s, p, HALT_ANEW,
            "its log ends at %" PRId64 ", before its position: the topic was made anew or cut off",
            high);
    else if (p->next < low && stream->skip_out_of_range)
        skip_hole(s, p, low);
    else if (p->next < low)
        partition_halt(s, p, HALT_LOST,
            "offsets %" PRId64 " to %" PRId64 " are gone before they were read (retention)",
            p->next, low - 1);
    else if (p->marks.print.offset < low)
        p->marks.print = p->print_before = FINGERPRINT_NONE; /* retention has taken it */
    else
        log_info("kafka: partition %s: its position is in its log; it is read again", p->name);
}

static void examine(struct look *look)
{
    struct err err;
    int64_t low, high;
    for (size_t i = 0; i < look->s->n_partitions && look->answered; i++) {
        struct partition *p = look->s->partitions[i];
        if (!p->examined || lane_records(p->lane))
            continue;
        if (log_range(look->s, p, RANGE_MS, &low, &high, &err)) {
            judge_range(look->s, p, low, high);
            continue;
        }
        log_warn("kafka: %s; trying again", err.text);
        look->answered = false;
    }
}

/* ---- where a topic that was never read begins ---- */

static bool start_offset(
    struct look *look, const struct partition *p, int64_t *offset, struct err *err)
{
    const struct stream *stream = &look->s->streams->streams[p->stream];
    int64_t low;
    if (stream->start == START_TIME)
        return log_offset_at(look->s, p, stream->start_ms, RANGE_MS, offset, err);
    return log_range(look->s, p, RANGE_MS, &low, offset, err);
}

/* All of its partitions or none: they are committed together, so that after a crash none of them is
 * taken for one that has come later, and read from its beginning. */
static void start_topic(struct look *look, struct topic *topic)
{
    int64_t *offsets = xcalloc(topic->n + 1, sizeof *offsets);
    struct err err;
    bool any = false;
    for (size_t i = 0; i < topic->n && look->answered; i++) {
        const struct partition *p = topic->partitions[i];
        if (!p || !p->unstarted)
            continue;
        any = true;
        if (start_offset(look, p, &offsets[i], &err))
            continue;
        log_warn("kafka: %s; trying again", err.text);
        look->answered = false;
    }
    for (size_t i = 0; any && look->answered && i < topic->n; i++) {
        struct partition *p = topic->partitions[i];
        if (!p || !p->unstarted)
            continue;
        log_info("kafka: partition %s: begins at offset %" PRId64, p->name, offsets[i]);
        partition_move(look->s, p, offsets[i]);
    }
    free(offsets);
}

static void start_topics(struct look *look)
{
    for (size_t i = 0; i < look->s->n_topics && look->answered; i++)
        start_topic(look, &look->s->topics[i]);
}

/* Whether the topic begins where its stream's `start` says, and not at its beginning. What has come
 * after the first look is read whole, and so is what was sent anew. */
static bool begins_by_config(const struct kafka_source *s, const struct topic *topic)
{
    const struct stream *stream = &s->streams->streams[topic->stream];
    bool known = topic->by_pattern ? s->stream_read_before[topic->stream] || s->looked
                                   : topic->read_before || topic->came_later;
    return stream->start != START_EARLIEST && !known && !slice_is(stream->retry, topic->name);
}

/* ---- which partitions there are ---- */

static void lose(struct kafka_source *s, struct partition *p)
{
    if (p->halted || p->marks.given_up)
        return;
    partition_halt(s, p, HALT_GONE, "the broker does not have it any more: it was deleted");
}

static void find_again(struct kafka_source *s, struct partition *p)
{
    if (!partition_is_gone(p) && !p->marks.given_up)
        return;
    log_info("kafka: partition %s: it is there again", p->name);
    p->dirty |= p->marks.given_up;
    p->halted = p->marks.given_up = false;
    p->cause[0] = 0;
    partition_begin_anew(s, p);
}

static void topic_is_not_there(struct look *look, struct topic *topic)
{
    topic->came_later = !topic->listed;
    topic->count = 0;
    topic_trouble(topic, "does not exist on the broker");
    for (size_t i = 0; i < topic->n; i++)
        if (topic->partitions[i])
            lose(look->s, topic->partitions[i]);
}

static void list_topic(struct look *look, struct topic *topic, const rd_kafka_metadata_topic_t *md)
{
    bool first = !topic->listed, by_config = first && begins_by_config(look->s, topic);
    topic->count = md->partition_cnt;
    for (int i = 0; i < md->partition_cnt; i++) {
        int32_t id = md->partitions[i].id;
        if (topic_add_partition(look->s, topic, id, look->now_ms, look->found, look->ctx))
            topic->partitions[id]->unstarted = by_config && topic->partitions[id]->next < 0;
    }
    for (size_t i = 0; i < topic->n; i++) {
        if (topic->partitions[i] && (int64_t)i < md->partition_cnt)
            find_again(look->s, topic->partitions[i]);
        else if (topic->partitions[i])
            lose(look->s, topic->partitions[i]);
    }
    topic->listed = true;
    topic_trouble(topic, "");
}

/* md NULL: the broker does not name it. Returns whether it can be read. */
static bool hear_topic(struct look *look, struct topic *topic, const rd_kafka_metadata_topic_t *md)
{
    if (!md || md->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
        topic_is_not_there(look, topic);
        return topic->by_pattern;
    }
    if (md->err || md->partition_cnt <= 0) {
        topic_trouble(
            topic, md->err ? rd_kafka_err2str(md->err) : "the broker names no partitions of it");
        return false;
    }
    list_topic(look, topic, md);
    return true;
}

static bool ask(struct look *look, rd_kafka_topic_t *rkt, const struct rd_kafka_metadata **md,
    rd_kafka_resp_err_t *rc)
{
    *rc = rd_kafka_metadata(look->s->rk, !rkt, rkt, md, look->wait_ms);
    look->answered = *rc == RD_KAFKA_RESP_ERR_NO_ERROR;
    if (look->answered)
        broker_view_answered(look->s);
    return look->answered;
}

static bool look_at_topic(struct look *look, struct topic *topic)
{
    const struct rd_kafka_metadata *md;
    rd_kafka_resp_err_t rc;
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(look->s->rk, topic->name, NULL);
    if (!rkt) {
        topic_trouble(topic, "not a valid topic name");
        return false;
    }
    bool ok = ask(look, rkt, &md, &rc);
    rd_kafka_topic_destroy(rkt);
    if (!ok) {
        topic_trouble(topic, rd_kafka_err2str(rc));
        return false;
    }
    ok = md->topic_cnt == 1 && hear_topic(look, topic, &md->topics[0]);
    rd_kafka_metadata_destroy(md);
    return ok;
}

static const rd_kafka_metadata_topic_t *find_topic(
    const struct rd_kafka_metadata *md, const char *name)
{
    for (int i = 0; i < md->topic_cnt; i++)
        if (strcmp(md->topics[i].topic, name) == 0)
            return &md->topics[i];
    return NULL;
}

/* With patterns the broker is asked for everything that it has. */
static bool look_at_all(struct look *look)
{
    const struct rd_kafka_metadata *md;
    rd_kafka_resp_err_t rc;
    bool all = true;
    if (!ask(look, NULL, &md, &rc)) {
        snprintf(look->s->told, sizeof look->s->told, "topics: %s", rd_kafka_err2str(rc));
        return false;
    }
    look->s->told[0] = 0;
    for (int i = 0; i < md->topic_cnt; i++)
        topic_matched(look->s, md->topics[i].topic);
    for (size_t i = 0; i < look->s->n_topics; i++) {
        struct topic *topic = &look->s->topics[i];
        all = hear_topic(look, topic, find_topic(md, topic->name)) && all;
    }
    look->s->looked = true;
    rd_kafka_metadata_destroy(md);
    return all;
}

static bool look_at_each(struct look *look)
{
    bool all = true;
    for (size_t i = 0; i < look->s->n_topics && look->answered; i++)
        all = look_at_topic(look, &look->s->topics[i]) && all;
    return all;
}

/* ---- shards ---- */

/* Those that the lifecycle joins: a bit for each. */
static uint64_t streams_of(const struct lifecycle *lifecycle)
{
    uint64_t streams = 0;
    for (int i = 0; i < lifecycle->rules.n_stages; i++)
        streams |= UINT64_C(1) << lifecycle->stages[i].stream;
    return streams;
}

/* The topics of one lifecycle; *odd: one whose count differs from that of the first. */
static bool counts_are_equal(const struct kafka_source *s, uint64_t streams,
    const struct topic **first, const struct topic **odd)
{
    *first = *odd = NULL;
    for (size_t i = 0; i < s->n_topics; i++) {
        const struct topic *topic = &s->topics[i];
        if (!(streams >> topic->stream & 1) || topic->count == 0)
            continue;
        if (!*first)
            *first = topic;
        else if (topic->count != (*first)->count)
            *odd = topic;
    }
    return !*odd;
}

static void bar(struct kafka_source *s, uint64_t streams)
{
    for (size_t i = 0; i < s->n_topics; i++) {
        bool barred = streams >> s->topics[i].stream & 1;
        s->changed |= barred != s->topics[i].barred;
        s->topics[i].barred = barred;
    }
}

/* The events of one entity lie in partitions of one number only where the topics have equally many.
 */
static void check_shards(struct kafka_source *s)
{
    const struct topic *first, *odd;
    uint64_t barred = 0;
    char why[sizeof s->shard_trouble] = "";
    for (size_t i = 0; s->shard.of > 1 && i < s->streams->n_lifecycles; i++) {
        uint64_t streams = streams_of(&s->streams->lifecycles[i]);
        if (counts_are_equal(s, streams, &first, &odd))
            continue;
        barred |= streams;
        snprintf(why, sizeof why,
            "lifecycle %.*s: topic %s has %" PRId32 " partitions and %s has %" PRId32
            "; a sharded one needs equally many, and its topics are not read",
            SLICE_FMT(s->streams->lifecycles[i].name), first->name, first->count, odd->name,
            odd->count);
    }
    if (why[0] && strcmp(why, s->shard_trouble) != 0)
        log_error("kafka: %s", why);
    snprintf(s->shard_trouble, sizeof s->shard_trouble, "%s", why);
    bar(s, barred);
}

/* ---- the look ---- */

static void begin_again(struct kafka_source *s)
{
    s->restless = false;
    for (size_t i = 0; i < s->n_partitions; i++) {
        struct partition *p = s->partitions[i];
        if (p->resting && lane_records(p->lane) == 0) {
            p->resting = false;
            s->changed = true;
        }
        s->restless |= p->resting || p->examined || p->unstarted;
    }
}

bool kafka_source_discover(
    struct kafka_source *source, int wait_ms, int64_t now_ms, partition_found_f *found, void *ctx)
{
    struct look look = {source, wait_ms, now_ms, found, ctx, true};
    bool all = source->has_patterns ? look_at_all(&look) : look_at_each(&look);
    check_shards(source);
    start_topics(&look);
    examine(&look);
    begin_again(source);
    return all;
}

bool kafka_source_knows(const struct kafka_source *source, size_t stream)
{
    for (size_t i = 0; i < source->n_topics; i++)
        if (source->topics[i].stream == stream && !source->topics[i].listed &&
            !source->topics[i].by_pattern)
            return false;
    const struct stream *config = &source->streams->streams[stream];
    for (size_t i = 0; i < config->n_topics; i++)
        if (topic_is_pattern(config->topics[i]) && !source->looked)
            return false;
    return true;
}
