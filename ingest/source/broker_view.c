/* librdkafka's own view, twice a second: where the logs end, who leads them, which brokers answer.
 */
#include <inttypes.h>
#include <stdint.h>
#include <string.h>

#include <jansson.h>

#include "base/log.h"
#include "ingest/source/kafka_settings.h"
#include "ingest/source/kafka_source_priv.h"

#define STATS_BYTES_MAX (64u << 20)
/* A broker that has said nothing for so long is not known to have nothing more. Empty fetches come
 * back after fetch.wait.max.ms, half a second by default. */
#define SILENT_MS 5000

static int64_t int_of(const json_t *object, const char *key, int64_t absent)
{
    const json_t *v = json_object_get(object, key);
    return json_is_integer(v) ? (int64_t)json_integer_value(v) : absent;
}

/* How long the broker with this id has said nothing, in ms; -1: it is not connected, or silent for
 * too long. */
static int64_t broker_silent_ms(const json_t *brokers, int64_t id)
{
    const char *key;
    json_t *broker;
    if (id < 0) /* bootstrap addresses have no number yet */
        return -1;
    json_object_foreach((json_t *)(uintptr_t)brokers, key, broker)
    {
        if (int_of(broker, "nodeid", -1) != id)
            continue;
        const char *state = json_string_value(json_object_get(broker, "state"));
        int64_t idle = int_of(broker, "rxidle", INT64_MAX) / 1000;
        return state && strcmp(state, "UP") == 0 && idle < SILENT_MS ? idle : -1;
    }
    return -1;
}

/* Another leader may have less of the log than the one before, and another topic may bear the name:
 * the last record is compared again. */
static void hear_leader(struct kafka_source *s, struct partition *p, int64_t leader, int64_t end)
{
    bool other = p->leader >= 0 && leader >= 0 && leader != p->leader;
    bool shorter = end >= 0 && end < p->end;
    if (leader >= 0)
        p->leader = (int32_t)leader;
    if (!(other || shorter) || !p->reading || p->marks.print.offset < 0)
        return;
    log_info("kafka: partition %s: %s; its last record is read again and compared", p->name,
        shorter ? "its log has become shorter" : "it has another leader");
    partition_begin_anew(s, p);
}

/* Read to its end, as far as can be told. */
static bool is_at_end(const struct partition *p, const json_t *stats, int64_t silent_ms)
{
    const char *state = json_string_value(json_object_get(stats, "fetch_state"));
    return state && strcmp(state, "active") == 0 && p->reading && p->end >= 0 &&
           p->passed >= p->end && lane_records(p->lane) == 0 && silent_ms >= 0;
}

/* The record that is to be compared comes at once when it is there. When everything was fetched,
 * and nothing came from one time to the next, compaction has taken it. */
static bool still_verifying(struct partition *p, const json_t *stats)
{
    if (!p->verifying)
        return false;
    bool fetched = int_of(stats, "next_offset", -1) >= p->end;
    p->verifying = !(fetched && p->vain);
    p->vain = fetched;
    return p->verifying;
}

static void hear_partition(
    struct kafka_source *s, struct partition *p, const json_t *stats, const json_t *brokers)
{
    int64_t end = int_of(stats, "hi_offset", -1);
    hear_leader(s, p, int_of(stats, "leader", -1), end);
    if (end >= 0)
        p->end = end;
    /* Of a log that was never read we know that it is empty, or that nothing is left of it. */
    int64_t next = p->next >= 0 ? p->next : end == 0 ? 0 : int_of(stats, "lo_offset", -1);
    /* Transactions end in markers that are never delivered; librdkafka counts them as passed on, as
     * it counts what waits in the lane. */
    bool fetched = p->reading && !p->parked && !p->anew && lane_records(p->lane) == 0;
    int64_t passed = p->next >= 0 && fetched ? int_of(stats, "app_offset", -1) : -1;
    p->passed = passed > next ? passed : next;
    int64_t silent_ms = broker_silent_ms(brokers, int_of(stats, "broker", -1));
    p->caught_up = is_at_end(p, stats, silent_ms) && !still_verifying(p, stats);
    if (!p->caught_up)
        return;
    p->at_end_ms = lanes_now_ms(s->lanes);
    p->caught_up_ms = s->now_ms - silent_ms - KAFKA_STATS_MS;
    /* From now on its position is known: what retention removes later is missed, not skipped. */
    if (p->next < 0) {
        p->next = end;
        p->dirty = true;
    }
}

void broker_view_answered(struct kafka_source *s)
{
    if (s->connected)
        return;
    s->connected = true;
    s->trouble[0] = 0;
    log_info("kafka: connected");
}

static void hear_brokers(struct kafka_source *s, const json_t *brokers)
{
    bool alive = false;
    const char *name;
    json_t *broker;
    json_object_foreach((json_t *)(uintptr_t)brokers, name, broker)
    {
        const char *state = json_string_value(json_object_get(broker, "state"));
        alive = alive || (state && strcmp(state, "UP") == 0);
    }
    if (alive)
        broker_view_answered(s);
}

void broker_view_hear(struct kafka_source *s, const char *text, size_t len)
{
    json_error_t error;
    json_t *root = len <= STATS_BYTES_MAX ? json_loadb(text, len, 0, &error) : NULL;
    if (!root)
        return;
    const json_t *brokers = json_object_get(root, "brokers");
    const char *name, *number;
    json_t *topic, *part;
    json_object_foreach(json_object_get(root, "topics"), name, topic)
    {
        json_object_foreach(json_object_get(topic, "partitions"), number, part)
        {
            struct partition *p =
                topic_partition(topic_named(s, name), int_of(part, "partition", -1));
            if (p)
                hear_partition(s, p, part, brokers);
        }
    }
    hear_brokers(s, brokers);
    json_decref(root);
}
