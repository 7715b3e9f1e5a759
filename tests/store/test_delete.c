/* Deletion: what was deleted is not seen, not counted, and in no file; what came later is. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/log.h"
#include "store/compact.h"
#include "store/delete.h"
#include "store/files.h"
#include "store/read.h"
#include "store/store.h"
#include "tests/store/support/folder.h"

#define BLOCK 7200000

/* The sync that fails, counted from 1; 0: none. It stands in front of the C library's. */
static int failing_sync;

int fsync(int fd)
{
    if (failing_sync > 0 && --failing_sync == 0) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

struct fixture {
    char dir[64];
    struct store *store;
    struct store_options options;
};

static struct metric_def visits = {
    .name = {"visits_total", 12}, .kind = KIND_COUNTER, .every_ms = 5000};

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
    folder_new("delete", f->dir, sizeof f->dir);
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

static uint32_t series_of(struct txn *txn, const struct metric_def *def, const char *who)
{
    struct label l[2] = {{SLICE("__name__"), def->name}, {SLICE("who"), slice_from(who)}};
    uint32_t metric, id;
    struct err err = {0};
    assert_true(txn_metric(txn, def, &metric, &err));
    assert_true(txn_series(txn, metric, (struct labels){l, 2}, &id, &err));
    return id;
}

static void add(struct fixture *f, const char *who, int64_t end, int amount)
{
    struct txn *txn = txn_begin(f->store);
    struct err err = {0};
    txn_add(txn, series_of(txn, &visits, who), end, amount);
    assert_true(txn_commit(&txn, NULL, &err));
}

static bool count_series(void *ctx, struct labels labels, const struct metric_def *def)
{
    (void)labels;
    (void)def;
    ++*(int *)ctx;
    return true;
}

static struct matcher is(const char *who)
{
    return (struct matcher){MATCH_EQUAL, SLICE("who"), slice_from(who), NULL};
}

/* The sum of the cells; -1 when the series is not there at all. */
static int64_t total(struct fixture *f, const char *who)
{
    struct matcher m = is(who);
    struct snapshot *s = snapshot_get(f->store);
    struct plan *plan;
    struct columns c = {0};
    struct arena arena;
    struct err err = {0};
    int64_t sum = 0;
    int listed = 0;
    arena_init(&arena, 0);
    assert_true(plan_new(s, NULL, &m, 1, NULL, &plan, &err));
    for (size_t i = 0; i < plan_n(plan); i++)
        plan_range(plan, i, INT64_MIN, INT64_MAX);
    assert_true(snapshot_fetch(s, NULL, NULL, &err));
    for (size_t i = 0; i < plan_n(plan); i++) {
        assert_true(plan_columns(plan, i, &arena, &c, &err));
        for (size_t k = 0; k < c.n; k++)
            sum += (int64_t)c.amount[k];
    }
    bool there = plan_n(plan) > 0;
    snapshot_put(&s);
    assert_true(store_each_series(
        f->store, NULL, &m, 1, INT64_MIN, INT64_MAX, count_series, &listed, &err));
    assert_int_equal(listed, sum != 0);
    arena_fini(&arena);
    return there ? sum : -1;
}

static void maintain(struct fixture *f, int64_t passed)
{
    struct err err = {0};
    if (!store_maintain(f->store, passed, &err))
        fail_msg("%s", err.text);
}

static uint64_t delete_who(struct fixture *f, const char *who, int64_t from, int64_t to)
{
    struct matcher m = is(who);
    struct err err = {0};
    uint64_t n;
    if (!store_delete(f->store, &m, 1, from, to, &n, &err))
        fail_msg("%s", err.text);
    return n;
}

/* How many files below the folder have the text in them. */
static int files_with(const char *dir, const char *text)
{
    DIR *d = opendir(dir);
    int found = 0;
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        char path[512];
        struct stat st;
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        assert_int_equal(stat(path, &st), 0);
        if (S_ISDIR(st.st_mode)) {
            found += files_with(path, text);
            continue;
        }
        char *bytes = malloc((size_t)st.st_size + 1);
        FILE *file = fopen(path, "rb");
        assert_int_equal(fread(bytes, 1, (size_t)st.st_size, file), st.st_size);
        found += memmem(bytes, (size_t)st.st_size, text, strlen(text)) != NULL;
        fclose(file);
        free(bytes);
    }
    closedir(d);
    return found;
}

