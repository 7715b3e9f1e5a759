/*
 * Deleting from segments that are set aside: no byte of what was deleted is left, what can be read
 * of the rest is, and readers are told what is missing. Reads that fail are this program's own:
 * pread stands in front of the C library's.
 */
#include "store/salvage.h"

#include <dirent.h>
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
#include "store/read.h"
#include "store/store_priv.h"
#include "store/verify_store.h"
#include "tests/store/support/folder.h"

#define BLOCK INT64_C(7200000)
#define EVERY INT64_C(60000)
#define ADA   "ada-7f3a91"
#define BOB   "bob-11c0de"

struct fixture {
    char dir[64];
    struct store *store;
    struct store_options options;
};

static char unreadable[PATH_BYTES]; /* in the path of the file that the disk does not give */

ssize_t pread(int fd, void *to, size_t n, off_t at)
{
    char link[64], path[PATH_BYTES];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = unreadable[0] ? readlink(link, path, sizeof path - 1) : 0;
    path[len > 0 ? len : 0] = 0;
    if (len > 0 && strstr(path, unreadable)) {
        errno = EIO;
        return -1;
    }
    return syscall(SYS_pread64, fd, to, n, at);
}

static void reopen(struct fixture *f)
{
    struct err err = {0};
    if (f->store)
        store_close(&f->store);
    if (!store_open(&f->options, &f->store, &err))
        fail_msg("%s", err.text);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    unreadable[0] = 0;
    folder_new("salvage", f->dir, sizeof f->dir);
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

static struct metric_def visits = {
    .name = {"visits_total", 12}, .kind = KIND_COUNTER, .every_ms = 5000};

/* Every minute in (from, to], of values that compress badly, so that series have pages apart. */
static void fill(struct fixture *f, const char *who, int64_t from, int64_t to)
{
    struct txn *txn = txn_begin(f->store);
    struct label l[2] = {{SLICE("__name__"), visits.name}, {SLICE("who"), slice_from(who)}};
    uint32_t metric, id;
    struct err err = {0};
    assert_true(txn_metric(txn, &visits, &metric, &err));
    assert_true(txn_series(txn, metric, (struct labels){l, 2}, &id, &err));
    for (int64_t t = from + EVERY; t <= to; t += EVERY)
        txn_add(txn, id, t, 1 + (t / EVERY * 7919) % 1009);
    assert_true(txn_commit(&txn, NULL, &err));
}

static int64_t filled(int64_t from, int64_t to)
{
    int64_t sum = 0;
    for (int64_t t = from + EVERY; t <= to; t += EVERY)
        sum += 1 + (t / EVERY * 7919) % 1009;
    return sum;
}

static void maintain(struct fixture *f, int64_t passed)
{
    struct err err = {0};
    if (!store_maintain(f->store, passed, &err))
        fail_msg("%s", err.text);
}

static uint64_t delete_who(struct fixture *f, const char *who, int64_t from, int64_t to)
{
    struct matcher m = {MATCH_EQUAL, SLICE("who"), slice_from(who), NULL};
    struct err err = {0};
    uint64_t n;
    assert_true(store_delete(f->store, &m, 1, from, to, &n, &err));
    return n;
}

/* The sum over (0, to], or -1 and the error. */
static int64_t sum(struct fixture *f, const char *who, int64_t to, int64_t resolution, bool partial,
    struct err *err)
{
    struct matcher m = {MATCH_EQUAL, SLICE("who"), slice_from(who), NULL};
    struct snapshot *s = snapshot_get(f->store);
    struct plan *plan;
    struct arena arena;
    struct columns c;
    int64_t n = 0;
    arena_init(&arena, 0);
    if (partial)
        snapshot_partial(s);
    assert_true(plan_new(s, NULL, &m, 1, NULL, &plan, err));
    for (size_t i = 0; i < plan_n(plan); i++) {
        plan_range(plan, i, 0, to);
        if (resolution)
            plan_resolution(plan, i, resolution);
    }
    bool ok = snapshot_fetch(s, NULL, NULL, err);
    for (size_t i = 0; ok && i < plan_n(plan); i++) {
        assert_true(plan_columns(plan, i, &arena, &c, err));
        for (size_t k = 0; k < c.n; k++)
            n += (int64_t)c.amount[k];
    }
    snapshot_put(&s);
    arena_fini(&arena);
    return ok ? n : -1;
}

/* How many files below the folder have the text in them. */
static int files_with(const char *dir, const char *text)
{
    DIR *d = opendir(dir);
    int found = 0;
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        char path[PATH_BYTES];
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        assert_int_equal(stat(path, &st), 0);
        if (S_ISDIR(st.st_mode)) {
            found += files_with(path, text);
            continue;
        }
        struct content c = content_of(path);
        found += memmem(c.ptr, c.len, text, strlen(text)) != NULL;
        free(c.ptr);
    }
    closedir(d);
    return found;
}

