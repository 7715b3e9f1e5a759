/*
 * The proof's engine: runs the script over a watched folder and, at every point at which the disk
 * changes, forks children that see what a kill, a power loss or a fault there leaves behind. A
 * child fails when the content is neither that of the last step that was done nor that of the one
 * in flight, or when the store does not go on from there.
 */
#ifndef TESTS_STORE_SUPPORT_CRASH_H
#define TESTS_STORE_SUPPORT_CRASH_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/e2e/shim/disk/disk.h"
#include "tests/store/support/crash_script.h"

struct crash_plan {
    struct script_plan script;
    uint32_t steps;          /* of the script */
    unsigned kills;          /* 1: try a kill at every point */
    unsigned power_losses;   /* images of a power loss at every point */
    unsigned second_crashes; /* every n-th child is cut off once more, in its recovery; 0: none */
    unsigned faults;         /* 1: try every fault at every point */
    unsigned every;          /* every n-th point only; 0, 1: all */
    bool retaining;          /* only points of steps in which retention may take something */
    bool in_turn;            /* at a point a kill, power losses or faults, the next time another */
    uint64_t ignored_site; /* this sync does nothing; points before its first call are not tried */
    bool stop_at_failure;
};

struct crash_result {
    uint64_t besides; /* commits in the middle of maintenance */
    uint64_t early;   /* windows that were read while a log was replayed */
    uint64_t points, tried, kills, power_losses, second_crashes, faults, failed;
    char first[1200]; /* what failed first */
};

/* NULL: the program does not run with the library; it starts itself anew with it, or cannot. */
const struct disk_control *crash_disk(char **argv);

void crash_run(const struct crash_plan *plan, struct crash_result *result);

#endif
