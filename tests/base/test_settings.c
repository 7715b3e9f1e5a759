#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/nearest.h"
#include "base/settings.h"

static void test_nearest(void **state)
{
    static const struct slice words[] = {
        {"topics", 6}, {"key", 3}, {"event_time", 10}, {"event_id", 8}, {"at", 2}};
    static const struct {
        const char *word;
        int want;
    } cases[] = {
        {"topcis", 0},
        {"topic", 0},
        {"Topics", 0},
        {"tpics", 0},
        {"keys", 1},
        {"kye", 1},
        {"event_tiem", 2},
        {"eventtime", 2},
        {"event_i", 3},
        {"ta", 4},
        {"xyz", -1},
        {"", -1},
        {"t", 4},
        {"completely_else", -1},
        {"a_word_that_is_much_longer_than_any_word_that_could_be_meant_by_it", -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (nearest_find(slice_from(cases[i].word), words, 5) != cases[i].want)
            fail_msg("%s", cases[i].word);
}

static void test_durations(void **state)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1: not a duration */
    } cases[] = {
        {"5s", 5000},
        {"500ms", 500},
        {"24h", 86400000},
        {"1h30m", 5400000},
        {"1d", 86400000},
        {"2w", 1209600000},
        {"1y", 31536000000},
        {"0s", 0},
        {"1m1ms", 60001},
        {"100y", 3153600000000},
        {"", -1},
        {"5", -1},
        {"s", -1},
        {"-5s", -1},
        {"5 s", -1},
        {"1.5h", -1},
        {"30m1h", -1},
        {"1h1h", -1},
        {"5sec", -1},
        {"101y", -1},
        {"99999999999999999999s", -1},
        {"5S", -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t ms = -1;
        duration_setting_parse(slice_from(cases[i].text), &ms);
        if (ms != cases[i].ms)
            fail_msg("%s: %lld", cases[i].text, (long long)ms);
    }
}

struct fixture {
    struct arena arena;
    struct err_list errors;
    struct settings settings;
    struct yaml_node *root;
};

static void set_up(struct fixture *f, const char *text)
{
    struct err err;
    *f = (struct fixture){0};
    arena_init(&f->arena, 0);
    f->settings = (struct settings){&f->errors, &f->arena};
    assert_true(yaml_parse(slice_from(text), "f", &f->arena, &f->root, &err));
}

static void tear_down(struct fixture *f)
{
    arena_fini(&f->arena);
    err_list_fini(&f->errors);
}

static void test_scalars(void **state)
{
    struct fixture f;
    int64_t n = 0;
    uint64_t bytes = 0;
    bool yes = false;
    struct slice text;
    (void)state;
    set_up(
        &f, "{i: -9223372036854775808, j: 9223372036854775807, b: true, m: 512MiB, z: 0B, t: x}");
    struct yaml_node *r = f.root;
    assert_true(settings_int(&f.settings, yaml_get(r, "i"), "i", INT64_MIN, INT64_MAX, &n));
    assert_true(n == INT64_MIN);
    assert_true(settings_int(&f.settings, yaml_get(r, "j"), "j", INT64_MIN, INT64_MAX, &n));
    assert_true(n == INT64_MAX);
    assert_true(settings_bool(&f.settings, yaml_get(r, "b"), "b", &yes) && yes);
    assert_true(settings_bytes(&f.settings, yaml_get(r, "m"), "m", &bytes));
    assert_int_equal(bytes, 512u << 20);
    assert_true(settings_bytes(&f.settings, yaml_get(r, "z"), "z", &bytes) && bytes == 0);
    assert_true(settings_text(&f.settings, yaml_get(r, "t"), "t", &text) && slice_is(text, "x"));
    assert_int_equal(f.errors.n, 0);
    tear_down(&f);
}

static void test_mistakes(void **state)
{
    static const char *const known[] = {"alpha", "beta"}, *const choices[] = {
                                                              "one", "two", "three"};
    struct fixture f;
    int64_t n = 7;
    uint64_t bytes;
    bool yes;
    int choice;
    struct slice text;
    (void)state;
    set_up(&f, "a: 9223372036854775808\nb: yes\nc: 12MB\nd: four\ne: [1]\nf:\ng: 5x\nalhpa: 1\n");
    struct settings *s = &f.settings;
    struct yaml_node *r = f.root;
    assert_false(settings_int(s, yaml_get(r, "a"), "'a'", 0, 10, &n));
    assert_int_equal(n, 7);
    assert_false(settings_bool(s, yaml_get(r, "b"), "'b'", &yes));
    assert_false(settings_bytes(s, yaml_get(r, "c"), "'c'", &bytes));
    assert_false(settings_choice(s, yaml_get(r, "d"), "'d'", choices, 3, &choice));
    assert_false(settings_text(s, yaml_get(r, "e"), "'e'", &text));
    assert_false(settings_text(s, yaml_get(r, "f"), "'f'", &text));
    assert_false(settings_duration(s, yaml_get(r, "g"), "'g'", &n));
    assert_false(settings_names(s, yaml_get(r, "e"), "'e'"));
    assert_false(settings_sequence(s, r, "the file"));
    assert_null(settings_need(s, r, "h", "write h"));
    static const char *const want[] = {
        "'a' must be a whole number from 0 to 10, not '9223372036854775808'",
        "'b' must be true or false, not 'yes'",
        "'c' must be a size such as 512MiB or 2GiB, not '12MB'",
        "'d' must be one, two or three, not 'four'",
        "'e' must be a single value, it is a list",
        "'f' has no value",
        "'g' must be a duration such as 5s, 30m, 24h or 1h30m, not '5x'",
        "'e' must be a mapping of keys and values, it is a list",
        "the file must be a list such as [a, b], it is a mapping",
        "'h' is missing: write h",
    };
    assert_int_equal(f.errors.n, 10);
    for (size_t i = 0; i < 10; i++)
        assert_string_equal(f.errors.items[i].text, want[i]);
    assert_true(settings_mapping(s, r, "it", known, 2));
    assert_string_equal(
        f.errors.items[f.errors.n - 1].text, "unknown key 'alhpa', did you mean 'alpha'?");
    assert_int_equal(f.errors.items[f.errors.n - 1].line, 8);
    tear_down(&f);
}

static void test_list(void **state)
{
    struct err_list list = {0};
    struct err err;
    (void)state;
    for (int i = 0; i < ERR_LIST_MAX + 5; i++) {
        err_set(&err, ERR_INVALID, "%d", i);
        err_at(&err, "f", i % 3, 5 - i % 2);
        err_list_add(&list, &err);
    }
    assert_int_equal(list.n, ERR_LIST_MAX);
    err_list_sort(&list);
    for (size_t i = 1; i < list.n; i++) {
        const struct err *a = &list.items[i - 1], *b = &list.items[i];
        assert_true(a->line < b->line || (a->line == b->line && a->col <= b->col));
        if (a->line == b->line && a->col == b->col)
            assert_true(atoi(a->text) < atoi(b->text));
    }
    err_list_fini(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
