#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd/commands.h"
#include "cmd/config.h"

static char folder[] = "/tmp/larder_test_config_XXXXXX";

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return rmdir(folder);
}

struct want {
    int line, col;
    const char *text;
};

static void assert_errors(const struct err_list *errors, const struct want *want, size_t n)
{
    for (size_t i = 0; i < errors->n || i < n; i++) {
        const struct err *got = i < errors->n ? &errors->items[i] : NULL;
        if (got && i < n && got->line == want[i].line && got->col == want[i].col &&
            strcmp(got->text, want[i].text) == 0)
            continue;
        fail_msg("%d:%d: %s, not %d:%d: %s", got ? got->line : 0, got ? got->col : 0,
            got ? got->text : "nothing", i < n ? want[i].line : 0, i < n ? want[i].col : 0,
            i < n ? want[i].text : "nothing");
    }
}

/* Loads a file of this text, and compares what is wrong with it. */
static void check_text(const char *text, const char *const *overrides, size_t n_overrides,
    const struct want *want, size_t n)
{
    char path[128];
    struct config config;
    struct err_list errors;
    snprintf(path, sizeof path, "%s/larder.yml", folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    bool ok = config_load(path, overrides, n_overrides, &config, &errors);
    unlink(path);
    assert_int_equal(ok, n == 0);
    assert_errors(&errors, want, n);
    err_list_fini(&errors);
    config_free(&config);
}

/* Every mistake is found in one go, in the order of the file. */
static void test_every_mistake(void **state)
{
    /* clang-format off */
    static const struct want want[] = {
        {3, 12, "'brokers' must name 1 to 100 brokers, each as \"HOST:PORT\""},
        {4, 20, "librdkafka: Invalid value for configuration property \"fetch.min.bytes\""},
        {5, 3, "'session.timeout' is neither 'brokers' nor a setting of librdkafka"},
        {6, 3, "'auto.offset.reset' cannot be set: a position that is out of range halts its partition"},
        {7, 16, "'listen' must be an address and a port, such as \"127.0.0.1:9595\", \"0.0.0.0:9595\" or \"[::1]:9595\", not '9595'"},
        {8, 1, "unknown key 'stroe', did you mean 'store'?"},
        {10, 9, "'path' must be a single value, it is a mapping"},
        {11, 16, "'head_memory' must be a size such as 512MiB or 2GiB, not '512MB'"},
        {12, 29, "a retention must be a duration such as 5s, 30m, 24h or 1h30m, not 'forever'"},
        {14, 11, "'stages' is missing: {placed: orders.type == \"placed\", ...}"},
        {14, 11, "'ends' is missing: a list of stages"},
        {14, 11, "'expire' is missing: how long a life may last, such as 6h"},
        {17, 22, "'or ders' is no topic name: Kafka allows 1 to 249 letters, digits, '.', '_' and '-'; a pattern begins with '^'"},
        {17, 33, "topic 'orders' belongs to stream 'orders' already"},
        {18, 10, "'key': no field 'order' in 'fields'"},
        {19, 13, "'format' must be json or avro, not 'xml'"},
        {20, 17, "'event_time' must be a field of type time"},
        {21, 15, "'event_id' must be a field of type string"},
        {22, 11, "'late' must be a duration such as 5s, 30m, 24h or 1h30m, not '1 day'"},
        {24, 22, "'watermark_bound' must be at least 'ahead'"},
        {25, 14, "'arrival' must be record or partition, not 'now'"},
        {27, 32, "unknown key 'requierd', did you mean 'required'?"},
        {29, 57, "'placed' occurs twice"},
        {30, 39, "only decimal fields have digits"},
        {31, 47, "'min' must fit a number with 2 digits, not '0.001'"},
        {32, 38, "'digits' must be a whole number from 0 to 18, not '20'"},
        {32, 55, "'max' is smaller than 'min'"},
        {33, 35, "only string fields have a list of allowed values"},
        {34, 42, "'personal' must be true or false, not 'yes'"},
        {37, 14, "topic 'orders' belongs to stream 'orders' already"},
        {39, 13, "format avro needs a 'registry' that knows the schemas"},
        {41, 18, "a field's type must be string, int, decimal, time or bool, not 'date'"},
        {42, 10, "'type' is missing: string, int, decimal, time or bool"},
        {43, 3, "'2nd' is no stream name: letters, digits and '_', not a digit first"},
        {43, 8, "a stream must be a mapping of keys and values, it is a list"},
        {46, 3, "'no-name' is no metric name: letters, digits, '_' and ':', not a digit first"},
        {48, 11, "'kind' must be counter, histogram, gauge or level, not 'count'"},
        {49, 11, "no stream 'order', did you mean 'orders'?"},
        {50, 5, "unknown key 'evry', did you mean 'every'?"},
        {54, 12, "a counter only grows, and by the contract this value may be negative: give its fields 'min: 0', or use kind: level"},
        {55, 12, "'every' must divide a minute, or be whole minutes that divide an hour, such as 5s or 15m, not '7s'"},
        {57, 5, "'value' is missing: a histogram is made of numbers"},
        {59, 13, "'schema' must be a whole number from -4 to 8, not '9'"},
        {60, 19, "'kind' is never \"plaecd\" by its contract, did you mean \"placed\"?"},
        {62, 16, "'who' is never a label: it is personal data"},
        {62, 22, "label 'kind' occurs twice"},
        {62, 45, "'items' is never a label: it is the event id, new for every event"},
        {62, 61, "'__x' is no label name: letters, digits and '_', not a digit or '__' first"},
        {62, 73, "'5' is no label name: letters, digits and '_', not a digit or '__' first"},
        {62, 81, "a time is never a label: it is new for every event"},
        {63, 18, "'stale_after' must be at least 'every'"},
        {68, 12, "'value' must be a number, this is a string"},
        {69, 9, "'at' is for rollups of lifecycles"},
        {70, 13, "'reduce' must be last, avg, min, max or sum, not 'mean'"},
        {71, 13, "only histograms have a 'schema'"},
        {72, 9, "'by' must be a list such as [a, b], it is a single value"},
    };
    /* clang-format on */
    struct config config;
    struct err_list errors;
    (void)state;
    assert_false(config_load("tests/data/bad_config.yml", NULL, 0, &config, &errors));
    assert_errors(&errors, want, sizeof want / sizeof *want);
    for (size_t i = 0; i < errors.n; i++) {
        assert_int_equal(errors.items[i].code, ERR_INVALID);
        assert_string_equal(errors.items[i].file, "tests/data/bad_config.yml");
    }
    err_list_fini(&errors);
    config_free(&config);
}

/* Where topics begin, what is read of them, and fields that stand beside the value. */
static void test_mistakes_of_sources(void **state)
{
    (void)state;
    check_text("kafka: {brokers: h}\n"
               "shard: 0/3\n"
               "streams:\n"
               "  s:\n"
               "    topics: [\"^orders\\\\.(\", \"^a.*\", \"^a.*\"]\n"
               "    start: yesterday\n"
               "    out_of_range: ignore\n"
               "    event_time: at\n"
               "    fields:\n"
               "      at: time\n"
               "      k: {type: string, from: head}\n"
               "      h: {type: string, from: header}\n"
               "      n: {type: string, name: x}\n"
               "      v: {type: string, from: key, name: x}\n",
        NULL, 0,
        (struct want[]){
            {2, 8, "'shard' must be which of how many, such as 1/3, of at most 1024, not '0/3'"},
            {5, 14, "'^orders\\.(': error parsing regexp: missing ): orders\\.(: `orders\\.(`"},
            {5, 37, "topic '^a.*' belongs to stream 's' already"},
            {6, 12,
                "'start' must be earliest, latest or a time such as \"2026-11-21T00:00:00Z\", "
                "not 'yesterday'"},
            {7, 19, "'out_of_range' must be halt or skip, not 'ignore'"},
            {11, 31, "'from' must be value, key or header, not 'head'"},
            {12, 10, "'name' is missing: the name of the header"},
            {13, 31, "only a field 'from: header' has the 'name' of one"},
            {14, 42, "only a field 'from: header' has the 'name' of one"},
        },
        9);
    static const char *const shards[] = {"shard=4/3", "shard=1", "shard=1/", "shard=/1",
        "shard=1/2/3", "shard=1/1025", "shard=-1/2"};
    for (size_t i = 0; i < sizeof shards / sizeof *shards; i++) {
        struct config config;
        struct err_list errors;
        assert_false(config_load("larder.yml", &shards[i], 1, &config, &errors));
        assert_int_equal(errors.n, 1);
        assert_non_null(strstr(errors.items[0].text, "'shard' must be which of how many"));
        err_list_fini(&errors);
        config_free(&config);
    }
}

static void test_settings_of_sources(void **state)
{
    (void)state;
    static const char *const set[] = {"shard=2/3", "streams.orders.start=2026-11-21T01:00:00+01:00",
        "streams.fridges.start=latest", "streams.reviews.out_of_range=skip",
        "streams.fridges.exemplars=0", "streams.reviews.exemplars=90m",
        "streams.orders.topics=[orders, '^orders[.].*']",
        "streams.orders.fields.order_id={type: string, from: key}",
        "streams.orders.fields.store={type: string, from: header, name: x-store}"};
    struct config config;
    struct err_list errors;
    assert_true(config_load("larder.yml", set, sizeof set / sizeof *set, &config, &errors));
    const struct stream *s = config.streams.streams;
    assert_true(config.shard.number == 2 && config.shard.of == 3);
    assert_true(s[0].start == START_TIME && s[0].start_ms == INT64_C(1795219200000));
    assert_true(s[1].start == START_LATEST && s[2].start == START_EARLIEST);
    assert_true(!s[1].skip_out_of_range && s[2].skip_out_of_range);
    assert_true(s[1].exemplars_ms == 0 && s[2].exemplars_ms == 5400000);
    assert_int_equal(s[0].n_topics, 2);
    assert_true(!topic_is_pattern(s[0].topics[0]) && topic_is_pattern(s[0].topics[1]));
    int found = 0;
    for (size_t i = 0; i < s[0].contract.n_fields; i++) {
        const struct field *f = &s[0].contract.fields[i];
        if (slice_is(f->name, "order_id"))
            found += f->from == FROM_KEY;
        else if (slice_is(f->name, "store"))
            found += f->from == FROM_HEADER && strcmp(f->header.ptr, "x-store") == 0;
        else
            assert_int_equal(f->from, FROM_VALUE);
    }
    assert_int_equal(found, 2);
    err_list_fini(&errors);
    config_free(&config);
}

static void test_exemplars(void **state)
{
    (void)state;
    static const char text[] =
        "kafka: {brokers: [a:1]}\n"
        "streams:\n"
        "  s: {topics: [t], event_time: at, fields: {at: time}, exemplars: soon}\n"
        "  u: {topics: [u], event_time: at, fields: {at: time}, exemplars: [1h]}\n"
        "rollups: {m: {kind: counter, from: s}}\n";
    static const struct want want[] = {
        {3, 67, "'exemplars' must be a duration such as 5s, 30m, 24h or 1h30m, not 'soon'"},
        {4, 67, "'exemplars' must be a single value, it is a list"},
    };
    check_text(text, NULL, 0, want, 2);
}

/* Settings of security that do not go together are refused where they stand. */
static void test_security(void **state)
{
    (void)state;
#define SASL "kafka: {brokers: h, security.protocol: sasl_plaintext, sasl.mechanism: "
#define REST "}\nstreams: {s: {topics: [t], event_time: at, fields: {at: time}}}\n"
    static const char *const good[] = {
        SASL "PLAIN, sasl.username: u, sasl.password: p" REST,
        SASL "SCRAM-SHA-256, sasl.username: u, sasl.password: p" REST,
        SASL "SCRAM-SHA-512, sasl.username: u, sasl.password: p" REST,
        SASL "OAUTHBEARER, enable.sasl.oauthbearer.unsecure.jwt: true" REST,
        ("kafka: {brokers: h, security.protocol: ssl" REST),
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        check_text(good[i], NULL, 0, NULL, 0);
    static const struct {
        const char *text;
        struct want want;
    } bad[] = {
        {SASL "PLAIN, sasl.username: u" REST,
            {1, 79, "librdkafka: sasl.username and sasl.password must be set"}},
        {SASL "SCRAM-SHA-256" REST,
            {1, 56, "librdkafka: sasl.username and sasl.password must be set"}},
        {SASL "NTLM" REST, {1, 56, "librdkafka: Unsupported SASL mechanism: NTLM"}},
        {SASL "OAUTHBEARER" REST,
            {1, 56,
                "OAUTHBEARER needs 'sasl.oauthbearer.method: oidc', for which librdkafka has to "
                "be built with libcurl, or 'enable.sasl.oauthbearer.unsecure.jwt'"}},
        {"kafka: {brokers: h, security.protocol: tls" REST,
            {1, 40,
                "librdkafka: Invalid value \"tls\" for configuration property "
                "\"security.protocol\""}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_text(bad[i].text, NULL, 0, &bad[i].want, 1);
#undef SASL
#undef REST
}

/* What exactness rests on is refused, and not quietly replaced. */
static void test_what_is_decided(void **state)
{
    (void)state;
    check_text("kafka: {brokers: b, check.crcs: false, statistics.interval.ms: 0}\n"
               "streams: {a: {topics: [t], event_time: at, fields: {at: time}}}\n",
        NULL, 0,
        (struct want[]){
            {1, 21, "'check.crcs' cannot be set: what is broken must not be taken for events"},
            {1, 40,
                "'statistics.interval.ms' cannot be set: the ingestion hears by them how far it "
                "is"},
        },
        2);
}

/* Dead letters, their outbox, and where they come again. */
static void test_letters(void **state)
{
    (void)state;
#define S "event_time: at, fields: {at: time}"
    check_text("kafka: {brokers: b, transactional.id: x}\n"
               "streams:\n"
               "  a: {topics: [t], " S ", dead_letters: no topic, outbox: 15MiB, retry: t}\n"
               "  b: {topics: [u], " S ", outbox: 64MiB, retry: r}\n"
               "  c: {topics: [v], " S ", dead_letters: u}\n"
               "  d: {topics: [w], " S ", dead_letters: dlq, retry: r}\n"
               "  e: {topics: [x], " S ", dead_letters: e.retry, retry: e.retry, outbox: 64}\n"
               "  f: {topics: [\"^dl.\"], " S ", dead_letters: f, retry: \"^f.*\"}\n",
        NULL, 0,
        (struct want[]){
            {1, 21, "'transactional.id' cannot be set: that of dead letters is made of 'group.id'"},
            {3, 70,
                "'no topic' is no topic name: Kafka allows 1 to 249 letters, digits, '.', '_' and "
                "'-'"},
            {3, 88, "'outbox' must be at least 16MiB"},
            {3, 102, "topic 't' belongs to stream 'a' already"},
            {4, 64, "'outbox' is for letters, and there is no 'dead_letters'"},
            {4, 78, "'retry' is for letters, and there is no 'dead_letters'"},
            {5, 70, "stream 'b' reads topic 'u': its letters would come back as events"},
            {6, 70, "stream 'f' reads topic 'dlq': its letters would come back as events"},
            {6, 82, "topic 'r' belongs to stream 'b' already"},
            {7, 70, "stream 'e' reads topic 'e.retry': its letters would come back as events"},
            {7, 103, "'outbox' must be a size such as 512MiB or 2GiB, not '64'"},
            {8, 85,
                "'^f.*' is no topic name: Kafka allows 1 to 249 letters, digits, '.', '_' and '-'"},
        },
        12);
#undef S
}

static void test_letters_read(void **state)
{
    struct config config;
    struct err_list errors;
    char path[128];
    (void)state;
    snprintf(path, sizeof path, "%s/letters.yml", folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("kafka: {brokers: b}\n"
          "streams:\n"
          "  a: {topics: [t, u], event_time: at, fields: {at: time}, dead_letters: dlq,\n"
          "      outbox: 1GiB, retry: again}\n"
          "  b: {topics: [v], event_time: at, fields: {at: time}, dead_letters: dlq}\n"
          "  c: {topics: [w], event_time: at, fields: {at: time}}\n",
        f);
    fclose(f);
    assert_true(config_load(path, NULL, 0, &config, &errors));
    unlink(path);
    const struct stream *s = config.streams.streams;
    assert_int_equal(s[0].n_topics, 3);
    assert_true(slice_is(s[0].topics[2], "again") && slice_is(s[0].retry, "again"));
    assert_true(slice_is(s[0].dead_letters, "dlq") && s[0].outbox_bytes == 1u << 30);
    assert_true(slice_is(s[1].dead_letters, "dlq") && s[1].outbox_bytes == 64u << 20);
    assert_true(s[1].n_topics == 1 && s[1].retry.len == 0 && s[2].dead_letters.len == 0);
    err_list_fini(&errors);
    config_free(&config);
}

static void test_missing(void **state)
{
    (void)state;
    check_text("streams:\n  s:\n    late: 1h\n", NULL, 0,
        (struct want[]){
            {1, 1, "'kafka' is missing: kafka: {brokers: \"HOST:PORT\"}"},
            {3, 5, "'topics' is missing: a list such as [orders]"},
            {3, 5, "'fields' is missing: the names and types of the events' fields"},
        },
        3);
    check_text("kafka: {}\nstreams: {s: {topics: [t], fields: {n: int}}}\n"
               "rollups:\n  a: {}\n  b: {kind: gauge, from: s, value: n}\n",
        NULL, 0,
        (struct want[]){
            {1, 8, "'brokers' is missing: \"HOST:PORT\" of one broker or more"},
            {2, 14, "'event_time' is missing: the name of the time field"},
            {4, 6, "'kind' is missing: counter, histogram, gauge or level"},
            {4, 6, "'from' is missing: the name of a stream or lifecycle"},
            {5, 3,
                "a gauge needs the key of its stream among its labels, and stream 's' has no "
                "'key': say which, or 'reduce': avg, min, max, sum or last of all readings of a "
                "window"},
        },
        5);
    check_text(
        "store: {retention: {raw: 30d, 1m: 30d, 1h: 1825d, max_bytes: 10GiB}}", NULL, 0, NULL, 0);
    check_text("store: {retention: {raw: 23h}}", NULL, 0,
        (struct want[]){{1, 26, "a retention must be at least 1d"}}, 1);
    check_text("store: {retention: {raw: 30d, metrics: {a: {raw: forever}, b: {1m: 7d}}}}", NULL, 0,
        NULL, 0);
    check_text("store:\n  retention:\n    1h: forever\n    metrics:\n      a: 7d\n"
               "      b: {raw: 1h, 5m: 7d}\n",
        NULL, 0,
        (struct want[]){
            {3, 9, "a retention must be a duration such as 5s, 30m, 24h or 1h30m, not 'forever'"},
            {5, 10,
                "the retention of a metric must be a mapping of keys and values, it is a single "
                "value"},
            {6, 16, "a retention must be at least 1d"},
            {6, 20, "unknown key '5m', did you mean '1m'?"},
        },
        4);
    check_text("store: {limits: {series: 10, series_per_metric: 0, labels: 2}}", NULL, 0,
        (struct want[]){
            {1, 49, "'series_per_metric' must be a whole number from 1 to 4294967295, not '0'"},
            {1, 52, "unknown key 'labels'"}},
        2);
    check_text("[1]", NULL, 0,
        (struct want[]){{1, 1, "the config must be a mapping of keys and values, it is a list"}},
        1);
    check_text("a: [", NULL, 0,
        (struct want[]){
            {2, 1, "not YAML: did not find expected node content, while parsing a flow node"}},
        1);
    check_text("", NULL, 0, NULL, 0);
}

/* Limits that no event of a rollup could pass, and the label that is the store's. */
static void test_limits_of_rollups(void **state)
{
    (void)state;
    check_text(
        "kafka: {brokers: \"h:1\"}\n"
        "store: {limits: {labels_per_series: 2, label_value_bytes: 5, label_name_bytes: 8}}\n"
        "streams:\n"
        "  s:\n"
        "    topics: [s]\n"
        "    format: json\n"
        "    event_time: at\n"
        "    fields: {at: time, a: string, long_name: string, overflow: string}\n"
        "rollups:\n"
        "  fits: {kind: counter, from: s, by: [a]}\n"
        "  longer: {kind: counter, from: s}\n"
        "  more: {kind: counter, from: s, by: [a, long_name]}\n"
        "  own: {kind: counter, from: s, by: [overflow]}\n",
        NULL, 0,
        (struct want[]){
            {11, 3,
                "'longer' has 6 bytes, and 'label_value_bytes', which holds for names of metrics "
                "too, is 5"},
            {12, 3,
                "'more' has series of 3 labels, its name among them, and 'labels_per_series' is 2"},
            {12, 3, "label 'long_name' has 9 bytes, and 'label_name_bytes' is 8"},
            {13, 38,
                "'overflow' is the store's own label, for what a limit folds: choose another name"},
        },
        4);
}

static void test_query_limits(void **state)
{
    (void)state;
    check_text("query:\n"
               "  timeout: 0s\n"
               "  concurrency: 0\n"
               "  queue: many\n"
               "  max_samples: -1\n"
               "  max_series: 1000000001\n"
               "  memory: 1023KiB\n"
               "  max_serie: 5\n",
        NULL, 0,
        (struct want[]){
            {2, 12, "'timeout' must be from 1ms to 24h"},
            {3, 16, "'concurrency' must be a whole number from 1 to 1024, not '0'"},
            {4, 10, "'queue' must be a whole number from 1 to 65536, not 'many'"},
            {5, 16, "'max_samples' must be a whole number from 1 to 1000000000000, not '-1'"},
            {6, 15, "'max_series' must be a whole number from 1 to 1000000000, not '1000000001'"},
            {7, 11, "'memory' must be at least 1MiB"},
            {8, 3, "unknown key 'max_serie', did you mean 'max_series'?"},
        },
        7);
    check_text("query: {timeout: 25h, memory: 1GB}", NULL, 0,
        (struct want[]){
            {1, 18, "'timeout' must be from 1ms to 24h"},
            {1, 31, "'memory' must be a size such as 512MiB or 2GiB, not '1GB'"},
        },
        2);
    check_text("query: {timeout: soon}", NULL, 0,
        (struct want[]){
            {1, 18, "'timeout' must be a duration such as 5s, 30m, 24h or 1h30m, not 'soon'"}},
        1);
    check_text("query: [1]", NULL, 0,
        (struct want[]){{1, 8, "'query' must be a mapping of keys and values, it is a list"}}, 1);
    check_text("query: {timeout: 1ms, concurrency: 1024, queue: 65536, max_samples: 1000000000000, "
               "max_series: 1000000000, memory: 1MiB}",
        NULL, 0, NULL, 0);
}

/* The place of a mistake inside an expression of several lines. */
static void test_places(void **state)
{
    (void)state;
    check_text("kafka: {brokers: b}\n"
               "streams: {s: {topics: [t], event_time: at, key: k, fields: {at: time, n: int, k: "
               "string}}, u: {topics: [u], event_time: at, fields: {at: time, n: int}}}\n"
               "rollups:\n"
               "  a:\n"
               "    kind: histogram\n"
               "    from: s\n"
               "    when: n > 1 and\n"
               "      n < 5 and\n"
               "      nn == 3\n"
               "    value: >-\n"
               "      n +\n"
               "\n"
               "      at\n"
               "    by: [{x: \"k == \\\"a\\\" and n\"}]\n"
               "  b: {kind: gauge, from: s, value: n, by: [{k: k == 'x'}]}\n"
               "  c: {kind: gauge, from: s, value: n, reduce: max}\n"
               "  d: {kind: gauge, from: u, value: n}\n"
               "  e: {kind: level, from: u, value: n, by: [], reduce: sum}\n",
        NULL, 0,
        (struct want[]){
            {9, 7, "unknown field 'nn', did you mean 'n'?"},
            {13, 7, "a time can only be compared, or subtracted from a time"},
            {14, 30, "'and' needs a condition, this is a number"},
            {15, 3,
                "a gauge needs the key of its stream, 'k', among its labels, or 'reduce': avg, "
                "min, max, sum or last of all readings of a window"},
            {17, 3,
                "a gauge needs the key of its stream among its labels, and stream 'u' has no "
                "'key': say which, or 'reduce': avg, min, max, sum or last of all readings of a "
                "window"},
            {18, 55, "only gauges have a 'reduce'"},
        },
        6);
}

static void test_defaults(void **state)
{
    struct config config;
    struct err_list errors;
    char path[128];
    (void)state;
    snprintf(path, sizeof path, "%s/empty.yml", folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("kafka: {brokers: [a:1, b:2], fetch.min.bytes: 5}\n"
          "streams: {s: {topics: [t, u], event_time: at, fields: {at: time, n: {type: decimal, "
          "min: 0}}}}\n"
          "rollups: {m: {kind: counter, from: s, value: n}}\n",
        f);
    fclose(f);
    assert_true(config_load(path, NULL, 0, &config, &errors));
    unlink(path);
    assert_string_equal(config.file, path);
    assert_string_equal(config.http_address, "127.0.0.1");
    assert_int_equal(config.http_port, 9595);
    assert_string_equal(config.store_path, "data");
    assert_int_equal(config.store_head_bytes, 0);
    assert_int_equal(config.query.timeout_ms, 120000);
    assert_int_equal(config.query.concurrency, 4);
    assert_int_equal(config.query.queue, 64);
    assert_int_equal(config.query.max_samples, 50000000);
    assert_int_equal(config.query.max_series, 500000);
    assert_int_equal(config.query.memory_bytes, UINT64_C(1) << 30);
    assert_int_equal(config.n_kafka, 2);
    assert_true(slice_is(config.kafka[0].name, "bootstrap.servers"));
    assert_true(slice_is(config.kafka[0].value, "a:1,b:2"));
    assert_true(slice_is(config.kafka[1].name, "fetch.min.bytes"));
    const struct stream *s = &config.streams.streams[0];
    assert_int_equal(s->n_topics, 2);
    assert_int_equal(s->contract.late_ms, 86400000);
    assert_int_equal(s->contract.ahead_ms, 300000);
    assert_int_equal(s->watermark_bound_ms, 300000);
    assert_int_equal(s->idle_after_ms, 30000);
    assert_int_equal(s->exemplars_ms, 86400000);
    assert_int_equal(s->contract.event_id, -1);
    assert_int_equal(s->contract.key, -1);
    assert_false(s->contract.arrival_partition);
    assert_true(s->contract.fields[0].required); /* the event time always is */
    assert_int_equal(s->contract.fields[1].digits, 6);
    const struct rollup *m = &config.streams.rollups[0];
    assert_int_equal(m->def.every_ms, 5000);
    assert_int_equal(m->def.stale_after_ms, 3600000);
    assert_int_equal(m->def.digits, 6);
    assert_true(slice_is(m->def.clock, "s"));
    assert_int_equal(m->n_labels, 0);
    err_list_fini(&errors);
    config_free(&config);
}

static const struct rollup *rollup_named(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->streams.n_rollups; i++)
        if (slice_is(config->streams.rollups[i].def.name, name))
            return &config->streams.rollups[i];
    fail_msg("no rollup %s", name);
    return NULL;
}

/* The file that users get is right, and makes the metrics that it promises. */
static void test_shipped(void **state)
{
    static const struct {
        const char *name;
        enum kind kind;
        int digits;
        const char *labels;
    } want[] = {
        {"orders_total", KIND_COUNTER, 0, "category,market,stage"},
        {"delivery_seconds", KIND_HISTOGRAM, 3, "category,market"},
        {"stage_seconds", KIND_HISTOGRAM, 3, "from,market,to"},
        {"order_outcomes_total", KIND_COUNTER, 0, "market,outcome"},
        {"orders_open", KIND_LEVEL, 0, "market"},
        {"eta_error_seconds", KIND_HISTOGRAM, 3, "market"},
        {"order_amount_total", KIND_COUNTER, 2, "category,market"},
        {"fridge_stock_units", KIND_GAUGE, 0, "fridge,sku"},
        {"fridge_stock_estimated_units", KIND_LEVEL, 0, "fridge,sku"},
        {"fridge_capacity_units", KIND_GAUGE, 0, "fridge,sku"},
        {"fridge_units_total", KIND_COUNTER, 0, "fridge,movement,sku"},
        {"fridge_temperature_celsius", KIND_GAUGE, 2, "fridge"},
        {"ratings_total", KIND_COUNTER, 0, "market,score"},
        {"rating_score", KIND_HISTOGRAM, 0, "market"},
        {"nps_score", KIND_HISTOGRAM, 0, "market"},
        {"review_sentiment", KIND_HISTOGRAM, 3, "market"},
        {"courier_eta_seconds", KIND_GAUGE, 0, "courier,market"},
        {"payments_total", KIND_COUNTER, 0, "market,status"},
    };
    struct config config;
    struct err_list errors;
    (void)state;
    config_load("larder.yml", NULL, 0, &config, &errors);
    assert_errors(&errors, NULL, 0);
    assert_int_equal(config.streams.n_streams, 5);
    assert_int_equal(config.streams.n_rollups, sizeof want / sizeof *want);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        const struct rollup *r = rollup_named(&config, want[i].name);
        char labels[128] = "";
        for (size_t k = 0; k < r->n_labels; k++) {
            strcat(labels, k ? "," : "");
            strncat(labels, r->labels[k].name.ptr, r->labels[k].name.len);
        }
        assert_string_equal(labels, want[i].labels);
        assert_int_equal(r->def.kind, want[i].kind);
        assert_int_equal(r->def.digits, want[i].digits);
        assert_int_equal(r->def.schema, want[i].kind == KIND_HISTOGRAM ? 5 : 0);
        assert_int_equal(r->def.every_ms, 5000);
        assert_true(r->def.help.len > 0);
    }
    assert_int_equal(rollup_named(&config, "fridge_stock_units")->def.stale_after_ms, 86400000);
    /* How an order ends is known, for the time of its placing, when it cannot go on. */
    assert_true(slice_is(rollup_named(&config, "order_outcomes_total")->def.clock, "order/cohort"));
    assert_true(slice_is(rollup_named(&config, "delivery_seconds")->def.clock, "order"));
    assert_true(slice_is(rollup_named(&config, "eta_error_seconds")->def.clock, "order"));
    assert_true(slice_is(rollup_named(&config, "stage_seconds")->def.clock, "order"));
    assert_true(slice_is(rollup_named(&config, "orders_open")->def.clock, "order"));
    assert_true(slice_is(rollup_named(&config, "orders_total")->def.clock, "orders"));
    err_list_fini(&errors);
    config_free(&config);
}

static void test_retention_of_metrics(void **state)
{
    static const char *const set[] = {"store.retention={raw: 30d, metrics: {"
                                      "orders_total: {raw: 2d, 1h: forever}, up: {1m: 1d}}}"};
    struct config config;
    struct err_list errors;
    (void)state;
    config_load("larder.yml", set, 1, &config, &errors);
    assert_errors(&errors, NULL, 0);
    const struct retention *r = &config.retention;
    assert_int_equal(config.limits.sample_ahead_ms, 600000); /* unless it says another */
    assert_int_equal(r->raw_ms, 30 * INT64_C(86400000));
    assert_int_equal(r->n_metrics, 2);
    assert_true(slice_is(r->metrics[0].metric, "orders_total"));
    assert_int_equal(r->metrics[0].raw_ms, 2 * INT64_C(86400000));
    assert_int_equal(r->metrics[0].minute_ms, 0);
    assert_true(r->metrics[0].hour_ms == RETENTION_FOR_EVER);
    assert_true(slice_is(r->metrics[1].metric, "up"));
    assert_int_equal(r->metrics[1].minute_ms, INT64_C(86400000));
    err_list_fini(&errors);
    config_free(&config);
}

static void test_overrides(void **state)
{
    static const char *const good[] = {"kafka.brokers=h:1", "kafka.security.protocol=ssl",
        "http.listen=[::1]:0", "store.path=/x=y", "store.head_memory=64MiB", "query.max_series=9",
        "streams.orders.topics=[a, b]", "rollups.orders_total.every=1m"};
    static const char *const bad[] = {"kafka", "=x", "http.listen=here", "store.path.x=1",
        "streams.orders.topics=[a", "rollups.nps_score.value=market", "nothing=1"};
    struct config config;
    struct err_list errors;
    (void)state;
    config_load("larder.yml", good, 8, &config, &errors);
    assert_errors(&errors, NULL, 0);
    assert_int_equal(config.n_kafka, 2);
    assert_true(slice_is(config.kafka[0].value, "h:1"));
    assert_true(slice_is(config.kafka[1].name, "security.protocol"));
    assert_string_equal(config.http_address, "::1");
    assert_int_equal(config.http_port, 0);
    assert_string_equal(config.store_path, "/x=y");
    assert_int_equal(config.store_head_bytes, 64u << 20);
    assert_int_equal(config.query.max_series, 9);
    assert_int_equal(config.streams.streams[0].n_topics, 2);
    assert_int_equal(rollup_named(&config, "orders_total")->def.every_ms, 60000);
    err_list_fini(&errors);
    config_free(&config);

    static const struct {
        const char *file, *text;
    } want[] = {
        {"--set kafka", "expected KEY=VALUE, such as kafka.brokers=localhost:9092"},
        {"--set ", "expected KEY=VALUE, such as kafka.brokers=localhost:9092"},
        {"--set store.path.x", "'path' has no keys"},
        {"--set nothing", "unknown key 'nothing'"},
        {"--set http.listen", "'listen' must be an address and a port, such as \"127.0.0.1:9595\", "
                              "\"0.0.0.0:9595\" or \"[::1]:9595\", not 'here'"},
        {"--set streams.orders.topics",
            "'topics' must be a list such as [a, b], it is a single value"},
        {"--set rollups.nps_score.value", "'value' must be a number, this is a string"},
    };
    assert_false(config_load("larder.yml", bad, 7, &config, &errors));
    assert_int_equal(errors.n, 7);
    for (size_t i = 0; i < 7; i++) {
        assert_string_equal(errors.items[i].file, want[i].file);
        assert_string_equal(errors.items[i].text, want[i].text);
    }
    err_list_fini(&errors);
    config_free(&config);
}

/* Runs larder check; what it prints to standard output is in out. */
static int run_check(char *out, size_t size, int argc, char **argv)
{
    char path[128];
    snprintf(path, sizeof path, "%s/out", folder);
    fflush(stdout);
    int saved = dup(1);
    assert_non_null(freopen(path, "w+", stdout));
    int code = cmd_check(argc, argv);
    fflush(stdout);
    rewind(stdout);
    out[fread(out, 1, size - 1, stdout)] = 0;
    dup2(saved, 1);
    close(saved);
    clearerr(stdout);
    unlink(path);
    return code;
}

#define RUN(...)                                                                                   \
    run_check(out, sizeof out, (int)(sizeof((char *[]){__VA_ARGS__}) / sizeof(char *)),            \
        (char *[]){__VA_ARGS__})

static void test_check(void **state)
{
    static char check[] = "check", config[] = "config", good[] = "larder.yml", set[] = "--set",
                bad[] = "tests/data/bad_config.yml", none[] = "/no/such/file", rules[] = "rules",
                events[] = "events", help[] = "--help", port[] = "http.listen=x",
                wrong[] = "--what";
    char out[16384];
    (void)state;
    assert_int_equal(RUN(check, config, good), EXIT_FINE);
    assert_string_equal(out, "larder.yml: OK\n");
    assert_int_equal(RUN(check, config, bad, good), EXIT_FOUND);
    assert_non_null(strstr(out, "tests/data/bad_config.yml:8:1: unknown key 'stroe', did you mean "
                                "'store'?\n"));
    assert_non_null(strstr(out, "\nlarder.yml: OK\n"));
    assert_int_equal(RUN(check, config, good, none), EXIT_USAGE);
    assert_int_equal(RUN(check, config, set, port, good), EXIT_FOUND);
    assert_int_equal(RUN(check, config), EXIT_USAGE);
    assert_int_equal(RUN(check, config, good, set), EXIT_USAGE);
    assert_int_equal(RUN(check, config, wrong, good), EXIT_USAGE);
    assert_int_equal(RUN(check), EXIT_USAGE);
    assert_int_equal(RUN(check, wrong), EXIT_USAGE);
    assert_int_equal(RUN(check, rules, good), EXIT_USAGE);
    assert_int_equal(RUN(check, events, good), EXIT_USAGE);
    assert_int_equal(RUN(check, help), EXIT_FINE);
    assert_non_null(strstr(out, "usage: larder check config"));
}

/* A mistake in a stage, or in its stream, is said once, and not again by all that depends on it. */
static void test_broken_stage(void **state)
{
    static const char format[] =
        "kafka: {brokers: \"localhost:9092\"}\n"
        "streams:\n"
        "  orders: {topics: [orders], event_time: at, fields: {at: {type: time}, id: {type: %s}}}\n"
        "lifecycles:\n"
        "  order: {key: id, ends: [b], expire: 1h, stages: {a: %s.id == \"a\", b: orders.id == "
        "\"b\"}}\n"
        "rollups:\n"
        "  n: {kind: histogram, from: order, at: b, value: b - a, by: [id]}\n";
    static const struct want wrong_type = {
        3, 84, "a field's type must be string, int, decimal, time or bool, not 'text'"};
    static const struct want wrong_stream = {5, 55, "no stream 'ordres', did you mean 'orders'?"};
    char text[1024];
    (void)state;
    snprintf(text, sizeof text, format, "text", "orders");
    check_text(text, NULL, 0, &wrong_type, 1);
    snprintf(text, sizeof text, format, "string", "ordres");
    check_text(text, NULL, 0, &wrong_stream, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_mistake),
        cmocka_unit_test(test_broken_stage),
        cmocka_unit_test(test_exemplars),
        cmocka_unit_test(test_security),
        cmocka_unit_test(test_what_is_decided),
        cmocka_unit_test(test_letters),
        cmocka_unit_test(test_letters_read),
        cmocka_unit_test(test_mistakes_of_sources),
        cmocka_unit_test(test_settings_of_sources),
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_limits_of_rollups),
        cmocka_unit_test(test_query_limits),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_shipped),
        cmocka_unit_test(test_retention_of_metrics),
        cmocka_unit_test(test_overrides),
        cmocka_unit_test(test_check),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
