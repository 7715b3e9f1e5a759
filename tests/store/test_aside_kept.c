/*
 * Coarser cells that are all there is of a window, and one of their segments is set aside: answers
 * are exact or name it, whatever comes later.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "store/metadata.h"
#include "store/read.h"
#include "store/store_priv.h"
#include "tests/store/support/aside.h"

#define DAY  ASIDE_DAY
#define HOUR ASIDE_HOUR

/* The first day is kept as 1h and, of the level, 1d. */
static int setup(void **state)
{
    aside_setup(state);
    struct aside *f = *state;
    aside_fill(f, 0, DAY);
    aside_maintain(f, DAY);
    f->options.retention.raw_ms = DAY;
    aside_reopen(f);
    aside_fill(f, 3 * DAY, 4 * DAY);
    aside_maintain(f, 4 * DAY);
    assert_int_equal(aside_opening(f, "open", DAY, ""), 144);
    return 0;
}

static void set_aside(struct aside *f, int64_t resolution, char *name)
{
    aside_set_aside(f, &(struct aside_which){0, DAY, resolution}, name);
}

/* Of the first day. */
static int64_t hours(struct aside *f, const char *name)
{
    struct aside_answer a =
        aside_ask(f, &(struct aside_question){.metric = "m_total", .to = DAY, .resolution = HOUR});
    if (a.failed)
        assert_non_null(strstr(a.text, name));
    return a.failed ? -1 : a.sum;
}

/* Late cells do not take the place of what is set aside: they wait, and nothing of them is lost. */
static void test_late_cells_wait_for_the_day(void **state)
{
    struct aside *f = *state;
    char name[SEGMENT_NAME_MAX];
    set_aside(f, RESOLUTION_1D, name);
    assert_int_equal(aside_opening(f, "open", DAY, name), 144);
    aside_fill(f, 0, ASIDE_EVERY);
    for (int round = 0; round < 3; round++) {
        aside_maintain(f, (4 + round) * DAY);
        assert_int_equal(hours(f, name), 145);
        assert_int_equal(aside_opening(f, "open", DAY, name), 145);
        assert_int_equal(aside_opening(f, "open", 2 * DAY, name), 145);
        if (round == 1)
            aside_reopen(f);
    }
    /* Whole again. */
    aside_damage(f, name, false);
    assert_int_equal(aside_repair(f), 1);
    aside_reopen(f);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(hours(f, name), 145);
        assert_int_equal(aside_opening(f, "open", DAY, name), 145);
        aside_maintain(f, 7 * DAY);
    }
    assert_false(aside_find(f, &(struct aside_which){.t0 = 0, .resolution = 0}, name));
}

static void test_late_cells_wait_for_the_hours(void **state)
{
    struct aside *f = *state;
    char name[SEGMENT_NAME_MAX];
    set_aside(f, RESOLUTION_1H, name);
    assert_int_equal(hours(f, name), -1);
    aside_fill(f, 0, ASIDE_EVERY);
    for (int round = 0; round < 3; round++) {
        aside_maintain(f, (4 + round) * DAY);
        assert_int_equal(hours(f, name), -1);
        assert_int_equal(aside_opening(f, "open", DAY, name), 145);
    }
    aside_damage(f, name, false);
    assert_int_equal(aside_repair(f), 1);
    aside_reopen(f);
    aside_maintain(f, 7 * DAY);
    assert_int_equal(hours(f, name), 145);
    assert_int_equal(aside_opening(f, "open", HOUR, name), 7);
}

/* Inside the day the hours are needed: the day's cell ends too late. */
static void test_an_opening_inside_the_day(void **state)
{
    struct aside *f = *state;
    char name[SEGMENT_NAME_MAX];
    assert_int_equal(aside_opening(f, "open", DAY / 2, ""), 72);
    set_aside(f, RESOLUTION_1H, name);
    assert_int_equal(aside_opening(f, "open", DAY / 2, name), -1);
    assert_int_equal(aside_opening(f, "open", DAY - 1, name), -1);
    assert_int_equal(aside_opening(f, "open", DAY, name), 144);
}

static void test_an_opening_inside_without_the_day(void **state)
{
    struct aside *f = *state;
    char name[SEGMENT_NAME_MAX];
    set_aside(f, RESOLUTION_1D, name);
    assert_int_equal(aside_opening(f, "open", DAY / 2, name), 72);
    assert_int_equal(aside_opening(f, "open", DAY - 1, name), 138);
}

