/* A backup that is made while transactions are committed holds exactly a prefix of them; it is
 * whole where files cannot be linked, and where segments lie elsewhere. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "store/backup.h"
#include "store/files.h"
#include "store/read.h"
#include "store/store.h"
#include "store/verify_store.h"
#include "tests/store/support/folder.h"

#define BLOCK 7200000

static struct metric_def def = {
    .name = {"moves_total", 11}, .kind = KIND_COUNTER, .every_ms = 5000};

struct writer {
    struct store *store;
    atomic_bool stop;
    atomic_int done;
};

/* Every transaction adds 1 to two series; so both always have the same sum. */
static void commit_one(struct store *store, int i)
{
    struct txn *txn = txn_begin(store);
    struct err err = {0};
    uint32_t metric, id;
    assert_true(txn_metric(txn, &def, &metric, &err));
    for (int k = 0; k < 2; k++) {
        struct label l[2] = {{SLICE("__name__"), def.name}, {SLICE("side"), SLICE("a")}};
        l[1].value = k ? SLICE("b") : SLICE("a");
        assert_true(txn_series(txn, metric, (struct labels){l, 2}, &id, &err));
        txn_add(txn, id, (int64_t)(i % 3000) * 5000 + 5000, 1);
    }
    if (!txn_commit(&txn, NULL, &err))
        fail_msg("%s", err.text);
}

static void *write_on(void *arg)
{
    struct writer *w = arg;
    for (int i = 0; !atomic_load(&w->stop); i++) {
        commit_one(w->store, i);
        atomic_fetch_add(&w->done, 1);
    }
    return NULL;
}

static int64_t total(struct store *store, struct slice side)
{
    struct matcher m = {MATCH_EQUAL, SLICE("side"), side, NULL};
    struct snapshot *s = snapshot_get(store);
    struct plan *plan;
    struct arena arena;
    struct columns c;
    struct err err = {0};
    int64_t sum = 0;
    arena_init(&arena, 0);
    assert_true(plan_new(s, NULL, &m, 1, NULL, &plan, &err));
    assert_int_equal(plan_n(plan), 1);
    plan_range(plan, 0, INT64_MIN, INT64_MAX);
    assert_true(snapshot_fetch(s, NULL, NULL, &err));
    assert_true(plan_columns(plan, 0, &arena, &c, &err));
    for (size_t i = 0; i < c.n; i++)
        sum += (int64_t)c.amount[i];
    snapshot_put(&s);
    arena_fini(&arena);
    return sum;
}

static void check_copy(const char *folder, int least, int most)
{
    struct store_options options = {.path = folder};
    struct store *copy;
    struct err err = {0};
    if (!store_open(&options, &copy, &err))
        fail_msg("%s", err.text);
    int64_t n = total(copy, SLICE("a"));
    assert_int_equal(total(copy, SLICE("b")), n);
    assert_in_range(n, least, most);
    commit_one(copy, 0); /* it is a store like any other */
    assert_int_equal(total(copy, SLICE("a")), n + 1);
    store_close(&copy);
}

