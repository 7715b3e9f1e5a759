#include "query/extend.h"

#include <stdio.h>
#include <string.h>

#include "query/histogram_math.h"

/* ---- which functions ---- */

static bool takes_extended(enum range_extend extend, enum function_id id)
{
    switch (id) {
    case FN_RATE:
    case FN_INCREASE:
    case FN_DELTA: return true;
    case FN_CHANGES:
    case FN_RESETS: return extend == EXTEND_ANCHORED;
    default: return false;
    }
}

bool extend_check(enum range_extend extend, const struct function *function, struct err *err)
{
    if (extend == EXTEND_NONE || takes_extended(extend, function->id))
        return true;
    return extend == EXTEND_ANCHORED
               ? eval_fail(err,
                     "anchored modifier can only be used with: changes, delta, increase, rate, "
                     "resets - not with %s",
                     function->name)
               : eval_fail(err,
                     "smoothed modifier can only be used with: delta, increase, rate - not with %s",
                     function->name);
}

/* ---- between two points ---- */

static double between(double a, int64_t a_ms, double b, int64_t b_ms, int64_t t, bool counter)
{
    if (counter && b < a)
        a = 0;
    return a + (b - a) * (double)(t - a_ms) / (double)(b_ms - a_ms);
}

/* The histogram at t on the line between two; of a counter that was reset between them, from 0.
 * *fits false: they do not fit together. */
static bool extend_between(struct range_call *call, const struct hist *a, int64_t a_ms,
    const struct hist *b, int64_t b_ms, int64_t t, bool counter, const struct hist **out,
    bool *fits, struct err *err)
{
    *fits = true;
    *out = t == a_ms ? a : b;
    if (t == a_ms || t == b_ms)
        return true;
    double part = (double)(t - a_ms) / (double)(b_ms - a_ms);
    if (counter && hist_detect_reset(b, a)) {
        *out = hist_multiply(call->eval->arena, b, part);
        return *out ? true : eval_no_memory(call->eval, err);
    }
    if (!range_combine(call, b, a, false, out, fits, err))
        return false;
    if (!*fits)
        return true;
    *out = hist_multiply(call->eval->arena, *out, part);
    if (!*out)
        return eval_no_memory(call->eval, err);
    return range_combine(call, *out, a, true, out, fits, err);
}

/* ---- smoothed selectors ---- */

/* First of t[lo..hi) that is >= at. */
static size_t first_from(const int64_t *t, size_t lo, size_t hi, int64_t at)
{
    while (lo < hi && t[lo] < at)
        lo++;
    return lo;
}

static bool hist_instant(
    struct range_call *call, const struct window *w, struct view_value *out, struct err *err)
{
    const struct points *p = w->points;
    int64_t at = w->to_ms;
    size_t i = first_from(p->h_t, w->h_lo, w->h_hi, at);
    bool exact = i < w->h_hi && p->h_t[i] == at;
    if (i == w->h_lo && !exact)
        return true;
    out->found = true;
    out->h = exact ? p->h[i] : p->h[i - 1];
    if (exact || i == w->h_hi)
        return true;
    /* A change of schema looks like a reset: there is no line across it either. */
    if (hist_is_custom(p->h[i - 1]) != hist_is_custom(p->h[i])) {
        out->found = false;
        warn_mixed_schemas(call);
        return true;
    }
    bool counter = p->h[i]->reset_hint != HIST_GAUGE;
    return extend_between(call, p->h[i - 1], p->h_t[i - 1], p->h[i], p->h_t[i], at, counter,
        &out->h, &out->found, err);
}

bool extend_instant(
    struct range_call *call, const struct window *w, struct view_value *out, struct err *err)
{
    const struct points *p = w->points;
    int64_t at = w->to_ms;
    *out = (struct view_value){.t_ms = at};
    if (window_floats(w) > 0 && window_hists(w) > 0) {
        warn_mixed_types(call);
        return true;
    }
    if (window_hists(w) > 0)
        return hist_instant(call, w, out, err);
    size_t i = first_from(p->t, w->lo, w->hi, at);
    bool exact = i < w->hi && p->t[i] == at;
    if (i == w->lo && !exact)
        return true;
    out->found = true;
    if (exact)
        out->v = p->v[i];
    else if (i == w->hi)
        out->v = p->v[i - 1];
    else
        out->v = between(p->v[i - 1], p->t[i - 1], p->v[i], p->t[i], at, false);
    return true;
}

