/*
 * Pieces: a series' range as whole chunks, of which the aggregates are known, and the rest, which
 * is decoded. See read.h.
 *
 *     parts     [chunk 1][chunk 2][chunk 3][chunk 4]|head |
 *                            [late]
 *     wanted       (------------------------------------]
 *     pieces       [edge][ decoded        ][whole  ][ dec.]
 *
 * Parts whose extents meet are one piece, since their cells may merge. Of a coarser resolution an
 * extent ends at bucket ends, and raw parts are always decoded.
 */
#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "store/snapshot_priv.h"

void plan_aggregates(struct plan *plan, size_t i)
{
    ensure(!plan->snapshot->fetched);
    plan->series[i].pieced = true;
}

static bool is_raw(const struct snapshot *s, const struct part *p)
{
    return p->head || segment_info(s->segments[p->at].segment)->resolution_ms == 0;
}

static int64_t bucket_floor(int64_t t, int64_t resolution_ms)
{
    int64_t rest = (t % resolution_ms + resolution_ms) % resolution_ms;
    return t < INT64_MIN + rest ? INT64_MIN : t - rest;
}

static int64_t bucket_ceil(int64_t t, int64_t resolution_ms)
{
    int64_t floor = bucket_floor(t, resolution_ms);
    return floor == t || floor > INT64_MAX - resolution_ms ? t : floor + resolution_ms;
}

/* Where its cells lie, clipped to what is wanted. */
static void set_extent(const struct snapshot *s, const struct planned *series, struct piece *piece)
{
    const struct part *p = piece->part;
    piece->from = p->head ? p->head->block->start : p->piece->min_t - 1;
    piece->to = p->head ? p->head->block->start + p->head->block->ms : p->piece->max_t;
    piece->whole = !p->head && p->n_without == 0 && piece->from >= series->from &&
                   piece->to <= series->to && (is_raw(s, p) == (series->resolution_ms == 0));
    if (series->resolution_ms) {
        piece->from = bucket_floor(piece->from, series->resolution_ms);
        piece->to = bucket_ceil(piece->to, series->resolution_ms);
    }
    piece->from = piece->from > series->from ? piece->from : series->from;
    piece->to = piece->to < series->to ? piece->to : series->to;
}

static int by_time(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;
    if (x->from != y->from)
        return x->from < y->from ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

static int by_number(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

/* The end of the run of pieces, sorted by time, that begins with i and whose extents meet. */
static size_t run_end(const struct piece *pieces, size_t n, size_t i, int64_t *to)
{
    size_t end = i + 1;
    *to = pieces[i].to;
    for (; end < n && pieces[end].from < *to; end++)
        *to = pieces[end].to > *to ? pieces[end].to : *to;
    return end;
}

/* Reads the aggregate of a chunk that is alone; a chunk without one is decoded. */
static bool know(struct snapshot *s, struct piece *piece, struct err *err)
{
    struct part *p = piece->part;
    piece->whole = false;
    if (s->seen[p->at].failed)
        return true;
    if (!segment_aggregate(s->segments[p->at].segment, p->piece, &piece->aggregate, err))
        return snapshot_without(s, p->at, err);
    piece->whole = piece->aggregate.has != 0;
    p->whole = piece->whole;
    if (piece->whole) {
        s->cells -= p->piece->n;
        s->bytes -= part_bytes(p->piece);
    }
    return true;
}

bool planned_find_pieces(struct snapshot *s, struct planned *series, struct err *err)
{
    size_t n = 0;
    if (!series->pieced || series->is_opening)
        return true;
    for (const struct part *p = series->parts; p; p = p->next)
        n++;
    series->pieces = arena_array(&s->arena, n, sizeof *series->pieces);
    if (!series->pieces)
        return snapshot_full(err);
    for (struct part *p = series->parts; p; p = p->next) {
        struct piece *piece = &series->pieces[series->n_pieces];
        *piece = (struct piece){.part = p, .number = (uint32_t)series->n_pieces};
        set_extent(s, series, piece);
        series->n_pieces += piece->from < piece->to;
    }
    if (series->n_pieces)
        qsort(series->pieces, series->n_pieces, sizeof *series->pieces, by_time);
    for (size_t i = 0, end; i < series->n_pieces; i = end) {
        int64_t to;
        end = run_end(series->pieces, series->n_pieces, i, &to);
        for (size_t k = i; k < end; k++)
            series->pieces[k].whole &= end == i + 1;
        if (series->pieces[i].whole && !know(s, &series->pieces[i], err))
            return false;
    }
    return true;
}

/* ---- cursors ---- */

/* Decodes and merges the pieces of one run, oldest commit first. */
static bool decode_run(const struct snapshot *s, const struct planned *series,
    const struct piece *run, size_t n, struct arena *arena, struct plan_piece *out, struct err *err)
{
    struct planned part_of = *series;
    struct part *parts = arena_array(arena, n, sizeof *parts);
    struct piece *ordered = arena_array(arena, n, sizeof *ordered);
    if (!parts || !ordered)
        return snapshot_full(err);
    memcpy(ordered, run, n * sizeof *run);
    qsort(ordered, n, sizeof *ordered, by_number);
    for (size_t i = 0; i < n; i++) {
        parts[i] = *ordered[i].part;
        parts[i].next = i + 1 < n ? &parts[i + 1] : NULL;
    }
    part_of.parts = parts;
    part_of.from = out->from_ms;
    part_of.to = out->to_ms;
    return planned_columns(s, &part_of, arena, &out->columns, err);
}

bool plan_pieces(const struct plan *plan, size_t i, struct arena *arena, struct plan_piece **out,
    size_t *n, struct err *err)
{
    const struct planned *series = &plan->series[i];
    ensure(plan->snapshot->fetched && series->pieced);
    *n = 0;
    *out = arena_array(arena, series->n_pieces, sizeof **out);
    if (!*out)
        return snapshot_full(err);
    for (size_t k = 0, end; k < series->n_pieces; k = end) {
        const struct piece *first = &series->pieces[k];
        struct plan_piece *piece = &(*out)[*n];
        *piece = (struct plan_piece){.from_ms = first->from, .whole = first->whole};
        end = run_end(series->pieces, series->n_pieces, k, &piece->to_ms);
        if (piece->whole) {
            piece->aggregate = first->aggregate;
            piece->cells = first->part->piece->n;
        } else {
            if (!decode_run(plan->snapshot, series, first, end - k, arena, piece, err))
                return false;
            piece->cells = piece->columns.n;
        }
        *n += piece->cells > 0;
    }
    return true;
}
