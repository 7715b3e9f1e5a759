/*
 * The service with another config: events go on while it is taken over again and again and /metrics
 * is read meanwhile, each counts once, and a config that does not check changes nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "cmd/ask.h"
#include "cmd/service.h"
#include "tests/api/raw_client.h"
#include "tests/store/support/folder.h"

#define T0      INT64_C(1700000000000)
#define RELOADS 12
#define EVENTS  200 /* before each reload */

struct fixture {
    char folder[64], file[96], url[64];
    rd_kafka_t *host, *producer;
    rd_kafka_mock_cluster_t *cluster;
    struct config config;
    struct service *service;
    int sent;
    atomic_bool end;
};

static const char head[] = "streams:\n"
                           "  orders:\n"
                           "    topics: [orders]\n"
                           "    event_time: at\n"
                           "    event_id: id\n"
                           "    late: 24h\n"
                           "    fields:\n"
                           "      id: {type: string, required: true}\n"
                           "      at: {type: time, required: true}\n"
                           "      market: {type: string, required: true}\n";

static const char first_rollups[] = "rollups:\n"
                                    "  orders_total: {kind: counter, from: orders, by: [market]}\n";

/* One more stream, whose name sorts elsewhere, and some more rollups. */
static const char more[] = "  audits:\n"
                           "    topics: [audits]\n"
                           "    event_time: at\n"
                           "    fields:\n"
                           "      at: {type: time, required: true}\n"
                           "rollups:\n"
                           "  orders_total: {kind: counter, from: orders, by: [market]}\n"
                           "  audits_total: {kind: counter, from: audits}\n"
                           "  more_1_total: {kind: counter, from: orders}\n"
                           "  more_2_total: {kind: counter, from: orders}\n"
                           "  more_3_total: {kind: counter, from: orders}\n"
                           "  more_4_total: {kind: counter, from: orders}\n";

static void write_config(struct fixture *f, const char *rollups)
{
    FILE *file = fopen(f->file, "w");
    assert_non_null(file);
    fprintf(file, "kafka: {brokers: \"%s\", fetch.wait.max.ms: 10}\n%s%s",
        rd_kafka_mock_cluster_bootstraps(f->cluster), head, rollups);
    fclose(file);
}

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

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct err_list errors;
    struct err err = {0};
    char path[128];
    folder_new("reload", f->folder, sizeof f->folder);
    snprintf(f->file, sizeof f->file, "%s/larder.yml", f->folder);
    snprintf(path, sizeof path, "store.path=%s/data", f->folder);
    f->host = producer_new(NULL);
    f->cluster = rd_kafka_mock_cluster_new(f->host, 1);
    assert_non_null(f->cluster);
    f->producer = producer_new(rd_kafka_mock_cluster_bootstraps(f->cluster));
    assert_int_equal(rd_kafka_mock_topic_create(f->cluster, "orders", 3, 1), 0);
    assert_int_equal(rd_kafka_mock_topic_create(f->cluster, "audits", 1, 1), 0);
    write_config(f, first_rollups);
    const char *overrides[] = {path, "http.listen=127.0.0.1:0"};
    assert_true(config_load(f->file, overrides, 2, &f->config, &errors));
    err_list_fini(&errors);
    assert_true(service_open(&f->config, &f->service, &err));
    while (!service_await(f->service, 1000, &err))
        assert_int_equal(err.code, ERR_TIMEOUT);
    assert_true(service_run(f->service, &err));
    snprintf(f->url, sizeof f->url, "http://127.0.0.1:%d", service_port(f->service));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[128];
    service_stop(&f->service);
    config_free(&f->config);
    rd_kafka_destroy(f->producer);
    rd_kafka_mock_cluster_destroy(f->cluster);
    rd_kafka_destroy(f->host);
    snprintf(command, sizeof command, "rm -r %s", f->folder);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

static void produce(struct fixture *f, const char *topic, int n)
{
    for (int i = 0; i < n; i++, f->sent++) {
        char json[256];
        int len = snprintf(json, sizeof json, "{\"id\":\"%d\",\"at\":%lld,\"market\":\"m%d\"}",
            f->sent, (long long)(T0 + f->sent), f->sent % 5);
        assert_int_equal(
            rd_kafka_producev(f->producer, RD_KAFKA_V_TOPIC(topic),
                RD_KAFKA_V_VALUE(json, (size_t)len), RD_KAFKA_V_TIMESTAMP(T0 + f->sent),
                RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END),
            0);
    }
    assert_int_equal(rd_kafka_flush(f->producer, 20000), 0);
}

/* POSTs to the path; the answer's body is in *out. */
static long post(struct fixture *f, const char *path, const char *form, struct buf *out)
{
    long status = 0;
    struct err err = {0};
    buf_clear(out);
    if (!ask_post(f->url, path, slice_from(form), 30000, out, &status, &err))
        fail_msg("%s", err.text);
    return status;
}

