/*
 * Memory for large tables: zeros, aligned, writable to its last byte, and taken only as touched.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/pages.h"

#define MIB ((size_t)1 << 20)

static void test_sizes(void **state)
{
    const size_t sizes[] = {1, 4096, 2 * MIB - 1, 2 * MIB, 5 * MIB + 3};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *p = pages_new(sizes[i]);
        assert_int_equal((uintptr_t)p % (2 * MIB), 0);
        for (size_t k = 0; k < sizes[i]; k++)
            assert_int_equal(p[k], 0);
        p[0] = p[sizes[i] - 1] = 1;
        pages_free(p, sizes[i]);
    }
    pages_free(NULL, 5);
}

static size_t resident_bytes(void)
{
    unsigned long all, resident;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%lu %lu", &all, &resident), 2);
    fclose(f);
    return resident * 4096;
}

static void test_taken_as_touched(void **state)
{
    size_t before = resident_bytes();
    unsigned char *p = pages_new(1024 * MIB);
    (void)state;
    for (size_t i = 0; i < 20; i++)
        p[i * 50 * MIB] = 1;
    assert_in_range(resident_bytes() - before, 20 * 4096, 64 * MIB);
    pages_free(p, 1024 * MIB);
    assert_in_range(resident_bytes(), 0, before + 16 * MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_taken_as_touched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
