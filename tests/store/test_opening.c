/*
 * Opening levels: the sum of all changes up to a time, against a naive sum, while blocks are
 * sealed, days compacted, late and inverse changes land, and raw cells go.
 */
#include "store/opening.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "store/compact.h"
#include "store/read.h"
#include "store/resolution.h"
#include "tests/store/support/folder.h"

#define EVERY   60000
#define DAYS    3
#define WINDOWS ((uint32_t)(DAYS * DAY_MS / EVERY))
#define SERIES  3

static uint64_t rng;

static uint32_t below(uint32_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)(rng >> 33) % n;
}

static struct metric_def level = {.name = {"open", 4}, .kind = KIND_LEVEL, .every_ms = EVERY};

struct model {
    int64_t change[SERIES][WINDOWS];
};

static uint32_t series_of(struct txn *txn, uint32_t i)
{
    char name[16];
    uint32_t metric, id;
    struct err err = {0};
    snprintf(name, sizeof name, "s%u", i);
    struct label l[2] = {{SLICE("__name__"), level.name}, {SLICE("series"), slice_from(name)}};
    assert_true(txn_metric(txn, &level, &metric, &err));
    assert_true(txn_series(txn, metric, (struct labels){l, 2}, &id, &err));
    return id;
}

static void append(struct store *store, struct model *m, uint32_t newest)
{
    struct err err = {0};
    struct txn *txn = txn_begin(store);
    for (uint32_t n = 1 + below(30); n > 0; n--) {
        uint32_t late = below(15) == 0 ? below(newest + 1) : below(15);
        uint32_t s = below(SERIES), w = newest > late ? newest - late : 0;
        int64_t v = below(4) == 0 ? -m->change[s][w] : (int64_t)below(9) - 4;
        if (v)
            txn_add(txn, series_of(txn, s), ((int64_t)w + 1) * EVERY, v);
        m->change[s][w] += v;
    }
    if (!txn_commit(&txn, NULL, &err))
        fail_msg("%s", err.text);
}

static void compare(struct store *store, const struct model *m, int64_t at)
{
    struct matcher open = {MATCH_EQUAL, SLICE("__name__"), SLICE("open"), NULL};
    struct snapshot *snap = snapshot_get(store);
    struct plan *plan;
    struct arena arena;
    struct err err = {0};
    arena_init(&arena, 0);
    assert_true(plan_new(snap, NULL, &open, 1, NULL, &plan, &err));
    for (size_t i = 0; i < plan_n(plan); i++)
        assert_true(plan_opening(plan, i, at, &err));
    if (!snapshot_fetch(snap, NULL, NULL, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < plan_n(plan); i++) {
        size_t s = strtoul(labels_get(plan_labels(plan, i), SLICE("series")).ptr + 1, NULL, 10);
        int64_t expected = 0;
        int128 sum;
        for (uint32_t w = 0; w < WINDOWS && ((int64_t)w + 1) * EVERY <= at; w++)
            expected += m->change[s][w];
        if (!plan_opening_sum(plan, i, &arena, &sum, &err))
            fail_msg("%s", err.text);
        assert_int_equal(sum, expected);
    }
    snapshot_put(&snap);
    arena_fini(&arena);
}

/* raw_ms: 0, or how long raw cells are kept. */
static struct store *open_store(const char *dir, int64_t raw_ms)
{
    struct store_options options = {.path = dir, .retention.raw_ms = raw_ms};
    struct store *store;
    struct err err = {0};
    if (!store_open(&options, &store, &err))
        fail_msg("%s", err.text);
    return store;
}

static void test_sums_up_to_a_time(void **state)
{
    char dir[64];
    struct model *m = calloc(1, sizeof *m);
    struct err err = {0};
    int64_t passed = 0, raw_ms = 0;
    (void)state;
    rng = getenv("LARDER_SEED") ? strtoull(getenv("LARDER_SEED"), NULL, 10) : 88172645463325252u;
    printf("seed %llu\n", (unsigned long long)rng);
    folder_new("opening", dir, sizeof dir);
    struct store *store = open_store(dir, raw_ms);
    for (uint32_t i = 0; i < 400; i++) {
        uint32_t newest = i * (WINDOWS - 1) / 400;
        append(store, m, newest);
        if (below(4) == 0) {
            passed = (int64_t)newest * EVERY - 20 * EVERY;
            if (!store_maintain(store, passed, &err))
                fail_msg("%s", err.text);
        }
        int64_t at = below(2) * (int64_t)below(newest + 2) * EVERY + below(3) * DAY_MS / 2;
        if (raw_ms && at <= passed - raw_ms) /* raw cells may be gone: that of whole buckets */
            at = at / RESOLUTION_1H * RESOLUTION_1H;
        compare(store, m, at);
        if (below(80) == 0 || (!raw_ms && passed > 2 * DAY_MS)) {
            raw_ms = passed > 2 * DAY_MS ? DAY_MS : 0;
            store_close(&store);
            store = open_store(dir, raw_ms);
        }
    }
    assert_true(store_maintain(store, (DAYS + 3) * DAY_MS, &err));
    for (int64_t day = 1; day <= DAYS; day++)
        compare(store, m, day * DAY_MS);
    store_close(&store);
    folder_remove(dir);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums_up_to_a_time),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
