/*
 * Every kind of rollup against a model: random events in random order, in batches of any size, with
 * commits that are tried again and a store that is opened anew, make the cells that a slow count of
 * the events makes: every column of every cell. Values come up to the ends of 64 bits, so that sums
 * need their second word; times are before 1970, too, and on the bounds of windows.
 *
 *     LARDER_SEED: the first seed; LARDER_RUNS: how many follow it
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cmd/config.h"
#include "ingest/rollup_run.h"
#include "store/read.h"
#include "tests/ingest/support/rollup_event.h"
#include "tests/store/support/folder.h"

#define EVENTS_MAX 300
#define MARKETS    4 /* the first: none */
#define DEVICES    3

static const char config_text[] =
    "kafka: {brokers: \"localhost:9092\"}\n"
    "streams:\n"
    "  s:\n"
    "    topics: [s]\n"
    "    key: device\n"
    "    event_time: at\n"
    "    fields:\n"
    "      at: {type: time}\n"
    "      device: {type: string}\n"
    "      market: {type: string}\n"
    "      amount: {type: decimal, digits: 2, min: 0}\n"
    "      value: {type: int}\n"
    "rollups:\n"
    "  events_total: {kind: counter, from: s, by: [market]}\n"
    "  amount_total: {kind: counter, from: s, value: amount, when: value > 0, by: [market]}\n"
    "  values: {kind: histogram, from: s, value: value, schema: 3, every: 1m, by: [market]}\n"
    "  stock: {kind: level, from: s, value: 'if(amount > 100, value, -value)', every: 15m}\n"
    "  reading: {kind: gauge, from: s, value: value, by: [device], every: 1s}\n"
    "  average: {kind: gauge, from: s, value: value, reduce: avg, by: [market]}\n"
    "  least: {kind: gauge, from: s, value: value, reduce: min}\n"
    "  greatest: {kind: gauge, from: s, value: value, reduce: max}\n"
    "  total: {kind: gauge, from: s, value: value, reduce: sum}\n"
    "  latest: {kind: gauge, from: s, value: value, reduce: last}\n";

struct thing {
    int64_t at, value, amount; /* amount: hundredths */
    bool has_value, has_amount;
    int device, market;
};

struct run {
    char folder[FOLDER_MAX], file[FOLDER_MAX + 16];
    struct config config;
    struct store *store;
    struct rollup_runner *runner;
    struct thing things[EVENTS_MAX];
    size_t n;
    uint64_t seed, random;
    bool forgets; /* label sets, now and then */
};

static struct err err;

static void must(bool ok)
{
    if (!ok)
        fail_msg("%s", err.text);
}

static int64_t below(struct run *r, int64_t n)
{
    r->random ^= r->random << 13;
    r->random ^= r->random >> 7;
    r->random ^= r->random << 17;
    return (int64_t)((r->random >> 11) % (uint64_t)n);
}

/* ---- the model ---- */

enum { EVENTS, AMOUNT, VALUES, STOCK, READING, AVERAGE };

/* Whether the event counts in the rollup, and with which value. */
static bool counts(int rollup, const struct thing *t, int64_t *value)
{
    *value = rollup == EVENTS ? 1 : rollup == AMOUNT ? t->amount : t->value;
    switch (rollup) {
    case EVENTS: return true;
    case AMOUNT: return t->has_value && t->has_amount && t->value > 0;
    case STOCK: /* what lacks the amount is not above */
        *value = t->has_amount && t->amount > 10000 ? t->value : -t->value;
        return t->has_value;
    default: return t->has_value;
    }
}

/* Of the label set of the rollup that the event is in: 0 when it has none. */
static int label_of(int rollup, const struct thing *t)
{
    return rollup == READING ? t->device : rollup <= VALUES || rollup == AVERAGE ? t->market : 0;
}

static bool is_in(int64_t at, int64_t end, int64_t every)
{
    return at > end - every && at <= end;
}

struct want {
    int128 sum;
    int64_t count, min, max, last, last_ms;
    bool any;
};

