/* Dedupe over a store in a folder: ids of one batch, of earlier ones, of earlier runs; generations
 * that go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ingest/dedupe.h"
#include "tests/store/support/folder.h"

#define HOUR INT64_C(3600000)
#define NONE INT64_MIN

struct fixture {
    char path[64];
    struct store *store;
    struct dedupe *dedupe;
    size_t left;
};

static void open_store(struct fixture *f, int64_t late_ms, int64_t watermark_ms)
{
    struct store_options options = {.path = f->path};
    struct err err;
    f->left = 1 << 20;
    if (!store_open(&options, &f->store, &err))
        fail_msg("%s", err.text);
    f->dedupe = dedupe_new(f->store, SLICE("orders"), late_ms, watermark_ms, &f->left);
}

static void close_store(struct fixture *f)
{
    dedupe_free(&f->dedupe);
    store_close(&f->store);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    folder_new("dedupe", f->path, sizeof f->path);
    open_store(f, 24 * HOUR, NONE);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    close_store(f);
    folder_remove(f->path);
    free(f);
    return 0;
}

static struct dedupe_id id(int number, int64_t time_ms)
{
    return (struct dedupe_id){hash128(&number, sizeof number), (uint32_t)number, time_ms};
}

static enum dedupe_answer ask(struct fixture *f, struct dedupe_id id)
{
    struct dedupe_known known;
    struct err err;
    dedupe_open(f->dedupe);
    if (!dedupe_look(f->dedupe, id.hash, &known, &err))
        fail_msg("%s", err.text);
    return dedupe_judge(f->dedupe, &id, &known);
}

static void add(struct fixture *f, struct dedupe_id id)
{
    assert_int_equal(ask(f, id), DEDUPE_NEW);
    dedupe_add(f->dedupe, &id);
}

static bool write_batch(struct fixture *f, int64_t watermark_ms, bool commit)
{
    struct err err;
    struct txn *txn = txn_begin(f->store);
    bool ok = dedupe_write(f->dedupe, txn, watermark_ms, &err);
    if (ok && commit)
        ok = txn_commit(&txn, NULL, &err);
    else
        txn_abort(&txn);
    return ok;
}

static void commit(struct fixture *f, int64_t watermark_ms)
{
    assert_true(write_batch(f, watermark_ms, true));
    dedupe_clear(f->dedupe);
}

static void test_twice(void **state)
{
    struct fixture *f = *state;
    add(f, id(1, 5 * HOUR));
    assert_int_equal(ask(f, id(1, 5 * HOUR)), DEDUPE_SEEN); /* in the same batch */
    struct dedupe_id other = id(1, 9 * HOUR);
    other.crc++;
    assert_int_equal(ask(f, other), DEDUPE_CONFLICT);
    commit(f, NONE);
    assert_int_equal(ask(f, id(1, 5 * HOUR)), DEDUPE_SEEN); /* in a later one */
    assert_int_equal(ask(f, other), DEDUPE_CONFLICT);       /* whatever its hour */
    assert_int_equal(ask(f, id(2, 5 * HOUR)), DEDUPE_NEW);
    close_store(f);
    open_store(f, 24 * HOUR, NONE);
    assert_int_equal(ask(f, id(1, 5 * HOUR)), DEDUPE_SEEN); /* in a later run */
    assert_int_equal(ask(f, other), DEDUPE_CONFLICT);
    assert_int_equal(ask(f, id(2, 5 * HOUR)), DEDUPE_NEW);
}

#define MANY 300000

/* Of hour 5, the oldest, there are more than one batch reads. */
static void add_hours(struct fixture *f)
{
    for (int i = 0; i < MANY; i++) {
        struct dedupe_id x = id(i, 5 * HOUR);
        dedupe_add(f->dedupe, &x);
    }
    for (int i = 0; i < 300; i++)
        for (int hour = 6; hour < 9; hour++)
            add(f, id(hour * 1000000 + i, hour * HOUR));
    commit(f, NONE);
}

