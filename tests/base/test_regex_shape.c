/* Patterns that are answered without the automaton match what the automaton matches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/regex.h"
#include "base/regex_shape.h"

static enum regex_shape_kind kind_of(const char *pattern)
{
    struct regex_shape shape;
    regex_shape_init(&shape, slice_from(pattern));
    enum regex_shape_kind kind = shape.kind;
    regex_shape_fini(&shape);
    return kind;
}

static void test_kinds(void **state)
{
    static const char *const words[] = {
        "a", "a|b", "(a|b)", "(?:a|b|)", "|", "a\\.b|c", "a_b-c:d/e", "()"};
    static const char *const around[] = {"a.*", ".*", ".+", ".*a", "(.*a.+)", "(?:a.*?)", "a\\..+"};
    static const char *const none[] = {"", "a.b", "a*", "a+b", "(a)|(b)", "(?i)a", "(?i:a)", "[ab]",
        "a.*b", "a.*|b", "^a", "a$", "\\d", "a{2}", "(?P<x>a)", "(a", "a|b.*", ".*.", "\\pN", "é"};
    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        assert_int_equal(kind_of(words[i]), SHAPE_WORDS);
    for (size_t i = 0; i < sizeof around / sizeof *around; i++)
        assert_int_equal(kind_of(around[i]), SHAPE_AROUND);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(kind_of(none[i]), SHAPE_NONE);
}

static uint64_t seed = 0x9e3779b97f4a7c15u;

static uint32_t below(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

/* Random patterns of few characters, each beside itself in a form that has no shape. */
static void test_like_the_automaton(void **state)
{
    static const char alphabet[] = "aab|.*.+()?\\-";
    unsigned shaped = 0, matched = 0;
    (void)state;
    for (int round = 0; round < 40000; round++) {
        char pattern[12] = "", plain[32], text[8];
        size_t n = 1 + below(8);
        for (size_t i = 0; i < n; i++)
            pattern[i] = alphabet[below(sizeof alphabet - 1)];
        snprintf(plain, sizeof plain, "(?:%s){1}", pattern);
        struct regex *quick, *slow;
        struct err err;
        if (!regex_new(slice_from(pattern), &quick, &err))
            continue;
        assert_true(regex_new(slice_from(plain), &slow, &err));
        for (int k = 0; k < 20 && kind_of(pattern) != SHAPE_NONE; k++) {
            size_t len = below(5);
            for (size_t i = 0; i < len; i++)
                text[i] = "ab.-\n"[below(5)];
            bool expected = regex_match(slow, slice_of(text, len));
            if (regex_match(quick, slice_of(text, len)) != expected)
                fail_msg(
                    "pattern %s, text %.*s: automaton says %d", pattern, (int)len, text, expected);
            matched += expected;
            shaped += k == 0;
        }
        regex_free(&quick);
        regex_free(&slow);
    }
    assert_true(shaped > 1000 && matched > 1000);
}

static void test_words(void **state)
{
    struct regex *regex;
    struct err err;
    size_t n;
    (void)state;
    assert_true(regex_new(SLICE("b|a\\.|b|a"), &regex, &err));
    const struct slice *words = regex_words(regex, &n);
    assert_int_equal(n, 3);
    assert_true(slice_is(words[0], "a") && slice_is(words[1], "a.") && slice_is(words[2], "b"));
    regex_free(&regex);
    assert_true(regex_new(SLICE("b.*"), &regex, &err));
    assert_null(regex_words(regex, &n));
    regex_free(&regex);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_like_the_automaton),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
