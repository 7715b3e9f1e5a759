#include "query/binary.h"

#include <string.h>

#include "query/series_set.h"

/*
 * and, or, unless. For every match group and step it is noted whether one side has a sample; that
 * decides what stays of the other side.
 *
 *     seen[group * n_steps + k]
 */

struct set_match {
    const struct binary *b;
    struct label_ids ids;
    bool *seen;
    uint32_t *left, *right; /* match group of each series */
};

static bool number_side(
    struct set_match *m, const struct vector *x, uint32_t **groups, struct err *err)
{
    struct label_pick pick = binary_pick(m->b->node);
    *groups = arena_array(m->b->eval->arena, x->n, sizeof **groups);
    bool ok = *groups != NULL;
    for (size_t s = 0; ok && s < x->n; s++)
        ok = label_ids_pick(&m->ids, x->labels[s], &pick, &(*groups)[s]);
    return ok || eval_no_memory(m->b->eval, err);
}

/* Notes where x has samples. */
static bool note_side(
    struct set_match *m, const struct vector *x, const uint32_t *groups, struct err *err)
{
    size_t n_steps = m->b->n_steps;
    m->seen = NULL;
    if (m->ids.n <= SIZE_MAX / n_steps)
        m->seen = arena_zalloc(m->b->eval->arena, m->ids.n * n_steps * sizeof *m->seen);
    if (!m->seen)
        return eval_no_memory(m->b->eval, err);
    for (size_t s = 0; s < x->n; s++)
        for (size_t k = 0; k < n_steps; k++)
            m->seen[groups[s] * n_steps + k] |= x->present[vector_at(x, s, k)];
    return true;
}

/* Puts series s of in at place `to` of out, at the steps where the other side was seen or was not.
 */
static void take(const struct set_match *m, const struct vector *in, size_t s, uint32_t group,
    bool when_seen, struct vector *out, size_t to)
{
    size_t n_steps = m->b->n_steps;
    out->labels[to] = in->labels[s];
    if (in->drop_name)
        out->drop_name[to] = in->drop_name[s];
    for (size_t k = 0; k < n_steps; k++) {
        size_t from = vector_at(in, s, k), i = to * n_steps + k;
        if (!in->present[from] || (m->seen && m->seen[group * n_steps + k] != when_seen))
            continue;
        out->present[i] = true;
        out->v[i] = in->v[from];
        if (in->h)
            out->h[i] = in->h[from];
    }
}

static bool make_out(const struct set_match *m, const struct vector *lhs, const struct vector *rhs,
    size_t n, struct vector *out, struct err *err)
{
    return vector_new(m->b->eval, n, m->b->n_steps, lhs->h || rhs->h, out, err) &&
           (!(lhs->drop_name || rhs->drop_name) || vector_drop_names(m->b->eval, out, err));
}

static bool combine(struct set_match *m, const struct vector *lhs, const struct vector *rhs,
    struct vector *out, struct err *err)
{
    bool is_or = m->b->op == OP_OR;
    if (!number_side(m, lhs, &m->left, err) || !number_side(m, rhs, &m->right, err) ||
        !make_out(m, lhs, rhs, is_or ? lhs->n + rhs->n : lhs->n, out, err))
        return false;
    if (!is_or && !note_side(m, rhs, m->right, err))
        return false;
    for (size_t s = 0; s < lhs->n; s++) {
        if (!eval_check(m->b->eval, err))
            return false;
        take(m, lhs, s, m->left[s], m->b->op == OP_AND, out, s);
    }
    if (!is_or)
        return true;
    if (!note_side(m, lhs, m->left, err))
        return false;
    for (size_t s = 0; s < rhs->n; s++)
        take(m, rhs, s, m->right[s], false, out, lhs->n + s);
    return series_merge_same(m->b->eval, out, err);
}

bool binary_set(const struct binary *b, const struct vector *lhs, const struct vector *rhs,
    struct vector *out, struct err *err)
{
    struct set_match m = {.b = b};
    label_ids_init(&m.ids, b->eval->arena);
    bool ok = combine(&m, lhs, rhs, out, err);
    label_ids_fini(&m.ids);
    return ok;
}
