/*
 * Compaction: random late, duplicate and inverse cells over a few days against a naive model, with
 * maintenance one step at a time in between and reopening; and that the files depend on the
 * transactions and the points of sealing alone.
 */
#include "store/compact.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/double_bits.h"
#include "base/log.h"
#include "store/files.h"
#include "store/read.h"
#include "store/store.h"
#include "tests/store/support/folder.h"

#define EVERY   600000
#define DAYS    3
#define WINDOWS ((int)(DAYS * DAY_MS / EVERY))
#define SERIES  5
#define ROUNDS  600

static uint64_t rng;

static uint32_t below(uint32_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)(rng >> 33) % n;
}

static struct metric_def counter = {
    .name = {"m_total", 7}, .kind = KIND_COUNTER, .every_ms = EVERY};
static struct metric_def sample = {.name = {"m", 1}, .kind = KIND_SAMPLE};

struct model {
    int64_t amount[SERIES][WINDOWS];
    double value[SERIES][WINDOWS];
    bool there[SERIES][WINDOWS];
};

static uint32_t series_of(struct txn *txn, const struct metric_def *def, uint32_t i)
{
    char name[16];
    uint32_t metric, id;
    struct err err = {0};
    snprintf(name, sizeof name, "s%u", i);
    struct label l[2] = {{SLICE("__name__"), def->name}, {SLICE("series"), slice_from(name)}};
    assert_true(txn_metric(txn, def, &metric, &err));
    assert_true(txn_series(txn, metric, (struct labels){l, 2}, &id, &err));
    return id;
}

static void append(struct store *store, struct model *m, uint32_t newest, int64_t next)
{
    struct err err = {0};
    struct txn *txn = txn_begin(store);
    for (uint32_t n = below(12) + 1; n > 0; n--) {
        uint32_t late = below(6) == 0 ? below(newest + 1) : below(8);
        uint32_t s = below(SERIES), w = newest > late ? newest - late : 0;
        int64_t t = ((int64_t)w + 1) * EVERY;
        if (below(2)) {
            int64_t v = below(4) == 0 ? -m->amount[s][w] : (int64_t)below(100) - 20;
            if (v)
                txn_add(txn, series_of(txn, &counter, s), t, v);
            m->amount[s][w] += v;
        } else {
            m->value[s][w] = below(1000) / 8.0;
            m->there[s][w] = true;
            txn_sample(txn, series_of(txn, &sample, s), t, m->value[s][w]);
        }
    }
    if (next % 2) /* some commits come without a source */
        txn_source(txn, SLICE("source"), next, 0, SLICE("x"));
    if (!txn_commit(&txn, NULL, &err))
        fail_msg("%s", err.text);
}

static void compare_series(const struct model *m, bool is_counter, size_t s, struct columns c)
{
    size_t n = 0;
    for (int w = 0; w < WINDOWS; w++) {
        if (is_counter ? m->amount[s][w] == 0 : !m->there[s][w])
            continue;
        assert_true(n < c.n);
        assert_int_equal(c.t[n], ((int64_t)w + 1) * EVERY);
        if (is_counter)
            assert_int_equal(c.amount[n], m->amount[s][w]);
        else
            assert_memory_equal(&c.bits[n], &m->value[s][w], 8);
        n++;
    }
    assert_int_equal(n, c.n);
}

