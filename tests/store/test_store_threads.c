/*
 * One writer, four readers, maintenance: what readers see is whole transactions, and never goes
 * back. Built with SANITIZE=thread this is where a race would show. LARDER_STEPS says how many
 * transactions are written.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/thread.h"
#include "store/read.h"
#include "tests/store/support/folder.h"

#define READERS      4
#define PAIRS        5
#define EVERY        5000
#define TRANSACTIONS 800

struct shared {
    struct store *store;
    atomic_bool stop;
    atomic_llong acked; /* transactions that were acknowledged */
    atomic_llong reads;
};

static const struct metric_def defs[] = {
    {.name = {"m_total", 7}, .kind = KIND_COUNTER, .every_ms = EVERY},
    {.name = {"m_level", 7}, .kind = KIND_LEVEL, .every_ms = EVERY},
};

static uint32_t series_of(struct txn *txn, const struct metric_def *def, int i)
{
    char name[16];
    uint32_t metric, id;
    struct err err;
    snprintf(name, sizeof name, "s%d", i);
    struct label l[2] = {{SLICE("__name__"), def->name}, {SLICE("series"), slice_from(name)}};
    assert_true(txn_metric(txn, def, &metric, &err));
    assert_true(txn_series(txn, metric, (struct labels){l, 2}, &id, &err));
    return id;
}

/* Every transaction adds 1 to two series of each metric, and sometimes new series come. */
static void write_pair(struct shared *s, int64_t i)
{
    struct err err;
    struct txn *txn = txn_begin(s->store);
    int64_t end = (i / 2 + 1) * EVERY, late = (i / 7 + 1) * EVERY;
    int pair = (int)(i % PAIRS);
    for (int m = 0; m < 2; m++)
        for (int k = 0; k < 2; k++)
            txn_add(txn, series_of(txn, &defs[m], 2 * pair + k), i % 3 ? end : late, 1);
    if (!txn_commit(&txn, NULL, &err))
        fail_msg("%s", err.text);
    atomic_store(&s->acked, i + 1);
}

static int64_t sum_of(struct plan *plan, struct arena *arena)
{
    int64_t sum = 0;
    struct err err;
    for (size_t i = 0; i < plan_n(plan); i++) {
        struct columns c;
        arena_reset(arena);
        assert_true(plan_columns(plan, i, arena, &c, &err));
        for (size_t k = 0; k < c.n; k++)
            sum += (int64_t)c.amount[k];
    }
    return sum;
}

static void *read_sums(void *arg)
{
    struct shared *s = arg;
    struct matcher m[2] = {{MATCH_EQUAL, SLICE("__name__"), SLICE("m_total"), NULL},
        {MATCH_EQUAL, SLICE("__name__"), SLICE("m_level"), NULL}};
    struct arena arena;
    int64_t seen = 0;
    arena_init(&arena, 0);
    while (!atomic_load(&s->stop)) {
        int64_t acked = atomic_load(&s->acked);
        struct snapshot *snap = snapshot_get(s->store);
        struct plan *plans[2];
        struct err err;
        for (int i = 0; i < 2; i++) {
            assert_true(plan_new(snap, NULL, &m[i], 1, NULL, &plans[i], &err));
            for (size_t k = 0; k < plan_n(plans[i]); k++)
                plan_range(plans[i], k, INT64_MIN, INT64_MAX);
        }
        assert_true(snapshot_fetch(snap, NULL, NULL, &err));
        int64_t a = sum_of(plans[0], &arena), b = sum_of(plans[1], &arena);
        assert_int_equal(a, b); /* the two metrics live and die together */
        assert_int_equal(a % 2, 0);
        assert_true(a >= 2 * acked && a >= seen); /* acknowledged is visible, for good */
        seen = a;
        atomic_fetch_add(&s->reads, 1);
        snapshot_put(&snap);
    }
    arena_fini(&arena);
    return NULL;
}

static void *maintain(void *arg)
{
    struct shared *s = arg;
    struct err err;
    while (!atomic_load(&s->stop)) {
        int64_t newest = (atomic_load(&s->acked) / 2) * EVERY;
        if (!store_maintain(s->store, newest - 20 * EVERY, &err))
            fail_msg("%s", err.text);
    }
    return NULL;
}

static void test_readers_see_whole_transactions(void **state)
{
    (void)state;
    char dir[FOLDER_MAX];
    pthread_t readers[READERS], keeper;
    struct shared s = {0};
    const char *text = getenv("LARDER_STEPS");
    int64_t n = text ? atoll(text) / 100 : TRANSACTIONS;
    struct err err;
    folder_make("threads", dir);
    struct store_options options = {
        .path = dir, .block_ms = 50 * EVERY, .wal_file_bytes = 3000, .checkpoint_bytes = 20000};
    if (!store_open(&options, &s.store, &err))
        fail_msg("%s", err.text);
    for (int i = 0; i < READERS; i++)
        thread_start(&readers[i], "reader", read_sums, &s);
    thread_start(&keeper, "maintain", maintain, &s);
    struct store_stats stats = {0};
    /* On a busy machine maintenance may get its first turn late: wait for it, within bounds. */
    for (int64_t i = 0; i < n || (stats.segments < 4 && i < 200 * n); i++) {
        write_pair(&s, i);
        if (i % 64 == 0)
            store_stats(s.store, &stats);
    }
    atomic_store(&s.stop, true);
    for (int i = 0; i < READERS; i++)
        thread_join(readers[i]);
    thread_join(keeper);
    store_stats(s.store, &stats);
    printf("# %lld reads, %llu segments\n", (long long)atomic_load(&s.reads),
        (unsigned long long)stats.segments);
    assert_true(atomic_load(&s.reads) > 0 && stats.segments > 0);
    assert_int_equal(stats.pending_waits, 0);
    store_close(&s.store);
    folder_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_readers_see_whole_transactions)};
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
