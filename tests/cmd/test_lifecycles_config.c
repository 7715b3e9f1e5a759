/*
 * Mistakes of dedupe, lifecycles and their rollups: each is told, with its place and its cause.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "cmd/config.h"

#define FILE_NAME "tests/data/bad_lifecycles.yml"

struct want {
    int line, col;
    const char *text;
};

/* clang-format off */
static const struct want mistakes[] = {
    {25, 15, "'event_id' must be a field of type string"},
    {26, 15, "'revision' must be a field of type int"},
    {35, 15, "'event_id': no field 'evnt_id', did you mean 'event_id'?"},
    {36, 15, "'revision': no field 'revison', did you mean 'revision'?"},
    {37, 11, "'late' must be a duration such as 5s, 30m, 24h or 1h30m, not '-1h'"},
    {40, 3, "'2nd' is no name of a lifecycle: at most 40 letters, digits and '_', not a digit first"},
    {41, 3, "'a_name_of_far_more_than_forty_bytes_is_too_long' is no name of a lifecycle: at most 40 letters, digits and '_', not a digit first"},
    {43, 3, "a stream is called 'orders' already"},
    {44, 12, "a lifecycle must be a mapping of keys and values, it is a single value"},
    {45, 10, "'key' is missing: the field that names the entity"},
    {45, 10, "'stages' is missing: {placed: orders.type == \"placed\", ...}"},
    {45, 10, "'ends' is missing: a list of stages"},
    {45, 10, "'expire' is missing: how long a life may last, such as 6h"},
    {47, 5, "unknown key 'kye', did you mean 'key'?"},
    {48, 10, "'key' must be a single value, it is a list"},
    {49, 13, "'stages' must be a mapping of keys and values, it is a list"},
    {50, 11, "'ends' must be a list such as [a, b], it is a single value"},
    {51, 13, "'expire' must be a duration such as 5s, 30m, 24h or 1h30m, not 'soon'"},
    {52, 33, "a lifecycle has 2 to 16 stages"},
    {52, 80, "'expire' must be longer than nothing"},
    {57, 7, "'step' is no name of a stage: letters, digits and '_', and none of step, end, open, outcome, from, to"},
    {58, 7, "'2nd' is no name of a stage: letters, digits and '_', and none of step, end, open, outcome, from, to"},
    {59, 13, "a stage must be a single value, it is a list"},
    {60, 13, "a stage needs a condition over the fields of a stream, such as orders.type == \"placed\""},
    {61, 13, "no stream 'order', did you mean 'orders'?"},
    {62, 14, "unknown field 'orders.tpye', did you mean 'orders.type'?"},
    {63, 29, "'orders.type' is never \"plaecd\" by its contract, did you mean \"placed\"?"},
    {64, 13, "a stage is a condition over the events of one stream, 'orders' or 'payments'"},
    {65, 15, "a stage is a condition"},
    {66, 30, "expected a field, a number or a string, not the end"},
    {67, 14, "stream 'payments' has no field 'order_id' of type string, which is the lifecycle's key"},
    {68, 16, "stream 'refunds' has no field 'order_id' of type string, which is the lifecycle's key"},
    {77, 12, "a life does not end with its first stage"},
    {77, 20, "no stage 'deliverd', did you mean 'delivered'?"},
    {77, 30, "an end must be a single value, it is a list"},
    {78, 13, "'expire' must be a duration such as 5s, 30m, 24h or 1h30m, not '6 hours'"},
    {79, 80, "'ends' must name at least one stage"},
    {79, 92, "'expire' must be a duration such as 5s, 30m, 24h or 1h30m, not '5000y'"},
    {80, 42, "stream 'orders' has no field 'customers' of type string, which is the lifecycle's key"},
    {80, 58, "stream 'orders' has no field 'customers' of type string, which is the lifecycle's key"},
    {82, 10, "a lifecycle makes no gauge, which cannot be taken back: use kind: level"},
    {83, 10, "'at' is missing: a stage, step, end or open"},
    {84, 44, "'at' must be a stage of 'order', step, end or open, not 'delivred', did you mean 'delivered'?"},
    {85, 45, "'at' must be a single value, it is a list"},
    {86, 50, "'open' is for kind: level: lives that began and have not ended"},
    {87, 45, "a level of a lifecycle counts 'at: open'"},
    {88, 13, "'value' is missing: a histogram is made of numbers"},
    {89, 63, "the value of a step is how long it took: leave it out"},
    {90, 68, "'value' must be a number"},
    {91, 64, "a counter only grows, and this value may be negative: give its fields 'min: 0', or use kind: histogram"},
    {92, 65, "'placed.market' is a string: of a life, expressions see numbers, times and conditions"},
    {93, 64, "unknown field 'placed.amuont', did you mean 'placed.amount'?"},
    {94, 63, "unknown field 'placd.amount', did you mean 'placed.amount'?"},
    {95, 66, "'when' must be a condition"},
    {96, 57, "'by' must be a list such as [a, b], it is a single value"},
    {101, 10, "'customer' is never a label: it is personal data"},
    {101, 20, "'order_id' is never a label: it is unbounded"},
    {101, 30, "'event_id' is never a label: it is the event id, new for every event"},
    {101, 40, "a label of a lifecycle is a field of its first stage's events, and no time; or outcome, from or to"},
    {101, 44, "'amount * 2' is no label name: letters, digits and '_', not a digit or '__' first, and not 'overflow'"},
    {101, 56, "'delivered.market' is no label name: letters, digits and '_', not a digit or '__' first, and not 'overflow'"},
    {101, 74, "'from' and 'to' are labels of 'at: step' alone"},
    {101, 81, "'2nd' is no label name: letters, digits and '_', not a digit or '__' first, and not 'overflow'"},
    {101, 96, "'__m' is no label name: letters, digits and '_', not a digit or '__' first, and not 'overflow'"},
    {102, 8, "'overflow' is no label name: letters, digits and '_', not a digit or '__' first, and not 'overflow'"},
    {102, 36, "label 'market' occurs twice"},
    {102, 51, "'5' is no label name: letters, digits and '_', not a digit or '__' first, and not 'overflow'"},
    {102, 60, "a label must be a single value, it is a list"},
    {102, 67, "unknown field 'markt', did you mean 'market'?"},
    {102, 74, "a label must be a field, or {label: field}"},
    {103, 36, "no stream 'oder', did you mean 'order'?"},
    {104, 57, "only gauges have a 'reduce'"},
    {105, 59, "only histograms have a 'schema'"},
    {106, 58, "'every' must divide a minute, or be whole minutes that divide an hour, such as 5s or 15m, not '90s'"},
    {106, 76, "'stale_after' must be at least 'every'"},
    {107, 61, "'at' is for rollups of lifecycles"},
    {108, 16, "'value' is missing: a level is made of numbers"},
    {109, 3, "a gauge needs the key of its stream, 'order_id', among its labels, or 'reduce': avg, min, max, sum or last of all readings of a window"},
};
/* clang-format on */

