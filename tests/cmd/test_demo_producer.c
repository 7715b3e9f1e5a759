/* The demo's broker and producer together: everything that is produced can be read, the producer
 * waits for its reader, the broker goes away with its parent. */
#include "cmd/demo/demo_producer.h"

#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "cmd/demo/demo_event.h"
#include "cmd/demo/demo_json.h"

#define WAIT_NS (90 * (int64_t)1000000000)

/* ---- a reader of all topics ---- */

struct reader {
    rd_kafka_t *kafka;
    _Atomic uint64_t read[DEMO_TOPICS];
    uint64_t gaps, early;
    int64_t next[DEMO_TOPICS][8];
    int64_t last_ms[DEMO_TOPICS][8];
};

/* The reader is all zeros; the producer may be reading its counts already. */
static void reader_open(struct reader *reader, const char *brokers)
{
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    assert_int_equal(
        rd_kafka_conf_set(conf, "bootstrap.servers", brokers, text, sizeof text), RD_KAFKA_CONF_OK);
    assert_int_equal(
        rd_kafka_conf_set(conf, "group.id", "test", text, sizeof text), RD_KAFKA_CONF_OK);
    assert_int_equal(
        rd_kafka_conf_set(conf, "fetch.wait.max.ms", "10", text, sizeof text), RD_KAFKA_CONF_OK);
    assert_int_equal(
        rd_kafka_conf_set(conf, "auto.offset.reset", "error", text, sizeof text), RD_KAFKA_CONF_OK);
    reader->kafka = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof text);
    assert_non_null(reader->kafka);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(16);
    for (int i = 0; i < DEMO_TOPICS; i++)
        for (int p = 0; p < demo_topics[i].partitions; p++)
            rd_kafka_topic_partition_list_add(list, demo_topics[i].name, p)->offset = 0;
    assert_int_equal(rd_kafka_assign(reader->kafka, list), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_topic_partition_list_destroy(list);
}

static void reader_poll(struct reader *reader)
{
    for (int n = 0; n < 5000; n++) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(reader->kafka, 5);
        if (!message)
            return;
        assert_int_equal(message->err, RD_KAFKA_RESP_ERR_NO_ERROR);
        int topic = 0;
        while (strcmp(rd_kafka_topic_name(message->rkt), demo_topics[topic].name) != 0)
            topic++;
        int64_t *next = &reader->next[topic][message->partition];
        reader->gaps += message->offset != *next;
        *next = message->offset + 1;
        int64_t at_ms = rd_kafka_message_timestamp(message, NULL);
        int64_t *last_ms = &reader->last_ms[topic][message->partition];
        reader->early += at_ms < *last_ms;
        *last_ms = at_ms;
        atomic_fetch_add(&reader->read[topic], 1);
        rd_kafka_message_destroy(message);
    }
}

static uint64_t reader_sum(struct reader *reader)
{
    uint64_t sum = 0;
    for (int i = 0; i < DEMO_TOPICS; i++)
        sum += atomic_load(&reader->read[i]);
    return sum;
}

static void records_read(void *ctx, uint64_t read[DEMO_TOPICS])
{
    struct reader *reader = ctx;
    for (int i = 0; i < DEMO_TOPICS; i++)
        read[i] = atomic_load(&reader->read[i]);
}

static struct demo_producer_options options_for(
    struct demo_broker *broker, struct reader *reader, double rate, int64_t history_ms)
{
    int64_t now_ms = clock_now_ms();
    return (struct demo_producer_options){
        .brokers = demo_broker_addresses(broker),
        .model = {.seed = 4, .rate = rate, .start_ms = now_ms - history_ms, .live_ms = now_ms},
        .records_read = records_read,
        .ctx = reader,
    };
}

/* ---- tests ---- */