static void test_while_writing(void **state)
{
    char dir[64], path[80], folder[80];
    struct writer w = {0};
    struct err err = {0};
    pthread_t thread;
    uint64_t lsn;
    (void)state;
    folder_new("backup", dir, sizeof dir);
    snprintf(path, sizeof path, "%s/data", dir);
    struct store_options options = {.path = path};
    assert_true(store_open(&options, &w.store, &err));
    for (int i = 0; i < 50; i++)
        commit_one(w.store, i);
    assert_int_equal(pthread_create(&thread, NULL, write_on, &w), 0);
    for (int i = 0; i < 5; i++) {
        if (i % 2)
            assert_true(store_maintain(w.store, i * BLOCK / 2, &err));
        snprintf(folder, sizeof folder, "%s/copy-%d", dir, i);
        int least = atomic_load(&w.done);
        if (!store_backup(w.store, folder, &lsn, &err))
            fail_msg("%s", err.text);
        check_copy(folder, 50 + least, 51 + atomic_load(&w.done));
        assert_false(store_backup(w.store, folder, &lsn, &err));
        assert_int_equal(err.code, ERR_INVALID);
    }
    atomic_store(&w.stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(total(w.store, SLICE("a")), 50 + atomic_load(&w.done));
    store_close(&w.store);
    folder_remove(dir);
}

/* ---- where there are no hard links ---- */

static int link_fails; /* with this errno; 0: it works */
static unsigned links;

/* It stands in front of the C library's. */
int link(const char *from, const char *to)
{
    if (!link_fails)
        links++;
    errno = link_fails;
    return link_fails ? -1 : linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

struct place {
    char dir[FOLDER_MAX], path[FOLDER_MAX], folder[FOLDER_MAX];
};

static void make_store(struct place *p, struct store **store)
{
    struct err err = {0};
    folder_make("backup", p->dir);
    snprintf(p->path, sizeof p->path, "%.400s/data", p->dir);
    snprintf(p->folder, sizeof p->folder, "%.400s/copy", p->dir);
    struct store_options options = {.path = p->path};
    assert_true(store_open(&options, store, &err));
    for (int i = 0; i < 3000; i++)
        commit_one(*store, i);
    assert_true(store_maintain(*store, BLOCK, &err));
}

static void check_whole(const char *folder)
{
    struct verify_result result;
    struct err err = {0};
    if (!store_verify(folder, false, NULL, &result, &err))
        fail_msg("%s", err.text);
    assert_int_equal(result.damaged, 0);
    assert_true(result.starts && result.segments > 0);
}

static void count_inodes(void *ctx, const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    *(unsigned *)ctx += st.st_nlink > 1;
}

static void test_without_links(void **state)
{
    static const int errors[] = {EXDEV, EPERM, EMLINK, ENOTSUP, ENOSYS, EIO};
    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        struct place p;
        struct store *store;
        struct err err = {0};
        uint64_t lsn;
        unsigned shared = 0;
        make_store(&p, &store);
        link_fails = errors[i];
        bool ok = store_backup(store, p.folder, &lsn, &err);
        link_fails = 0;
        store_close(&store);
        assert_int_equal(ok, errors[i] != EIO);
        if (ok) {
            folder_each(p.folder, count_inodes, &shared);
            assert_int_equal(shared, 0);
            folder_remove(p.path); /* it leans on nothing */
            check_whole(p.folder);
            check_copy(p.folder, 3000, 3000);
        } else {
            assert_int_equal(err.code, ERR_IO);
            assert_non_null(strstr(err.text, "cannot link"));
            assert_int_not_equal(access(p.folder, F_OK), 0);
        }
        folder_remove(p.dir);
    }
}

/* Beside the links there is what the store does not know: it is left where it is. */
static void test_inside_the_folder(void **state)
{
    struct place p;
    struct store *store;
    struct err err = {0};
    uint64_t lsn;
    char put_away[FOLDER_MAX + 16];
    (void)state;
    make_store(&p, &store);
    snprintf(p.folder, sizeof p.folder, "%.400s/copy", p.path);
    snprintf(put_away, sizeof put_away, "%s/damaged", p.path);
    assert_int_equal(mkdir(put_away, 0777), 0);
    links = 0;
    if (!store_backup(store, p.folder, &lsn, &err))
        fail_msg("%s", err.text);
    assert_true(links > 0);
    store_close(&store);
    snprintf(put_away, sizeof put_away, "%s/damaged", p.folder);
    assert_int_not_equal(access(put_away, F_OK), 0);
    check_whole(p.folder);
    check_copy(p.folder, 3000, 3000);
    folder_remove(p.dir);
}

/* ---- segments that lie elsewhere ---- */

static bool far_read(void *ctx, uint64_t offset, void *to, size_t n, struct err *err)
{
    return (fseek(ctx, (long)offset, SEEK_SET) == 0 && fread(to, 1, n, ctx) == n) ||
           err_set(err, ERR_CORRUPT, "the file ends before");
}

static void far_close(void *ctx)
{
    fclose(ctx);
}

static bool far_open(void *ctx, const char *name, struct segment_file *out, struct err *err)
{
    char path[PATH_BYTES];
    FILE *file = path_join(path, ctx, name, err) ? fopen(path, "rb") : NULL;
    if (!file)
        return err_set(err, ERR_NOT_FOUND, "no %s there", name);
    fseek(file, 0, SEEK_END);
    *out = (struct segment_file){file, (uint64_t)ftell(file), far_read, far_close};
    return true;
}

static void move_away(void *ctx, const char *path)
{
    char to[PATH_BYTES];
    assert_true(path_join(to, ctx, strrchr(path, '/') + 1, NULL));
    assert_int_equal(rename(path, to), 0);
}

/* They are named in the backup: with the same source it has everything. */
static void test_segments_elsewhere(void **state)
{
    struct place p;
    struct store *store;
    struct err err = {0};
    uint64_t lsn;
    char seg[PATH_BYTES], far[FOLDER_MAX];
    (void)state;
    make_store(&p, &store);
    store_close(&store);
    folder_make("backup-far", far);
    assert_true(path_join(seg, p.path, "seg", NULL));
    folder_each(seg, move_away, far);
    struct store_options options = {.path = p.path, .remote = {far, far_open}};
    assert_true(store_open(&options, &store, &err));
    if (!store_backup(store, p.folder, &lsn, &err))
        fail_msg("%s", err.text);
    store_close(&store);
    folder_remove(p.path);
    options.path = p.folder;
    assert_true(store_open(&options, &store, &err));
    assert_int_equal(total(store, SLICE("a")), 3000);
    assert_int_equal(total(store, SLICE("b")), 3000);
    store_close(&store);
    folder_remove(p.dir);
    folder_remove(far);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_while_writing),
        cmocka_unit_test(test_without_links),
        cmocka_unit_test(test_inside_the_folder),
        cmocka_unit_test(test_segments_elsewhere),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