static void test_no_byte_is_left(void **state)
{
    struct fixture *f = *state;
    for (int b = 0; b < 3; b++) {
        add(f, "ada-7f3a91", b * BLOCK + 5000, 3);
        add(f, "bob-11c0de", b * BLOCK + 5000, 4);
    }
    maintain(f, BLOCK);             /* one block is a segment, two are open */
    add(f, "ada-7f3a91", 10000, 1); /* late */
    assert_int_equal(total(f, "ada-7f3a91"), 10);
    assert_true(files_with(f->dir, "ada-7f3a91") >= 2);
    assert_int_equal(delete_who(f, "ada-7f3a91", INT64_MIN, INT64_MAX), 1);
    assert_int_equal(total(f, "ada-7f3a91"), 0);
    assert_int_equal(total(f, "bob-11c0de"), 12);
    reopen(f);
    assert_int_equal(total(f, "ada-7f3a91"), 0);
    assert_true(files_with(f->dir, "ada-7f3a91") >= 2);
    maintain(f, BLOCK);
    assert_int_equal(files_with(f->dir, "ada-7f3a91"), 0);
    assert_true(files_with(f->dir, "bob-11c0de") >= 1);
    assert_int_equal(total(f, "ada-7f3a91"), -1);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(total(f, "bob-11c0de"), 12);
        reopen(f);
    }
    add(f, "ada-7f3a91", 20000, 9); /* a new life */
    assert_int_equal(total(f, "ada-7f3a91"), 9);
    reopen(f);
    assert_int_equal(total(f, "ada-7f3a91"), 9);
    assert_int_equal(total(f, "bob-11c0de"), 12);
}

static void test_later_cells_count(void **state)
{
    struct fixture *f = *state;
    add(f, "ada", 5000, 1);
    add(f, "ada", 15000, 2);
    add(f, "ada", BLOCK + 5000, 4);
    assert_int_equal(delete_who(f, "ada", 5000, 15000), 1);
    assert_int_equal(total(f, "ada"), 5);
    add(f, "ada", 15000, 16); /* the same window */
    for (int round = 0; round < 3; round++) {
        assert_int_equal(total(f, "ada"), 21);
        if (round == 0)
            reopen(f);
        else
            maintain(f, 2 * BLOCK);
    }
    assert_int_equal(delete_who(f, "nobody", INT64_MIN, INT64_MAX), 0);
}

static void test_many_at_once(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    char who[24];
    for (int i = 0; i < 20; i++) {
        snprintf(who, sizeof who, "who-%d", i);
        add(f, who, 5000, 1);
        add(f, who, 10000, 2);
    }
    maintain(f, BLOCK);
    for (int i = 0; i < 10; i++) {
        snprintf(who, sizeof who, "who-%d", i);
        delete_who(f, who, i % 2 ? 5000 : INT64_MIN, INT64_MAX);
    }
    delete_who(f, "who-1", 0, 5000);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 20; i++) {
            snprintf(who, sizeof who, "who-%d", i);
            int64_t expected = i >= 10 ? 3 : i % 2 && i != 1 ? 1 : 0;
            int64_t sum = total(f, who);
            assert_int_equal(sum < 0 ? 0 : sum, expected);
        }
        if (round == 0)
            assert_true(store_delete_finish(f->store, &err));
        else
            reopen(f);
    }
    assert_int_equal(total(f, "who-1"), -1);
}

/* A damaged file of deletions stops the start: nothing is shown that was to be gone. */
static void test_damaged_file(void **state)
{
    struct fixture *f = *state;
    char path[96];
    struct err err = {0};
    add(f, "ada", 5000, 1);
    delete_who(f, "ada", INT64_MIN, INT64_MAX);
    store_close(&f->store);
    snprintf(path, sizeof path, "%s/deletions", f->dir);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    for (long at = 0, size = 13; at < size; at++) {
        fseek(file, 0, SEEK_END);
        size = ftell(file);
        fseek(file, at, SEEK_SET);
        int c = fgetc(file);
        fseek(file, at, SEEK_SET);
        fputc(c ^ 4, file);
        fflush(file);
        assert_false(store_open(&f->options, &f->store, &err));
        assert_non_null(strstr(err.text, "deletions"));
        fseek(file, at, SEEK_SET);
        fputc(c, file);
        fflush(file);
    }
    fclose(file);
    reopen(f);
    assert_int_equal(total(f, "ada"), 0);
}

