/* A backup that is made while transactions are committed holds exactly a prefix of them. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/backup.h"
#include "store/read.h"
#include "store/store.h"

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
    char dir[] = "/tmp/larder-backup-XXXXXX", path[64], folder[80], cmd[96];
    struct writer w = {0};
    struct err err = {0};
    pthread_t thread;
    uint64_t lsn;
    (void)state;
    assert_non_null(mkdtemp(dir));
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
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    assert_int_equal(system(cmd), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_while_writing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
