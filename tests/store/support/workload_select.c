/* Which series and ranges a workload reads and deletes. See workload.h. */
#include "base/ensure.h"
#include "store/delete.h"
#include "store/resolution.h"
#include "tests/store/support/workload.h"

static const struct matcher pool[] = {
    {MATCH_EQUAL, {"series", 6}, {"n0", 2}, NULL},
    {MATCH_EQUAL, {"series", 6}, {"n1", 2}, NULL},
    {MATCH_EQUAL, {"series", 6}, {"n2", 2}, NULL},
    {MATCH_EQUAL, {"series", 6}, {"n5", 2}, NULL},
    {MATCH_EQUAL, {"city", 4}, {"rome", 4}, NULL},
    {MATCH_EQUAL, {"city", 4}, {"", 0}, NULL},
    {MATCH_EQUAL, {"le", 2}, {"+Inf", 4}, NULL},
    {MATCH_NOT_EQUAL, {"city", 4}, {"paris", 5}, NULL},
    {MATCH_NOT_EQUAL, {"city", 4}, {"", 0}, NULL},
    {MATCH_NOT_EQUAL, {"le", 2}, {"", 0}, NULL},
    {MATCH_NOT_EQUAL, {"absent", 6}, {"x", 1}, NULL},
    {MATCH_REGEX, {"city", 4}, {"berlin|rome", 11}, NULL},
    {MATCH_REGEX, {"city", 4}, {"(.*r.*)?", 8}, NULL},
    {MATCH_REGEX, {"series", 6}, {"n[0-3]", 6}, NULL},
    {MATCH_REGEX, {"series", 6}, {"n0|n4|n6", 8}, NULL},
    {MATCH_REGEX, {"__name__", 8}, {".*_(total|open)", 15}, NULL},
    {MATCH_REGEX, {"__name__", 8}, {"o.*", 3}, NULL},
    {MATCH_NOT_REGEX, {"__name__", 8}, {"(ticks|money)_.*", 16}, NULL},
    {MATCH_NOT_REGEX, {"city", 4}, {".+", 2}, NULL},
    {MATCH_NOT_REGEX, {"series", 6}, {"n.*[2-7]", 8}, NULL},
};

void workload_select(struct workload *w, struct naive_selection *out)
{
    *out = (struct naive_selection){.n = 1 + workload_below(w, NAIVE_MATCHERS)};
    for (size_t i = 0; i < out->n; i++) {
        struct matcher *m = &out->matchers[i];
        *m = pool[workload_below(w, sizeof pool / sizeof *pool)];
        if (i == 0 && workload_below(w, 2) == 0)
            *m = (struct matcher){MATCH_EQUAL, SLICE("__name__"),
                workload_defs[workload_below(w, WORKLOAD_METRICS)].name, NULL};
    }
    if (workload_below(w, 3) == 0)
        out->n_scope = workload_below(w, (uint32_t)out->n);
    for (size_t i = 0; i < out->n; i++) {
        struct regex *regex;
        struct err err;
        struct matcher *m = &out->matchers[i];
        if (m->op == MATCH_REGEX || m->op == MATCH_NOT_REGEX) {
            ensure(regex_new(m->value, &regex, &err));
            m->regex = regex;
        }
    }
}

void workload_unselect(struct naive_selection *selection)
{
    for (size_t i = 0; i < selection->n; i++)
        if (selection->matchers[i].regex) {
            struct regex *regex = (struct regex *)(uintptr_t)selection->matchers[i].regex;
            regex_free(&regex);
        }
}

/* ---- deletion ---- */

/* One series, those of a metric, or any selection. */
static void select_victims(struct workload *w, struct naive_selection *out)
{
    if (workload_below(w, 4) == 0) {
        workload_select(w, out);
        out->n_scope = 0;
        return;
    }
    const struct metric_def *def = &workload_defs[workload_below(w, WORKLOAD_METRICS)];
    *out = (struct naive_selection){
        .matchers = {{MATCH_EQUAL, SLICE("__name__"), def->name, NULL}, pool[workload_below(w, 4)]},
        .n = 1 + workload_below(w, 2)};
}

/* Where raw cells may be gone, an hour (or a day) that is touched in part could not be made anew.
 */
static int64_t whole_hours(const struct naive *naive, int64_t t)
{
    int64_t ms = 1;
    if (t == INT64_MIN || t == INT64_MAX)
        return t;
    for (size_t i = 0; i < naive->n_series; i++) {
        const struct naive_series *s = &naive->series[i];
        if (t < s->gone[NAIVE_RAW] && ms < RESOLUTION_1H)
            ms = RESOLUTION_1H;
        if (t < naive_gone(s, NAIVE_HOUR))
            ms = RESOLUTION_1D;
    }
    return t / ms * ms;
}

bool workload_delete(struct workload *w, struct store *store, struct err *err)
{
    struct naive_selection victims;
    uint64_t series;
    uint32_t long_ago = w->newest > 600 && workload_below(w, 3) ? 600 : (uint32_t)w->newest;
    int64_t from = workload_end(w->newest - (int64_t)workload_below(w, long_ago)) -
                   (int64_t)workload_below(w, 2);
    int64_t to = from + workload_below(w, 100) * WORKLOAD_EVERY;
    bool all_time = workload_below(w, 20) == 0;
    select_victims(w, &victims);
    from = all_time ? INT64_MIN : whole_hours(w->naive, from);
    to = all_time ? INT64_MAX : whole_hours(w->naive, to);
    for (size_t i = 0; i < w->naive->n_series; i++) {
        const struct naive_series *s = &w->naive->series[i];
        if (s->n_labels && naive_selects(&victims, s->labels, s->n_labels))
            naive_delete(w->naive, i, from, to);
    }
    bool ok = !store || store_delete(store, victims.matchers, victims.n, from, to, &series, err);
    workload_unselect(&victims);
    return ok;
}