static void assert_errors(const struct err_list *errors, const struct want *want, size_t n)
{
    for (size_t i = 0; i < errors->n || i < n; i++) {
        const struct err *got = i < errors->n ? &errors->items[i] : NULL;
        if (!got || i >= n || got->line != want[i].line || got->col != want[i].col ||
            strcmp(got->text, want[i].text) != 0)
            fail_msg("%d:%d: %s, not %d:%d: %s", got ? got->line : 0, got ? got->col : 0,
                got ? got->text : "nothing", i < n ? want[i].line : 0, i < n ? want[i].col : 0,
                i < n ? want[i].text : "nothing");
        assert_int_equal(got->code, ERR_INVALID);
    }
}

static void check_file(const char *path, const struct want *want, size_t n)
{
    struct config config;
    struct err_list errors;
    assert_int_equal(config_load(path, NULL, 0, &config, &errors), n == 0);
    assert_errors(&errors, want, n);
    err_list_fini(&errors);
    config_free(&config);
}

static void check_text(const struct buf *text, const struct want *want, size_t n)
{
    char path[] = "/tmp/larder_test_lifecycles_config_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text->ptr, text->len), (ssize_t)text->len);
    close(fd);
    check_file(path, want, n);
    unlink(path);
}

static void test_every_mistake(void **state)
{
    (void)state;
    check_file(FILE_NAME, mistakes, sizeof mistakes / sizeof *mistakes);
}

