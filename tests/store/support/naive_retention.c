/* What goes of a store, by the rules of store/retention.h. See naive.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/ensure.h"
#include "store/folder_lock.h"
#include "store/put_away.h"
#include "store/resolution.h"
#include "store/store_priv.h"
#include "tests/store/support/folder.h"
#include "tests/store/support/naive.h"

#define DAY RESOLUTION_1D

static const int64_t age_resolutions[NAIVE_AGES] = {0, RESOLUTION_1M, RESOLUTION_1H};

static const struct naive_selection everything = {
    .matchers = {{MATCH_NOT_EQUAL, {"__name__", 8}, {"", 0}, NULL}}, .n = 1};

/* ---- by age ---- */

int64_t naive_kept_ms(const struct retention *r, struct slice metric, enum naive_age age)
{
    const int64_t general[NAIVE_AGES] = {r->raw_ms, r->minute_ms, r->hour_ms};
    for (size_t i = 0; i < r->n_metrics; i++) {
        const struct metric_retention *own = &r->metrics[i];
        const int64_t ages[NAIVE_AGES] = {own->raw_ms, own->minute_ms, own->hour_ms};
        if (slice_eq(own->metric, metric) && ages[age])
            return ages[age] == RETENTION_FOR_EVER ? 0 : ages[age];
    }
    return general[age];
}

void naive_retain_by_age(struct naive *naive, size_t slot, struct slice metric,
    const struct retention *retention, int64_t newest_ms)
{
    for (enum naive_age age = NAIVE_RAW; age < NAIVE_AGES; age++) {
        int64_t kept = naive_kept_ms(retention, metric, age);
        if (kept)
            naive_retain(naive, slot, age, (newest_ms - kept) / DAY * DAY);
    }
}

/* ---- what is gone ---- */

static int64_t gone_of(const struct naive_series *s, enum naive_age age)
{
    return age == NAIVE_RAW ? s->gone[NAIVE_RAW] : naive_gone(s, age);
}

/* A range to look for cells in; of the series that the model compares. */
struct look {
    const struct naive_series **all;
    size_t n;
    enum naive_age age;
    int64_t from, to; /* to INT64_MAX: of each series what may be gone */
    char found[200];  /* a series that has a cell there */
    int64_t t;
};

static bool looks_at(const struct look *l, const struct naive_series *s)
{
    return s && (l->age == NAIVE_RAW || naive_is_coarse(s, age_resolutions[l->age]));
}

static bool find_first(struct look *l, struct plan *plan, struct difference *d)
{
    struct arena arena;
    bool ok = true;
    arena_init(&arena, 0);
    for (size_t i = 0; ok && !l->found[0] && i < plan_n(plan); i++) {
        const struct naive_series *s = naive_among(l->all, l->n, plan_labels(plan, i));
        struct columns c;
        struct err err;
        arena_reset(&arena);
        if (!looks_at(l, s))
            continue;
        if (!plan_columns(plan, i, &arena, &c, &err))
            ok = naive_fails(d, "plan_columns", &err);
        else if (c.n > 0) {
            naive_name(s, l->found, sizeof l->found);
            l->t = c.t[0];
        }
    }
    arena_fini(&arena);
    return ok;
}

/* Sets found and t. */
static bool look(
    const struct naive *naive, struct store *store, struct look *l, struct difference *d)
{
    struct snapshot *snap = snapshot_get(store);
    struct scope scope;
    struct plan *plan;
    struct err err;
    l->all = naive_select(naive, &everything, &l->n);
    bool ok = naive_plan(snap, &everything, &scope, &plan, d);
    for (size_t i = 0; ok && i < plan_n(plan); i++) {
        const struct naive_series *s = naive_among(l->all, l->n, plan_labels(plan, i));
        bool looked_at = looks_at(l, s);
        int64_t to = !looked_at ? l->from : l->to < INT64_MAX ? l->to : gone_of(s, l->age);
        plan_range(plan, i, l->from, to > l->from ? to : l->from);
        if (looked_at && l->age != NAIVE_RAW)
            plan_resolution(plan, i, age_resolutions[l->age]);
    }
    if (ok && !snapshot_fetch(snap, NULL, NULL, &err))
        ok = naive_fails(d, "reading", &err);
    ok = ok && find_first(l, plan, d);
    snapshot_put(&snap);
    free(l->all);
    return ok;
}

