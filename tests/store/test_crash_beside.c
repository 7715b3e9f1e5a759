/*
 * As test_crash, with others at work: another writer, and retention. Days go by age or by bytes,
 * while others are compacted and persons are deleted: what may not be gone is there whatever
 * happens, and when retention has come to its end in the store that was opened anew, nothing else
 * is, in cells, coarser cells or files.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/store/support/crash_program.h"

/* Another writer commits in the middle of maintenance. */
static void test_commits_beside_maintenance(void **state)
{
    (void)state;
    crash_prove((struct crash_plan){.script = {.seed = crash_seed() + 5, .beside = true},
        .steps = 120,
        .kills = 1,
        .power_losses = crash_long() ? 3 : 0,
        .second_crashes = 3});
}

/* ---- with retention ---- */

#define RETAINING_STEPS 80
#define THIN            13 /* every so manieth point with retention; all in longer runs */

/* The steps in which retention is at work: in `make check` some of their points, in longer runs
 * each. */
static void run_retaining(enum script_retention retention, uint64_t plus)
{
    bool all = crash_long();
    crash_prove((struct crash_plan){.script = {.seed = crash_seed() + plus, .retention = retention},
        .steps = RETAINING_STEPS,
        .kills = 1,
        .power_losses = 3,
        .second_crashes = 3,
        .faults = 1,
        .every = all ? 1 : THIN,
        .in_turn = !all,
        .retaining = true});
}

static void test_retention_by_age(void **state)
{
    (void)state;
    run_retaining(RETAIN_BY_AGE, 3);
}

static void test_retention_by_bytes(void **state)
{
    (void)state;
    run_retaining(RETAIN_BY_BYTES, 4);
}

int main(int argc, char **argv)
{
    (void)argc;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commits_beside_maintenance),
        cmocka_unit_test(test_retention_by_age),
        cmocka_unit_test(test_retention_by_bytes),
    };
    return crash_program(argv) ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