/* ---- what there may be of a thing ---- */

#define MANY 20

static void begin_text(struct buf *text)
{
    buf_init(text, 0);
    buf_str(text, "kafka: {brokers: \"localhost:9092\"}\n"
                  "streams:\n"
                  "  s:\n"
                  "    topics: [s]\n"
                  "    event_time: at\n"
                  "    fields:\n"
                  "      at: time\n"
                  "      key: string\n");
    for (int i = 0; i < MANY; i++)
        buf_printf(text, "      n%d: int\n      t%d: string\n", i, i);
    buf_str(text, "lifecycles:\n"); /* line 49 */
}

static void one_lifecycle(struct buf *text)
{
    buf_str(text, "  l: {key: key, stages: {a: s.n0 > 1, b: s.n0 > 2}, ends: [b], expire: 1h}\n"
                  "rollups:\n"); /* line 51 */
}

static void test_lifecycles(void **state)
{
    struct buf text;
    (void)state;
    begin_text(&text);
    for (int i = 0; i < 17; i++)
        buf_printf(&text,
            "  l%d: {key: key, stages: {a: s.n0 > 1, b: s.n0 > 2}, ends: [b], expire: 1h}\n", i);
    check_text(&text, (struct want[]){{50, 3, "at most 16 lifecycles"}}, 1);
    buf_fini(&text);
}

static void test_stages(void **state)
{
    (void)state;
    for (int n = 16; n <= 17; n++) {
        struct buf text;
        begin_text(&text);
        buf_str(&text, "  l: {key: key, ends: [b1], expire: 1h, stages: {");
        for (int i = 0; i < n; i++)
            buf_printf(&text, "%sb%d: s.n%d > 0", i ? ", " : "", i, i);
        buf_str(&text, "}}\n");
        check_text(&text, (struct want[]){{50, 49, "a lifecycle has 2 to 16 stages"}}, n - 16);
        buf_fini(&text);
    }
}

/* Fields of one stage, in all rollups. */
static void test_captured(void **state)
{
    (void)state;
    for (int n = 8; n <= 9; n++) {
        struct buf text;
        begin_text(&text);
        one_lifecycle(&text);
        for (int i = 0; i < n; i++)
            buf_printf(&text, "  m%d: {kind: histogram, from: l, at: b, value: b.n%d}\n", i, i);
        check_text(&text,
            (struct want[]){{60, 48,
                "'b.n8' is one too many: the rollups of a lifecycle see at most 8 fields of a "
                "stage"}},
            n - 8);
        buf_fini(&text);
    }
}

static void test_labels(void **state)
{
    (void)state;
    for (int n = 16; n <= 17; n++) {
        struct buf text;
        begin_text(&text);
        one_lifecycle(&text);
        buf_str(&text, "  m: {kind: counter, from: l, at: b, by: [");
        for (int i = 0; i < n; i++)
            buf_printf(&text, "%st%d", i ? ", " : "", i);
        buf_str(&text, "]}\n");
        check_text(&text, (struct want[]){{52, 113, "at most 16 labels"}}, n - 16);
        buf_fini(&text);
    }
}