bool naive_compare_gone(
    const struct naive *naive, struct store *store, int64_t from, struct difference *d)
{
    for (enum naive_age age = NAIVE_RAW; age < NAIVE_AGES; age++) {
        struct look l = {.age = age, .from = from, .to = INT64_MAX};
        if (!look(naive, store, &l, d))
            return false;
        if (l.found[0])
            return naive_differs(d, "{%s}: the cell of %" PRId64 " s at %" PRId64 " is not gone",
                l.found, age_resolutions[age] / 1000, l.t);
    }
    return true;
}

/* ---- by bytes ---- */

/* Whether the model has such cells that are not known to be gone. */
static bool model_has(const struct naive *naive, enum naive_age age, int64_t from, int64_t to)
{
    for (size_t i = 0; i < naive->n_series; i++) {
        const struct naive_series *s = &naive->series[i];
        int64_t gone = gone_of(s, age), after = gone > from ? gone : from;
        size_t at = naive_place(s, after + 1);
        bool raw = at < s->n && s->cells[at].t <= to;
        if (raw && (age == NAIVE_RAW || naive_has_coarse(s, age_resolutions[age], after, to)))
            return true;
    }
    return false;
}

/* All windows before are gone, too. */
static void mark_gone(struct naive *naive, enum naive_age age, int64_t t0, int64_t t1)
{
    for (size_t slot = 0; slot < naive->n_series; slot++) {
        for (enum naive_age all = NAIVE_RAW; all < NAIVE_AGES; all++)
            naive_retain(naive, slot, all, t0);
        naive_retain(naive, slot, age, t1);
    }
}

static void add_bytes(void *ctx, const char *path)
{
    struct stat st;
    ensure(stat(path, &st) == 0);
    if (strcmp(strrchr(path, '/') + 1, FOLDER_LOCK_NAME) != 0 &&
        !strstr(path, "/" PUT_AWAY_FOLDER "/"))
        *(uint64_t *)ctx += (uint64_t)st.st_size;
}

uint64_t naive_bytes(const char *path)
{
    uint64_t bytes = 0;
    folder_each(path, add_bytes, &bytes);
    return bytes;
}

/* Segments behind t0, of windows that end by t1. A file that nobody names is none: it could not be
 * removed. */
struct segments {
    const struct manifest *manifest;
    int64_t t0, t1, finer_ms; /* of that resolution or a finer one */
    bool any;
};

static void see_segment(void *ctx, const char *path)
{
    struct segments *s = ctx;
    int64_t t0, t1;
    struct segment *segment;
    struct err err;
    const char *name = strrchr(path, '/') + 1;
    if (!segment_name_times(name, &t0, &t1) || !manifest_names(s->manifest, name) || t0 < s->t0 ||
        (t1 + DAY - 1) / DAY * DAY > s->t1)
        return;
    ensure(segment_open(path, NULL, &segment, &err));
    int64_t resolution = segment_info(segment)->resolution_ms;
    s->any |= resolution <= s->finer_ms;
    segment_put(&segment);
}

bool naive_may_go(const struct store *store, const char *path, int64_t passed_ms)
{
    struct segments s = {
        .manifest = &store->manifest, .t1 = passed_ms, .finer_ms = RESOLUTION_1H, .t0 = INT64_MIN};
    folder_each(path, see_segment, &s);
    return s.any;
}

/* What is left of coarser cells are segments of their own, or finer ones, which go before. Raw
 * cells are looked for; others than these may come for a window whose raw cells are gone. */
static bool is_left(const struct naive *naive, struct store *store, const char *path,
    enum naive_age age, int64_t t0, bool *left, struct difference *d)
{
    struct look l = {.age = NAIVE_RAW, .from = t0, .to = t0 + DAY};
    struct segments s = {
        .manifest = &store->manifest, .t1 = t0 + DAY, .finer_ms = age_resolutions[age], .t0 = t0};
    if (age == NAIVE_RAW) {
        bool ok = look(naive, store, &l, d);
        *left = ok && l.found[0];
        return ok;
    }
    folder_each(path, see_segment, &s);
    *left = s.any;
    return true;
}

bool naive_see_gone(struct naive *naive, struct store *store, const char *path, int64_t from,
    int64_t passed_ms, uint32_t *taken, struct difference *d)
{
    *taken = 0;
    for (int64_t t0 = from; passed_ms >= DAY && t0 <= passed_ms - DAY; t0 += DAY)
        for (enum naive_age age = NAIVE_RAW; age < NAIVE_AGES; age++) {
            bool left;
            if (!model_has(naive, age, t0, t0 + DAY))
                continue;
            if (!is_left(naive, store, path, age, t0, &left, d))
                return false;
            if (left)
                return true;
            mark_gone(naive, age, t0, t0 + DAY);
            ++*taken;
        }
    return true;
}
