/*
 * The same transactions in the same order, with the same maintenance between them, make the same
 * segments, byte for byte and under the same names: in another folder, with another size of the
 * log's files, and however often the store is closed or killed on the way. Cells of counters,
 * histograms, levels and gauges that come in another order, cut into other transactions and sealed
 * at other moments, give the same answers.
 *
 * LARDER_SEED repeats a run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/checksum.h"
#include "base/ensure.h"
#include "base/log.h"
#include "store/files.h"
#include "store/read.h"
#include "tests/store/support/folder.h"
#include "tests/store/support/workload.h"

#define COMMITS 200
#define SERIES  3
#define CELLS   14
#define HISTORY 120

static uint64_t seed;

/* ---- segments ---- */

enum restarts { NEVER, CLOSED, KILLED };

struct history {
    const char *what;
    enum restarts restarts; /* after every third commit, or where maintenance has just ended */
    bool small;             /* files of the log, and checkpoints */
};

struct summary {
    char text[60000]; /* name and checksum of every segment */
    size_t n;
};

static void add_segment(void *ctx, const char *path)
{
    struct summary *s = ctx;
    struct buf content;
    struct err err;
    if (!strstr(path, ".seg"))
        return;
    buf_init(&content, 0);
    ensure(file_read(path, SIZE_MAX / 2, &content, &err));
    size_t used = strlen(s->text);
    snprintf(s->text + used, sizeof s->text - used, "%s %08x\n", strrchr(path, '/') + 1,
        crc32c(0, content.ptr, content.len));
    s->n++;
    buf_fini(&content);
}

static struct store *open_at(const char *path, bool small)
{
    struct store_options options = {.path = path,
        .block_ms = WORKLOAD_BLOCK,
        .wal_file_bytes = small ? 1500 : 0,
        .checkpoint_bytes = small ? 3500 : 0};
    struct store *store;
    struct err err;
    if (!store_open(&options, &store, &err))
        fail_msg("%s", err.text);
    return store;
}

static void restart(const struct history *h, const char *path, struct store **store)
{
    char killed[FOLDER_MAX];
    snprintf(killed, sizeof killed, "%.400s.killed", path);
    if (h->restarts == NEVER)
        return;
    if (h->restarts == KILLED)
        folder_copy(path, killed);
    store_close(store);
    if (h->restarts == KILLED) {
        folder_remove(path);
        assert_int_equal(rename(killed, path), 0);
    }
    *store = open_at(path, h->small);
}

static void run(const struct history *h, struct summary *out)
{
    char base[FOLDER_MAX], path[FOLDER_MAX];
    struct workload w;
    struct err err;
    folder_make("same", base);
    snprintf(path, sizeof path, "%.400s/0", base);
    struct store *store = open_at(path, h->small);
    workload_init(&w, seed, SERIES, HISTORY);
    w.histograms = true;
    *out = (struct summary){0};
    for (int i = 0; i < COMMITS; i++) {
        struct txn *txn = txn_begin(store);
        workload_fill(&w, txn, CELLS);
        w.newest += 5;
        if (!txn_commit(&txn, NULL, &err))
            fail_msg("%s", err.text);
        if (i % 3 == 1)
            restart(h, path, &store);
        if (i % 37 == 36 && !workload_delete(&w, store, &err))
            fail_msg("%s", err.text);
        if (i % 5 == 4 && !store_maintain(store, workload_end(w.newest - 30), &err))
            fail_msg("%s", err.text);
        if (i % 15 == 14)
            restart(h, path, &store);
    }
    store_close(&store);
    folder_each(path, add_segment, out);
    workload_fini(&w);
    folder_remove(base);
}

static void test_same_segments(void **state)
{
    (void)state;
    static const struct history histories[] = {{"another folder", NEVER, false},
        {"small files", NEVER, true}, {"closed again and again", CLOSED, false},
        {"killed again and again", KILLED, false}, {"killed, small files", KILLED, true}};
    static struct summary whole, other;
    run(&histories[0], &whole);
    printf("# %zu segments\n", whole.n);
    assert_true(whole.n > 3);
    for (size_t i = 0; i < sizeof histories / sizeof *histories; i++) {
        run(&histories[i], &other);
        if (strcmp(whole.text, other.text) != 0)
            fail_msg("%s: %zu segments\n%s\nin place of %zu\n%s", histories[i].what, other.n,
                other.text, whole.n, whole.text);
    }
}

/* ---- any order ---- */

#define MIXED_CELLS 4000
#define MIXED_DAYS  3
#define HOUR        3600000

