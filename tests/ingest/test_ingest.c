/* The ingestion against librdkafka's mock cluster: positions, restarts, topics that come late. */
#include "ingest/ingest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/read.h"
#include "tests/ingest/orders_stream.h"
#include "tests/store/support/folder.h"

struct fixture {
    struct orders orders;
    char dir[64];
    rd_kafka_t *producer;
    rd_kafka_mock_cluster_t *cluster;
    char brokers[256];
    struct kafka_setting settings[2];
    struct limits limits;
    struct store *store;
    struct ingest *ingest;
};

static rd_kafka_t *producer_new(const char *brokers)
{
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (brokers)
        rd_kafka_conf_set(conf, "bootstrap.servers", brokers, NULL, 0);
    rd_kafka_conf_set(conf, "log_level", "2", NULL, 0);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    assert_non_null(rk);
    return rk;
}

static void start(struct fixture *f)
{
    struct store_options options = {.path = f->dir, .limits = f->limits};
    struct ingest_options ingest = {
        .kafka = f->settings, .n_kafka = 2, .streams = &f->orders.streams};
    struct err err = {0};
    if (!store_open(&options, &f->store, &err) ||
        !ingest_start(f->store, &ingest, &f->ingest, &err))
        fail_msg("%s", err.text);
}

static void stop(struct fixture *f)
{
    ingest_stop(&f->ingest);
    store_close(&f->store);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    folder_new("ingest", f->dir, sizeof f->dir);
    rd_kafka_t *host = producer_new(NULL);
    f->cluster = rd_kafka_mock_cluster_new(host, 1);
    assert_non_null(f->cluster);
    snprintf(f->brokers, sizeof f->brokers, "%s", rd_kafka_mock_cluster_bootstraps(f->cluster));
    f->producer = host;
    f->settings[0] = (struct kafka_setting){SLICE("bootstrap.servers"), slice_from(f->brokers)};
    f->settings[1] = (struct kafka_setting){SLICE("fetch.wait.max.ms"), SLICE("10")};
    orders_init(&f->orders, "orders");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    stop(f);
    rd_kafka_mock_cluster_destroy(f->cluster);
    rd_kafka_destroy(f->producer);
    orders_fini(&f->orders);
    folder_remove(f->dir);
    free(f);
    return 0;
}

static void topic(struct fixture *f, int partitions)
{
    assert_int_equal(rd_kafka_mock_topic_create(f->cluster, "orders", partitions, 1), 0);
}

