#include "query/instant_fn.h"

#include <math.h>
#include <stdint.h>

#include "query/series_set.h"

/*
 * Functions of each sample for itself: mathematics, clamping, rounding, parts of dates. They take
 * floats; samples that are histograms are left out of the result.
 */

static double sign(double v)
{
    return v < 0 ? -1 : v > 0 ? 1 : v;
}

static double degrees(double v)
{
    return v * 180 / M_PI;
}

static double radians(double v)
{
    return v * M_PI / 180;
}

typedef double unary_f(double v);

static unary_f *unary_of(enum function_id id)
{
    switch (id) {
    case FN_ABS: return fabs;
    case FN_ACOS: return acos;
    case FN_ACOSH: return acosh;
    case FN_ASIN: return asin;
    case FN_ASINH: return asinh;
    case FN_ATAN: return atan;
    case FN_ATANH: return atanh;
    case FN_CEIL: return ceil;
    case FN_COS: return cos;
    case FN_COSH: return cosh;
    case FN_DEG: return degrees;
    case FN_EXP: return exp;
    case FN_FLOOR: return floor;
    case FN_LN: return log;
    case FN_LOG10: return log10;
    case FN_LOG2: return log2;
    case FN_RAD: return radians;
    case FN_SGN: return sign;
    case FN_SIN: return sin;
    case FN_SINH: return sinh;
    case FN_SQRT: return sqrt;
    case FN_TAN: return tan;
    default: return tanh;
    }
}

/* The float of series s at step k, if there is one. */
static bool float_at(const struct vector *in, size_t s, size_t k, double *v)
{
    size_t i = vector_at(in, s, k);
    if (!in->present[i] || vector_hist(in, i))
        return false;
    *v = in->v[i];
    return true;
}

bool fn_unary(const struct instant_call *c, struct vector *out, struct err *err)
{
    const struct vector *in = &c->args[0];
    unary_f *unary = unary_of(c->node->u.call.function->id);
    if (!call_like(c, in, false, out, err))
        return false;
    for (size_t s = 0; s < in->n; s++) {
        if (!eval_check(c->eval, err))
            return false;
        for (size_t k = 0; k < c->n_steps; k++) {
            size_t i = s * c->n_steps + k;
            double v;
            out->present[i] = float_at(in, s, k, &v);
            if (out->present[i])
                out->v[i] = unary(v);
        }
    }
    return series_lose_names(c->eval, out, err);
}

/* ---- bounds and rounding ---- */

static double max_or_nan(double a, double b)
{
    return isnan(a) || isnan(b) ? NAN : fmax(a, b);
}

static double min_or_nan(double a, double b)
{
    return isnan(a) || isnan(b) ? NAN : fmin(a, b);
}

/* Keeps samples within [min, max]; argument 0: no such bound. Nothing where max < min. */
static bool clamp_between(const struct instant_call *c, size_t min_arg, size_t max_arg,
    struct vector *out, struct err *err)
{
    const struct vector *in = &c->args[0];
    if (!call_like(c, in, false, out, err))
        return false;
    for (size_t s = 0; s < in->n; s++)
        for (size_t k = 0; k < c->n_steps; k++) {
            size_t i = s * c->n_steps + k;
            double v, min = min_arg ? call_number(c, min_arg, k) : -INFINITY;
            double max = max_arg ? call_number(c, max_arg, k) : INFINITY;
            out->present[i] = !(max < min) && float_at(in, s, k, &v);
            if (out->present[i])
                out->v[i] = max_or_nan(min, min_or_nan(max, v));
        }
    return series_lose_names(c->eval, out, err);
}

bool fn_clamp(const struct instant_call *c, struct vector *out, struct err *err)
{
    return clamp_between(c, 1, 2, out, err);
}

bool fn_clamp_min(const struct instant_call *c, struct vector *out, struct err *err)
{
    return clamp_between(c, 1, 0, out, err);
}

