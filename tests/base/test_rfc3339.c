#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rfc3339.h"

static int64_t parsed(const char *text)
{
    int64_t ms = INT64_MIN;
    assert_true(rfc3339_parse(slice_from(text), &ms));
    return ms;
}

/* Expected values from date(1): date -u -d TEXT +%s. */
static void test_parses(void **state)
{
    (void)state;
    assert_int_equal(parsed("1970-01-01T00:00:00Z"), 0);
    assert_int_equal(parsed("2015-07-01T20:10:51.781Z"), 1435781451781);
    assert_int_equal(parsed("2015-07-01T22:10:51.7819999+02:00"), 1435781451781);
    assert_int_equal(parsed("2024-02-29T23:59:59Z"), 1709251199000);
    assert_int_equal(parsed("1969-12-31T23:59:59.5Z"), -500);
    assert_int_equal(parsed("0000-01-01T00:00:00Z"), -62167219200000);
    assert_int_equal(parsed("9999-12-31T23:59:59Z"), 253402300799000);
    assert_int_equal(parsed("2026-11-20t18:04:05z"), 1795197845000);
    assert_int_equal(parsed("2026-01-01T00:00:00-05:30"), 1767225600000 + 19800000);
}

static void test_refuses(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "2026", "2026-11-20", "2026-11-20T18:04:05",
        "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-02-29T00:00:00Z",
        "2026-01-32T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:60Z", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+0100", "2026-01-01T00:00:00Zx", " 2026-01-01T00:00:00Z",
        "2026-01-01 00:00:00Z", "26-01-01T00:00:00Z", "-026-01-01T00:00:00Z"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t ms = 42;
        if (rfc3339_parse(slice_from(bad[i]), &ms))
            fail_msg("taken for a time: \"%s\"", bad[i]);
        assert_int_equal(ms, 42);
    }
    int64_t ms = 0;
    assert_false(rfc3339_parse(SLICE("2026-01-01T00:00:00Z\0"), &ms));
}

static void test_formats(void **state)
{
    (void)state;
    char out[RFC3339_MAX];
    assert_int_equal(rfc3339_format(0, out), 20);
    assert_string_equal(out, "1970-01-01T00:00:00Z");
    rfc3339_format(1435781451781, out);
    assert_string_equal(out, "2015-07-01T20:10:51.781Z");
    rfc3339_format(-500, out);
    assert_string_equal(out, "1969-12-31T23:59:59.500Z");
    rfc3339_format(253402300800000, out);
    assert_string_equal(out, "@253402300800");
    rfc3339_format(INT64_MIN, out);
    assert_string_equal(out, "@-9223372036854775");
    rfc3339_format(INT64_MAX, out);
    assert_string_equal(out, "@9223372036854775");
}

/* Every day of 800 years reads back, in order. */
static void test_round_trip(void **state)
{
    (void)state;
    char out[RFC3339_MAX];
    for (int64_t day = -146097; day < 146097; day++) {
        int64_t ms = day * 86400000 + 86399999, back = 0;
        size_t n = rfc3339_format(ms, out);
        assert_true(rfc3339_parse(slice_of(out, n), &back));
        assert_int_equal(back, ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parses),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests_name("rfc3339", tests, NULL, NULL);
}
