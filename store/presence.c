#include "store/presence.h"

#include <string.h>

#include "store/derive.h"
#include "store/snapshot_priv.h"

/* Pages of one look that are kept for the next series. */
#define PAGES_BYTES (16u << 20)

void presence_begin(struct presence *presence, struct store *store, const struct listing *listing)
{
    *presence = (struct presence){.store = store, .listing = listing};
    arena_init(&presence->cells, 0);
    arena_init(&presence->pages, 0);
}

void presence_end(struct presence *presence)
{
    snapshot_put(&presence->snapshot);
    arena_fini(&presence->cells);
    arena_fini(&presence->pages);
}

/* ---- what metadata say ---- */

/* Whether cells of two commits may merge to nothing. */
static bool cancels(enum kind kind)
{
    return kind == KIND_COUNTER || kind == KIND_LEVEL || kind == KIND_HISTOGRAM;
}

struct extent {
    int64_t from, to; /* its cells have t in (from, to] */
};

static struct extent extent_of(const struct part *p)
{
    if (p->head)
        return (struct extent){p->head->block->start, p->head->block->start + p->head->block->ms};
    return (struct extent){p->piece->min_t - 1, p->piece->max_t};
}

static bool holds(struct extent e, int64_t t)
{
    return e.from < t && t <= e.to;
}

static bool is_deleted(const struct part *p, int64_t t)
{
    for (size_t i = 0; i < p->n_without; i++)
        if (p->without[i].from < t && t <= p->without[i].to)
            return true;
    return false;
}

/* Whether the series has a cell at t for sure, since part p has one. */
static bool is_sure(const struct planned *s, const struct part *p, int64_t t)
{
    if (t <= s->from || t > s->to || is_deleted(p, t))
        return false;
    for (const struct part *q = s->parts; q && cancels(s->def->kind); q = q->next)
        if (q != p && holds(extent_of(q), t))
            return false;
    return true;
}

static bool is_known(const struct planned *s)
{
    for (const struct part *p = s->parts; p; p = p->next)
        if (!p->head && (is_sure(s, p, p->piece->max_t) || is_sure(s, p, p->piece->min_t)))
            return true;
    return false;
}

/* ---- what cells say ---- */

/* Copies the parts that overlap the probe's range, or only those of the head. */
static bool copy_parts(struct arena *arena, const struct planned *s, bool head_only,
    struct planned *probe, struct err *err)
{
    probe->parts = NULL;
    probe->last = &probe->parts;
    for (const struct part *p = s->parts; p; p = p->next) {
        struct extent e = extent_of(p);
        if (e.to <= probe->from || e.from >= probe->to || (head_only && !p->head))
            continue;
        struct part *copy = arena_alloc(arena, sizeof *copy);
        if (!copy)
            return snapshot_full(err);
        *copy = *p;
        copy->next = NULL;
        *probe->last = copy;
        probe->last = &copy->next;
    }
    return true;
}

static bool decode(struct presence *presence, struct planned *probe, bool *has, struct err *err)
{
    struct snapshot *s = presence->snapshot;
    struct columns columns;
    if (!snapshot_go_on(s, err) || !planned_fetch(s, probe, &presence->pages, err) ||
        !planned_columns(s, probe, &presence->cells, &columns, err))
        return false;
    *has = columns.n > 0;
    return true;
}

/* Around one part after the other, so that a long history is not decoded as a whole. */
static bool look_at_cells(
    struct presence *presence, const struct planned *s, bool *has, struct err *err)
{
    for (const struct part *p = s->parts; p && !*has; p = p->next) {
        struct extent e = extent_of(p);
        struct planned probe = *s;
        probe.from = e.from > s->from ? e.from : s->from;
        probe.to = e.to < s->to ? e.to : s->to;
        arena_reset(&presence->cells);
        if (probe.from < probe.to && (!copy_parts(&presence->cells, s, false, &probe, err) ||
                                         !decode(presence, &probe, has, err)))
            return false;
    }
    return true;
}

/* ---- what derived cells say ---- */

/* Whether the series is in segment `other` and that overlaps `a`. */
static bool is_in(const struct attached *a, const struct attached *other, uint32_t series, bool *in,
    struct err *err)
{
    const struct segment_info *x = segment_info(a->segment), *y = segment_info(other->segment);
    uint32_t ordinal = SEGMENT_NO_ID;
    if (x->t0 < y->t1 && y->t0 < x->t1 && !attached_find(other, series, &ordinal, err))
        return false;
    *in = ordinal != SEGMENT_NO_ID;
    return true;
}

/* Whether derived segment i has the finest cells of the series that are left of its window: raw
 * ones that it was made from are gone, and so are those of finer resolutions. */
