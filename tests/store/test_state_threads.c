/*
 * State tables with one writer, maintenance that flushes and merges all the time, and readers that
 * look keys up meanwhile: a key that was committed is there, with the record of its commit or of a
 * later one, and a dropped generation is gone. Built with SANITIZE=thread this is where a race
 * would show. A hundredth of LARDER_STEPS says how many transactions are written.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/thread.h"
#include "store/state/state.h"
#include "store/store.h"
#include "tests/store/support/folder.h"

#define READERS      3
#define TRANSACTIONS 600
#define KEYS         97 /* of one transaction */
#define KEPT         6  /* generations */
#define PER          40 /* transactions of one generation */

struct shared {
    struct store *store;
    uint32_t table; /* set before the other threads begin */
    atomic_bool stop;
    atomic_llong acked;
    atomic_llong hits, wrong;
};

static struct hash128 key_of(int64_t transaction, int64_t i)
{
    int64_t both[2] = {transaction, i};
    return hash128(both, sizeof both);
}

/* Each adds keys, counts one up that all share, and now and then the oldest generation goes. */
static void write_one(struct shared *s, int64_t t)
{
    struct err err;
    struct txn *txn = txn_begin(s->store);
    int64_t g = t / PER, count = 0;
    bool found;
    if (t == 0)
        assert_true(txn_state_table(txn, SLICE("shared"), sizeof count, &s->table, &err));
    for (int64_t i = 0; i < KEYS; i++)
        txn_state_put(txn, s->table, g, key_of(t, i), &t);
    if (!txn_state_get(txn, s->table, -1, key_of(0, 0), &count, &found, &err))
        fail_msg("%s", err.text);
    assert_int_equal(found ? count : 0, t);
    count = t + 1;
    txn_state_put(txn, s->table, -1, key_of(0, 0), &count);
    if (t % PER == 0 && g > KEPT)
        txn_state_drop(txn, s->table, g - KEPT - 1);
    if (!txn_commit(&txn, NULL, &err))
        fail_msg("%s", err.text);
    atomic_store(&s->acked, t + 1);
}

static bool get(struct shared *s, int64_t g, struct hash128 key, int64_t *record)
{
    struct err err;
    bool found;
    if (!store_state_get(s->store, s->table, g, key, record, &found, &err)) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    return found;
}

static void *read_keys(void *arg)
{
    struct shared *s = arg;
    uint64_t rng = (uint64_t)(uintptr_t)&rng | 1;
    while (!atomic_load(&s->stop)) {
        rng = rng * UINT64_C(6364136223846793005) + 1442695040888963407;
        int64_t acked = atomic_load(&s->acked), record = 0;
        if (acked == 0)
            continue;
        int64_t t = (int64_t)(rng >> 33) % acked, i = (int64_t)(rng >> 20) % KEYS;
        int64_t oldest = (acked - 1) / PER - KEPT;
        bool found = get(s, t / PER, key_of(t, i), &record);
        /* What the newest commits have dropped meanwhile may be there or not. */
        bool kept = t / PER >= (atomic_load(&s->acked) - 1) / PER + 1 - KEPT;
        bool right = found ? record == t : !kept;
        right = right && (!found || t / PER >= oldest - 1);
        right = right && get(s, -1, key_of(0, 0), &record) && record >= acked;
        atomic_fetch_add(&s->wrong, !right);
        atomic_fetch_add(&s->hits, found);
    }
    return NULL;
}

static void *maintain(void *arg)
{
    struct shared *s = arg;
    struct err err;
    while (!atomic_load(&s->stop))
        if (!store_maintain(s->store, 0, &err)) {
            fprintf(stderr, "%s\n", err.text);
            abort();
        }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    char dir[FOLDER_MAX];
    struct err err;
    struct shared s = {0};
    struct store_stats stats;
    pthread_t readers[READERS], maintenance;
    const char *steps = getenv("LARDER_STEPS");
    int64_t total = steps ? strtoll(steps, NULL, 10) / 100 : TRANSACTIONS;
    folder_make("state-threads", dir);
    struct store_options options = {
        .path = dir, .state_bytes = 8 << 10, .checkpoint_bytes = 100 << 10};
    if (!store_open(&options, &s.store, &err))
        fail_msg("%s", err.text);
    write_one(&s, 0);
    thread_start(&maintenance, "maintenance", maintain, &s);
    for (int i = 0; i < READERS; i++)
        thread_start(&readers[i], "reader", read_keys, &s);
    for (int64_t t = 1; t < total; t++)
        write_one(&s, t);
    atomic_store(&s.stop, true);
    thread_join(maintenance);
    for (int i = 0; i < READERS; i++)
        thread_join(readers[i]);
    store_stats(s.store, &stats);
    printf("# %lld reads found their key, %llu runs\n", (long long)atomic_load(&s.hits),
        (unsigned long long)stats.state_runs);
    assert_int_equal(atomic_load(&s.wrong), 0);
    assert_true(atomic_load(&s.hits) > 0 && stats.state_runs > 0);
    store_close(&s.store);
    folder_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads)};
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
