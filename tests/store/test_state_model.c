/*
 * State tables against a naive model: random puts, deletes, drops, gets, finds and lists in
 * transactions that commit or abort, while small limits make the store flush, merge and write
 * checkpoints all the time; opened anew, cleanly or as a crash leaves the folder (a copy taken
 * while it is open). LARDER_SEED repeats a run, LARDER_STEPS sets the number of operations.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/log.h"
#include "store/state/state.h"
#include "store/store.h"
#include "tests/store/support/folder.h"

#define TABLES      3
#define GENERATIONS 5
#define KEYS        1500
#define RECORD_MAX  1100
#define STEPS       400000

static const uint32_t record_bytes[TABLES] = {0, 12, RECORD_MAX};
static const char *const names[TABLES] = {"ids", "small", "large"};

/* The version of each key's record; 0: not there. */
struct model {
    uint32_t at[TABLES][GENERATIONS][KEYS];
};

static uint64_t rng;
static struct model committed, open_txn;
static struct hash128 keys[KEYS];
static uint32_t version;

static uint32_t below(uint32_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)(rng >> 33) % n;
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

/* Hashes, and keys that are none: the ends of the range, equal halves, neighbours. */
static void make_keys(void)
{
    for (uint32_t i = 0; i < KEYS; i++)
        keys[i] = hash128(&i, sizeof i);
    keys[0] = (struct hash128){0, 0};
    keys[1] = (struct hash128){UINT64_MAX, UINT64_MAX};
    for (uint32_t i = 2; i < 30; i++)
        keys[i] = (struct hash128){.hi = UINT64_C(0x8000000000000000), .lo = i * 7};
    for (uint32_t i = 30; i < 60; i++)
        keys[i] = (struct hash128){.hi = i, .lo = 1};
}

static void fill_record(uint8_t *out, uint32_t table, uint32_t key, uint32_t v)
{
    for (uint32_t i = 0; i < record_bytes[table]; i++)
        out[i] = (uint8_t)(v * 31 + key * 7 + i + (v >> 8));
}

static struct store *open_store(const char *dir)
{
    struct store *store;
    struct err err;
    struct store_options options = {.path = dir,
        .state_bytes = 48 << 10,
        .checkpoint_bytes = 600 << 10,
        .wal_file_bytes = 1 << 20};
    if (!store_open(&options, &store, &err))
        fail_msg("%s", err.text);
    return store;
}

static void check_record(const uint8_t *got, uint32_t table, uint32_t key, uint32_t v)
{
    uint8_t expected[RECORD_MAX];
    fill_record(expected, table, key, v);
    assert_memory_equal(got, expected, record_bytes[table]);
}

static void get(struct txn *txn, const uint32_t *ids, uint32_t t, uint32_t g, uint32_t k)
{
    uint8_t record[RECORD_MAX];
    bool found;
    struct err err;
    if (!txn_state_get(txn, ids[t], g, keys[k], record, &found, &err))
        fail_msg("%s", err.text);
    assert_int_equal(found, open_txn.at[t][g][k] != 0);
    if (found)
        check_record(record, t, k, open_txn.at[t][g][k]);
}

static void find(struct txn *txn, const uint32_t *ids, uint32_t t, uint32_t k)
{
    uint8_t record[RECORD_MAX];
    bool found;
    int64_t generation = -1, expected = -1;
    struct err err;
    uint32_t from = below(GENERATIONS);
    for (int64_t g = from; g < GENERATIONS; g++)
        if (open_txn.at[t][g][k])
            expected = g;
    if (!txn_state_find(
            txn, ids[t], from, GENERATIONS - 1, keys[k], record, &generation, &found, &err))
        fail_msg("%s", err.text);
    assert_int_equal(found, expected >= 0);
    if (found) {
        assert_int_equal(generation, expected);
        check_record(record, t, k, open_txn.at[t][expected][k]);
    }
}

/* ---- listing ---- */

static uint32_t sorted[KEYS];

static int by_key(const void *a, const void *b)
{
    struct hash128 x = keys[*(const uint32_t *)a], y = keys[*(const uint32_t *)b];
    if (x.hi != y.hi)
        return x.hi < y.hi ? -1 : 1;
    return (x.lo > y.lo) - (x.lo < y.lo);
}

static void list_all(struct txn *txn, const uint32_t *ids, uint32_t t, uint32_t g)
{
    static struct hash128 got[KEYS];
    static uint8_t records[KEYS * RECORD_MAX];
    size_t max = 1 + below(below(2) ? KEYS : 20), n, at = 0, calls = 0;
    struct hash128 from = {0};
    struct err err;
    for (bool end = false; !end; calls++) {
        if (!txn_state_list(txn, ids[t], g, &from, max, got, records, &n, &end, &err))
            fail_msg("%s", err.text);
        assert_true(n <= max && calls < 2 * KEYS + 10);
        for (size_t i = 0; i < n; i++) {
            while (at < KEYS && !open_txn.at[t][g][sorted[at]])
                at++;
            assert_true(at < KEYS);
            assert_true(hash128_eq(got[i], keys[sorted[at]]));
            check_record(
                records + i * record_bytes[t], t, sorted[at], open_txn.at[t][g][sorted[at]]);
            at++;
        }
    }
    while (at < KEYS && !open_txn.at[t][g][sorted[at]])
        at++;
    assert_int_equal(at, KEYS);
}