/* Flips a bit of the segment whose name begins so; at < 0: counted from the end. */
static void damage(struct fixture *f, const char *prefix, long at, char path[PATH_BYTES])
{
    char seg[PATH_BYTES];
    snprintf(seg, sizeof seg, "%s/seg", f->dir);
    store_close(&f->store);
    assert_true(folder_last(seg, prefix, path));
    struct content c = content_of(path);
    c.ptr[at < 0 ? (long)c.len + at : at] ^= 4;
    content_put(path, c.ptr, c.len);
    free(c.ptr);
    reopen(f);
}

/* Leaves half of the file. */
static void cut(struct fixture *f, const char *prefix, char path[PATH_BYTES])
{
    char seg[PATH_BYTES];
    snprintf(seg, sizeof seg, "%s/seg", f->dir);
    store_close(&f->store);
    assert_true(folder_last(seg, prefix, path));
    struct content c = content_of(path);
    assert_int_equal(truncate(path, (off_t)c.len / 2), 0);
    free(c.ptr);
    reopen(f);
}

static struct store_stats stats_of(struct fixture *f)
{
    struct store_stats stats;
    store_stats(f->store, &stats);
    return stats;
}

/* ---- tests ---- */

/* A page of ada's is damaged, or one of bob's: what can be read of bob's is kept. */
static void test_a_damaged_page(void **state)
{
    struct fixture *f = *state;
    char path[PATH_BYTES];
    struct err err = {0};
    fill(f, ADA, 0, 2 * BLOCK);
    fill(f, BOB, 0, 2 * BLOCK);
    maintain(f, 2 * BLOCK);
    damage(f, "0-", 64 + 16, path);
    assert_int_equal(delete_who(f, ADA, INT64_MIN, INT64_MAX), 1);
    assert_true(files_with(f->dir, ADA) > 0);
    maintain(f, 2 * BLOCK);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(files_with(f->dir, ADA), 0);
        assert_int_not_equal(access(path, F_OK), 0);
        assert_int_equal(stats_of(f).deletions_pending, 0);
        assert_int_equal(stats_of(f).quarantined, 1);
        assert_int_equal(sum(f, BOB, 2 * BLOCK, 0, false, &err), -1);
        assert_int_equal(err.code, ERR_CORRUPT);
        assert_non_null(strstr(err.text, "0-7200000.lost-"));
        int64_t rest = sum(f, BOB, 2 * BLOCK, 0, true, &err);
        assert_true(rest >= filled(BLOCK, 2 * BLOCK));
        assert_int_equal(delete_who(f, ADA, INT64_MIN, INT64_MAX), 0);
        maintain(f, 2 * BLOCK);
        assert_int_equal(sum(f, BOB, 2 * BLOCK, 0, true, &err), rest);
        reopen(f);
    }
    /* The mark goes when nothing of its time would be left. */
    f->options.retention =
        (struct retention){.raw_ms = DAY_MS, .minute_ms = DAY_MS, .hour_ms = DAY_MS};
    reopen(f);
    fill(f, BOB, 3 * DAY_MS, 3 * DAY_MS + BLOCK);
    maintain(f, 4 * DAY_MS);
    assert_int_equal(stats_of(f).quarantined, 0);
    assert_int_equal(
        sum(f, BOB, 4 * DAY_MS, 0, false, &err), filled(3 * DAY_MS, 3 * DAY_MS + BLOCK));
}

