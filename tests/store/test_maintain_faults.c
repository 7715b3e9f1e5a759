/*
 * What fails in one part of maintenance does not stop the others: a run of a state table that
 * cannot be read, a block that cannot be written. It is tried again, and nothing is lost meanwhile.
 */
#include "store/maintain.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>

#include "base/checksum.h"
#include "base/thread.h"
#include "store/compact.h"
#include "store/delete.h"
#include "store/state/state.h"
#include "store/store_priv.h"
#include "tests/store/store_fixture.h"
#include "tests/store/support/folder.h"

#define HOUR 3600000

/* ---- calls that fail ---- */

static const char *unread, *unwritten, *unremoved; /* files whose path has this; NULL: none */

static off_t room; /* so many bytes of such a file can be written */

static bool is_of(int fd, const char *part)
{
    char link[64], path[PATH_BYTES];
    if (!part)
        return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = 0;
    return strstr(path, part) != NULL;
}

ssize_t pread(int fd, void *to, size_t n, off_t at)
{
    if (at >= 4096 && is_of(fd, unread)) { /* the header and what it names are in memory */
        errno = EIO;
        return -1;
    }
    return syscall(SYS_pread64, fd, to, n, at);
}

ssize_t pwrite(int fd, const void *from, size_t n, off_t at)
{
    if (at + (off_t)n > room && is_of(fd, unwritten)) {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, from, n, at);
}

int unlink(const char *path)
{
    if (unremoved && strstr(path, unremoved)) {
        errno = EIO;
        return -1;
    }
    return unlinkat(AT_FDCWD, path, 0);
}

/* ---- a state table ---- */

static struct hash128 key(uint64_t i)
{
    return hash128(&i, sizeof i);
}

/* A flush each: one run more. */
static void add_run(struct store *store, uint64_t from)
{
    struct err err = {0};
    uint32_t table;
    struct txn *txn = txn_begin(store);
    assert_true(txn_state_table(txn, SLICE("ids"), 0, &table, &err));
    for (uint64_t i = from; i < from + 3000; i++)
        txn_state_put(txn, table, 1, key(i), NULL);
    commit(txn);
    const char *was = unread;
    unread = NULL; /* a new run is read when it is opened */
    mutex_lock(&store->seal);
    bool ok = state_flush(&store->state, &store->manifest, 0, &err);
    mutex_unlock(&store->seal);
    unread = was;
    if (!ok)
        fail_msg("%s", err.text);
}

static uint64_t count_keys(struct store *store, uint64_t n)
{
    uint64_t count = 0;
    struct err err = {0};
    for (uint64_t i = 0; i < n; i++) {
        bool found;
        assert_true(store_state_get(store, 0, 1, key(i), NULL, &found, &err));
        count += found;
    }
    return count;
}

static struct store_stats stats_of(struct store *store)
{
    struct store_stats stats;
    store_stats(store, &stats);
    return stats;
}

static void maintain(struct store *store, int64_t passed_ms)
{
    struct err err = {0};
    if (!store_maintain(store, passed_ms, &err))
        fail_msg("%s", err.text);
}

static void test_a_run_that_cannot_be_read(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    int64_t day = 24 * HOUR;
    for (int64_t t = HOUR; t <= 2 * day; t += HOUR)
        add(f->store, "oslo", t, 1);
    for (uint64_t i = 0; i < 20; i++)
        add_run(f->store, i * 3000);
    assert_true(stats_of(f->store).state_runs >= 16);
    unread = ".run";
    maintain(f->store, 2 * day + BLOCK);
    struct store_stats stats = stats_of(f->store);
    assert_true(stats.compactions > 0);
    assert_true(stats.derived_segments > 0);
    assert_int_equal(stats.state_damaged, 0);
    assert_true(stats.state_runs >= 16);
    for (uint64_t i = 20; i < 40; i++) /* the writer does not help with what fails */
        add_run(f->store, i * 3000);
    assert_false(state_behind(&f->store->state));
    maintain(f->store, 2 * day + BLOCK);
    /* A purge is not over before it could read what it is to rewrite. */
    assert_true(store_state_purge(f->store, 0, &err));
    maintain(f->store, 2 * day + BLOCK);
    assert_true(store_state_purging(f->store));
    unread = NULL;
    for (int round = 0; round < 200 && store_state_purging(f->store); round++)
        maintain(f->store, 2 * day + BLOCK);
    assert_false(store_state_purging(f->store));
    assert_int_equal(stats_of(f->store).state_runs, 1);
    assert_int_equal(count_keys(f->store, 40 * 3000), 40 * 3000);
}

