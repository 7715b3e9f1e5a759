#include "query/range_fn.h"

#include <math.h>
#include <stdlib.h>

#include "base/number.h"
#include "query/histogram_math.h"
#include "query/kahan.h"

/*
 * The *_over_time functions. Where a window holds floats and histograms, sum and avg refuse it with
 * a warning, count, present, first, last and the ts_of functions take both, and the others use the
 * floats and say that they ignored the histograms. NaN follows Prometheus: min and max skip it.
 */

static bool give(struct range_result *out, double v)
{
    *out = (struct range_result){.present = true, .v = v};
    return true;
}

static bool give_hist(
    const struct range_call *call, struct range_result *out, const struct hist *h, struct err *err)
{
    *out = (struct range_result){.present = true, .h = h};
    return h ? true : eval_no_memory(call->eval, err);
}

/* Whether there are floats, for functions that ignore histograms. */
static bool floats_only(const struct range_call *call, const struct window *w)
{
    if (window_floats(w) == 0)
        return false;
    if (window_hists(w) > 0)
        note_ignored_histograms(call);
    return true;
}

/* ---- count, first, last, times ---- */

bool range_count(
    struct range_call *call, const struct window *w, struct range_result *out, struct err *err)
{
    (void)call;
    (void)err;
    return give(out, (double)(window_floats(w) + window_hists(w)));
}

bool range_present(
    struct range_call *call, const struct window *w, struct range_result *out, struct err *err)
{
    (void)call;
    (void)w;
    (void)err;
    return give(out, 1);
}

static bool float_is_first(const struct window *w)
{
    return window_hists(w) == 0 ||
           (window_floats(w) > 0 && w->points->t[w->lo] < w->points->h_t[w->h_lo]);
}

static bool float_is_last(const struct window *w)
{
    return window_hists(w) == 0 ||
           (window_floats(w) > 0 && w->points->t[w->hi - 1] > w->points->h_t[w->h_hi - 1]);
}

bool range_first(
    struct range_call *call, const struct window *w, struct range_result *out, struct err *err)
{
    if (float_is_first(w))
        return give(out, w->points->v[w->lo]);
    return give_hist(call, out, w->points->h[w->h_lo], err);
}

bool range_last(
    struct range_call *call, const struct window *w, struct range_result *out, struct err *err)
{
    if (float_is_last(w))
        return give(out, w->points->v[w->hi - 1]);
    return give_hist(call, out, w->points->h[w->h_hi - 1], err);
}

bool range_ts_of_first(
    struct range_call *call, const struct window *w, struct range_result *out, struct err *err)
{
    (void)call;
    (void)err;
    int64_t t = float_is_first(w) ? w->points->t[w->lo] : w->points->h_t[w->h_lo];
    return give(out, (double)t / 1000);
}

bool range_ts_of_last(
    struct range_call *call, const struct window *w, struct range_result *out, struct err *err)
{
    (void)call;
    (void)err;
    int64_t t = float_is_last(w) ? w->points->t[w->hi - 1] : w->points->h_t[w->h_hi - 1];
    return give(out, (double)t / 1000);
}

/* ---- extremes ---- */

/* The place of the extreme; of equal ones the first, or the last. */
static size_t extreme(const struct window *w, bool max, bool last)
{
    const double *v = w->points->v;
    size_t best = w->lo;
    for (size_t i = w->lo; i < w->hi; i++) {
        bool better = max ? v[i] > v[best] : v[i] < v[best];
        if (better || isnan(v[best]) || (last && v[i] == v[best]))
            best = i;
    }
    return best;
}

bool range_min(
    struct range_call *call, const struct window *w, struct range_result *out, struct err *err)
{
    (void)err;
    return !floats_only(call, w) || give(out, w->points->v[extreme(w, false, false)]);
}

bool range_max(
    struct range_call *call, const struct window *w, struct range_result *out, struct err *err)
{
    (void)err;
    return !floats_only(call, w) || give(out, w->points->v[extreme(w, true, false)]);
}

bool range_ts_of_min(
    struct range_call *call, const struct window *w, struct range_result *out, struct err *err)
{
    (void)err;
    return !floats_only(call, w) || give(out, (double)w->points->t[extreme(w, false, true)] / 1000);
}

bool range_ts_of_max(
    struct range_call *call, const struct window *w, struct range_result *out, struct err *err)
{
    (void)err;
    return !floats_only(call, w) || give(out, (double)w->points->t[extreme(w, true, true)] / 1000);
}

/* ---- sum and avg ---- */

typedef enum hist_status add_f(struct hist_sum *sum, const struct hist *h, unsigned *notes);

/* Adds up the window's histograms in call->hist_sum. */
static enum hist_status add_hists(struct range_call *call, const struct window *w, add_f *add)
{
    bool reset = false, no_reset = false;
    unsigned notes = 0;
    enum hist_status status = HIST_OK;
    hist_sum_clear(&call->hist_sum);
    for (size_t i = w->h_lo; i < w->h_hi && status == HIST_OK; i++) {
        const struct hist *h = w->points->h[i];
        reset = reset || h->reset_hint == HIST_RESET_YES;
        no_reset = no_reset || h->reset_hint == HIST_RESET_NO;
        status = add(&call->hist_sum, h, &notes);
    }
    if (reset && no_reset)
        eval_warn(
            call->eval, call->range, "conflicting counter resets during histogram aggregation");
    if (notes & HIST_BOUNDS_RECONCILED)
        eval_info(call->eval, call->range,
            "mismatched custom buckets were reconciled during aggregation");
    return status;
}

