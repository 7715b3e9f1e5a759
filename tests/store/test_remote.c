/*
 * Segments that lie elsewhere: a source that answers, fails, is slow and is canceled, comes back.
 */
#include "store/read.h"
#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/delete.h"
#include "store/files.h"
#include "store/segment.h"
#include "store/verify_store.h"
#include "tests/store/support/folder.h"

#define HOUR   3600000ll
#define SERIES 300
#define CELLS  1440

static struct metric_def def = {.name = {"up", 2}, .kind = KIND_SAMPLE};

/* A folder that stands for the other place. */
struct far {
    char dir[FOLDER_MAX];
    enum err_code fails; /* ERR_OK: it answers */
    unsigned asked, opens, reads, closes;
    uint64_t read_bytes, most_bytes;
    atomic_bool *cancel_at_read; /* set by a read, as by somebody who has waited too long */
};

struct fixture {
    char dir[FOLDER_MAX];
    struct far far;
    struct store_options options;
    struct store *store;
};

struct far_file {
    struct far *far;
    FILE *file;
};

static bool far_read(void *ctx, uint64_t offset, void *to, size_t n, struct err *err)
{
    struct far_file *f = ctx;
    if (f->far->fails)
        return err_set(err, f->far->fails, "the other place is away");
    f->far->reads++;
    f->far->read_bytes += n;
    f->far->most_bytes = n > f->far->most_bytes ? n : f->far->most_bytes;
    if (f->far->cancel_at_read)
        atomic_store(f->far->cancel_at_read, true);
    return (fseek(f->file, (long)offset, SEEK_SET) == 0 && fread(to, 1, n, f->file) == n) ||
           err_set(err, ERR_CORRUPT, "the file ends before");
}

static void far_close(void *ctx)
{
    struct far_file *f = ctx;
    f->far->closes++;
    fclose(f->file);
    free(f);
}

static bool far_open(void *ctx, const char *name, struct segment_file *out, struct err *err)
{
    struct far *far = ctx;
    char path[PATH_BYTES];
    far->asked++;
    if (far->fails)
        return err_set(err, far->fails, "the other place is away");
    far->opens++;
    assert_true(path_join(path, far->dir, name, err));
    FILE *file = fopen(path, "rb");
    if (!file)
        return err_set(err, ERR_NOT_FOUND, "no %s there", name);
    struct far_file *f = xcalloc(1, sizeof *f);
    *f = (struct far_file){far, file};
    fseek(file, 0, SEEK_END);
    *out = (struct segment_file){f, (uint64_t)ftell(file), far_read, far_close};
    return true;
}

static void open_it(struct fixture *f)
{
    struct err err;
    if (!store_open(&f->options, &f->store, &err))
        fail_msg("%s", err.text);
}

static void fill(struct fixture *f, int64_t from)
{
    struct err err;
    uint32_t metric, id;
    char text[16];
    struct txn *txn = txn_begin(f->store);
    assert_true(txn_metric(txn, &def, &metric, &err));
    for (int i = 0; i < SERIES; i++) {
        snprintf(text, sizeof text, "h%03d", i);
        struct label l[2] = {{SLICE("__name__"), def.name}, {SLICE("host"), slice_from(text)}};
        assert_true(txn_series(txn, metric, (struct labels){l, 2}, &id, &err));
        for (int k = 1; k <= CELLS; k++)
            txn_sample(txn, id, from + k * 5000, (double)(i * 7919 % 1009 * k % 997) / 8);
    }
    assert_true(txn_commit(&txn, NULL, &err));
    if (!store_maintain(f->store, from + 2 * HOUR, &err))
        fail_msg("%s", err.text);
}

static void move_away(void *ctx, const char *path)
{
    struct fixture *f = ctx;
    char to[PATH_BYTES];
    struct err err;
    assert_true(path_join(to, f->far.dir, strrchr(path, '/') + 1, &err));
    assert_int_equal(rename(path, to), 0);
}

static void move_raw_away(void *ctx, const char *path)
{
    struct segment *segment;
    struct err err;
    assert_true(segment_open(path, NULL, &segment, &err));
    bool raw = segment_info(segment)->resolution_ms == 0;
    segment_put(&segment);
    if (raw)
        move_away(ctx, path);
}

