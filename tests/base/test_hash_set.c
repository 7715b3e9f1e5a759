/* A set of hashes against a plain array; those with one half in common. */
#include "base/hash_set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct hash128 hash_of(uint64_t i)
{
    return (struct hash128){i % 7, i / 7};
}

static void test_members(void **state)
{
    (void)state;
    struct hash_set set;
    hash_set_init(&set);
    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < 1000; i += 2)
            assert_true(hash_set_add(&set, hash_of(i)));
        for (uint64_t i = 0; i < 1000; i++)
            assert_int_equal(hash_set_has(&set, hash_of(i)), i % 2 == 0);
        assert_false(hash_set_add(&set, hash_of(500)));
        assert_int_equal(set.n, 500);
        hash_set_clear(&set);
        assert_false(hash_set_has(&set, hash_of(500)));
    }
    hash_set_fini(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_members)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