/* An hour that is kept reaches into parts of it, from either side. */
static void test_listed_in_part_of_an_hour(void **state)
{
    struct aside *f = *state;
    int64_t t = 10 * HOUR;
    assert_int_equal(aside_listed(f, "m_total", t + HOUR / 6, t + HOUR / 2, ""), 1);
    assert_int_equal(aside_listed(f, "m_total", t - HOUR / 2, t - HOUR / 3, ""), 1);
    assert_int_equal(aside_listed(f, "m_total", t, t + HOUR, ""), 1);
    assert_int_equal(aside_listed(f, "m_total", DAY, DAY + HOUR / 2, ""), 0);
}

static void count_lacks(void *ctx, const struct err *why)
{
    assert_int_equal(why->code, ERR_CORRUPT);
    ++*(int *)ctx;
}

static bool found(void *ctx, struct slice text)
{
    (void)text;
    ++*(int *)ctx;
    return true;
}

/* Who takes it as a warning is told, and gets the rest. */
static void test_listed_with_a_warning(void **state)
{
    struct aside *f = *state;
    const struct aside_cells later = {
        .metric = "o", .kind = KIND_COUNTER, .series = 3, .from = 4 * DAY, .to = 4 * DAY + HOUR};
    char name[SEGMENT_NAME_MAX];
    int lacks = 0, names = 0;
    struct listing listing = {
        .from_ms = 0, .to_ms = 9 * DAY, .lacks = count_lacks, .lacks_ctx = &lacks};
    struct err err = {0};
    aside_write(f, &later);
    aside_maintain(f, 4 * DAY + ASIDE_BLOCK);
    assert_true(store_label_values(f->store, &listing, SLICE("__name__"), found, &names, &err));
    assert_int_equal(names, 3);
    assert_int_equal(lacks, 0);
    aside_set_aside(f, &(struct aside_which){3 * DAY, DAY, 0}, name);
    assert_int_equal(aside_listed(f, "o", 0, 3 * DAY + HOUR, name), -1);
    listing.to_ms = 3 * DAY + HOUR;
    names = 0;
    assert_true(store_label_values(f->store, &listing, SLICE("__name__"), found, &names, &err));
    assert_int_equal(names, 2); /* of the first day */
    assert_true(lacks > 0);
}

static unsigned whole(struct aside *f)
{
    struct matcher m = {MATCH_EQUAL, SLICE("__name__"), SLICE("m_total"), NULL};
    struct snapshot *s = snapshot_get(f->store);
    struct plan *plan;
    struct err err = {0};
    unsigned whole;
    assert_true(plan_new(s, NULL, &m, 1, NULL, &plan, &err));
    plan_range(plan, 0, 0, DAY);
    assert_true(plan_whole(plan, 0, 0, DAY, &whole, &err));
    snapshot_put(&s);
    return whole;
}

/* Nobody is sent to raw cells that are gone. */
static void test_whole(void **state)
{
    struct aside *f = *state;
    char name[SEGMENT_NAME_MAX];
    assert_int_equal(whole(f), WHOLE_1H);
    set_aside(f, RESOLUTION_1H, name);
    assert_int_equal(whole(f) & WHOLE_RAW, 0);
    assert_int_equal(whole(f) & WHOLE_1H, WHOLE_1H);
    assert_int_equal(hours(f, name), -1);
}

/* A deletion reaches what is set aside; what is lost with it is told for good, and only to who
 * needed it. */
