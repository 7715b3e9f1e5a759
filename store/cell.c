#include "store/cell.h"

#include <float.h>
#include <math.h>
#include <pthread.h>

#include "base/ensure.h"

#define SCHEMA_MAX 8

/* bounds[s][i] = 2^(i / 2^s) / 2: the bounds within one power of two, for frexp's fractions. */
static double bounds[SCHEMA_MAX + 1][1 << SCHEMA_MAX];
static pthread_once_t bounds_once = PTHREAD_ONCE_INIT;

static void init_bounds(void)
{
    for (int s = 0; s <= SCHEMA_MAX; s++)
        for (int i = 0; i < 1 << s; i++)
            bounds[s][i] = (double)(exp2l((long double)i / (long double)(1 << s)) / 2);
}

const char *kind_name(enum kind kind)
{
    switch (kind) {
    case KIND_COUNTER: return "counter";
    case KIND_HISTOGRAM: return "histogram";
    case KIND_LEVEL: return "level";
    case KIND_GAUGE: return "gauge";
    case KIND_SAMPLE: return "sample";
    }
    return "unknown";
}

/* The first i with bounds[schema][i] >= frac. */
static int search_bounds(int schema, double frac)
{
    int lo = 0, hi = 1 << schema;
    while (lo < hi) {
        int mid = (lo + hi) / 2;
        if (bounds[schema][mid] >= frac)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

static int32_t positive_index(double v, int schema)
{
    int exp;
    double frac = frexp(v, &exp);
    if (schema > 0)
        return search_bounds(schema, frac) + (exp - 1) * (1 << schema);
    if (frac == 0.5)
        exp--;
    int offset = (1 << -schema) - 1;
    return (exp + offset) >> -schema;
}

int32_t hist_bucket_key(int64_t v, int digits, int schema)
{
    ensure(schema >= -4 && schema <= SCHEMA_MAX);
    if (v == 0)
        return HIST_ZERO;
    pthread_once(&bounds_once, init_bounds);
    int32_t i = positive_index(fabs(scaled_to_double(v, digits)), schema);
    return v > 0 ? i : HIST_NEGATIVE(i);
}

static double bound(int32_t i, int schema)
{
    if (schema < 0) {
        int exp = (int)((uint32_t)i << -schema);
        return exp >= 1024 ? DBL_MAX : ldexp(1, exp);
    }
    double frac = bounds[schema][i & ((1 << schema) - 1)];
    int exp = (i >> schema) + 1;
    return frac == 0.5 && exp == 1025 ? DBL_MAX : ldexp(frac, exp);
}

void hist_bucket_bounds(int32_t i, int schema, double *lower, double *upper)
{
    ensure(schema >= -4 && schema <= SCHEMA_MAX);
    pthread_once(&bounds_once, init_bounds);
    *lower = bound(i - 1, schema);
    *upper = bound(i, schema);
}

void gauge_cell_merge(struct gauge_cell *to, const struct gauge_cell *in)
{
    if (in->last_ms > to->last_ms || (in->last_ms == to->last_ms && in->last > to->last)) {
        to->last = in->last;
        to->last_ms = in->last_ms;
    }
    if (in->min < to->min)
        to->min = in->min;
    if (in->max > to->max)
        to->max = in->max;
    to->sum = sum_add(to->sum, in->sum);
    to->count = (int64_t)((uint64_t)to->count + (uint64_t)in->count);
}
