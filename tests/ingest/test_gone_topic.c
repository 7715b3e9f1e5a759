/*
 * A topic that a pattern has found is deleted: its partition halts, and the clocks of its stream
 * stand still, until somebody gives it up, which outlives restarts; when it is there again it is
 * read on.
 */
#include "tests/ingest/mock_ingest.h"

static int setup(void **state)
{
    struct mock_ingest *f = *state = mock_new("^orders[.].*");
    mock_topic(f, "orders.a", 1);
    mock_topic(f, "orders.b", 1);
    return 0;
}

static int teardown(void **state)
{
    mock_free(*state);
    return 0;
}

static void produce(struct mock_ingest *f, const char *topic, int number)
{
    char json[256], text[256];
    int n = snprintf(json, sizeof json,
        "{\"event_id\":\"%s-%d\",\"type\":\"placed\",\"occurred_at\":1000000,\"market\":\"m\"}",
        topic, number);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", f->brokers, NULL, 0);
    rd_kafka_conf_set(conf, "log_level", "2", NULL, 0);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    assert_int_equal(rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic),
                         RD_KAFKA_V_VALUE(json, (size_t)n), RD_KAFKA_V_TIMESTAMP(1000000),
                         RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END),
        0);
    assert_int_equal(rd_kafka_flush(rk, 20000), 0);
    rd_kafka_destroy(rk);
}

static void hide(struct mock_ingest *f, const char *topic, bool hidden)
{
    rd_kafka_mock_topic_set_error(f->cluster, topic,
        hidden ? RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART : RD_KAFKA_RESP_ERR_NO_ERROR);
}

/* The frontier of what was read to its end goes with the wall clock. */
static void goes_on(struct mock_ingest *f)
{
    int64_t now_ms = clock_now_ms();
    struct stream_stats s = mock_stats(f);
    for (int ms = 0; ms < WAIT_MS && s.frontier_ms <= now_ms; ms += 10) {
        clock_sleep_ms(10);
        s = mock_stats(f);
    }
    assert_true(s.frontier_ms > now_ms);
}

static void stands_still(struct mock_ingest *f)
{
    clock_sleep_ms(1500);
    int64_t frontier_ms = mock_stats(f).frontier_ms;
    clock_sleep_ms(1500);
    assert_int_equal(mock_stats(f).frontier_ms, frontier_ms);
}

static void test_given_up(void **state)
{
    struct mock_ingest *f = *state;
    produce(f, "orders.a", 1);
    produce(f, "orders.b", 1);
    mock_start(f);
    mock_wait(f, 0, 2);
    goes_on(f);
    hide(f, "orders.b", true);
    mock_wait(f, 1, 2);
    stands_still(f);
    mock_do(f, SOURCE_SKIP, "orders.b");
    mock_is(f, "orders.b/0", "given_up", 1);
    goes_on(f);
    struct stream_stats s = mock_wait(f, 0, 2);
    assert_int_equal(s.partitions, 1);
    assert_true(s.caught_up);
    mock_stop(f);
    mock_start(f);
    goes_on(f);
    mock_is(f, "orders.b/0", "given_up", 1);
    mock_wait(f, 0, 2);
    hide(f, "orders.b", false);
    produce(f, "orders.b", 2);
    s = mock_wait(f, 0, 3);
    assert_int_equal(s.partitions, 2);
    goes_on(f);
}

/* What the config names is looked for as long as it does. */
static void test_named_is_not_given_up(void **state)
{
    struct mock_ingest *f = *state;
    struct source_answer answer;
    struct err err = {0};
    f->orders.topic = SLICE("orders.b");
    produce(f, "orders.b", 1);
    mock_start(f);
    mock_wait(f, 0, 1);
    hide(f, "orders.b", true);
    mock_wait(f, 1, 1);
    assert_false(mock_ask(f, SOURCE_SKIP, "orders.b/0", &answer, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_non_null(strstr(err.text, "leaves the config"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_given_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_named_is_not_given_up, setup, teardown),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
