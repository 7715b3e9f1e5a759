/*
 * Maintenance goes on in steps, and other threads commit between them. Here a commit falls between
 * any two system calls of maintenance by which a step ends (a sync, a rename, a removal), and the
 * process is killed at any later one: the store opens, and has what was acknowledged.
 *
 * The commit is made by the thread that maintains, inside the call, whenever nobody has the turn.
 */
#include "store/read.h"

#include <sys/stat.h>

#include "store/store.h"

#include <sys/syscall.h>

#include "base/log.h"
#include "store/delete.h"
#include "store/store_priv.h"
#include "tests/store/store_fixture.h"
#include "tests/store/support/folder.h"

#define COPIES_MAX 200

/* ---- the calls ---- */

static struct {
    struct store *store; /* NULL: calls are not watched */
    int commit_at;       /* before this call, or the next one at which nobody has the turn */
    int calls;
    bool committed;
    const char *dir;
    char copies[96];
    int n_copies;
} watch;

static void commit_beside(struct store *store)
{
    struct metric_def described = orders, fresh = orders;
    described.help = SLICE("Orders that were placed.");
    fresh.name = SLICE("fresh_total");
    struct txn *txn = txn_begin(store);
    txn_add(txn, series(txn, &described, "gone"), 15000, 7);
    txn_add(txn, series(txn, &orders, "new"), 15000, 8);
    txn_add(txn, series(txn, &fresh, "new"), 15000, 9);
    commit(txn);
}

static void copy_to(int i, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%s/%d", watch.copies, i);
}

/* Before a call: a kill here leaves this folder. Kills before the commit are those of the other
 * tests. */
static void point(void)
{
    struct store *store = watch.store;
    char path[PATH_BYTES];
    if (!store)
        return;
    watch.store = NULL;
    watch.calls++;
    if (!watch.committed && watch.calls >= watch.commit_at && !store->commit_queue.taken) {
        commit_beside(store);
        watch.committed = true;
    }
    if (watch.committed) {
        assert_true(watch.n_copies < COPIES_MAX);
        copy_to(watch.n_copies++, path);
        folder_copy(watch.dir, path);
    }
    watch.store = store;
}

/* A kill loses nothing of what was written, so syncs are not needed. */
int fsync(int fd)
{
    (void)fd;
    point();
    return 0;
}

int fdatasync(int fd)
{
    return fsync(fd);
}

int rename(const char *from, const char *to)
{
    point();
    return (int)syscall(SYS_rename, from, to);
}

int unlink(const char *path)
{
    point();
    return (int)syscall(SYS_unlink, path);
}

/* ---- what is read ---- */

static int64_t total(struct store *store, const char *name, const char *market)
{
    struct matcher m[2] = {{MATCH_EQUAL, SLICE("__name__"), slice_from(name), NULL},
        {MATCH_EQUAL, SLICE("market"), slice_from(market), NULL}};
    struct snapshot *s = snapshot_get(store);
    struct plan *plan;
    struct arena arena;
    struct err err = {0};
    int128 sum = 0;
    arena_init(&arena, 0);
    assert_true(plan_new(s, NULL, m, 2, NULL, &plan, &err));
    for (size_t i = 0; i < plan_n(plan); i++)
        plan_range(plan, i, INT64_MIN, INT64_MAX);
    if (!snapshot_fetch(s, NULL, NULL, &err))
        fail_msg("%s", err.text);
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

static void check(struct store *store, bool with, const char *what)
{
    int64_t got[4] = {total(store, "orders_total", "stays"), total(store, "orders_total", "gone"),
        total(store, "orders_total", "new"), total(store, "fresh_total", "new")};
    int64_t want[4] = {1, with ? 7 : 0, with ? 8 : 0, with ? 9 : 0};
    for (int i = 0; i < 4; i++)
        if (got[i] != want[i])
            fail_msg("%s: %lld instead of %lld, number %d", what, (long long)got[i],
                (long long)want[i], i);
    const struct metric_def *def =
        store->catalog.metrics[catalog_find_metric(&store->catalog, orders.name)];
    if (slice_eq(def->help, orders.help) == with)
        fail_msg("%s: the description is not the last one", what);
}

static void check_copy(int commit_at, int i)
{
    char path[PATH_BYTES], what[96];
    struct store *store;
    struct err err = {0};
    copy_to(i, path);
    snprintf(what, sizeof what, "committed at call %d, killed %d calls later", commit_at, i);
    struct store_options options = {.path = path};
    if (!store_open(&options, &store, &err))
        fail_msg("%s: %s", what, err.text);
    check(store, true, what);
    store_close(&store);
    folder_remove(path);
}

/* ---- what maintenance does ---- */

typedef void prepare_f(struct store *store);

/* Nothing but a checkpoint. */
static void prepare_checkpoint(struct store *store)
{
    add(store, "stays", 5000, 1);
    store->options.checkpoint_bytes = 1;
}

/* A series is forgotten: a deletion has taken its only cell. */
static void prepare_deletion(struct store *store)
{
    struct matcher m = {MATCH_EQUAL, SLICE("market"), SLICE("gone"), NULL};
    struct err err = {0};
    uint64_t number;
    add(store, "stays", 5000, 1);
    add(store, "gone", 5000, 1);
    store->options.checkpoint_bytes = 1;
    assert_true(store_maintain(store, 0, &err));
    store->options.checkpoint_bytes = UINT64_MAX;
    if (!store_delete(store, &m, 1, 0, 1000000, &number, &err))
        fail_msg("%s", err.text);
}

/* In memory, where there is such a folder: thousands of files are copied. */
static struct fixture *new_store(void)
{
    struct fixture *f = calloc(1, sizeof *f);
    folder_new("second", f->dir, sizeof f->dir);
    f->options.path = f->dir;
    reopen(f);
    return f;
}

/* Returns whether there was a call with that number. */
static bool run(prepare_f *prepare, int commit_at)
{
    struct fixture *f = new_store();
    struct err err = {0};
    prepare(f->store);
    watch.commit_at = commit_at;
    watch.calls = watch.n_copies = 0;
    watch.committed = false;
    watch.dir = f->dir;
    snprintf(watch.copies, sizeof watch.copies, "%s-copies", f->dir);
    folder_remove(watch.copies);
    assert_int_equal(mkdir(watch.copies, 0777), 0);
    watch.store = f->store;
    if (!store_maintain(f->store, 0, &err))
        fail_msg("%s", err.text);
    point(); /* after the last call */
    watch.store = NULL;
    check(f->store, watch.committed, "still open");
    for (int i = 0; i < watch.n_copies; i++)
        check_copy(commit_at, i);
    reopen(f); /* after a clean stop */
    check(f->store, watch.committed, "opened again");
    bool more = watch.calls >= commit_at;
    folder_remove(watch.copies);
    teardown((void **)&f);
    return more;
}

static void run_all(prepare_f *prepare, int at_least)
{
    int at = 1;
    while (run(prepare, at))
        at++;
    printf("# %d calls\n", at - 1);
    assert_true(at > at_least);
}

static void test_commits_beside_a_checkpoint(void **state)
{
    (void)state;
    run_all(prepare_checkpoint, 6);
}

static void test_commits_beside_a_deletion(void **state)
{
    (void)state;
    run_all(prepare_deletion, 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commits_beside_a_checkpoint),
        cmocka_unit_test(test_commits_beside_a_deletion),
    };
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
