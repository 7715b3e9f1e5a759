/*
 * Batches that do not read, among others that do, in one answer of the broker: what comes before
 * one counts once, nothing behind it does until somebody decides, and then everything that is good
 * does.
 */
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
#include "tests/ingest/support/raw_log.h"
#include "tests/store/support/folder.h"

#define WAIT_MS    60000
#define PARTITIONS 5
#define FIRST_MS   1000000
/* Of partition 2, whose events lie so far ahead that others hold it for a time. */
#define AHEAD_MS 3600000

struct fixture {
    struct orders orders;
    char dir[64], brokers[256];
    rd_kafka_t *host;
    rd_kafka_mock_cluster_t *cluster;
    struct kafka_setting settings[1];
    struct store *store;
    struct ingest *ingest;
    struct arena arena;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[256];
    folder_new("broken", f->dir, sizeof f->dir);
    rd_kafka_conf_set(conf, "log_level", "2", NULL, 0);
    f->host = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    assert_non_null(f->host);
    f->cluster = rd_kafka_mock_cluster_new(f->host, 1);
    snprintf(f->brokers, sizeof f->brokers, "%s", rd_kafka_mock_cluster_bootstraps(f->cluster));
    assert_int_equal(rd_kafka_mock_topic_create(f->cluster, "orders", PARTITIONS, 1), 0);
    f->settings[0] = (struct kafka_setting){SLICE("bootstrap.servers"), slice_from(f->brokers)};
    orders_init(&f->orders, "orders");
    arena_init(&f->arena, 0);
    *state = f;
    return 0;
}

static void start(struct fixture *f)
{
    struct store_options store = {.path = f->dir};
    struct ingest_options options = {
        .kafka = f->settings, .n_kafka = 1, .streams = &f->orders.streams};
    struct err err = {0};
    if (!store_open(&store, &f->store, &err) || !ingest_start(f->store, &options, &f->ingest, &err))
        fail_msg("%s", err.text);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    ingest_stop(&f->ingest);
    store_close(&f->store);
    rd_kafka_mock_cluster_destroy(f->cluster);
    rd_kafka_destroy(f->host);
    orders_fini(&f->orders);
    arena_fini(&f->arena);
    folder_remove(f->dir);
    free(f);
    return 0;
}

/* ---- what lies in the log ---- */

static int64_t time_of(int partition)
{
    return FIRST_MS + (partition == 2 ? AHEAD_MS : 0);
}

static struct slice event(struct fixture *f, int partition, int64_t offset)
{
    char json[256];
    snprintf(json, sizeof json,
        "{\"event_id\":\"%d-%d\",\"type\":\"placed\",\"occurred_at\":%lld,\"market\":\"m\"}",
        partition, (int)offset, (long long)time_of(partition));
    return arena_slice(&f->arena, slice_from(json));
}

static void batch(struct fixture *f, struct buf *out, int partition, int64_t base, size_t n,
    int32_t said, enum raw_state state)
{
    struct slice values[8];
    for (size_t i = 0; i < n; i++)
        values[i] = event(f, partition, base + (int64_t)i);
    raw_batch(out, base, values, n, said, time_of(partition), state);
}

static void message(
    struct fixture *f, struct buf *out, int partition, int64_t offset, enum raw_state state)
{
    raw_message(out, offset, event(f, partition, offset), time_of(partition), state);
}

static void append(struct fixture *f, int partition, struct buf *records)
{
    raw_append(f->brokers, "orders", partition, buf_view(records));
    buf_clear(records);
}

/*
 *     0   good good | broken | good good       one answer
 *     1   good                                 and others: broken; good good
 *     2   good good | broken                   and another one: good good
 *     3   good good good
 *     4   good | broken inside                 and another one: good
 */
static void fill(struct fixture *f)
{
    struct buf b;
    buf_init(&b, 0);
    batch(f, &b, 0, 0, 2, 5, RAW_GOOD);
    message(f, &b, 0, 2, RAW_BAD_CRC);
    message(f, &b, 0, 3, RAW_GOOD);
    message(f, &b, 0, 4, RAW_GOOD);
    append(f, 0, &b);
    batch(f, &b, 1, 0, 1, 1, RAW_GOOD);
    append(f, 1, &b);
    batch(f, &b, 1, 1, 1, 1, RAW_BAD_CRC);
    append(f, 1, &b);
    batch(f, &b, 1, 2, 2, 2, RAW_GOOD);
    append(f, 1, &b);
    batch(f, &b, 2, 0, 2, 3, RAW_GOOD);
    message(f, &b, 2, 2, RAW_BAD_CRC);
    append(f, 2, &b);
    batch(f, &b, 2, 3, 2, 2, RAW_GOOD);
    append(f, 2, &b);
    batch(f, &b, 3, 0, 3, 3, RAW_GOOD);
    append(f, 3, &b);
    batch(f, &b, 4, 0, 1, 2, RAW_GOOD);
    batch(f, &b, 4, 1, 1, 1, RAW_BAD_ZSTD);
    append(f, 4, &b);
    batch(f, &b, 4, 2, 1, 1, RAW_GOOD);
    append(f, 4, &b);
    buf_fini(&b);
}

/* ---- what is seen ---- */

static struct stream_stats stats_of(struct fixture *f)
{
    struct ingest_stats stats;
    struct stream_stats stream;
    assert_int_equal(ingest_stats(f->ingest, &stats, &stream, 1), 1);
    return stream;
}

static struct stream_stats wait_for(struct fixture *f, uint32_t halted, uint64_t accepted)
{
    struct stream_stats s = stats_of(f);
    for (int ms = 0; ms < WAIT_MS && (s.halted != halted || s.accepted != accepted); ms += 10) {
        clock_sleep_ms(10);
        s = stats_of(f);
    }
    assert_int_equal(s.halted, halted);
    assert_int_equal(s.accepted, accepted);
    assert_int_equal(s.duplicates, 0);
    return s;
}

static struct source_answer ask(struct fixture *f, enum source_action action, const char *target)
{
    struct source_request request = {
        .action = action, .target = slice_from(target), .who = SLICE("test"), .now_ms = 1};
    struct source_answer answer;
    struct err err = {0};
    struct source_desk *desk = ingest_desk_get(f->ingest);
    bool ok = source_desk_ask(desk, &request, WAIT_MS, &f->arena, &answer, &err);
    source_desk_put(&desk);
    if (!ok)
        fail_msg("%s", err.text);
    return answer;
}

static void assert_at(struct fixture *f, const char *partition, const char *state, int64_t next)
{
    struct source_answer a = ask(f, SOURCE_LIST, partition);
    assert_int_equal(a.n, 1);
    assert_string_equal(a.rows[0].state, state);
    assert_int_equal(a.rows[0].next, next);
}

static void test_good_before_broken_counts_once(void **state)
{
    struct fixture *f = *state;
    fill(f);
    start(f);
    wait_for(f, 4, 2 + 1 + 2 + 3 + 1);
    assert_at(f, "orders/0", "halted", 2);
    assert_at(f, "orders/1", "halted", 1);
    assert_at(f, "orders/2", "halted", 2);
    assert_at(f, "orders/4", "halted", 1);
    ask(f, SOURCE_SKIP, "orders/1");
    ask(f, SOURCE_SKIP, "orders/2");
    ask(f, SOURCE_SKIP, "orders/4");
    struct stream_stats s = wait_for(f, 1, 2 + 3 + 4 + 3 + 2);
    assert_int_equal(s.lost, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_good_before_broken_counts_once, setup, teardown),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
