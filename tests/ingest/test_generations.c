/*
 * Generations of rollups: what makes another definition, when it begins, what is kept of the ones
 * before, and what becomes of windows for which none is left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/log.h"
#include "ingest/generations.h"
#include "ingest/partition.h"
#include "ingest/rollup_text.h"
#include "ingest/streams_config.h"
#include "store/read.h"

#define T0     INT64_C(1700000000000) /* a multiple of 5 s, no whole minute */
#define MINUTE INT64_C(60000)

static const char head[] = "streams:\n"
                           "  orders:\n"
                           "    topics: [orders, more-orders, '^shop[.].*']\n"
                           "    event_time: at\n"
                           "    fields: {at: time, market: string, type: string, n: int%s}\n"
                           "  visits:\n"
                           "    topics: [visits]\n"
                           "    event_time: at\n"
                           "    fields: {at: time, n: int}\n"
                           "rollups:\n";

struct config {
    struct arena arena;
    struct rollup_histories past;
    struct streams streams;
    size_t mistakes;
};

/* The rollups' lines over a stream with one more field ("": none), and with what the store knows;
 * store NULL: nothing. */
static void load(struct config *c, struct store *store, const char *field, const char *rollups)
{
    struct yaml_node *root;
    struct err_list errors = {0};
    struct err err = {0};
    char text[8192];
    *c = (struct config){0};
    arena_init(&c->arena, 0);
    if (store)
        assert_true(rollup_histories_read(store, &c->past, &err));
    int n = snprintf(text, sizeof text, head, field);
    snprintf(text + n, sizeof text - (size_t)n, "%s", rollups);
    if (!yaml_parse(slice_from(text), "test", &c->arena, &root, &err))
        fail_msg("%s", err.text);
    struct settings settings = {&errors, &c->arena};
    streams_config_read(&settings, yaml_get(root, "streams"), yaml_get(root, "lifecycles"),
        yaml_get(root, "rollups"), NULL, store ? &c->past : NULL, &c->streams);
    c->mistakes = errors.n;
    err_list_fini(&errors);
}

static void unload(struct config *c)
{
    if (c->past.items)
        rollup_histories_fini(&c->past);
    arena_fini(&c->arena);
}

/* ---- texts ---- */

static struct hash128 meaning_of(const char *rollup)
{
    char line[1024];
    struct config c;
    snprintf(line, sizeof line, "  x: %s\n", rollup);
    load(&c, NULL, "", line);
    assert_int_equal(c.mistakes, 0);
    struct hash128 meaning = c.streams.rollups[0].meaning;
    unload(&c);
    return meaning;
}

static void test_what_means_the_same(void **state)
{
    (void)state;
    static const char *const same[] = {
        "{kind: counter, from: orders, by: [market, type]}",
        "{from: orders, kind: counter, by: [type, {market: market}]}",
        "{kind: counter, from: orders, by: [{market: market, type: type}], every: 5s}",
        "{kind: counter, from: 'orders', by: [market, type], every: 5000ms, help: more, unit: x}",
        "{kind: counter, from: orders, by: [market, type], stale_after: 2h}",
    };
    static const char *const other[] = {
        "{kind: counter, from: orders, by: [market]}",
        "{kind: counter, from: orders, by: [market, {type: market}]}",
        "{kind: counter, from: orders, by: [market, {kind: type}]}",
        "{kind: counter, from: orders, by: [market, type], every: 10s}",
        "{kind: counter, from: orders, by: [market, type], when: n == 1}",
        "{kind: histogram, from: orders, by: [market, type], value: n}",
        "{kind: histogram, from: orders, by: [market, type], value: n, schema: 3}",
    };
    static const char gauge[] = "{kind: gauge, from: orders, value: n, reduce: %s}";
    char avg[128], max[128];
    snprintf(avg, sizeof avg, gauge, "avg");
    snprintf(max, sizeof max, gauge, "max"); /* it decides about nothing that is stored */
    assert_true(hash128_eq(meaning_of(avg), meaning_of(max)));
    struct hash128 first = meaning_of(same[0]);
    for (size_t i = 1; i < sizeof same / sizeof *same; i++)
        assert_true(hash128_eq(first, meaning_of(same[i])));
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        for (size_t k = 0; k <= i; k++)
            assert_int_equal(
                hash128_eq(meaning_of(other[i]), k < i ? meaning_of(other[k]) : first), 0);
}

