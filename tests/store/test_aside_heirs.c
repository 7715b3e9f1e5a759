/*
 * Derived segments that have more than the raw ones left: whatever maintenance does with those
 * beside them, their cells stay, and are deleted where they are to be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/thread.h"
#include "store/read.h"
#include "store/seal.h"
#include "store/store_priv.h"
#include "store/verify_store.h"
#include "tests/store/support/aside.h"

#define DAY   ASIDE_DAY
#define HOUR  ASIDE_HOUR
#define BLOCK ASIDE_BLOCK

static const struct aside_cells big = {
    .metric = "o", .kind = KIND_LEVEL, .series = 500, .to = DAY, .noisy = true};
static const struct aside_cells late = {
    .metric = "late", .kind = KIND_LEVEL, .series = 2, .to = ASIDE_EVERY};

/* A compacted day and a late segment, which derived ones were made of; then the day is set aside.
 */
static int setup(void **state)
{
    aside_setup(state);
    struct aside *f = *state;
    char name[SEGMENT_NAME_MAX];
    aside_write(f, &big);
    aside_fill(f, 0, DAY);
    aside_maintain(f, DAY);
    aside_maintain(f, DAY + 2 * BLOCK);
    aside_write(f, &late);
    aside_maintain(f, DAY + 3 * BLOCK);
    aside_maintain(f, DAY + 5 * BLOCK);
    aside_delete(f, "o", "499", 0, DAY); /* so they are derived anew */
    aside_maintain(f, DAY + 5 * BLOCK);
    assert_true(aside_find(f, &(struct aside_which){0, BLOCK, 0}, name));
    aside_set_aside(f, &(struct aside_which){0, DAY, 0}, name);
    return 0;
}

/* Without those from the first on that are deleted. */
static int64_t big_total(int first, int64_t from)
{
    struct aside_cells c = big;
    c.first = first;
    c.series = 499 - first;
    return aside_total(&c, from, DAY);
}

static void check(struct aside *f, int64_t total)
{
    for (int round = 0; round < 2; round++) {
        assert_int_equal(aside_sum(f, "o", HOUR, ""), total);
        assert_int_equal(aside_sum(f, "o", RESOLUTION_1D, ""), total);
        assert_int_equal(aside_opening(f, "o", DAY, ""), total);
        aside_reopen(f);
    }
}

/* The raw segment beside it is rewritten. */
static void test_a_deletion_beside(void **state)
{
    struct aside *f = *state;
    check(f, big_total(0, 0));
    assert_int_equal(aside_delete(f, "late", "000", 0, DAY), 1);
    assert_int_equal(aside_sum(f, "late", HOUR, ""), 1);
    for (int round = 0; round < 2; round++) {
        aside_maintain(f, DAY + 5 * BLOCK);
        assert_int_equal(aside_stats(f).deletions_pending, 0);
        check(f, big_total(0, 0));
        assert_int_equal(aside_sum(f, "late", HOUR, ""), 1);
        assert_int_equal(aside_sum(f, "late", 0, "0-86400000."), -1);
    }
}

/* Nothing raw is left beside it. */
static void test_all_beside_is_deleted(void **state)
{
    struct aside *f = *state;
    assert_int_equal(aside_delete(f, "late", NULL, 0, DAY), 2);
    aside_maintain(f, DAY + 5 * BLOCK);
    check(f, big_total(0, 0));
    assert_int_equal(aside_sum(f, "late", HOUR, ""), 0);
}

/* The deletion reaches what is set aside, and the derived cells. */
static void test_a_deletion_in_it(void **state)
{
    struct aside *f = *state;
    assert_int_equal(aside_delete(f, "o", "000", 0, DAY), 1);
    check(f, big_total(1, 0));
    aside_maintain(f, DAY + 5 * BLOCK);
    assert_int_equal(aside_stats(f).deletions_pending, 0);
    check(f, big_total(1, 0));
    assert_int_equal(aside_sum(f, "late", HOUR, ""), 2);
}

/* Raw cells have their age: what is kept is made of the derived cells, and what is set aside goes.
 */
static void test_the_age_of_raw_cells(void **state)
{
    struct aside *f = *state;
    struct aside_cells more = late;
    f->options.retention.raw_ms = 4 * DAY;
    aside_reopen(f);
    aside_fill(f, 6 * DAY, 6 * DAY + BLOCK);
    aside_maintain(f, 6 * DAY + BLOCK);
    for (int round = 0; round < 3; round++) {
        check(f, big_total(0, 0));
        assert_int_equal(aside_sum(f, "late", HOUR, ""), 2 + 24 * (round > 0));
        assert_int_equal(aside_sum(f, "late", 0, ""), 0);
        assert_int_equal(aside_sum(f, "o", 0, ""), 0);
        assert_int_equal(aside_stats(f).quarantined, 0);
        if (round == 0) { /* later ones are merged into them */
            more.to = BLOCK;
            aside_write(f, &more);
            aside_maintain(f, 7 * DAY);
        }
        aside_maintain(f, 8 * DAY);
    }
}

