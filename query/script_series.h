/*
 * The series notation of promqltest scripts and of rule tests:
 *
 *     metric{a="b"} 1 _ 3 stale _x2 5x3 1+2x4 {{schema:0 sum:5 count:4 buckets:[1 2 1]}}x2
 *
 * _ is a sample left out; 5x3 is four times 5; 1+2x4 is 1 3 5 7 9; _x2 is two left out. A histogram
 * may be repeated, and another added to it or taken from it at each step.
 */
#ifndef QUERY_SCRIPT_SERIES_H
#define QUERY_SCRIPT_SERIES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "store/histogram.h"
#include "store/labels.h"

#define SCRIPT_VALUES_MAX 1000000 /* of one series, expanded */

struct script_value {
    bool omitted;
    bool hint_set; /* the histogram was written with counter_reset_hint */
    double v;
    const struct hist *h; /* NULL: a float */
};

struct script_series {
    struct labels labels; /* sorted, without empty ones */
    struct script_value *values;
    size_t n, cap;
};

/* All of it lands in the arena. The error has the column in the text, and no line. */
bool script_series_parse(
    struct slice text, struct arena *arena, struct script_series *out, struct err *err);

/* The bits that mark a series as ended; a NaN of other bits does not. */
double script_stale_nan(void);
bool script_is_stale(double v);

#endif
