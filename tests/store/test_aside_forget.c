/*
 * Forgetting series while segments are set aside, or cannot be read: none goes that may have cells
 * there, so answers are errors and not empty, and what comes back has all its series. Deletions
 * wait only for what they reach.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "store/read.h"
#include "store/store_priv.h"
#include "tests/store/support/aside.h"

#define DAY   ASIDE_DAY
#define BLOCK ASIDE_BLOCK

static const struct aside_cells tenth = {.metric = "o",
    .kind = KIND_LEVEL,
    .series = 200,
    .from = 10 * DAY,
    .to = 10 * DAY + BLOCK,
    .noisy = true};

/* 200 series on day 10; all but every tenth of them on day 12 too. */
static int setup(void **state)
{
    aside_setup(state);
    struct aside *f = *state;
    aside_fill(f, 0, DAY);
    aside_write(f, &tenth);
    for (int i = 0; i < 200; i++) {
        struct aside_cells c = tenth;
        c.from = 12 * DAY;
        c.to = 12 * DAY + BLOCK;
        c.first = i;
        c.series = 1;
        if (i % 10 != 1)
            aside_write(f, &c);
    }
    aside_maintain(f, 13 * DAY + BLOCK);
    return 0;
}

static int64_t day_10(struct aside *f, const char *name)
{
    struct aside_answer a =
        aside_ask(f, &(struct aside_question){.metric = "o", .from = 10 * DAY, .to = 11 * DAY});
    if (a.failed)
        assert_non_null(strstr(a.text, name));
    return a.failed ? -1 : a.sum;
}

/* An error stays one, and after a repair all series are there. */
static void test_what_is_damaged(void **state)
{
    struct aside *f = *state;
    char name[SEGMENT_NAME_MAX];
    aside_set_aside(f, &(struct aside_which){10 * DAY, 0, 0}, name);
    while (aside_find(f, &(struct aside_which){10 * DAY, DAY, -1}, name))
        aside_set_aside(f, &(struct aside_which){10 * DAY, DAY, -1}, name);
    for (int round = 0; round < 2; round++) {
        aside_delete(f, "m_total", NULL, 0, DAY);
        aside_maintain(f, 13 * DAY + BLOCK);
        assert_int_equal(aside_stats(f).deletions_pending, 0);
        assert_int_equal(day_10(f, "864000000-"), -1);
        aside_reopen(f);
    }
    for (size_t i = 0; i < f->store->n_quarantined; i++) /* whole again, as from a backup */
        if (!f->store->quarantined[i].derived)
            snprintf(name, sizeof name, "%s", f->store->quarantined[i].name);
    aside_damage(f, name, false);
    aside_repair(f);
    aside_reopen(f);
    assert_int_equal(day_10(f, name), aside_total(&tenth, 0, 11 * DAY));
}

/* The same of what the disk does not give; the deletion of another day is carried out. */
static void test_what_cannot_be_read(void **state)
{
    struct aside *f = *state;
    const char *name = "864000000-";
    aside_unreadable(name);
    aside_reopen(f);
    aside_delete(f, "m_total", NULL, 0, DAY);
    aside_maintain(f, 13 * DAY + BLOCK);
    assert_int_equal(aside_stats(f).deletions_pending, 0);
    assert_int_equal(day_10(f, name), -1);
    f->options.retention =
        (struct retention){.raw_ms = 8 * DAY, .minute_ms = 8 * DAY, .hour_ms = 8 * DAY};
    aside_reopen(f);
    aside_maintain(f, 14 * DAY + BLOCK);
    assert_int_equal(day_10(f, name), -1);
    aside_unreadable(NULL);
    aside_reopen(f);
    assert_int_equal(day_10(f, name), aside_total(&tenth, 0, 11 * DAY));
    assert_int_equal(aside_listed(f, "o", 0, 20 * DAY, ""), 200);
}

/* A page that is not given when a deletion elsewhere has been carried out. */
static void test_a_page_that_cannot_be_read(void **state)
{
    struct aside *f = *state;
    aside_reopen(f);
    aside_delete(f, "m_total", NULL, 0, DAY);
    aside_unreadable("864000000-");
    aside_maintain(f, 13 * DAY + BLOCK);
    assert_int_equal(aside_stats(f).deletions_pending, 0);
    aside_unreadable(NULL);
    assert_int_equal(day_10(f, ""), aside_total(&tenth, 0, 11 * DAY));
}

/* Who is deleted everywhere is forgotten, whatever is set aside. */
static void test_who_is_deleted(void **state)
{
    struct aside *f = *state;
    char name[SEGMENT_NAME_MAX];
    aside_set_aside(f, &(struct aside_which){10 * DAY, DAY, RESOLUTION_1D}, name);
    aside_set_aside(f, &(struct aside_which){12 * DAY, DAY, RESOLUTION_1D}, name);
    assert_int_equal(aside_delete(f, "m_total", NULL, INT64_MIN, INT64_MAX), 1);
    aside_maintain(f, 13 * DAY + BLOCK);
    assert_int_equal(aside_stats(f).deletions_pending, 0);
    assert_int_equal(aside_delete(f, "m_total", NULL, INT64_MIN, INT64_MAX), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_damaged, setup, aside_teardown),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_read, setup, aside_teardown),
        cmocka_unit_test_setup_teardown(test_a_page_that_cannot_be_read, setup, aside_teardown),
        cmocka_unit_test_setup_teardown(test_who_is_deleted, setup, aside_teardown),
    };
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
