/*
 * Segments that are damaged, missing or unreadable: at the start, in maintenance; what readers are
 * told, and what goes on. Reads that fail are this program's own: pread stands in front of the C
 * library's.
 */
#include "store/read.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "store/compact.h"
#include "store/files.h"
#include "store/store_priv.h"
#include "tests/store/support/folder.h"

#define BLOCK INT64_C(7200000)
#define EVERY 600000

struct fixture {
    char dir[64];
    struct store *store;
    struct store_options options;
};

/* What the disk does not give: bytes from `from` on of the file with this in its path. */
static struct {
    char name[PATH_BYTES];
    off_t from, to;
} unreadable;

ssize_t pread(int fd, void *to, size_t n, off_t at)
{
    char link[64], path[PATH_BYTES];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = unreadable.name[0] ? readlink(link, path, sizeof path - 1) : 0;
    path[len > 0 ? len : 0] = 0;
    if (len > 0 && strstr(path, unreadable.name) && at >= unreadable.from && at < unreadable.to) {
        errno = EIO;
        return -1;
    }
    return syscall(SYS_pread64, fd, to, n, at);
}

static struct metric_def counter = {
    .name = {"m_total", 7}, .kind = KIND_COUNTER, .every_ms = EVERY};

static void open_store(struct fixture *f)
{
    struct err err = {0};
    f->options.path = f->dir;
    if (!store_open(&f->options, &f->store, &err))
        fail_msg("%s", err.text);
}

static void maintain(struct fixture *f, int64_t passed)
{
    struct err err = {0};
    if (!store_maintain(f->store, passed, &err))
        fail_msg("%s", err.text);
}

static struct metric_def level = {.name = {"open", 4}, .kind = KIND_LEVEL, .every_ms = EVERY};