static struct want want_of(const struct run *r, int rollup, int label, int64_t end, int64_t every)
{
    struct want w = {.min = INT64_MAX, .max = INT64_MIN};
    for (size_t i = 0; i < r->n; i++) {
        const struct thing *t = &r->things[i];
        int64_t v;
        if (!counts(rollup, t, &v) || label_of(rollup, t) != label || !is_in(t->at, end, every))
            continue;
        if (!w.any || t->at > w.last_ms || (t->at == w.last_ms && v > w.last)) {
            w.last = v;
            w.last_ms = t->at;
        }
        w.any = true;
        w.sum += v;
        w.count++;
        w.min = v < w.min ? v : w.min;
        w.max = v > w.max ? v : w.max;
    }
    return w;
}

static int64_t observed(const struct run *r, int label, int64_t end, int64_t every,
    const struct metric_def *def, int32_t key)
{
    int64_t n = 0, v;
    for (size_t i = 0; i < r->n; i++)
        n += counts(VALUES, &r->things[i], &v) && label_of(VALUES, &r->things[i]) == label &&
             is_in(r->things[i].at, end, every) &&
             hist_bucket_key(v, def->digits, def->schema) == key;
    return n;
}

/* ---- comparing ---- */

static void check_histogram(const struct run *r, const struct columns *c, size_t i, int label,
    const struct metric_def *def, const struct want *w)
{
    int64_t count = 0;
    assert_true(c->sum[i] == w->sum);
    for (uint32_t b = c->bucket_at[i]; b < c->bucket_at[i + 1]; b++) {
        assert_int_equal(
            c->bucket[b].count, observed(r, label, c->t[i], def->every_ms, def, c->bucket[b].key));
        count += c->bucket[b].count;
    }
    assert_int_equal(count, w->count);
}

static void check_cell(const struct run *r, const struct columns *c, size_t i, int rollup,
    int label, const struct metric_def *def)
{
    struct want w = want_of(r, rollup, label, c->t[i], def->every_ms);
    assert_true(w.any);
    assert_true(c->t[i] % def->every_ms == 0);
    if (c->kind == KIND_HISTOGRAM) {
        check_histogram(r, c, i, label, def, &w);
    } else if (c->kind == KIND_GAUGE) {
        assert_true(c->last[i] == w.last && c->last_ms[i] == w.last_ms);
        assert_true(c->min[i] == w.min && c->max[i] == w.max);
        assert_true(c->count[i] == w.count && c->sum[i] == w.sum);
    } else {
        if (c->amount[i] != w.sum)
            fail_msg("seed %" PRIu64 ": %.*s at %" PRId64 ": %g, not %g", r->seed,
                SLICE_FMT(def->name), c->t[i], (double)c->amount[i], (double)w.sum);
    }
}

/* Every event is in some cell, unless that is zero. */
static void check_all_there(const struct run *r, const struct columns *c, int rollup, int label,
    const struct metric_def *def)
{
    for (size_t i = 0; i < r->n; i++) {
        const struct thing *t = &r->things[i];
        int64_t v, end = window_end(t->at, def->every_ms);
        if (!counts(rollup, t, &v) || label_of(rollup, t) != label)
            continue;
        size_t at = columns_after(c, end - 1);
        bool there = at < c->n && c->t[at] == end;
        struct want w = want_of(r, rollup, label, end, def->every_ms);
        bool zero = (c->kind == KIND_COUNTER || c->kind == KIND_LEVEL) && w.sum == 0;
        if (there == zero)
            fail_msg(
                "seed %" PRIu64 ": %.*s: a cell at %" PRId64, r->seed, SLICE_FMT(def->name), end);
    }
}

static int label_in(struct labels labels, const char *name, const char *prefix)
{
    struct slice value = labels_get(labels, slice_from(name));
    return value.len ? value.ptr[strlen(prefix)] - '0' : 0;
}

/* The cells of all series. */
static int128 total_of(const struct run *r, int rollup)
{
    struct matcher m = {
        MATCH_EQUAL, SLICE("__name__"), r->config.streams.rollups[rollup].def.name, NULL};
    struct snapshot *s = snapshot_get(r->store);
    struct plan *plan;
    struct arena arena;
    int128 total = 0;
    arena_init(&arena, 0);
    must(plan_new(s, NULL, &m, 1, NULL, &plan, &err));
    for (size_t i = 0; i < plan_n(plan); i++)
        plan_range(plan, i, INT64_MIN, INT64_MAX);
    must(snapshot_fetch(s, NULL, NULL, &err));
    for (size_t i = 0; i < plan_n(plan); i++) {
        struct columns c;
        must(plan_columns(plan, i, &arena, &c, &err));
        for (size_t k = 0; k < c.n; k++)
            total += c.amount[k];
    }
    snapshot_put(&s);
    arena_fini(&arena);
    return total;
}

