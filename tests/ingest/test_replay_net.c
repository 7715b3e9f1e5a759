/*
 * What makes one store's cells those of another: against a plain table of all of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "ingest/replay/replay_net.h"
#include "store/columns.h"
#include "store/read.h"
#include "tests/store/support/folder.h"

#define T0      INT64_C(1700000000000)
#define EVERY   5000
#define DAY_MS  INT64_C(86400000)
#define SERIES  12
#define WINDOWS 300
#define KEYS    3 /* buckets */

/* Amounts by series and window; of histograms how many are in each bucket. */
struct table {
    int64_t v[SERIES][WINDOWS][KEYS];
};

static const struct metric_def defs[] = {
    {.name = {"c_total", 7}, .kind = KIND_COUNTER, .every_ms = EVERY, .stale_after_ms = 60000},
    {.name = {"l", 1}, .kind = KIND_LEVEL, .every_ms = EVERY, .stale_after_ms = 60000},
    {.name = {"h", 1},
        .kind = KIND_HISTOGRAM,
        .every_ms = EVERY,
        .stale_after_ms = 60000,
        .schema = 5},
};

static int64_t end_of(int window)
{
    return T0 + (int64_t)window * EVERY;
}

static struct labels labels_of(const struct metric_def *def, int series, struct label l[2], char *m)
{
    snprintf(m, 16, "m%02d", series);
    l[0] = (struct label){SLICE(LABEL_METRIC_NAME), def->name};
    l[1] = (struct label){SLICE("market"), slice_from(m)};
    return (struct labels){l, 2};
}

static void put(struct txn *txn, const struct metric_def *def, uint32_t series, int window,
    const int64_t counts[KEYS])
{
    struct hist_bucket buckets[KEYS];
    struct hist_cell cell = {.buckets = buckets};
    if (def->kind != KIND_HISTOGRAM) {
        if (counts[0])
            txn_add(txn, series, end_of(window), counts[0]);
        return;
    }
    for (int k = 0; k < KEYS; k++)
        if (counts[k]) {
            cell.sum += (int128)(k + 1) * counts[k];
            buckets[cell.n++] = (struct hist_bucket){k + 10, counts[k]};
        }
    if (cell.n)
        txn_histogram(txn, series, end_of(window), &cell);
}

/* Random cells of some of the series, of a level below zero too; in several transactions. */
static void fill(struct store *store, const struct metric_def *def, struct table *table)
{
    struct err err;
    for (int round = 0; round < 3; round++) {
        struct txn *txn = txn_begin(store);
        uint32_t metric, series;
        assert_true(txn_metric(txn, def, &metric, &err));
        for (int s = 0; s < SERIES; s++) {
            struct label l[2];
            char m[16];
            if (rand() % 4 == 0)
                continue;
            assert_true(txn_series(txn, metric, labels_of(def, s, l, m), &series, &err));
            for (int w = 0; w < WINDOWS; w++) {
                int64_t counts[KEYS] = {0};
                for (int k = 0; k < (def->kind == KIND_HISTOGRAM ? KEYS : 1); k++) {
                    counts[k] = rand() % 3 ? 0 : rand() % 5;
                    if (def->kind == KIND_LEVEL && rand() % 2)
                        counts[k] = -counts[k];
                    table->v[s][w][k] += counts[k];
                }
                put(txn, def, series, w, counts);
            }
        }
        assert_true(txn_commit(&txn, NULL, &err));
    }
}

static void note(const struct columns *c, size_t i, int series, struct table *out)
{
    int window = (int)((c->t[i] - T0) / EVERY);
    assert_true(window >= 0 && window < WINDOWS);
    int64_t *v = out->v[series][window];
    if (c->kind != KIND_HISTOGRAM) {
        v[0] = (int64_t)c->amount[i];
        return;
    }
    int128 sum = 0;
    for (uint32_t b = c->bucket_at[i]; b < c->bucket_at[i + 1]; b++) {
        int k = c->bucket[b].key - 10;
        assert_true(k >= 0 && k < KEYS);
        v[k] = c->bucket[b].count;
        sum += (int128)(k + 1) * v[k];
    }
    assert_true(sum == c->sum[i]);
}

static void read_all(struct store *store, const struct metric_def *def, struct table *out)
{
    struct matcher matcher = {MATCH_EQUAL, SLICE(LABEL_METRIC_NAME), def->name, NULL};
    struct snapshot *snapshot = snapshot_get(store);
    struct plan *plan;
    struct arena arena;
    struct err err;
    memset(out, 0, sizeof *out);
    arena_init(&arena, 0);
    assert_true(plan_new(snapshot, NULL, &matcher, 1, NULL, &plan, &err));
    for (size_t i = 0; i < plan_n(plan); i++)
        plan_range(plan, i, T0 - 1000000, T0 + 10000000);
    assert_true(snapshot_fetch(snapshot, NULL, NULL, &err));
    for (size_t i = 0; i < plan_n(plan); i++) {
        struct columns columns;
        int series = -1;
        struct labels labels = plan_labels(plan, i);
        for (size_t k = 0; k < labels.n; k++)
            if (slice_is(labels.items[k].name, "market"))
                series = atoi(labels.items[k].value.ptr + 1);
        assert_true(plan_columns(plan, i, &arena, &columns, &err));
        for (size_t k = 0; k < columns.n; k++)
            note(&columns, k, series, out);
    }
    snapshot_put(&snapshot);
    arena_fini(&arena);
}