static void move_all(struct fixture *f, folder_file_f *move)
{
    char seg[PATH_BYTES];
    struct err err;
    assert_true(path_join(seg, f->dir, "seg", &err));
    folder_each(seg, move, f);
}

/* Two sealed blocks; the segments are moved to the other place. */
static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    folder_make("remote", f->dir);
    folder_make("remote-far", f->far.dir);
    f->options.path = f->dir;
    open_it(f);
    fill(f, 0);
    fill(f, 2 * HOUR);
    store_close(&f->store);
    move_all(f, move_away);
    f->options.remote = (struct segment_remote){&f->far, far_open};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    f->far.cancel_at_read = NULL;
    store_close(&f->store);
    assert_int_equal(f->far.opens, f->far.closes);
    folder_remove(f->dir);
    folder_remove(f->far.dir);
    free(f);
    return 0;
}

struct answer {
    uint64_t cells;
    size_t warnings;
};

/* Reads (from, to] of every n-th series. */
static bool read_all(struct fixture *f, int64_t from, int64_t to, size_t every, bool partial,
    const atomic_bool *cancel, struct answer *out, struct err *err)
{
    struct matcher all = {MATCH_EQUAL, SLICE("__name__"), def.name, NULL};
    struct snapshot *s = snapshot_get(f->store);
    struct plan *plan;
    struct arena arena;
    struct columns c;
    arena_init(&arena, 0);
    *out = (struct answer){0};
    if (cancel)
        snapshot_cancel(s, cancel);
    if (partial)
        snapshot_partial(s);
    bool ok = plan_new(s, NULL, &all, 1, NULL, &plan, err);
    for (size_t i = 0; ok && i < plan_n(plan); i += every)
        plan_range(plan, i, from, to);
    ok = ok && snapshot_fetch(s, NULL, cancel, err);
    for (size_t i = 0; ok && i < plan_n(plan); i++) {
        ok = plan_columns(plan, i, &arena, &c, err);
        out->cells += ok ? c.n : 0;
    }
    snapshot_warnings(s, &out->warnings);
    snapshot_put(&s);
    arena_fini(&arena);
    return ok;
}

static void test_reads_from_there(void **state)
{
    struct fixture *f = *state;
    struct answer answer;
    struct err err;
    open_it(f);
    assert_int_equal(f->far.opens, 2);
    if (!read_all(f, 0, 4 * HOUR, 1, false, NULL, &answer, &err))
        fail_msg("%s", err.text);
    assert_int_equal(answer.cells, 2 * SERIES * CELLS);
}

/* Pages that are near to each other come in one read, and no read is too large. */
static void test_reads_are_few(void **state)
{
    struct fixture *f = *state;
    struct answer answer;
    struct err err;
    open_it(f);
    assert_true(read_all(f, 0, 2 * HOUR, SERIES / 3, false, NULL, &answer, &err)); /* directory */
    f->far.reads = 0;
    f->far.read_bytes = f->far.most_bytes = 0;
    assert_true(read_all(f, 0, 2 * HOUR, 1, false, NULL, &answer, &err));
    assert_int_equal(answer.cells, SERIES * CELLS);
    printf("# %u reads, %llu bytes, at most %llu at once\n", f->far.reads,
        (unsigned long long)f->far.read_bytes, (unsigned long long)f->far.most_bytes);
    assert_true(f->far.most_bytes <= 1u << 20);
    assert_true(f->far.reads <= 2 + f->far.read_bytes / (512u << 10));
}

