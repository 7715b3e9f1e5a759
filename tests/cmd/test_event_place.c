/* Where in an event's JSON the mistake is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cmd/event_place.h"

static void check_field(const char *json, const char *name, size_t want)
{
    size_t got = event_place_field(slice_from(json), slice_from(name));
    if (got != want)
        print_error("%s: '%s' at %zu, not %zu\n", json, name, got, want);
    assert_int_equal(got, want);
}

static void test_fields(void **state)
{
    (void)state;
    check_field("{\"a\":1}", "a", 2);
    check_field(" { \"a\" : 1, \"b\":2}", "b", 13);
    check_field("{\"a\":1,\"a\":2}", "a", 8);
    check_field("{\"b\":{\"a\":1}}", "a", 0);
    check_field("{\"b\":[\"a\",\"a\"],\"a\":1}", "a", 16);
    check_field("{\"b\":\"a\"}", "a", 0);
    check_field("{\"b\":\"\\\",\\\"a\\\":1\",\"a\":1}", "a", 19);
    check_field("{\"ab\":1}", "a", 0);
    check_field("[\"a\"]", "a", 0);
    /* No JSON: whatever it says, it says it of these bytes. */
    static const char *const broken[] = {
        "", "{", "}", "\"", "{\"", "{\"a", "{\"\\", "]]]{\"a\":", "{\"a\":1,,\"a\"", "{{{\"a\""};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        size_t at = event_place_field(slice_from(broken[i]), SLICE("a"));
        assert_true(at <= strlen(broken[i]));
    }
}

static void check_malformed(const char *json, size_t len, size_t want)
{
    size_t got = event_place_malformed(slice_of(json, len));
    if (got != want)
        print_error("%.40s: at %zu, not %zu\n", json, got, want);
    assert_int_equal(got, want);
}

static void test_malformed(void **state)
{
    char deep[2000];
    (void)state;
    check_malformed("{\"a\":1}", 7, 0);
    check_malformed("[1]", 3, 1);
    check_malformed("", 0, 1);
    check_malformed("{\"a\":1]", 7, 7);
    check_malformed("{\"a\":01}", 8, 6);
    check_malformed("{\"a\":1} x", 9, 9);
    check_malformed("{\"a\":\"\xff\"}", 9, 6);
    /* Brackets in strings are no levels. */
    check_malformed("{\"a\":\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"}", 49, 0);
    /* As deep as may be, and one deeper: the object is a level. */
    int n = snprintf(deep, sizeof deep, "{\"a\":%.31s%.31s}", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
        "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
    check_malformed(deep, (size_t)n, 0);
    n = snprintf(deep, sizeof deep, "{\"a\":%.32s%.32s}", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
        "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
    check_malformed(deep, (size_t)n, 5 + 32);
    /* Deeper than any parser wants to be. */
    memcpy(deep, "{\"a\":", 5);
    memset(deep + 5, '[', sizeof deep - 5);
    check_malformed(deep, sizeof deep, 5 + 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