/* Of all rollups together. */
static void test_labels_of_lifecycle(void **state)
{
    (void)state;
    for (int n = 16; n <= 17; n++) {
        struct buf text;
        begin_text(&text);
        one_lifecycle(&text);
        for (int i = 0; i < n; i++)
            buf_printf(&text, "  m%d: {kind: counter, from: l, at: b, by: [outcome, t%d]}\n", i, i);
        check_text(&text,
            (struct want[]){{68, 54, "the rollups of a lifecycle have at most 16 labels"}}, n - 16);
        buf_fini(&text);
    }
}

/* ---- when what a rollup has is final ---- */

static const char clocks_text[] = "kafka: {brokers: \"localhost:9092\"}\n"
                                  "streams:\n"
                                  "  s:\n"
                                  "    topics: [s]\n"
                                  "    event_time: at\n"
                                  "    fields: {at: time, key: string, n: {type: int, min: 0}}\n"
                                  "%s"
                                  "lifecycles:\n"
                                  "  l:\n"
                                  "    key: key\n"
                                  "    stages: {a: s.n == 1, b: s.n == 2, c: s.n == 3}\n"
                                  "    ends: [c]\n"
                                  "    expire: 1h\n"
                                  "rollups:\n";

static const struct {
    const char *rollup;
    bool waits; /* until the lives are over */
} clocks[] = {
    {"kind: counter, from: l, at: a", false},
    {"kind: counter, from: l, at: a, when: a.n > 0", false},
    {"kind: counter, from: l, at: a, by: [outcome]", true},
    {"kind: histogram, from: l, at: a, value: b - a", true},
    {"kind: histogram, from: l, at: b, value: b - a", false},
    {"kind: histogram, from: l, at: b, value: c - b", true},
    {"kind: histogram, from: l, at: c, value: c - b, by: [outcome]", false},
    {"kind: counter, from: l, at: end, by: [outcome]", false},
    {"kind: histogram, from: l, at: step, by: [from, to]", false},
    {"kind: histogram, from: l, at: step, by: [from, to, outcome]", true},
    {"kind: level, from: l, at: open", false},
    {"kind: level, from: l, at: open, value: a.n", false},
    {"kind: level, from: l, at: open, value: c.n", true},
    {"kind: level, from: l, at: open, by: [outcome]", true},
};

static void check_clocks(bool revisions)
{
    char path[] = "/tmp/larder_test_lifecycles_clocks_XXXXXX";
    struct config config;
    struct err_list errors;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    dprintf(fd, clocks_text, revisions ? "    revision: n\n" : "");
    for (size_t i = 0; i < sizeof clocks / sizeof *clocks; i++)
        dprintf(fd, "  m%zu: {%s}\n", i, clocks[i].rollup);
    close(fd);
    if (!config_load(path, NULL, 0, &config, &errors))
        fail_msg("%d: %s", errors.items[0].line, errors.items[0].text);
    for (size_t i = 0; i < sizeof clocks / sizeof *clocks; i++) {
        const struct rollup *rollup = &config.streams.rollups[i];
        const char *want = clocks[i].waits || revisions ? "l/cohort" : "l";
        if (!slice_is(rollup->def.clock, want))
            fail_msg("%s: its clock is %.*s", clocks[i].rollup, SLICE_FMT(rollup->def.clock));
    }
    err_list_fini(&errors);
    config_free(&config);
    unlink(path);
}

static void test_clocks(void **state)
{
    (void)state;
    check_clocks(false);
}

/* Whatever counts now, an event that comes later in the life may say it again. */
static void test_clocks_with_revisions(void **state)
{
    (void)state;
    check_clocks(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_mistake),
        cmocka_unit_test(test_lifecycles),
        cmocka_unit_test(test_stages),
        cmocka_unit_test(test_captured),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_labels_of_lifecycle),
        cmocka_unit_test(test_clocks),
        cmocka_unit_test(test_clocks_with_revisions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
