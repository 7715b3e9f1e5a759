/*
 * The buckets of classic histograms in a store: sealed, compacted, deleted from, reopened; what is
 * read is what was written, though segments hold most of them as differences to each other.
 */
#include "store/files.h"
#include "tests/store/support/folder.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/delete.h"
#include "store/read.h"
#include "store/segment.h"
#include "store/store.h"

#define BLOCK   INT64_C(7200000)
#define DAY     (12 * BLOCK)
#define STEP    30000
#define SAMPLES (DAY / STEP)
#define BOUNDS  12

static const char *const bounds[BOUNDS] = {
    "+Inf", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "10", "2.5", "5"};
static const uint32_t parts[BOUNDS] = {1000, 2, 15, 110, 300, 570, 860, 960, 990, 1000, 999, 1000};

static struct metric_def bucket = {
    .name = {"latency_bucket", 14}, .kind = KIND_SAMPLE, .stale_after_ms = 300000};

struct fixture {
    char dir[64];
    struct store *store;
    struct store_options options;
    double counts[BOUNDS][SAMPLES];
};

static void reopen(struct fixture *f)
{
    struct err err = {0};
    store_close(&f->store);
    if (!store_open(&f->options, &f->store, &err))
        fail_msg("%s", err.text);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    folder_new("families", f->dir, sizeof f->dir);
    f->options.path = f->dir;
    reopen(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    store_close(&f->store);
    folder_remove(f->dir);
    free(f);
    return 0;
}

static int64_t time_of(size_t i)
{
    return STEP * (int64_t)(i + 1);
}

/* One scrape: some observations, each counted in the buckets that it lies in. */
static void observe(struct fixture *f, size_t i, uint64_t *random)
{
    struct txn *txn = txn_begin(f->store);
    uint32_t metric, id;
    struct err err = {0};
    for (size_t b = 0; i > 0 && b < BOUNDS; b++)
        f->counts[b][i] = f->counts[b][i - 1];
    for (uint64_t k = *random >> 58; k < 80; k++) {
        *random = *random * UINT64_C(6364136223846793005) + 1;
        for (size_t b = 0; b < BOUNDS; b++)
            f->counts[b][i] += (*random >> 33) % 1000 < parts[b];
    }
    assert_true(txn_metric(txn, &bucket, &metric, &err));
    for (size_t b = 0; b < BOUNDS; b++) {
        struct label l[3] = {{SLICE("__name__"), bucket.name}, {SLICE("le"), slice_from(bounds[b])},
            {SLICE("path"), SLICE("/")}};
        assert_true(txn_series(txn, metric, (struct labels){l, 3}, &id, &err));
        txn_sample(txn, id, time_of(i), f->counts[b][i]);
    }
    assert_true(txn_commit(&txn, NULL, &err));
}

static struct matcher is(size_t b)
{
    return (struct matcher){MATCH_EQUAL, SLICE("le"), slice_from(bounds[b]), NULL};
}

/* What is stored of a bucket: the samples but those in (from, to]. */
static void expect(struct fixture *f, size_t b, int64_t from, int64_t to)
{
    struct matcher m = is(b);
    struct snapshot *s = snapshot_get(f->store);
    struct plan *plan;
    struct columns c = {0};
    struct arena arena;
    struct err err = {0};
    size_t at = 0;
    arena_init(&arena, 0);
    assert_true(plan_new(s, NULL, &m, 1, NULL, &plan, &err));
    if (plan_n(plan))
        plan_range(plan, 0, INT64_MIN, INT64_MAX);
    if (!snapshot_fetch(s, NULL, NULL, &err) ||
        (plan_n(plan) && !plan_columns(plan, 0, &arena, &c, &err)))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < SAMPLES; i++) {
        if (time_of(i) > from && time_of(i) <= to)
            continue;
        assert_true(at < c.n && c.t[at] == time_of(i));
        assert_memory_equal(&c.bits[at], &f->counts[b][i], sizeof(double));
        at++;
    }
    assert_int_equal(at, c.n);
    snapshot_put(&s);
    arena_fini(&arena);
}

/* Chunks of the folder's segments that are differences, and their series. */
static void count_bases(const struct fixture *f, size_t *with_base, size_t *series)
{
    char folder[PATH_BYTES];
    assert_true(path_join(folder, f->dir, "seg", NULL));
    DIR *dir = opendir(folder);
    *with_base = *series = 0;
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        char path[PATH_BYTES];
        struct segment *segment;
        struct arena arena;
        const struct segment_chunk *chunks;
        size_t n;
        if (!strstr(e->d_name, ".seg"))
            continue;
        assert_true(path_join(path, folder, e->d_name, NULL));
        assert_true(segment_open(path, NULL, &segment, NULL));
        arena_init(&arena, 0);
        for (uint32_t i = 0; i < segment_info(segment)->series; i++) {
            assert_true(
                segment_chunks(segment, i, INT64_MIN, INT64_MAX, &arena, &chunks, &n, NULL));
            for (size_t k = 0; k < n; k++)
                *with_base += chunks[k].n_bases > 0;
        }
        *series += segment_info(segment)->series;
        arena_fini(&arena);
        segment_put(&segment);
    }
    closedir(dir);
}

