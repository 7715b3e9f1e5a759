/* Whose topics are whose, by a topic's name and by a partition's. */
#include "ingest/stream_topics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ingest/partition.h"

static struct slice one[] = {SLICE("orders"), SLICE("__kept"), SLICE("^(not closed")};
static struct slice two[] = {SLICE("^orders"), SLICE("^.*")};
static struct stream streams[] = {
    {.topics = one, .n_topics = 3},
    {.topics = two, .n_topics = 2},
};

static const struct {
    const char *name;
    int topic, source; /* its stream when it is a topic, and when it is a source */
    bool by_pattern;
} cases[] = {
    {"orders", 0, -1, false},
    {"orders2", 1, -1, true},
    {"__kept", 0, -1, false},
    {"__consumer_offsets", -1, -1, true},
    {"orders/0", 1, 0, true},
    {"orders/999999", 1, 0, true},
    {"orders/1000000", 1, -1, true},
    {"orders/", 1, -1, true},
    {"orders/-1", 1, -1, true},
    {"orders/1x", 1, -1, true},
    {"/0", 1, -1, true},
    {"", 1, -1, true},
    {"__kept/7", -1, 0, true},
    {"__consumer_offsets/7", -1, -1, true},
    {"dead-letters/orders/0", 1, -1, true},
    {"first/orders/0", 1, -1, true},
    {"lifecycle/order", 1, -1, true},
};

static void test_whose(void **state)
{
    struct streams all = {.streams = streams, .n_streams = 2};
    struct stream_topics *topics = stream_topics_new(&all);
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct slice name = slice_from(cases[i].name);
        bool by_pattern;
        if (stream_topics_find(topics, name, &by_pattern) != cases[i].topic ||
            by_pattern != cases[i].by_pattern)
            fail_msg("topic '%s'", cases[i].name);
        if (stream_topics_of(topics, name) != cases[i].source)
            fail_msg("source '%s'", cases[i].name);
    }
    stream_topics_free(&topics);
    assert_null(topics);
}

static void test_split(void **state)
{
    struct slice topic;
    int32_t id;
    (void)state;
    assert_true(partition_name_split(SLICE("a.b-c_d/042"), &topic, &id));
    assert_true(slice_is(topic, "a.b-c_d"));
    assert_int_equal(id, 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_whose), cmocka_unit_test(test_split)};
    return cmocka_run_group_tests_name("stream_topics", tests, NULL, NULL);
}