static void test_away_and_back(void **state)
{
    static const enum err_code codes[] = {ERR_UNAVAILABLE, ERR_TIMEOUT, ERR_IO};
    struct fixture *f = *state;
    struct answer answer;
    struct err err;
    open_it(f);
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        f->far.fails = codes[i];
        assert_false(read_all(f, 0, 4 * HOUR, 1, false, NULL, &answer, &err));
        assert_int_equal(err.code, codes[i]);
        assert_true(read_all(f, 0, 4 * HOUR, 1, true, NULL, &answer, &err));
        assert_int_equal(answer.cells, 0);
        assert_int_equal(answer.warnings, 2);
        assert_true(read_all(f, 2 * HOUR, 4 * HOUR, 1, true, NULL, &answer, &err));
        assert_int_equal(answer.warnings, 1);
        f->far.fails = ERR_OK;
        assert_true(read_all(f, 0, 4 * HOUR, 1, false, NULL, &answer, &err));
        assert_int_equal(answer.cells, 2 * SERIES * CELLS);
    }
}

static void maintain(struct fixture *f, int64_t passed)
{
    struct err err;
    if (!store_maintain(f->store, passed, &err))
        fail_msg("%s", err.text);
}

static struct store_stats stats_of(const struct fixture *f)
{
    struct store_stats stats;
    store_stats(f->store, &stats);
    return stats;
}

/* It is away when the store is opened: no reason not to start. It is asked again, less and less
 * often, and what it has is there when it is. */
static void test_away_at_the_start(void **state)
{
    static const enum err_code codes[] = {ERR_UNAVAILABLE, ERR_TIMEOUT};
    struct fixture *f = *state;
    struct answer answer;
    struct err err;
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        f->far.fails = codes[i];
        open_it(f);
        assert_false(read_all(f, 0, 4 * HOUR, 1, false, NULL, &answer, &err));
        assert_true(read_all(f, 0, 4 * HOUR, 1, true, NULL, &answer, &err));
        assert_int_equal(answer.cells, 0);
        assert_true(answer.warnings > 0);
        f->far.asked = 0;
        for (int k = 0; k < 1000; k++)
            maintain(f, 4 * HOUR);
        assert_in_range(f->far.asked, 4, 10);
        assert_int_equal(stats_of(f).unreadable_windows, 2);
        assert_int_equal(stats_of(f).quarantined, 2);
        f->far.fails = ERR_OK;
        for (int k = 0; k < 1100; k++)
            maintain(f, 4 * HOUR);
        assert_int_equal(stats_of(f).unreadable_windows, 0);
        assert_int_equal(stats_of(f).quarantined, 0);
        assert_true(read_all(f, 0, 4 * HOUR, 1, false, NULL, &answer, &err));
        assert_int_equal(answer.cells, 2 * SERIES * CELLS);
        store_close(&f->store);
    }
    f->far.fails = ERR_UNAVAILABLE;
    open_it(f);
    f->far.fails = ERR_OK;
    for (int k = 0; k < 10; k++)
        maintain(f, 100 * HOUR); /* and compacts what is there */
    assert_true(stats_of(f).compactions > 0);
    assert_true(read_all(f, 0, 4 * HOUR, 1, false, NULL, &answer, &err));
    assert_int_equal(answer.cells, 2 * SERIES * CELLS);
}

/* While one is away nobody knows which series it has: none is forgotten. What is deleted elsewhere
 * does not wait for it. */
static void test_nothing_is_forgotten_meanwhile(void **state)
{
    struct fixture *f = *state;
    struct matcher host = {MATCH_EQUAL, SLICE("host"), SLICE("h007"), NULL};
    struct answer answer;
    struct err err;
    uint64_t n;
    f->far.fails = ERR_UNAVAILABLE;
    open_it(f);
    fill(f, 48 * HOUR);
    assert_true(store_delete(f->store, &host, 1, 47 * HOUR, 60 * HOUR, &n, &err));
    assert_int_equal(n, 1);
    uint64_t series = stats_of(f).series;
    maintain(f, 50 * HOUR);
    assert_int_equal(stats_of(f).deletions_pending, 0);
    assert_int_equal(stats_of(f).series, series);
    f->far.fails = ERR_OK;
    for (int k = 0; k < 10; k++)
        maintain(f, 50 * HOUR);
    assert_int_equal(stats_of(f).deletions_pending, 0);
    assert_int_equal(stats_of(f).series, series);
    assert_true(read_all(f, 0, 60 * HOUR, 1, false, NULL, &answer, &err));
    assert_int_equal(answer.cells, 3 * SERIES * CELLS - CELLS);
}