/* ---- rate, increase, delta ---- */

/*
 * The points that bound the change: the last at or before from (else the first behind it), and the
 * last; smoothed, the first at or after to. False: there is none in the range.
 */
static bool find_ends(
    const struct window *w, const int64_t *t, size_t lo, size_t hi, bool smoothed, size_t ends[2])
{
    size_t first = lo, last = hi - 1;
    while (first + 1 < hi && t[first + 1] <= w->from_ms)
        first++;
    if (smoothed)
        last = first_from(t, lo, last, w->to_ms);
    ends[0] = first < last ? first : last;
    ends[1] = last;
    return t[last] > w->from_ms && !(smoothed && t[ends[0]] > w->to_ms);
}

/* The values at both ends of the range. */
static void float_ends(const struct window *w, const size_t ends[2], bool smoothed, bool counter,
    double *left, double *right)
{
    const struct points *p = w->points;
    size_t i = ends[0], n = ends[1];
    *left = p->v[i];
    *right = p->v[n];
    if (smoothed && p->t[i] < w->from_ms)
        *left = between(p->v[i], p->t[i], p->v[i + 1], p->t[i + 1], w->from_ms, counter);
    if (smoothed && n > w->lo && p->t[n] > w->to_ms)
        *right = between(p->v[n - 1], p->t[n - 1], p->v[n], p->t[n], w->to_ms, counter);
}

static bool is_inside(const struct window *w, size_t i)
{
    return w->points->t[i] > w->from_ms && w->points->t[i] < w->to_ms;
}

bool extend_range(struct eval *eval, const struct window *w, bool smoothed, struct arena *scratch,
    struct points *out, struct err *err)
{
    size_t n = window_floats(w) + 2, ends[2];
    *out = (struct points){0};
    if (window_hists(w) > 0)
        return eval_fail(err, "%s modifier is not supported with histograms",
            smoothed ? "smoothed" : "anchored");
    if (window_floats(w) == 0 || !find_ends(w, w->points->t, w->lo, w->hi, smoothed, ends))
        return true;
    out->t = arena_array(scratch, n, sizeof *out->t);
    out->v = arena_array(scratch, n, sizeof *out->v);
    if (!out->t || !out->v)
        return eval_no_memory(eval, err);
    double right;
    float_ends(w, ends, smoothed, false, &out->v[0], &right);
    out->t[0] = w->from_ms;
    out->n = 1;
    for (size_t i = ends[0]; i <= ends[1]; i++)
        if (is_inside(w, i)) {
            out->t[out->n] = w->points->t[i];
            out->v[out->n++] = w->points->v[i];
        }
    out->t[out->n] = w->to_ms;
    out->v[out->n++] = right;
    return true;
}

static bool extended_floats(const struct window *w, bool smoothed, bool counter, double *change)
{
    const struct points *p = w->points;
    size_t ends[2];
    double left, right;
    if (!find_ends(w, p->t, w->lo, w->hi, smoothed, ends))
        return false;
    float_ends(w, ends, smoothed, counter, &left, &right);
    *change = right - left;
    if (!counter)
        return true;
    size_t i = ends[0], n = ends[1];
    double before = left;
    for (; i <= n; i++) {
        if (!is_inside(w, i))
            continue;
        if (p->v[i] < before)
            *change += before;
        before = p->v[i];
    }
    if (right < before)
        *change += before;
    return true;
}

static bool check_hists(
    struct range_call *call, const size_t ends[2], const struct points *p, bool counter)
{
    for (size_t i = ends[0]; i <= ends[1]; i++) {
        if (hist_is_custom(p->h[i]) != hist_is_custom(p->h[ends[0]])) {
            warn_mixed_schemas(call);
            return false;
        }
        if (counter && p->h[i]->reset_hint == HIST_GAUGE)
            warn_wrong_type(call, true);
    }
    return true;
}