/* What is written reads as the same again, whatever is in it. */
static void test_text_reads_again(void **state)
{
    (void)state;
    struct config c, again;
    char line[2048];
    load(&c, NULL, "",
        "  x:\n    kind: counter\n    from: orders\n    help: \"a \\\"b\\\" \\\\ \\t\xc3\xa4 {c}: "
        "d\"\n"
        "    when: >\n      type == \"placed\"\n      and n > 1\n"
        "    by:\n      - market\n      - stage: if(type == 'x', \"1\", \"2\")\n");
    assert_int_equal(c.mistakes, 0);
    const struct rollup *r = &c.streams.rollups[0];
    snprintf(line, sizeof line, "  x: %.*s\n", SLICE_FMT(r->text));
    load(&again, NULL, "", line);
    assert_int_equal(again.mistakes, 0);
    assert_true(hash128_eq(r->meaning, again.streams.rollups[0].meaning));
    assert_true(slice_eq(r->text, again.streams.rollups[0].text));
    assert_true(slice_eq(r->def.help, again.streams.rollups[0].def.help));
    unload(&c);
    unload(&again);
}

/* ---- generations ---- */

struct fixture {
    struct store *store;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct store_options options = {0};
    struct err err = {0};
    assert_true(store_open(&options, &f->store, &err));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    store_close(&f->store);
    free(f);
    return 0;
}

/* A partition was read up to there. */
static void read_to(struct fixture *f, const char *partition, int64_t newest_ms)
{
    struct err err = {0};
    struct txn *txn = txn_begin(f->store);
    txn_source(txn, slice_from(partition), 1, newest_ms, SLICE(""));
    assert_true(txn_commit(&txn, NULL, &err));
}

struct taken {
    struct config config;
    struct generations *generations;
    const struct streams *streams;
};

static void take(struct fixture *f, const char *field, const char *rollups, struct taken *out)
{
    struct err err = {0};
    load(&out->config, f->store, field, rollups);
    assert_int_equal(out->config.mistakes, 0);
    assert_true(generations_new(f->store, &out->config.streams, &out->generations, &err));
    out->streams = generations_streams(out->generations);
    struct txn *txn = txn_begin(f->store);
    generations_write(out->generations, txn);
    assert_true(txn_commit(&txn, NULL, &err));
    generations_written(out->generations);
}

static void leave(struct taken *t)
{
    generations_free(&t->generations);
    unload(&t->config);
}

/* Which generation of x has the window; 0: none. No two have. */
static uint32_t owner(const struct taken *t, int64_t end_ms)
{
    struct generation_stats stats;
    uint32_t found = 0;
    for (size_t i = 0; i < t->streams->n_rollups; i++) {
        const struct rollup *r = &t->streams->rollups[i];
        if (!slice_is(r->def.name, "x") || !rollup_has_window(r, end_ms))
            continue;
        assert_int_equal(found, 0);
        found = r->former;
        if (!found) {
            assert_int_equal(generations_stats(t->generations, &stats, 1), 1);
            found = stats.number;
        }
    }
    return found;
}

#define A "  x: {kind: counter, from: orders, every: 1m}\n"
#define B "  x: {kind: counter, from: orders, every: 1m, by: [market]}\n"
#define C "  x: {kind: counter, from: orders, every: 1m, when: k == 1}\n"

static void test_begins_after_what_was_read(void **state)
{
    struct taken t;
    int64_t end = T0 - T0 % MINUTE + MINUTE; /* of the window that T0 lies in */
    take(*state, "", A, &t);
    assert_int_equal(owner(&t, 0), 1);
    leave(&t);
    take(*state, "", B, &t); /* nothing was read: it is as if A had never been */
    assert_int_equal(owner(&t, 0), 1);
    assert_true(rollup_has_window(&t.streams->rollups[0], 0));
    leave(&t);
    read_to(*state, "orders/0", T0 - 3600000);
    read_to(*state, "more-orders/7", T0 - 60000);
    read_to(*state, "shop.berlin/7", T0);
    read_to(*state, "others/0", T0 + 3600000);
    read_to(*state, "my.shop.berlin/0", T0 + 3600000);
    read_to(*state, "orders/first", T0 + 3600000);
    take(*state, "", A, &t);
    assert_int_equal(owner(&t, INT64_MIN + 1), 1);
    assert_int_equal(owner(&t, end), 1);
    assert_int_equal(owner(&t, end + MINUTE), 2);
    leave(&t);
    take(*state, "", B, &t); /* nothing was read of A's time */
    assert_int_equal(owner(&t, end), 1);
    assert_int_equal(owner(&t, end + MINUTE), 2);
    leave(&t);
    take(*state, "", B, &t); /* nor does it change when it is the same */
    assert_int_equal(owner(&t, end), 1);
    assert_int_equal(owner(&t, end + MINUTE), 2);
    leave(&t);
}