static struct store *open_store(void)
{
    struct store_options options = {0};
    struct store *store;
    struct err err;
    assert_true(store_open(&options, &store, &err));
    return store;
}

static void make_alike(struct store *store, struct store *like, const struct metric_def *def,
    int64_t after, int64_t until, bool changes)
{
    struct replay_net *net;
    struct err err;
    uint64_t refused;
    assert_true(replay_net_new(store, like, def, after, until, &net, &err));
    assert_int_equal(replay_net_cells(net) > 0, changes);
    struct txn *txn = txn_begin(store);
    assert_true(replay_net_write(net, txn, &refused, &err));
    assert_int_equal(refused, 0);
    assert_true(txn_commit(&txn, NULL, &err));
    replay_net_free(&net);
}

static void check_kind(const struct metric_def *def, int64_t after, int64_t until)
{
    static struct table a, b, want, have;
    struct store *store = open_store(), *like = open_store();
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    fill(store, def, &a);
    fill(like, def, &b);
    make_alike(store, like, def, after, until, true);
    for (int s = 0; s < SERIES; s++)
        for (int w = 0; w < WINDOWS; w++)
            memcpy(want.v[s][w], end_of(w) > after && end_of(w) <= until ? b.v[s][w] : a.v[s][w],
                sizeof want.v[s][w]);
    read_all(store, def, &have);
    assert_memory_equal(&have, &want, sizeof want);
    make_alike(store, like, def, after, until, false); /* once more changes nothing */
    read_all(store, def, &have);
    assert_memory_equal(&have, &want, sizeof want);
    read_all(like, def, &have); /* nor is the other one touched */
    assert_memory_equal(&have, &b, sizeof b);
    store_close(&store);
    store_close(&like);
}

static void test_all_kinds(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof defs / sizeof *defs; i++) {
        check_kind(&defs[i], INT64_MIN, INT64_MAX);
        check_kind(&defs[i], end_of(17), INT64_MAX);
        check_kind(&defs[i], end_of(50), end_of(200));
        check_kind(&defs[i], end_of(50) + 1, end_of(51)); /* one window */
    }
}

/* The other one knows nothing of the metric: all of it goes. */
static void test_against_nothing(void **state)
{
    static struct table table, none, have;
    struct store *store = open_store(), *like = open_store();
    (void)state;
    fill(store, &defs[0], &table);
    make_alike(store, like, &defs[0], INT64_MIN, INT64_MAX, true);
    read_all(store, &defs[0], &have);
    assert_memory_equal(&have, &none, sizeof none);
    store_close(&store);
    store_close(&like);
}

/* Raw cells that retention has taken live on in coarser ones: those of the topics would be added.
 */
static void test_coarser_cells(void **state)
{
    char path[FOLDER_MAX];
    struct store_options options = {.path = path,
        .retention = {.raw_ms = DAY_MS, .minute_ms = 30 * DAY_MS, .hour_ms = 30 * DAY_MS}};
    struct store *store, *like = open_store();
    struct replay_net *net;
    struct label l[2];
    char m[16];
    struct err err;
    (void)state;
    folder_new("replay-net", path, sizeof path);
    assert_true(store_open(&options, &store, &err));
    for (int64_t day = 0; day < 5; day++) {
        uint32_t metric, series;
        struct txn *txn = txn_begin(store);
        assert_true(txn_metric(txn, &defs[0], &metric, &err));
        assert_true(txn_series(txn, metric, labels_of(&defs[0], 1, l, m), &series, &err));
        txn_add(txn, series, T0 + day * DAY_MS, 1);
        assert_true(txn_commit(&txn, NULL, &err));
    }
    assert_true(store_maintain(store, T0 + 5 * DAY_MS, &err));
    assert_false(replay_net_new(store, like, &defs[0], INT64_MIN, INT64_MAX, &net, &err));
    assert_int_equal(err.code, ERR_UNSUPPORTED);
    assert_true(replay_net_new(store, like, &defs[0], T0 + 4 * DAY_MS - 1, INT64_MAX, &net, &err));
    assert_int_equal(replay_net_cells(net), 1);
    replay_net_free(&net);
    store_close(&store);
    store_close(&like);
    folder_remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_kinds),
        cmocka_unit_test(test_against_nothing),
        cmocka_unit_test(test_coarser_cells),
    };
    srand(7);
    log_set_level(LOG_WARN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