/* Every key of every generation, from outside of any transaction and inside of one. */
static void compare(struct store *store)
{
    uint8_t record[RECORD_MAX];
    uint32_t ids[TABLES], bytes;
    bool found;
    struct err err;
    for (uint32_t t = 0; t < TABLES; t++) {
        if (!store_state_table(store, slice_from(names[t]), &ids[t], &bytes, &err))
            return; /* nothing was committed yet */
        assert_int_equal(bytes, record_bytes[t]);
    }
    for (uint32_t t = 0; t < TABLES; t++)
        for (uint32_t g = 0; g < GENERATIONS; g++)
            for (uint32_t k = 0; k < KEYS; k++) {
                if (!store_state_get(store, ids[t], g, keys[k], record, &found, &err))
                    fail_msg("%s", err.text);
                assert_int_equal(found, committed.at[t][g][k] != 0);
                if (found)
                    check_record(record, t, k, committed.at[t][g][k]);
            }
    open_txn = committed;
    struct txn *txn = txn_begin(store);
    for (uint32_t t = 0; t < TABLES; t++)
        for (uint32_t g = 0; g < GENERATIONS; g++)
            list_all(txn, ids, t, g);
    txn_abort(&txn);
}

/* ---- changing ---- */

static void change(struct txn *txn, const uint32_t *ids, bool deleting)
{
    uint8_t record[RECORD_MAX];
    /* Keys come in neighbourhoods, so that transactions meet their own changes. */
    uint32_t t = below(TABLES), g = below(GENERATIONS), k = below(KEYS), what = below(100);
    if (what < (deleting ? 10 : 45)) {
        fill_record(record, t, k, ++version);
        txn_state_put(txn, ids[t], g, keys[k], record_bytes[t] ? record : NULL);
        open_txn.at[t][g][k] = version;
    } else if (what < 65 || (deleting && what < 95)) {
        txn_state_delete(txn, ids[t], g, keys[k]);
        open_txn.at[t][g][k] = 0;
    } else if (what < 90) {
        get(txn, ids, t, g, k);
    } else if (what < 99) {
        find(txn, ids, t, k);
    } else if (below(4) == 0) {
        txn_state_drop(txn, ids[t], g);
        memset(open_txn.at[t][g], 0, sizeof open_txn.at[t][g]);
    } else if (below(8) == 0) {
        list_all(txn, ids, t, g);
    }
}

static uint64_t transaction(struct store *store)
{
    uint32_t ids[TABLES];
    struct err err;
    uint64_t n = below(20) == 0 ? below(3000) : below(300);
    struct txn *txn = txn_begin(store);
    open_txn = committed;
    for (uint32_t t = 0; t < TABLES; t++)
        if (!txn_state_table(txn, slice_from(names[t]), record_bytes[t], &ids[t], &err))
            fail_msg("%s", err.text);
    bool deleting = below(5) == 0; /* deletions are most of what such a transaction holds */
    for (uint64_t i = 0; i < n; i++)
        change(txn, ids, deleting);
    if (below(10) == 0)
        list_all(txn, ids, below(TABLES), below(GENERATIONS));
    if (below(8) == 0) {
        txn_abort(&txn);
    } else {
        if (!txn_commit(&txn, NULL, &err))
            fail_msg("%s", err.text);
        committed = open_txn;
    }
    return n;
}

static void open_copy(const char *dir, const char *copy)
{
    folder_remove(copy);
    folder_copy(dir, copy);
    struct store *store = open_store(copy);
    compare(store);
    store_close(&store);
}

static void test_random_operations(void **ctx)
{
    (void)ctx;
    char dir[FOLDER_MAX], copy[FOLDER_MAX];
    struct err err;
    struct store_stats stats;
    uint64_t steps = number_of("LARDER_STEPS", STEPS), done = 0, opened = 0, most = 0;
    rng = number_of("LARDER_SEED", (uint64_t)time(NULL) * 2654435761u) | 1;
    printf("# seed %llu\n", (unsigned long long)rng);
    make_keys();
    for (uint32_t i = 0; i < KEYS; i++)
        sorted[i] = i;
    qsort(sorted, KEYS, sizeof *sorted, by_key);
    folder_make("state", dir);
    folder_make("state-copy", copy);
    struct store *store = open_store(dir);
    while (done < steps) {
        done += transaction(store);
        if (below(4) == 0 && !store_maintain(store, 0, &err))
            fail_msg("%s", err.text);
        store_stats(store, &stats);
        if (stats.state_runs > most)
            most = stats.state_runs;
        if (below(60) == 0)
            compare(store);
        if (below(60) == 0)
            open_copy(dir, copy);
        if (below(60) == 0) {
            store_close(&store);
            store = open_store(dir);
            compare(store);
            opened++;
        }
    }
    compare(store);
    open_copy(dir, copy);
    store_close(&store);
    printf("# %llu operations, opened %llu times, at most %llu runs\n", (unsigned long long)done,
        (unsigned long long)opened, (unsigned long long)most);
    assert_true(most > TABLES * GENERATIONS); /* it has flushed: it tried what it is for */
    folder_remove(dir);
    folder_remove(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_operations)};
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
