#include "query/classic_histogram.h"

#include <float.h>
#include <math.h>
#include <strings.h>

#include "base/number.h"

/* Counts that differ by less than this share of them are equal: rates of equal counters may differ
 * so. */
#define SMALL_DIFF 1e-12

static bool is_word(struct slice text, const char *word)
{
    size_t n = strlen(word);
    return text.len == n && strncasecmp(text.ptr, word, n) == 0;
}

bool classic_bound(struct slice le, double *out)
{
    struct slice text = le;
    bool sign = text.len && (text.ptr[0] == '+' || text.ptr[0] == '-');
    if (sign)
        text = slice_of(text.ptr + 1, text.len - 1);
    if (is_word(text, "inf") || is_word(text, "infinity")) {
        *out = sign && le.ptr[0] == '-' ? -INFINITY : INFINITY;
        return true;
    }
    bool twice = sign && text.len && (text.ptr[0] == '+' || text.ptr[0] == '-');
    return !twice && number_parse(sign && le.ptr[0] == '+' ? text : le, out);
}

static size_t merge_equal_bounds(struct classic_bucket *b, size_t n)
{
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        if (m && b[m - 1].upper == b[i].upper)
            b[m - 1].count += b[i].count;
        else
            b[m++] = b[i];
    }
    return m;
}

static bool nearly_equal(double a, double b)
{
    double sum = fabs(a) + fabs(b), diff = fabs(a - b);
    if (a == 0 || b == 0 || sum < DBL_MIN)
        return diff < SMALL_DIFF * DBL_MIN;
    return diff / fmin(sum, DBL_MAX) < SMALL_DIFF;
}

static void make_monotonic(struct classic_bucket *b, size_t n, struct monotonic_fix *fix)
{
    *fix = (struct monotonic_fix){false, INFINITY, -INFINITY, 0};
    double before = b[0].count;
    for (size_t i = 1; i < n; i++) {
        double count = b[i].count;
        if (count == before)
            continue;
        if (nearly_equal(before, count)) {
            b[i].count = before;
        } else if (count < before) {
            b[i].count = before;
            fix->forced = true;
            fix->min_bound = fmin(fix->min_bound, b[i].upper);
            fix->max_bound = fmax(fix->max_bound, b[i].upper);
            fix->max_diff = fmax(fix->max_diff, before - count);
        } else {
            before = count;
        }
    }
}

double classic_quantile(double q, struct classic_bucket *b, size_t n, struct monotonic_fix *fix)
{
    *fix = (struct monotonic_fix){0};
    if (isnan(q))
        return NAN;
    if (q < 0)
        return -INFINITY;
    if (q > 1)
        return INFINITY;
    if (n == 0 || b[n - 1].upper != INFINITY)
        return NAN;
    n = merge_equal_bounds(b, n);
    make_monotonic(b, n, fix);
    if (n < 2 || b[n - 1].count == 0)
        return NAN;
    double rank = q * b[n - 1].count;
    size_t i = 0;
    while (i < n - 1 && !(b[i].count >= rank))
        i++;
    if (i == n - 1)
        return b[n - 2].upper;
    if (i == 0 && b[0].upper <= 0)
        return b[0].upper;
    double start = i ? b[i - 1].upper : 0, before = i ? b[i - 1].count : 0;
    return start + (b[i].upper - start) * ((rank - before) / (b[i].count - before));
}

struct edge {
    double at, rank;
    bool set;
};

/* Sets the edge when it lies before or in the bucket (lower, upper], which takes the rank from
 * `before` to `count`. */
static void edge_meet(struct edge *e, double lower, double upper, double before, double count)
{
    if (e->set)
        return;
    if (lower >= e->at)
        e->rank = before;
    else if (upper > e->at) /* nothing is known of how observations lie without a lower end */
        e->rank = lower == -INFINITY
                      ? count
                      : before + (count - before) * (e->at - lower) / (upper - lower);
    else
        return;
    e->set = true;
}

double classic_fraction(double lower, double upper, struct classic_bucket *b, size_t n)
{
    if (n == 0 || b[n - 1].upper != INFINITY)
        return NAN;
    n = merge_equal_bounds(b, n);
    double count = b[n - 1].count, before = 0;
    if (count == 0 || isnan(lower) || isnan(upper))
        return NAN;
    if (lower >= upper)
        return 0;
    struct edge from = {.at = lower}, to = {.at = upper};
    double start = b[0].upper > 0 ? 0 : -INFINITY;
    for (size_t i = 0; i < n && !(from.set && to.set); i++) {
        edge_meet(&from, start, b[i].upper, before, b[i].count);
        edge_meet(&to, start, b[i].upper, before, b[i].count);
        start = b[i].upper;
        before = b[i].count;
    }
    if (!from.set || from.rank > count)
        from.rank = count;
    if (!to.set || to.rank > count)
        to.rank = count;
    return (to.rank - from.rank) / count;
}
