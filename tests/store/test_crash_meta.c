/*
 * Is the proof of test_crash worth anything? The syncs of the store are taken away in turn: each
 * call on each kind of file (a file of the log, the folder of the segments, ...). It says that it
 * worked and does nothing. Each time the crashes must find that something is missing.
 *
 * LARDER_SEED repeats a run. LARDER_SITES=1 takes every single place in the program away that
 * syncs, told apart by the calls that lead to it; a place is not missed when another one syncs the
 * same soon after, so this says which syncs are not needed, and fails as long as there are some.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/log.h"
#include "tests/store/support/crash.h"

#define SITES_MAX 128
#define STEPS     120

static const struct disk_control *disk;
static uint64_t seed;

/* One of each kind, or all. */
static size_t find_sites(struct disk_site out[SITES_MAX], bool all)
{
    struct crash_plan plan = {.seed = seed, .steps = STEPS};
    struct crash_result result;
    size_t n, kept = 0;
    crash_run(&plan, &result);
    if (result.failed)
        fail_msg("%s", result.first);
    const struct disk_site *sites = disk->sites(&n);
    assert_true(n > 0 && n <= SITES_MAX);
    for (size_t i = 0; i < n; i++) {
        bool known = false;
        for (size_t k = 0; k < kept && !all; k++)
            known = known || out[k].kind == sites[i].kind;
        if (!known)
            out[kept++] = sites[i];
    }
    return kept;
}

static void test_every_sync_is_missed(void **state)
{
    (void)state;
    bool all = getenv("LARDER_SITES") != NULL;
    struct disk_site sites[SITES_MAX];
    size_t n = find_sites(sites, all), missed = 0;
    uint64_t tried = 0;
    for (size_t i = 0; i < n; i++) {
        struct crash_plan plan = {.seed = seed,
            .steps = STEPS,
            .kills = 1,
            .power_losses = 4,
            .ignored_site = all ? sites[i].id : sites[i].kind,
            .stop_at_failure = true};
        struct crash_result result;
        crash_run(&plan, &result);
        tried += result.kills + result.power_losses;
        missed += result.failed > 0;
        printf("# %s: %s after %llu crashes%s%.160s\n", sites[i].what,
            result.failed ? "missed" : "NOT MISSED",
            (unsigned long long)(result.kills + result.power_losses), result.failed ? ": " : "",
            result.first);
    }
    printf("# %zu syncs taken away, %zu of them missed, %llu crashes tried\n", n, missed,
        (unsigned long long)tried);
    assert_true(n >= 8);
    assert_int_equal(missed, n);
}

int main(int argc, char **argv)
{
    (void)argc;
    const char *text = getenv("LARDER_SEED");
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_sync_is_missed)};
    disk = crash_disk(argv);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!disk) {
        printf("1..1\nok 1 # SKIP the library disk.so cannot be preloaded\n");
        return 0;
    }
    seed = text ? strtoull(text, NULL, 10) : (uint64_t)time(NULL) * 2654435761u;
    printf("# LARDER_SEED=%llu\n", (unsigned long long)seed);
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
