/*
 * Batches that do not read, among others that do, in one answer of the broker: what comes before
 * one counts once, nothing behind it does until somebody decides, and then everything that is good
 * does.
 */
#include "tests/ingest/mock_ingest.h"
#include "tests/ingest/support/raw_log.h"

#define PARTITIONS 5
#define FIRST_MS   1000000
/* Of partition 2, whose events lie so far ahead that others hold it for a time. */
#define AHEAD_MS 3600000

static int setup(void **state)
{
    struct mock_ingest *f = *state = mock_new("orders");
    mock_topic(f, "orders", PARTITIONS);
    return 0;
}

static int teardown(void **state)
{
    mock_free(*state);
    return 0;
}

/* ---- what lies in the log ---- */

static int64_t time_of(int partition)
{
    return FIRST_MS + (partition == 2 ? AHEAD_MS : 0);
}

static struct slice event(struct mock_ingest *f, int partition, int64_t offset)
{
    char json[256];
    snprintf(json, sizeof json,
        "{\"event_id\":\"%d-%d\",\"type\":\"placed\",\"occurred_at\":%lld,\"market\":\"m\"}",
        partition, (int)offset, (long long)time_of(partition));
    return arena_slice(&f->arena, slice_from(json));
}

static void batch(struct mock_ingest *f, struct buf *out, int partition, int64_t base, size_t n,
    int32_t said, enum raw_state state)
{
    struct slice values[8];
    for (size_t i = 0; i < n; i++)
        values[i] = event(f, partition, base + (int64_t)i);
    raw_batch(out, base, values, n, said, time_of(partition), state);
}

static void message(
    struct mock_ingest *f, struct buf *out, int partition, int64_t offset, enum raw_state state)
{
    raw_message(out, offset, event(f, partition, offset), time_of(partition), state);
}

static void append(struct mock_ingest *f, int partition, struct buf *records)
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
static void fill(struct mock_ingest *f)
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

static void test_good_before_broken_counts_once(void **state)
{
    struct mock_ingest *f = *state;
    fill(f);
    mock_start(f);
    mock_wait(f, 4, 2 + 1 + 2 + 3 + 1);
    mock_is(f, "orders/0", "halted", 2);
    mock_is(f, "orders/1", "halted", 1);
    mock_is(f, "orders/2", "halted", 2);
    mock_is(f, "orders/4", "halted", 1);
    mock_do(f, SOURCE_SKIP, "orders/1");
    mock_do(f, SOURCE_SKIP, "orders/2");
    mock_do(f, SOURCE_SKIP, "orders/4");
    struct stream_stats s = mock_wait(f, 1, 2 + 3 + 4 + 3 + 2);
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