static bool is_finest(
    const struct snapshot *s, size_t i, uint32_t series, bool *finest, struct err *err)
{
    const struct attached *a = &s->segments[i];
    if (!is_in(a, a, series, finest, err))
        return false;
    for (size_t k = 0; k < s->n_segments && *finest; k++) {
        const struct attached *b = &s->segments[k];
        bool finer = b->derived ? b->holds && segment_info(b->segment)->resolution_ms <
                                                  segment_info(a->segment)->resolution_ms
                                : b->lsn <= a->lsn;
        bool in = false;
        if (finer && !is_in(a, b, series, &in, err))
            return false;
        *finest = !in;
    }
    return true;
}

static int64_t floor_to(int64_t t, int64_t step)
{
    return t - (t % step + step) % step;
}

/* Of a time up to the end of a window. */
static int64_t ceil_to(int64_t t, int64_t step)
{
    int64_t floor = floor_to(t, step);
    return floor == t ? t : floor + step;
}

static bool look_at_derived(
    struct presence *presence, const struct planned *s, bool *has, struct err *err)
{
    struct snapshot *snap = presence->snapshot;
    for (size_t i = 0; i < snap->n_segments && !*has; i++) {
        const struct attached *a = &snap->segments[i];
        const struct segment_info *info = segment_info(a->segment);
        struct planned probe = *s;
        bool finest;
        probe.from = info->t0 > s->from ? info->t0 : s->from;
        probe.to = info->t1 < s->to ? info->t1 : s->to;
        if (!a->derived || !a->holds || probe.from >= probe.to)
            continue;
        if (!is_finest(snap, i, s->id, &finest, err))
            return false;
        probe.resolution_ms = info->resolution_ms;
        probe.from = floor_to(probe.from, info->resolution_ms);
        probe.to = ceil_to(probe.to, info->resolution_ms);
        arena_reset(&presence->cells);
        if (finest && probe.from < probe.to &&
            (!copy_parts(&presence->cells, s, true, &probe, err) ||
                !planned_take_segments(snap, &probe, err) || !decode(presence, &probe, has, err)))
            return false;
    }
    return true;
}

/* ---- a batch ---- */

/* Pages of segments lie in the order of labels, as the series come. */
static void drop_pages(struct presence *presence)
{
    struct snapshot *s = presence->snapshot;
    arena_reset(&presence->pages);
    for (size_t i = 0; i < s->n_segments; i++)
        if (s->seen[i].pages)
            memset(s->seen[i].pages, 0,
                segment_pages(s->segments[i].segment) * sizeof *s->seen[i].pages);
}

static bool has_cells(
    struct presence *presence, const struct planned *s, bool *has, struct err *err)
{
    *has = is_known(s);
    if (*has)
        return true;
    if (presence->pages.used_bytes > PAGES_BYTES)
        drop_pages(presence);
    return look_at_cells(presence, s, has, err) && (*has || look_at_derived(presence, s, has, err));
}

static bool look(struct presence *presence, const uint32_t *ids, size_t n, struct present **out,
    size_t *n_out, struct err *err)
{
    const struct listing *l = presence->listing;
    struct snapshot *s = presence->snapshot;
    struct plan *plan;
    if (!plan_of(s, ids, n, &plan, err))
        return false;
    for (size_t i = 0; i < plan->n; i++)
        plan_range(plan, i, l->from_of ? l->from_of(plan->series[i].def, l->from_ms) : l->from_ms,
            l->to_ms);
    s->fetched = true; /* pages are read as they are needed */
    s->cancel = l->cancel;
    if (!plans_take_parts(s, err))
        return false;
    *n_out = plan->n;
    *out = arena_array(&s->arena, plan->n, sizeof **out);
    if (!*out)
        return snapshot_full(err);
    for (size_t i = 0; i < plan->n; i++) {
        const struct planned *x = &plan->series[i];
        (*out)[i] = (struct present){x->id, x->labels, x->def, false};
        if (!has_cells(presence, x, &(*out)[i].has, err))
            return false;
    }
    return true;
}

static void tell_what_lacks(const struct presence *presence)
{
    const struct listing *l = presence->listing;
    size_t n;
    const struct read_warning *all = snapshot_warnings(presence->snapshot, &n);
    for (size_t i = 0; i < n; i++)
        l->lacks(l->lacks_ctx, &all[i].err);
}

bool presence_look(struct presence *presence, const uint32_t *ids, size_t n, struct present **out,
    size_t *n_out, struct err *err)
{
    const struct listing *l = presence->listing;
    *n_out = 0;
    if (l->go_on && !l->go_on(l->go_on_ctx, err))
        return false;
    arena_reset(&presence->pages);
    snapshot_put(&presence->snapshot);
    presence->snapshot = snapshot_get(presence->store);
    if (l->lacks)
        snapshot_partial(presence->snapshot);
    bool ok = look(presence, ids, n, out, n_out, err);
    if (ok && l->lacks) {
        tell_what_lacks(presence);
        *err = (struct err){0}; /* it was told */
    }
    return ok;
}
