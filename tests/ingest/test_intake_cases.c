/* Records through the intake, by hand: cases that the shipped config does not have. */
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
                                  "    fields: {id: string, at: time, note: string}\n"
                                  "rollups:\n"
                                  "  a_total: {kind: counter, from: a}\n"
                                  "  b_total: {kind: counter, from: a, by: [note]}\n"
                                  "  c_total: {kind: counter, from: a, by: [note]}\n"
                                  "  d_total: {kind: counter, from: a, by: [note]}\n";

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

static void begin_with(struct run *r, const char *text, size_t memory_bytes)
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
    fputs(text, f);
    fclose(f);
    if (!config_load(file, NULL, 0, &r->config, &errors))
        fail_msg("%s", errors.items[0].text);
    err_list_fini(&errors);
    struct ingest_options options = {.kafka = nowhere, .n_kafka = 2, .streams = &r->config.streams};
    must(store_open(&(struct store_options){.path = r->folder}, &r->store, &err));
    must(kafka_source_new(&options, &r->source, &err));
    r->intake = intake_new(r->store, &r->config.streams, r->source, 1, memory_bytes, NULL);
    for (int i = 0; i < 2; i++) {
        r->partitions[i] = (struct partition){.id = i, .newest_ms = INT64_MIN};
        marks_init(&r->partitions[i].marks);
        snprintf(r->partitions[i].name, sizeof r->partitions[i].name, "a/%d", i);
    }
}

static void begin(struct run *r, const char *text)
{
    begin_with(r, text, 64 << 10);
}

static void end(struct run *r)
{
    intake_free(&r->intake);
    kafka_source_free(&r->source);
    store_close(&r->store);
    config_free(&r->config);
    folder_remove(r->folder);
}

static void take_text(struct run *r, int partition, const char *text, int n)
{
    size_t taken;
    struct partition *p = &r->partitions[partition];
    struct kafka_record record = {.partition = p,
        .offset = p->next++,
        .timestamp_ms = NOON_MS,
        .value = slice_of(text, (size_t)n)};
    must(intake_records(r->intake, &record, 1, &taken, &err));
    assert_int_equal(taken, 1);
}

static void take(struct run *r, int partition, const char *id, int64_t time_ms)
{
    char text[128];
    int n = snprintf(text, sizeof text, "{\"id\":\"%s\",\"at\":%lld}", id, (long long)time_ms);
    take_text(r, partition, text, n);
}

/* ---- arrival: partition ---- */

/* The first event was sent twice, to either partition. */
static void take_partition(struct run *r, int partition)
{
    take(r, partition, "first", NOON_MS);
    if (partition == 1)
        take(r, partition, "second", NOON_MS - 2 * HOUR_MS);
}

/* Whether an event is late follows from the events before it in its own partition, and not from
 * which partition was read first. */