/* Adds to *sum what the counter had reached before each reset between the ends. */
static bool add_lost(struct range_call *call, const struct window *w, const size_t ends[2],
    const struct hist *left, const struct hist *right, const struct hist **sum, bool *fits,
    struct err *err)
{
    const struct points *p = w->points;
    const struct hist *before = left;
    size_t i = ends[0] + 1;
    /* A reset that the line to the left end has crossed is in it already. */
    if (call->extend == EXTEND_SMOOTHED && p->h_t[ends[0]] < w->from_ms &&
        hist_detect_reset(p->h[i], p->h[i - 1]))
        before = p->h[i++];
    if (i > ends[1])
        return true;
    for (; *fits && i <= ends[1]; i++) {
        const struct hist *h = i == ends[1] ? right : p->h[i];
        if (hist_detect_reset(h, before) &&
            !range_combine(call, *sum, before, true, sum, fits, err))
            return false;
        before = h;
    }
    return true;
}

static bool extended_hists(struct range_call *call, const struct window *w, bool counter,
    const struct hist **change, struct err *err)
{
    const struct points *p = w->points;
    bool smoothed = call->extend == EXTEND_SMOOTHED, fits = true;
    size_t ends[2];
    *change = NULL;
    if (!find_ends(w, p->h_t, w->h_lo, w->h_hi, smoothed, ends) ||
        !check_hists(call, ends, p, counter))
        return true;
    size_t i = ends[0], n = ends[1];
    const struct hist *left = p->h[i], *right = p->h[n], *sum;
    if (smoothed && p->h_t[i] < w->from_ms &&
        !extend_between(call, p->h[i], p->h_t[i], p->h[i + 1], p->h_t[i + 1], w->from_ms, counter,
            &left, &fits, err))
        return false;
    if (fits && smoothed && n > w->h_lo && p->h_t[n] > w->to_ms &&
        !extend_between(call, p->h[n - 1], p->h_t[n - 1], p->h[n], p->h_t[n], w->to_ms, counter,
            &right, &fits, err))
        return false;
    if (!fits)
        return true;
    if (!counter && (left->reset_hint != HIST_GAUGE || right->reset_hint != HIST_GAUGE))
        warn_wrong_type(call, false);
    if (!range_combine(call, right, left, false, &sum, &fits, err))
        return false;
    if (fits && counter && !add_lost(call, w, ends, left, right, &sum, &fits, err))
        return false;
    *change = fits ? sum : NULL;
    return true;
}

static bool extended_rate(
    struct range_call *call, const struct window *w, struct range_result *out, struct err *err)
{
    bool counter = call->id != FN_DELTA;
    double divisor = call->id == FN_RATE ? (double)(w->to_ms - w->from_ms) / 1000 : 1;
    if (window_floats(w) > 0 && window_hists(w) > 0) {
        warn_mixed_types(call);
        return true;
    }
    if (window_hists(w) == 0) {
        out->present = extended_floats(w, call->extend == EXTEND_SMOOTHED, counter, &out->v);
        out->v /= divisor;
        return true;
    }
    const struct hist *change;
    struct arena *arena = call->eval->arena;
    if (!extended_hists(call, w, counter, &change, err))
        return false;
    if (!change)
        return true;
    if (divisor != 1 && !(change = hist_divide(arena, change, divisor)))
        return eval_no_memory(call->eval, err);
    change = hist_with_hint(arena, change, HIST_GAUGE);
    out->h = change ? hist_compact(arena, change) : NULL;
    out->present = true;
    return out->h ? true : eval_no_memory(call->eval, err);
}

/* ---- changes and resets ---- */

/* Begins the window with the last point at or before from; false: nothing lies in the range. */
static bool anchor(struct window *w)
{
    const struct points *p = w->points;
    size_t f = w->lo, h = w->h_lo;
    while (f < w->hi && p->t[f] <= w->from_ms)
        f++;
    while (h < w->h_hi && p->h_t[h] <= w->from_ms)
        h++;
    if (f == w->hi && h == w->h_hi)
        return false;
    bool has_f = f > w->lo, has_h = h > w->h_lo;
    if (has_f && (!has_h || p->t[f - 1] > p->h_t[h - 1]))
        f--;
    else if (has_h)
        h--;
    w->lo = f;
    w->h_lo = h;
    return true;
}

bool range_extended(
    struct range_call *call, const struct window *w, struct range_result *out, struct err *err)
{
    if (call->id != FN_CHANGES && call->id != FN_RESETS)
        return extended_rate(call, w, out, err);
    struct window anchored = *w;
    if (!anchor(&anchored))
        return true;
    out->present = true;
    out->v =
        call->id == FN_CHANGES ? range_count_changes(&anchored) : range_count_resets(&anchored);
    return true;
}
