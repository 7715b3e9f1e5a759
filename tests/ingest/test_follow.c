/*
 * An ingestion that follows another one: it takes each record once, and none that the other has not
 * read, however often it stops and goes on; what the topics have lost; how far it is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "ingest/follow.h"

#define T0         INT64_C(1700000000000)
#define PARTITIONS 3
#define RECORDS    4000 /* of each partition */
#define POLL_MAX   500
#define AHEAD_MS   300000

static const struct slice topics[] = {{"orders", 6}};
static const struct stream stream = {.name = {"orders", 6},
    .topics = topics,
    .n_topics = 1,
    .contract = {.ahead_ms = AHEAD_MS},
    .watermark_bound_ms = AHEAD_MS,
    .idle_after_ms = 30000};
static const struct streams streams = {.streams = &stream, .n_streams = 1};

struct fixture {
    struct store *followed, *own;
};

static struct store *open_store(void)
{
    struct store_options options = {0};
    struct store *store;
    struct err err;
    assert_true(store_open(&options, &store, &err));
    return store;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->followed = open_store();
    f->own = open_store();
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    store_close(&f->followed);
    store_close(&f->own);
    free(f);
    return 0;
}

static void put_source(struct store *store, const char *name, int64_t next, int64_t newest_ms)
{
    struct err err;
    struct txn *txn = txn_begin(store);
    txn_source(txn, slice_from(name), next, newest_ms, SLICE(""));
    assert_true(txn_commit(&txn, NULL, &err));
}

/* ---- a broker ---- */

struct broker {
    rd_kafka_t *host, *producer;
    rd_kafka_mock_cluster_t *cluster;
};

static rd_kafka_t *producer_new(const char *brokers)
{
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (brokers)
        rd_kafka_conf_set(conf, "bootstrap.servers", brokers, NULL, 0);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    assert_non_null(rk);
    return rk;
}

static void broker_start(struct broker *b)
{
    b->host = producer_new(NULL);
    b->cluster = rd_kafka_mock_cluster_new(b->host, 1);
    assert_non_null(b->cluster);
    assert_int_equal(rd_kafka_mock_topic_create(b->cluster, "orders", PARTITIONS, 1), 0);
    b->producer = producer_new(rd_kafka_mock_cluster_bootstraps(b->cluster));
    for (int i = 0; i < RECORDS * PARTITIONS; i++)
        while (rd_kafka_producev(b->producer, RD_KAFKA_V_TOPIC("orders"),
                   RD_KAFKA_V_PARTITION(i % PARTITIONS), RD_KAFKA_V_VALUE((char[]){"x"}, 1),
                   RD_KAFKA_V_TIMESTAMP(T0 + i), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                   RD_KAFKA_V_END) != 0)
            rd_kafka_poll(b->producer, 10);
    assert_int_equal(rd_kafka_flush(b->producer, 20000), 0);
}

static void broker_stop(struct broker *b)
{
    rd_kafka_destroy(b->producer);
    rd_kafka_mock_cluster_destroy(b->cluster);
    rd_kafka_destroy(b->host);
}

static void found(void *ctx, struct partition *p)
{
    follow_recall(ctx, p);
}

/* ---- following ---- */

struct run {
    struct fixture *f;
    struct kafka_source *source;
    int64_t position[PARTITIONS], taken[PARTITIONS];
};

static void move_on(struct run *r, int partition, int64_t by)
{
    char name[32];
    int64_t *at = &r->position[partition];
    *at = *at + by < RECORDS ? *at + by : RECORDS;
    snprintf(name, sizeof name, "orders/%d", partition);
    put_source(r->f->followed, name, *at, T0);
}

/* As an intake: what is of a partition that waits is left out. */
static void take(struct run *r, const struct kafka_record *record)
{
    struct partition *p = record->partition;
    if (p->parked)
        return;
    assert_int_equal(record->offset, r->taken[p->id]);
    assert_true(record->offset < r->position[p->id]);
    r->taken[p->id]++;
}

static void round_of(struct run *r)
{
    struct kafka_record records[POLL_MAX];
    size_t n = kafka_source_poll(r->source, 5, clock_now_ms(), records, POLL_MAX);
    n = follow_takes(r->f->followed, records, n);
    for (size_t i = 0; i < n; i++)
        take(r, &records[i]);
    follow_stop(r->source);
}

static void look_at_topics(struct run *r, struct follower *follower)
{
    follower_asks(follower);
    bool all = kafka_source_discover(r->source, 1000, clock_now_ms(), found, r->f->own);
    follower_listed(follower, r->source, all);
}

