#include "tests/store/support/crash_program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/log.h"

#define STEPS 1000000

static uint64_t seed;
static uint64_t steps = STEPS;

bool crash_program(char **argv)
{
    const char *text = getenv("LARDER_SEED"), *count = getenv("LARDER_STEPS");
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!crash_disk(argv)) {
        printf("1..1\nok 1 # SKIP the library disk.so cannot be preloaded\n");
        return false;
    }
    seed = text ? strtoull(text, NULL, 10) : (uint64_t)time(NULL) * 2654435761u;
    steps = count ? strtoull(count, NULL, 10) : STEPS;
    printf("# LARDER_SEED=%llu\n", (unsigned long long)seed);
    log_set_level(LOG_ERROR + 1);
    return true;
}

uint64_t crash_seed(void)
{
    return seed;
}

bool crash_long(void)
{
    return steps > STEPS;
}

void crash_prove(struct crash_plan plan)
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