/* One each, every ten minutes in (from, to]: two series. */
static void fill(struct fixture *f, int64_t from, int64_t to)
{
    const struct metric_def *defs[] = {&counter, &level};
    struct err err = {0};
    struct txn *txn = txn_begin(f->store);
    for (int i = 0; i < 2; i++) {
        struct label l = {SLICE("__name__"), defs[i]->name};
        uint32_t metric, id;
        assert_true(txn_metric(txn, defs[i], &metric, &err));
        assert_true(txn_series(txn, metric, (struct labels){&l, 1}, &id, &err));
        for (int64_t t = from + EVERY; t <= to; t += EVERY)
            txn_add(txn, id, t, 1);
    }
    assert_true(txn_commit(&txn, NULL, &err));
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    memset(&unreadable, 0, sizeof unreadable);
    folder_new("quarantine", f->dir, sizeof f->dir);
    open_store(f);
    fill(f, 0, DAY_MS);
    maintain(f, DAY_MS - 1); /* eleven blocks, not compacted */
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

struct question {
    int64_t from, to, resolution;
    bool opening; /* of the level, at `to`; else the sum of the counter */
    bool partial;
};

/* The answer, or -1 and the error. *missing says what a partial answer lacks. */
static int64_t ask(struct fixture *f, const struct question *q, char missing[512], struct err *err)
{
    struct matcher all = {
        MATCH_EQUAL, SLICE("__name__"), q->opening ? level.name : counter.name, NULL};
    struct snapshot *s = snapshot_get(f->store);
    struct plan *plan;
    struct arena arena;
    struct columns c;
    int128 n = 0;
    arena_init(&arena, 0);
    if (q->partial)
        snapshot_partial(s);
    assert_true(plan_new(s, NULL, &all, 1, NULL, &plan, err));
    assert_int_equal(plan_n(plan), 1);
    if (q->opening)
        assert_true(plan_opening(plan, 0, q->to, err));
    else
        plan_range(plan, 0, q->from, q->to);
    if (q->resolution)
        plan_resolution(plan, 0, q->resolution);
    if (!snapshot_fetch(s, NULL, NULL, err)) {
        n = -1;
    } else if (q->opening) {
        assert_true(plan_opening_sum(plan, 0, &arena, &n, err));
    } else {
        assert_true(plan_columns(plan, 0, &arena, &c, err));
        for (size_t i = 0; i < c.n; i++)
            n += c.amount[i];
        size_t lacks;
        const struct read_warning *w = snapshot_warnings(s, &lacks);
        char text[ERR_TEXT_MAX + ERR_FILE_MAX];
        snprintf(missing, 512, "%.511s", lacks ? err_format(&w->err, text, sizeof text) : "");
    }
    snapshot_put(&s);
    arena_fini(&arena);
    return (int64_t)n;
}

static int64_t sum(
    struct fixture *f, int64_t from, int64_t to, bool partial, char missing[512], struct err *err)
{
    return ask(f, &(struct question){.from = from, .to = to, .partial = partial}, missing, err);
}

/* The first day in a resolution; -1: an error, which names the segment. */
static int64_t coarse(struct fixture *f, int64_t resolution, const char *name)
{
    char missing[512];
    struct err err = {0};
    int64_t n = ask(f, &(struct question){.to = DAY_MS, .resolution = resolution}, missing, &err);
    if (n < 0 && !strstr(err.text, name))
        fail_msg("%s", err.text);
    return n;
}

static int64_t opening(struct fixture *f, int64_t at, const char *name)
{
    char missing[512];
    struct err err = {0};
    int64_t n = ask(f, &(struct question){.to = at, .opening = true}, missing, &err);
    if (n < 0 && !strstr(err.text, name))
        fail_msg("%s", err.text);
    return n;
}

static struct store_stats stats_of(struct fixture *f)
{
    struct store_stats stats;
    store_stats(f->store, &stats);
    return stats;
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

/* ---- missing, or unreadable ---- */

static void test_one_that_is_missing(void **state)
{
    struct fixture *f = *state;
    char path[PATH_BYTES], name[PATH_BYTES];
    find(f, "7200000-", path, name);
    store_close(&f->store);
    assert_int_equal(unlink(path), 0);
    for (int round = 0; round < 2; round++) {
        open_store(f);
        check_set_aside(f, name);
        maintain(f, DAY_MS);
        check_set_aside(f, name);
        store_close(&f->store);
    }
    open_store(f);
}

/* It counts, so the next start has it again; until then its window is left as it is. */
static void test_one_that_the_disk_does_not_give(void **state)
{
    struct fixture *f = *state;
    char path[PATH_BYTES], name[PATH_BYTES], missing[512];
    struct err err = {0};
    find(f, "7200000-", path, name);
    fill(f, DAY_MS, 2 * DAY_MS);
    store_close(&f->store);
    strcpy(unreadable.name, name);
    unreadable.to = INT64_MAX;
    open_store(f);
    check_set_aside(f, name);
    assert_int_equal(stats_of(f).unreadable_windows, 1);
    maintain(f, 2 * DAY_MS);
    check_set_aside(f, name);
    assert_int_equal(stats_of(f).segments - stats_of(f).derived_segments, 11 + 1);
    store_close(&f->store);
    unreadable.name[0] = 0;
    open_store(f);
    assert_int_equal(stats_of(f).quarantined, 0);
    assert_int_equal(stats_of(f).unreadable_windows, 0);
    assert_int_equal(sum(f, 0, 2 * DAY_MS, false, missing, &err), 288);
    maintain(f, 2 * DAY_MS);
    assert_int_equal(stats_of(f).segments - stats_of(f).derived_segments, 2);
    assert_int_equal(sum(f, 0, 2 * DAY_MS, false, missing, &err), 288);
}

/* A page that the disk does not give: the window waits, the rest goes on; it is tried again, and
 * all is well when the disk is. */
static void test_a_page_that_the_disk_does_not_give(void **state)
{
    struct fixture *f = *state;
    char path[PATH_BYTES], name[PATH_BYTES], missing[512];
    struct err err = {0};
    find(f, "7200000-", path, name);
    store_close(&f->store);
    open_store(f);
    strcpy(unreadable.name, name);
    unreadable.from = 64;
    unreadable.to = 65;
    for (int day = 1; day < 4; day++) {
        fill(f, day * DAY_MS, (day + 1) * DAY_MS);
        maintain(f, (day + 1) * DAY_MS);
        assert_int_equal(stats_of(f).compactions, day);
        assert_int_equal(stats_of(f).unreadable_windows, 1);
        assert_int_equal(stats_of(f).debt_segments, 0);
        assert_int_equal(stats_of(f).quarantined, 0);
    }
    assert_int_equal(sum(f, 0, 4 * DAY_MS, false, missing, &err), -1);
    assert_int_equal(err.code, ERR_IO);
    unreadable.name[0] = 0;
    assert_int_equal(sum(f, 0, 4 * DAY_MS, false, missing, &err), 4 * 144);
    for (int i = 0; i < 100 && stats_of(f).unreadable_windows; i++)
        maintain(f, 4 * DAY_MS);
    assert_int_equal(stats_of(f).unreadable_windows, 0);
    assert_int_equal(stats_of(f).compactions, 4);
    assert_int_equal(sum(f, 0, 4 * DAY_MS, false, missing, &err), 4 * 144);
}

/* ---- derived segments ---- */

/* Damages the footers of the segments of the first day that are, or are not, derived, and opens the
 * store anew. The name of one of them is in `name`. */
static size_t damage_day(struct fixture *f, bool derived, int64_t resolution, char *name)
{
    char paths[8][PATH_BYTES];
    size_t n = 0, before = f->store->n_quarantined;
    for (size_t i = 0; i < f->store->n_segments && n < 8; i++) {
        const struct attached *a = &f->store->segments[i];
        const struct segment_info *info = segment_info(a->segment);
        if (a->derived != derived || info->t0 != 0 ||
            (resolution && info->resolution_ms != resolution))
            continue;
        snprintf(paths[n++], PATH_BYTES, "%s/seg/%s", f->dir, info->name);
        strcpy(name, info->name);
    }
    store_close(&f->store);
    for (size_t i = 0; i < n; i++)
        damage(paths[i], 20, true);
    open_store(f);
    assert_int_equal(stats_of(f).quarantined, before + n);
    return n;
}

/* Derived segments hold every cell of a raw one that was damaged later: who reads them lacks
 * nothing. Late cells are added to them. */
static void test_a_raw_one_that_derived_ones_have(void **state)
{
    struct fixture *f = *state;
    char name[SEGMENT_NAME_MAX] = "", missing[512];
    struct err err = {0};
    maintain(f, DAY_MS);
    assert_int_equal(damage_day(f, false, 0, name), 1);
    for (int round = 0; round < 2; round++) {
        int64_t late = round * 6;
        assert_int_equal(sum(f, 0, DAY_MS, false, missing, &err), -1);
        assert_int_equal(err.code, ERR_CORRUPT);
        assert_int_equal(coarse(f, RESOLUTION_1H, name), 144 + late);
        assert_int_equal(opening(f, DAY_MS, name), 144 + late);
        assert_int_equal(opening(f, 2 * DAY_MS, name), 144 + late);
        fill(f, 0, BLOCK / 2);
        maintain(f, 3 * DAY_MS);
        assert_int_equal(coarse(f, RESOLUTION_1H, name), 144 + late + 6);
        store_close(&f->store);
        open_store(f);
    }
}

/* What is derived after a raw segment was set aside lacks its cells, and says so. */
static void test_derived_without_a_raw_one(void **state)
{
    struct fixture *f = *state;
    char path[PATH_BYTES], name[PATH_BYTES];
    find(f, "7200000-", path, name);
    store_close(&f->store);
    damage(path, 20, true);
    open_store(f);
    maintain(f, DAY_MS);
    assert_int_equal(stats_of(f).derived_segments, 2);
    assert_int_equal(coarse(f, RESOLUTION_1H, name), -1);
    assert_int_equal(opening(f, DAY_MS, name), -1);
}

/* What was set aside goes with its age, and with it what readers are told. */
static void test_age(void **state)
{
    struct fixture *f = *state;
    char name[SEGMENT_NAME_MAX] = "", path[PATH_BYTES];
    maintain(f, DAY_MS);
    f->options.retention.raw_ms = DAY_MS;
    damage_day(f, false, 0, name);
    snprintf(path, sizeof path, "%s/seg/%s", f->dir, name);
    assert_int_equal(access(path, F_OK), 0);
    fill(f, 3 * DAY_MS, 4 * DAY_MS);
    maintain(f, 4 * DAY_MS);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(stats_of(f).quarantined, 0);
        assert_int_equal(coarse(f, RESOLUTION_1H, name), 144);
        assert_int_equal(coarse(f, 0, name), 0);
        assert_int_equal(opening(f, DAY_MS, name), 144);
        assert_int_not_equal(access(path, F_OK), 0);
        store_close(&f->store);
        open_store(f);
    }
}

/* A derived segment that is damaged is made anew, as long as there are raw cells. */
static void test_a_derived_one_with_raw_cells(void **state)
{
    struct fixture *f = *state;
    char name[SEGMENT_NAME_MAX] = "";
    maintain(f, DAY_MS);
    assert_int_equal(damage_day(f, true, 0, name), 2);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(coarse(f, RESOLUTION_1H, name), 144);
        assert_int_equal(opening(f, DAY_MS, name), 144);
        maintain(f, DAY_MS);
        assert_int_equal(stats_of(f).quarantined, 0);
        assert_int_equal(stats_of(f).derived_segments, 2);
        store_close(&f->store);
        open_store(f);
    }
}