/* It stops and goes on at once, before anybody hears of it, and again later. */
static void test_takes_each_record_once(void **state)
{
    struct broker broker;
    struct run run = {.f = *state};
    struct err err;
    broker_start(&broker);
    struct kafka_setting settings[] = {
        {SLICE("bootstrap.servers"), slice_from(rd_kafka_mock_cluster_bootstraps(broker.cluster))},
        {SLICE("fetch.wait.max.ms"), SLICE("5")}};
    struct ingest_options options = {.kafka = settings, .n_kafka = 2, .streams = &streams};
    assert_true(kafka_source_new(&options, &run.source, &err));
    struct follower *follower = follower_new(run.f->followed, &streams);
    put_source(run.f->followed, "orders/7", 50, T0); /* it was there once */
    follower_look(follower, run.source, clock_now_ms());
    assert_true(follower_behind(follower, 0) == INT64_MAX);
    for (int i = 0; i < 100 && !kafka_source_knows(run.source, 0); i++)
        look_at_topics(&run, follower);
    put_source(run.f->followed, "orders/8", 30, T0); /* it is there since, perhaps */
    follower_look(follower, run.source, clock_now_ms());
    assert_int_equal(follower_behind(follower, 0), 30);
    look_at_topics(&run, follower);
    int64_t deadline = clock_mono_ns() + INT64_C(60000000000);
    bool all = false;
    for (int round = 0; !all && clock_mono_ns() < deadline; round++) {
        if (rand() % 3)
            move_on(&run, rand() % PARTITIONS, rand() % 200);
        if (rand() % 2)
            follow_resume(run.f->followed, run.source, clock_now_ms());
        round_of(&run);
        all = true;
        int64_t behind = 0;
        for (int p = 0; p < PARTITIONS; p++) {
            behind += run.position[p] - run.taken[p];
            all = all && run.taken[p] == RECORDS;
        }
        follower_look(follower, run.source, clock_now_ms());
        assert_int_equal(follower_behind(follower, 0), behind);
    }
    assert_true(all);
    follower_free(&follower);
    kafka_source_free(&run.source);
    broker_stop(&broker);
}

/* ---- from the stores ---- */

static void test_what_the_topics_have_lost(void **state)
{
    struct fixture *f = *state;
    struct follow_span span = follow_span_of(f->own, f->followed, &streams);
    assert_true(span.whole_after_ms == INT64_MIN && span.newest_ms == INT64_MIN);
    put_source(f->followed, "orders/0", 100, T0 + 5);
    put_source(f->followed, "orders/1", 100, T0 + 7);
    put_source(f->followed, "others/0", 100, T0 + 9);
    put_source(f->own, "first/orders/0", 0, T0 - 5000);
    put_source(f->own, "first/orders/1", 0, T0 - 9000);
    span = follow_span_of(f->own, f->followed, &streams);
    assert_true(span.whole_after_ms == INT64_MIN && span.newest_ms == T0 + 7);
    put_source(f->own, "first/orders/1", 10, T0 - 4000); /* ten records are gone */
    assert_int_equal(
        follow_span_of(f->own, f->followed, &streams).whole_after_ms, T0 - 4000 + AHEAD_MS);
    put_source(f->followed, "orders/2", 50, T0 + 6); /* all of what was read is */
    assert_int_equal(
        follow_span_of(f->own, f->followed, &streams).whole_after_ms, T0 - 4000 + AHEAD_MS);
    put_source(f->followed, "orders/2", 50, T0 + 2 * AHEAD_MS);
    assert_int_equal(
        follow_span_of(f->own, f->followed, &streams).whole_after_ms, T0 + 2 * AHEAD_MS);
}

/* Where timestamps say nothing of what came before, all that was read may be lost. */
static void test_lost_without_timestamps(void **state)
{
    struct fixture *f = *state;
    struct stream other = stream;
    struct streams config = {.streams = &other, .n_streams = 1};
    put_source(f->followed, "orders/0", 100, T0 + 5 * AHEAD_MS);
    put_source(f->own, "first/orders/0", 10, INT64_MIN);
    int64_t all = T0 + 5 * AHEAD_MS;
    assert_int_equal(follow_span_of(f->own, f->followed, &config).whole_after_ms, all);
    put_source(f->own, "first/orders/0", 10, T0);
    assert_int_equal(follow_span_of(f->own, f->followed, &config).whole_after_ms, T0 + AHEAD_MS);
    other.contract.arrival_partition = true;
    assert_int_equal(follow_span_of(f->own, f->followed, &config).whole_after_ms, all);
    other.contract.arrival_partition = false;
    other.retry = topics[0];
    assert_int_equal(follow_span_of(f->own, f->followed, &config).whole_after_ms, all);
    put_source(f->own, "first/orders/0", 0, T0); /* nothing is lost */
    assert_true(follow_span_of(f->own, f->followed, &config).whole_after_ms == INT64_MIN);
}

static void test_progress(void **state)
{
    struct fixture *f = *state;
    uint64_t done, all;
    put_source(f->followed, "orders/0", 100, T0);
    put_source(f->followed, "orders/1", 1000, T0);
    put_source(f->followed, "others/0", 5000, T0);
    put_source(f->own, "first/orders/1", 400, T0);
    put_source(f->own, "orders/1", 550, T0);
    follow_progress(f->own, f->followed, &streams, &done, &all);
    assert_int_equal(done, 150);
    assert_int_equal(all, 700);
}

/* Never ahead of the other's. */
static void test_clocks(void **state)
{
    struct fixture *f = *state;
    struct err err;
    int64_t frontier = T0 + 50, watermark = T0 - 50;
    struct txn *txn = txn_begin(f->followed);
    txn_clock(txn, SLICE("orders"), T0, T0 - 10);
    assert_true(txn_commit(&txn, NULL, &err));
    follow_clocks(f->followed, &stream, false, &frontier, &watermark);
    assert_true(frontier == T0 && watermark == T0 - 50);
    follow_clocks(f->followed, &stream, true, &frontier, &watermark);
    assert_true(frontier == T0 && watermark == T0 - 10);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_takes_each_record_once),
        TEST(test_what_the_topics_have_lost),
        TEST(test_lost_without_timestamps),
        TEST(test_progress),
        TEST(test_clocks),
    };
    srand(11);
    log_set_level(LOG_WARN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
