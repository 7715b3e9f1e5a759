/* Plans: which series, which of their cells, and the cells themselves. See read.h. */
#include <string.h>

#include "base/ensure.h"
#include "store/derive.h"
#include "store/missing.h"
#include "store/opening.h"
#include "store/resolution.h"
#include "store/snapshot_priv.h"

/* ---- planning ---- */

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

/* ---- parts ---- */

struct part *part_add(struct snapshot *snapshot, struct planned *series)
{
    struct part *p = arena_zalloc(&snapshot->arena, sizeof *p);
    if (!p)
        return NULL;
    *series->last = p;
    series->last = &p->next;
    return p;
}

static bool take_block(
    struct snapshot *s, struct planned *series, const struct head_block *block, struct err *err)
{
    if (block->start >= series->to || block->start + block->ms <= series->from)
        return true;
    const struct head_record *record = head_block_find(block, series->id);
    if (!record)
        return true;
    struct part *p = part_add(s, series);
    if (!p || !(p->head = arena_alloc(&s->arena, sizeof *p->head)) ||
        !head_part_take(block, record, &s->arena, p->head))
        return snapshot_full(err);
    return true;
}

typedef bool wanted_f(struct snapshot *s, struct planned *series, struct err *err);

static bool each_wanted(struct snapshot *s, wanted_f *each, struct err *err)
{
    for (struct plan *plan = s->plans; plan; plan = plan->next)
        for (size_t i = 0; i < plan->n; i++) {
            if (i % 256 == 0 && !snapshot_go_on(s, err))
                return false;
            for (struct planned *x = &plan->series[i]; x; x = x->opening)
                if (x->wanted && !each(s, x, err))
                    return false;
        }
    return true;
}

static bool take_head(struct snapshot *s, struct planned *series, struct err *err)
{
    for (size_t i = 0; i < s->n_blocks; i++)
        if (!take_block(s, series, s->blocks[i], err))
            return false;
    return true;
}

/* Slots, records and tails lie anywhere in memory: what comes next is asked for ahead, in the steps
 * in which one leads to the other. */
#define SLOTS_AHEAD   24
#define RECORDS_AHEAD 16
#define TAILS_AHEAD   8

static uint32_t id_ahead(const struct plan *plan, size_t i)
{
    return plan->series[i < plan->n ? i : plan->n - 1].id;
}

static void ask_ahead(const struct snapshot *s, const struct plan *plan, size_t i)
{
    for (size_t k = 0; k < s->n_blocks; k++) {
        const struct head_block *block = s->blocks[k];
        const uint32_t *slot = head_block_slot(block, id_ahead(plan, i + SLOTS_AHEAD));
        if (slot)
            __builtin_prefetch(slot);
        const struct head_record *record =
            head_block_find(block, id_ahead(plan, i + RECORDS_AHEAD));
        if (record)
            __builtin_prefetch(record);
        record = head_block_find(block, id_ahead(plan, i + TAILS_AHEAD));
        if (record)
            __builtin_prefetch(record->tail);
    }
}

/* Inside the gate: as short as can be. */
static bool take_heads(struct snapshot *s, struct err *err)
{
    for (struct plan *plan = s->plans; plan; plan = plan->next)
        for (size_t i = 0; i < plan->n; i++) {
            if (i % 256 == 0 && !snapshot_go_on(s, err))
                return false;
            ask_ahead(s, plan, i);
            for (struct planned *x = &plan->series[i]; x; x = x->opening)
                if (x->wanted && !take_head(s, x, err))
                    return false;
        }
    return true;
}

static bool take_overlay(struct snapshot *s, struct planned *series, struct err *err)
{
    for (size_t i = 0; i < s->overlay.n_blocks; i++)
        if (!take_block(s, series, s->overlay.blocks[i], err))
            return false;
    return true;
}

static bool count_head(struct snapshot *s, struct planned *series, struct err *err)
{
    (void)err;
    for (const struct part *p = series->parts; p; p = p->next)
        if (p->head) {
            uint64_t cells = head_part_cells(p->head, series->from, series->to);
            s->cells += cells;
            s->bytes += cells * sizeof(int64_t) * 2;
        }
    return true;
}

