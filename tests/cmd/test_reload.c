/*
 * The service with another config: events go on while it is taken over again and again and /metrics
 * is read meanwhile, each counts once, and a config that does not check changes nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "tests/cmd/support/running.h"

#define RELOADS 12
#define EVENTS  200 /* before each reload */

struct fixture {
    struct running server;
    atomic_bool end;
};

#define HEAD                                                                                       \
    "streams:\n"                                                                                   \
    "  orders:\n"                                                                                  \
    "    topics: [orders]\n"                                                                       \
    "    event_time: at\n"                                                                         \
    "    event_id: id\n"                                                                           \
    "    late: 24h\n"                                                                              \
    "    fields:\n"                                                                                \
    "      id: {type: string, required: true}\n"                                                   \
    "      at: {type: time, required: true}\n"                                                     \
    "      market: {type: string, required: true}\n"

static const char first[] = HEAD "rollups:\n"
                                 "  orders_total: {kind: counter, from: orders, by: [market]}\n";

/* One more stream, whose name sorts elsewhere, and some more rollups. */
static const char more[] = HEAD "  audits:\n"
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

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    running_open(&f->server, first);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    running_close(&f->server);
    free(f);
    return 0;
}

static void *watch(void *arg)
{
    struct fixture *f = arg;
    while (!atomic_load(&f->end))
        running_metric(&f->server, "larder_config_last_reload_successful");
    return NULL;
}

static void test_nothing_is_lost(void **state)
{
    struct fixture *f = *state;
    pthread_t watcher;
    struct err err = {0};
    assert_int_equal(pthread_create(&watcher, NULL, watch, f), 0);
    for (int i = 0; i < RELOADS; i++) {
        running_produce(&f->server, "orders", EVENTS);
        running_write(&f->server, i % 2 ? first : more);
        if (!service_reload(f->server.service, NULL, &err))
            fail_msg("%s", err.text);
    }
    running_await(&f->server, "sum(increase(orders_total[2h]))", RELOADS * EVENTS);
    atomic_store(&f->end, true);
    pthread_join(watcher, NULL);
    assert_true(
        running_metric(&f->server, "larder_events_duplicate_total{stream=\"orders\"}") == 0);
    assert_true(running_metric(&f->server, "larder_ingest_partitions{stream=\"orders\"}") == 3);
}

/* A topic that comes with a reload is read from its beginning; one that went and comes back goes on
 * where it was. */
static void test_topics_come_and_go(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    running_produce(&f->server, "audits", 10);
    running_write(&f->server, more);
    assert_true(service_reload(f->server.service, NULL, &err));
    running_await(&f->server, "sum(increase(audits_total[2h]))", 10);
    running_write(&f->server, first);
    assert_true(service_reload(f->server.service, NULL, &err));
    running_produce(&f->server, "audits", 5);
    running_produce(&f->server, "orders", 7);
    running_await(&f->server, "sum(increase(orders_total[2h]))", 7);
    assert_int_equal(running_total(&f->server, "sum(increase(audits_total[2h]))"), 10);
    assert_true(running_metric(&f->server, "larder_ingest_partitions{stream=\"audits\"}") == -1);
    running_write(&f->server, more);
    assert_true(service_reload(f->server.service, NULL, &err));
    running_await(&f->server, "sum(increase(audits_total[2h]))", 15);
}

/* Mistakes in the file, a setting that librdkafka refuses, and a metric that the store knows
 * otherwise. */
static void test_a_bad_config_changes_nothing(void **state)
{
    static const char *const bad[] = {HEAD "rollups: {orders_total: {kind: counter}}\n",
        HEAD "rollups: {orders_total: {kind: counter, from: orders}}\nstreams: {}\n",
        HEAD "rollups: {orders_total: {kind: counter, from: orders, every: 10s}}\n"};
    struct fixture *f = *state;
    struct buf body;
    buf_init(&body, 0);
    int n = (int)(sizeof bad / sizeof *bad);
    for (int i = 0; i < n; i++) {
        running_produce(&f->server, "orders", EVENTS);
        running_write(&f->server, bad[i]);
        assert_int_equal(running_post(&f->server, "/-/reload", "", &body), 500);
        assert_non_null(strstr(buf_cstr(&body), "failed to reload config: "));
        assert_true(running_metric(&f->server, "larder_config_last_reload_successful") == 0);
        running_await(&f->server, "sum(increase(orders_total[2h]))", (i + 1) * EVENTS);
    }
    running_write(&f->server, first);
    double before =
        running_metric(&f->server, "larder_config_last_reload_success_timestamp_seconds");
    assert_int_equal(running_post(&f->server, "/-/reload", "", &body), 200);
    assert_true(running_metric(&f->server, "larder_config_last_reload_successful") == 1);
    assert_true(
        running_metric(&f->server, "larder_config_last_reload_success_timestamp_seconds") > before);
    buf_fini(&body);
}

/* No streams at all, and again some. */
static void test_without_streams(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    running_produce(&f->server, "orders", 20);
    running_await(&f->server, "sum(increase(orders_total[2h]))", 20);
    FILE *file = fopen(f->server.file, "w");
    assert_non_null(file);
    fclose(file);
    assert_true(service_reload(f->server.service, NULL, &err));
    assert_null(service_ingest(f->server.service));
    running_produce(&f->server, "orders", 20);
    running_write(&f->server, first);
    assert_true(service_reload(f->server.service, NULL, &err));
    running_await(&f->server, "sum(increase(orders_total[2h]))", 40);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(test_nothing_is_lost), TEST(test_topics_come_and_go),
        TEST(test_a_bad_config_changes_nothing), TEST(test_without_streams)};
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests_name("reload", tests, NULL, NULL);
}
