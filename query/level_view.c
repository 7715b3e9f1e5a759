#include "query/level_view.h"

#include "query/when.h"

/* First cell that ends after t. */
static size_t cells_by(const struct level_view *view, int64_t t)
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

bool level_at(const struct level_view *view, int64_t t, struct level_point *out)
{
    size_t end = cells_by(view, t);
    if (end == 0 || view->t[end - 1] <= t - view->stale_after_ms)
        return false;
    int64_t known = view->frontier_ms < t ? view->frontier_ms : t, newest = view->t[end - 1];
    *out = (struct level_point){known > newest ? time_floor(known, view->every_ms) : newest, end};
    return true;
}

bool level_next(const struct level_view *view, int64_t after, struct level_point *out)
{
    size_t end = cells_by(view, after);
    int64_t next = time_floor(after, view->every_ms) + view->every_ms;
    /* An unchanged window before the next change? */
    if (end > 0 && next <= view->frontier_ms && view->t[end - 1] > next - view->stale_after_ms &&
        (end == view->n || next < view->t[end])) {
        *out = (struct level_point){next, end};
        return true;
    }
    if (end == view->n)
        return false;
    *out = (struct level_point){view->t[end], end + 1};
    return true;
}