static void test_order_of_partitions(void **state)
{
    (void)state;
    for (int first = 0; first < 2; first++) {
        struct run r;
        begin(&r, config_text);
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

/* ---- a batch ---- */

static void commit_at(struct run *r, int64_t watermark)
{
    must(intake_settle(r->intake, &watermark, &watermark, &err));
    struct txn *txn = txn_begin(r->store);
    must(intake_write(r->intake, txn, &err));
    must(txn_commit(&txn, NULL, &err));
    intake_clear(r->intake);
}

static void commit(struct run *r)
{
    commit_at(r, INT64_MIN);
}

/* A text that is new in every event, and a label by mistake: a batch ends before it is more than a
 * transaction may be. */
static void test_large_labels(void **state)
{
    static struct run r;
    static char text[2048];
    int commits = 0;
    (void)state;
    begin(&r, config_text);
    for (int i = 0; i < 25000; i++) {
        int n = snprintf(text, sizeof text, "{\"id\":\"%d\",\"at\":%lld,\"note\":\"%01000d\"}", i,
            (long long)NOON_MS, i);
        take_text(&r, 0, text, n);
        if (i % 2000 != 1999 || !intake_is_full(r.intake))
            continue;
        commit(&r);
        commits++;
        assert_false(intake_is_full(r.intake));
    }
    commit(&r);
    assert_true(commits >= 6 && commits <= 9);
    end(&r);
}

static const char lives_text[] =
    "kafka: {brokers: \"localhost:9092\"}\n"
    "streams:\n"
    "  a:\n"
    "    topics: [a]\n"
    "    event_time: at\n"
    "    event_id: id\n"
    "    fields: {id: string, at: time, k: string, t: string, note: string}\n"
    "lifecycles:\n"
    "  l: {key: k, ends: [done], expire: 1h, stages: {begun: a.t == \"b\", done: a.t == \"d\"}}\n"
    "rollups:\n"
    "  a_total: {kind: counter, from: l, at: begun, by: [note, outcome]}\n"
    "  b_total: {kind: counter, from: l, at: begun, by: [note, outcome]}\n"
    "  c_total: {kind: counter, from: l, at: begun, by: [note, outcome]}\n";

/* Lives that expire together have label sets that no event had before. */
static void test_large_labels_of_expired_lives(void **state)
{
    static struct run r;
    static char text[2048];
    int commits = 0;
    (void)state;
    begin_with(&r, lives_text, 64 << 20);
    for (int i = 0; i < 25000; i++) {
        int n = snprintf(text, sizeof text,
            "{\"id\":\"%d\",\"at\":%lld,\"k\":\"%d\",\"t\":\"b\",\"note\":\"%01000d\"}", i,
            (long long)NOON_MS, i, i);
        take_text(&r, 0, text, n);
        if (i % 1000 == 999)
            commit_at(&r, NOON_MS);
    }
    do {
        commit_at(&r, NOON_MS + 2 * HOUR_MS);
        commits++;
    } while (intake_is_behind(r.intake));
    struct lifecycle_counts counts;
    intake_lifecycle(r.intake, 0, &counts);
    assert_int_equal(counts.expired, 25000);
    assert_true(commits >= 3 && commits <= 20);
    end(&r);
}

#define MEMORY_BYTES ((size_t)16 << 20)

/* Label sets of rollups and the texts of lives that are known by now: a part of the memory. */
static void test_label_sets_are_forgotten(void **state)
{
    static struct run r;
    struct intake_stats stats;
    char text[256];
    size_t most = 0;
    (void)state;
    begin_with(&r, lives_text, MEMORY_BYTES);
    for (int i = 0; i < 60000; i++) {
        int n = snprintf(text, sizeof text,
            "{\"id\":\"%d\",\"at\":%lld,\"k\":\"%d\",\"t\":\"%s\",\"note\":\"a note of some "
            "length: %d\"}",
            i, (long long)NOON_MS + i, i / 2, i % 2 ? "d" : "b", i / 2);
        take_text(&r, 0, text, n);
        if (i % 1000 != 999)
            continue;
        commit(&r);
        intake_stats(r.intake, &stats);
        most = stats.label_bytes > most ? stats.label_bytes : most;
    }
    assert_in_range(most, MEMORY_BYTES / 64, MEMORY_BYTES / 4);
    end(&r);
}

/* ---- room ---- */

#define ENTITIES 130
#define ROUNDS   16

/* 16 lifecycles of 16 stages. */
static char *wide_config(void)
{
    char *text;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    fprintf(f, "kafka: {brokers: \"localhost:9092\"}\n"
               "streams:\n"
               "  a:\n"
               "    topics: [a]\n"
               "    event_time: at\n"
               "    event_id: id\n"
               "    revision: rev\n"
               "    fields: {id: string, at: time, k: string, t: string, rev: int}\n"
               "lifecycles:\n");
    for (int i = 0; i < 16; i++) {
        fprintf(f, "  l%d:\n    key: k\n    ends: [s15]\n    expire: 1h\n    stages:\n", i);
        for (int s = 0; s < 16; s++)
            fprintf(f, "      s%d: a.t == \"s%d\"\n", s, s);
    }
    fclose(f);
    return text;
}

/* What many entities have does not fit in the memory of one part: fewer are prepared at once. */
static void test_wide_entities(void **state)
{
    static struct run r;
    static char texts[ENTITIES][128];
    static struct kafka_record records[ENTITIES];
    (void)state;
    char *config = wide_config();
    begin(&r, config);
    for (int round = 0; round <= ROUNDS; round++) {
        size_t taken;
        for (int i = 0; i < ENTITIES; i++) {
            int n = snprintf(texts[i], sizeof texts[i],
                "{\"id\":\"%d.%d\",\"at\":%lld,\"k\":\"%d\",\"t\":\"s%d\"}", round, i,
                (long long)NOON_MS + round, i, round == ROUNDS ? 2 : 1);
            records[i] = (struct kafka_record){.partition = &r.partitions[0],
                .offset = r.partitions[0].next++,
                .timestamp_ms = NOON_MS,
                .value = slice_of(texts[i], (size_t)n)};
        }
        must(intake_records(r.intake, records, ENTITIES, &taken, &err));
        assert_int_equal(taken, ENTITIES);
        commit(&r);
    }
    assert_int_equal(r.partitions[0].tally.accepted, ENTITIES * (ROUNDS + 1));
    for (size_t l = 0; l < 16; l++) {
        struct lifecycle_counts counts;
        intake_lifecycle(r.intake, l, &counts);
        assert_int_equal(counts.facts, ENTITIES * (ROUNDS + 1));
    }
    end(&r);
    free(config);
}

/* What is written of entities counts too. */
static void test_many_wide_entities(void **state)
{
    static struct run r;
    char text[128];
    int i = 0;
    (void)state;
    char *config = wide_config();
    begin(&r, config);
    while (!intake_is_full(r.intake)) {
        int n = snprintf(text, sizeof text, "{\"id\":\"%d\",\"at\":%lld,\"k\":\"%d\",\"t\":\"s1\"}",
            i, (long long)NOON_MS, i);
        take_text(&r, 0, text, n);
        if (++i == 20000)
            break;
    }
    commit(&r);
    assert_true(i > 1000 && i < 10000);
    assert_false(intake_is_full(r.intake));
    end(&r);
    free(config);
}

/* ---- without ids ---- */

static const char no_ids[] = "kafka: {brokers: \"localhost:9092\"}\n"
                             "streams:\n"
                             "  a:\n"
                             "    topics: [a]\n"
                             "    event_time: at\n"
                             "    late: 1h\n"
                             "    fields: {at: time, k: string, t: string}\n";

static const char lives[] = "lifecycles:\n"
                            "  l:\n"
                            "    key: k\n"
                            "    stages: {p: a.t == \"p\", d: a.t == \"d\"}\n"
                            "    ends: [d]\n"
                            "    expire: 1h\n";

static uint64_t refused_late(struct run *r, int64_t time_ms)
{
    size_t taken;
    char text[128];
    struct partition *p = &r->partitions[0];
    int n =
        snprintf(text, sizeof text, "{\"at\":%lld,\"k\":\"one\",\"t\":\"p\"}", (long long)time_ms);
    struct kafka_record record = {.partition = p,
        .offset = p->next++,
        .timestamp_ms = time_ms,
        .value = slice_of(text, (size_t)n)};
    must(intake_records(r->intake, &record, 1, &taken, &err));
    assert_int_equal(taken, 1);
    return p->tally.refused[REFUSED_LATE];
}

/* What an event's life was may be forgotten: it would begin anew, and count twice. */
static void test_older_than_lives(void **state)
{
    (void)state;
    for (int with_lives = 0; with_lives < 2; with_lives++) {
        struct lifecycle_counts counts;
        struct run r;
        char text[1024];
        snprintf(text, sizeof text, "%s%s", no_ids, with_lives ? lives : "");
        begin(&r, text);
        assert_int_equal(refused_late(&r, NOON_MS), 0);
        commit_at(&r, NOON_MS + 10 * HOUR_MS);
        assert_int_equal(refused_late(&r, NOON_MS + 1000), with_lives);
        assert_int_equal(refused_late(&r, NOON_MS + 9 * HOUR_MS + 1000), with_lives);
        commit_at(&r, NOON_MS + 10 * HOUR_MS);
        assert_int_equal(r.partitions[0].tally.accepted, 3 - with_lives);
        if (with_lives) {
            intake_lifecycle(r.intake, 0, &counts);
            assert_int_equal(counts.facts, 2);
            assert_int_equal(counts.expired, 1);
        }
        end(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_of_partitions),
        cmocka_unit_test(test_large_labels),
        cmocka_unit_test(test_large_labels_of_expired_lives),
        cmocka_unit_test(test_label_sets_are_forgotten),
        cmocka_unit_test(test_wide_entities),
        cmocka_unit_test(test_many_wide_entities),
        cmocka_unit_test(test_older_than_lives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
