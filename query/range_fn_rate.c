#include "query/range_fn.h"

#include "query/histogram_math.h"

/*
 * rate, increase and delta as Prometheus extrapolates them; irate and idelta.
 *
 *        from                                                to
 *         |      x------x------x------x------x------x        |
 *           start ^ first       sampled        last ^   end
 *
 * The change between the first and last point is stretched to the ends of the range, if a point
 * would be expected there (closer than 1.1 average distances), else by half a distance; a counter
 * is not followed below zero.
 */

static bool give(struct range_result *out, double v)
{
    *out = (struct range_result){.present = true, .v = v};
    return true;
}

/* ---- the change of histograms ---- */

bool range_combine(struct range_call *call, const struct hist *a, const struct hist *b, bool add,
    const struct hist **out, bool *fits, struct err *err)
{
    unsigned notes = 0;
    struct arena *arena = call->eval->arena;
    enum hist_status status =
        add ? hist_add(arena, a, b, &notes, out) : hist_subtract(arena, a, b, &notes, out);
    if (status == HIST_NO_MEMORY)
        return eval_no_memory(call->eval, err);
    *fits = status == HIST_OK;
    if (!*fits)
        warn_mixed_schemas(call);
    else if (notes & HIST_BOUNDS_RECONCILED)
        eval_info(call->eval, call->range, "mismatched custom buckets were reconciled during %s",
            add ? "addition" : "subtraction");
    return true;
}

/* Checks the histograms between the first and the last; *schema becomes their lowest, and *gauge
 * says whether one is a gauge. */
static bool check_middle(
    struct range_call *call, const struct window *w, bool custom, int *schema, bool *gauge)
{
    for (size_t i = w->h_lo + 1; i + 1 < w->h_hi; i++) {
        const struct hist *h = w->points->h[i];
        *gauge = *gauge || h->reset_hint == HIST_GAUGE;
        if (h->schema < *schema)
            *schema = h->schema;
        if (hist_is_custom(h) != custom) {
            warn_mixed_schemas(call);
            return false;
        }
    }
    return true;
}

static bool add_resets(struct range_call *call, const struct window *w, const struct hist *first,
    const struct hist **sum, bool *fits, struct err *err)
{
    const struct hist *before = first;
    for (size_t i = w->h_lo + 1; i < w->h_hi; i++) {
        const struct hist *h = w->points->h[i];
        if (hist_detect_reset(h, before)) {
            if (!range_combine(call, *sum, before, true, sum, fits, err))
                return false;
            if (!*fits)
                return true;
        }
        before = h;
    }
    return true;
}

/* Last less first and, for counters, what was lost in resets. *out NULL: no result. */
static bool hist_change(struct range_call *call, const struct window *w, bool counter,
    const struct hist **out, struct err *err)
{
    struct hist empty = {0};
    const struct hist *first = w->points->h[w->h_lo], *last = w->points->h[w->h_hi - 1];
    const struct hist *second = w->points->h[w->h_lo + 1], *sum = last;
    bool gauges = first->reset_hint == HIST_GAUGE && last->reset_hint == HIST_GAUGE;
    bool a_gauge = first->reset_hint == HIST_GAUGE || last->reset_hint == HIST_GAUGE;
    *out = NULL;
    /* Nothing of the first counts when a reset follows it, its bucket layout neither. */
    if (counter && hist_detect_reset(second, first)) {
        empty.schema = second->schema;
        empty.bounds = second->bounds;
        empty.n_bounds = second->n_bounds;
        first = &empty;
    }
    bool fits = hist_is_custom(last) == hist_is_custom(first);
    if (!fits) {
        if (counter && a_gauge)
            warn_wrong_type(call, true);
        warn_mixed_schemas(call);
        return true;
    }
    int schema = last->schema < first->schema ? last->schema : first->schema;
    if (counter && !check_middle(call, w, hist_is_custom(first), &schema, &a_gauge))
        return true;
    if (schema < last->schema && !(sum = hist_reduce(call->eval->arena, last, schema)))
        return eval_no_memory(call->eval, err);
    if (!range_combine(call, sum, first, false, &sum, &fits, err))
        return false;
    if (fits && counter && !add_resets(call, w, first, &sum, &fits, err))
        return false;
    if (!fits)
        return true;
    if (counter ? a_gauge : !gauges)
        warn_wrong_type(call, counter);
    *out = hist_with_hint(call->eval->arena, sum, HIST_GAUGE);
    return *out ? true : eval_no_memory(call->eval, err);
}

/* ---- extrapolation ---- */

/* Sum of what the counter had reached before each of its resets in the window. */
static double lost_in_resets(const struct window *w)
{
    const struct points *p = w->points;
    size_t lo = 0, hi = p->n_resets;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (p->resets[mid] <= w->lo)
            lo = mid + 1;
        else
            hi = mid;
    }
    double sum = 0;
    for (; lo < p->n_resets && p->resets[lo] < w->hi; lo++)
        sum += p->v[p->resets[lo] - 1];
    return sum;
}

/*
 * By how much the change between first_ms and last_ms (n + 1 points) is to be multiplied. change
 * and first are those of the counter's value (its count, for a histogram); first < 0: not a
 * counter.
 */