static void test_a_mark_is_told(void **state)
{
    struct aside *f = *state;
    const struct aside_cells many = {.metric = "o",
        .kind = KIND_LEVEL,
        .series = 3000,
        .from = 4 * DAY,
        .to = 5 * DAY,
        .noisy = true};
    const struct aside_which hours_kept = {4 * DAY, DAY, HOUR};
    char name[SEGMENT_NAME_MAX];
    aside_write(f, &many);
    aside_fill(f, 7 * DAY, 8 * DAY);
    aside_maintain(f, 8 * DAY);
    int64_t all = aside_sum(f, "o", HOUR, "");
    assert_int_equal(all, aside_total(&many, 0, 5 * DAY));
    assert_true(aside_find(f, &hours_kept, name));
    aside_damage(f, name, true);
    aside_reopen(f);
    assert_int_equal(aside_delete(f, "o", "005", 0, 5 * DAY), 1);
    struct aside_cells gone = many;
    gone.first = 5;
    gone.series = 1;
    all -= aside_total(&gone, 0, 5 * DAY);
    for (int round = 0; round < 3; round++) {
        aside_maintain(f, 8 * DAY);
        assert_int_equal(aside_stats(f).deletions_pending, 0);
        assert_int_equal(aside_sum(f, "o", HOUR, ".lost-1h-"), -1);
        assert_int_equal(aside_opening(f, "o", 4 * DAY + DAY / 2, ".lost-1h-"), -1);
        assert_int_equal(aside_opening(f, "o", 5 * DAY, ""), all);
        assert_int_equal(aside_sum(f, "o", RESOLUTION_1D, ""), all);
        const struct aside_question part = {
            .metric = "o", .to = 5 * DAY, .resolution = HOUR, .partial = true};
        struct aside_answer a = aside_ask(f, &part);
        assert_true(a.series > 0 && a.series < 2999);
        assert_non_null(strstr(a.text, ".lost-1h-"));
        if (round == 1)
            aside_reopen(f);
    }
    /* Late cells are merged into what is left; it is still told. */
    aside_fill(f, 4 * DAY, 4 * DAY + ASIDE_EVERY);
    aside_maintain(f, 9 * DAY);
    assert_int_equal(aside_sum(f, "o", HOUR, ".lost-1h-"), -1);
    assert_false(aside_find(f, &(struct aside_which){4 * DAY, 0, 0}, name));
}

/* Finer cells that were repaired with losses do not make coarser ones less. */
static void test_finer_ones_with_losses(void **state)
{
    struct aside *f = *state;
    const struct aside_cells fine = {.metric = "o",
        .kind = KIND_COUNTER,
        .every = 20000,
        .series = 100,
        .from = 4 * DAY,
        .to = 4 * DAY + DAY / 2,
        .noisy = true};
    char name[SEGMENT_NAME_MAX];
    aside_write(f, &fine);
    aside_fill(f, 7 * DAY, 8 * DAY);
    aside_maintain(f, 8 * DAY);
    assert_true(aside_find(f, &(struct aside_which){4 * DAY, DAY, RESOLUTION_1M}, name));
    aside_damage(f, name, true);
    assert_int_equal(aside_repair(f), 1);
    aside_reopen(f);
    int64_t all = aside_total(&fine, 0, 5 * DAY);
    int64_t minutes = aside_sum(f, "o", RESOLUTION_1M, "");
    assert_true(minutes > 0 && minutes < all);
    assert_int_equal(aside_sum(f, "o", HOUR, ""), all);
    /* Ten minutes of each: from hours whose minutes are there ten minutes go, else the hour. */
    aside_delete(f, "o", NULL, 4 * DAY + HOUR, 4 * DAY + HOUR + HOUR / 6);
    aside_maintain(f, 8 * DAY);
    assert_int_equal(aside_stats(f).deletions_pending, 0);
    int64_t hour = aside_total(&fine, 4 * DAY + HOUR, 4 * DAY + 2 * HOUR);
    int64_t part = aside_total(&fine, 4 * DAY + HOUR, 4 * DAY + HOUR + HOUR / 6);
    int64_t left = aside_sum(f, "o", HOUR, "");
    assert_true(left > all - hour && left < all - part);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_late_cells_wait_for_the_day, setup, aside_teardown),
        cmocka_unit_test_setup_teardown(test_late_cells_wait_for_the_hours, setup, aside_teardown),
        cmocka_unit_test_setup_teardown(test_an_opening_inside_the_day, setup, aside_teardown),
        cmocka_unit_test_setup_teardown(
            test_an_opening_inside_without_the_day, setup, aside_teardown),
        cmocka_unit_test_setup_teardown(test_listed_in_part_of_an_hour, setup, aside_teardown),
        cmocka_unit_test_setup_teardown(test_listed_with_a_warning, setup, aside_teardown),
        cmocka_unit_test_setup_teardown(test_whole, setup, aside_teardown),
        cmocka_unit_test_setup_teardown(test_a_mark_is_told, setup, aside_teardown),
        cmocka_unit_test_setup_teardown(test_finer_ones_with_losses, setup, aside_teardown),
    };
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