/* Bytes that the buckets' chunks have, in the one raw segment, where they stand in their order: of
 * their own, and with those that they are differences to. */
static void measure(const struct fixture *f, uint64_t own[BOUNDS], uint64_t with_bases[BOUNDS])
{
    char folder[PATH_BYTES], path[PATH_BYTES];
    assert_true(path_join(folder, f->dir, "seg", NULL));
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        struct segment *segment;
        struct arena arena;
        const struct segment_chunk *c;
        size_t n = 0;
        if (!strstr(e->d_name, ".seg"))
            continue;
        assert_true(path_join(path, folder, e->d_name, NULL));
        assert_true(segment_open(path, NULL, &segment, NULL));
        arena_init(&arena, 0);
        for (uint32_t b = 0; segment_info(segment)->resolution_ms == 0 && b < BOUNDS; b++) {
            own[b] = with_bases[b] = 0;
            assert_true(segment_chunks(segment, b, INT64_MIN, INT64_MAX, &arena, &c, &n, NULL));
            for (size_t i = 0; i < n; i++) {
                own[b] += c[i].bytes;
                with_bases[b] += c[i].bytes;
                for (uint32_t k = 0; k < c[i].n_bases; k++)
                    with_bases[b] += c[i].bases[k].bytes;
            }
        }
        arena_fini(&arena);
        segment_put(&segment);
    }
    closedir(dir);
}

static bool may_read(struct fixture *f, size_t b, uint64_t max_bytes)
{
    struct matcher m = is(b);
    struct read_budget budget = {.max_bytes = max_bytes};
    struct snapshot *s = snapshot_get(f->store);
    struct plan *plan;
    struct err err = {0};
    assert_true(plan_new(s, NULL, &m, 1, NULL, &plan, &err));
    assert_int_equal(plan_n(plan), 1);
    plan_range(plan, 0, INT64_MIN, INT64_MAX);
    bool ok = snapshot_fetch(s, &budget, NULL, &err);
    assert_true(ok || err.code == ERR_LIMIT);
    snapshot_put(&s);
    return ok;
}

/* What a bucket is a difference to is unpacked with it, and counts. */
static void check_budgets(struct fixture *f)
{
    uint64_t own[BOUNDS] = {0}, with_bases[BOUNDS] = {0};
    size_t more = 0;
    measure(f, own, with_bases);
    for (size_t b = 0; b < BOUNDS; b++) {
        assert_true(may_read(f, b, with_bases[b]));
        assert_false(may_read(f, b, with_bases[b] - 1));
        more += with_bases[b] > own[b];
    }
    assert_true(more >= 6);
}

static void maintain(struct fixture *f, int64_t passed)
{
    struct err err = {0};
    if (!store_maintain(f->store, passed, &err))
        fail_msg("%s", err.text);
}

static void expect_all(struct fixture *f)
{
    for (size_t b = 0; b < BOUNDS; b++)
        expect(f, b, 0, 0);
}

static void delete_one(struct fixture *f, size_t b, int64_t from, int64_t to)
{
    struct matcher m = is(b);
    struct err err = {0};
    uint64_t n;
    if (!store_delete(f->store, &m, 1, from, to, &n, &err))
        fail_msg("%s", err.text);
    assert_int_equal(n, 1);
}

static void sealed_compacted_deleted(void **state)
{
    struct fixture *f = *state;
    uint64_t random = 4711;
    size_t with_base, series, before;
    for (size_t i = 0; i < SAMPLES; i++) {
        observe(f, i, &random);
        if (time_of(i) % (6 * BLOCK) == 0)
            maintain(f, time_of(i));
    }
    expect_all(f);
    maintain(f, 2 * DAY);
    expect_all(f);
    count_bases(f, &before, &series);
    assert_true(before >= 6);
    check_budgets(f);
    reopen(f);
    expect_all(f);
    /* The greatest bucket goes altogether, another for a while: others hang on both. */
    delete_one(f, 0, INT64_MIN, INT64_MAX);
    delete_one(f, 5, 3 * BLOCK, 5 * BLOCK);
    for (int round = 0; round < 3; round++) {
        expect(f, 0, INT64_MIN, INT64_MAX);
        expect(f, 5, 3 * BLOCK, 5 * BLOCK);
        for (size_t b = 1; b < BOUNDS; b++)
            if (b != 5)
                expect(f, b, 0, 0);
        if (round == 0)
            maintain(f, 2 * DAY);
        else
            reopen(f);
    }
    count_bases(f, &with_base, &series);
    assert_int_equal(series % (BOUNDS - 1), 0);
    assert_true(with_base > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sealed_compacted_deleted, setup, teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