static void assert_held(struct fixture *f)
{
    for (int i = 0; i < MANY; i += 7)
        assert_int_equal(ask(f, id(i, 5 * HOUR)), DEDUPE_SEEN);
    for (int i = 0; i < 300; i++)
        for (int hour = 6; hour < 9; hour++)
            assert_int_equal(ask(f, id(hour * 1000000 + i, hour * HOUR)), DEDUPE_SEEN);
    assert_int_equal(ask(f, id(9000000, 6 * HOUR)), DEDUPE_NEW);
}

/* After a start it is known again, some batches later, in which generations an id may be; until
 * then it is looked for in all of them. */
static void test_learns_what_was_there(void **state)
{
    struct fixture *f = *state;
    add_hours(f);
    close_store(f);
    open_store(f, 24 * HOUR, NONE);
    for (int batch = 0; batch < 5; batch++) {
        assert_held(f);
        assert_int_equal(dedupe_unlearnt(f->dedupe), batch == 0 ? 4 : batch == 1);
        add(f, id(-batch - 1, (5 + batch) * HOUR));
        commit(f, NONE);
    }
    assert_held(f);
    assert_int_equal(dedupe_unlearnt(f->dedupe), 0);
    for (int batch = 0; batch < 5; batch++)
        assert_int_equal(ask(f, id(-batch - 1, (5 + batch) * HOUR)), DEDUPE_SEEN);
}

static void test_failed_commit(void **state)
{
    struct fixture *f = *state;
    add(f, id(1, 5 * HOUR));
    assert_true(write_batch(f, NONE, false));
    assert_int_equal(ask(f, id(1, 5 * HOUR)), DEDUPE_SEEN); /* still of the batch */
    commit(f, NONE);
    assert_int_equal(ask(f, id(1, 5 * HOUR)), DEDUPE_SEEN);
    /* A batch that was never committed has left nothing. */
    add(f, id(2, 5 * HOUR));
    assert_true(write_batch(f, NONE, false));
    close_store(f);
    open_store(f, 24 * HOUR, NONE);
    assert_int_equal(ask(f, id(2, 5 * HOUR)), DEDUPE_NEW);
}

static void test_generations_go(void **state)
{
    struct fixture *f = *state;
    add(f, id(1, 5 * HOUR)); /* in [5h, 6h) */
    add(f, id(2, 6 * HOUR)); /* in [6h, 7h) */
    add(f, id(3, 6 * HOUR - 1));
    commit(f, 30 * HOUR); /* 6h + 24h is reached, not passed */
    assert_int_equal(ask(f, id(1, 5 * HOUR)), DEDUPE_SEEN);
    assert_int_equal(ask(f, id(3, 6 * HOUR - 1)), DEDUPE_SEEN);
    commit(f, 30 * HOUR + 1);
    assert_int_equal(ask(f, id(1, 5 * HOUR)), DEDUPE_GONE);
    assert_int_equal(ask(f, id(3, 6 * HOUR - 1)), DEDUPE_GONE);
    assert_int_equal(
        ask(f, id(4, 6 * HOUR - 1)), DEDUPE_GONE); /* never a second count, nor a first */
    assert_int_equal(ask(f, id(2, 6 * HOUR)), DEDUPE_SEEN);
    assert_int_equal(ask(f, id(5, 6 * HOUR)), DEDUPE_NEW);
    /* The next run knows it from the watermark; one that falls back changes nothing. */
    commit(f, 3 * HOUR);
    assert_int_equal(ask(f, id(1, 5 * HOUR)), DEDUPE_GONE);
    close_store(f);
    open_store(f, 24 * HOUR, 30 * HOUR + 1);
    assert_int_equal(ask(f, id(1, 5 * HOUR)), DEDUPE_GONE);
    assert_int_equal(ask(f, id(2, 6 * HOUR)), DEDUPE_SEEN);
}

