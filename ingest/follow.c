#include "ingest/follow.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/source_names.h"

#define FIRST    "first/"
#define QUIET_MS 2000

/* ---- positions ---- */

static int64_t position_of(struct store *store, struct slice name)
{
    struct source_state state;
    return store_source(store, name, &state) && state.next > 0 ? state.next : 0;
}

/* Nobody reads it any more, here or there. */
static bool is_given_up(struct store *followed, struct slice name)
{
    struct source_state state;
    struct partition p;
    return store_source(followed, name, &state) &&
           partition_decode(slice_of(state.state, state.state_len), &p) && p.marks.given_up;
}

static bool takes(struct store *followed, const struct kafka_record *record)
{
    struct partition *p = record->partition;
    if (!p->parked && record->offset >= p->until)
        p->until = position_of(followed, slice_from(p->name));
    if (!p->ahead && !p->parked && record->offset >= p->until) {
        p->ahead = true;
        p->stop_at = record->offset;
    }
    if (p->ahead)
        return false;
    if (p->first < 0) {
        p->first = record->offset;
        p->first_ms = record->timestamp_ms;
    }
    return true;
}

size_t follow_takes(struct store *followed, struct kafka_record *records, size_t n)
{
    size_t left = 0;
    for (size_t i = 0; i < n; i++)
        if (takes(followed, &records[i]))
            records[left++] = records[i];
    return left;
}

/* One that waits at an earlier record already comes by this one again. */
void follow_stop(struct kafka_source *source)
{
    struct partition *const *all;
    size_t n = kafka_source_partitions(source, &all);
    for (size_t i = 0; i < n; i++) {
        struct partition *p = all[i];
        if (!p->ahead || p->stop_at < 0)
            continue;
        if (p->parked)
            p->ahead = false;
        else
            kafka_source_park(source, p, p->stop_at, "it has read all that is counted already");
        p->stop_at = -1;
    }
}

void follow_resume(struct store *followed, struct kafka_source *source, int64_t now_ms)
{
    struct partition *const *all;
    size_t n = kafka_source_partitions(source, &all);
    for (size_t i = 0; i < n; i++) {
        struct partition *p = all[i];
        if (!p->ahead || (p->until = position_of(followed, slice_from(p->name))) <= p->next)
            continue;
        p->ahead = false;
        p->quiet_ms = now_ms;
        kafka_source_unpark(source, p);
    }
}

/* ---- how far it is behind ---- */

/* Where no record comes up to the other's position, since it was moved there, say, librdkafka's
 * word is taken, once it is old enough. */
static int64_t passed_by(const struct partition *p, int64_t now_ms)
{
    bool settled = p->reading && !p->parked && !p->anew && now_ms - p->quiet_ms >= QUIET_MS;
    int64_t passed = settled && p->passed > p->next ? p->passed : p->next;
    return passed > 0 ? passed : 0;
}

static int64_t partition_behind(
    struct kafka_source *source, struct slice name, int64_t position, int64_t now_ms)
{
    struct partition *const *all;
    size_t n = kafka_source_partitions(source, &all);
    for (size_t i = 0; i < n; i++)
        if (slice_eq(slice_from(all[i]->name), name))
            position -= passed_by(all[i], now_ms);
    return position > 0 ? position : 0;
}

int64_t follow_behind(struct store *followed, struct kafka_source *source,
    const struct stream_topics *topics, size_t stream, int64_t now_ms)
{
    struct source_names names;
    int64_t behind = 0;
    source_names_read(followed, SLICE(""), &names);
    for (size_t i = 0; i < names.n; i++) {
        int64_t position = position_of(followed, names.items[i]);
        if (stream_topics_of(topics, names.items[i]) == (int)stream &&
            !is_given_up(followed, names.items[i]))
            behind += partition_behind(source, names.items[i], position, now_ms);
    }
    source_names_free(&names);
    return kafka_source_knows(source, stream) ? behind : INT64_MAX;
}

/* ---- clocks ---- */

void follow_clocks(struct store *followed, const struct stream *stream, bool level,
    int64_t *frontier_ms, int64_t *watermark_ms)
{
    int64_t frontier, watermark;
    if (!store_clock(followed, stream->name, &frontier, &watermark))
        frontier = watermark = INT64_MIN;
    if (level || frontier < *frontier_ms)
        *frontier_ms = frontier;
    if (level || watermark < *watermark_ms)
        *watermark_ms = watermark;
}

/* ---- first records ---- */

struct first_name {
    char text[PARTITION_NAME_MAX + sizeof FIRST];
};

static struct slice first_name(struct slice partition, struct first_name *out)
{
    snprintf(out->text, sizeof out->text, FIRST "%.*s", SLICE_FMT(partition));
    return slice_from(out->text);
}

void follow_recall(struct store *store, struct partition *partition)
{
    struct first_name name;
    struct source_state state;
    if (!store_source(store, first_name(slice_from(partition->name), &name), &state))
        return;
    partition->first = state.next;
    partition->first_ms = state.newest_ms;
}

void follow_write(const struct partition *partition, struct txn *txn)
{
    struct first_name name;
    if (partition->first >= 0)
        txn_source(txn, first_name(slice_from(partition->name), &name), partition->first,
            partition->first_ms, SLICE(""));
}

static bool first_of(struct store *store, struct slice partition, struct source_state *out)
{
    struct first_name name;
    return store_source(store, first_name(partition, &name), out);
}

/* An event lies at most `ahead` after its record. Of a log that has nothing left, what was read of
 * it is lost. */
static int64_t lost_until(const struct stream *stream, bool found, const struct source_state *first,
    const struct source_state *read)
{
    int64_t ms;
    if (read->next <= 0 || (found && first->next == 0))
        return INT64_MIN;
    if (!found)
        return read->newest_ms;
    bool over = __builtin_add_overflow(first->newest_ms, stream->contract.ahead_ms, &ms);
    return over ? INT64_MAX : ms;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

struct follow_span follow_span_of(
    struct store *store, struct store *followed, const struct streams *streams)
{
    struct follow_span span = {INT64_MIN, INT64_MIN};
    struct stream_topics *topics = stream_topics_new(streams);
    struct source_state first, read;
    struct source_names names;
    source_names_read(followed, SLICE(""), &names);
    for (size_t i = 0; i < names.n; i++) {
        int stream = stream_topics_of(topics, names.items[i]);
        if (stream < 0 || !store_source(followed, names.items[i], &read))
            continue;
        bool found = first_of(store, names.items[i], &first);
        span.whole_after_ms =
            later(span.whole_after_ms, lost_until(&streams->streams[stream], found, &first, &read));
        span.newest_ms = later(span.newest_ms, read.newest_ms);
    }
    source_names_free(&names);
    stream_topics_free(&topics);
    return span;
}

void follow_progress(struct store *store, struct store *followed, const struct streams *streams,
    uint64_t *done, uint64_t *all)
{
    struct stream_topics *topics = stream_topics_new(streams);
    struct source_names names;
    struct source_state first;
    *done = *all = 0;
    source_names_read(followed, SLICE(""), &names);
    for (size_t i = 0; i < names.n; i++) {
        if (stream_topics_of(topics, names.items[i]) < 0 || is_given_up(followed, names.items[i]))
            continue;
        int64_t begin = first_of(store, names.items[i], &first) ? first.next : 0;
        int64_t end = position_of(followed, names.items[i]),
                at = position_of(store, names.items[i]);
        *all += end > begin ? (uint64_t)(end - begin) : 0;
        *done += at > begin ? (uint64_t)(at - begin) : 0;
    }
    source_names_free(&names);
    stream_topics_free(&topics);
}
