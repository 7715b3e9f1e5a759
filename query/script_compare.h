/*
 * Whether an answer is what a script expects. Floats may differ by one millionth; NaN equals NaN,
 * but a stale marker equals only itself; histograms must agree bucket by bucket, empty ones aside.
 */
#ifndef QUERY_SCRIPT_COMPARE_H
#define QUERY_SCRIPT_COMPARE_H

#include "base/buf.h"
#include "query/script.h"
#include "query/value.h"

/* False: the difference is appended to *why. */
bool script_compare_value(
    const struct script_eval *eval, const struct value *value, struct buf *why);
/* Warnings and infos: each that is expected was given, and each that was given is expected. */
bool script_compare_notes(
    const struct script_eval *eval, const struct notes *notes, struct buf *why);
bool script_match_ok(const struct script_match *match, const char *text);
/* Prometheus' almost.Equal with its epsilon of 1e-6. */
bool script_almost_equal(double a, double b);

#endif