static void compare(struct snapshot *snap, const struct model *m)
{
    struct matcher all = {MATCH_NOT_EQUAL, SLICE("__name__"), SLICE(""), NULL};
    struct plan *plan;
    struct arena arena;
    struct err err = {0};
    arena_init(&arena, 0);
    assert_true(plan_new(snap, NULL, &all, 1, NULL, &plan, &err));
    for (size_t i = 0; i < plan_n(plan); i++)
        plan_range(plan, i, INT64_MIN, INT64_MAX);
    if (!snapshot_fetch(snap, NULL, NULL, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < plan_n(plan); i++) {
        struct columns c;
        size_t s = strtoul(labels_get(plan_labels(plan, i), SLICE("series")).ptr + 1, NULL, 10);
        arena_reset(&arena);
        assert_true(plan_columns(plan, i, &arena, &c, &err));
        compare_series(m, plan_metric(plan, i)->kind == KIND_COUNTER, s, c);
    }
    arena_fini(&arena);
}

static void compare_now(struct store *store, const struct model *m)
{
    struct snapshot *snap = snapshot_get(store);
    compare(snap, m);
    snapshot_put(&snap);
}

static struct store *open_store(const char *dir)
{
    struct store_options options = {.path = dir, .checkpoint_bytes = 30000};
    struct store *store;
    struct err err = {0};
    if (!store_open(&options, &store, &err))
        fail_msg("%s", err.text);
    return store;
}

static void step(struct store *store, int64_t passed, uint32_t steps)
{
    struct err err = {0};
    bool more = true;
    while (more && steps--)
        if (!store_maintain_step(store, passed, &more, &err))
            fail_msg("%s", err.text);
}

static void remove_folder(const char *dir)
{
    folder_remove(dir);
}

static void test_random_days(void **state)
{
    char dir[64];
    struct model *m = calloc(1, sizeof *m);
    struct store_stats stats;
    uint64_t compactions = 0;
    (void)state;
    const char *text = getenv("LARDER_STEPS");
    int rounds = text ? atoi(text) / 200 : ROUNDS;
    rng = getenv("LARDER_SEED") ? strtoull(getenv("LARDER_SEED"), NULL, 10) : 88172645463325252u;
    printf("seed %llu\n", (unsigned long long)rng);
    folder_new("compact", dir, sizeof dir);
    struct store *store = open_store(dir);
    for (int i = 0; i < rounds; i++) {
        uint32_t newest = (uint32_t)((uint64_t)i * (WINDOWS - 1) / (uint32_t)rounds);
        append(store, m, newest, i);
        bool back = below(30) == 0; /* a restart, or a new source */
        step(store, back ? INT64_MIN : ((int64_t)newest - 10) * EVERY, below(4));
        if (below(20) == 0)
            compare_now(store, m);
        if (below(40) == 0) {
            store_stats(store, &stats);
            compactions += stats.compactions;
            store_close(&store);
            store = open_store(dir);
            compare_now(store, m);
        }
    }
    step(store, DAYS * DAY_MS, UINT32_MAX);
    compare_now(store, m);
    store_stats(store, &stats);
    compactions += stats.compactions;
    assert_true(compactions > DAYS); /* it tried what it is for */
    assert_true(stats.segments <= DAYS * 11);
    assert_int_equal(stats.debt_segments, 0);
    store_close(&store);
    store = open_store(dir);
    compare_now(store, m);
    store_close(&store);
    remove_folder(dir);
    free(m);
}

/* ---- what is compacted ---- */

static void fill_day(struct store *store, struct model *m)
{
    for (uint32_t w = 0; w < DAY_MS / EVERY; w++)
        append(store, m, w, w);
}

static bool count_entry(void *ctx, const char *name, struct err *err)
{
    (void)name, (void)err;
    ++*(size_t *)ctx;
    return true;
}

static size_t files_in(const char *dir)
{
    char path[PATH_BYTES];
    size_t n = 0;
    struct err err = {0};
    assert_true(path_join(path, dir, "seg", &err));
    assert_true(dir_each(path, count_entry, &n, &err));
    return n;
}

static void test_a_passed_day_is_one_segment(void **state)
{
    char dir[64];
    struct model *m = calloc(1, sizeof *m);
    struct store_stats stats;
    (void)state;
    rng = 7;
    folder_new("compact", dir, sizeof dir);
    struct store *store = open_store(dir);
    fill_day(store, m);
    step(store, DAY_MS - 1, UINT32_MAX); /* the last block is open: nothing is compacted */
    store_stats(store, &stats);
    assert_true(stats.segments >= 11);
    assert_int_equal(stats.compactions, 0);
    step(store, DAY_MS, 1); /* the last block is sealed */
    struct snapshot *held = snapshot_get(store);
    snapshot_lsn(held); /* its moment is before the compaction, and it is read after */
    step(store, DAY_MS, UINT32_MAX);
    store_stats(store, &stats);
    assert_int_equal(stats.segments - stats.derived_segments, 1);
    assert_int_equal(stats.compactions, 1);
    assert_int_equal(files_in(dir), stats.segments);
    compare(held, m);
    snapshot_put(&held);
    /* Late cells wait for their time, and then until they are worth the rewriting. */
    append(store, m, 3, 1000);
    step(store, DAY_MS + 7200000 - 1, UINT32_MAX);
    store_stats(store, &stats);
    assert_int_equal(stats.segments - stats.derived_segments, 1);
    assert_true(stats.head_cells > 0);
    step(store, DAY_MS + 2 * 7200000, UINT32_MAX);
    store_stats(store, &stats);
    assert_int_equal(stats.head_cells, 0);
    compare_now(store, m);
    store_close(&store);
    remove_folder(dir);
    free(m);
}

/* Readers that hold segments which are compacted away keep reading them. */
static void test_a_snapshot_outlives_its_segments(void **state)
{
    char dir[64];
    struct model *m = calloc(1, sizeof *m);
    struct matcher all = {MATCH_NOT_EQUAL, SLICE("__name__"), SLICE(""), NULL};
    struct arena arena;
    struct err err = {0};
    (void)state;
    rng = 8;
    folder_new("compact", dir, sizeof dir);
    struct store *store = open_store(dir);
    fill_day(store, m);
    step(store, DAY_MS - 1, UINT32_MAX);
    struct snapshot *held = snapshot_get(store);
    struct plan *plan;
    assert_true(plan_new(held, NULL, &all, 1, NULL, &plan, &err));
    for (size_t i = 0; i < plan_n(plan); i++)
        plan_range(plan, i, INT64_MIN, INT64_MAX);
    assert_true(snapshot_fetch(held, NULL, NULL, &err));
    step(store, DAY_MS, UINT32_MAX);
    arena_init(&arena, 0);
    for (size_t i = 0; i < plan_n(plan); i++) {
        struct columns c;
        size_t s = strtoul(labels_get(plan_labels(plan, i), SLICE("series")).ptr + 1, NULL, 10);
        assert_true(plan_columns(plan, i, &arena, &c, &err));
        compare_series(m, plan_metric(plan, i)->kind == KIND_COUNTER, s, c);
    }
    arena_fini(&arena);
    snapshot_put(&held);
    store_close(&store);
    remove_folder(dir);
    free(m);
}

/* ---- passed goes back ---- */

static void put_samples(struct store *store, uint32_t series, int64_t from, int64_t to, double v)
{
    struct err err = {0};
    struct txn *txn = txn_begin(store);
    for (int64_t t = from; t < to; t += 60000)
        for (uint32_t i = 0; i < series; i++)
            txn_sample(txn, series_of(txn, &sample, i), t, v + (double)below(1000000) / 997);
    assert_true(txn_commit(&txn, NULL, &err));
}

static double sample_at(struct store *store, int64_t t)
{
    struct matcher is = {MATCH_EQUAL, SLICE("series"), SLICE("s0"), NULL};
    struct snapshot *snap = snapshot_get(store);
    struct plan *plan;
    struct arena arena;
    struct columns c;
    struct err err = {0};
    arena_init(&arena, 0);
    assert_true(plan_new(snap, NULL, &is, 1, NULL, &plan, &err));
    plan_range(plan, 0, t - 1, t);
    assert_true(snapshot_fetch(snap, NULL, NULL, &err));
    assert_true(plan_columns(plan, 0, &arena, &c, &err));
    assert_int_equal(c.n, 1);
    double v = bits_double(c.bits[0]);
    snapshot_put(&snap);
    arena_fini(&arena);
    return v;
}

/* Late segments of one size, too few for the day to be written anew: each of their bytes is written
 * a few times, however many they are. */
static void test_late_ones_in_tiers(void **state)
{
    enum { LATE_ROUNDS = 64, MERGED = 8 };
    char dir[64];
    const int64_t hour = 3600000, step_ms = hour / 3;
    struct store_stats stats;
    uint64_t before, first = 0;
    (void)state;
    rng = 5;
    folder_new("compact", dir, sizeof dir);
    struct store *store = open_store(dir);
    put_samples(store, 120, 60000, DAY_MS + 1, 1000);
    step(store, DAY_MS, UINT32_MAX);
    store_stats(store, &stats);
    before = stats.compacted_bytes;
    for (int i = 0; i < LATE_ROUNDS; i++) {
        put_samples(store, 20, i * step_ms + 1, (i + 1) * step_ms, 5000000);
        step(store, DAY_MS + (3 * i + 1) * hour, UINT32_MAX);
        step(store, DAY_MS + (3 * i + 4) * hour, UINT32_MAX);
        store_stats(store, &stats);
        if (!first)
            first = stats.compacted_bytes - before; /* of eight */
    }
    assert_true(stats.compacted_bytes - before >= LATE_ROUNDS / MERGED * first);
    assert_true(stats.compacted_bytes - before < 3 * LATE_ROUNDS / MERGED * first);
    store_close(&store);
    remove_folder(dir);
}

/* A day, then late cells of two of its blocks. After a restart no source has said how far it is:
 * what was committed last still counts. */
static void test_passed_goes_back(void **state)
{
    char dir[64];
    const int64_t hour = 3600000, at = 3 * hour;
    (void)state;
    rng = 3;
    folder_new("compact", dir, sizeof dir);
    struct store *store = open_store(dir);
    put_samples(store, 1, 60000, DAY_MS + 1, 1000);
    step(store, DAY_MS, UINT32_MAX);
    put_samples(store, 1, at, at + 1, 5000000);
    double last = sample_at(store, at);
    step(store, DAY_MS, UINT32_MAX);
    step(store, DAY_MS + 4 * hour, UINT32_MAX); /* its late segment waits beside the day */
    put_samples(store, 20, 60000, hour, 1000);
    step(store, DAY_MS + 4 * hour, 1);
    step(store, DAY_MS + 8 * hour, 1); /* a late segment of another block, of more bytes */
    const int64_t passed[] = {INT64_MIN, DAY_MS - 1, DAY_MS + 8 * hour};
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++) {
        store_close(&store);
        store = open_store(dir);
        step(store, passed[i], UINT32_MAX);
        assert_true(sample_at(store, at) == last);
    }
    store_close(&store);
    remove_folder(dir);
}

