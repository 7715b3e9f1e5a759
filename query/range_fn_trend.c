#include "query/range_fn.h"

#include <math.h>

#include "query/histogram_math.h"
#include "query/kahan.h"

/*
 * Functions of how a window develops: regression, smoothing, counts of changes and resets.
 */

static bool give(struct range_result *out, double v)
{
    *out = (struct range_result){.present = true, .v = v};
    return true;
}

/* Whether there are two floats; notes histograms that are ignored. */
static bool two_floats(const struct range_call *call, const struct window *w)
{
    if (window_floats(w) > 0 && window_hists(w) > 0)
        note_ignored_histograms(call);
    return window_floats(w) >= 2;
}

/* ---- least squares ---- */

struct line {
    double slope, intercept; /* at the time that was asked for */
};

static bool is_constant(const struct window *w)
{
    const double *v = w->points->v;
    for (size_t i = w->lo + 1; i < w->hi; i++)
        if (v[i] != v[w->lo])
            return false;
    return true;
}

/* Times count from at_ms: near the values, so that no accuracy is lost. */
static struct line regression(const struct window *w, int64_t at_ms)
{
    const struct points *p = w->points;
    if (is_constant(w)) {
        double v = p->v[w->lo];
        return isinf(v) ? (struct line){NAN, NAN} : (struct line){0, v};
    }
    struct kahan x = {0, 0}, y = {0, 0}, xy = {0, 0}, x2 = {0, 0};
    double n = (double)window_floats(w);
    for (size_t i = w->lo; i < w->hi; i++) {
        double t = (double)(p->t[i] - at_ms) / 1000;
        kahan_add(&x, t);
        kahan_add(&y, p->v[i]);
        kahan_add(&xy, t * p->v[i]);
        kahan_add(&x2, t * t);
    }
    double sum_x = kahan_total(x), sum_y = kahan_total(y);
    double cov = kahan_total(xy) - sum_x * sum_y / n, var = kahan_total(x2) - sum_x * sum_x / n;
    double slope = cov / var;
    return (struct line){slope, sum_y / n - slope * sum_x / n};
}

bool range_deriv(
    struct range_call *call, const struct window *w, struct range_result *out, struct err *err)
{
    (void)err;
    return !two_floats(call, w) || give(out, regression(w, w->points->t[w->lo]).slope);
}

bool range_predict_linear(
    struct range_call *call, const struct window *w, struct range_result *out, struct err *err)
{
    (void)err;
    if (!two_floats(call, w))
        return true;
    struct line line = regression(w, w->eval_ms);
    return give(out, line.slope * call->param[0] + line.intercept);
}

/* ---- double exponential smoothing ---- */

/* Holt's linear method: a level and a trend, each a mixture of the new and the old. */
bool range_smoothing(
    struct range_call *call, const struct window *w, struct range_result *out, struct err *err)
{
    double smooth = call->param[0], trend_factor = call->param[1];
    const double *v = w->points->v + w->lo;
    if (smooth <= 0 || smooth >= 1)
        return eval_fail(err, "invalid smoothing factor. Expected: 0 < sf < 1, got: %f", smooth);
    if (trend_factor <= 0 || trend_factor >= 1)
        return eval_fail(err, "invalid trend factor. Expected: 0 < tf < 1, got: %f", trend_factor);
    if (!two_floats(call, w))
        return true;
    double before = 0, level = v[0], trend = v[1] - v[0];
    for (size_t i = 1; i < window_floats(w); i++) {
        if (i > 1)
            trend = trend_factor * (level - before) + (1 - trend_factor) * trend;
        double next = smooth * v[i] + (1 - smooth) * (level + trend);
        before = level;
        level = next;
    }
    return give(out, level);
}

/* ---- changes and resets ---- */

/* Walks floats and histograms of a window in order of time. */
struct walk {
    const struct window *w;
    size_t f, h;
    double v;
    const struct hist *hist;
};

static bool walk_next(struct walk *walk)
{
    const struct points *p = walk->w->points;
    bool more_f = walk->f < walk->w->hi, more_h = walk->h < walk->w->h_hi;
    if (!more_f && !more_h)
        return false;
    walk->hist = NULL;
    if (!more_h || (more_f && p->t[walk->f] < p->h_t[walk->h]))
        walk->v = p->v[walk->f++];
    else
        walk->hist = p->h[walk->h++];
    return true;
}

typedef bool differ_f(const struct walk *before, const struct walk *now);

static double count_steps(const struct window *w, differ_f *differ)
{
    struct walk now = {.w = w, .f = w->lo, .h = w->h_lo};
    double n = 0;
    walk_next(&now);
    for (struct walk before = now; walk_next(&now); before = now)
        n += !before.hist != !now.hist || differ(&before, &now);
    return n;
}

static bool has_changed(const struct walk *before, const struct walk *now)
{
    if (now->hist)
        return !hist_equal(now->hist, before->hist);
    return now->v != before->v && !(isnan(now->v) && isnan(before->v));
}

static bool was_reset(const struct walk *before, const struct walk *now)
{
    return now->hist ? hist_detect_reset(now->hist, before->hist) : now->v < before->v;
}

double range_count_changes(const struct window *window)
{
    return count_steps(window, has_changed);
}

double range_count_resets(const struct window *window)
{
    return count_steps(window, was_reset);
}

bool range_changes(
    struct range_call *call, const struct window *w, struct range_result *out, struct err *err)
{
    (void)call;
    (void)err;
    return give(out, range_count_changes(w));
}

bool range_resets(
    struct range_call *call, const struct window *w, struct range_result *out, struct err *err)
{
    (void)call;
    (void)err;
    return give(out, range_count_resets(w));
}
