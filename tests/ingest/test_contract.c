#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ingest/contract.h"

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(refusal_name(REFUSED_MALFORMED), "malformed");
    assert_string_equal(refusal_name(REFUSED_SCHEMA), "schema");
    assert_string_equal(refusal_name(REFUSED_MISSING), "missing");
    assert_string_equal(refusal_name(REFUSED_TYPE), "type");
    assert_string_equal(refusal_name(REFUSED_RANGE), "range");
    assert_string_equal(refusal_name(REFUSED_NOT_ALLOWED), "not_allowed");
    assert_string_equal(refusal_name(REFUSED_LATE), "late");
    assert_string_equal(refusal_name(REFUSED_AHEAD), "ahead");
}

static void test_record_time(void **state)
{
    (void)state;
    struct contract c = {.late_ms = 1000, .ahead_ms = 300};
    int64_t at;
    assert_int_equal(contract_judge_time(&c, 5000, 5000, 9000, &at), REFUSED_NOT);
    assert_int_equal(contract_judge_time(&c, 5000, 6000, 9000, &at), REFUSED_NOT);
    assert_int_equal(contract_judge_time(&c, 5000, 6001, 9000, &at), REFUSED_LATE);
    assert_int_equal(at, 6001);
    assert_int_equal(contract_judge_time(&c, 5000, 4700, 9000, &at), REFUSED_NOT);
    assert_int_equal(contract_judge_time(&c, 5000, 4699, 9000, &at), REFUSED_AHEAD);
    assert_int_equal(at, 4699);
    assert_int_equal(contract_judge_time(&c, 5000, INT64_MIN, 9000, &at), REFUSED_NOT);
    assert_true(at == INT64_MIN);
    assert_int_equal(contract_judge_time(&c, INT64_MIN, INT64_MAX, 0, &at), REFUSED_LATE);
    assert_int_equal(contract_judge_time(&c, INT64_MAX, INT64_MIN + 1, 0, &at), REFUSED_AHEAD);
}

/* Late by what the partition has shown before, early by the record. */
static void test_partition_time(void **state)
{
    (void)state;
    struct contract c = {.late_ms = 1000, .ahead_ms = 300, .arrival_partition = true};
    int64_t at;
    assert_int_equal(contract_judge_time(&c, 5000, INT64_MAX, 6000, &at), REFUSED_NOT);
    assert_int_equal(contract_judge_time(&c, 5000, INT64_MAX, 6001, &at), REFUSED_LATE);
    assert_int_equal(at, 6001);
    assert_int_equal(contract_judge_time(&c, 5000, 4700, 10, &at), REFUSED_NOT);
    assert_int_equal(contract_judge_time(&c, 5000, 4699, 10, &at), REFUSED_AHEAD);
    assert_int_equal(at, 4699);
    assert_int_equal(contract_judge_time(&c, 5000, INT64_MIN, 10, &at), REFUSED_NOT);
    assert_int_equal(contract_judge_time(&c, 5000, 9000, INT64_MIN, &at), REFUSED_NOT);
    assert_true(at == INT64_MIN);
    assert_int_equal(contract_judge_time(&c, INT64_MAX, INT64_MAX - 300, 0, &at), REFUSED_NOT);
    assert_int_equal(contract_judge_time(&c, INT64_MAX, INT64_MIN + 1, 0, &at), REFUSED_AHEAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_record_time),
        cmocka_unit_test(test_partition_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