static double extrapolation(const struct window *w, int64_t first_ms, int64_t last_ms, size_t n,
    double change, double first)
{
    double start = (double)(first_ms - w->from_ms) / 1000;
    double end = (double)(w->to_ms - last_ms) / 1000;
    double sampled = (double)(last_ms - first_ms) / 1000, average = sampled / (double)n;
    double threshold = average * 1.1;
    if (start >= threshold)
        start = average / 2;
    if (change > 0 && first >= 0) {
        double to_zero = sampled * (first / change);
        if (to_zero < start)
            start = to_zero;
    }
    if (end >= threshold)
        end = average / 2;
    return (sampled + start + end) / sampled;
}

static bool extrapolated(struct range_call *call, const struct window *w, bool counter, bool rate,
    struct range_result *out, struct err *err)
{
    const struct points *p = w->points;
    double divisor = rate ? (double)(w->to_ms - w->from_ms) / 1000 : 1;
    if (window_floats(w) > 0 && window_hists(w) > 0) {
        warn_mixed_types(call);
        return true;
    }
    if (window_hists(w) > 1) {
        const struct hist *change;
        if (!hist_change(call, w, counter, &change, err))
            return false;
        if (!change)
            return true;
        double factor = extrapolation(w, p->h_t[w->h_lo], p->h_t[w->h_hi - 1], window_hists(w) - 1,
            change->count, counter ? p->h[w->h_lo]->count : -1);
        out->h = hist_multiply(call->eval->arena, change, factor / divisor);
        out->present = true;
        return out->h ? true : eval_no_memory(call->eval, err);
    }
    if (window_floats(w) < 2)
        return true;
    double change = p->v[w->hi - 1] - p->v[w->lo];
    if (counter)
        change += lost_in_resets(w);
    double factor = extrapolation(
        w, p->t[w->lo], p->t[w->hi - 1], window_floats(w) - 1, change, counter ? p->v[w->lo] : -1);
    return give(out, change * (factor / divisor));
}

bool range_rate(
    struct range_call *call, const struct window *w, struct range_result *out, struct err *err)
{
    return extrapolated(call, w, true, true, out, err);
}

bool range_increase(
    struct range_call *call, const struct window *w, struct range_result *out, struct err *err)
{
    return extrapolated(call, w, true, false, out, err);
}

bool range_delta(
    struct range_call *call, const struct window *w, struct range_result *out, struct err *err)
{
    return extrapolated(call, w, false, false, out, err);
}

/* ---- the last two points ---- */

struct last_point {
    int64_t t;
    double v;
    const struct hist *h;
};

/* The newest points of both types, newest first. */
static void last_two(const struct window *w, struct last_point two[2])
{
    const struct points *p = w->points;
    size_t f = w->hi, h = w->h_hi;
    for (int i = 0; i < 2; i++) {
        bool is_float = h == w->h_lo || (f > w->lo && p->t[f - 1] > p->h_t[h - 1]);
        if (is_float) {
            f--;
            two[i] = (struct last_point){p->t[f], p->v[f], NULL};
        } else {
            h--;
            two[i] = (struct last_point){p->h_t[h], 0, p->h[h]};
        }
    }
}

static bool hist_instant(struct range_call *call, const struct last_point two[2], bool rate,
    struct range_result *out, struct err *err)
{
    const struct hist *now = two[0].h, *before = two[1].h, *value = now;
    struct arena *arena = call->eval->arena;
    bool gauges = now->reset_hint == HIST_GAUGE && before->reset_hint == HIST_GAUGE;
    bool a_gauge = now->reset_hint == HIST_GAUGE || before->reset_hint == HIST_GAUGE;
    if (rate ? a_gauge : !gauges)
        warn_wrong_type(call, rate);
    if (!rate || !hist_detect_reset(now, before)) {
        bool fits;
        if (!range_combine(call, now, before, false, &value, &fits, err))
            return false;
        if (!fits)
            return true;
    }
    value = hist_with_hint(arena, value, HIST_GAUGE);
    if (value)
        value = hist_compact(arena, value);
    if (value && rate)
        value = hist_divide(arena, value, (double)(two[0].t - two[1].t) / 1000);
    *out = (struct range_result){.present = true, .h = value};
    return value ? true : eval_no_memory(call->eval, err);
}

static bool instant(struct range_call *call, const struct window *w, bool rate,
    struct range_result *out, struct err *err)
{
    struct last_point two[2];
    if (window_floats(w) + window_hists(w) < 2)
        return true;
    last_two(w, two);
    if (two[0].t == two[1].t)
        return true;
    if (two[0].h && two[1].h)
        return hist_instant(call, two, rate, out, err);
    if (two[0].h || two[1].h) {
        warn_mixed_types(call);
        return true;
    }
    double change = rate && two[0].v < two[1].v ? two[0].v : two[0].v - two[1].v;
    return give(out, rate ? change / ((double)(two[0].t - two[1].t) / 1000) : change);
}

bool range_irate(
    struct range_call *call, const struct window *w, struct range_result *out, struct err *err)
{
    return instant(call, w, true, out, err);
}

bool range_idelta(
    struct range_call *call, const struct window *w, struct range_result *out, struct err *err)
{
    return instant(call, w, false, out, err);
}