static const struct metric_def mixed[] = {
    {.name = {"c", 1}, .kind = KIND_COUNTER, .every_ms = WORKLOAD_EVERY, .stale_after_ms = HOUR},
    {.name = {"g", 1}, .kind = KIND_GAUGE, .every_ms = WORKLOAD_EVERY, .stale_after_ms = HOUR},
    {.name = {"h", 1}, .kind = KIND_HISTOGRAM, .every_ms = WORKLOAD_EVERY, .stale_after_ms = HOUR},
    {.name = {"l", 1}, .kind = KIND_LEVEL, .every_ms = WORKLOAD_EVERY, .stale_after_ms = HOUR},
};
#define MIXED (sizeof mixed / sizeof *mixed)

/* A cell, by its number alone; some are each other's inverse. */
static void add_cell(struct txn *txn, uint64_t number, bool inverse)
{
    uint64_t key[2] = {seed, number}, r = hash64(key, sizeof key);
    const struct metric_def *def = &mixed[r % MIXED];
    char text[8];
    uint32_t metric, series;
    struct err err;
    int64_t windows = MIXED_DAYS * (86400000 / WORKLOAD_EVERY);
    int64_t t = workload_end((int64_t)(r >> 8) % windows), v = (int64_t)(r >> 40 & 1023) - 100;
    snprintf(text, sizeof text, "n%u", (unsigned)(r >> 4 & 3));
    struct label labels[2] = {{SLICE("__name__"), def->name}, {SLICE("series"), slice_from(text)}};
    ensure(txn_metric(txn, def, &metric, &err) &&
           txn_series(txn, metric, (struct labels){labels, 2}, &series, &err));
    int64_t sign = inverse ? -1 : 1;
    struct hist_bucket buckets[2] = {
        {(int32_t)(r >> 50 & 3), sign * (1 + (v & 7))}, {7, sign * (1 + (v & 3))}};
    if (def->kind == KIND_GAUGE)
        txn_gauge(txn, series, t,
            &(struct gauge_cell){.last = v,
                .last_ms = t - (int64_t)(r >> 60) * 1000,
                .min = v - 1,
                .max = v + 1,
                .sum = 3 * v,
                .count = 3});
    else if (def->kind == KIND_HISTOGRAM)
        txn_histogram(txn, series, t, &(struct hist_cell){sign * v, 2, buckets});
    else
        txn_add(txn, series, t, sign * v);
}

/* Numbers of cells in a random order; every 16th cell comes a second time as its inverse. */
static size_t shuffle(uint64_t order, uint32_t out[2 * MIXED_CELLS])
{
    size_t n = 0;
    for (uint32_t i = 0; i < MIXED_CELLS; i++) {
        out[n++] = i * 2;
        if (i % 16 == 0)
            out[n++] = i * 2 + 1;
    }
    for (size_t i = n; order && i > 1; i--) {
        uint64_t key[2] = {order, i};
        size_t k = hash64(key, sizeof key) % i;
        uint32_t swap = out[i - 1];
        out[i - 1] = out[k];
        out[k] = swap;
    }
    return n;
}

static void print_array(struct buf *out, const char *name, const void *array, size_t bytes)
{
    if (array)
        buf_printf(out, " %s %08x", name, crc32c(0, array, bytes));
}

static void print_columns(struct buf *out, struct labels labels, const struct columns *c)
{
    for (size_t i = 0; i < labels.n; i++)
        buf_printf(out, "%.*s ", SLICE_FMT(labels.items[i].value));
    buf_printf(out, "%zu cells", c->n);
    print_array(out, "t", c->t, c->n * sizeof *c->t);
    print_array(out, "amount", c->amount, c->n * sizeof *c->amount);
    print_array(out, "last", c->last, c->n * sizeof *c->last);
    print_array(out, "last_ms", c->last_ms, c->n * sizeof *c->last_ms);
    print_array(out, "min", c->min, c->n * sizeof *c->min);
    print_array(out, "max", c->max, c->n * sizeof *c->max);
    print_array(out, "count", c->count, c->n * sizeof *c->count);
    print_array(out, "sum", c->sum, c->n * sizeof *c->sum);
    for (size_t i = 0; c->bucket_at && i < c->bucket_at[c->n]; i++)
        buf_printf(out, " %d:%lld", c->bucket[i].key, (long long)c->bucket[i].count);
    buf_printf(out, "\n");
}

