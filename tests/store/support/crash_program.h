/*
 * What the programs of the crash proof share. LARDER_SEED repeats a run. LARDER_STEPS is a million:
 * below it only some of the points are tried, above it more scripts are run, of other seeds.
 */
#ifndef TESTS_STORE_SUPPORT_CRASH_PROGRAM_H
#define TESTS_STORE_SUPPORT_CRASH_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/store/support/crash.h"

/* Reads the environment and has the program preload the library that watches its calls. False: it
 * cannot be, and a skipped case says so. */
bool crash_program(char **argv);
uint64_t crash_seed(void);
/* More is wanted than what `make check` runs. */
bool crash_long(void);
/* Runs the plan, prints what was tried, and fails the test with the first thing that was wrong. */
void crash_prove(struct crash_plan plan);

#endif