/* It has them no more: they are set aside, as at a start. */
static void test_gone_when_it_is_back(void **state)
{
    struct fixture *f = *state;
    struct answer answer;
    struct err err;
    f->far.fails = ERR_TIMEOUT;
    open_it(f);
    folder_remove(f->far.dir);
    f->far.fails = ERR_NOT_FOUND;
    for (int k = 0; k < 10; k++)
        maintain(f, 4 * HOUR);
    assert_int_equal(stats_of(f).quarantined, 2);
    assert_int_equal(stats_of(f).unreadable_windows, 0);
    assert_false(read_all(f, 0, 4 * HOUR, 1, false, NULL, &answer, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
}

/* Raw and coarser cells of the first day lie there, or the raw ones alone: neither goes for the
 * bytes that others take here, and what is derived of them is not taken and made again for ever. */
static void test_it_takes_no_room(void **state)
{
    struct fixture *f = *state;
    struct answer answer;
    struct err err;
    const int64_t passed = 100 * HOUR;
    open_it(f);
    maintain(f, passed); /* a day of raw cells, and 1h, both here */
    store_close(&f->store);
    move_all(f, move_raw_away);
    open_it(f);
    fill(f, 48 * HOUR);
    maintain(f, passed);
    f->options.retention.max_bytes = 1;
    for (int round = 0; round < 2; round++) {
        store_close(&f->store);
        open_it(f);
        maintain(f, passed);
        assert_int_equal(stats_of(f).derived_segments, 1);
        assert_true(read_all(f, 0, 4 * HOUR, 1, false, NULL, &answer, &err));
        assert_int_equal(answer.cells, 2 * SERIES * CELLS);
        assert_true(read_all(f, 48 * HOUR, 52 * HOUR, 1, false, NULL, &answer, &err));
        assert_int_equal(answer.cells, 0);
        move_all(f, move_away);
    }
}

/* A folder is verified and repaired without those who have its segments: it goes on naming them. */
static void test_a_repair_leaves_them(void **state)
{
    struct fixture *f = *state;
    struct verify_result result;
    struct answer answer;
    struct err err;
    for (enum verify_mode mode = VERIFY_ONLY; mode <= VERIFY_REPAIR; mode++) {
        if (!store_verify(f->dir, mode, NULL, &result, &err))
            fail_msg("%s", err.text);
        assert_int_equal(result.absent, 2);
        assert_int_equal(result.damaged + result.repaired, 0);
        assert_true(result.starts);
    }
    open_it(f);
    assert_true(read_all(f, 0, 4 * HOUR, 1, false, NULL, &answer, &err));
    assert_int_equal(answer.cells, 2 * SERIES * CELLS);
}

/* Somebody gives up while a slow read is under way: no other one is begun. */
static void test_canceled_between_reads(void **state)
{
    struct fixture *f = *state;
    struct answer answer;
    struct err err;
    atomic_bool cancel = false;
    open_it(f);
    f->far.cancel_at_read = &cancel;
    f->far.reads = 0;
    assert_false(read_all(f, 0, 4 * HOUR, 1, true, &cancel, &answer, &err));
    assert_int_equal(err.code, ERR_CANCELED);
    assert_true(f->far.reads <= 4); /* of the first segment's directory */
}

static void test_canceled_while_planning(void **state)
{
    struct fixture *f = *state;
    struct answer answer;
    struct err err;
    atomic_bool cancel = true;
    open_it(f);
    f->far.reads = 0;
    assert_false(read_all(f, 0, 4 * HOUR, 1, false, &cancel, &answer, &err));
    assert_int_equal(err.code, ERR_CANCELED);
    assert_int_equal(f->far.reads, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reads_from_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reads_are_few, setup, teardown),
        cmocka_unit_test_setup_teardown(test_away_and_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_away_at_the_start, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_is_forgotten_meanwhile, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gone_when_it_is_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_it_takes_no_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_repair_leaves_them, setup, teardown),
        cmocka_unit_test_setup_teardown(test_canceled_between_reads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_canceled_while_planning, setup, teardown),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