/* Whichever sync fails: what readers see now is what they see after a restart. */
static void test_a_sync_fails(void **state)
{
    struct fixture *f = *state;
    char copy[80];
    int deleted = 0, kept = 0;
    bool ok = false;
    snprintf(copy, sizeof copy, "%s-copy", f->dir);
    for (int at = 1; !ok; at++) {
        char who[24];
        struct err err = {0};
        uint64_t n;
        snprintf(who, sizeof who, "who-%d", at);
        add(f, who, 5000, at);
        struct matcher m = is(who);
        failing_sync = at;
        ok = store_delete(f->store, &m, 1, INT64_MIN, INT64_MAX, &n, &err);
        failing_sync = 0;
        int64_t now = total(f, who);
        folder_copy(f->dir, copy);
        struct fixture after = {.options = {.path = copy}};
        assert_true(store_open(&after.options, &after.store, &err));
        assert_int_equal(total(&after, who), now);
        store_close(&after.store);
        deleted += !ok && now == 0;
        kept += now == at;
        assert_true(!ok || now == 0);
        if (!ok && now == 0)
            assert_non_null(strstr(err.text, "it is deleted"));
        maintain(f, INT64_MIN);
    }
    assert_true(deleted == 1 && kept > 0);
    folder_remove(copy);
}

/* ---- coarser cells, and what levels stand at ---- */

static struct metric_def open_now = {.name = {"open", 4}, .kind = KIND_LEVEL, .every_ms = 5000};

#define HOUR   INT64_C(3600000)
#define MINUTE INT64_C(60000)

/* One change of +1 a minute, at its end, and as many visits, in (from, to]. */
static void fill(struct fixture *f, const char *who, int64_t from, int64_t to)
{
    struct txn *txn = txn_begin(f->store);
    struct err err = {0};
    uint32_t visit = series_of(txn, &visits, who), open = series_of(txn, &open_now, who);
    for (int64_t t = from + MINUTE; t <= to; t += MINUTE) {
        txn_add(txn, visit, t, 1);
        txn_add(txn, open, t, 1);
    }
    assert_true(txn_commit(&txn, NULL, &err));
}

/* The sum of the cells of a metric in the first day, in a resolution; or, opening, of all up to
 * `to`. */
static int64_t sum(struct fixture *f, const struct metric_def *def, const char *who, int64_t to,
    int64_t resolution, bool opening)
{
    struct matcher m[2] = {{MATCH_EQUAL, SLICE("__name__"), def->name, NULL}, is(who)};
    struct snapshot *s = snapshot_get(f->store);
    struct plan *plan;
    struct columns c;
    struct arena arena;
    struct err err = {0};
    int128 stands = 0;
    int64_t sum = 0;
    arena_init(&arena, 0);
    assert_true(plan_new(s, NULL, m, 2, NULL, &plan, &err));
    assert_int_equal(plan_n(plan), 1);
    if (opening)
        assert_true(plan_opening(plan, 0, to, &err));
    else
        plan_range(plan, 0, 0, to);
    if (resolution)
        plan_resolution(plan, 0, resolution);
    if (!snapshot_fetch(s, NULL, NULL, &err))
        fail_msg("%s", err.text);
    if (opening) {
        assert_true(plan_opening_sum(plan, 0, &arena, &stands, &err));
        sum = (int64_t)stands;
    } else {
        assert_true(plan_columns(plan, 0, &arena, &c, &err));
        for (size_t i = 0; i < c.n; i++)
            sum += (int64_t)c.amount[i];
    }
    snapshot_put(&s);
    arena_fini(&arena);
    return sum;
}

/* All that can be asked of the first day says `expected`; coarse: in 1h and coarser, where a part
 * of a cell cannot be taken. raw < 0: there are no raw cells. */