/* ---- debt ---- */

/* More waits than the bound allows: the writer is asked to wait, is never refused, and is let go
 * when the debt is paid. */
static void test_debt_slows_the_writer(void **state)
{
    char dir[64];
    struct model *m = calloc(1, sizeof *m);
    struct store_options options = {.path = dir, .debt_bytes = 1000};
    struct store_stats stats;
    struct err err = {0};
    int longest = 0, asked = 0;
    bool more = true;
    (void)state;
    rng = 9;
    folder_new("compact", dir, sizeof dir);
    struct store *store;
    assert_true(store_open(&options, &store, &err));
    fill_day(store, m);
    assert_int_equal(store_throttle_ms(store), 0);
    for (int64_t passed = 0; passed <= DAY_MS;
         passed += 7200000) { /* blocks; no window is passed */
        step(store, passed < DAY_MS ? passed : DAY_MS - 1, UINT32_MAX);
        store_stats(store, &stats);
        assert_int_equal(stats.debt_bytes, 0);
        assert_int_equal(store_throttle_ms(store), 0);
    }
    for (int steps = 0; more; steps++) {
        assert_true(store_maintain_step(store, DAY_MS, &more, &err));
        store_stats(store, &stats);
        int wait = store_throttle_ms(store);
        assert_true(wait >= 0 && wait <= 1000);
        assert_int_equal(wait > 0, stats.debt_bytes > options.debt_bytes);
        longest = wait > longest ? wait : longest;
        asked += wait > 0;
        if (steps == 0) /* the last block is sealed: the day is due */
            assert_true(stats.debt_segments == 12 && stats.debt_bytes > 2 * options.debt_bytes);
        append(store, m, 143, steps); /* it is not refused, whatever the debt */
    }
    assert_true(asked > 0 && longest == 1000);
    assert_int_equal(stats.debt_bytes, 0);
    assert_int_equal(stats.debt_segments, 0);
    assert_int_equal(store_throttle_ms(store), 0);
    compare_now(store, m);
    store_close(&store);
    remove_folder(dir);
    free(m);
}