static bool sum_hists(struct range_call *call, const struct window *w, bool mean,
    struct range_result *out, struct err *err)
{
    enum hist_status status = add_hists(call, w, mean ? hist_mean_add : hist_sum_add);
    if (status == HIST_NO_MEMORY)
        return eval_no_memory(call->eval, err);
    if (status == HIST_INCOMPATIBLE) {
        warn_mixed_schemas(call);
        return true;
    }
    return give_hist(call, out,
        mean ? hist_mean_result(&call->hist_sum) : hist_sum_result(&call->hist_sum), err);
}

bool range_sum(
    struct range_call *call, const struct window *w, struct range_result *out, struct err *err)
{
    if (window_floats(w) > 0 && window_hists(w) > 0) {
        warn_mixed_types(call);
        return true;
    }
    if (window_hists(w) > 0)
        return sum_hists(call, w, false, out, err);
    struct kahan sum = {0, 0};
    for (size_t i = w->lo; i < w->hi; i++)
        kahan_add(&sum, w->points->v[i]);
    return give(out, isinf(sum.sum) ? sum.sum : kahan_total(sum));
}

/* The plain mean while the sum does not overflow; from there on the mean moves by increments. */
static double mean(const double *v, size_t n)
{
    struct kahan sum = {v[0], 0};
    size_t i = 1;
    for (; i < n; i++) {
        struct kahan next = sum;
        kahan_add(&next, v[i]);
        if (isinf(next.sum))
            break;
        sum = next;
    }
    sum.sum /= (double)i;
    sum.comp /= (double)i;
    for (; i < n; i++) {
        double count = (double)i + 1, q = (double)i / count;
        sum.sum *= q;
        sum.comp *= q;
        kahan_add(&sum, v[i] / count);
    }
    return kahan_total(sum);
}

bool range_avg(
    struct range_call *call, const struct window *w, struct range_result *out, struct err *err)
{
    if (window_floats(w) > 0 && window_hists(w) > 0) {
        warn_mixed_types(call);
        return true;
    }
    if (window_hists(w) > 0)
        return sum_hists(call, w, true, out, err);
    return give(out, mean(w->points->v + w->lo, window_floats(w)));
}

/* ---- spread ---- */

/* Welford's method, both of its sums compensated. */
static double variance(const struct window *w)
{
    struct kahan average = {0, 0}, squares = {0, 0};
    double n = 0;
    for (size_t i = w->lo; i < w->hi; i++) {
        double v = w->points->v[i], delta = v - kahan_total(average);
        n++;
        kahan_add(&average, delta / n);
        kahan_add(&squares, delta * (v - kahan_total(average)));
    }
    return kahan_total(squares) / n;
}

bool range_stdvar(
    struct range_call *call, const struct window *w, struct range_result *out, struct err *err)
{
    (void)err;
    return !floats_only(call, w) || give(out, variance(w));
}

bool range_stddev(
    struct range_call *call, const struct window *w, struct range_result *out, struct err *err)
{
    (void)err;
    return !floats_only(call, w) || give(out, sqrt(variance(w)));
}

/* NaN is the smallest. */
static int cmp_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    if (isnan(x) || isnan(y))
        return (int)isnan(y) - (int)isnan(x);
    return (x > y) - (x < y);
}

/* Sorts v. The quantile q between the two values whose ranks enclose q * (n - 1). */
static double quantile(double q, double *v, size_t n)
{
    if (isnan(q))
        return NAN;
    if (q < 0)
        return -INFINITY;
    if (q > 1)
        return INFINITY;
    qsort(v, n, sizeof *v, cmp_double);
    double rank = q * ((double)n - 1), below = floor(rank);
    size_t lower = (size_t)below, upper = lower + 1 < n ? lower + 1 : n - 1;
    double weight = rank - below;
    return v[lower] * (1 - weight) + v[upper] * weight;
}

/* In a buffer that the next window uses again; NULL at the arena's limit. */
static double *copy_floats(struct range_call *call, const struct window *w)
{
    size_t n = window_floats(w);
    if (n > call->values_cap) {
        call->values = arena_array(call->scratch, 2 * n, sizeof *call->values);
        call->values_cap = call->values ? 2 * n : 0;
    }
    for (size_t i = 0; call->values && i < n; i++)
        call->values[i] = w->points->v[w->lo + i];
    return call->values;
}

bool range_quantile(
    struct range_call *call, const struct window *w, struct range_result *out, struct err *err)
{
    double q = call->param[0];
    if (window_floats(w) == 0)
        return true;
    if (!(q >= 0 && q <= 1)) {
        char text[NUMBER_MAX];
        number_format_g(q, text);
        eval_warn(call->eval, call->node->u.call.args[0],
            "quantile value should be between 0 and 1, got %s", text);
    }
    floats_only(call, w);
    double *v = copy_floats(call, w);
    return v ? give(out, quantile(q, v, window_floats(w))) : eval_no_memory(call->eval, err);
}

/* The median of the distances from the median. */
bool range_mad(
    struct range_call *call, const struct window *w, struct range_result *out, struct err *err)
{
    if (!floats_only(call, w))
        return true;
    size_t n = window_floats(w);
    double *v = copy_floats(call, w);
    if (!v)
        return eval_no_memory(call->eval, err);
    for (size_t i = 0; i < n; i++)
        if (isnan(v[i]))
            return give(out, NAN);
    double median = quantile(0.5, v, n);
    for (size_t i = 0; i < n; i++)
        v[i] = fabs(v[i] - median);
    return give(out, quantile(0.5, v, n));
}
