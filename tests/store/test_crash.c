/*
 * Cut off at every system call. A script appends, seals, compacts, deletes, checkpoints and opens
 * anew; before every call that changes the disk, children look at what is left after a kill, after
 * several power losses, and go on after a failed call. See support/crash.h and crash_program.h. The
 * library that watches is preloaded by the program itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/store/support/crash_program.h"

static void test_kill_everywhere(void **state)
{
    (void)state;
    crash_prove((struct crash_plan){.script = {.seed = crash_seed()}, .steps = 120, .kills = 1});
}

static void test_power_loss_everywhere(void **state)
{
    (void)state;
    crash_prove((struct crash_plan){.script = {.seed = crash_seed() + 1},
        .steps = 120,
        .power_losses = 3,
        .second_crashes = 3});
}

static void test_fault_everywhere(void **state)
{
    (void)state;
    crash_prove(
        (struct crash_plan){.script = {.seed = crash_seed() + 2}, .steps = 120, .faults = 1});
}

int main(int argc, char **argv)
{
    (void)argc;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kill_everywhere),
        cmocka_unit_test(test_power_loss_everywhere),
        cmocka_unit_test(test_fault_everywhere),
    };
    return crash_program(argv) ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