/* A window's end itself belongs to it. */
static void test_begins_at_a_window(void **state)
{
    struct taken t;
    int64_t end = T0 - T0 % MINUTE;
    take(*state, "", A, &t);
    leave(&t);
    read_to(*state, "orders/0", end);
    take(*state, "", B, &t);
    assert_int_equal(owner(&t, end), 1);
    assert_int_equal(owner(&t, end + MINUTE), 2);
    leave(&t);
}

static uint64_t left_out(const struct taken *t, int64_t end_ms, enum gap reason)
{
    struct generation_stats before, after;
    generations_stats(t->generations, &before, 1);
    rollup_leave_out(&t->streams->rollups[0], end_ms);
    generations_stats(t->generations, &after, 1);
    return after.left_out[reason] - before.left_out[reason];
}

/* A rollup that goes, and comes back; and one that comes when others have been for long. */
static void test_comes_and_goes(void **state)
{
    static const char other[] = "  y: {kind: counter, from: orders, every: 1m}\n";
    struct taken t;
    take(*state, "", A, &t);
    leave(&t);
    read_to(*state, "orders/0", T0);
    take(*state, "", other, &t); /* x is gone, and finishes what it has begun */
    int64_t end = T0 - T0 % MINUTE + MINUTE;
    assert_int_equal(t.streams->n_former, 1);
    assert_true(rollup_has_window(&t.streams->rollups[1], end));
    assert_false(rollup_has_window(&t.streams->rollups[1], end + MINUTE));
    assert_false(rollup_has_window(&t.streams->rollups[0], end)); /* y has not been then */
    assert_true(rollup_has_window(&t.streams->rollups[0], end + MINUTE));
    assert_int_equal(left_out(&t, end, GAP_ABSENT), 1);
    leave(&t);
    read_to(*state, "orders/0", T0 + 10 * MINUTE);
    take(*state, "", A, &t);
    assert_int_equal(owner(&t, end), 1);
    assert_int_equal(owner(&t, end + MINUTE), 0);
    assert_int_equal(left_out(&t, end + MINUTE, GAP_ABSENT), 1);
    assert_int_equal(owner(&t, end + 10 * MINUTE), 0);
    assert_int_equal(owner(&t, end + 11 * MINUTE), 3);
    assert_int_equal(left_out(&t, end + 11 * MINUTE, GAP_ABSENT), 0);
    leave(&t);
}

/* Its field is not there any more: what comes late is left out, and told. */
static void test_makes_no_sense_any_more(void **state)
{
    struct taken t;
    int64_t end = T0 - T0 % MINUTE + MINUTE;
    take(*state, ", k: int", C, &t);
    leave(&t);
    read_to(*state, "orders/0", T0);
    take(*state, "", A, &t);
    assert_int_equal(t.streams->n_former, 0);
    assert_int_equal(owner(&t, end), 0);
    assert_int_equal(left_out(&t, end, GAP_FORGOTTEN), 1);
    assert_int_equal(owner(&t, end + MINUTE), 2);
    leave(&t);
    take(*state, ", k: int", A, &t); /* it is known again */
    assert_int_equal(owner(&t, end), 1);
    leave(&t);
}

/* The oldest are forgotten, for there may be too many of them, or they may be too long. */
static void test_bounds(void **state)
{
    struct taken t;
    char line[5000];
    for (int i = 0; i < GENERATIONS_MAX + 3; i++) {
        snprintf(
            line, sizeof line, "  x: {kind: counter, from: orders, every: 1m, when: n == %d}\n", i);
        take(*state, "", line, &t);
        assert_int_equal(owner(&t, T0 - T0 % MINUTE + i * MINUTE + MINUTE), (uint32_t)i + 1);
        leave(&t);
        read_to(*state, "orders/0", T0 + i * MINUTE);
    }
    take(*state, "", line, &t);
    assert_int_equal(t.streams->n_former, GENERATIONS_MAX - 1);
    assert_int_equal(left_out(&t, T0, GAP_FORGOTTEN), 1);
    leave(&t);
    snprintf(line, sizeof line,
        "  x: {kind: counter, from: orders, every: 1m, when: n == 99, help: '%04200d'}\n", 0);
    take(*state, "", line, &t);
    leave(&t);
    take(*state, "", line, &t);
    assert_int_equal(t.streams->n_former, 0);
    assert_int_equal(owner(&t, T0 + 20 * MINUTE), GENERATIONS_MAX + 4);
    leave(&t);
}

