/*
 * Functions over range vectors: rate, sum_over_time and their like. Each is a function of one
 * window of one series; the frame (range_fn.c) moves the windows over the steps and series.
 *
 *     eval_range_function    a call whose argument is x[5m] or a subquery
 *       series of kind sample, subqueries    points.h     -> range_fn of the table
 *       increase and rate of a counter ...   kind_fn.h    exact, from the cells
 *       everything else                      C or the last readings as points -> range_fn
 */
#ifndef QUERY_RANGE_FN_H
#define QUERY_RANGE_FN_H

#include "query/function.h"
#include "query/histogram_math.h"
#include "query/points.h"
#include "query/vector.h"

struct range_call {
    struct eval *eval;
    const struct node *node;  /* the call */
    const struct node *range; /* its range vector: annotations name its place */
    enum function_id id;
    enum range_extend extend;
    struct slice metric;   /* of the series at hand, for annotations */
    double param[2];       /* scalar arguments at this step */
    struct arena *scratch; /* for the whole call */
    double *values;        /* room for a copy of a window's floats */
    size_t values_cap;
    struct hist_sum hist_sum; /* empty between two windows */
};

struct range_result {
    bool present;
    double v;
    const struct hist *h; /* NULL: v */
};

/* The window is not empty. */
typedef bool range_fn(struct range_call *call, const struct window *window,
    struct range_result *out, struct err *err);

bool eval_range_function(
    struct eval *eval, const struct node *node, struct vector *out, struct err *err);

/* range_fn_rate.c */
range_fn range_rate, range_increase, range_delta, range_irate, range_idelta;
/* range_fn_over_time.c */
range_fn range_sum, range_avg, range_min, range_max, range_count, range_present, range_first,
    range_last, range_stddev, range_stdvar, range_quantile, range_mad, range_ts_of_first,
    range_ts_of_last, range_ts_of_min, range_ts_of_max;
/* range_fn_trend.c */
range_fn range_deriv, range_predict_linear, range_smoothing, range_changes, range_resets;

/* extend.c: rate, increase, delta, changes and resets of anchored and smoothed ranges */
range_fn range_extended;
/* Whether the function takes such a range; if not, an error of execution. */
bool extend_check(enum range_extend extend, const struct function *function, struct err *err);

/* The annotation of functions that use the floats of a mixed window only. */
void note_ignored_histograms(const struct range_call *call);
/* The warnings that several functions share. */
void warn_mixed_types(const struct range_call *call);
void warn_mixed_schemas(const struct range_call *call);
void warn_wrong_type(const struct range_call *call, bool counter);

/* a + b or a - b. *fits false: they do not fit together, and a warning says so. */
bool range_combine(struct range_call *call, const struct hist *a, const struct hist *b, bool add,
    const struct hist **out, bool *fits, struct err *err);
/* Changes or resets among the points of a window, from float lo and histogram h_lo on. */
double range_count_changes(const struct window *window);
double range_count_resets(const struct window *window);

#endif
