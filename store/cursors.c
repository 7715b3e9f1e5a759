/*
 * Cursors: the cells of planned series, decoded and merged. See read.h. No I/O.
 *
 *     parts -> columns of each -> derived cells | kept cells | raw cells -> merged
 */
#include <string.h>

#include "base/ensure.h"
#include "store/resolution.h"
#include "store/snapshot_priv.h"

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
        if (__builtin_add_overflow(*out, rest.amount[k], out))
            return err_set(err, ERR_LIMIT, "the sum of a level's changes has more than 128 bits");
    return true;
}
