/*
 * An ingestion over librdkafka's mock cluster of one broker, and what is asked of it. A function
 * that cannot do what it says fails the test.
 */
#ifndef TESTS_INGEST_MOCK_INGEST_H
#define TESTS_INGEST_MOCK_INGEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "base/clock.h"
#include "base/log.h"
#include "ingest/ingest.h"
#include "ingest/source/source_desk.h"
#include "tests/ingest/orders_stream.h"
#include "tests/store/support/folder.h"

#define WAIT_MS 60000

struct mock_ingest {
    struct orders orders;
    char dir[64], brokers[256];
    rd_kafka_t *host; /* of the cluster; and a producer */
    rd_kafka_mock_cluster_t *cluster;
    struct kafka_setting settings[1];
    struct store *store;
    struct ingest *ingest;
    struct arena arena;
};

/* Without topics. topics: a name, or a pattern. */
static inline struct mock_ingest *mock_new(const char *topics)
{
    struct mock_ingest *f = calloc(1, sizeof *f);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[256];
    folder_new("mock", f->dir, sizeof f->dir);
    rd_kafka_conf_set(conf, "log_level", "2", NULL, 0);
    f->host = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    assert_non_null(f->host);
    f->cluster = rd_kafka_mock_cluster_new(f->host, 1);
    assert_non_null(f->cluster);
    snprintf(f->brokers, sizeof f->brokers, "%s", rd_kafka_mock_cluster_bootstraps(f->cluster));
    f->settings[0] = (struct kafka_setting){SLICE("bootstrap.servers"), slice_from(f->brokers)};
    orders_init(&f->orders, topics);
    arena_init(&f->arena, 0);
    return f;
}

static inline void mock_topic(struct mock_ingest *f, const char *name, int partitions)
{
    assert_int_equal(rd_kafka_mock_topic_create(f->cluster, name, partitions, 1), 0);
}

static inline void mock_start(struct mock_ingest *f)
{
    struct store_options store = {.path = f->dir};
    struct ingest_options options = {
        .kafka = f->settings, .n_kafka = 1, .streams = &f->orders.streams};
    struct err err = {0};
    if (!store_open(&store, &f->store, &err) || !ingest_start(f->store, &options, &f->ingest, &err))
        fail_msg("%s", err.text);
}

static inline void mock_stop(struct mock_ingest *f)
{
    ingest_stop(&f->ingest);
    store_close(&f->store);
}

static inline void mock_free(struct mock_ingest *f)
{
    mock_stop(f);
    rd_kafka_mock_cluster_destroy(f->cluster);
    rd_kafka_destroy(f->host);
    orders_fini(&f->orders);
    arena_fini(&f->arena);
    folder_remove(f->dir);
    free(f);
}

static inline struct stream_stats mock_stats(struct mock_ingest *f)
{
    struct ingest_stats stats;
    struct stream_stats stream;
    assert_int_equal(ingest_stats(f->ingest, &stats, &stream, 1), 1);
    return stream;
}

static inline struct stream_stats mock_wait(
    struct mock_ingest *f, uint32_t halted, uint64_t accepted)
{
    struct stream_stats s = mock_stats(f);
    for (int ms = 0; ms < WAIT_MS && (s.halted != halted || s.accepted != accepted); ms += 10) {
        clock_sleep_ms(10);
        s = mock_stats(f);
    }
    assert_int_equal(s.halted, halted);
    assert_int_equal(s.accepted, accepted);
    assert_int_equal(s.duplicates, 0);
    return s;
}

static inline bool mock_ask(struct mock_ingest *f, enum source_action action, const char *target,
    struct source_answer *answer, struct err *err)
{
    struct source_request request = {
        .action = action, .target = slice_from(target), .who = SLICE("test"), .now_ms = 1};
    struct source_desk *desk = ingest_desk_get(f->ingest);
    bool ok = source_desk_ask(desk, &request, WAIT_MS, &f->arena, answer, err);
    source_desk_put(&desk);
    return ok;
}

static inline void mock_do(struct mock_ingest *f, enum source_action action, const char *target)
{
    struct source_answer answer;
    struct err err = {0};
    if (!mock_ask(f, action, target, &answer, &err))
        fail_msg("%s", err.text);
}

static inline void mock_is(
    struct mock_ingest *f, const char *partition, const char *state, int64_t next)
{
    struct source_answer answer;
    struct err err = {0};
    assert_true(mock_ask(f, SOURCE_LIST, partition, &answer, &err));
    assert_int_equal(answer.n, 1);
    assert_string_equal(answer.rows[0].state, state);
    assert_int_equal(answer.rows[0].next, next);
}

#endif