bool fn_clamp_max(const struct instant_call *c, struct vector *out, struct err *err)
{
    return clamp_between(c, 0, 1, out, err);
}

/* Half goes up. The inverse of the step is used, so that steps like 0.1 give the nearest doubles.
 */
bool fn_round(const struct instant_call *c, struct vector *out, struct err *err)
{
    const struct vector *in = &c->args[0];
    if (!call_like(c, in, false, out, err))
        return false;
    for (size_t s = 0; s < in->n; s++)
        for (size_t k = 0; k < c->n_steps; k++) {
            size_t i = s * c->n_steps + k;
            double v, inverse = 1 / (c->n_args > 1 ? call_number(c, 1, k) : 1);
            out->present[i] = float_at(in, s, k, &v);
            if (out->present[i])
                out->v[i] = floor(v * inverse + 0.5) / inverse;
        }
    return series_lose_names(c->eval, out, err);
}

/* ---- dates ---- */

struct date {
    int64_t year, day_of_year; /* from 0 */
    int month, day;            /* from 1 */
    int weekday;               /* Sunday is 0 */
    int hour, minute;
    int days_in_month;
};

static bool is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int month_days(int64_t year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

/* UTC, by the proleptic Gregorian calendar: days since 1970-01-01 to a date, counting years from
 * March so that the leap day is the last one (the well-known method of "civil from days"). */
static struct date date_of(int64_t seconds)
{
    int64_t days = seconds / 86400, rest = seconds % 86400;
    if (rest < 0) {
        rest += 86400;
        days--;
    }
    struct date d = {.hour = (int)(rest / 3600), .minute = (int)(rest / 60 % 60)};
    d.weekday = (int)(((days + 4) % 7 + 7) % 7);
    int64_t shifted = days + 719468; /* since 0000-03-01 */
    int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    int64_t of_era = shifted - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t from_march = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * from_march + 2) / 153; /* March is 0 */
    d.day = (int)(from_march - (153 * month + 2) / 5 + 1);
    d.month = (int)(month < 10 ? month + 3 : month - 9);
    d.year = year + era * 400 + (d.month <= 2);
    d.days_in_month = month_days(d.year, d.month);
    for (int m = 1; m < d.month; m++)
        d.day_of_year += month_days(d.year, m);
    d.day_of_year += d.day - 1;
    return d;
}

#define SECONDS_MAX 9e15 /* far beyond any calendar, and exact */

static double date_part(enum function_id id, double seconds)
{
    if (!(fabs(seconds) < SECONDS_MAX))
        return NAN;
    struct date d = date_of((int64_t)seconds);
    switch (id) {
    case FN_DAY_OF_MONTH: return d.day;
    case FN_DAY_OF_WEEK: return d.weekday;
    case FN_DAY_OF_YEAR: return (double)(d.day_of_year + 1);
    case FN_DAYS_IN_MONTH: return d.days_in_month;
    case FN_HOUR: return d.hour;
    case FN_MINUTE: return d.minute;
    case FN_MONTH: return d.month;
    default: return (double)d.year;
    }
}

/* Of the evaluation time, in whole seconds, without an argument. */
static bool date_now(const struct instant_call *c, struct vector *out, struct err *err)
{
    if (!vector_new(c->eval, 1, c->n_steps, false, out, err))
        return false;
    for (size_t k = 0; k < c->n_steps; k++) {
        out->present[k] = true;
        out->v[k] =
            date_part(c->node->u.call.function->id, floor((double)eval_time(c->eval, k) / 1000));
    }
    return true;
}

bool fn_date(const struct instant_call *c, struct vector *out, struct err *err)
{
    if (c->n_args == 0)
        return date_now(c, out, err);
    const struct vector *in = &c->args[0];
    if (!call_like(c, in, false, out, err))
        return false;
    for (size_t s = 0; s < in->n; s++)
        for (size_t k = 0; k < c->n_steps; k++) {
            size_t i = s * c->n_steps + k;
            double v;
            out->present[i] = float_at(in, s, k, &v);
            if (out->present[i])
                out->v[i] = date_part(c->node->u.call.function->id, v);
        }
    return series_lose_names(c->eval, out, err);
}