/* ---- what is said of a metric ---- */

struct told {
    int schema;
    char clock[32];
};

static bool note_metric(void *ctx, const struct metric_def *def)
{
    struct told *out = ctx;
    if (slice_is(def->name, "x")) {
        out->schema = def->schema;
        snprintf(out->clock, sizeof out->clock, "%.*s", SLICE_FMT(def->clock));
    }
    return true;
}

/* Tells the store of all metrics, as a start does, and asks what it knows of x. */
static struct told define(struct fixture *f, const struct taken *t)
{
    struct label name = {SLICE("__name__"), SLICE("x")};
    struct gauge_cell cell = {1, T0, 1, 1, 1, 1};
    struct told told = {.schema = -1};
    struct err err = {0};
    uint32_t metric, series;
    struct txn *txn = txn_begin(f->store);
    for (size_t i = 0; i < t->streams->n_rollups; i++) {
        const struct metric_def *def = &t->streams->rollups[i].def;
        assert_true(txn_metric(txn, def, &metric, &err));
        if (slice_is(def->name, "x")) {
            assert_true(txn_series(txn, metric, (struct labels){&name, 1}, &series, &err));
            txn_gauge(txn, series, T0, &cell);
        }
    }
    assert_true(txn_commit(&txn, NULL, &err));
    assert_true(store_each_metric(f->store, NULL, note_metric, &told, &err));
    return told;
}

static void assert_told(
    struct fixture *f, const char *rollups, size_t formers, int schema, const char *clock)
{
    struct taken t;
    take(f, "", rollups, &t);
    assert_int_equal(t.streams->n_former, formers);
    struct told told = define(f, &t);
    assert_int_equal(told.schema, schema);
    assert_string_equal(told.clock, clock);
    leave(&t);
}

/* A former generation has its windows, and the metric what the newest says of it. */
static void test_the_newest_describes(void **state)
{
    static const char avg[] =
        "  x: {kind: gauge, from: orders, value: n, by: [market], reduce: avg}\n";
    static const char max[] =
        "  x: {kind: gauge, from: orders, value: n, by: [market, type], reduce: max}\n";
    static const char visits[] = "  x: {kind: gauge, from: visits, value: n, reduce: min}\n";
    static const char other[] = "  y: {kind: counter, from: orders}\n";
    struct fixture *f = *state;
    assert_told(f, avg, 0, REDUCE_AVG, "orders");
    read_to(f, "orders/0", T0);
    assert_told(f, max, 1, REDUCE_MAX, "orders");
    assert_told(f, max, 1, REDUCE_MAX, "orders");
    assert_told(f, max, 1, REDUCE_MAX, "orders");
    read_to(f, "orders/0", T0 + MINUTE);
    assert_told(f, visits, 2, REDUCE_MIN, "visits");
    assert_told(f, visits, 2, REDUCE_MIN, "visits");
    read_to(f, "visits/0", T0 + 2 * MINUTE);
    assert_told(f, other, 3, REDUCE_MIN, "visits");
    assert_told(f, other, 3, REDUCE_MIN, "visits");
}

static struct rollup_history history_of(const int64_t *after, size_t n)
{
    struct rollup_history h = {.name = SLICE("x"), .n = n};
    for (size_t i = 0; i < n; i++)
        h.items[i] = (struct generation){.number = (uint32_t)i + 1, .after_ms = after[i]};
    return h;
}

/* The newest takes windows over; of those before those that have none left stay in the list
 * without a window. */
