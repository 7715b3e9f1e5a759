/*
 * Random operations against a naive model: cells of every kind, late, twice, taken back; sealing,
 * checkpoints; opened anew, cleanly or as a crash leaves it (a copy of the folder taken while it is
 * open). Every series must read exactly as the model says, whole and in random ranges.
 *
 * LARDER_SEED repeats a run, LARDER_STEPS says how many cells are written.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "tests/store/support/folder.h"
#include "tests/store/support/workload.h"

#define STEPS   1000000
#define SERIES  8
#define HISTORY 300
#define CELLS   60 /* of one transaction, at most */

static uint64_t start_seed(void)
{
    const char *text = getenv("LARDER_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 10) : (uint64_t)time(NULL) * 2654435761u;
    printf("# LARDER_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

static uint64_t steps(void)
{
    const char *text = getenv("LARDER_STEPS");
    return text ? strtoull(text, NULL, 10) : STEPS;
}

static struct store *open_small(const char *dir)
{
    struct store_options options = {.path = dir,
        .block_ms = WORKLOAD_BLOCK,
        .wal_file_bytes = 100000,
        .checkpoint_bytes = 500000,
        .state_bytes = 20000};
    struct store *store;
    struct err err;
    if (!store_open(&options, &store, &err))
        fail_msg("%s", err.text);
    return store;
}

static void compare(struct store *store, struct workload *w)
{
    char why[400];
    if (!naive_compare(w->naive, store, INT64_MIN, INT64_MAX, why, sizeof why))
        fail_msg("after transaction %lld: %s", (long long)w->commits, why);
}

static void compare_range(struct store *store, struct workload *w)
{
    char why[400];
    int64_t from = workload_end((int64_t)workload_below(w, (uint32_t)w->newest)) -
                   workload_below(w, (uint32_t)WORKLOAD_EVERY + 1);
    int64_t to = from + (int64_t)workload_below(w, 200) * WORKLOAD_EVERY;
    if (!naive_compare(w->naive, store, from, to, why, sizeof why))
        fail_msg("after transaction %lld, in (%lld, %lld]: %s", (long long)w->commits,
            (long long)from, (long long)to, why);
}

static void append(struct store *store, struct workload *w)
{
    struct err err;
    struct txn *txn = txn_begin(store);
    workload_fill(w, txn, CELLS);
    if (!txn_commit(&txn, NULL, &err))
        fail_msg("%s", err.text);
}

/* As a crash leaves it. */
static void open_copy(const char *dir, const char *copy, struct workload *w)
{
    folder_remove(copy);
    folder_copy(dir, copy);
    struct store *crashed = open_small(copy);
    compare(crashed, w);
    store_close(&crashed);
}

static void test_random_operations(void **state)
{
    (void)state;
    char dir[FOLDER_MAX], copy[FOLDER_MAX];
    struct workload w;
    struct err err;
    uint64_t total = steps();
    workload_init(&w, start_seed(), SERIES, HISTORY);
    folder_make("model", dir);
    folder_make("model-copy", copy);
    struct store *store = open_small(dir);
    while (w.ops < total) {
        append(store, &w);
        if (workload_below(&w, 8) == 0)
            w.newest++;
        if (workload_below(&w, 30) == 0) {
            int64_t passed = workload_end(w.newest - workload_below(&w, 60));
            if (!store_maintain(store, passed, &err))
                fail_msg("%s", err.text);
        }
        if (workload_below(&w, 500) == 0 && !workload_delete(&w, store, &err))
            fail_msg("%s", err.text);
        if (workload_below(&w, 50) == 0)
            compare_range(store, &w);
        if (workload_below(&w, 1000) == 0)
            compare(store, &w);
        if (workload_below(&w, 1000) == 0)
            open_copy(dir, copy, &w);
        if (workload_below(&w, 1000) == 0) {
            store_close(&store);
            store = open_small(dir);
            compare_range(store, &w);
        }
    }
    compare(store, &w);
    open_copy(dir, copy, &w);
    struct store_stats stats;
    store_stats(store, &stats);
    printf("# %llu operations, %lld transactions, %zu cells left, %llu segments\n",
        (unsigned long long)w.ops, (long long)w.commits, naive_cells(w.naive),
        (unsigned long long)stats.segments);
    assert_true(stats.segments > 0); /* the run has sealed: it tried what it is for */
    store_close(&store);
    folder_remove(dir);
    folder_remove(copy);
    workload_fini(&w);
}

/* ---- a real kill, at any moment ---- */

static void commit_until_killed(const char *dir, struct workload *w, int said)
{
    struct store *store = open_small(dir);
    struct err err;
    for (uint32_t i = 0;; i++) {
        append(store, w);
        if (write(said, "+", 1) != 1)
            _exit(1);
        w->newest += i % 4 == 0;
        if (i % 7 == 6 && !store_maintain(store, workload_end(w->newest - 10), &err))
            _exit(1);
    }
}

/* A child commits and says so; it is killed; nothing that it said is missing, and nothing else but
 * the one in flight is there. The parent's model does what the child did. */
static void test_kill(void **state)
{
    (void)state;
    char dir[FOLDER_MAX];
    struct workload w;
    workload_init(&w, start_seed(), SERIES, HISTORY);
    folder_make("kill", dir);
    for (int round = 0; round < 20; round++) {
        int said[2];
        struct timespec ts = {0, (long)(workload_below(&w, 30) + 3) * 1000000};
        assert_int_equal(pipe(said), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            close(said[0]);
            commit_until_killed(dir, &w, said[1]);
        }
        close(said[1]);
        nanosleep(&ts, NULL);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        int64_t acked = 0;
        for (char c; read(said[0], &c, 1) == 1; acked++)
            ;
        close(said[0]);
        struct store *store = open_small(dir);
        struct source_state source = {0};
        store_source(store, SLICE("commits"), &source);
        int64_t here = source.next - w.commits;
        assert_true(here == acked || here == acked + 1);
        for (int64_t i = 0; i < here; i++) {
            workload_fill(&w, NULL, CELLS);
            w.newest += i % 4 == 0;
        }
        compare(store, &w);
        store_close(&store);
    }
    folder_remove(dir);
    workload_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_operations),
        cmocka_unit_test(test_kill),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
