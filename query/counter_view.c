#include "query/counter_view.h"

#include "query/when.h"

/* The midnight that begins the day of t. */
static int64_t day_start(int64_t t)
{
    return time_floor(t - 1, DAY_MS);
}

/* First cell that ends after t. */
static size_t cells_by(const struct counter_view *view, int64_t t)
{
    size_t lo = 0, hi = view->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (view->t[mid] > t)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

/* The last window that the cell keeps alive. */
static int64_t alive_until(const struct counter_view *view, size_t cell)
{
    return time_floor(view->t[cell] + view->stale_after_ms - 1, view->every_ms);
}

/* Whether the window before the cell's is dead, so that the cell begins a life. */
static bool begins_life(const struct counter_view *view, size_t cell)
{
    return cell == 0 || alive_until(view, cell - 1) < view->t[cell] - view->every_ms;
}

/* The newest window at or before t that has a cell or is a known zero. i = cells_by(t). */
static bool newest_window(const struct counter_view *view, size_t i, int64_t t, int64_t *end)
{
    if (i == 0)
        return false;
    int64_t zero = alive_until(view, i - 1);
    int64_t bound = view->frontier_ms < t ? view->frontier_ms : t;
    if (bound < view->t[i - 1]) {
        *end = view->t[i - 1];
        return true;
    }
    bound = time_floor(bound, view->every_ms);
    zero = zero < bound ? zero : bound;
    *end = zero > view->t[i - 1] ? zero : view->t[i - 1];
    return true;
}

/* Whether midnight lies inside a life that shows a point after it. */
static bool midnight_inside(const struct counter_view *view, int64_t midnight)
{
    size_t next = cells_by(view, midnight);
    bool more = next < view->n && !begins_life(view, next);
    if (next > 0 && alive_until(view, next - 1) >= midnight) {
        int64_t zero = midnight + view->every_ms;
        bool known = zero <= view->frontier_ms && zero <= alive_until(view, next - 1);
        return known || more;
    }
    /* Dead at midnight: the life may begin there, one window before its first cell. */
    return next < view->n && begins_life(view, next) && view->t[next] - view->every_ms == midnight;
}

static void point_at(const struct counter_view *view, int64_t t, struct counter_point *out)
{
    out->t_ms = t;
    out->first = cells_by(view, day_start(t));
    out->end = cells_by(view, t);
}

bool counter_newest(const struct counter_view *view, int64_t t, struct counter_point *out)
{
    size_t next = cells_by(view, t);
    int64_t end;
    bool found = newest_window(view, next, t, &end);
    if (found)
        point_at(view, end, out);
    if (next < view->n && begins_life(view, next)) {
        int64_t before = view->t[next] - view->every_ms;
        if (before <= t && (!found || before > out->t_ms)) {
            point_at(view, before, out);
            found = true;
        }
    }
    int64_t midnight = day_start(t);
    if ((!found || midnight + 1 > out->t_ms) && midnight_inside(view, midnight)) {
        point_at(view, midnight + 1, out);
        found = true;
    }
    return found;
}

struct counter_span counter_windows(const struct counter_view *view, int64_t from, int64_t to)
{
    struct counter_span span = {.first = cells_by(view, from), .end = cells_by(view, to)};
    int64_t oldest = time_floor(from, view->every_ms), newest = time_floor(to, view->every_ms);
    span.windows = newest > oldest ? (size_t)((newest - oldest) / view->every_ms) : 0;
    if (span.windows && newest_window(view, span.end, to, &span.newest_ms))
        span.any = span.newest_ms > from;
    return span;
}

void counter_reach(
    int64_t every_ms, int64_t stale_after_ms, bool windows_only, int64_t *from, int64_t *to)
{
    int64_t alive = *from - stale_after_ms;
    int64_t day = time_floor(*from, DAY_MS);
    int64_t midnight = day_start(*to);
    if (windows_only) {
        *from = alive;
        return;
    }
    /* Whether a midnight in the range shows its 0 may depend on the next cell of the life. */
    int64_t after = midnight >= *from ? midnight + stale_after_ms + every_ms : *to;
    *from = alive < day ? alive : day;
    *to = *to + every_ms > after ? *to + every_ms : after;
}