/* What is added to a generation that goes with the same batch goes too. */
static void test_added_and_gone(void **state)
{
    struct fixture *f = *state;
    add(f, id(1, 5 * HOUR));
    add(f, id(2, 50 * HOUR));
    commit(f, 40 * HOUR);
    assert_int_equal(ask(f, id(1, 5 * HOUR)), DEDUPE_GONE);
    assert_int_equal(ask(f, id(2, 50 * HOUR)), DEDUPE_SEEN);
}

static void test_before_1970(void **state)
{
    struct fixture *f = *state;
    add(f, id(1, -1));
    add(f, id(2, -HOUR));
    add(f, id(3, -HOUR - 1));
    commit(f, 23 * HOUR + 1); /* -1h + 24h is passed */
    assert_int_equal(ask(f, id(3, -HOUR - 1)), DEDUPE_GONE);
    assert_int_equal(ask(f, id(2, -HOUR)), DEDUPE_SEEN);
    assert_int_equal(ask(f, id(1, -1)), DEDUPE_SEEN);
}

/* Where events may be later, a generation is longer, so that there are never many. */
static void test_long_late(void **state)
{
    struct fixture *f = *state;
    close_store(f);
    open_store(f, 2400 * HOUR, NONE);
    for (int i = 0; i < 2000; i++)
        add(f, id(i, i * HOUR));
    commit(f, NONE);
    for (int i = 0; i < 2000; i++)
        assert_int_equal(ask(f, id(i, i * HOUR)), DEDUPE_SEEN);
    struct store_stats stats;
    store_stats(f->store, &stats);
    assert_true(stats.state_generations <= 30);
    assert_int_equal(ask(f, id(3000, 0)), DEDUPE_NEW);
    commit(f, 2500 * HOUR + 1);
    assert_int_equal(ask(f, id(0, 0)), DEDUPE_GONE);
    assert_int_equal(ask(f, id(1999, 1999 * HOUR)), DEDUPE_SEEN);
}

static void reopen(struct fixture *f, int64_t late_ms, int64_t watermark_ms)
{
    close_store(f);
    open_store(f, late_ms, watermark_ms);
}

/* Ids stay known when generations get shorter or longer. */
static void test_late_changes(void **state)
{
    struct fixture *f = *state;
    int64_t watermark = 1000 * HOUR;
    reopen(f, 120 * HOUR, watermark);
    for (int i = 0; i < 20; i++)
        add(f, id(i, watermark - i * HOUR));
    commit(f, watermark);
    static const int64_t lates[] = {24 * HOUR, 48 * HOUR, 24 * HOUR, 2400 * HOUR, 24 * HOUR};
    for (int k = 0; k < 5; k++) {
        reopen(f, lates[k], watermark);
        for (int i = 0; i < 20 + k; i++)
            assert_int_equal(ask(f, id(i, watermark - i * HOUR)), DEDUPE_SEEN);
        add(f, id(20 + k, watermark - (20 + k) * HOUR));
        commit(f, watermark);
    }
}

/* What went before `late` was longer stays gone, also after a restart, until it is late again. */
static void test_gone_stays_gone(void **state)
{
    struct fixture *f = *state;
    int64_t watermark = 1000 * HOUR;
    add(f, id(1, watermark - 60 * HOUR));
    commit(f, watermark - 50 * HOUR);
    commit(f, watermark);
    assert_int_equal(ask(f, id(1, watermark - 60 * HOUR)), DEDUPE_GONE);
    for (int i = 0; i < 2; i++) {
        reopen(f, 240 * HOUR, watermark);
        assert_int_equal(ask(f, id(1, watermark - 60 * HOUR)), DEDUPE_GONE);
        add(f, id(2 + i, watermark - 10 * HOUR));
        commit(f, watermark);
    }
    assert_int_equal(ask(f, id(2, watermark - 10 * HOUR)), DEDUPE_SEEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_twice, setup, teardown),
        cmocka_unit_test_setup_teardown(test_learns_what_was_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failed_commit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_generations_go, setup, teardown),
        cmocka_unit_test_setup_teardown(test_added_and_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_before_1970, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_late, setup, teardown),
        cmocka_unit_test_setup_teardown(test_late_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gone_stays_gone, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