/* ---- determinism ---- */

static void run(const char *dir, struct model *m, bool reopen)
{
    struct store *store = open_store(dir);
    for (uint32_t w = 0; w < 2 * DAY_MS / EVERY; w++) {
        append(store, m, w, w);
        if (w % 12 == 0)
            step(store, ((int64_t)w - 6) * EVERY, UINT32_MAX);
        if (reopen && w % 37 == 0) {
            store_close(&store);
            store = open_store(dir);
        }
    }
    step(store, 2 * DAY_MS, UINT32_MAX);
    store_close(&store);
}

static void test_same_transactions_same_files(void **state)
{
    char one[64], two[64];
    char cmd[200];
    struct model *m = calloc(1, sizeof *m), *other = calloc(1, sizeof *other);
    (void)state;
    folder_new("compact", one, sizeof one);
    folder_new("compact", two, sizeof two);
    rng = 11;
    run(one, m, false);
    rng = 11;
    run(two, other, true);
    snprintf(cmd, sizeof cmd, "diff -r %s/seg %s/seg", one, two);
    assert_int_equal(system(cmd), 0);
    assert_true(files_in(one) >= 2);
    remove_folder(one);
    remove_folder(two);
    free(m);
    free(other);
}

/* ---- windows ---- */

static void test_windows(void **state)
{
    (void)state;
    assert_int_equal(window_ms(7200000), DAY_MS);
    assert_int_equal(window_ms(7000000), 7000000);
    assert_int_equal(window_ms(2 * DAY_MS), 2 * DAY_MS);
    assert_int_equal(window_start(1, DAY_MS), 0);
    assert_int_equal(window_start(DAY_MS, DAY_MS), 0); /* (00:00, 24:00] */
    assert_int_equal(window_start(DAY_MS + 1, DAY_MS), DAY_MS);
    assert_int_equal(window_start(0, DAY_MS), -DAY_MS);
    assert_int_equal(window_start(-DAY_MS, DAY_MS), -2 * DAY_MS);
    assert_true(window_start(INT64_MIN, DAY_MS) == INT64_MIN);
    assert_true(window_start(INT64_MAX, DAY_MS) > INT64_MAX - DAY_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_a_passed_day_is_one_segment),
        cmocka_unit_test(test_a_snapshot_outlives_its_segments),
        cmocka_unit_test(test_passed_goes_back),
        cmocka_unit_test(test_late_ones_in_tiers),
        cmocka_unit_test(test_debt_slows_the_writer),
        cmocka_unit_test(test_same_transactions_same_files),
        cmocka_unit_test(test_random_days),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