/* The frame is damaged, and made out from the pages: nothing of bob's is lost. */
static void test_a_damaged_footer(void **state)
{
    struct fixture *f = *state;
    char path[PATH_BYTES];
    struct err err = {0};
    fill(f, ADA, 0, BLOCK);
    fill(f, BOB, 0, 2 * BLOCK);
    maintain(f, 2 * BLOCK);
    damage(f, "0-", -20, path);
    assert_int_equal(stats_of(f).quarantined, 1);
    assert_int_equal(sum(f, BOB, 2 * BLOCK, 0, false, &err), -1);
    delete_who(f, ADA, INT64_MIN, INT64_MAX);
    maintain(f, 2 * BLOCK);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(files_with(f->dir, ADA), 0);
        assert_int_not_equal(access(path, F_OK), 0);
        assert_int_equal(stats_of(f).quarantined, 0);
        assert_int_equal(sum(f, BOB, 2 * BLOCK, 0, false, &err), filled(0, 2 * BLOCK));
        reopen(f);
    }
}

/* Nothing can be read: it may hold something of ada's, so it goes. */
static void test_half_a_file(void **state)
{
    struct fixture *f = *state;
    char path[PATH_BYTES];
    struct err err = {0};
    fill(f, ADA, 0, BLOCK);
    fill(f, BOB, 0, 2 * BLOCK);
    maintain(f, 2 * BLOCK);
    cut(f, "0-", path);
    assert_int_equal(stats_of(f).quarantined, 1);
    delete_who(f, ADA, BLOCK, 2 * BLOCK); /* not in its time */
    maintain(f, 2 * BLOCK);
    assert_int_equal(access(path, F_OK), 0);
    /* The series is in that segment alone, so it is not forgotten. */
    assert_int_equal(delete_who(f, ADA, INT64_MIN, INT64_MAX), 1);
    maintain(f, 2 * BLOCK);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(files_with(f->dir, ADA), 0);
        assert_int_not_equal(access(path, F_OK), 0);
        assert_int_equal(sum(f, BOB, 2 * BLOCK, 0, false, &err), -1);
        assert_int_equal(sum(f, BOB, 2 * BLOCK, 0, true, &err), filled(BLOCK, 2 * BLOCK));
        reopen(f);
    }
}

/* What has nothing of the deletion stays as it is. */
static void test_what_is_not_touched_stays(void **state)
{
    struct fixture *f = *state;
    char path[PATH_BYTES];
    fill(f, BOB, 0, BLOCK);
    fill(f, ADA, BLOCK, 2 * BLOCK);
    maintain(f, 2 * BLOCK);
    damage(f, "0-", 64 + 16, path);
    maintain(f, DAY_MS); /* compaction finds the damage */
    assert_int_equal(stats_of(f).quarantined, 1);
    delete_who(f, ADA, INT64_MIN, INT64_MAX);
    maintain(f, DAY_MS);
    assert_int_equal(files_with(f->dir, ADA), 0);
    assert_int_equal(stats_of(f).deletions_pending, 0);
    assert_int_equal(access(path, F_OK), 0);
}