static size_t check_rollup(const struct run *r, int rollup)
{
    const struct metric_def *def = &r->config.streams.rollups[rollup].def;
    struct matcher m = {MATCH_EQUAL, SLICE("__name__"), def->name, NULL};
    struct snapshot *s = snapshot_get(r->store);
    struct plan *plan;
    struct arena arena;
    size_t cells = 0;
    arena_init(&arena, 0);
    assert_true(plan_new(s, NULL, &m, 1, NULL, &plan, &err));
    for (size_t i = 0; i < plan_n(plan); i++)
        plan_range(plan, i, INT64_MIN, INT64_MAX);
    assert_true(snapshot_fetch(s, NULL, NULL, &err));
    for (size_t i = 0; i < plan_n(plan); i++) {
        struct columns c;
        struct labels labels = plan_labels(plan, i);
        int label =
            rollup == READING ? label_in(labels, "device", "d") : label_in(labels, "market", "m");
        assert_true(plan_columns(plan, i, &arena, &c, &err));
        assert_int_equal(c.kind, def->kind);
        for (size_t k = 0; k < c.n; k++)
            check_cell(r, &c, k, rollup, label, def);
        check_all_there(r, &c, rollup, label, def);
        cells += c.n;
    }
    snapshot_put(&s);
    arena_fini(&arena);
    return cells;
}

/* ---- a run ---- */

static void open_store(struct run *r)
{
    struct store_options options = {.path = r->folder};
    if (!store_open(&options, &r->store, &err))
        fail_msg("%s", err.text);
    r->runner = rollup_runner_new(&r->config.streams);
    if (r->forgets)
        rollup_runner_bound(r->runner, 1 + (size_t)below(r, 5000));
}

static void close_store(struct run *r)
{
    rollup_runner_free(&r->runner);
    store_close(&r->store);
}

static void begin(struct run *r, uint64_t seed)
{
    struct err_list errors;
    *r = (struct run){.seed = seed, .random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1};
    r->forgets = below(r, 2);
    folder_make("rollups", r->folder);
    snprintf(r->file, sizeof r->file, "%s/larder.yml", r->folder);
    FILE *f = fopen(r->file, "w");
    assert_non_null(f);
    fputs(config_text, f);
    fclose(f);
    if (!config_load(r->file, NULL, 0, &r->config, &errors))
        fail_msg("%s", errors.items[0].text);
    err_list_fini(&errors);
    unlink(r->file);
    open_store(r);
}

static int64_t any_value(struct run *r)
{
    switch (below(r, 4)) {
    case 0: return below(r, 5) - 2;
    case 1: return INT64_MAX - below(r, 3);
    case 2: return -INT64_MAX + below(r, 3); /* whose inverse is there, too */
    default: return below(r, 1000000) - 500000;
    }
}

static struct thing any_thing(struct run *r)
{
    struct thing t = {.at = below(r, 3600000) - 1800000, .value = any_value(r)};
    if (below(r, 2))
        t.at -= t.at % 5000;
    t.amount = below(r, 4) ? below(r, 20000) : INT64_MAX - below(r, 3);
    t.has_value = below(r, 10) > 0;
    t.has_amount = below(r, 10) > 0;
    t.device = (int)(1 + below(r, DEVICES));
    t.market = (int)below(r, MARKETS);
    return t;
}

static void set(struct event *e, const char *name, bool present, int64_t num, const char *text)
{
    size_t i = 0;
    while (!slice_is(e->contract->fields[i].name, name))
        i++;
    e->v[i] = (struct field_value){.present = present, .num = num, .str = slice_from(text)};
}

static void feed(struct run *r, const struct thing *t)
{
    static const char *const markets[] = {"", "m1", "m2", "m3"};
    static const char *const devices[] = {"", "d1", "d2", "d3"};
    struct event e = {.contract = &r->config.streams.streams[0].contract, .time_ms = t->at};
    set(&e, "at", true, t->at, "");
    set(&e, "device", true, 0, devices[t->device]);
    set(&e, "market", t->market > 0, 0, markets[t->market]);
    set(&e, "amount", t->has_amount, t->has_amount ? t->amount : 0, "");
    set(&e, "value", t->has_value, t->has_value ? t->value : 0, "");
    assert_int_equal(rollup_event(r->runner, 0, &e), REFUSED_NOT);
}