static void check_day(
    struct fixture *f, const char *who, int64_t raw, int64_t minute, int64_t hour, int64_t level)
{
    const struct metric_def *both[] = {&visits, &open_now};
    for (int i = 0; i < 2; i++) {
        if (raw >= 0)
            assert_int_equal(sum(f, both[i], who, DAY_MS, 0, false), raw);
        assert_int_equal(sum(f, both[i], who, DAY_MS, MINUTE, false), minute);
        assert_int_equal(sum(f, both[i], who, DAY_MS, HOUR, false), hour);
    }
    assert_int_equal(sum(f, &open_now, who, DAY_MS, 0, true), level);
    assert_int_equal(sum(f, &open_now, who, 2 * DAY_MS, 0, true), level);
}

/* A range that is deleted again, and one without cells, take nothing more, in no resolution. */
static void test_deleting_twice(void **state)
{
    struct fixture *f = *state;
    fill(f, "ada", 0, DAY_MS);
    fill(f, "bob", 0, DAY_MS);
    maintain(f, DAY_MS);
    for (int round = 0; round < 3; round++) {
        delete_who(f, "ada", 5 * HOUR, 5 * HOUR + 30 * MINUTE);
        delete_who(f, "ada", 7 * HOUR + 1000, 7 * HOUR + 2000);
        check_day(f, "ada", 1410, 1410, 1410, 1410);
        maintain(f, DAY_MS);
        check_day(f, "ada", 1410, 1410, 1410, 1410);
        reopen(f);
        maintain(f, DAY_MS);
        check_day(f, "ada", 1410, 1410, 1410, 1410);
        check_day(f, "bob", 1440, 1440, 1440, 1440);
    }
}

/* What a level stands at while a deletion waits, at the end of a day too. */
static void test_levels_while_a_deletion_waits(void **state)
{
    struct fixture *f = *state;
    fill(f, "ada", 0, DAY_MS);
    maintain(f, DAY_MS);
    delete_who(f, "ada", 5 * HOUR, 6 * HOUR);
    check_day(f, "ada", 1380, 1380, 1380, 1380);
    reopen(f);
    check_day(f, "ada", 1380, 1380, 1380, 1380);
    delete_who(f, "ada", 23 * HOUR, DAY_MS);
    check_day(f, "ada", 1320, 1320, 1320, 1320);
    maintain(f, DAY_MS);
    check_day(f, "ada", 1320, 1320, 1320, 1320);
}

/* The raw cells of the day are gone: a minute goes from all coarser cells, since those are made
 * anew from the finer ones. */
static void expire_first_day(struct fixture *f)
{
    for (int day = 1; day < 4; day++) {
        fill(f, "ada", day * DAY_MS + HOUR - MINUTE, day * DAY_MS + HOUR);
        fill(f, "ada", day * DAY_MS + HOUR, day * DAY_MS + HOUR);
        maintain(f, (day + 1) * DAY_MS);
    }
    assert_int_equal(sum(f, &visits, "ada", DAY_MS, 0, false), 0);
}

static void check_expired(struct fixture *f, int64_t minute, int64_t hour, int64_t level)
{
    const struct metric_def *both[] = {&visits, &open_now};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sum(f, both[i], "ada", DAY_MS, MINUTE, false), minute);
        assert_int_equal(sum(f, both[i], "ada", DAY_MS, HOUR, false), hour);
    }
    assert_int_equal(sum(f, &open_now, "ada", DAY_MS, 0, true), level);
}

static void test_deleting_where_raw_cells_are_gone(void **state)
{
    struct fixture *f = *state;
    f->options.retention.raw_ms = DAY_MS;
    reopen(f);
    fill(f, "ada", 0, DAY_MS);
    fill(f, "bob", 0, DAY_MS);
    expire_first_day(f);
    check_expired(f, 1440, 1440, 1440);
    delete_who(f, "ada", 5 * HOUR, 5 * HOUR + MINUTE);
    check_expired(f, 1439, 1380, 1439); /* an hour's cell is left out until it is made anew */
    for (int round = 0; round < 2; round++) {
        maintain(f, 4 * DAY_MS);
        check_expired(f, 1439, 1439, 1439);
        check_day(f, "bob", -1, 1440, 1440, 1440);
        reopen(f);
    }
    delete_who(f, "ada", 0, DAY_MS);
    check_expired(f, 0, 0, 0);
    maintain(f, 4 * DAY_MS);
    check_expired(f, 0, 0, 0);
    check_day(f, "bob", -1, 1440, 1440, 1440);
}