/* The deletion waits for a disk that gives nothing, and is carried out when it does. */
static void test_the_disk_does_not_give_it(void **state)
{
    struct fixture *f = *state;
    char seg[PATH_BYTES], path[PATH_BYTES];
    struct err err = {0};
    fill(f, ADA, 0, 2 * BLOCK);
    fill(f, BOB, 0, 2 * BLOCK);
    maintain(f, 2 * BLOCK);
    snprintf(seg, sizeof seg, "%s/seg", f->dir);
    assert_true(folder_last(seg, "0-", path));
    delete_who(f, ADA, INT64_MIN, INT64_MAX);
    reopen(f);
    strcpy(unreadable, strrchr(path, '/'));
    maintain(f, 2 * BLOCK);
    assert_int_equal(stats_of(f).deletions_pending, 1);
    assert_int_equal(stats_of(f).unreadable_windows, 1);
    assert_false(store_delete_finish(f->store, &err));
    assert_int_equal(err.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "Input/output error"));
    reopen(f); /* set aside in memory */
    maintain(f, 2 * BLOCK);
    assert_int_equal(stats_of(f).quarantined, 1);
    assert_int_equal(stats_of(f).deletions_pending, 1);
    unreadable[0] = 0;
    reopen(f);
    maintain(f, 2 * BLOCK);
    assert_int_equal(stats_of(f).deletions_pending, 0);
    assert_int_equal(stats_of(f).quarantined, 0);
    assert_int_equal(files_with(f->dir, ADA), 0);
    assert_int_equal(sum(f, BOB, 2 * BLOCK, 0, false, &err), filled(0, 2 * BLOCK));
}

/* Derived cells outlive the raw segment that they were made from, less what is deleted. */
static void test_derived_cells_stay(void **state)
{
    struct fixture *f = *state;
    char path[PATH_BYTES], raw[PATH_BYTES];
    struct err err = {0};
    fill(f, ADA, 0, DAY_MS);
    fill(f, BOB, 0, DAY_MS);
    maintain(f, DAY_MS);
    for (size_t i = 0; i < f->store->n_segments; i++)
        if (!f->store->segments[i].derived)
            snprintf(raw, sizeof raw, "%s", segment_info(f->store->segments[i].segment)->name);
    damage(f, raw, 64 + 16, path);
    damage(f, raw, -20, path);
    delete_who(f, ADA, 0, 5 * RESOLUTION_1H);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(
            sum(f, ADA, DAY_MS, RESOLUTION_1H, false, &err), filled(5 * RESOLUTION_1H, DAY_MS));
        assert_int_equal(sum(f, BOB, DAY_MS, RESOLUTION_1H, false, &err), filled(0, DAY_MS));
        assert_int_equal(sum(f, BOB, DAY_MS, 0, false, &err), -1);
        assert_int_equal(access(path, F_OK) == 0, round == 0);
        if (round == 1)
            reopen(f);
        maintain(f, DAY_MS);
    }
}

/* ---- marks, verified and repaired ---- */

struct told {
    char damage[ERR_TEXT_MAX];
    unsigned damaged, repaired, anew;
};

static void hear_damage(void *ctx, const struct err *why)
{
    struct told *t = ctx;
    t->damaged++;
    snprintf(t->damage, sizeof t->damage, "%s", why->text);
}

static void hear_repair(void *ctx, const char *name, const char *by, bool anew)
{
    struct told *t = ctx;
    (void)name, (void)by;
    t->repaired++;
    t->anew += anew;
}

static struct told verify(struct fixture *f, enum verify_mode mode)
{
    struct told told = {.damaged = 0};
    const struct verify_watch watch = {
        .damaged = hear_damage, .repaired = hear_repair, .ctx = &told};
    struct verify_result result;
    struct err err = {0};
    store_close(&f->store);
    if (!store_verify(f->dir, mode, &watch, &result, &err))
        fail_msg("%s", err.text);
    assert_true(result.starts);
    assert_int_equal(result.damaged, told.damaged);
    assert_int_equal(result.repaired, told.repaired);
    reopen(f);
    return told;
}