static void everything_arrives_once_and_in_order(void **state)
{
    (void)state;
    struct err err = {0};
    struct demo_broker *broker;
    struct demo_producer *producer;
    struct reader reader = {0};
    if (!demo_broker_start(demo_topics, DEMO_TOPICS, &broker, &err))
        fail_msg("%s", err.text);
    reader_open(&reader, demo_broker_addresses(broker));
    struct demo_producer_options options = options_for(broker, &reader, 4000, 5 * 60000);
    assert_true(demo_producer_start(&options, &producer, &err));
    struct demo_producer_progress progress = {0};
    int64_t end_ns = clock_mono_ns() + WAIT_NS;
    while (!progress.live && !progress.failed && clock_mono_ns() < end_ns) {
        reader_poll(&reader);
        demo_producer_progress(producer, &progress);
    }
    assert_true(progress.live);
    if (!demo_producer_stop(&producer, &progress, &err))
        fail_msg("%s", err.text);
    while (reader_sum(&reader) < progress.produced && clock_mono_ns() < end_ns)
        reader_poll(&reader);
    reader_poll(&reader);
    assert_true(progress.produced > 300 * 400 * 9 / 10);
    assert_true(reader_sum(&reader) >= progress.produced);
    assert_int_equal(reader.gaps, 0);
    assert_int_equal(reader.early, 0);
    rd_kafka_destroy(reader.kafka);
    assert_true(demo_broker_runs(broker));
    demo_broker_stop(&broker);
    assert_null(broker);
}

/* A reader that does not read: the producer stops short of what the broker keeps. */
static void producer_waits_for_its_reader(void **state)
{
    (void)state;
    struct err err = {0};
    struct demo_broker *broker;
    struct demo_producer *producer;
    struct reader reader = {0};
    assert_true(demo_broker_start(demo_topics, DEMO_TOPICS, &broker, &err));
    struct demo_producer_options options = options_for(broker, &reader, 20000, 60 * 60000);
    assert_true(demo_producer_start(&options, &producer, &err));
    struct demo_producer_progress progress = {0};
    uint64_t before = 0;
    for (int same = 0;
         same<4; same = progress.produced> 0 && progress.produced == before ? same + 1 : 0) {
        before = progress.produced;
        clock_sleep_ms(150);
        demo_producer_progress(producer, &progress);
    }
    assert_true(progress.produced > 10000);
    assert_false(progress.live);
    /* No event is smaller than 100 bytes, so this many bytes were in all topics together at most.
     */
    assert_true(progress.produced * 100 < (uint64_t)DEMO_BROKER_KEEPS * DEMO_TOPICS);
    reader_open(&reader, demo_broker_addresses(broker));
    while (reader_sum(&reader) < progress.produced)
        reader_poll(&reader); /* fails when a record is gone: auto.offset.reset=error */
    assert_int_equal(reader.gaps, 0);
    assert_true(demo_producer_stop(&producer, &progress, &err));
    rd_kafka_destroy(reader.kafka);
    demo_broker_stop(&broker);
}

/* The broker dies: the producer gives up within its time, and its truth says that it is not whole.
 */
static void stop_without_broker_ends(void **state)
{
    (void)state;
    struct err err = {0};
    struct demo_broker *broker;
    struct demo_producer *producer;
    struct reader reader = {0};
    assert_true(demo_broker_start(demo_topics, DEMO_TOPICS, &broker, &err));
    struct demo_producer_options options = options_for(broker, &reader, 2000, 60000);
    demo_broker_stop(&broker);
    char nowhere[] = "127.0.0.1:1";
    options.brokers = nowhere;
    assert_true(demo_producer_start(&options, &producer, &err));
    clock_sleep_ms(200);
    struct demo_producer_progress progress;
    int64_t begin_ns = clock_mono_ns();
    assert_false(demo_producer_stop(&producer, &progress, &err));
    assert_non_null(strstr(err.text, "not acknowledged"));
    assert_true(clock_mono_ns() - begin_ns < 9 * (int64_t)1000000000);
}

/* kill -9 of the parent: the broker's port closes. */
static void broker_dies_with_its_parent(void **state)
{
    (void)state;
    int report[2];
    assert_int_equal(pipe(report), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct err err = {0};
        struct demo_broker *broker;
        bool ok = demo_broker_start(demo_topics, DEMO_TOPICS, &broker, &err);
        ssize_t n = ok ? write(report[1], demo_broker_addresses(broker), 32) : 0;
        (void)n;
        for (;;)
            pause();
    }
    char addresses[33] = "";
    assert_true(read(report[0], addresses, 32) > 0);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(report[1]);
    /* The broker holds the write end as well: the end of the pipe is the end of the broker. */
    char byte;
    assert_int_equal(read(report[0], &byte, 1), 0);
    close(report[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broker_dies_with_its_parent),
        cmocka_unit_test(everything_arrives_once_and_in_order),
        cmocka_unit_test(producer_waits_for_its_reader),
        cmocka_unit_test(stop_without_broker_ends),
    };
    return cmocka_run_group_tests_name("demo_producer", tests, NULL, NULL);
}
