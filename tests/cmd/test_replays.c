/*
 * Replays of rollups in a whole server: what is refused and when, what is told, and what of it
 * outlives a restart. That the cells are the right ones is shown by tests/e2e/test_replay.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "tests/cmd/support/running.h"

#define FETCH 1 /* a request of Kafka's protocol */
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

static const char plain[] = HEAD "rollups:\n"
                                 "  orders_total: {kind: counter, from: orders, by: [market]}\n";
static const char open[] =
    HEAD "lifecycles:\n"
         "  life: {key: id, stages: {one: orders.market == \"m0\", two: orders.market == \"m1\"},\n"
         "         ends: [two], expire: 6h}\n"
         "rollups:\n"
         "  orders_total: {kind: counter, from: orders, by: [market]}\n"
         "  lives_open: {kind: level, from: life, at: open}\n";

static int setup(void **state)
{
    struct running *r = calloc(1, sizeof *r);
    running_open(r, plain);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    running_close(*state);
    free(*state);
    return 0;
}

/* The answer is kept in a text that is good until the next one. */
static const char *ask(struct running *r, const char *path, const char *form, long want)
{
    static char text[4096];
    struct buf body;
    buf_init(&body, 0);
    long status = running_post(r, path, form, &body);
    snprintf(text, sizeof text, "%s", buf_cstr(&body));
    buf_fini(&body);
    if (status != want)
        fail_msg("%s %s: %ld %s", path, form, status, text);
    return text;
}

static void assert_says(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("not in it: %s\n%s", part, text);
}

static void reload(struct running *r, const char *text)
{
    struct err err = {0};
    running_write(r, text);
    if (!service_reload(r->service, NULL, &err))
        fail_msg("%s", err.text);
}

/* Waits for its end; the last status. */
static const char *await_end(struct running *r)
{
    const char *text = NULL;
    for (int i = 0; i < 600; i++) {
        text = ask(r, "/api/v1/replay/status", "", 200);
        if (!strstr(text, "\"state\":\"running\""))
            return text;
        clock_sleep_ms(50);
    }
    fail_msg("it does not end: %s", text);
    return text;
}

/* A life that began before the boundary would be counted down behind it, and never up. */
static void test_open_lives_have_no_boundary(void **state)
{
    struct running *r = *state;
    char form[64];
    reload(r, open);
    running_produce(r, "orders", 100);
    running_await(r, "lives_open", 20);
    snprintf(form, sizeof form, "rollup=lives_open&from=%lld", (long long)RUNNING_T0 / 1000);
    assert_says(ask(r, "/api/v1/replay", form, 422), "only as a whole");
    ask(r, "/api/v1/replay", "rollup=lives_open", 200);
    assert_says(await_end(r), "\"state\":\"done\"");
    assert_int_equal(running_total(r, "lives_open"), 20);
}

/* Not its own definition has changed, but what its events are. */
static void test_another_contract_is_taken_over_first(void **state)
{
    struct running *r = *state;
    char other[sizeof plain];
    running_produce(r, "orders", 100);
    running_await(r, "sum(increase(orders_total[2h]))", 100);
    snprintf(other, sizeof other, "%s", plain);
    memcpy(strstr(other, "late: 24h"), "late: 20h", 9);
    running_write(r, other);
    assert_says(ask(r, "/api/v1/replay", "rollup=orders_total", 400), "SIGHUP takes it over");
    reload(r, other);
    assert_says(ask(r, "/api/v1/replay/status", "", 200), "\"state\":\"none\"");
    ask(r, "/api/v1/replay", "rollup=orders_total", 200);
    reload(r, other); /* the same: nothing is in its way */
    assert_says(await_end(r), "\"state\":\"done\"");
    assert_int_equal(running_total(r, "sum(increase(orders_total[2h]))"), 100);
}

static void test_the_end_is_told_after_a_restart(void **state)
{
    struct running *r = *state;
    running_produce(r, "orders", 100);
    running_await(r, "sum(increase(orders_total[2h]))", 100);
    ask(r, "/api/v1/replay", "rollup=orders_total", 200);
    assert_says(await_end(r), "\"state\":\"done\"");
    running_restart(r);
    const char *text = ask(r, "/api/v1/replay/status", "", 200);
    assert_says(text, "\"rollup\":\"orders_total\",\"state\":\"done\"");
    ask(r, "/api/v1/replay", "rollup=orders_total&from=1900000000", 200);
    assert_says(await_end(r), "nothing to replay");
    running_restart(r);
    text = ask(r, "/api/v1/replay/status", "", 200);
    assert_says(text, "\"state\":\"failed\"");
    assert_says(text, "nothing to replay");
}

/* While records do not come, the replay cannot be level with the ingestion. */
static void test_a_pause_for_nothing_is_told(void **state)
{
    struct running *r = *state;
    rd_kafka_resp_err_t errors[1000];
    for (int i = 0; i < 1000; i++)
        errors[i] = RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT;
    running_produce(r, "orders", 100);
    running_await(r, "sum(increase(orders_total[2h]))", 100);
    rd_kafka_mock_push_request_errors_array(r->cluster, FETCH, 1000, errors);
    ask(r, "/api/v1/replay", "rollup=orders_total", 200);
    const char *text = "";
    for (int i = 0; i < 300 && !strstr(text, "was not level"); i++) {
        clock_sleep_ms(100);
        text = ask(r, "/api/v1/replay/status", "", 200);
    }
    for (int i = 0; i < 20; i++) {
        clock_sleep_ms(100);
        assert_says(ask(r, "/api/v1/replay/status", "", 200), "was not level");
    }
    rd_kafka_mock_clear_request_errors(r->cluster, FETCH);
    assert_says(await_end(r), "\"state\":\"done\"");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_open_lives_have_no_boundary),
        TEST(test_another_contract_is_taken_over_first),
        TEST(test_the_end_is_told_after_a_restart),
        TEST(test_a_pause_for_nothing_is_told),
    };
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests_name("replays", tests, NULL, NULL);
}
