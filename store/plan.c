/* Plans: which series, and what is wanted of them. See read.h. parts.c finds their cells. */
#include "base/ensure.h"
#include "store/resolution.h"
#include "store/snapshot_priv.h"

struct planned planned_of(const struct catalog_entry *entry)
{
    return (struct planned){.id = entry->id, .labels = entry->labels, .def = entry->def};
}

/* The catalogue gives the series in order of their labels. Series that are added after the
 * snapshot's moment may be among them; it has no cells of theirs. */
static bool describe_series(struct plan *plan, const uint32_t *ids, size_t n_ids, struct err *err)
{
    struct arena *arena = &plan->snapshot->arena;
    struct catalog_entry *entries;
    if (!catalog_describe(&plan->snapshot->store->catalog, ids, n_ids, arena, &entries, &plan->n))
        return snapshot_full(err);
    plan->series = arena_array(arena, plan->n, sizeof *plan->series);
    if (!plan->series)
        return snapshot_full(err);
    for (size_t i = 0; i < plan->n; i++) {
        plan->series[i] = planned_of(&entries[i]);
        plan->series[i].last = &plan->series[i].parts;
    }
    return true;
}

bool plan_of(
    struct snapshot *snapshot, const uint32_t *ids, size_t n, struct plan **out, struct err *err)
{
    struct plan *plan = arena_zalloc(&snapshot->arena, sizeof *plan);
    ensure(!snapshot->fetched);
    if (!plan)
        return snapshot_full(err);
    plan->snapshot = snapshot;
    if (!describe_series(plan, ids, n, err))
        return false;
    *snapshot->last = plan;
    snapshot->last = &plan->next;
    *out = plan;
    return true;
}

const struct matcher **matchers_of(struct arena *arena, const struct scope *scope,
    const struct matcher *matchers, size_t n, size_t *n_all)
{
    *n_all = n + (scope ? scope->n_matchers : 0);
    const struct matcher **all = arena_array(arena, *n_all, sizeof(void *));
    for (size_t i = 0; all && i < *n_all; i++)
        all[i] = i < n ? &matchers[i] : &scope->matchers[i - n];
    return all;
}

bool plan_check_series(const struct plan *plan, size_t n, struct err *err)
{
    return plan->max_series == 0 || n <= plan->max_series ||
           err_set(err, ERR_LIMIT, "a selector matches %zu series; %llu are allowed", n,
               (unsigned long long)plan->max_series);
}

/* Every series that matches and has an id below the result is selected, and none from it on. */
static size_t known_after(size_t n_series, const uint32_t *ids, size_t n_ids)
{
    return n_ids > 0 && ids[n_ids - 1] >= n_series ? (size_t)ids[n_ids - 1] + 1 : n_series;
}

bool plan_new(struct snapshot *snapshot, const struct scope *scope, const struct matcher *matchers,
    size_t n, const struct read_budget *budget, struct plan **out, struct err *err)
{
    struct arena *arena = &snapshot->arena;
    struct catalog *catalog = &snapshot->store->catalog;
    struct plan asked = {.max_series = budget ? budget->max_series : 0};
    size_t n_ids;
    uint32_t *ids;
    asked.matchers = matchers_of(arena, scope, matchers, n, &asked.n_matchers);
    if (!asked.matchers)
        return snapshot_full(err);
    catalog_lock_read(catalog);
    asked.known = catalog->n_series;
    asked.removals = catalog->removals;
    catalog_unlock(catalog);
    if (!catalog_select_until(catalog, asked.matchers, asked.n_matchers, snapshot->cancel, arena,
            &ids, &n_ids, err) ||
        !plan_check_series(&asked, n_ids, err) || !plan_of(snapshot, ids, n_ids, out, err))
        return false;
    (*out)->matchers = snapshot->settled ? NULL : asked.matchers;
    (*out)->n_matchers = asked.n_matchers;
    (*out)->known = known_after(asked.known, ids, n_ids);
    (*out)->removals = asked.removals;
    (*out)->max_series = asked.max_series;
    return true;
}

size_t plan_n(const struct plan *plan)
{
    snapshot_settle(plan->snapshot);
    return plan->n;
}

struct labels plan_labels(const struct plan *plan, size_t i)
{
    return plan->series[i].labels;
}

const struct metric_def *plan_metric(const struct plan *plan, size_t i)
{
    return plan->series[i].def;
}

uint32_t plan_series(const struct plan *plan, size_t i)
{
    return plan->series[i].id;
}

void plan_range(struct plan *plan, size_t i, int64_t from_ms, int64_t to_ms)
{
    snapshot_settle(plan->snapshot);
    struct planned *s = &plan->series[i];
    ensure(!plan->snapshot->fetched);
    if (!s->wanted || from_ms < s->from)
        s->from = from_ms;
    if (!s->wanted || to_ms > s->to)
        s->to = to_ms;
    s->wanted = true;
}

void plan_resolution(struct plan *plan, size_t i, int64_t resolution_ms)
{
    struct planned *s = &plan->series[i];
    ensure(!plan->snapshot->fetched && resolution_fits(s->def, resolution_ms));
    s->resolution_ms = resolution_ms;
}

bool plan_opening(struct plan *plan, size_t i, int64_t at_ms, struct err *err)
{
    snapshot_settle(plan->snapshot);
    struct planned *s = &plan->series[i];
    ensure(!plan->snapshot->fetched && s->def->kind == KIND_LEVEL);
    if (!s->opening && !(s->opening = arena_alloc(&plan->snapshot->arena, sizeof *s->opening)))
        return snapshot_full(err);
    *s->opening = (struct planned){.id = s->id,
        .def = s->def,
        .from = INT64_MIN,
        .to = at_ms,
        .wanted = true,
        .is_opening = true};
    s->opening->last = &s->opening->parts;
    return true;
}

bool plan_level(struct plan *plan, size_t i, int64_t from_ms, int64_t to_ms, struct err *err)
{
    plan_range(plan, i, from_ms, to_ms);
    plan->series[i].finest = true;
    return plan_opening(plan, i, plan->series[i].from, err);
}

int64_t plan_level_step(const struct plan *plan, size_t i)
{
    const struct snapshot *s = plan->snapshot;
    int64_t longest = 0;
    ensure(s->fetched && plan->series[i].finest);
    for (const struct part *p = plan->series[i].parts; p; p = p->next) {
        int64_t ms = p->head ? 0 : segment_info(s->segments[p->at].segment)->resolution_ms;
        longest = ms > longest ? ms : longest;
    }
    return longest;
}
