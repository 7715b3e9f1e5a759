/* What the benches share: time, and the end when something goes wrong. */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/err.h"

static inline double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Prints the error and exits with 2, unless ok. */
static inline void check(bool ok, const struct err *err)
{
    char text[ERR_TEXT_MAX + ERR_FILE_MAX + 32];
    if (ok)
        return;
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, err_format(err, text, sizeof text));
    exit(2);
}

#endif
