/*
 * A segment whose map of ids was lost in a repair: its series are found by their labels, and still
 * after it was compacted with segments that have ids, however few of its series that are.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/ensure.h"
#include "base/log.h"
#include "store/read.h"
#include "store/segment/segment_reader.h"
#include "store/verify_store.h"
#include "tests/store/support/folder.h"

#define EVERY 60000
#define HOUR  INT64_C(3600000)
#define DAY   (INT64_C(20000) * 24 * HOUR)
#define MANY  20

static struct metric_def counter = {
    .name = {"m_total", 7}, .kind = KIND_COUNTER, .every_ms = EVERY};

struct fixture {
    char folder[FOLDER_MAX], path[FOLDER_MAX];
};

static struct store *open_store(const struct fixture *f)
{
    struct store_options options = {.path = f->path};
    struct store *store;
    struct err err = {0};
    if (!store_open(&options, &store, &err))
        fail_msg("%s", err.text);
    return store;
}

static void maintain(struct store *store, int64_t passed)
{
    struct err err = {0};
    if (!store_maintain(store, passed, &err))
        fail_msg("%s", err.text);
}

/* Cells of series [from, to) in one transaction. */
static void append(struct store *store, int from, int to, int64_t t)
{
    struct txn *txn = txn_begin(store);
    struct err err = {0};
    uint32_t metric, id;
    assert_true(txn_metric(txn, &counter, &metric, &err));
    for (int i = from; i < to; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%02d", i);
        struct label l[2] = {{SLICE("__name__"), counter.name}, {SLICE("x"), slice_from(name)}};
        assert_true(txn_series(txn, metric, (struct labels){l, 2}, &id, &err));
        assert_true(txn_add(txn, id, t, 7));
    }
    assert_true(txn_commit(&txn, NULL, &err));
}

/* The sum of the cells of the day of the series that came first. */
static int64_t first_sum(struct store *store)
{
    struct matcher m = {MATCH_EQUAL, SLICE("x"), SLICE("f19"), NULL};
    struct snapshot *snap = snapshot_get(store);
    struct err err = {0};
    struct columns c;
    struct arena arena;
    struct plan *plan;
    int64_t sum = 0;
    arena_init(&arena, 0);
    assert_true(plan_new(snap, NULL, &m, 1, NULL, &plan, &err));
    assert_int_equal(plan_n(plan), 1);
    plan_range(plan, 0, DAY, DAY + 24 * HOUR);
    if (!snapshot_fetch(snap, NULL, NULL, &err) || !plan_columns(plan, 0, &arena, &c, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < c.n; i++)
        sum += (int64_t)c.amount[i];
    arena_fini(&arena);
    snapshot_put(&snap);
    return sum;
}

/* ---- damage ---- */

static void first_block(void *ctx, const char *path)
{
    char *out = ctx, begin[64];
    snprintf(begin, sizeof begin, "/%lld-", (long long)DAY);
    if (strstr(path, begin) && strstr(path, ".seg"))
        snprintf(out, FOLDER_MAX, "%s", path);
}

/* Flips a bit of the page of ids. */
static void damage_ids(const struct fixture *f)
{
    char path[FOLDER_MAX] = "";
    struct segment *segment;
    struct err err = {0};
    uint8_t byte;
    folder_each(f->path, first_block, path);
    assert_true(segment_open(path, NULL, &segment, &err));
    const struct page_index *index = &segment->index;
    off_t at = (off_t)index->pages[index->types[PAGE_IDS].begin].offset + PAGE_HEADER_BYTES;
    segment_put(&segment);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    ensure(fd >= 0 && pread(fd, &byte, 1, at) == 1);
    byte ^= 1;
    ensure(pwrite(fd, &byte, 1, at) == 1);
    close(fd);
}

static void repair(const struct fixture *f)
{
    struct verify_result result;
    struct err err = {0};
    assert_true(store_verify(f->path, true, NULL, &result, &err));
    assert_int_equal(result.damaged, 1);
    assert_int_equal(result.repaired, 1);
}

static void series_are_found_after_a_compaction(void **state)
{
    struct fixture f;
    struct verify_result result;
    struct err err = {0};
    (void)state;
    folder_make("lost-ids", f.folder);
    snprintf(f.path, sizeof f.path, "%.400s/store", f.folder);
    struct store *store = open_store(&f);
    append(store, MANY - 1, MANY, DAY + HOUR);
    maintain(store, DAY + 2 * HOUR);
    append(store, 0, MANY, DAY + 3 * HOUR);
    maintain(store, DAY + 4 * HOUR);
    assert_int_equal(first_sum(store), 14);
    store_close(&store);
    damage_ids(&f);
    repair(&f);
    store = open_store(&f);
    assert_int_equal(first_sum(store), 14);
    maintain(store, DAY + 48 * HOUR);
    assert_int_equal(first_sum(store), 14);
    store_close(&store);
    store = open_store(&f);
    assert_int_equal(first_sum(store), 14);
    store_close(&store);
    assert_true(store_verify(f.path, false, NULL, &result, &err));
    assert_int_equal(result.damaged, 0);
    folder_remove(f.folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(series_are_found_after_a_compaction)};
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