/* Without raw cells it is an error of who reads it, and of nobody else. */
static void test_a_derived_one_that_is_all_there_is(void **state)
{
    struct fixture *f = *state;
    char name[SEGMENT_NAME_MAX] = "", missing[512];
    struct err err = {0};
    f->options.retention.raw_ms = DAY_MS;
    store_close(&f->store);
    open_store(f);
    fill(f, 3 * DAY_MS, 4 * DAY_MS);
    maintain(f, 4 * DAY_MS);
    assert_int_equal(coarse(f, RESOLUTION_1H, name), 144);
    damage_day(f, true, RESOLUTION_1D, name);
    assert_int_equal(coarse(f, RESOLUTION_1H, name), 144);
    assert_int_equal(opening(f, DAY_MS, name), 144);
    damage_day(f, true, RESOLUTION_1H, name);
    strcpy(name, "0-86400000."); /* nobody knows which of the two it was */
    assert_int_equal(coarse(f, RESOLUTION_1H, name), -1);
    assert_int_equal(coarse(f, 0, name), 0);
    assert_int_equal(opening(f, DAY_MS, name), -1);
    const struct question partial = {
        .to = 4 * DAY_MS, .resolution = RESOLUTION_1H, .partial = true};
    assert_int_equal(ask(f, &partial, missing, &err), 144);
    assert_non_null(strstr(missing, "0-86400000."));
    maintain(f, 4 * DAY_MS);
    assert_int_equal(coarse(f, RESOLUTION_1H, name), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_that_does_not_open, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_that_compaction_cannot_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_that_is_missing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_that_the_disk_does_not_give, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_page_that_the_disk_does_not_give, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_raw_one_that_derived_ones_have, setup, teardown),
        cmocka_unit_test_setup_teardown(test_derived_without_a_raw_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_age, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_derived_one_with_raw_cells, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_derived_one_that_is_all_there_is, setup, teardown),
    };
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