/* Of what is computed, the time of evaluation; that of a selector's samples is found where they are
 * read. */
bool fn_timestamp(const struct instant_call *c, struct vector *out, struct err *err)
{
    const struct vector *in = &c->args[0];
    if (!call_like(c, in, false, out, err))
        return false;
    for (size_t s = 0; s < in->n; s++)
        for (size_t k = 0; k < c->n_steps; k++) {
            size_t i = s * c->n_steps + k;
            out->present[i] = in->present[vector_at(in, s, k)];
            out->v[i] = (double)eval_time(c->eval, k) / 1000;
        }
    return series_lose_names(c->eval, out, err);
}

/* ---- scalars ---- */

static bool constant(const struct instant_call *c, double v, struct vector *out, struct err *err)
{
    if (!call_scalar(c, out, err))
        return false;
    for (size_t k = 0; k < c->n_steps; k++)
        out->v[k] = v;
    return true;
}

bool fn_pi(const struct instant_call *c, struct vector *out, struct err *err)
{
    return constant(c, M_PI, out, err);
}

/* start(), end(), step() and range() are those of the query, in subqueries too. */
bool fn_start(const struct instant_call *c, struct vector *out, struct err *err)
{
    return constant(c, (double)c->eval->query->start_ms / 1000, out, err);
}

bool fn_end(const struct instant_call *c, struct vector *out, struct err *err)
{
    return constant(c, (double)c->eval->query->end_ms / 1000, out, err);
}

bool fn_step(const struct instant_call *c, struct vector *out, struct err *err)
{
    return constant(c, (double)c->eval->query->step_ms / 1000, out, err);
}

bool fn_range(const struct instant_call *c, struct vector *out, struct err *err)
{
    const struct query *query = c->eval->query;
    return constant(c, (double)(query->end_ms - query->start_ms) / 1000, out, err);
}

bool fn_time(const struct instant_call *c, struct vector *out, struct err *err)
{
    if (!call_scalar(c, out, err))
        return false;
    for (size_t k = 0; k < c->n_steps; k++)
        out->v[k] = (double)eval_time(c->eval, k) / 1000;
    return true;
}

static bool fold(const struct instant_call *c, double (*choose)(double, double), struct vector *out,
    struct err *err)
{
    if (!call_scalar(c, out, err))
        return false;
    for (size_t k = 0; k < c->n_steps; k++) {
        out->v[k] = call_number(c, 0, k);
        for (size_t i = 1; i < c->n_args; i++)
            out->v[k] = choose(out->v[k], call_number(c, i, k));
    }
    return true;
}

bool fn_min_of(const struct instant_call *c, struct vector *out, struct err *err)
{
    return fold(c, min_or_nan, out, err);
}

bool fn_max_of(const struct instant_call *c, struct vector *out, struct err *err)
{
    return fold(c, max_or_nan, out, err);
}

bool fn_vector(const struct instant_call *c, struct vector *out, struct err *err)
{
    if (!vector_new(c->eval, 1, c->n_steps, false, out, err))
        return false;
    out->invariant = c->invariant;
    for (size_t k = 0; k < c->n_steps; k++) {
        out->present[k] = true;
        out->v[k] = call_number(c, 0, k);
    }
    return true;
}

/* The value of the only float, else NaN. */
bool fn_scalar(const struct instant_call *c, struct vector *out, struct err *err)
{
    const struct vector *in = &c->args[0];
    if (!call_scalar(c, out, err))
        return false;
    for (size_t k = 0; k < c->n_steps; k++) {
        size_t found = 0;
        out->v[k] = NAN;
        for (size_t s = 0; s < in->n; s++) {
            double v;
            if (float_at(in, s, k, &v))
                out->v[k] = found++ ? NAN : v;
        }
    }
    return true;
}