/* The same, with late cells that came after the derived ones, and the day's segment damaged too. */
static void test_the_age_without_the_day(void **state)
{
    struct aside *f = *state;
    struct aside_cells more = late;
    char name[SEGMENT_NAME_MAX];
    more.to = BLOCK;
    aside_write(f, &more);
    aside_maintain(f, DAY + 6 * BLOCK);
    aside_maintain(f, DAY + 8 * BLOCK);
    assert_true(aside_find(f, &(struct aside_which){0, DAY, RESOLUTION_1D}, name));
    aside_damage(f, name, false);
    f->options.retention.raw_ms = 4 * DAY;
    aside_reopen(f);
    assert_int_equal(aside_sum(f, "late", HOUR, ""), 26);
    aside_fill(f, 6 * DAY, 6 * DAY + BLOCK);
    for (int round = 0; round < 2; round++) {
        aside_maintain(f, 6 * DAY + BLOCK);
        assert_int_equal(aside_sum(f, "o", HOUR, ""), big_total(0, 0));
        assert_int_equal(aside_sum(f, "late", HOUR, ""), 26);
        int64_t end = aside_opening(f, "o", DAY, "0-86400000.");
        assert_true(end == -1 || end == big_total(0, 0));
        aside_reopen(f);
    }
}

/* Metrics with ages of their own wait for the others: nobody knows whose cells are set aside. */
static void test_ages_of_their_own(void **state)
{
    struct aside *f = *state;
    const struct metric_retention own = {.metric = SLICE("late"), .raw_ms = 2 * DAY};
    f->options.retention = (struct retention){.raw_ms = 6 * DAY, .metrics = &own, .n_metrics = 1};
    aside_reopen(f);
    for (int day = 4; day < 10; day += 4) {
        aside_fill(f, day * DAY, day * DAY + BLOCK);
        aside_maintain(f, day * DAY + BLOCK);
        check(f, big_total(0, 0));
        assert_int_equal(aside_sum(f, "late", HOUR, ""), 2);
        assert_int_equal(aside_stats(f).quarantined, day < 6);
    }
}

/* ---- repair ---- */

/* One page of the day is damaged: the repaired segment lacks cells, what was derived does not. */
static int setup_page(void **state)
{
    aside_setup(state);
    struct aside *f = *state;
    char name[SEGMENT_NAME_MAX];
    aside_write(f, &big);
    aside_maintain(f, DAY);
    assert_true(aside_find(f, &(struct aside_which){0, DAY, 0}, name));
    aside_damage(f, name, true);
    return 0;
}

static void test_a_repair_with_losses(void **state)
{
    struct aside *f = *state;
    struct aside_cells more = late;
    int64_t sum = 0, all = aside_total(&big, 0, DAY);
    assert_int_equal(aside_repair(f), 1);
    assert_int_equal(aside_repair(f), 0);
    aside_reopen(f);
    assert_int_equal(aside_stats(f).quarantined, 0);
    int64_t raw = aside_sum(f, "o", 0, "");
    assert_true(raw > 0 && raw < all);
    for (int i = 0; i < 10; i++) { /* late cells, and compaction of them */
        check(f, all);
        more.from = i * BLOCK;
        more.to = more.from + BLOCK;
        aside_write(f, &more);
        sum += 24;
        aside_maintain(f, DAY + (3 * i + 1) * BLOCK);
        aside_maintain(f, DAY + (3 * i + 3) * BLOCK);
        assert_int_equal(aside_sum(f, "late", HOUR, ""), sum);
        assert_int_equal(aside_sum(f, "late", 0, ""), sum);
    }
    assert_int_equal(aside_sum(f, "o", 0, ""), raw);
    aside_delete(f, "o", "499", 0, DAY);
    aside_maintain(f, 5 * DAY);
    check(f, big_total(0, 0));
    f->options.retention.raw_ms = 4 * DAY;
    aside_reopen(f);
    aside_fill(f, 8 * DAY, 8 * DAY + BLOCK);
    aside_maintain(f, 9 * DAY);
    check(f, big_total(0, 0));
    assert_int_equal(aside_sum(f, "o", 0, ""), 0);
    assert_int_equal(aside_sum(f, "late", HOUR, ""), sum);
    assert_int_equal(aside_repair(f), 0);
    aside_reopen(f);
}

