/*
 * The moment that a snapshot is of. The gate is entered for noting what is visible alone, which
 * takes a moment however much was selected: what is committed in that time has to wait on the list
 * of pending transactions.
 *
 *     plan_new, plan_new, ...   |   series that came since   |   plan_range, ..., copy tails
 *                          enter the gate,                                     views go
 *                          note, views, leave
 */
#include "base/ensure.h"
#include "base/mem.h"
#include "base/thread.h"
#include "store/snapshot_priv.h"

/* ---- what is visible ---- */

static void note_blocks(struct snapshot *s)
{
    const struct store *store = s->store;
    s->blocks = xcalloc(store->head.n_blocks + 1, sizeof(struct head_block *));
    if (store->frozen)
        s->blocks[s->n_blocks++] = head_block_get(store->frozen->block);
    for (size_t i = 0; i < store->head.n_blocks; i++)
        s->blocks[s->n_blocks++] = head_block_get(store->head.blocks[i]);
}

static void view_blocks(struct snapshot *s)
{
    s->views = xcalloc(s->n_blocks, sizeof *s->views);
    for (; s->n_views < s->n_blocks; s->n_views++)
        s->views[s->n_views] = block_view_get(s->blocks[s->n_views]);
}

void snapshot_unview(struct snapshot *s)
{
    while (s->n_views > 0)
        block_view_put(&s->views[--s->n_views]);
}

static void note_pending(struct snapshot *s)
{
    size_t n = 0;
    for (struct pending *p = s->store->pending; p; p = p->next)
        n++;
    s->pending = xcalloc(n, sizeof *s->pending);
    for (struct pending *p = s->store->pending; p; p = p->next)
        s->pending[s->n_pending++] = (struct seen_pending){pending_get(p), p->at};
}

static void note(struct snapshot *s)
{
    struct store *store = s->store;
    mutex_lock(&store->lock);
    s->lsn = store->lsn;
    s->point = change_log_point(&store->changes);
    s->deletions = deletions_get(store);
    s->progress = progress_get(store);
    s->segments = xcalloc(store->n_segments, sizeof *s->segments);
    for (; s->n_segments < store->n_segments; s->n_segments++)
        s->segments[s->n_segments] = attached_get(&store->segments[s->n_segments]);
    s->newest_ms = store->newest_ms;
    s->quarantined = xcalloc(store->n_quarantined, sizeof *s->quarantined);
    for (; s->n_quarantined < store->n_quarantined; s->n_quarantined++)
        s->quarantined[s->n_quarantined] = store->quarantined[s->n_quarantined];
    note_blocks(s);
    note_pending(s);
    mutex_unlock(&store->lock);
}

/* ---- series that came since they were selected ---- */

/* So many are tried under one hold of the catalogue's lock. */
#define TRIED 128

/* The ids that match among the series below `end` that the plan does not know. */
static bool find_new(struct plan *plan, size_t end, uint32_t **ids, size_t *n, struct err *err)
{
    struct catalog *catalog = &plan->snapshot->store->catalog;
    struct arena *arena = &plan->snapshot->arena;
    size_t cap = 0;
    *ids = NULL;
    *n = 0;
    while (plan->known < end) {
        uint32_t found[TRIED];
        size_t n_found = 0;
        catalog_lock_read(catalog);
        for (int i = 0; i < TRIED && plan->known < end; i++, plan->known++)
            if (catalog_matches(catalog, (uint32_t)plan->known, plan->matchers, plan->n_matchers))
                found[n_found++] = (uint32_t)plan->known;
        catalog_unlock(catalog);
        for (size_t i = 0; i < n_found; i++) {
            uint32_t *grown = arena_grow(arena, *ids, *n, &cap, sizeof **ids);
            if (!grown)
                return snapshot_full(err);
            *ids = grown;
            (*ids)[(*n)++] = found[i];
        }
        if (!snapshot_go_on(plan->snapshot, err))
            return false;
    }
    return true;
}

/* Puts the entries, which are in order, among the plan's series. */
static bool insert(
    struct plan *plan, const struct catalog_entry *entries, size_t n, struct err *err)
{
    size_t total = plan->n + n, a = plan->n, b = n;
    struct planned *all = arena_array(&plan->snapshot->arena, total, sizeof *all);
    if (!all)
        return snapshot_full(err);
    for (size_t at = total; at-- > 0;) {
        bool old =
            b == 0 || (a > 0 && labels_cmp(plan->series[a - 1].labels, entries[b - 1].labels) > 0);
        all[at] = old ? plan->series[--a] : planned_of(&entries[b - 1]);
        b -= !old;
        all[at].last = &all[at].parts;
    }
    plan->series = all;
    plan->n = total;
    return true;
}

/* Leaves out what was removed since it was selected: the same labels may have come anew. */
static void drop_removed(struct plan *plan)
{
    struct catalog *catalog = &plan->snapshot->store->catalog;
    size_t kept = 0;
    catalog_lock_read(catalog);
    bool any = catalog->removals != plan->removals;
    plan->removals = catalog->removals;
    for (size_t i = 0; any && i < plan->n; i++) {
        if (i % TRIED == TRIED - 1) {
            catalog_unlock(catalog);
            catalog_lock_read(catalog);
        }
        if (!catalog_has(catalog, plan->series[i].id))
            continue;
        plan->series[kept] = plan->series[i];
        plan->series[kept].last = &plan->series[kept].parts;
        kept++;
    }
    catalog_unlock(catalog);
    plan->n = any ? kept : plan->n;
}

static bool catch_up(struct plan *plan, size_t end, struct err *err)
{
    struct snapshot *s = plan->snapshot;
    struct catalog_entry *entries;
    uint32_t *ids;
    size_t n, n_entries;
    if (!plan->matchers)
        return true;
    drop_removed(plan);
    if (!find_new(plan, end, &ids, &n, err))
        return false;
    if (n == 0)
        return true;
    if (!catalog_describe(&s->store->catalog, ids, n, &s->arena, &entries, &n_entries))
        return snapshot_full(err);
    return insert(plan, entries, n_entries, err) && plan_check_series(plan, plan->n, err);
}

/* Series that there were in the moment have ids below `end`. */
static bool catch_up_all(struct snapshot *s, size_t end, struct err *err)
{
    for (struct plan *plan = s->plans; plan; plan = plan->next)
        if (!catch_up(plan, end, err))
            return false;
    return true;
}

static size_t count_series(struct catalog *catalog)
{
    catalog_lock_read(catalog);
    size_t n = catalog->n_series;
    catalog_unlock(catalog);
    return n;
}

/* ---- the moment ---- */

void snapshot_settle(struct snapshot *s)
{
    if (s->settled)
        return;
    s->settled = true;
    gate_enter(&s->store->gate);
    note(s);
    view_blocks(s);
    size_t n_series = count_series(&s->store->catalog);
    replay_meet(s);
    gate_leave(&s->store->gate);
    s->seen = xcalloc(s->n_segments, sizeof *s->seen);
    s->failed = !catch_up_all(s, n_series, &s->failure);
}
