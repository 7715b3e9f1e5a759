/*
 * The positions that were committed, told to the broker as offsets of the group, for lag tools.
 * Told by the request of administrators: librdkafka 2.0 never ends a consumer whose own commit
 * waits for the group's coordinator. One request is under way at a time.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "ingest/source/kafka_source_priv.h"

#define TELL_MS 5000

static void fail(struct kafka_source *s, const char *text)
{
    if (strcmp(s->hint_trouble, text) != 0)
        log_warn(
            "kafka: positions are not told to the broker, lag tools do not see them: %s", text);
    snprintf(s->hint_trouble, sizeof s->hint_trouble, "%s", text);
}

/* Of a topic that was deleted a moment ago, say. */
static const char *partition_error(const rd_kafka_topic_partition_list_t *list)
{
    for (int i = 0; list && i < list->cnt; i++)
        if (list->elems[i].err)
            return rd_kafka_err2str(list->elems[i].err);
    return NULL;
}

static void hear_result(struct kafka_source *s, rd_kafka_event_t *event)
{
    const rd_kafka_AlterConsumerGroupOffsets_result_t *result =
        rd_kafka_event_AlterConsumerGroupOffsets_result(event);
    size_t n = 0;
    const rd_kafka_group_result_t **groups =
        result ? rd_kafka_AlterConsumerGroupOffsets_result_groups(result, &n) : NULL;
    const char *text = NULL;
    if (rd_kafka_event_error(event))
        text = rd_kafka_event_error_string(event);
    else if (n && rd_kafka_group_result_error(groups[0]))
        text = rd_kafka_error_string(rd_kafka_group_result_error(groups[0]));
    else if (n)
        text = partition_error(rd_kafka_group_result_partitions(groups[0]));
    if (text)
        fail(s, text);
    else
        s->hint_trouble[0] = 0;
}

/* Whether nothing is under way. */
static bool is_told(struct kafka_source *s, int wait_ms)
{
    rd_kafka_event_t *event = s->hinting ? rd_kafka_queue_poll(s->hints, wait_ms) : NULL;
    if (event) {
        hear_result(s, event);
        rd_kafka_event_destroy(event);
        s->hinting = false;
    }
    return !s->hinting;
}

static rd_kafka_topic_partition_list_t *committed_positions(const struct kafka_source *s)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)s->n_partitions);
    for (size_t i = 0; i < s->n_partitions; i++) {
        const struct partition *p = s->partitions[i];
        if (p->committed >= 0 && !partition_is_gone(p) && !p->marks.given_up)
            rd_kafka_topic_partition_list_add(list, s->topics[p->topic].name, p->id)->offset =
                p->committed;
    }
    return list;
}

static void tell(struct kafka_source *s, const rd_kafka_topic_partition_list_t *list)
{
    char group[512], text[256];
    size_t size = sizeof group;
    if (rd_kafka_conf_get(rd_kafka_conf(s->rk), "group.id", group, &size) != RD_KAFKA_CONF_OK)
        return;
    if (!s->hints)
        s->hints = rd_kafka_queue_new(s->rk);
    rd_kafka_AlterConsumerGroupOffsets_t *alter =
        rd_kafka_AlterConsumerGroupOffsets_new(group, list);
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(s->rk, RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS);
    if (rd_kafka_AdminOptions_set_request_timeout(options, TELL_MS, text, sizeof text))
        fail(s, text);
    rd_kafka_AlterConsumerGroupOffsets(s->rk, &alter, 1, options, s->hints);
    s->hinting = true;
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_AlterConsumerGroupOffsets_destroy(alter);
}

void kafka_source_hint(struct kafka_source *source, int wait_ms)
{
    if (!source->connected || !is_told(source, wait_ms))
        return;
    rd_kafka_topic_partition_list_t *list = committed_positions(source);
    if (list->cnt)
        tell(source, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (wait_ms)
        is_told(source, wait_ms);
}
