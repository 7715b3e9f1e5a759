/*
 * `arrival: partition`: whether an event is late follows from the events before it in its own
 * partition, and not from which partition was read first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cmd/config.h"
#include "ingest/intake.h"
#include "tests/store/support/folder.h"

#define HOUR_MS INT64_C(3600000)
#define NOON_MS INT64_C(1700049600000)

static const char config_text[] = "kafka: {brokers: \"localhost:9092\"}\n"
                                  "streams:\n"
                                  "  a:\n"
                                  "    topics: [a]\n"
                                  "    event_time: at\n"
                                  "    event_id: id\n"
                                  "    late: 1h\n"
                                  "    arrival: partition\n"
                                  "    fields: {id: string, at: time}\n"
                                  "rollups:\n"
                                  "  a_total: {kind: counter, from: a}\n";

struct run {
    char folder[FOLDER_MAX];
    struct config config;
    struct store *store;
    struct kafka_source *source;
    struct intake *intake;
    struct partition partitions[2];
};

static struct err err;

static void must(bool ok)
{
    if (!ok)
        fail_msg("%s", err.text);
}

static void begin(struct run *r)
{
    struct kafka_setting nowhere[] = {
        {SLICE("bootstrap.servers"), SLICE("127.0.0.1:1")}, {SLICE("log_level"), SLICE("0")}};
    struct err_list errors;
    char file[FOLDER_MAX + 16];
    *r = (struct run){0};
    folder_make("arrival", r->folder);
    snprintf(file, sizeof file, "%s/larder.yml", r->folder);
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    fputs(config_text, f);
    fclose(f);
    if (!config_load(file, NULL, 0, &r->config, &errors))
        fail_msg("%s", errors.items[0].text);
    err_list_fini(&errors);
    struct ingest_options options = {.kafka = nowhere, .n_kafka = 2, .streams = &r->config.streams};
    must(store_open(&(struct store_options){.path = r->folder}, &r->store, &err));
    must(kafka_source_new(&options, &r->source, &err));
    r->intake = intake_new(r->store, &r->config.streams, r->source, 1, 64 << 10, NULL);
    for (int i = 0; i < 2; i++) {
        r->partitions[i] = (struct partition){.id = i, .newest_ms = INT64_MIN};
        marks_init(&r->partitions[i].marks);
        snprintf(r->partitions[i].name, sizeof r->partitions[i].name, "a/%d", i);
    }
}

static void end(struct run *r)
{
    intake_free(&r->intake);
    kafka_source_free(&r->source);
    store_close(&r->store);
    config_free(&r->config);
    folder_remove(r->folder);
}

static void take(struct run *r, int partition, const char *id, int64_t time_ms)
{
    char text[128];
    size_t taken;
    int n = snprintf(text, sizeof text, "{\"id\":\"%s\",\"at\":%lld}", id, (long long)time_ms);
    struct partition *p = &r->partitions[partition];
    struct kafka_record record = {.partition = p,
        .offset = p->next++,
        .timestamp_ms = NOON_MS,
        .value = slice_of(text, (size_t)n)};
    must(intake_records(r->intake, &record, 1, &taken, &err));
    assert_int_equal(taken, 1);
}

/* The first event was sent twice, to either partition. */
static void take_partition(struct run *r, int partition)
{
    take(r, partition, "first", NOON_MS);
    if (partition == 1)
        take(r, partition, "second", NOON_MS - 2 * HOUR_MS);
}

static void test_order_of_partitions(void **state)
{
    (void)state;
    for (int first = 0; first < 2; first++) {
        struct run r;
        begin(&r);
        take_partition(&r, first);
        take_partition(&r, 1 - first);
        struct tally all = {0};
        tally_add(&all, &r.partitions[0].tally);
        tally_add(&all, &r.partitions[1].tally);
        assert_int_equal(all.accepted, 1);
        assert_int_equal(all.duplicates, 1);
        assert_int_equal(all.refused[REFUSED_LATE], 1);
        for (int i = 0; i < 2; i++)
            assert_int_equal(r.partitions[i].newest_ms, NOON_MS);
        end(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_of_partitions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
