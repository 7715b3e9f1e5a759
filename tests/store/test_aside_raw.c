/*
 * Raw segments that are set aside, with and without derived ones that have their cells: answers are
 * exact or name them, no cell counts twice, and ages end what readers are told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "store/read.h"
#include "store/store_priv.h"
#include "tests/store/support/aside.h"

#define DAY   ASIDE_DAY
#define HOUR  ASIDE_HOUR
#define BLOCK ASIDE_BLOCK

static const struct aside_cells others = {
    .metric = "other", .kind = KIND_LEVEL, .series = 500, .to = DAY, .noisy = true};

/* A compacted day, a late segment apart, and derived ones that were made of both. */
static int setup_late(void **state)
{
    aside_setup(state);
    struct aside *f = *state;
    aside_write(f, &others);
    aside_fill(f, 0, DAY);
    aside_maintain(f, DAY);
    aside_maintain(f, DAY + 2 * BLOCK);
    aside_fill(f, 0, ASIDE_EVERY);
    aside_maintain(f, DAY + 3 * BLOCK);
    aside_maintain(f, DAY + 5 * BLOCK);
    aside_delete(f, "other", "499", 0, DAY); /* so they are derived anew */
    aside_maintain(f, DAY + 5 * BLOCK);
    char name[SEGMENT_NAME_MAX];
    assert_true(aside_find(f, &(struct aside_which){0, BLOCK, 0}, name));
    assert_true(aside_find(f, &(struct aside_which){0, DAY, 0}, name));
    assert_true(aside_find(f, &(struct aside_which){0, DAY, HOUR}, name));
    return 0;
}

/* The hours have what is set aside, and the raw cells of the rest: those are not taken beside. */
static void test_a_level_counts_once(void **state)
{
    struct aside *f = *state;
    char name[SEGMENT_NAME_MAX];
    assert_int_equal(aside_opening(f, "open", DAY / 2, ""), 73);
    aside_set_aside(f, &(struct aside_which){0, BLOCK, 0}, name);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(aside_opening(f, "open", DAY / 2, name), 73);
        assert_int_equal(aside_opening(f, "open", DAY, name), 145);
        /* Between two hours nobody can say. */
        assert_int_equal(aside_opening(f, "open", DAY / 2 + ASIDE_EVERY, name), -1);
        aside_maintain(f, DAY + 5 * BLOCK);
    }
}

/* The same while a deletion waits in the window. */
static void test_a_level_counts_once_with_a_deletion(void **state)
{
    struct aside *f = *state;
    char name[SEGMENT_NAME_MAX];
    aside_set_aside(f, &(struct aside_which){0, BLOCK, 0}, name);
    aside_delete(f, "open", NULL, DAY - HOUR, DAY);
    int64_t noon = aside_opening(f, "open", DAY / 2, name);
    int64_t end = aside_opening(f, "open", DAY, name);
    assert_true(noon == 73 || noon == -1);
    assert_true(end == 145 - 6 || end == -1);
    aside_maintain(f, DAY + 5 * BLOCK);
    assert_int_equal(aside_opening(f, "open", DAY / 2, name), 73);
    assert_int_equal(aside_opening(f, "open", DAY, name), 145 - 6);
}

/* A series that has no cell in the window has none in what is set aside. */
static void test_a_level_that_came_later(void **state)
{
    struct aside *f = *state;
    const struct aside_cells later = {
        .metric = "later", .kind = KIND_LEVEL, .series = 1, .from = 2 * DAY, .to = 2 * DAY + BLOCK};
    char name[SEGMENT_NAME_MAX];
    aside_write(f, &later);
    aside_set_aside(f, &(struct aside_which){0, BLOCK, 0}, name);
    assert_int_equal(aside_opening(f, "later", 3 * DAY, name), 12);
}

