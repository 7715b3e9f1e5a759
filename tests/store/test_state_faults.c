/* State tables where things go wrong at an unlucky moment: a generation that is dropped and begun
 * anew while another is flushed, a damaged page of a run. */
#include "store/state/state.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/compact.h"
#include "store/state/run_layout.h"
#include "store/store.h"
#include "tests/store/support/folder.h"

#define STATE_MEMORY (200 << 10)

static const struct metric_def counter = {
    .name = {"m_total", 7}, .kind = KIND_COUNTER, .every_ms = 60000};

struct fixture {
    char folder[FOLDER_MAX], path[FOLDER_MAX], copy[FOLDER_MAX];
    struct store *store;
    uint32_t table;
};

/* What a sync is to be interrupted by, once. */
static struct fixture *interrupted;
static void (*interrupt)(struct fixture *f);

int fsync(int fd)
{
    void (*call)(struct fixture *) = interrupt;
    interrupt = NULL;
    if (call)
        call(interrupted);
    return (int)syscall(SYS_fsync, fd);
}

static struct hash128 key(int64_t generation, int64_t i)
{
    int64_t both[2] = {generation, i};
    return hash128(both, sizeof both);
}

static void put(struct fixture *f, int64_t generation, int64_t from, int64_t n, bool drop)
{
    struct err err = {0};
    struct txn *txn = txn_begin(f->store);
    assert_true(txn_state_table(txn, SLICE("ids"), 8, &f->table, &err));
    if (drop)
        txn_state_drop(txn, f->table, generation);
    for (int64_t i = from; i < from + n; i++)
        txn_state_put(txn, f->table, generation, key(generation, i), &i);
    if (!txn_commit(&txn, NULL, &err))
        fail_msg("%s", err.text);
}

static void count_up(struct fixture *f, int64_t end_ms)
{
    struct err err = {0};
    struct txn *txn = txn_begin(f->store);
    struct label l = {SLICE("__name__"), counter.name};
    uint32_t metric, id;
    assert_true(txn_metric(txn, &counter, &metric, &err));
    assert_true(txn_series(txn, metric, (struct labels){&l, 1}, &id, &err));
    txn_add(txn, id, end_ms, 1);
    assert_true(txn_commit(&txn, NULL, &err));
}

static size_t found(struct fixture *f, int64_t generation, int64_t from, int64_t n)
{
    struct err err = {0};
    size_t count = 0;
    for (int64_t i = from; i < from + n; i++) {
        bool there;
        assert_true(store_state_get(
            f->store, f->table, generation, key(generation, i), NULL, &there, &err));
        count += there;
    }
    return count;
}

static struct store *open_at(const char *path)
{
    struct store_options options = {.path = path, .state_bytes = STATE_MEMORY};
    struct store *store;
    struct err err = {0};
    if (!store_open(&options, &store, &err))
        fail_msg("%s", err.text);
    return store;
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    folder_make("state-faults", f->folder);
    snprintf(f->path, sizeof f->path, "%.400s/store", f->folder);
    snprintf(f->copy, sizeof f->copy, "%.400s/copy", f->folder);
    f->store = open_at(f->path);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    interrupt = NULL;
    store_close(&f->store);
    folder_remove(f->folder);
    free(f);
    return 0;
}

/* ---- dropped meanwhile ---- */

static void begin_2_anew(struct fixture *f)
{
    put(f, 2, 1000000, 4000, true);
}

static void begin_1_anew(struct fixture *f)
{
    put(f, 1, 1000000, 4000, true);
}

static void expect_anew(struct fixture *f, int64_t generation)
{
    assert_int_equal(found(f, generation, 0, 7000), 0);
    assert_int_equal(found(f, generation, 1000000, 4000), 4000);
}

/* The step that is interrupted flushes generation 1; seen as it is, after a crash and later on. */
static void interrupted_flush(struct fixture *f, void (*by)(struct fixture *), int64_t generation)
{
    struct err err = {0};
    bool more;
    put(f, 2, 0, 7000, false);
    assert_true(store_maintain(f->store, 0, &err));
    put(f, 1, 0, 7000, false);
    interrupted = f;
    interrupt = by;
    if (!store_maintain_step(f->store, 0, &more, &err))
        fail_msg("%s", err.text);
    assert_null(interrupt);
    expect_anew(f, generation);
    folder_copy(f->path, f->copy);
    struct store *live = f->store;
    f->store = open_at(f->copy);
    expect_anew(f, generation);
    store_close(&f->store);
    f->store = live;
    assert_true(store_maintain(f->store, 0, &err));
    expect_anew(f, generation);
    store_close(&f->store);
    f->store = open_at(f->path);
    expect_anew(f, generation);
}

static void another_generation_begins_anew_during_a_flush(void **state)
{
    interrupted_flush(*state, begin_2_anew, 2);
}

static void the_generation_itself_begins_anew_during_its_flush(void **state)
{
    interrupted_flush(*state, begin_1_anew, 1);
}

/* ---- damage ---- */

static void damage_a_run(void *ctx, const char *path)
{
    bool *done = ctx;
    uint8_t byte;
    if (*done || !strstr(path, ".run"))
        return;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    ensure(fd >= 0 && pread(fd, &byte, 1, RUN_HEADER_BYTES + 1000) == 1);
    byte ^= 1;
    ensure(pwrite(fd, &byte, 1, RUN_HEADER_BYTES + 1000) == 1);
    close(fd);
    *done = true;
}

static void a_damaged_page_leaves_the_rest_of_maintenance_alone(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    struct store_stats stats;
    bool done = false;
    put(f, 1, 0, 9000, false);
    assert_true(store_maintain(f->store, 0, &err));
    folder_each(f->path, damage_a_run, &done);
    assert_true(done);
    for (int64_t i = 1; i <= 60; i++) {
        put(f, i <= 5 ? 1 : i, i * 100000, 9000, false);
        count_up(f, i * 3600000);
        if (!store_maintain(f->store, (i - 1) * 3600000, &err))
            fail_msg("%s", err.text);
    }
    store_stats(f->store, &stats);
    assert_int_equal(stats.state_damaged, 1);
    assert_true(stats.compactions >= 2);
    assert_true(stats.derived_segments >= 2);
    assert_int_equal(found(f, 40, 40 * 100000, 9000), 9000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(another_generation_begins_anew_during_a_flush),
        TEST(the_generation_itself_begins_anew_during_its_flush),
        TEST(a_damaged_page_leaves_the_rest_of_maintenance_alone),
    };
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests_name("state_faults", tests, NULL, NULL);
}
