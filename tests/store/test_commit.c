/*
 * Commits of several threads: they share syncs, each is whole and has an LSN of its own, nobody
 * starves, and when a sync or write fails, all that shared it fail and are open again. The syncs
 * are this program's own: slow, or failing.
 */
#include "store/read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/store.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/ensure.h"
#include "base/log.h"
#include "base/thread.h"
#include "store/delete.h"
#include "store/state/state.h"
#include "store/store_priv.h"
#include "tests/store/support/folder.h"

#define THREADS 8
#define COMMITS 60

/* ---- the calls ---- */

static struct {
    atomic_int sync_us;
    atomic_int sync_fails_at; /* which one from now on fails; 0: none */
    atomic_int full;          /* so many writes find the disk full */
} calls;

int fdatasync(int fd)
{
    int us = atomic_load(&calls.sync_us);
    if (us)
        usleep((useconds_t)us);
    if (atomic_load(&calls.sync_fails_at) > 0 && atomic_fetch_sub(&calls.sync_fails_at, 1) == 1) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

ssize_t pwrite(int fd, const void *ptr, size_t len, off_t at)
{
    if (atomic_load(&calls.full) > 0 && atomic_fetch_sub(&calls.full, 1) > 0) {
        syscall(SYS_pwrite64, fd, ptr, len / 2, at);
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, ptr, len, at);
}

/* ---- the store ---- */

static struct metric_def orders = {
    .name = {"orders_total", 12}, .kind = KIND_COUNTER, .every_ms = 5000};

struct fixture {
    char dir[64], crashed[80];
    struct store *store;
    struct store_options options;
};

static void open_store(struct fixture *f)
{
    struct err err = {0};
    if (!store_open(&f->options, &f->store, &err))
        fail_msg("%s", err.text);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    folder_new("commit", f->dir, sizeof f->dir);
    snprintf(f->crashed, sizeof f->crashed, "%s-crashed", f->dir);
    f->options.path = f->dir;
    f->options.wal_file_bytes = 3000;
    f->options.checkpoint_bytes = 6000;
    open_store(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    atomic_store(&calls.sync_us, 0);
    store_close(&f->store);
    folder_remove(f->dir);
    folder_remove(f->crashed);
    free(f);
    return 0;
}

static uint32_t series(struct txn *txn, int who)
{
    char text[8];
    uint32_t metric, id;
    struct err err;
    snprintf(text, sizeof text, "w%d", who);
    struct label l[2] = {{SLICE("__name__"), orders.name}, {SLICE("who"), slice_from(text)}};
    ensure(txn_metric(txn, &orders, &metric, &err) &&
           txn_series(txn, metric, (struct labels){l, 2}, &id, &err));
    return id;
}

/* The sum of all cells of one, or of all. */
static int64_t total(struct store *store, int who)
{
    char text[8] = "";
    snprintf(text, sizeof text, "w%d", who);
    struct matcher m[2] = {{MATCH_EQUAL, SLICE("__name__"), orders.name, NULL},
        {MATCH_EQUAL, SLICE("who"), slice_from(text), NULL}};
    struct snapshot *s = snapshot_get(store);
    struct plan *plan;
    struct columns c = {0};
    struct arena arena;
    struct err err = {0};
    int128 sum = 0;
    arena_init(&arena, 0);
    ensure(plan_new(s, NULL, m, who < 0 ? 1 : 2, NULL, &plan, &err));
    for (size_t i = 0; i < plan_n(plan); i++)
        plan_range(plan, i, INT64_MIN, INT64_MAX);
    ensure(snapshot_fetch(s, NULL, NULL, &err));
    for (size_t i = 0; i < plan_n(plan); i++) {
        ensure(plan_columns(plan, i, &arena, &c, &err));
        for (size_t k = 0; k < c.n; k++)
            sum += c.amount[k];
    }
    snapshot_put(&s);
    arena_fini(&arena);
    return (int64_t)sum;
}

/* ---- writers ---- */

struct writer {
    struct store *store;
    int who;
    pthread_t thread;
    bool retries, defines;
    int64_t acked, failures, in_flight;
    uint64_t lsns[2 * COMMITS + 1];
    enum err_code code;
};

static bool commit_one(struct writer *w, int i)
{
    struct err err = {0};
    struct txn *txn = txn_begin(w->store);
    uint32_t id = series(txn, w->who);
    if (w->defines && i % 5 == 0)
        txn_source(txn, SLICE("s"), i, 0, SLICE(""));
    for (int k = 0; k < 3; k++)
        txn_add(txn, id, (i + 1) * 5000ll, 1);
    bool ok = txn_commit(&txn, &w->lsns[w->acked], &err);
    while (!ok && w->retries) {
        ensure(err.code == ERR_NO_SPACE);
        w->failures++;
        txn_add(txn, id, (i + 1) * 5000ll, 0); /* it is open: it may be changed */
        ok = txn_commit(&txn, &w->lsns[w->acked], &err);
    }
    if (!ok) {
        w->code = err.code;
        txn_abort(&txn);
        w->failures++;
        return false;
    }
    w->acked++;
    ensure(total(w->store, w->who) == 3 * w->acked);
    return true;
}

static void *write_on(void *ctx)
{
    struct writer *w = ctx;
    for (int i = 0; i < COMMITS; i++)
        if (!commit_one(w, i))
            break;
    return NULL;
}

static void start(struct fixture *f, struct writer w[THREADS], bool retries, bool defines)
{
    memset(w, 0, THREADS * sizeof *w);
    for (int i = 0; i < THREADS; i++) {
        struct txn *txn = txn_begin(f->store);
        struct err err;
        w[i] = (struct writer){.store = f->store, .who = i, .retries = retries, .defines = defines};
        series(txn, i);
        ensure(txn_commit(&txn, NULL, &err));
    }
    for (int i = 0; i < THREADS; i++)
        thread_start(&w[i].thread, "writer", write_on, &w[i]);
}

static int by_lsn(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Every commit has an LSN, none twice, and there is no gap. */
static void check_lsns(const struct writer w[THREADS], uint64_t last)
{
    static uint64_t all[THREADS * COMMITS];
    size_t n = 0;
    for (int i = 0; i < THREADS; i++)
        for (int64_t k = 0; k < w[i].acked; k++)
            all[n++] = w[i].lsns[k];
    qsort(all, n, sizeof *all, by_lsn);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(all[i], last - n + 1 + i);
}

/* The store goes on with what a kill -9 at this moment would have left. */
static void crash(struct fixture *f)
{
    folder_copy(f->dir, f->crashed);
    store_close(&f->store);
    folder_copy(f->crashed, f->dir);
    open_store(f);
}

static void test_threads_share_syncs(void **state)
{
    struct fixture *f = *state;
    static struct writer w[THREADS];
    struct store_stats before, after;
    store_stats(f->store, &before);
    atomic_store(&calls.sync_us, 2000);
    start(f, w, false, false);
    for (int i = 0; i < THREADS; i++)
        thread_join(w[i].thread);
    store_stats(f->store, &after);
    uint64_t commits = after.commits - before.commits, syncs = after.fsyncs - before.fsyncs;
    print_message("# %d commits, %d syncs\n", (int)commits, (int)syncs);
    assert_int_equal(commits, THREADS * (COMMITS + 1));
    assert_true(syncs < commits / 2);
    check_lsns(w, after.lsn);
    assert_int_equal(total(f->store, -1), 3 * THREADS * COMMITS);
    crash(f);
    assert_int_equal(total(f->store, -1), 3 * THREADS * COMMITS);
}

/* Beside them, maintenance cuts the log, writes checkpoints, seals and deletes. */
static void test_threads_beside_maintenance(void **state)
{
    struct fixture *f = *state;
    static struct writer w[THREADS];
    struct err err = {0};
    start(f, w, false, true);
    for (int i = 0; i < 40; i++) {
        uint64_t n;
        struct matcher none = {MATCH_EQUAL, SLICE("who"), SLICE("nobody"), NULL};
        if (!store_maintain(f->store, i * 10000, &err) ||
            !store_delete(f->store, &none, 1, 0, 100000, &n, &err))
            fail_msg("%s", err.text);
        usleep(500);
    }
    for (int i = 0; i < THREADS; i++)
        thread_join(w[i].thread);
    check_lsns(w, f->store->lsn);
    assert_int_equal(total(f->store, -1), 3 * THREADS * COMMITS);
    crash(f);
    assert_int_equal(total(f->store, -1), 3 * THREADS * COMMITS);
}

/* A sync fails: whoever shared it is told, nothing of it is seen, and nobody commits any more. */
static void test_a_failed_sync_fails_the_group(void **state)
{
    struct fixture *f = *state;
    static struct writer w[THREADS];
    int64_t acked = 0;
    struct store_stats stats;
    atomic_store(&calls.sync_us, 2000);
    start(f, w, false, false);
    usleep(20000);
    atomic_store(&calls.sync_fails_at, 1);
    for (int i = 0; i < THREADS; i++) {
        thread_join(w[i].thread);
        assert_int_equal(w[i].failures, 1);
        assert_int_equal(w[i].code, ERR_IO);
        acked += w[i].acked;
    }
    store_stats(f->store, &stats);
    assert_true(stats.failed && acked > 0);
    assert_int_equal(stats.lsn, THREADS + acked);
    assert_int_equal(total(f->store, -1), 3 * acked);
    /* What was in flight may be on disk: all of it, or none. */
    store_close(&f->store);
    open_store(f);
    int64_t now = total(f->store, -1);
    assert_true(now >= 3 * acked && now <= 3 * (acked + THREADS));
    for (int i = 0; i < THREADS; i++)
        assert_true(
            total(f->store, i) - 3 * w[i].acked == 0 || total(f->store, i) - 3 * w[i].acked == 3);
}

/* A full disk fails them for a while; each is open again, and is tried again. */
static void test_a_full_disk_passes(void **state)
{
    struct fixture *f = *state;
    static struct writer w[THREADS];
    int64_t failures = 0;
    atomic_store(&calls.sync_us, 500);
    start(f, w, true, true);
    for (int i = 0; i < 10; i++) {
        usleep(3000);
        atomic_store(&calls.full, 3);
    }
    for (int i = 0; i < THREADS; i++) {
        thread_join(w[i].thread);
        failures += w[i].failures;
    }
    atomic_store(&calls.full, 0);
    print_message("# %d commits failed and were tried again\n", (int)failures);
    assert_true(failures > 0);
    check_lsns(w, f->store->lsn);
    assert_int_equal(total(f->store, -1), 3 * THREADS * COMMITS);
    crash(f);
    assert_int_equal(total(f->store, -1), 3 * THREADS * COMMITS);
}

/* ---- fairness ---- */

struct asking {
    struct store *store;
    int who;
    int *order; /* who had the turn, one after the other */
    atomic_int *n;
    pthread_t thread;
};

/* Two commits: who has had its turn asks again, behind all that wait. */
static void *ask(void *ctx)
{
    struct asking *a = ctx;
    for (int i = 0; i < 2; i++) {
        struct err err;
        struct txn *txn = txn_begin(a->store);
        a->order[atomic_fetch_add(a->n, 1)] = a->who;
        txn_source(txn, SLICE("s"), i, 0, SLICE(""));
        ensure(txn_commit(&txn, NULL, &err));
    }
    return NULL;
}

static int waiting(struct store *store)
{
    int n = 0;
    mutex_lock(&store->commit_queue.mutex);
    for (const struct commit_waiter *w = store->commit_queue.first; w; w = w->next)
        n++;
    mutex_unlock(&store->commit_queue.mutex);
    return n;
}

/* The turn is given in the order in which it was asked for, whatever is faster. */
static void test_nobody_starves(void **state)
{
    struct fixture *f = *state;
    struct asking a[THREADS];
    int order[2 * THREADS];
    atomic_int n = 0;
    struct txn *mine = txn_begin(f->store);
    atomic_store(&calls.sync_us, 1000);
    for (int i = 0; i < THREADS; i++) {
        a[i] = (struct asking){.store = f->store, .who = i, .order = order, .n = &n};
        thread_start(&a[i].thread, "asking", ask, &a[i]);
        while (waiting(f->store) <= i)
            usleep(100);
    }
    txn_abort(&mine);
    for (int i = 0; i < THREADS; i++)
        thread_join(a[i].thread);
    assert_int_equal(n, 2 * THREADS);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(order[i], i);
}

/* ---- one thread, for what the crash script does ---- */

/* Transactions that are ready before one commits are in its frame. */
/* What waits for readers holds cells alone, so that its bytes are what is counted. */
static void test_what_is_pending_holds_no_state(void **state)
{
    struct fixture *f = *state;
    struct store *store = f->store;
    struct err err = {0};
    uint32_t table;
    bool found;
    gate_enter(&store->gate);
    struct txn *txn = txn_begin(store);
    ensure(txn_state_table(txn, SLICE("ids"), 0, &table, &err));
    for (uint64_t i = 1; i <= 1000; i++)
        txn_state_put(txn, table, 1, (struct hash128){.lo = i, .hi = i}, NULL);
    txn_add(txn, series(txn, 0), 5000, 1);
    ensure(txn_commit(&txn, NULL, &err));
    assert_non_null(store->pending);
    assert_int_equal(store->pending->data.n_adds, 1);
    assert_int_equal(store->pending->data.state.n_batches, 0);
    assert_int_equal(store->pending->data.state.n_tables, 0);
    gate_leave(&store->gate);
    ensure(
        store_state_get(store, table, 1, (struct hash128){.lo = 7, .hi = 7}, NULL, &found, &err));
    assert_true(found);
}

static void test_a_group_is_one_frame(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    struct txn *first = txn_begin(f->store), *second;
    series(first, 1);
    uint32_t id = series(first, 1);
    assert_false(txn_is_plain(first));
    assert_true(txn_commit(&first, NULL, &err));
    first = txn_begin(f->store);
    txn_add(first, id, 5000, 1);
    assert_true(txn_is_plain(first) && txn_make_ready(first, &err));
    second = txn_begin(f->store);
    txn_add(second, series(second, 2), 5000, 2);
    uint64_t syncs = wal_syncs(f->store->wal), lsn;
    assert_true(txn_commit(&second, &lsn, &err));
    assert_int_equal(wal_syncs(f->store->wal), syncs + 1);
    assert_int_equal(lsn, 3);
    assert_true(txn_finish(&first, &lsn, &err));
    assert_int_equal(lsn, 2);
    assert_int_equal(total(f->store, -1), 3);
    crash(f);
    assert_int_equal(f->store->lsn, 3);
    assert_int_equal(total(f->store, 1), 1);
    assert_int_equal(total(f->store, 2), 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_threads_share_syncs),
        TEST(test_threads_beside_maintenance),
        TEST(test_a_failed_sync_fails_the_group),
        TEST(test_a_full_disk_passes),
        TEST(test_nobody_starves),
        TEST(test_what_is_pending_holds_no_state),
        TEST(test_a_group_is_one_frame),
    };
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