/* The value behind the text in the answer to an instant query; -1: there is none. */
static int total(struct fixture *f, const char *query)
{
    char form[256];
    int value = -1;
    struct buf body;
    buf_init(&body, 0);
    snprintf(form, sizeof form, "query=%s&time=%lld", query, (long long)(T0 / 1000 + 3600));
    assert_int_equal(post(f, "/api/v1/query", form, &body), 200);
    const char *at = strstr(buf_cstr(&body), "\"value\":[");
    if (at && (at = strstr(at, ",\"")))
        value = atoi(at + 2);
    buf_fini(&body);
    return value;
}

static void await_total(struct fixture *f, const char *query, int want)
{
    int have = total(f, query);
    for (int i = 0; i < 1000 && have < want; i++) {
        clock_sleep_ms(20);
        have = total(f, query);
    }
    assert_int_equal(have, want);
}

static double metric(struct fixture *f, const char *name)
{
    struct buf body;
    double value = -1;
    buf_init(&body, 0);
    assert_int_equal(client_get(service_port(f->service), "/metrics", &body), 200);
    const char *at = strstr(buf_cstr(&body), name);
    while (at && (at[-1] != '\n' || at[strlen(name)] != ' '))
        at = strstr(at + 1, name);
    if (at)
        value = atof(at + strlen(name) + 1);
    buf_fini(&body);
    return value;
}

static void *watch(void *arg)
{
    struct fixture *f = arg;
    while (!atomic_load(&f->end))
        metric(f, "larder_config_last_reload_successful");
    return NULL;
}

static void test_nothing_is_lost(void **state)
{
    struct fixture *f = *state;
    pthread_t watcher;
    struct err err = {0};
    assert_int_equal(pthread_create(&watcher, NULL, watch, f), 0);
    for (int i = 0; i < RELOADS; i++) {
        produce(f, "orders", EVENTS);
        write_config(f, i % 2 ? first_rollups : more);
        if (!service_reload(f->service, NULL, &err))
            fail_msg("%s", err.text);
    }
    await_total(f, "sum(increase(orders_total[2h]))", RELOADS * EVENTS);
    atomic_store(&f->end, true);
    pthread_join(watcher, NULL);
    assert_true(metric(f, "larder_events_duplicate_total{stream=\"orders\"}") == 0);
    assert_true(metric(f, "larder_ingest_partitions{stream=\"orders\"}") == 3);
}

/* A topic that comes with a reload is read from its beginning; one that went and comes back goes on
 * where it was. */
static void test_topics_come_and_go(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    produce(f, "audits", 10);
    write_config(f, more);
    assert_true(service_reload(f->service, NULL, &err));
    await_total(f, "sum(increase(audits_total[2h]))", 10);
    write_config(f, first_rollups);
    assert_true(service_reload(f->service, NULL, &err));
    produce(f, "audits", 5);
    produce(f, "orders", 7);
    await_total(f, "sum(increase(orders_total[2h]))", 7);
    assert_int_equal(total(f, "sum(increase(audits_total[2h]))"), 10);
    assert_true(metric(f, "larder_ingest_partitions{stream=\"audits\"}") == -1);
    write_config(f, more);
    assert_true(service_reload(f->service, NULL, &err));
    await_total(f, "sum(increase(audits_total[2h]))", 15);
}

/* Mistakes in the file, a setting that librdkafka refuses, and a metric that the store knows
 * otherwise. */
static void test_a_bad_config_changes_nothing(void **state)
{
    static const char *const bad[] = {"rollups: {orders_total: {kind: counter}}\n",
        "rollups: {orders_total: {kind: counter, from: orders}}\nstreams: {}\n",
        "rollups: {orders_total: {kind: counter, from: orders, every: 10s}}\n"};
    struct fixture *f = *state;
    struct buf body;
    buf_init(&body, 0);
    int n = (int)(sizeof bad / sizeof *bad);
    for (int i = 0; i < n; i++) {
        produce(f, "orders", EVENTS);
        write_config(f, bad[i]);
        assert_int_equal(post(f, "/-/reload", "", &body), 500);
        assert_non_null(strstr(buf_cstr(&body), "failed to reload config: "));
        assert_true(metric(f, "larder_config_last_reload_successful") == 0);
        await_total(f, "sum(increase(orders_total[2h]))", (i + 1) * EVENTS);
    }
    write_config(f, first_rollups);
    double before = metric(f, "larder_config_last_reload_success_timestamp_seconds");
    assert_int_equal(post(f, "/-/reload", "", &body), 200);
    assert_true(metric(f, "larder_config_last_reload_successful") == 1);
    assert_true(metric(f, "larder_config_last_reload_success_timestamp_seconds") > before);
    buf_fini(&body);
}

/* No streams at all, and again some. */
static void test_without_streams(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    produce(f, "orders", 20);
    await_total(f, "sum(increase(orders_total[2h]))", 20);
    FILE *file = fopen(f->file, "w");
    assert_non_null(file);
    fclose(file);
    assert_true(service_reload(f->service, NULL, &err));
    assert_null(service_ingest(f->service));
    produce(f, "orders", 20);
    write_config(f, first_rollups);
    assert_true(service_reload(f->service, NULL, &err));
    await_total(f, "sum(increase(orders_total[2h]))", 40);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(test_nothing_is_lost), TEST(test_topics_come_and_go),
        TEST(test_a_bad_config_changes_nothing), TEST(test_without_streams)};
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests_name("reload", tests, NULL, NULL);
}
