/*
 * What tests ask of a Kafka cluster:
 *
 *     kafka_admin BROKERS brokers                                    how many answer
 *     kafka_admin BROKERS create TOPIC PARTITIONS COPIES [KEY=VALUE...]
 *     kafka_admin BROKERS delete TOPIC
 *     kafka_admin BROKERS grow TOPIC PARTITIONS
 *     kafka_admin BROKERS truncate TOPIC PARTITION OFFSET             what is before goes
 *
 * Exit status 1 with a line that says why when the cluster refuses.
 */
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS 30000

static char text[512];

static int failed(const char *why)
{
    fprintf(stderr, "%s\n", why);
    return 1;
}

static rd_kafka_t *connect_to(const char *brokers)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", brokers, NULL, 0);
    rd_kafka_conf_set(conf, "log_level", "2", NULL, 0);
    return rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
}

static int brokers(rd_kafka_t *rk)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t err = rd_kafka_metadata(rk, 0, NULL, &metadata, WAIT_MS);
    if (err)
        return failed(rd_kafka_err2str(err));
    printf("%d\n", metadata->broker_cnt);
    rd_kafka_metadata_destroy(metadata);
    return 0;
}

/* The answer to what was asked last, and of its one topic or partition. */
static int await_topics(rd_kafka_queue_t *queue)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, WAIT_MS);
    const rd_kafka_topic_result_t **results = NULL;
    size_t n = 0;
    if (!event)
        return failed("no answer");
    if (rd_kafka_event_error(event))
        return failed(rd_kafka_event_error_string(event));
    switch (rd_kafka_event_type(event)) {
    case RD_KAFKA_EVENT_CREATETOPICS_RESULT:
        results =
            rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &n);
        break;
    case RD_KAFKA_EVENT_DELETETOPICS_RESULT:
        results =
            rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &n);
        break;
    default:
        results = rd_kafka_CreatePartitions_result_topics(
            rd_kafka_event_CreatePartitions_result(event), &n);
    }
    int status = 0;
    for (size_t i = 0; i < n; i++)
        if (rd_kafka_topic_result_error(results[i]))
            status = failed(rd_kafka_topic_result_error_string(results[i]));
    rd_kafka_event_destroy(event);
    return status;
}

static int await_records(rd_kafka_queue_t *queue)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, WAIT_MS);
    if (!event)
        return failed("no answer");
    if (rd_kafka_event_error(event))
        return failed(rd_kafka_event_error_string(event));
    const rd_kafka_topic_partition_list_t *list =
        rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event));
    int status = list->elems[0].err ? failed(rd_kafka_err2str(list->elems[0].err)) : 0;
    rd_kafka_event_destroy(event);
    return status;
}

static int create(rd_kafka_t *rk, rd_kafka_queue_t *queue, int argc, char **argv)
{
    rd_kafka_NewTopic_t *topic =
        rd_kafka_NewTopic_new(argv[3], atoi(argv[4]), atoi(argv[5]), text, sizeof text);
    if (!topic)
        return failed(text);
    for (int i = 6; i < argc; i++) {
        char *equal = strchr(argv[i], '=');
        if (!equal)
            return failed(argv[i]);
        *equal = 0;
        rd_kafka_NewTopic_set_config(topic, argv[i], equal + 1);
    }
    rd_kafka_CreateTopics(rk, &topic, 1, NULL, queue);
    rd_kafka_NewTopic_destroy(topic);
    return await_topics(queue);
}

static int delete (rd_kafka_t *rk, rd_kafka_queue_t *queue, const char *name)
{
    rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(name);
    rd_kafka_DeleteTopics(rk, &topic, 1, NULL, queue);
    rd_kafka_DeleteTopic_destroy(topic);
    return await_topics(queue);
}

static int grow(rd_kafka_t *rk, rd_kafka_queue_t *queue, const char *name, const char *partitions)
{
    rd_kafka_NewPartitions_t *more =
        rd_kafka_NewPartitions_new(name, (size_t)atoi(partitions), text, sizeof text);
    if (!more)
        return failed(text);
    rd_kafka_CreatePartitions(rk, &more, 1, NULL, queue);
    rd_kafka_NewPartitions_destroy(more);
    return await_topics(queue);
}

static int truncate_before(rd_kafka_t *rk, rd_kafka_queue_t *queue, const char *name,
    const char *partition, const char *offset)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, name, atoi(partition))->offset = atoll(offset);
    rd_kafka_DeleteRecords_t *records = rd_kafka_DeleteRecords_new(list);
    rd_kafka_DeleteRecords(rk, &records, 1, NULL, queue);
    rd_kafka_DeleteRecords_destroy(records);
    rd_kafka_topic_partition_list_destroy(list);
    return await_records(queue);
}

static int run(rd_kafka_t *rk, rd_kafka_queue_t *queue, int argc, char **argv)
{
    const char *what = argv[2];
    if (strcmp(what, "brokers") == 0 && argc == 3)
        return brokers(rk);
    if (strcmp(what, "create") == 0 && argc >= 6)
        return create(rk, queue, argc, argv);
    if (strcmp(what, "delete") == 0 && argc == 4)
        return delete (rk, queue, argv[3]);
    if (strcmp(what, "grow") == 0 && argc == 5)
        return grow(rk, queue, argv[3], argv[4]);
    if (strcmp(what, "truncate") == 0 && argc == 6)
        return truncate_before(rk, queue, argv[3], argv[4], argv[5]);
    fprintf(stderr, "usage: see the top of tests/e2e/kafka_admin.c\n");
    return 2;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return failed("usage: kafka_admin BROKERS WHAT...");
    rd_kafka_t *rk = connect_to(argv[1]);
    if (!rk)
        return failed(text);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    int status = run(rk, queue, argc, argv);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
    return status;
}