/* Whether the head, or what was pending, had cells of the series around (t0, t1]. */
static bool in_head(const void *ctx, int64_t t0, int64_t t1)
{
    const struct planned *series = ctx;
    for (const struct part *p = series->parts; p; p = p->next)
        if (p->head && p->head->block->start < t1 &&
            p->head->block->start + p->head->block->ms > t0)
            return true;
    return false;
}

/* What was deleted of a series, and is still in the segment. False at the arena's limit. */
static bool ranges_without(struct snapshot *s, const struct planned *series,
    const struct attached *a, const struct merge_range **out, size_t *n)
{
    struct merge_range ranges[DELETIONS_MAX], *kept;
    int64_t resolution = segment_info(a->segment)->resolution_ms;
    *n = s->deletions ? deleted_ranges(s->store, series->id, a->lsn, resolution, ranges) : 0;
    *out = kept = arena_array(&s->arena, *n, sizeof *kept);
    if (kept && *n)
        memcpy(kept, ranges, *n * sizeof *kept);
    return kept != NULL;
}

/* Whether a chunk of an opening counts as a whole: then its sum is in the directory. */
static bool add_whole(const struct attached *a, const struct segment_chunk *chunk,
    struct planned *series, bool *whole, struct err *err)
{
    struct segment_aggregate sum;
    *whole = false;
    if (!series->is_opening || chunk->max_t > series->to)
        return true;
    if (!segment_aggregate(a->segment, chunk, &sum, err))
        return false;
    *whole = sum.has & SEGMENT_HAS_SUM;
    if (*whole)
        series->sum += sum.sum;
    return true;
}

/* Whether the series takes cells of the segment. */
static bool is_served(
    struct snapshot *s, const struct planned *series, uint32_t at, bool *serves, struct err *err)
{
    const struct derive_reader reader = {
        s->deletions ? s->store : NULL, s->segments, s->n_segments, in_head, series};
    if (!series->is_opening)
        return derive_serves(
            &reader, at, series->id, series->def->kind, series->resolution_ms, serves, err);
    const struct opening opening = {
        reader.store, s->segments, s->n_segments, series->id, series->def, series->to};
    return opening_takes(&opening, at, serves, err);
}

/* The chunks of a segment, as parts at *last. */
static bool take_segment(
    struct snapshot *s, struct planned *series, uint32_t at, struct part ***last, struct err *err)
{
    const struct attached *a = &s->segments[at];
    const struct segment_info *info = segment_info(a->segment);
    const struct segment_chunk *chunks = NULL;
    uint32_t ordinal = SEGMENT_NO_ID;
    size_t n = 0;
    bool serves;
    if (info->max_t <= series->from || info->min_t > series->to)
        return true;
    if (!is_served(s, series, at, &serves, err) ||
        (serves && !attached_find(a, series->id, &ordinal, err)) ||
        (ordinal != SEGMENT_NO_ID && !segment_chunks(a->segment, ordinal, series->from, series->to,
                                         &s->arena, &chunks, &n, err)))
        return false;
    const struct merge_range *without;
    size_t n_without;
    if (n > 0 && !ranges_without(s, series, a, &without, &n_without))
        return snapshot_full(err);
    for (size_t i = 0; i < n; i++) {
        bool whole = false;
        if (n_without == 0 && !add_whole(a, &chunks[i], series, &whole, err))
            return false;
        if (whole)
            continue;
        struct part *p = arena_zalloc(&s->arena, sizeof *p);
        if (!p)
            return snapshot_full(err);
        p->without = without;
        p->n_without = n_without;
        p->at = at;
        p->piece = &chunks[i];
        **last = p;
        *last = &p->next;
        s->cells += chunks[i].n;
        s->bytes += chunks[i].bytes;
    }
    return true;
}

struct asking {
    struct snapshot *s;
    const struct planned *series;
};

static bool asks(void *ctx, uint32_t at, bool *serves, struct err *err)
{
    const struct asking *a = ctx;
    return is_served(a->s, a->series, at, serves, err);
}