/* ---- a block that cannot be written ---- */

static int64_t total(struct store *store)
{
    struct matcher m = {MATCH_EQUAL, SLICE("__name__"), orders.name, NULL};
    struct snapshot *s = snapshot_get(store);
    struct plan *plan;
    struct arena arena;
    struct err err = {0};
    int128 sum = 0;
    arena_init(&arena, 0);
    assert_true(plan_new(s, NULL, &m, 1, NULL, &plan, &err));
    for (size_t i = 0; i < plan_n(plan); i++)
        plan_range(plan, i, INT64_MIN, INT64_MAX);
    assert_true(snapshot_fetch(s, NULL, NULL, &err));
    for (size_t i = 0; i < plan_n(plan); i++) {
        struct columns c = {0};
        assert_true(plan_columns(plan, i, &arena, &c, &err));
        for (size_t k = 0; k < c.n; k++)
            sum += c.amount[k];
    }
    snapshot_put(&s);
    arena_fini(&arena);
    return (int64_t)sum;
}

/* How many of so many steps fail. */
static int steps(struct store *store, int n, int64_t passed_ms)
{
    int failed = 0;
    for (int i = 0; i < n; i++) {
        struct err err = {0};
        bool more;
        failed += !store_maintain_step(store, passed_ms, &more, &err);
    }
    return failed;
}

static void crash(struct fixture *f)
{
    char copy[80];
    snprintf(copy, sizeof copy, "%s-killed", f->dir);
    folder_copy(f->dir, copy);
    store_close(&f->store);
    folder_copy(copy, f->dir);
    folder_remove(copy);
    reopen(f);
}

static void test_a_block_that_cannot_be_written(void **state)
{
    struct fixture *f = *state;
    int64_t day = 24 * HOUR;
    f->options.retention.raw_ms = f->options.retention.minute_ms = f->options.retention.hour_ms =
        2 * day;
    reopen(f);
    for (int64_t t = HOUR; t <= day; t += HOUR)
        add(f->store, "gone", t, 1);
    maintain(f->store, 2 * day);
    for (int64_t t = 5 * day + HOUR; t <= 6 * day; t += HOUR)
        add(f->store, "oslo", t, 1);
    assert_true(stats_of(f->store).segments > 0);
    /* The newest sealed data make the first day old. */
    maintain(f->store, 5 * day + BLOCK);
    add(f->store, "gone", 5 * day + HOUR, 1); /* late, in a sealed block */
    unwritten = "/seg/tmp-";
    int failed = steps(f->store, 100, 6 * day + BLOCK);
    assert_true(failed > 0 && failed < 20);
    assert_int_equal(total(f->store), 25);
    /* The log is cut off all the same, with the block that waits. */
    f->store->options.checkpoint_bytes = 1;
    assert_true(f->store->frozen != NULL);
    steps(f->store, 10, 6 * day + BLOCK);
    assert_true(f->store->manifest.checkpoint_lsn == f->store->lsn);
    add(f->store, "oslo", 5 * day + 3 * HOUR, 5); /* beside the frozen block, in the same time */
    steps(f->store, 10, 6 * day + BLOCK);
    crash(f);
    assert_int_equal(total(f->store), 30);
    steps(f->store, 10, 6 * day + BLOCK);
    reopen(f);
    assert_int_equal(total(f->store), 30);
    unwritten = NULL;
    maintain(f->store, 6 * day + BLOCK);
    assert_null(f->store->frozen);
    assert_int_equal(total(f->store), 30);
    reopen(f);
    assert_int_equal(total(f->store), 30);
}

