/*
 * The Nth system call of a kind fails, for every N of a run that commits, seals and writes
 * checkpoints. The calls are this program's own: they stand in front of the C library's.
 *
 * Whatever fails: what was acknowledged is read at once, and after a restart; after a failed sync
 * of the log nothing is committed; a full disk may pass.
 */
#include "store/read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "store/changes.h"
#include "store/store_priv.h"
#include "tests/store/support/folder.h"

#define BLOCK 7200000

/* ---- the calls ---- */

enum call { CALL_NONE, CALL_SYNC, CALL_WRITE, CALL_ALLOCATE, CALL_CUT, CALL_RENAME, CALL_SHORT };

static struct {
    enum call call;
    int at;    /* the call that fails, from 1; 0: none */
    int times; /* how many after it fail too */
    int error;
    int seen;
} fault;

static bool fails(enum call call)
{
    if (fault.call != call || fault.at == 0)
        return false;
    fault.seen++;
    return fault.seen >= fault.at && fault.seen < fault.at + fault.times;
}

int fsync(int fd)
{
    if (fails(CALL_SYNC)) {
        errno = fault.error;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    if (fails(CALL_SYNC)) {
        errno = fault.error;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

ssize_t pwrite(int fd, const void *ptr, size_t len, off_t at)
{
    if (fails(CALL_WRITE)) {
        errno = fault.error;
        /* Some of it may have got there. */
        syscall(SYS_pwrite64, fd, ptr, len / 2, at);
        errno = fault.error;
        return -1;
    }
    if (len > 1 && fails(CALL_SHORT))
        len = len / 2;
    return syscall(SYS_pwrite64, fd, ptr, len, at);
}

int posix_fallocate(int fd, off_t at, off_t len)
{
    return fails(CALL_ALLOCATE)                               ? fault.error
           : (int)syscall(SYS_fallocate, fd, 0, at, len) == 0 ? 0
                                                              : errno;
}

int ftruncate(int fd, off_t len)
{
    if (fails(CALL_CUT)) {
        errno = fault.error;
        return -1;
    }
    return (int)syscall(SYS_ftruncate, fd, len);
}

int rename(const char *from, const char *to)
{
    if (fails(CALL_RENAME)) {
        errno = fault.error;
        return -1;
    }
    return (int)syscall(SYS_rename, from, to);
}

/* ---- the run ---- */

static struct metric_def orders = {.name = {"orders_total", 12},
    .kind = KIND_COUNTER,
    .every_ms = 5000,
    .stale_after_ms = 3600000,
    .clock = {"orders", 6}};

struct run {
    char dir[64];
    struct store *store;
    struct store_options options;
    int64_t acknowledged, in_flight; /* sums; what is in flight may be on disk */
    bool failed_for_good;
    int commits, failures;
};

/* False when it fails. */
static bool commit_one(struct run *r, int i, struct err *err)
{
    char market[16];
    uint32_t metric, id;
    struct txn *txn = txn_begin(r->store);
    snprintf(market, sizeof market, "m%d", i % 5);
    struct label l[2] = {{SLICE("__name__"), orders.name}, {SLICE("market"), slice_from(market)}};
    assert_true(txn_metric(txn, &orders, &metric, err));
    assert_true(txn_series(txn, metric, (struct labels){l, 2}, &id, err));
    txn_add(txn, id, (1 + i / 10) * BLOCK - 5000 * (i % 3), 1 << (i % 4));
    bool ok = txn_commit(&txn, NULL, err);
    if (!ok)
        txn_abort(&txn);
    return ok;
}

static int64_t total(struct store *store)
{
    struct matcher m = {MATCH_EQUAL, SLICE("__name__"), orders.name, NULL};
    struct snapshot *s = snapshot_get(store);
    struct plan *plan;
    struct columns c = {0};
    struct arena arena;
    struct err err = {0};
    int128 sum = 0;
    arena_init(&arena, 0);
    assert_true(plan_new(s, NULL, &m, 1, NULL, &plan, &err));
    for (size_t i = 0; i < plan_n(plan); i++)
        plan_range(plan, i, INT64_MIN, INT64_MAX);
    if (!snapshot_fetch(s, NULL, NULL, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < plan_n(plan); i++) {
        assert_true(plan_columns(plan, i, &arena, &c, &err));
        for (size_t k = 0; k < c.n; k++)
            sum += c.amount[k];
    }
    snapshot_put(&s);
    arena_fini(&arena);
    return (int64_t)sum;
}

static bool open_run(struct run *r, struct err *err)
{
    return store_open(&r->options, &r->store, err);
}

/* Commits, maintains, and looks: what is shown is what was acknowledged. */
static void go(struct run *r)
{
    for (int i = 0; i < 40; i++) {
        struct err err = {0};
        int64_t amount = 1 << (i % 4);
        if (commit_one(r, i, &err)) {
            assert_false(r->failed_for_good);
            r->acknowledged += amount;
            r->commits++;
        } else {
            struct store_stats stats;
            store_stats(r->store, &stats);
            assert_true(err.code == ERR_IO || err.code == ERR_NO_SPACE);
            if (stats.failed && !r->failed_for_good)
                r->in_flight = amount;
            r->failed_for_good = stats.failed;
            r->failures++;
        }
        if (i % 4 == 3 && !store_maintain(r->store, i / 10 * (int64_t)BLOCK, &err))
            r->failures++;
        if (i % 8 == 0)
            assert_int_equal(total(r->store), r->acknowledged);
    }
    assert_int_equal(total(r->store), r->acknowledged);
}

static void begin_run(struct run *r)
{
    struct err err = {0};
    memset(r, 0, sizeof *r);
    folder_new("faults", r->dir, sizeof r->dir);
    r->options.path = r->dir;
    r->options.checkpoint_bytes = 200;
    r->options.wal_file_bytes = 1500;
    fault.call = CALL_NONE;
    if (!open_run(r, &err))
        fail_msg("%s", err.text);
}

static void end_run(struct run *r)
{
    struct err err = {0};
    fault.call = CALL_NONE;
    for (int round = 0; round < 2; round++) {
        store_close(&r->store);
        if (!open_run(r, &err))
            fail_msg("%s", err.text);
        int64_t now = total(r->store);
        assert_true(now == r->acknowledged || now == r->acknowledged + r->in_flight);
    }
    assert_true(commit_one(r, 0, &err));
    store_close(&r->store);
    folder_remove(r->dir);
}

/* Every Nth call, until a run has fewer. */
static void try_all(const char *what, enum call call, int error, int times, int step)
{
    int n = 0, failures = 0, lasting = 0;
    for (int at = 1;; at += step, n++) {
        struct run r;
        begin_run(&r);
        fault.error = error;
        fault.times = times;
        fault.seen = 0;
        fault.at = at;
        fault.call = call;
        go(&r);
        int seen = fault.seen;
        failures += r.failures;
        lasting += r.failed_for_good;
        if (call == CALL_SHORT)
            assert_int_equal(r.failures, 0);
        if (error == ENOSPC && call != CALL_SYNC)
            assert_false(r.failed_for_good);
        end_run(&r);
        if (seen < at)
            break;
    }
    print_message("# %s: %d points, %d operations failed, %d runs ended read-only\n", what, n,
        failures, lasting);
    assert_true(n > 0 && (call == CALL_SHORT || failures > 0));
    assert_true(call != CALL_SYNC || lasting > 0);
}

static void test_syncs(void **state)
{
    (void)state;
    try_all("sync, EIO", CALL_SYNC, EIO, 1, 1);
}

static void test_writes(void **state)
{
    (void)state;
    try_all("write, EIO", CALL_WRITE, EIO, 1, 1);
    try_all("write, ENOSPC for a while", CALL_WRITE, ENOSPC, 7, 1);
    try_all("short write", CALL_SHORT, 0, 3, 1);
}

static void test_full_disk(void **state)
{
    (void)state;
    try_all("allocation, ENOSPC", CALL_ALLOCATE, ENOSPC, 5, 1);
}

static void test_cuts_and_renames(void **state)
{
    (void)state;
    try_all("rename, EIO", CALL_RENAME, EIO, 1, 1);
    try_all("cut, EIO", CALL_CUT, EIO, 1, 1);
}

/* The folder as a power loss leaves it that takes from the log whatever was not synced again since
 * the process was killed: its last frame, of one transaction. */
static void lose_last_frame(const char *dir)
{
    char wal[128], last[PATH_BYTES];
    snprintf(wal, sizeof wal, "%s/wal", dir);
    assert_true(folder_last(wal, "0", last));
    struct content c = content_of(last);
    size_t at = FRAME_FILE_HEADER, end = at;
    for (uint32_t len; at + 24 < c.len && (memcpy(&len, c.ptr + at, 4), len) > 0; at += 24 + len)
        end = at;
    memset(c.ptr + end, 0, c.len - end);
    content_put(last, c.ptr, c.len);
    free(c.ptr);
}

static void count_change(void *ctx, const struct change *change)
{
    (void)change;
    ++*(int *)ctx;
}

static struct change_point point_of(struct store *store)
{
    struct snapshot *s = snapshot_get(store);
    struct change_point point = snapshot_point(s);
    snapshot_put(&s);
    return point;
}

static int changes_since(struct store *store, struct change_point since)
{
    int n = 0;
    struct snapshot *s = snapshot_get(store);
    assert_true(snapshot_changes(s, since, count_change, &n));
    snapshot_put(&s);
    return n;
}

/* A restart after a kill, with a disk on which `call` fails; the last transaction was synced, which
 * nobody can know. */
static void start_without_room(enum call call, bool clean, bool power_lost)
{
    struct run r;
    struct err err = {0};
    char copy[80];
    begin_run(&r);
    go(&r);
    snprintf(copy, sizeof copy, "%s-copy", r.dir);
    folder_copy(r.dir, copy);
    store_close(&r.store);
    if (!clean)
        folder_copy(copy, r.dir);
    if (!clean)
        lose_last_frame(copy);
    fault.error = ENOSPC;
    fault.times = 1000000;
    fault.seen = 0;
    fault.at = 1;
    fault.call = call;
    if (!open_run(&r, &err))
        fail_msg("%s", err.text);
    /* Its bytes can be written again when only renaming fails. */
    bool held = call == CALL_WRITE && !clean;
    int64_t shown = total(r.store), last = 1 << 39 % 4;
    struct change_point before = point_of(r.store);
    assert_int_equal(shown, r.acknowledged - (held ? last : 0));
    if (power_lost) {
        r.store->failed = true; /* it writes nothing any more */
        store_close(&r.store);
        if (held)
            folder_copy(copy, r.dir);
        fault.call = CALL_NONE;
        if (!open_run(&r, &err))
            fail_msg("%s", err.text);
        assert_int_equal(total(r.store), shown);
        r.acknowledged = shown;
    } else {
        if (call == CALL_RENAME && clean) { /* nothing is renamed for it */
            assert_true(commit_one(&r, 1, &err));
            r.acknowledged += 2;
        } else {
            assert_false(commit_one(&r, 1, &err));
            assert_int_equal(err.code, ERR_NO_SPACE);
        }
        assert_false(store_maintain(r.store, 0, &err));
        assert_int_equal(total(r.store), r.acknowledged - (held ? last : 0));
        fault.call = CALL_NONE;
    }
    if (!store_maintain(r.store, 0, &err))
        fail_msg("%s", err.text);
    assert_int_equal(total(r.store), r.acknowledged);
    if (held && !power_lost) /* whoever keeps answers hears of what has come back */
        assert_true(changes_since(r.store, before) > 0);
    if (!commit_one(&r, 1, &err))
        fail_msg("%s", err.text);
    r.acknowledged += 2;
    end_run(&r);
    folder_remove(copy);
}

/* A restart on a disk that is full, or fails, answers; when the disk works again, it goes on. What
 * it shows is on disk: it is still there when the power is lost. */
static void test_a_start_without_room(void **state)
{
    (void)state;
    for (int k = 0; k < 8; k++)
        start_without_room(k & 1 ? CALL_WRITE : CALL_RENAME, k & 2, k & 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_syncs),
        cmocka_unit_test(test_writes),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_cuts_and_renames),
        cmocka_unit_test(test_a_start_without_room),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