static void commit(struct run *r, bool reopen)
{
    struct txn *txn = txn_begin(r->store);
    assert_true(rollup_runner_write(r->runner, txn, &err));
    if (below(r, 5) == 0) {
        txn_abort(&txn);
        rollup_runner_unwrite(r->runner);
        txn = txn_begin(r->store);
        assert_true(rollup_runner_write(r->runner, txn, &err));
    }
    assert_true(txn_commit(&txn, NULL, &err));
    rollup_runner_clear(r->runner);
    if (reopen) {
        close_store(r);
        open_store(r);
    }
}

static void random_run(uint64_t seed)
{
    static struct run r;
    begin(&r, seed);
    int64_t events = 1 + below(&r, EVENTS_MAX), batch = 1 + below(&r, 100);
    while ((int64_t)r.n < events) {
        r.things[r.n] = any_thing(&r);
        feed(&r, &r.things[r.n++]);
        if (below(&r, batch) == 0)
            commit(&r, below(&r, 6) == 0);
    }
    commit(&r, true);
    size_t cells = 0;
    for (int i = 0; i < (int)r.config.streams.n_rollups; i++)
        cells += check_rollup(&r, i);
    assert_true(cells >= r.config.streams.n_rollups - 2 || events < 10);
    close_store(&r);
    config_free(&r.config);
    folder_remove(r.folder);
}

static void test_random(void **state)
{
    const char *seed = getenv("LARDER_SEED"), *runs = getenv("LARDER_RUNS");
    uint64_t first = seed ? strtoull(seed, NULL, 10) : 1, n = runs ? strtoull(runs, NULL, 10) : 40;
    (void)state;
    print_message("seeds %" PRIu64 " to %" PRIu64 "\n", first, first + n - 1);
    for (uint64_t i = 0; i < n; i++)
        random_run(first + i);
}

/* What is shown of a gauge is kept with it; it says nothing about the cells. */
static void test_reduce(void **state)
{
    static const struct {
        const char *metric;
        enum gauge_reduce reduce;
    } want[] = {{"reading", REDUCE_LAST}, {"average", REDUCE_AVG}, {"least", REDUCE_MIN},
        {"greatest", REDUCE_MAX}, {"total", REDUCE_SUM}, {"latest", REDUCE_LAST}};
    static struct run r;
    (void)state;
    begin(&r, 1);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        size_t k = 0;
        while (!slice_is(r.config.streams.rollups[k].def.name, want[i].metric))
            k++;
        assert_int_equal(r.config.streams.rollups[k].def.kind, KIND_GAUGE);
        assert_int_equal(r.config.streams.rollups[k].def.schema, want[i].reduce);
    }
    close_store(&r);
    config_free(&r.config);
    folder_remove(r.folder);
}

/* Label sets that are ever new cost no memory: those at hand are forgotten, and a limit of the
 * store folds them. Their totals stay exact. */
static void test_ever_new_labels(void **state)
{
    enum { SETS = 40000, BATCH = 500 };
    static struct run r;
    (void)state;
    begin(&r, 1);
    close_store(&r);
    struct store_options options = {.path = r.folder, .limits.series_per_metric = 5};
    must(store_open(&options, &r.store, &err));
    r.runner = rollup_runner_new(&r.config.streams);
    rollup_runner_bound(r.runner, 1 << 20);
    for (int i = 0; i < SETS; i++) {
        struct event e = {.contract = &r.config.streams.streams[0].contract, .time_ms = 1000};
        char market[16];
        snprintf(market, sizeof market, "m%d", i % 7 ? i : 1);
        set(&e, "at", true, 1000, "");
        set(&e, "market", true, 0, market);
        assert_int_equal(rollup_event(r.runner, 0, &e), REFUSED_NOT);
        if (i % BATCH == BATCH - 1)
            commit(&r, false);
    }
    /* 34,000 sets of some 250 bytes. */
    uint64_t forgotten = rollup_runner_forgotten(r.runner);
    assert_true(forgotten >= 4 && forgotten < SETS / BATCH / 2);
    assert_true(total_of(&r, EVENTS) == SETS);
    close_store(&r);
    config_free(&r.config);
    folder_remove(r.folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_reduce),
        cmocka_unit_test(test_ever_new_labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