/* Cells, those of an hour, and what the levels stand at every six hours. */
static void print_answers(struct store *store, struct buf *out)
{
    struct matcher all = {MATCH_NOT_EQUAL, SLICE("__name__"), SLICE(""), NULL};
    int64_t from = WORKLOAD_T0, to = WORKLOAD_T0 + (MIXED_DAYS + 1) * 86400000ll;
    for (int64_t at = from; at <= to; at += 6 * HOUR) {
        struct snapshot *snap = snapshot_get(store);
        struct plan *raw, *hours;
        struct arena arena;
        struct err err = {0};
        arena_init(&arena, 0);
        assert_true(plan_new(snap, NULL, &all, 1, NULL, &raw, &err));
        assert_true(plan_new(snap, NULL, &all, 1, NULL, &hours, &err));
        assert_int_equal(plan_n(raw), MIXED * 4);
        for (size_t i = 0; i < plan_n(raw); i++) {
            plan_range(raw, i, INT64_MIN, INT64_MAX);
            plan_range(hours, i, from, to);
            plan_resolution(hours, i, HOUR);
            if (plan_metric(raw, i)->kind == KIND_LEVEL)
                assert_true(plan_opening(raw, i, at, &err));
        }
        if (!snapshot_fetch(snap, NULL, NULL, &err))
            fail_msg("%s", err.text);
        for (size_t i = 0; i < plan_n(raw); i++) {
            struct columns c;
            int128 sum = 0;
            if (at == from) {
                assert_true(plan_columns(raw, i, &arena, &c, &err));
                print_columns(out, plan_labels(raw, i), &c);
                assert_true(plan_columns(hours, i, &arena, &c, &err));
                print_columns(out, plan_labels(raw, i), &c);
            }
            if (plan_metric(raw, i)->kind != KIND_LEVEL)
                continue;
            assert_true(plan_opening_sum(raw, i, &arena, &sum, &err));
            buf_printf(out, "stands at %lld\n", (long long)sum);
        }
        snapshot_put(&snap);
        arena_fini(&arena);
    }
}

/* Cells in the order, in transactions of at most `most`, with maintenance after every `every`th. */
static void run_order(uint64_t order, size_t most, int every, struct buf *out)
{
    static uint32_t numbers[2 * MIXED_CELLS];
    char base[FOLDER_MAX], path[FOLDER_MAX];
    struct err err;
    size_t n = shuffle(order, numbers);
    int64_t passed = 0;
    folder_make("order", base);
    snprintf(path, sizeof path, "%.400s/0", base);
    struct store *store = open_at(path, true);
    for (size_t i = 0, k = 1; i < n; k++) {
        uint64_t key[2] = {order, i};
        size_t end = i + 1 + hash64(key, sizeof key) % most;
        struct txn *txn = txn_begin(store);
        for (; i < n && i < end; i++)
            add_cell(txn, numbers[i] / 2, numbers[i] % 2);
        if (!txn_commit(&txn, NULL, &err))
            fail_msg("%s", err.text);
        passed = (int64_t)(i * MIXED_DAYS * 86400000ull / n);
        if (k % (size_t)every == 0 && !store_maintain(store, WORKLOAD_T0 + passed, &err))
            fail_msg("%s", err.text);
    }
    print_answers(store, out);
    /* The last late cells are seen, and a day later they are sealed. */
    for (int day = 4; day < 6; day++)
        if (!store_maintain(store, WORKLOAD_T0 + (MIXED_DAYS + day) * 86400000ll, &err))
            fail_msg("%s", err.text);
    print_answers(store, out);
    struct store_stats stats;
    store_stats(store, &stats);
    printf("# %llu commits, %llu segments, %llu compactions\n", (unsigned long long)stats.commits,
        (unsigned long long)stats.segments, (unsigned long long)stats.compactions);
    assert_true(stats.compactions > 0 && stats.derived_segments > 0);
    assert_int_equal(stats.head_cells, 0);
    store_close(&store);
    folder_remove(base);
}

static void test_any_order(void **state)
{
    (void)state;
    struct buf expected, other;
    buf_init(&expected, 0);
    buf_init(&other, 0);
    run_order(0, 40, 10, &expected);
    for (uint64_t order = 1; order < 4; order++) {
        buf_clear(&other);
        run_order(seed * 8 + order, order * 60, (int)order * 7, &other);
        assert_string_equal(buf_cstr(&expected), buf_cstr(&other));
    }
    buf_fini(&expected);
    buf_fini(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_segments),
        cmocka_unit_test(test_any_order),
    };
    const char *text = getenv("LARDER_SEED");
    seed = text ? strtoull(text, NULL, 10) : (uint64_t)time(NULL);
    printf("# LARDER_SEED=%llu\n", (unsigned long long)seed);
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
