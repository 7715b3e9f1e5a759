/*
 * `larder source skip` goes behind what a partition is halted for, and no further; the hole is what
 * was left out of it.
 */
#include "tests/ingest/mock_ingest.h"
#include "tests/ingest/support/raw_log.h"

#define NOW_MS 1000000
#define BIG    (1u << 20) /* the mock keeps 5 MiB of a partition */

static int setup(void **state)
{
    struct mock_ingest *f = *state = mock_new("orders");
    mock_topic(f, "orders", 1);
    return 0;
}

static int teardown(void **state)
{
    mock_free(*state);
    return 0;
}

/* n records from the offset on, in one batch. `log` makes the events of one log differ from those
 * of another one. */
static void append(
    struct mock_ingest *f, const char *log, int64_t offset, size_t n, enum raw_state state)
{
    struct slice values[8];
    struct buf b;
    buf_init(&b, 0);
    for (size_t i = 0; i < n; i++) {
        char json[256];
        snprintf(json, sizeof json,
            "{\"event_id\":\"%s-%d\",\"type\":\"placed\",\"occurred_at\":1000000,\"market\":\"m\"}",
            log, (int)offset + (int)i);
        values[i] = arena_slice(&f->arena, slice_from(json));
    }
    raw_batch(&b, offset, values, n, (int32_t)n, NOW_MS, state);
    raw_append(f->brokers, "orders", 0, buf_view(&b));
    buf_fini(&b);
}

static void append_big(struct mock_ingest *f, int64_t offset, enum raw_state state)
{
    char *bytes = malloc(BIG);
    memset(bytes, 'x', BIG);
    struct slice value = slice_of(bytes, BIG);
    struct buf b;
    buf_init(&b, 0);
    raw_batch(&b, offset, &value, 1, 1, NOW_MS, state);
    raw_append(f->brokers, "orders", 0, buf_view(&b));
    buf_fini(&b);
    free(bytes);
}

static struct source_row row(struct mock_ingest *f)
{
    struct source_answer answer;
    struct err err = {0};
    assert_true(mock_ask(f, SOURCE_LIST, "orders/0", &answer, &err));
    return answer.rows[0];
}

static void assert_hole(struct mock_ingest *f, int64_t from, int64_t to)
{
    struct source_row r = row(f);
    assert_int_equal(r.marks.n_holes, 1);
    assert_int_equal(r.marks.holes[0].from, from);
    assert_int_equal(r.marks.holes[0].to, to);
}

static void another_cluster(struct mock_ingest *f)
{
    mock_stop(f);
    rd_kafka_mock_cluster_destroy(f->cluster);
    f->cluster = rd_kafka_mock_cluster_new(f->host, 1);
    snprintf(f->brokers, sizeof f->brokers, "%s", rd_kafka_mock_cluster_bootstraps(f->cluster));
    f->settings[0].value = slice_from(f->brokers);
    mock_topic(f, "orders", 1);
}

/* Nothing of a log that is another one is taken for what comes next. */
static void test_made_anew(void **state)
{
    struct mock_ingest *f = *state;
    append(f, "old", 0, 3, RAW_GOOD);
    mock_start(f);
    mock_wait(f, 0, 3);
    another_cluster(f);
    append(f, "new", 0, 5, RAW_GOOD);
    mock_start(f);
    mock_wait(f, 1, 3);
    mock_is(f, "orders/0", "halted", 3);
    mock_do(f, SOURCE_SKIP, "orders/0");
    append(f, "new", 5, 1, RAW_GOOD);
    mock_wait(f, 0, 4);
    assert_hole(f, 3, 5);
}

/* One that was never read has lost nothing before its log's beginning. */
static void test_broken_where_a_log_begins(void **state)
{
    struct mock_ingest *f = *state;
    for (int64_t i = 0; i < 7; i++)
        append_big(f, i, RAW_BAD_CRC);
    mock_start(f);
    mock_wait(f, 1, 0);
    mock_is(f, "orders/0", "halted", -1);
    mock_do(f, SOURCE_SKIP, "orders/0");
    int64_t next = row(f).next;
    assert_true(next > 1); /* the mock has forgotten the first ones */
    assert_hole(f, next - 1, next);
}

/* The batch that does not read has only what was read already, which cannot be compared then. */
static void test_broken_behind_the_position(void **state)
{
    struct mock_ingest *f = *state;
    append(f, "same", 0, 2, RAW_GOOD);
    mock_start(f);
    mock_wait(f, 0, 2);
    another_cluster(f);
    append(f, "same", 0, 2, RAW_BAD_CRC);
    append(f, "same", 2, 1, RAW_GOOD);
    mock_start(f);
    mock_wait(f, 1, 2);
    mock_is(f, "orders/0", "halted", 2);
    mock_do(f, SOURCE_SKIP, "orders/0");
    mock_wait(f, 0, 3);
    assert_int_equal(row(f).marks.n_holes, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_made_anew),
        TEST(test_broken_where_a_log_begins),
        TEST(test_broken_behind_the_position),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