/* Retention takes the days that are due though nothing can be sealed. */
static void test_retention_goes_on(void **state)
{
    struct fixture *f = *state;
    int64_t day = 24 * HOUR;
    for (int64_t t = HOUR; t <= day; t += HOUR)
        add(f->store, "gone", t, 1);
    maintain(f->store, 2 * day);
    add(f->store, "oslo", 5 * day + HOUR, 1);
    maintain(f->store, 5 * day + BLOCK);
    struct txn *txn = txn_begin(f->store);
    for (int i = 0; i < 3000; i++) {
        char market[32];
        snprintf(market, sizeof market, "market-%d", i * 7919);
        txn_add(txn, series(txn, &orders, market), 5 * day + 3 * HOUR, 1);
    }
    commit(txn);
    uint64_t segments = stats_of(f->store).segments;
    f->options.retention.raw_ms = f->options.retention.minute_ms = f->options.retention.hour_ms =
        2 * day;
    reopen(f);
    unwritten = "/seg/tmp-";
    room = 5000;
    assert_true(steps(f->store, 100, 5 * day + 2 * BLOCK) > 0);
    assert_true(stats_of(f->store).segments < segments);
    assert_int_equal(total(f->store), 3001);
    unwritten = NULL;
    room = 0;
    maintain(f->store, 5 * day + 2 * BLOCK);
    assert_int_equal(total(f->store), 3001);
    assert_int_equal(stats_of(f->store).head_cells, 0);
}

/* ---- a file that cannot be removed ---- */

/* A day that has its age, whose series has no other cell, and two that stay. */
static void fill_days(struct fixture *f)
{
    int64_t day = 24 * HOUR;
    for (int64_t t = HOUR; t <= day; t += HOUR)
        add(f->store, "gone", t, 1);
    add(f->store, "oslo", 4 * day + HOUR, 1);
    add(f->store, "oslo", 5 * day + HOUR, 1);
    f->options.retention.raw_ms = f->options.retention.minute_ms = f->options.retention.hour_ms =
        2 * day;
}

/* Cells go by age, their series are forgotten, and rounds end, which what waits counts by. */
static void expect_the_rest(struct fixture *f)
{
    uint64_t rounds = f->store->maintenance.skips.rounds;
    int failed = steps(f->store, 100, 5 * 24 * HOUR + BLOCK);
    assert_true(failed > 0 && failed < 20);
    assert_int_equal(total(f->store), 2);
    assert_int_equal(stats_of(f->store).series, 1);
    assert_true(f->store->maintenance.skips.rounds > rounds);
}

static void test_bytes_that_stay(void **state)
{
    struct fixture *f = *state;
    fill_days(f);
    f->options.retention.max_bytes = 1;
    reopen(f);
    unremoved = ".seg";
    expect_the_rest(f);
    unremoved = NULL;
}

/* A file in FOLDER/damaged, as a repair leaves it. */
static void put_away(const struct fixture *f, const char *name)
{
    char path[PATH_BYTES];
    struct err err;
    snprintf(path, sizeof path, "%s/damaged", f->dir);
    assert_true(dir_make(path, &err));
    assert_true(file_replace(path, name, SLICE("damaged"), &err));
}

static void test_damaged_files_that_stay(void **state)
{
    struct fixture *f = *state;
    fill_days(f);
    put_away(f, "0-7200000.0123456789abcdef0123456789abcdef.seg");
    reopen(f);
    unremoved = "/damaged/";
    expect_the_rest(f);
    unremoved = NULL;
    maintain(f->store, 5 * 24 * HOUR + BLOCK);
    assert_int_equal(stats_of(f->store).put_away, 0);
}

/* A purge is not over, and nothing else waits for it. */
static void test_a_purge_that_does_not_end(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    fill_days(f);
    add_run(f->store, 0);
    put_away(f, "0123456789abcdef.run");
    reopen(f);
    assert_true(store_state_purge(f->store, 0, &err));
    unremoved = "/damaged/";
    expect_the_rest(f);
    assert_true(store_state_purging(f->store));
    unremoved = NULL;
    maintain(f->store, 5 * 24 * HOUR + BLOCK);
    assert_false(store_state_purging(f->store));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_run_that_cannot_be_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_block_that_cannot_be_written, setup, teardown),
        cmocka_unit_test_setup_teardown(test_retention_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bytes_that_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_files_that_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_purge_that_does_not_end, setup, teardown),
    };
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