/* Who wants raw cells is told until their age has come. */
static void test_the_age_of_raw_cells(void **state)
{
    struct aside *f = *state;
    char name[SEGMENT_NAME_MAX];
    aside_fill(f, 0, DAY);
    aside_maintain(f, DAY - 1);
    f->options.retention.raw_ms = 3 * DAY;
    aside_set_aside(f, &(struct aside_which){BLOCK, BLOCK, 0}, name);
    aside_maintain(f, DAY);
    assert_int_equal(aside_sum(f, "m_total", 0, name), -1);
    aside_fill(f, 20 * DAY, 20 * DAY + BLOCK);
    aside_maintain(f, 21 * DAY);
    assert_int_equal(aside_sum(f, "m_total", 0, name), 12);
    assert_int_equal(aside_sum(f, "m_total", HOUR, name), -1);
    assert_int_equal(aside_opening(f, "open", 21 * DAY, name), -1);
}

/* What a level stands at has no age: that cells of it are lost is told for good, without the file,
 * until somebody says that he knows. */
static void test_levels_have_no_age(void **state)
{
    struct aside *f = *state;
    char name[SEGMENT_NAME_MAX];
    aside_fill(f, 0, DAY);
    aside_maintain(f, DAY - 1);
    f->options.retention =
        (struct retention){.raw_ms = 3 * DAY, .minute_ms = 3 * DAY, .hour_ms = 3 * DAY};
    aside_set_aside(f, &(struct aside_which){BLOCK, BLOCK, 0}, name);
    aside_fill(f, 20 * DAY, 20 * DAY + BLOCK);
    for (int round = 0; round < 2; round++) {
        aside_maintain(f, 21 * DAY);
        assert_false(aside_has_file(f, name));
        assert_int_equal(aside_stats(f).quarantined, 1);
        assert_int_equal(aside_sum(f, "m_total", 0, ""), 12);
        assert_int_equal(aside_sum(f, "m_total", HOUR, ""), 12);
        assert_int_equal(aside_opening(f, "open", 21 * DAY, ".lost-1d-"), -1);
        aside_reopen(f);
    }
    assert_int_equal(aside_repair(f), 1);
    aside_reopen(f);
    assert_int_equal(aside_opening(f, "open", 21 * DAY, ""), 144 - 12 + 12);
}

/* Cells that are as long as a resolution are kept in it. */
static void test_hourly_cells_are_kept(void **state)
{
    struct aside *f = *state;
    struct aside_cells c = {
        .metric = "hourly", .kind = KIND_COUNTER, .every = HOUR, .series = 1, .to = DAY};
    aside_write(f, &c);
    c.metric = "stock";
    c.kind = KIND_LEVEL;
    aside_write(f, &c);
    f->options.retention.raw_ms = 2 * DAY;
    aside_reopen(f);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(aside_sum(f, "hourly", HOUR, ""), 24);
        assert_int_equal(aside_sum(f, "hourly", 0, ""), round ? 0 : 24);
        assert_int_equal(aside_opening(f, "stock", DAY, ""), 24);
        assert_int_equal(aside_opening(f, "stock", DAY / 2, ""), 12);
        aside_maintain(f, DAY);
        assert_int_equal(aside_opening(f, "stock", DAY, ""), 24);
        assert_int_equal(aside_opening(f, "stock", DAY / 2, ""), 12);
        aside_fill(f, 3 * DAY, 4 * DAY);
        aside_maintain(f, 4 * DAY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_level_counts_once, setup_late, aside_teardown),
        cmocka_unit_test_setup_teardown(
            test_a_level_counts_once_with_a_deletion, setup_late, aside_teardown),
        cmocka_unit_test_setup_teardown(test_a_level_that_came_later, setup_late, aside_teardown),
        cmocka_unit_test_setup_teardown(test_the_age_of_raw_cells, aside_setup, aside_teardown),
        cmocka_unit_test_setup_teardown(test_levels_have_no_age, aside_setup, aside_teardown),
        cmocka_unit_test_setup_teardown(test_hourly_cells_are_kept, aside_setup, aside_teardown),
    };
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