/* Whether nothing that the series would take is set aside. */
static bool lacks_nothing(struct snapshot *s, const struct planned *series, struct err *err)
{
    struct asking asking = {s, series};
    const struct missing_reader reader = {.all = s->quarantined,
        .n = s->n_quarantined,
        .segments = s->segments,
        .n_segments = s->n_segments,
        .def = series->def,
        .resolution_ms = series->resolution_ms,
        .opening = series->is_opening,
        .serves = asks,
        .ctx = &asking};
    return missing_check(&reader, series->from, series->to, err);
}

bool planned_take_segments(struct snapshot *s, struct planned *series, struct err *err)
{
    struct part *first = NULL, **last = &first;
    if (!lacks_nothing(s, series, err) && !snapshot_lacks(s, series->from, series->to, err))
        return false;
    for (uint32_t i = 0; i < s->n_segments; i++)
        if (!s->seen[i].failed &&
            (!snapshot_go_on(s, err) || !take_segment(s, series, i, &last, err)) &&
            !snapshot_without(s, i, err))
            return false;
    *last = series->parts;
    series->parts = first;
    return true;
}

/* ---- what was pending ---- */

/* The ids of wanted series, one bit each. */
struct id_set {
    uint64_t *bits;
    uint32_t end;
};

static bool is_asked_for(const struct planned *series)
{
    return series->wanted || series->opening;
}

static bool wanted_ids(struct snapshot *s, struct id_set *out)
{
    uint32_t end = 0;
    for (struct plan *plan = s->plans; plan; plan = plan->next)
        for (size_t i = 0; i < plan->n; i++)
            if (is_asked_for(&plan->series[i]) && plan->series[i].id >= end)
                end = plan->series[i].id + 1;
    *out = (struct id_set){arena_zalloc(&s->arena, (end / 64 + 1) * sizeof(uint64_t)), end};
    if (!out->bits)
        return false;
    for (struct plan *plan = s->plans; plan; plan = plan->next)
        for (size_t i = 0; i < plan->n; i++)
            if (is_asked_for(&plan->series[i]))
                out->bits[plan->series[i].id / 64] |= UINT64_C(1) << plan->series[i].id % 64;
    return true;
}

static bool is_wanted(void *ctx, uint32_t series)
{
    const struct id_set *set = ctx;
    return series < set->end && (set->bits[series / 64] >> series % 64 & 1);
}

/* The pending cells of wanted series become a small head of the snapshot's own. */
static bool make_overlay(struct snapshot *s, struct err *err)
{
    struct id_set ids;
    if (s->n_pending == 0)
        return true;
    if (!wanted_ids(s, &ids))
        return snapshot_full(err);
    struct head_filter filter = {.series = is_wanted, .ctx = &ids};
    for (size_t i = 0; i < s->n_pending; i++) {
        const struct seen_pending *p = &s->pending[i];
        for (size_t at = p->at; !head_apply(&s->overlay, &p->pending->data, &at, 65536, &filter);)
            if (!snapshot_go_on(s, err))
                return false;
    }
    return each_wanted(s, take_overlay, err);
}

void snapshot_leave(struct snapshot *s)
{
    if (s->inside)
        gate_leave(&s->store->gate);
    s->inside = false;
}

bool plans_take_parts(struct snapshot *s, struct err *err)
{
    snapshot_settle(s);
    if (s->failed) {
        *err = s->failure;
        return false;
    }
    bool ok = replay_await_ranges(s, err) && take_heads(s, err);
    if (!s->deletions)
        snapshot_leave(s);
    ok = ok && make_overlay(s, err) && each_wanted(s, count_head, err) &&
         each_wanted(s, planned_take_segments, err) && each_wanted(s, planned_find_pieces, err);
    if (!s->stays) /* deletions come and go when nobody is in there */
        snapshot_leave(s);
    return ok;
}

/* ---- cursors ---- */

static size_t count_pieces(const struct snapshot *s, const struct planned *series)
{
    size_t k = 1; /* coarser cells of raw ones */
    for (const struct part *p = series->parts; p; p = p->next)
        k += p->head ? head_part_pieces(p->head) : !s->seen[p->at].failed;
    return k;
}

