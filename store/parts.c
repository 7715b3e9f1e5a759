/*
 * Parts: where the cells of planned series lie, found once and in the order of their commits. See
 * read.h.
 *
 *     segments -> frozen block -> open blocks -> overlay: what was pending
 *
 * Nothing is decoded here: a part of the head is a copy of a tail and a reference to what is
 * before it (head_block.h), one of a segment is a chunk whose pages are to be fetched (fetch.c).
 */
#include <string.h>

#include "base/ensure.h"
#include "store/compact.h"
#include "store/derive.h"
#include "store/missing.h"
#include "store/opening.h"
#include "store/snapshot_priv.h"

struct part *part_add(struct snapshot *snapshot, struct planned *series)
{
    struct part *p = arena_zalloc(&snapshot->arena, sizeof *p);
    if (!p)
        return NULL;
    *series->last = p;
    series->last = &p->next;
    return p;
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

/* ---- of the head ---- */

static bool take_record(struct snapshot *s, struct planned *series, const struct head_block *block,
    const struct head_record *record, struct err *err)
{
    if (!record || block->start >= series->to || block->start + block->ms <= series->from)
        return true;
    struct part *p = part_add(s, series);
    if (!p || !(p->head = arena_alloc(&s->arena, sizeof *p->head)) ||
        !head_part_take(block, record, &s->arena, p->head))
        return snapshot_full(err);
    return true;
}

static bool take_head(struct snapshot *s, struct planned *series, struct err *err)
{
    for (size_t i = 0; i < s->n_views; i++)
        if (!take_record(s, series, block_view_block(s->views[i]),
                block_view_find(s->views[i], series->id), err))
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
    for (size_t k = 0; k < s->n_views; k++) {
        const struct block_view *view = s->views[k];
        block_view_prefetch(view, id_ahead(plan, i + SLOTS_AHEAD));
        const struct head_record *record = block_view_find(view, id_ahead(plan, i + RECORDS_AHEAD));
        if (record)
            __builtin_prefetch(record);
        record = block_view_find(view, id_ahead(plan, i + TAILS_AHEAD));
        if (record)
            __builtin_prefetch(record->first);
    }
}

/* While the views are there the writer copies what it changes: as short as can be. */
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
    for (size_t i = 0; i < s->overlay.n_blocks; i++) {
        const struct head_block *block = s->overlay.blocks[i];
        if (!take_record(s, series, block, head_block_find(block, series->id), err))
            return false;
    }
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

/* ---- of segments ---- */

/* What was deleted of a series, and is still in the segment. False at the arena's limit. */
static bool ranges_without(struct snapshot *s, const struct planned *series,
    const struct attached *a, const struct merge_range **out, size_t *n)
{
    struct merge_range ranges[DELETIONS_MAX], *kept;
    int64_t resolution = segment_info(a->segment)->resolution_ms;
    *n = deleted_ranges(&s->deletions, series->id, a->lsn, resolution, ranges);
    *out = kept = arena_array(&s->arena, *n, sizeof *kept);
    if (kept && *n)
        memcpy(kept, ranges, *n * sizeof *kept);
    return kept != NULL;
}

uint64_t part_bytes(const struct segment_chunk *chunk)
{
    uint64_t bytes = chunk->bytes;
    for (uint32_t i = 0; i < chunk->n_bases; i++)
        bytes += chunk->bases[i].bytes;
    return bytes;
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
    *whole =
        (sum.has & SEGMENT_HAS_SUM) && !__builtin_add_overflow(series->sum, sum.sum, &series->sum);
    return true;
}

/* How a level is summed up to the end of what is wanted; its course takes the finest cells of every
 * window, as a sum does of one that has not ended. */
static struct opening opening_of(const struct snapshot *s, const struct planned *series)
{
    return (struct opening){&s->deletions, s->segments, s->n_segments, series->id, series->def,
        series->finest ? INT64_MIN : series->to};
}

/* Whether the series takes cells of the segment. */
static bool is_served(
    struct snapshot *s, const struct planned *series, uint32_t at, bool *serves, struct err *err)
{
    const struct derive_reader reader = {
        &s->deletions, s->segments, s->n_segments, in_head, series};
    if (!series->is_opening && !series->finest)
        return derive_serves(
            &reader, at, series->id, series->def->kind, series->resolution_ms, serves, err);
    const struct opening opening = opening_of(s, series);
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
        s->bytes += part_bytes(&chunks[i]);
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
    const struct opening opening = opening_of(s, series);
    const struct missing_reader reader = {.all = s->quarantined,
        .n = s->n_quarantined,
        .segments = s->segments,
        .n_segments = s->n_segments,
        .def = series->def,
        .resolution_ms = series->resolution_ms,
        .opening = series->is_opening || series->finest ? &opening : NULL,
        .retention = &s->store->options.retention,
        .newest_ms = s->newest_ms,
        .window_ms = window_ms(s->store->options.block_ms),
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

bool plans_take_parts(struct snapshot *s, struct err *err)
{
    snapshot_settle(s);
    if (s->failed) {
        *err = s->failure;
        return false;
    }
    bool ok = replay_await_ranges(s, err) && take_heads(s, err);
    snapshot_unview(s);
    replay_part(s);
    return ok && make_overlay(s, err) && each_wanted(s, count_head, err) &&
           each_wanted(s, planned_take_segments, err) && each_wanted(s, planned_find_pieces, err);
}