/* What cannot be kept is not taken from the manifest. */
static void test_a_repair_that_cannot_hold_the_file(void **state)
{
    struct aside *f = *state;
    struct verify_result result;
    struct err err = {0};
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/damaged", f->dir);
    FILE *in_the_way = fopen(path, "w");
    assert_non_null(in_the_way);
    fclose(in_the_way);
    assert_false(store_verify(f->dir, VERIFY_REPAIR, NULL, &result, &err));
    assert_int_equal(unlink(path), 0);
    aside_reopen(f);
    assert_int_equal(aside_sum(f, "o", HOUR, ""), aside_total(&big, 0, DAY));
    assert_int_equal(aside_repair(f), 1);
    aside_reopen(f);
    check(f, aside_total(&big, 0, DAY));
}

/* A file that the disk does not give now is not taken for damaged. */
static void test_a_repair_without_the_disk(void **state)
{
    struct aside *f = *state;
    struct verify_result result;
    struct err err = {0};
    aside_unreadable("0-86400000.");
    assert_false(store_verify(f->dir, VERIFY_REPAIR, NULL, &result, &err));
    assert_int_equal(err.code, ERR_IO);
    aside_unreadable(NULL);
    assert_int_equal(aside_repair(f), 1);
    aside_reopen(f);
    check(f, aside_total(&big, 0, DAY));
}

/* ---- compaction ---- */

/* Late segments that came after are merged, the ones that the derived cells are of are not. */
static void test_compaction_beside(void **state)
{
    struct aside *f = *state;
    struct aside_cells more = late;
    more.series = 200;
    more.noisy = true;
    int64_t sum = 2;
    for (int i = 0; i < 12; i++) {
        more.from = (i % 11) * BLOCK;
        more.to = more.from + BLOCK;
        aside_write(f, &more);
        sum += aside_total(&more, 0, DAY);
        aside_maintain(f, DAY + (6 + 3 * i) * BLOCK);
        aside_maintain(f, DAY + (8 + 3 * i) * BLOCK);
        assert_int_equal(aside_sum(f, "late", HOUR, ""), sum);
    }
    assert_true(aside_stats(f).compactions > 0);
    assert_true(aside_stats(f).segments < 12);
    check(f, big_total(0, 0));
}

/* One that is put back lies between what was before it and what came after. */
static void test_the_order_of_commits(void **state)
{
    struct aside *f = *state;
    const struct metric_def def = {.name = SLICE("s"), .kind = KIND_SAMPLE};
    const struct label l = {SLICE("__name__"), def.name};
    struct err err = {0};
    char name[SEGMENT_NAME_MAX] = "";
    for (int v = 1; v <= 3; v++) {
        struct txn *txn = txn_begin(f->store);
        uint32_t metric, id;
        assert_true(txn_metric(txn, &def, &metric, &err));
        assert_true(txn_series(txn, metric, (struct labels){&l, 1}, &id, &err));
        txn_sample(txn, id, 20 * DAY + (v < 3 ? 1000 : 2000), v);
        assert_true(txn_commit(&txn, NULL, &err));
        mutex_lock(&f->store->seal);
        assert_true(seal_block(f->store, 20 * 12, &err));
        mutex_unlock(&f->store->seal);
        if (v == 2)
            assert_true(aside_find(f, &(struct aside_which){20 * DAY, BLOCK, 0}, name));
    }
    aside_damage(f, name, false);
    aside_reopen(f);
    aside_maintain(f, 22 * DAY);
    aside_damage(f, name, false); /* whole again */
    aside_repair(f);
    for (int round = 0; round < 2; round++) {
        aside_reopen(f);
        const struct aside_question q = {.metric = "s", .from = 20 * DAY, .to = 21 * DAY};
        struct aside_answer a = aside_ask(f, &q);
        assert_int_equal(a.cells, 2);
        assert_true(a.first == 2);
        aside_maintain(f, 23 * DAY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_repair_with_losses, setup_page, aside_teardown),
        cmocka_unit_test_setup_teardown(
            test_a_repair_that_cannot_hold_the_file, setup_page, aside_teardown),
        cmocka_unit_test_setup_teardown(test_a_repair_without_the_disk, setup_page, aside_teardown),
        cmocka_unit_test_setup_teardown(test_a_deletion_beside, setup, aside_teardown),
        cmocka_unit_test_setup_teardown(test_all_beside_is_deleted, setup, aside_teardown),
        cmocka_unit_test_setup_teardown(test_a_deletion_in_it, setup, aside_teardown),
        cmocka_unit_test_setup_teardown(test_the_age_of_raw_cells, setup, aside_teardown),
        cmocka_unit_test_setup_teardown(test_the_age_without_the_day, setup, aside_teardown),
        cmocka_unit_test_setup_teardown(test_ages_of_their_own, setup, aside_teardown),
        cmocka_unit_test_setup_teardown(test_compaction_beside, setup, aside_teardown),
        cmocka_unit_test_setup_teardown(test_the_order_of_commits, aside_setup, aside_teardown),
    };
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
