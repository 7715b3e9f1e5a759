/*
 * One writer, four readers, maintenance, deletions: what readers see is whole transactions, raw and
 * coarser alike, and never goes back. Days pass quickly, so that segments are compacted and derived
 * and late cells come while the readers are at it. Built with SANITIZE=thread this is where a race
 * would show. LARDER_STEPS says how many transactions are written.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/thread.h"
#include "store/delete.h"
#include "store/read.h"
#include "store/resolution.h"
#include "tests/store/support/folder.h"

#define READERS      4
#define PAIRS        5
#define EVERY        300000ll /* 24 windows a block, 288 a day */
#define TRANSACTIONS 800

#define SLOW_TRANSACTIONS 10000

#define DAY (24 * RESOLUTION_1H)

struct shared {
    struct store *store;
    atomic_bool stop;
    atomic_llong acked; /* transactions that were acknowledged */
    atomic_llong reads;
    atomic_llong deletions;
};

static const struct metric_def defs[] = {
    {.name = {"m_total", 7}, .kind = KIND_COUNTER, .every_ms = EVERY},
    {.name = {"m_level", 7}, .kind = KIND_LEVEL, .every_ms = EVERY},
    {.name = {"gone_total", 10}, .kind = KIND_COUNTER, .every_ms = EVERY},
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

/* Three windows pass with each transaction; every third one is late, by as much as there is. */
static int64_t end_of(int64_t i)
{
    return ((i % 3 ? 3 * i : i / 7) + 1) * EVERY;
}

/* Every transaction adds 1 to two series of each of the first two metrics, and 1 to what is deleted
 * all the time; sometimes new series come. */
static void write_pair(struct shared *s, int64_t i)
{
    struct err err;
    struct txn *txn = txn_begin(s->store);
    int pair = (int)(i % PAIRS);
    for (int m = 0; m < 2; m++)
        for (int k = 0; k < 2; k++)
            txn_add(txn, series_of(txn, &defs[m], 2 * pair + k), end_of(i), 1);
    txn_add(txn, series_of(txn, &defs[2], pair), end_of(i), 1);
    if (!txn_commit(&txn, NULL, &err))
        fail_msg("%s", err.text);
    atomic_store(&s->acked, i + 1);
}

/* Takes everything of the third metric away: what its readers see is never more than was written
 * since. */
static void delete_third(struct shared *s)
{
    struct matcher m = {MATCH_EQUAL, SLICE("__name__"), defs[2].name, NULL};
    struct err err;
    uint64_t series;
    if (!store_delete(s->store, &m, 1, INT64_MIN, INT64_MAX, &series, &err))
        fail_msg("%s", err.text);
    atomic_fetch_add(&s->deletions, 1);
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

/* The sums of the metrics, from raw cells or from coarser ones. */
static void read_snapshot(
    struct shared *s, int64_t resolution_ms, struct arena *arena, int64_t sums[3])
{
    struct snapshot *snap = snapshot_get(s->store);
    struct matcher m[3];
    struct plan *plans[3];
    struct err err;
    int64_t end = (3 * atomic_load(&s->acked) * EVERY / DAY + 2) * DAY;
    for (int i = 0; i < 3; i++) {
        m[i] = (struct matcher){MATCH_EQUAL, SLICE("__name__"), defs[i].name, NULL};
        assert_true(plan_new(snap, NULL, &m[i], 1, NULL, &plans[i], &err));
        for (size_t k = 0; k < plan_n(plans[i]); k++) {
            plan_range(plans[i], k, 0, end);
            if (resolution_ms)
                plan_resolution(plans[i], k, resolution_ms);
        }
    }
    if (!snapshot_fetch(snap, NULL, NULL, &err))
        fail_msg("%s", err.text);
    for (int i = 0; i < 3; i++)
        sums[i] = sum_of(plans[i], arena);
    snapshot_put(&snap);
}

static void *read_sums(void *arg)
{
    struct shared *s = arg;
    struct arena arena;
    int64_t seen = 0, sums[3];
    arena_init(&arena, 0);
    for (int i = 0; !atomic_load(&s->stop); i++) {
        int64_t acked = atomic_load(&s->acked);
        read_snapshot(s, i % 2 ? RESOLUTION_1H : 0, &arena, sums);
        assert_int_equal(sums[0], sums[1]); /* the two metrics live and die together */
        assert_int_equal(sums[0] % 2, 0);
        /* What was acknowledged is visible, for good. */
        assert_true(sums[0] >= 2 * acked && sums[0] >= seen);
        assert_true(2 * sums[2] <= sums[0]);
        seen = sums[0];
        atomic_fetch_add(&s->reads, 1);
    }
    arena_fini(&arena);
    return NULL;
}

static void *maintain(void *arg)
{
    struct shared *s = arg;
    struct err err;
    while (!atomic_load(&s->stop)) {
        int64_t newest = 3 * atomic_load(&s->acked) * EVERY;
        if (!store_maintain(s->store, newest - 20 * EVERY, &err))
            fail_msg("%s", err.text);
    }
    return NULL;
}

/* Whether everything that readers are to be disturbed by has happened. */
static bool is_busy(const struct shared *s, const struct store_stats *stats)
{
    return stats->segments >= 4 && stats->compactions >= 3 && stats->derived_segments >= 3 &&
           stats->deletions_done >= 2 && atomic_load(&s->reads) >= 20;
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
        .path = dir, .block_ms = 24 * EVERY, .wal_file_bytes = 3000, .checkpoint_bytes = 20000};
    if (!store_open(&options, &s.store, &err))
        fail_msg("%s", err.text);
    for (int i = 0; i < READERS; i++)
        thread_start(&readers[i], "reader", read_sums, &s);
    thread_start(&keeper, "maintain", maintain, &s);
    struct store_stats stats = {0};
    /* On a busy machine maintenance may get its turns late: then the writer is slow, within bounds.
     */
    for (int64_t i = 0; i < n || (!is_busy(&s, &stats) && i < n + SLOW_TRANSACTIONS); i++) {
        const struct timespec pause = {0, i < n ? 200000 : 5000000};
        write_pair(&s, i);
        store_stats(s.store, &stats);
        nanosleep(&pause, NULL);
        if (i % 128 == 127 && stats.deletions_pending < 4)
            delete_third(&s);
    }
    store_stats(s.store, &stats);
    atomic_store(&s.stop, true);
    for (int i = 0; i < READERS; i++)
        thread_join(readers[i]);
    thread_join(keeper);
    printf(
        "# %lld transactions, %lld reads, %llu segments, %llu of them derived, %llu compactions, "
        "%lld deletions, %llu carried out\n",
        (long long)atomic_load(&s.acked), (long long)atomic_load(&s.reads),
        (unsigned long long)stats.segments, (unsigned long long)stats.derived_segments,
        (unsigned long long)stats.compactions, (long long)atomic_load(&s.deletions),
        (unsigned long long)stats.deletions_done);
    assert_true(is_busy(&s, &stats)); /* all of it, while they were reading */
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
