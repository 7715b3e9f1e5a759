/* Damaged segments are set aside: at the start, by compaction; what readers are told. */
#include "store/read.h"
#include "store/store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "store/compact.h"
#include "store/files.h"

#define BLOCK INT64_C(7200000)
#define EVERY 600000

struct fixture {
    char dir[64];
    struct store *store;
};

static struct metric_def counter = {
    .name = {"m_total", 7}, .kind = KIND_COUNTER, .every_ms = EVERY};

static void open_store(struct fixture *f)
{
    struct store_options options = {.path = f->dir};
    struct err err = {0};
    if (!store_open(&options, &f->store, &err))
        fail_msg("%s", err.text);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct err err = {0};
    snprintf(f->dir, sizeof f->dir, "/tmp/larder-quarantine-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    open_store(f);
    struct txn *txn = txn_begin(f->store);
    struct label l = {SLICE("__name__"), counter.name};
    uint32_t metric, id;
    assert_true(txn_metric(txn, &counter, &metric, &err));
    assert_true(txn_series(txn, metric, (struct labels){&l, 1}, &id, &err));
    for (int64_t t = EVERY; t <= DAY_MS; t += EVERY)
        txn_add(txn, id, t, 1);
    assert_true(txn_commit(&txn, NULL, &err));
    assert_true(store_maintain(f->store, DAY_MS - 1, &err)); /* eleven blocks, not compacted */
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char cmd[128];
    store_close(&f->store);
    snprintf(cmd, sizeof cmd, "rm -rf %s", f->dir);
    assert_int_equal(system(cmd), 0);
    free(f);
    return 0;
}

struct found {
    char dir[PATH_BYTES], name[PATH_BYTES];
    const char *prefix;
};

static bool find_entry(void *ctx, const char *name, struct err *err)
{
    struct found *found = ctx;
    (void)err;
    if (strncmp(name, found->prefix, strlen(found->prefix)) == 0)
        snprintf(found->name, sizeof found->name, "%s", name);
    return true;
}

/* The path of the segment whose name begins so. */
static void find(const struct fixture *f, const char *prefix, char path[PATH_BYTES], char *name)
{
    struct found found = {.prefix = prefix};
    struct err err = {0};
    assert_true(path_join(found.dir, f->dir, "seg", &err));
    assert_true(dir_each(found.dir, find_entry, &found, &err));
    assert_true(found.name[0]);
    assert_true(path_join(path, found.dir, found.name, &err));
    strcpy(name, found.name);
}

/* Flips a bit; from_end: counted from the end of the file. */
static void damage(const char *path, off_t at, bool from_end)
{
    struct stat st;
    uint8_t byte;
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    at = from_end ? st.st_size - at : at;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

/* The sum over (from, to], or -1 and the error. *missing says what a partial answer lacks. */
static int64_t sum(
    struct fixture *f, int64_t from, int64_t to, bool partial, char missing[512], struct err *err)
{
    struct matcher all = {MATCH_EQUAL, SLICE("__name__"), SLICE("m_total"), NULL};
    struct snapshot *s = snapshot_get(f->store);
    struct plan *plan;
    struct arena arena;
    struct columns c;
    int64_t n = 0;
    arena_init(&arena, 0);
    if (partial)
        snapshot_partial(s);
    assert_true(plan_new(s, NULL, &all, 1, NULL, &plan, err));
    assert_int_equal(plan_n(plan), 1);
    plan_range(plan, 0, from, to);
    if (!snapshot_fetch(s, NULL, NULL, err)) {
        n = -1;
    } else {
        assert_true(plan_columns(plan, 0, &arena, &c, err));
        for (size_t i = 0; i < c.n; i++)
            n += (int64_t)c.amount[i];
        size_t lacks;
        const struct read_warning *w = snapshot_warnings(s, &lacks);
        char text[ERR_TEXT_MAX + ERR_FILE_MAX];
        snprintf(missing, 512, "%.511s", lacks ? err_format(&w->err, text, sizeof text) : "");
    }
    snapshot_put(&s);
    arena_fini(&arena);
    return n;
}

static void check_set_aside(struct fixture *f, const char *name)
{
    char missing[512] = "";
    struct err err = {0};
    struct store_stats stats;
    store_stats(f->store, &stats);
    assert_int_equal(stats.quarantined, 1);
    assert_int_equal(sum(f, 0, DAY_MS, false, missing, &err), -1);
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_non_null(strstr(err.text, name));
    assert_int_equal(sum(f, 0, DAY_MS, true, missing, &err), 144 - 12);
    assert_non_null(strstr(missing, name));
    assert_int_equal(sum(f, 2 * BLOCK, DAY_MS, false, missing, &err), 144 - 24);
    assert_string_equal(missing, "");
}

static void test_one_that_does_not_open(void **state)
{
    struct fixture *f = *state;
    char path[PATH_BYTES], name[PATH_BYTES];
    struct err err = {0};
    find(f, "7200000-", path, name);
    store_close(&f->store);
    damage(path, 20, true);
    for (int round = 0; round < 3; round++) {
        open_store(f);
        check_set_aside(f, name);
        if (round == 1) /* compaction goes on without it */
            assert_true(store_maintain(f->store, DAY_MS, &err));
        check_set_aside(f, name);
        assert_int_equal(access(path, F_OK), 0);
        store_close(&f->store);
    }
    open_store(f);
}

static void test_one_that_compaction_cannot_read(void **state)
{
    struct fixture *f = *state;
    char path[PATH_BYTES], name[PATH_BYTES], missing[512];
    struct err err = {0};
    struct store_stats stats;
    find(f, "7200000-", path, name);
    store_close(&f->store); /* a segment that is open may have the page in its cache */
    damage(path, 64 + 16, false);
    open_store(f);
    store_stats(f->store, &stats);
    assert_int_equal(stats.quarantined, 0);
    assert_int_equal(sum(f, 0, DAY_MS, false, missing, &err), -1);
    assert_int_equal(sum(f, 0, DAY_MS, true, missing, &err), 144 - 12);
    assert_non_null(strstr(missing, name));
    assert_true(store_maintain(f->store, DAY_MS, &err));
    check_set_aside(f, name);
    store_stats(f->store, &stats);
    assert_int_equal(stats.segments - stats.derived_segments, 1);
    assert_int_equal(access(path, F_OK), 0);
    store_close(&f->store);
    open_store(f);
    check_set_aside(f, name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_that_does_not_open, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_that_compaction_cannot_read, setup, teardown),
    };
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