/* A mark says what is lost: verifying says it too, and a repair ends it. */
static void test_a_mark_is_verified(void **state)
{
    struct fixture *f = *state;
    char path[PATH_BYTES];
    struct err err = {0};
    fill(f, ADA, 0, 2 * BLOCK);
    fill(f, BOB, 0, 2 * BLOCK);
    maintain(f, 2 * BLOCK);
    assert_int_equal(verify(f, false).damaged, 0);
    damage(f, "0-", 64 + 16, path);
    assert_int_equal(verify(f, false).damaged, 1);
    delete_who(f, ADA, INT64_MIN, INT64_MAX);
    maintain(f, 2 * BLOCK);
    assert_int_equal(stats_of(f).quarantined, 1);
    int64_t rest = sum(f, BOB, 2 * BLOCK, 0, true, &err);
    for (int round = 0; round < 2; round++) { /* verifying alone changes nothing */
        struct told told = verify(f, false);
        assert_int_equal(told.damaged, 1);
        assert_int_equal(told.repaired, 0);
        assert_non_null(strstr(told.damage, "0-7200000.lost-"));
        assert_non_null(strstr(told.damage, "is a mark"));
        assert_non_null(strstr(told.damage, "0 to 7200000"));
        assert_int_equal(sum(f, BOB, 2 * BLOCK, 0, false, &err), -1);
    }
    struct told told = verify(f, true);
    assert_int_equal(told.damaged, 1);
    assert_int_equal(told.repaired, 1);
    assert_int_equal(told.anew, 0);
    assert_int_equal(verify(f, false).damaged, 0);
    assert_int_equal(stats_of(f).quarantined, 0);
    assert_int_equal(sum(f, BOB, 2 * BLOCK, 0, false, &err), rest);
    assert_int_equal(files_with(f->dir, ADA), 0);
}

/* Derived cells that outlived the raw ones outlive the mark, too. */
static void test_derived_cells_outlive_the_mark(void **state)
{
    struct fixture *f = *state;
    char path[PATH_BYTES], raw[PATH_BYTES];
    struct err err = {0};
    fill(f, ADA, 0, DAY_MS);
    fill(f, BOB, 0, DAY_MS);
    maintain(f, DAY_MS);
    for (size_t i = 0; i < f->store->n_segments; i++)
        if (!f->store->segments[i].derived)
            snprintf(raw, sizeof raw, "%s", segment_info(f->store->segments[i].segment)->name);
    damage(f, raw, 64 + 16, path);
    damage(f, raw, -20, path);
    delete_who(f, ADA, 0, 5 * RESOLUTION_1H);
    maintain(f, DAY_MS);
    int64_t rest = sum(f, BOB, DAY_MS, 0, true, &err);
    assert_int_equal(verify(f, false).damaged, 1);
    assert_int_equal(verify(f, true).repaired, 1);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(sum(f, BOB, DAY_MS, RESOLUTION_1H, false, &err), filled(0, DAY_MS));
        assert_int_equal(
            sum(f, ADA, DAY_MS, RESOLUTION_1H, false, &err), filled(5 * RESOLUTION_1H, DAY_MS));
        assert_int_equal(sum(f, BOB, DAY_MS, 0, false, &err), rest);
        maintain(f, DAY_MS);
        reopen(f);
    }
    assert_int_equal(verify(f, false).damaged, 0);
}

/* Of no codec's liking, so that there are several pages. */
static int64_t scattered(int who, int64_t t)
{
    uint64_t v = (uint64_t)(who * 1000003 + t / EVERY) * UINT64_C(0x9e3779b97f4a7c15);
    return (int64_t)((v ^ v >> 29) >> 10) + 1;
}