/* With cells of 1h and 1d alone an hour goes, and no more. */
static void test_deleting_where_only_hours_are_left(void **state)
{
    struct fixture *f = *state;
    f->options.retention = (struct retention){.raw_ms = DAY_MS, .minute_ms = DAY_MS};
    reopen(f);
    fill(f, "ada", 0, DAY_MS);
    expire_first_day(f);
    check_expired(f, 0, 1440, 1440);
    delete_who(f, "ada", 5 * HOUR, 5 * HOUR + MINUTE);
    check_expired(f, 0, 1380, 1380);
    maintain(f, 4 * DAY_MS);
    check_expired(f, 0, 1380, 1380);
    reopen(f);
    check_expired(f, 0, 1380, 1380);
}

static struct buf read_file(const char *path)
{
    struct buf content;
    struct err err;
    buf_init(&content, 0);
    assert_true(file_read(path, SIZE_MAX / 2, &content, &err));
    return content;
}

static void write_file(const char *path, struct slice bytes)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes.ptr, 1, bytes.len, file), bytes.len);
    assert_int_equal(fclose(file), 0);
}

/* What a deletion covers was sealed before it. Were that edit of the manifest taken for a torn one,
 * the log would show the cells again. */
static void test_manifest_that_lost_its_last_edit(void **state)
{
    struct fixture *f = *state;
    struct fixture crashed = {.options = f->options};
    struct err err = {0};
    char path[96], command[200];
    add(f, "ada", 5000, 1);
    delete_who(f, "ada", INT64_MIN, INT64_MAX);
    snprintf(crashed.dir, sizeof crashed.dir, "%.40s-crashed", f->dir);
    crashed.options.path = crashed.dir;
    snprintf(command, sizeof command, "cp -a %s %s", f->dir, crashed.dir);
    assert_int_equal(system(command), 0);
    snprintf(path, sizeof path, "%s/CURRENT", crashed.dir);
    struct buf name = read_file(path);
    snprintf(path, sizeof path, "%s/%.*s", crashed.dir, (int)name.len - 1, name.ptr);
    struct buf manifest = read_file(path);
    manifest.ptr[manifest.len - 1] ^= 4;
    write_file(path, buf_view(&manifest));
    assert_false(store_open(&crashed.options, &crashed.store, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_non_null(strstr(err.text, path));
    manifest.ptr[manifest.len - 1] ^= 4;
    write_file(path, buf_view(&manifest));
    reopen(&crashed);
    assert_int_equal(total(&crashed, "ada"), 0);
    store_close(&crashed.store);
    folder_remove(crashed.dir);
    buf_fini(&name);
    buf_fini(&manifest);
}

/* Version 1 did not say what the manifest held. */
static void test_version_1(void **state)
{
    struct fixture *f = *state;
    char path[96];
    struct buf old;
    add(f, "ada", 5000, 1);
    delete_who(f, "ada", INT64_MIN, INT64_MAX);
    store_close(&f->store);
    snprintf(path, sizeof path, "%s/deletions", f->dir);
    struct buf now = read_file(path);
    buf_init(&old, 0);
    buf_add(&old, "LDEL", 4);
    buf_le32(&old, 1);
    buf_le32(&old, crc32c(0, now.ptr + 24, now.len - 24));
    buf_add(&old, now.ptr + 24, now.len - 24);
    write_file(path, buf_view(&old));
    reopen(f);
    assert_int_equal(total(f, "ada"), 0);
    buf_fini(&old);
    buf_fini(&now);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_no_byte_is_left, setup, teardown),
        cmocka_unit_test_setup_teardown(test_later_cells_count, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_sync_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deleting_twice, setup, teardown),
        cmocka_unit_test_setup_teardown(test_levels_while_a_deletion_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deleting_where_raw_cells_are_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deleting_where_only_hours_are_left, setup, teardown),
        cmocka_unit_test_setup_teardown(test_manifest_that_lost_its_last_edit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_version_1, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