static void test_extends(void **state)
{
    (void)state;
    static const int64_t after[] = {INT64_MIN, 5 * MINUTE, 7 * MINUTE, 9 * MINUTE};
    struct rollup_history h = history_of(after, 4);
    rollup_history_extend(&h, 10 * MINUTE);
    assert_int_equal(h.n, 4);
    assert_int_equal(rollup_history_begin(&h, MINUTE), 9 * MINUTE);
    rollup_history_extend(&h, 6 * MINUTE);
    assert_int_equal(h.n, 4);
    assert_int_equal(h.items[1].after_ms, 5 * MINUTE);
    assert_int_equal(h.items[2].after_ms, 6 * MINUTE);
    assert_int_equal(h.items[3].number, 4);
    assert_int_equal(rollup_history_begin(&h, MINUTE), 6 * MINUTE);
    h = history_of(after, 4);
    h.items[1].none = true;
    rollup_history_extend(&h, 5 * MINUTE);
    assert_int_equal(h.n, 3);
    assert_int_equal(h.items[1].number, 3);
    assert_int_equal(h.items[1].after_ms, 5 * MINUTE);
    assert_int_equal(rollup_history_begin(&h, MINUTE), 5 * MINUTE);
    rollup_history_extend(&h, INT64_MIN);
    assert_int_equal(h.n, 3);
    for (size_t i = 1; i < h.n; i++)
        assert_true(h.items[i].after_ms > h.items[i - 1].after_ms);
    assert_int_equal(h.items[2].number, 4);
    assert_true(rollup_history_begin(&h, MINUTE) == INT64_MIN);
}

/* What is told of the store while a config runs: the newest has all windows now. */
static void test_again(void **state)
{
    struct fixture *f = *state;
    struct taken t;
    struct rollup_histories all;
    struct err err = {0};
    int64_t end = T0 - T0 % MINUTE + MINUTE;
    take(f, "", A, &t);
    leave(&t);
    read_to(f, "orders/0", T0);
    take(f, "", B, &t);
    assert_int_equal(owner(&t, end), 1);
    assert_true(rollup_histories_read(f->store, &all, &err));
    struct rollup_history *h = rollup_history_find(&all, SLICE("x"));
    assert_non_null(h);
    assert_null(rollup_history_find(&all, SLICE("y")));
    rollup_history_extend(h, INT64_MIN);
    struct txn *txn = txn_begin(f->store);
    assert_true(rollup_history_write(h, txn));
    assert_true(txn_commit(&txn, NULL, &err));
    rollup_histories_fini(&all);
    assert_int_equal(owner(&t, end), 1);
    assert_true(generations_again(t.generations, &err));
    assert_int_equal(owner(&t, end), 2);
    assert_int_equal(owner(&t, 0), 2);
    leave(&t);
    take(f, "", B, &t); /* as a restart says */
    assert_int_equal(owner(&t, end), 2);
    leave(&t);
}

#define LIFE                                                                                       \
    "lifecycles:\n  life: {key: market, stages: {one: orders.n == 1, two: orders.n == 2},\n"       \
    "         ends: [two], expire: 1h}\n"
#define OF_LIFE "  x: {kind: counter, from: life, at: one, every: 1m}\n"

/* Events of the time without the lifecycle are in no life: windows of then are not its. */
static void test_goes_with_its_lifecycle(void **state)
{
    static const char other[] = "  y: {kind: counter, from: orders, every: 1m}\n";
    struct taken t;
    int64_t end = T0 - T0 % MINUTE + MINUTE;
    take(*state, "", OF_LIFE LIFE, &t);
    leave(&t);
    read_to(*state, "orders/0", T0);
    read_to(*state, "lifecycle/life", INT64_MIN);
    take(*state, "", other, &t);
    leave(&t);
    take(*state, "", other, &t); /* it has ended once */
    leave(&t);
    read_to(*state, "orders/0", T0 + 10 * MINUTE);
    take(*state, "", OF_LIFE LIFE, &t);
    assert_int_equal(owner(&t, end), 1);
    assert_int_equal(owner(&t, end + MINUTE), 0);
    assert_int_equal(owner(&t, end + 10 * MINUTE), 0);
    assert_int_equal(owner(&t, end + 11 * MINUTE), 3);
    leave(&t);
}

/* Nor do events count by a definition whose field is gone with it. */
static void test_goes_with_its_field(void **state)
{
    static const char other[] = "  y: {kind: counter, from: orders, every: 1m}\n";
    struct taken t;
    int64_t end = T0 - T0 % MINUTE + MINUTE;
    take(*state, ", k: int", C, &t);
    leave(&t);
    read_to(*state, "orders/0", T0);
    take(*state, "", other, &t);
    leave(&t);
    read_to(*state, "orders/0", T0 + 10 * MINUTE);
    take(*state, ", k: int", C, &t);
    assert_int_equal(owner(&t, end), 1);
    assert_int_equal(owner(&t, end + MINUTE), 0);
    assert_int_equal(owner(&t, end + 11 * MINUTE), 3);
    leave(&t);
}

