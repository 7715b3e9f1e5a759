/*
 * Logs as earlier versions wrote them, kept under tests/golden/: a start reads from each what is
 * written below.
 *
 *     log-vN.wal   a transaction that defines; one with clocks alone; a group of a plain one and
 *                  one with clocks and sources; a late cell
 *
 * Run from the root of the tree. With LARDER_WRITE_GOLDEN set it writes that of this version first:
 * for a new version's file only.
 */
#include "store/read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/store.h"

#include <stdatomic.h>

#include "store/commit.h"
#include "store/wal_priv.h"
#include "tests/store/support/folder.h"

#define BLOCK INT64_C(7200000)
/* In the hundredth block, and in one that only a late cell touches. */
#define T       (100 * BLOCK + 5000)
#define LATE    (90 * BLOCK + 5000)
#define STR_(x) #x
#define STR(x)  STR_(x)

static struct metric_def orders = {.name = {"orders_total", 12},
    .kind = KIND_COUNTER,
    .every_ms = 5000,
    .stale_after_ms = 3600000,
    .clock = {"orders", 6},
    .help = {"Orders.", 7}};

struct fixture {
    char dir[64];
    struct store *store;
    struct store_options options;
    atomic_bool go;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    folder_new("golden", f->dir, sizeof f->dir);
    f->options = (struct store_options){.path = f->dir, .wal_file_bytes = 4096};
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

static void open_store(struct fixture *f)
{
    struct err err = {0};
    if (!store_open(&f->options, &f->store, &err))
        fail_msg("%s", err.text);
}

/* ---- writing ---- */

static void add(struct txn *txn, const char *market, int64_t end, int amount)
{
    uint32_t metric, id;
    struct err err = {0};
    struct label l[2] = {{SLICE("__name__"), orders.name}, {SLICE("market"), slice_from(market)}};
    assert_true(txn_metric(txn, &orders, &metric, &err));
    assert_true(txn_series(txn, metric, (struct labels){l, 2}, &id, &err));
    assert_true(txn_add(txn, id, end, amount));
}

static void commit(struct txn *txn)
{
    struct err err = {0};
    if (!txn_commit(&txn, NULL, &err))
        fail_msg("%s", err.text);
}

static void write_group(struct store *store)
{
    struct err err = {0};
    struct txn *plain = txn_begin(store);
    add(plain, "vienna", T + 5000, 4);
    assert_true(txn_make_ready(plain, &err));
    struct txn *more = txn_begin(store);
    add(more, "graz", T + 5000, 8);
    assert_true(txn_clock(more, SLICE("orders"), T + 9000, T + 5000));
    assert_true(txn_clock(more, SLICE("fridges"), T, INT64_MIN));
    assert_true(txn_source(more, SLICE("orders/0"), 17, T + 9000, SLICE("state")));
    assert_true(txn_make_ready(more, &err));
    assert_true(txn_finish(&plain, NULL, &err));
    assert_true(txn_finish(&more, NULL, &err));
}

static void write_log(struct fixture *f, const char *golden)
{
    char path[PATH_BYTES];
    open_store(f);
    struct txn *txn = txn_begin(f->store);
    add(txn, "vienna", T, 1);
    assert_true(txn_clock(txn, SLICE("orders"), T + 1000, INT64_MIN));
    commit(txn);
    txn = txn_begin(f->store);
    assert_true(txn_clock(txn, SLICE("orders"), T + 2000, T));
    commit(txn);
    write_group(f->store);
    txn = txn_begin(f->store);
    add(txn, "graz", LATE, 2);
    commit(txn);
    assert_true(path_join(path, f->dir, "wal/00000001.wal", NULL));
    struct content c = content_of(path);
    while (c.len > 0 && c.ptr[c.len - 1] == 0)
        c.len--;
    content_put(golden, c.ptr, c.len);
    free(c.ptr);
    store_close(&f->store);
    folder_remove(f->dir);
    assert_int_equal(mkdir(f->dir, 0777), 0);
}

/* ---- reading ---- */

static int64_t total(struct store *store, int64_t from, int64_t to)
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
    assert_int_equal(plan_n(plan), 2);
    for (size_t i = 0; i < plan_n(plan); i++)
        plan_range(plan, i, from, to);
    if (!snapshot_fetch(s, NULL, NULL, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < plan_n(plan); i++) {
        assert_true(plan_columns(plan, i, &arena, &c, &err));
        for (size_t k = 0; k < c.n; k++)
            sum += c.amount[k];
    }
    arena_fini(&arena);
    snapshot_put(&s);
    return (int64_t)sum;
}

static void check_clock(struct store *store, struct slice name, int64_t frontier, int64_t watermark)
{
    int64_t a, b;
    struct snapshot *s = snapshot_get(store);
    assert_true(snapshot_clock(s, name, &a, &b));
    assert_true(a == frontier && b == watermark);
    snapshot_put(&s);
}

static void check_content(struct store *store)
{
    struct source_state *source = calloc(1, sizeof *source);
    struct store_stats stats;
    check_clock(store, SLICE("orders"), T + 9000, T + 5000);
    check_clock(store, SLICE("fridges"), T, INT64_MIN);
    assert_int_equal(total(store, T - 5000, T), 1);
    assert_int_equal(total(store, T, T + 5000), 12);
    assert_int_equal(total(store, LATE - 5000, LATE), 2);
    assert_int_equal(total(store, INT64_MIN, INT64_MAX), 15);
    assert_true(store_source(store, SLICE("orders/0"), source));
    assert_true(source->next == 17 && source->newest_ms == T + 9000 && source->state_len == 5);
    store_stats(store, &stats);
    assert_int_equal(stats.lsn, 5);
    free(source);
}

static void hold(void *ctx, uint64_t lsn, uint64_t last)
{
    struct fixture *f = ctx;
    (void)lsn, (void)last;
    while (!atomic_load(&f->go))
        usleep(500);
}

/* The first pass knows where the clocks stand, from the fronts or from the payloads. */
static void check_early(struct fixture *f)
{
    struct store_stats stats;
    f->options.answer_early = true;
    f->options.replayed = hold;
    f->options.replayed_ctx = f;
    open_store(f);
    check_clock(f->store, SLICE("orders"), T + 9000, T + 5000);
    check_clock(f->store, SLICE("fridges"), T, INT64_MIN);
    assert_int_equal(total(f->store, 95 * BLOCK, 99 * BLOCK), 0); /* between the blocks */
    store_stats(f->store, &stats);
    assert_true(stats.replaying && stats.lsn == 5);
    atomic_store(&f->go, true);
}

static void read_log(struct fixture *f, const char *golden)
{
    char path[PATH_BYTES];
    if (getenv("LARDER_WRITE_GOLDEN") && strstr(golden, "-v" STR(WAL_VERSION) "."))
        write_log(f, golden);
    open_store(f); /* makes the folder a store's */
    store_close(&f->store);
    assert_true(path_join(path, f->dir, "wal/00000001.wal", NULL));
    struct content c = content_of(golden);
    content_put(path, c.ptr, c.len);
    free(c.ptr);
    check_early(f);
    check_content(f->store);
    store_close(&f->store);
    open_store(f); /* from the checkpoint */
    check_content(f->store);
}

static void test_version_3(void **state)
{
    read_log(*state, "tests/golden/log-v3.wal");
}

static void test_version_4(void **state)
{
    read_log(*state, "tests/golden/log-v4.wal");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_version_3, setup, teardown),
        cmocka_unit_test_setup_teardown(test_version_4, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