/* Every minute of the block before `to`. */
static void scatter(struct fixture *f, int who, int64_t to)
{
    struct txn *txn = txn_begin(f->store);
    char name[16];
    snprintf(name, sizeof name, "w%03d", who);
    struct label l[2] = {{SLICE("__name__"), visits.name}, {SLICE("who"), slice_from(name)}};
    uint32_t metric, id;
    struct err err = {0};
    assert_true(txn_metric(txn, &visits, &metric, &err));
    assert_true(txn_series(txn, metric, (struct labels){l, 2}, &id, &err));
    for (int64_t t = to - BLOCK + EVERY; t <= to; t += EVERY)
        txn_add(txn, id, t, scattered(who, t));
    assert_true(txn_commit(&txn, NULL, &err));
}

/* The sum of its cells in (from, to] is all of them, or 0. */
static bool has_cells(struct fixture *f, int who, int64_t from, int64_t to)
{
    struct err err = {0};
    char name[16];
    int64_t want = 0;
    snprintf(name, sizeof name, "w%03d", who);
    for (int64_t t = from + EVERY; t <= to; t += EVERY)
        want += scattered(who, t);
    int64_t is = sum(f, name, to, 0, false, &err) - sum(f, name, from, 0, false, &err);
    assert_true(is == 0 || is == want);
    return is != 0;
}

#define MANY 150

/* What was set aside has ids of its time: a series may be forgotten since, and another have its id.
 */
static void test_ids_of_what_was_set_aside(void **state)
{
    struct fixture *f = *state;
    char path[PATH_BYTES];
    int left = 0;
    for (int i = 0; i < MANY; i++)
        scatter(f, i, BLOCK);
    for (int i = 0; i < MANY; i++)
        if (i != 13)
            scatter(f, i, 2 * BLOCK);
    maintain(f, 2 * BLOCK);
    damage(f, "0-", 100000, path); /* noticed when it is read */
    maintain(f, DAY_MS);
    assert_int_equal(stats_of(f).quarantined, 1);
    fill(f, BOB, 2 * DAY_MS, 2 * DAY_MS + BLOCK);
    delete_who(f, BOB, INT64_MIN, INT64_MAX); /* and number 13, without other cells, is forgotten */
    maintain(f, DAY_MS);
    assert_int_equal(stats_of(f).quarantined, 1);
    for (int i = MANY; i < MANY + 2; i++)
        scatter(f, i, 2 * BLOCK);
    assert_int_equal(verify(f, true).repaired, 1);
    for (int i = 0; i < MANY; i++) {
        left += has_cells(f, i, 0, BLOCK);
        assert_int_equal(has_cells(f, i, BLOCK, 2 * BLOCK), i != 13);
    }
    assert_in_range(left, MANY / 3, MANY - 1);
    assert_true(has_cells(f, 13, 0, BLOCK));
    for (int i = MANY; i < MANY + 2; i++) {
        assert_false(has_cells(f, i, 0, BLOCK));
        assert_true(has_cells(f, i, BLOCK, 2 * BLOCK));
    }
}

/* ---- what a repair has put away ---- */

/* The damaged file is kept, until something of it is deleted. `at`: what is damaged. */
static void put_away(struct fixture *f, long at)
{
    char path[PATH_BYTES];
    struct told told;
    fill(f, ADA, 0, BLOCK);
    fill(f, BOB, 0, 2 * BLOCK);
    maintain(f, 2 * BLOCK);
    damage(f, "0-", at, path);
    told = verify(f, VERIFY_REPAIR);
    assert_int_equal(told.repaired, 1);
    assert_int_equal(stats_of(f).put_away, 1);
}

static void test_a_deletion_reaches_what_is_put_away(void **state)
{
    struct fixture *f = *state;
    char path[PATH_BYTES];
    put_away(f, 64 + 16);
    assert_true(files_with(f->dir, ADA) > 0);
    delete_who(f, BOB, BLOCK, 2 * BLOCK); /* of another time */
    delete_who(f, "eve", INT64_MIN, INT64_MAX);
    maintain(f, 2 * BLOCK);
    assert_int_equal(stats_of(f).deletions_pending, 0);
    assert_int_equal(stats_of(f).put_away, 1);
    snprintf(path, sizeof path, "%s/damaged", f->dir);
    assert_true(files_with(path, ADA) > 0);
    delete_who(f, ADA, INT64_MIN, INT64_MAX); /* the repair has left none of hers, perhaps */
    maintain(f, 2 * BLOCK);
    assert_int_equal(stats_of(f).deletions_pending, 0);
    assert_int_equal(stats_of(f).put_away, 0);
    assert_int_equal(files_with(f->dir, ADA), 0);
    reopen(f);
    assert_int_equal(stats_of(f).put_away, 0);
}

