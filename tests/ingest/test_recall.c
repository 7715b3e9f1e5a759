/* Which sources of the store are partitions that were read before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ingest/kafka_source.h"

static void found(void *ctx, struct partition *p)
{
    (void)p;
    ++*(int *)ctx;
}

/* A pattern may match what the store calls other things. */
static void test_sources_of_others(void **state)
{
    static const struct slice topics[] = {{"^.*", 3}};
    static const struct stream stream = {.name = {"all", 3}, .topics = topics, .n_topics = 1};
    static const struct {
        const char *name;
        bool is_partition;
    } cases[] = {{"orders/0", true}, {"eu.orders-2/17", true}, {"dead-letters/orders-dlq/0", false},
        {"dedupe/orders", false}, {"lifecycle/order", false}, {"letters/orders/sent", false},
        {"orders/", false}, {"/3", false}, {"orders/-1", false}, {"orders/1x", false},
        {"__consumer_offsets/0", false}, {"orders", false}};
    struct streams streams = {.streams = &stream, .n_streams = 1};
    struct kafka_setting nowhere[] = {
        {SLICE("bootstrap.servers"), SLICE("127.0.0.1:1")}, {SLICE("log_level"), SLICE("0")}};
    struct ingest_options options = {.kafka = nowhere, .n_kafka = 2, .streams = &streams};
    struct kafka_source *source;
    struct err err;
    (void)state;
    if (!kafka_source_new(&options, &source, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int n = 0;
        kafka_source_recall(source, slice_from(cases[i].name), 0, found, &n);
        if (n != cases[i].is_partition)
            fail_msg("%s: %d partitions", cases[i].name, n);
    }
    kafka_source_free(&source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sources_of_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