static void load_life(struct config *c, struct store *store, int i)
{
    char line[1024];
    snprintf(line, sizeof line,
        "  x: {kind: counter, from: life, at: one, every: 1m, when: one.n == %d}\n" LIFE, i);
    load(c, store, "", line);
    assert_int_equal(c->mistakes, 0);
}

static enum err_code refused(struct fixture *f, int i)
{
    struct config c;
    struct generations *g;
    struct err err = {0};
    load_life(&c, f->store, i);
    if (generations_new(f->store, &c.streams, &g, &err))
        generations_free(&g);
    unload(&c);
    return err.code;
}

/* The layout of facts knows the fields of all of them. */
static void test_of_lives_none_is_forgotten(void **state)
{
    static const char other[] = "  y: {kind: counter, from: orders, every: 1m}\n" LIFE;
    struct fixture *f = *state;
    struct taken t;
    char line[1024];
    int i = 0;
    for (; i < GENERATIONS_MAX - 1; i++) {
        snprintf(line, sizeof line,
            "  x: {kind: counter, from: life, at: one, every: 1m, when: one.n == %d}\n" LIFE, i);
        take(f, "", line, &t);
        assert_int_equal(t.streams->n_former, i);
        leave(&t);
        read_to(f, "orders/0", T0 + i * MINUTE);
    }
    assert_int_equal(refused(f, i), ERR_LIMIT);
    assert_int_equal(refused(f, i - 1), ERR_OK); /* what it is now */
    take(f, "", other, &t);                      /* it may end */
    assert_int_equal(t.streams->n_former, i);
    leave(&t);
    read_to(f, "orders/0", T0 + i * MINUTE);
    assert_int_equal(refused(f, i - 1), ERR_LIMIT);
}

static void test_windows_of_lives_have_room(void **state)
{
    (void)state;
    struct config c;
    load(&c, NULL, "", "  x: {kind: counter, from: life, at: one, every: 5ms}\n" LIFE);
    assert_int_equal(c.mistakes, 1);
    unload(&c);
    load(&c, NULL, "", "  x: {kind: counter, from: life, at: one, every: 10ms}\n" LIFE);
    assert_int_equal(c.mistakes, 0);
    unload(&c);
}

/* What its stream has read of a topic that goes with the same change lies before it, too. */
static void test_topics_that_go(void **state)
{
    struct fixture *f = *state;
    struct taken t;
    struct buf text;
    struct err err = {0};
    struct partition gone = {.name = "gone/0"};
    int64_t end = T0 - T0 % MINUTE + MINUTE;
    take(f, "", A, &t);
    leave(&t);
    buf_init(&text, 0);
    partition_encode(&gone, SLICE("orders"), &text);
    struct txn *txn = txn_begin(f->store);
    txn_source(txn, SLICE("gone/0"), 1, T0, buf_view(&text));
    assert_true(txn_commit(&txn, NULL, &err));
    buf_fini(&text);
    read_to(f, "orders/0", T0 - 10 * MINUTE);
    take(f, "", B, &t);
    assert_int_equal(owner(&t, end), 1);
    assert_int_equal(owner(&t, end + MINUTE), 2);
    leave(&t);
}

/* Topics may have names with which ours begin. */
static void test_topics_named_as_ours(void **state)
{
    struct taken t;
    read_to(*state, "rollup/0", T0);
    read_to(*state, "rollup/12", T0);
    read_to(*state, "shop.berlin/letters/0", T0 + 3600000); /* nor is this of a pattern */
    take(*state, "", A, &t);
    leave(&t);
    read_to(*state, "orders/0", T0);
    take(*state, "", B, &t);
    assert_int_equal(owner(&t, T0 - T0 % MINUTE + MINUTE), 1);
    assert_int_equal(owner(&t, T0 - T0 % MINUTE + 2 * MINUTE), 2);
    leave(&t);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_means_the_same),
        cmocka_unit_test(test_text_reads_again),
        TEST(test_begins_after_what_was_read),
        TEST(test_begins_at_a_window),
        TEST(test_comes_and_goes),
        TEST(test_makes_no_sense_any_more),
        TEST(test_bounds),
        TEST(test_the_newest_describes),
        cmocka_unit_test(test_extends),
        TEST(test_again),
        TEST(test_topics_named_as_ours),
        TEST(test_goes_with_its_lifecycle),
        TEST(test_goes_with_its_field),
        TEST(test_topics_that_go),
        TEST(test_of_lives_none_is_forgotten),
        cmocka_unit_test(test_windows_of_lives_have_room),
    };
    log_set_level(LOG_WARN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