/* In the order in which they are merged: of samples the last one stands, and kept cells are of raw
 * ones that are gone. */
enum layer { LAYER_DERIVED, LAYER_KEPT, LAYER_RAW };

static enum layer layer_of(const struct snapshot *s, const struct part *p)
{
    const struct attached *a = p->head ? NULL : &s->segments[p->at];
    return !a || !a->derived ? LAYER_RAW : a->kept ? LAYER_KEPT : LAYER_DERIVED;
}

/* The cells of a part: *n columns. */
static bool decode_part(const struct snapshot *s, const struct planned *series,
    const struct part *p, struct arena *arena, struct columns *out, size_t *n, struct err *err)
{
    if (!snapshot_go_on(s, err))
        return false;
    if (p->head)
        return head_part_columns(p->head, series->from, series->to, arena, out, n, err);
    *n = 1;
    if (!segment_decode(s->segments[p->at].segment, p->piece, p->pages, arena, out, err))
        return false;
    return p->n_without == 0 || columns_without(arena, p->without, p->n_without, out) ||
           snapshot_full(err);
}

/* Decodes the parts of a layer; *k columns are in `in` already. */
static bool decode_parts(const struct snapshot *s, const struct planned *series, enum layer layer,
    struct arena *arena, struct columns *in, size_t *k, struct err *err)
{
    for (const struct part *p = series->parts; p; p = p->next) {
        size_t n;
        if (layer_of(s, p) != layer || (!p->head && (s->seen[p->at].failed || !p->pages)))
            continue;
        if (!decode_part(s, series, p, arena, in + *k, &n, err))
            return false;
        *k += n;
    }
    return true;
}

/* in: coarse columns, then raw ones, n in all. */
static bool merge_parts(const struct planned *s, struct columns *in, size_t coarse, size_t n,
    struct arena *arena, struct columns *out, struct err *err)
{
    struct columns raw;
    if (s->resolution_ms && n > coarse) {
        if (!columns_merge(arena, in + coarse, n - coarse, s->from, s->to, &raw))
            return snapshot_full(err);
        if (columns_have_histograms(&raw))
            return err_set(err, ERR_UNSUPPORTED, "histogram samples have no coarser cells");
        if (!resolution_derive(arena, &raw, s->resolution_ms, &in[coarse]))
            return snapshot_full(err);
        /* Derived samples stand where both have a cell: their raw ones are gone. */
        struct columns first = in[coarse];
        memmove(in + 1, in, coarse * sizeof *in);
        in[0] = first;
        n = coarse + 1;
    }
    return n == 0 || columns_merge(arena, in, n, s->from, s->to, out) || snapshot_full(err);
}

bool planned_columns(const struct snapshot *s, const struct planned *series, struct arena *arena,
    struct columns *out, struct err *err)
{
    size_t k = 0;
    ensure(s->fetched);
    *out = (struct columns){.kind = series->def->kind};
    if (!series->parts)
        return true;
    struct columns *in = arena_array(arena, count_pieces(s, series), sizeof *in);
    if (!in)
        return snapshot_full(err);
    if (!decode_parts(s, series, LAYER_DERIVED, arena, in, &k, err) ||
        !decode_parts(s, series, LAYER_KEPT, arena, in, &k, err))
        return false;
    size_t coarse = k;
    return decode_parts(s, series, LAYER_RAW, arena, in, &k, err) &&
           merge_parts(series, in, coarse, k, arena, out, err);
}

bool plan_columns(
    const struct plan *plan, size_t i, struct arena *arena, struct columns *out, struct err *err)
{
    ensure(!plan->series[i].pieced);
    return planned_columns(plan->snapshot, &plan->series[i], arena, out, err);
}

bool plan_opening_sum(
    const struct plan *plan, size_t i, struct arena *arena, int128 *out, struct err *err)
{
    const struct planned *opening = plan->series[i].opening;
    struct columns rest;
    ensure(opening);
    if (!planned_columns(plan->snapshot, opening, arena, &rest, err))
        return false;
    *out = opening->sum;
    for (size_t k = 0; k < rest.n; k++)
        *out += rest.amount[k];
    return true;
}