/* n events from number `first` on, round the partitions. */
static void produce_of(struct fixture *f, const char *market, int first, int n, int partitions)
{
    rd_kafka_t *rk = producer_new(f->brokers);
    for (int i = first; i < first + n; i++) {
        char json[256];
        int len = snprintf(json, sizeof json,
            "{\"event_id\":\"%d\",\"type\":\"placed\",\"occurred_at\":%d,\"market\":\"%s\"}", i,
            1000000 + i * 10, market);
        if (i % 10 == 9)
            len -= 5; /* malformed */
        rd_kafka_resp_err_t rc =
            rd_kafka_producev(rk, RD_KAFKA_V_TOPIC("orders"), RD_KAFKA_V_PARTITION(i % partitions),
                RD_KAFKA_V_VALUE(json, (size_t)len), RD_KAFKA_V_TIMESTAMP(1000000 + i * 10),
                RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
        assert_int_equal(rc, 0);
    }
    assert_int_equal(rd_kafka_flush(rk, 20000), 0);
    rd_kafka_destroy(rk);
}

static void produce(struct fixture *f, int first, int n, int partitions)
{
    produce_of(f, "berlin", first, n, partitions);
}

static struct stream_stats stats_of(struct fixture *f, struct ingest_stats *out)
{
    struct ingest_stats stats;
    struct stream_stats stream;
    assert_int_equal(ingest_stats(f->ingest, out ? out : &stats, &stream, 1), 1);
    return stream;
}

static struct stream_stats wait_for(struct fixture *f, uint64_t events)
{
    struct stream_stats s = stats_of(f, NULL);
    for (int i = 0; i < 2000 && s.accepted + s.refused[REFUSED_MALFORMED] < events; i++) {
        clock_sleep_ms(10);
        s = stats_of(f, NULL);
    }
    assert_int_equal(s.accepted + s.refused[REFUSED_MALFORMED], events);
    return s;
}

static int64_t total(struct fixture *f)
{
    struct matcher m = {MATCH_EQUAL, SLICE("__name__"), SLICE("orders_total"), NULL};
    struct snapshot *s = snapshot_get(f->store);
    struct plan *plan;
    struct columns c;
    struct arena arena;
    struct err err = {0};
    int64_t sum = 0;
    arena_init(&arena, 0);
    assert_true(plan_new(s, NULL, &m, 1, NULL, &plan, &err));
    for (size_t i = 0; i < plan_n(plan); i++)
        plan_range(plan, i, INT64_MIN, INT64_MAX);
    assert_true(snapshot_fetch(s, NULL, NULL, &err));
    for (size_t i = 0; i < plan_n(plan); i++) {
        assert_true(plan_columns(plan, i, &arena, &c, &err));
        for (size_t k = 0; k < c.n; k++)
            sum += (int64_t)c.amount[k];
    }
    snapshot_put(&s);
    arena_fini(&arena);
    return sum;
}

static void test_counts_once_across_restarts(void **state)
{
    struct fixture *f = *state;
    topic(f, 3);
    start(f);
    produce(f, 0, 1000, 3);
    struct stream_stats s = wait_for(f, 1000);
    assert_int_equal(s.refused[REFUSED_MALFORMED], 100);
    assert_int_equal(total(f), 900);
    stop(f);
    /* Without a broker the next run knows what this one has counted. */
    rd_kafka_mock_broker_set_down(f->cluster, 1);
    start(f);
    s = stats_of(f, NULL);
    assert_int_equal(s.accepted, 900);
    assert_int_equal(s.refused[REFUSED_MALFORMED], 100);
    assert_int_equal(s.partitions, 3);
    stop(f);
    rd_kafka_mock_broker_set_up(f->cluster, 1);
    produce(f, 1000, 500, 3);
    start(f);
    s = wait_for(f, 1500);
    assert_int_equal(s.accepted, 1350);
    assert_int_equal(total(f), 1350);
}

static void test_caught_up_and_clocks(void **state)
{
    struct fixture *f = *state;
    topic(f, 2);
    start(f);
    produce(f, 0, 100, 2);
    wait_for(f, 100);
    int64_t now = clock_now_ms();
    struct stream_stats s = stats_of(f, NULL);
    for (int i = 0; i < 1000 && s.frontier_ms < now; i++) {
        clock_sleep_ms(10);
        s = stats_of(f, NULL);
    }
    assert_true(s.caught_up && s.frontier_ms >= now);
    assert_int_equal(s.lag_messages, 0);
    /* The last two events were one per partition, the newest refused; the slower one bounds the
     * watermark. */
    assert_int_equal(s.watermark_ms, 1000000 + 970 - 300000);
    int64_t frontier, watermark;
    assert_true(store_clock(f->store, SLICE("orders"), &frontier, &watermark));
    assert_true(frontier >= now - 1000 && watermark == s.watermark_ms);
}

static void test_topic_that_comes_late(void **state)
{
    struct fixture *f = *state;
    struct ingest_stats stats;
    rd_kafka_mock_cluster_t *c = f->cluster;
    /* The mock makes unknown topics when they are asked for, unless the request fails. */
    rd_kafka_resp_err_t unknown = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    rd_kafka_mock_topic_set_error(c, "orders", unknown);
    start(f);
    stats_of(f, &stats);
    for (int i = 0; i < 500 && !strstr(stats.trouble, "does not exist"); i++) {
        clock_sleep_ms(10);
        stats_of(f, &stats);
    }
    assert_non_null(strstr(stats.trouble, "does not exist"));
    rd_kafka_mock_topic_set_error(c, "orders", RD_KAFKA_RESP_ERR_NO_ERROR);
    produce(f, 0, 10, 1);
    wait_for(f, 10);
    stats_of(f, &stats);
    assert_string_equal(stats.trouble, "");
}

/* A label set over a limit costs its cells alone: the ingestion goes on, and says what it has left
 * out. */
static void test_a_refused_label_set_stops_nothing(void **state)
{
    struct fixture *f = *state;
    struct ingest_stats stats;
    f->limits.label_value_bytes = 12; /* orders_total fits */
    topic(f, 1);
    produce_of(f, "a-long-market", 0, 9, 1);
    produce(f, 10, 9, 1);
    start(f);
    wait_for(f, 18);
    assert_int_equal(total(f), 9);
    produce_of(f, "a-long-market", 20, 9, 1);
    produce(f, 30, 9, 1);
    wait_for(f, 36);
    assert_int_equal(total(f), 18);
    stats_of(f, &stats);
    assert_true(stats.refused_cells >= 2);
    assert_int_equal(stats.commit_failures, 0);
    assert_string_equal(stats.trouble, "");
}

static void test_bad_setting_is_refused(void **state)
{
    struct fixture *f = *state;
    struct store_options options = {.path = f->dir, .limits = f->limits};
    struct err err = {0};
    f->settings[1] = (struct kafka_setting){SLICE("fetch.wait.max.ms"), SLICE("soon")};
    struct ingest_options ingest = {
        .kafka = f->settings, .n_kafka = 2, .streams = &f->orders.streams};
    assert_true(store_open(&options, &f->store, &err));
    assert_false(ingest_start(f->store, &ingest, &f->ingest, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_non_null(strstr(err.text, "fetch.wait.max.ms"));
}

static bool note_clock(void *ctx, const struct metric_def *def)
{
    if (slice_is(def->name, "orders_total"))
        snprintf(ctx, 16, "%.*s", SLICE_FMT(def->clock));
    return true;
}

/* What the store tells of a metric is what the config says that is in force. */
static void test_a_refused_reload_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct kafka_setting bad[] = {f->settings[0], {SLICE("fetch.wait.max.ms"), SLICE("soon")}};
    struct orders other;
    struct err err = {0};
    char clock[16] = "";
    topic(f, 1);
    start(f);
    produce(f, 0, 9, 1);
    wait_for(f, 9);
    orders_init(&other, "orders");
    other.rollups[0].def.clock = SLICE("other");
    struct ingest_options options = {.kafka = bad, .n_kafka = 2, .streams = &other.streams};
    assert_false(ingest_reload(f->ingest, &options, NULL, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_true(store_each_metric(f->store, NULL, note_clock, clock, &err));
    assert_string_equal(clock, "orders");
    options.kafka = f->settings;
    assert_true(ingest_reload(f->ingest, &options, NULL, &err));
    assert_true(store_each_metric(f->store, NULL, note_clock, clock, &err));
    assert_string_equal(clock, "other");
    stop(f);
    orders_fini(&other);
    start(f);
}

/* Counts go on, and so does what is told of lateness. */
static void test_a_reload_keeps_counts(void **state)
{
    struct fixture *f = *state;
    struct ingest_options options = {
        .kafka = f->settings, .n_kafka = 2, .streams = &f->orders.streams};
    struct err err = {0};
    topic(f, 1);
    start(f);
    produce(f, 0, 9, 1);
    assert_int_equal(wait_for(f, 9).lateness.counts[0], 9);
    assert_true(ingest_reload(f->ingest, &options, NULL, &err));
    struct stream_stats s = stats_of(f, NULL);
    assert_int_equal(s.accepted, 9);
    assert_int_equal(s.lateness.counts[0], 9);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_counts_once_across_restarts),
        TEST(test_caught_up_and_clocks),
        TEST(test_topic_that_comes_late),
        TEST(test_a_refused_label_set_stops_nothing),
        TEST(test_bad_setting_is_refused),
        TEST(test_a_refused_reload_changes_nothing),
        TEST(test_a_reload_keeps_counts),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
