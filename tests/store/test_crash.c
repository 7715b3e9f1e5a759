/*
 * Cut off at every system call. A script appends, seals, compacts, deletes, checkpoints and opens
 * anew; before every call that changes the disk, children look at what is left after a kill, after
 * several power losses, and go on after a failed call. See support/crash.h. The library that
 * watches is preloaded by the program itself.
 *
 * With retention, days go by age or by bytes, while others are compacted and persons are deleted:
 * what may not be gone is there whatever happens, and when retention has come to its end in the
 * store that was opened anew, nothing else is, in cells, coarser cells or files.
 *
 * LARDER_SEED repeats a run. LARDER_STEPS is a million: below it only some of the points are tried,
 * above it more scripts are run, of other seeds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/log.h"
#include "tests/store/support/crash.h"

#define STEPS           1000000
#define RETAINING_STEPS 80
#define THIN            13 /* every so manieth point with retention; all in longer runs */

static uint64_t seed;
static uint64_t steps = STEPS;

static void run(struct crash_plan plan)
{
    plan.every = steps < STEPS ? (unsigned)(STEPS / (steps + 1)) : plan.every;
    for (uint64_t i = 0; i == 0 || i < steps / STEPS; i++, plan.script.seed += 1000) {
        struct crash_result r;
        crash_run(&plan, &r);
        if (plan.script.beside && !r.failed)
            assert_true(r.besides >= 3);
        printf("# %llu points, %llu of them tried; %llu kills, %llu power losses, %llu crashes of "
               "recoveries, %llu "
               "faults tried; %llu windows read early; %llu failed\n",
            (unsigned long long)r.points, (unsigned long long)r.tried, (unsigned long long)r.kills,
            (unsigned long long)r.power_losses, (unsigned long long)r.second_crashes,
            (unsigned long long)r.faults, (unsigned long long)r.early,
            (unsigned long long)r.failed);
        if (r.failed)
            fail_msg("%s", r.first);
        if (plan.power_losses && plan.script.retention != RETAIN_BY_BYTES)
            assert_true(r.early >= r.power_losses / 10);
    }
}

static void test_kill_everywhere(void **state)
{
    (void)state;
    run((struct crash_plan){.script = {.seed = seed}, .steps = 120, .kills = 1});
}

static void test_power_loss_everywhere(void **state)
{
    (void)state;
    run((struct crash_plan){
        .script = {.seed = seed + 1}, .steps = 120, .power_losses = 3, .second_crashes = 3});
}

static void test_fault_everywhere(void **state)
{
    (void)state;
    run((struct crash_plan){.script = {.seed = seed + 2}, .steps = 120, .faults = 1});
}

/* Another writer commits in the middle of maintenance. */
static void test_commits_beside_maintenance(void **state)
{
    (void)state;
    run((struct crash_plan){.script = {.seed = seed + 5, .beside = true},
        .steps = 120,
        .kills = 1,
        .power_losses = steps > STEPS ? 3 : 0,
        .second_crashes = 3});
}

/* ---- with retention ---- */

/* The steps in which retention is at work: in `make check` some of their points, in longer runs
 * each. */
static void run_retaining(enum script_retention retention, uint64_t plus)
{
    bool all = steps > STEPS;
    run((struct crash_plan){.script = {.seed = seed + plus, .retention = retention},
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
    const char *text = getenv("LARDER_SEED"), *count = getenv("LARDER_STEPS");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kill_everywhere),
        cmocka_unit_test(test_power_loss_everywhere),
        cmocka_unit_test(test_fault_everywhere),
        cmocka_unit_test(test_commits_beside_maintenance),
        cmocka_unit_test(test_retention_by_age),
        cmocka_unit_test(test_retention_by_bytes),
    };
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!crash_disk(argv)) {
        printf("1..1\nok 1 # SKIP the library disk.so cannot be preloaded\n");
        return 0;
    }
    seed = text ? strtoull(text, NULL, 10) : (uint64_t)time(NULL) * 2654435761u;
    steps = count ? strtoull(count, NULL, 10) : STEPS;
    printf("# LARDER_SEED=%llu\n", (unsigned long long)seed);
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