/* A deletion that waited while the folder was repaired. */
static void test_a_deletion_from_before(void **state)
{
    struct fixture *f = *state;
    char path[PATH_BYTES];
    fill(f, ADA, 0, BLOCK);
    fill(f, BOB, 0, BLOCK);
    maintain(f, BLOCK);
    delete_who(f, ADA, INT64_MIN, INT64_MAX);
    damage(f, "0-", 64 + 16, path);
    assert_int_equal(verify(f, VERIFY_REPAIR).repaired, 1);
    assert_true(files_with(f->dir, ADA) > 0);
    maintain(f, BLOCK);
    assert_int_equal(stats_of(f).deletions_pending, 0);
    assert_int_equal(files_with(f->dir, ADA), 0);
}

/* Nobody can say what is in it. */
static void test_put_away_without_labels(void **state)
{
    struct fixture *f = *state;
    put_away(f, -20);
    delete_who(f, "eve", BLOCK + DAY_MS, 2 * BLOCK + DAY_MS);
    maintain(f, 2 * BLOCK);
    assert_int_equal(stats_of(f).put_away, 1);
    delete_who(f, "eve", 0, BLOCK);
    maintain(f, 2 * BLOCK);
    assert_int_equal(stats_of(f).put_away, 0);
    assert_int_equal(stats_of(f).deletions_pending, 0);
}

static void test_put_away_has_its_age(void **state)
{
    struct fixture *f = *state;
    put_away(f, 64 + 16);
    f->options.retention =
        (struct retention){.raw_ms = DAY_MS, .minute_ms = 2 * DAY_MS, .hour_ms = 3 * DAY_MS};
    reopen(f);
    for (int day = 1; day < 5; day++) {
        fill(f, BOB, day * DAY_MS, day * DAY_MS + BLOCK);
        maintain(f, (day + 1) * DAY_MS);
        assert_int_equal(stats_of(f).put_away, day < 3);
    }
    assert_int_equal(files_with(f->dir, ADA), 0);
}

static void test_nothing_is_put_away(void **state)
{
    struct fixture *f = *state;
    char path[PATH_BYTES], own[PATH_BYTES];
    put_away(f, 64 + 16);
    snprintf(own, sizeof own, "%s/damaged/notes.txt", f->dir);
    content_put(own, "mine", 4);
    fill(f, ADA, 2 * BLOCK, 3 * BLOCK);
    maintain(f, 3 * BLOCK);
    damage(f, "14400000-", 64 + 16, path);
    assert_int_equal(verify(f, VERIFY_REPAIR | VERIFY_DISCARD).repaired, 1);
    assert_int_equal(stats_of(f).put_away, 0);
    assert_int_equal(access(own, F_OK), 0);
    assert_int_equal(verify(f, VERIFY_ONLY).damaged, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_damaged_page, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_damaged_footer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_half_a_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_not_touched_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_disk_does_not_give_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_derived_cells_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_mark_is_verified, setup, teardown),
        cmocka_unit_test_setup_teardown(test_derived_cells_outlive_the_mark, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ids_of_what_was_set_aside, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_deletion_reaches_what_is_put_away, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_deletion_from_before, setup, teardown),
        cmocka_unit_test_setup_teardown(test_put_away_without_labels, setup, teardown),
        cmocka_unit_test_setup_teardown(test_put_away_has_its_age, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_is_put_away, setup, teardown),
    };
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
