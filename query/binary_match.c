#include "query/binary.h"

#include <string.h>

#include "base/ensure.h"
#include "query/series_set.h"

/*
 * Vector with vector: arithmetic and comparisons. One side is "one" (the right, or with group_right
 * the left), the other "many"; one-to-one is the case where many must be one too.
 *
 *   1  Both sides' series get the number of their match group (what on or ignoring leaves of the
 * labels). 2  Within a group each series of the many side is paired with each of the one side; as a
 * rule that is one pair. The pair's labels give the series of the result, its output row. 3  Pair
 * by pair, the operator runs over all steps at once.
 *
 * Whether a match is allowed depends on what has a sample at a step, as series with equal labels
 * may take turns: two samples of one group on the one side, or two results with one label set, are
 * errors only when they meet at a step.
 *
 * Filling (fill, fill_left, fill_right): a pair without a partner runs at the steps where its group
 * has nothing on the other side. fill_left fills the many side and fill_right the one side, also
 * with group_right, as in Prometheus.
 */

#define NO_SERIES UINT32_MAX

struct pair {
    uint32_t many, one; /* series, or NO_SERIES: filled */
    uint32_t row;
};

/* The series of one side, by match group: order[start[g] .. start[g + 1]). */
struct side {
    const struct vector *x;
    uint32_t *group, *order, *start;
};

struct match {
    const struct binary *b;
    bool swapped; /* the one side is the left */
    struct side many, one;
    struct fill fill_many, fill_one;
    size_t n_groups;
    struct labels *groups;
    struct label_ids rows;
    struct pair *pairs;
    size_t n_pairs, pairs_cap;
    uint32_t *group_end; /* pairs of group g end at group_end[g] */
    /* scratch of one pair, of n_steps */
    bool *at, *many_seen, *one_seen, *matched;
    struct row_result result;
    uint32_t *owner; /* NULL, or per point of the result: match group + 1 that has it */
};

/* ---- step 1: match groups ---- */

static bool number_side(struct match *m, struct side *side, struct label_ids *ids, struct err *err)
{
    struct label_pick pick = binary_pick(m->b->node);
    size_t n = side->x->n;
    bool ok = (side->group = arena_array(m->b->eval->arena, n, sizeof *side->group)) != NULL;
    for (size_t s = 0; ok && s < n; s++)
        ok = label_ids_pick(ids, side->x->labels[s], &pick, &side->group[s]);
    return ok || eval_no_memory(m->b->eval, err);
}

static bool order_side(struct match *m, struct side *side, struct err *err)
{
    struct arena *arena = m->b->eval->arena;
    side->start = arena_zalloc(arena, (m->n_groups + 2) * sizeof *side->start);
    side->order = arena_array(arena, side->x->n, sizeof *side->order);
    if (!side->start || !side->order)
        return eval_no_memory(m->b->eval, err);
    for (size_t s = 0; s < side->x->n; s++)
        side->start[side->group[s] + 2]++;
    for (size_t g = 2; g < m->n_groups + 2; g++)
        side->start[g] += side->start[g - 1];
    for (size_t s = 0; s < side->x->n; s++)
        side->order[side->start[side->group[s] + 1]++] = (uint32_t)s;
    return true;
}

static bool make_match_groups(struct match *m, struct err *err)
{
    struct label_ids ids;
    label_ids_init(&ids, m->b->eval->arena);
    bool ok = number_side(m, &m->many, &ids, err) && number_side(m, &m->one, &ids, err);
    m->n_groups = ids.n;
    m->groups = ids.sets;
    label_ids_fini(&ids);
    return ok && order_side(m, &m->many, err) && order_side(m, &m->one, err);
}

static bool is_present(const struct vector *x, size_t s, size_t k)
{
    return x->present[vector_at(x, s, k)];
}

static bool any_present(const struct vector *x, size_t k)
{
    for (size_t s = 0; s < x->n; s++)
        if (is_present(x, s, k))
            return true;
    return false;
}

/* Where the group has a sample on this side. */
static void note_seen(const struct match *m, const struct side *side, size_t g, bool *seen)
{
    memset(seen, false, m->b->n_steps * sizeof *seen);
    for (uint32_t i = side->start[g]; i < side->start[g + 1]; i++)
        for (size_t k = 0; k < m->b->n_steps; k++)
            seen[k] |= is_present(side->x, side->order[i], k);
}

static bool fail_duplicate(const struct match *m, size_t g, size_t s, size_t t, struct err *err)
{
    struct labels a = m->one.x->labels[s], b = m->one.x->labels[t];
    if (labels_cmp(a, b) > 0) {
        struct labels swap = a;
        a = b;
        b = swap;
    }
    struct buf group, first, second;
    buf_init(&group, ERR_TEXT_MAX);
    buf_init(&first, ERR_TEXT_MAX);
    buf_init(&second, ERR_TEXT_MAX);
    labels_text(m->groups[g], &group);
    labels_text(a, &first);
    labels_text(b, &second);
    eval_fail(err,
        "found duplicate series for the match group %s on the %s hand-side of the operation: [%s, "
        "%s];many-to-many matching not allowed: matching labels must be unique on one side",
        buf_cstr(&group), m->swapped ? "left" : "right", buf_cstr(&first), buf_cstr(&second));
    buf_fini(&group);
    buf_fini(&first);
    buf_fini(&second);
    return false;
}

/* The one side may have one sample per group and step; it is not looked at where many has none at
 * all. */
static bool check_one_side(const struct match *m, size_t g, struct err *err)
{
    const struct side *one = &m->one;
    for (uint32_t i = one->start[g] + 1; i < one->start[g + 1]; i++)
        for (uint32_t j = one->start[g]; j < i; j++)
            for (size_t k = 0; k < m->b->n_steps; k++)
                if (is_present(one->x, one->order[i], k) && is_present(one->x, one->order[j], k) &&
                    (m->fill_many.set || any_present(m->many.x, k)))
                    return fail_duplicate(m, g, one->order[i], one->order[j], err);
    return true;
}

/* ---- step 2: pairs ---- */

static bool drop_name(struct arena *arena, struct labels *labels)
{
    *labels = labels_without_metric(arena, *labels);
    return !labels->n || labels->items;
}

/* The labels of the result: those of the many side, as the operator and the matching leave them,
 * and those that group_left or group_right take over. */
static bool result_labels(
    const struct match *m, struct labels many, struct labels one, struct labels *out)
{
    const struct node *node = m->b->node;
    struct arena *arena = m->b->eval->arena;
    bool delayed = m->b->eval->options && m->b->eval->options->delayed_name_removal;
    *out = many;
    if (op_changes_meaning(m->b->op) && !drop_name(arena, out))
        return false;
    struct label_pick pick = {
        .keep = node->u.binary.on, .names = node->u.binary.labels, .n = node->u.binary.n_labels};
    if (node->u.binary.card == CARD_ONE_TO_ONE && !labels_pick(arena, *out, &pick, out))
        return false;
    for (size_t i = 0; i < node->u.binary.n_include; i++) {
        struct slice name = node->u.binary.include[i];
        if (!labels_with(arena, *out, name, labels_get(one, name), out))
            return false;
    }
    return !m->b->return_bool || delayed || drop_name(arena, out);
}

static bool add_pair(struct match *m, size_t g, uint32_t many, uint32_t one, struct err *err)
{
    struct labels labels;
    uint32_t row;
    struct arena *arena = m->b->eval->arena;
    struct labels of_many = many == NO_SERIES ? m->groups[g] : m->many.x->labels[many];
    struct labels of_one = one == NO_SERIES ? m->groups[g] : m->one.x->labels[one];
    if (!result_labels(m, of_many, of_one, &labels) || !label_ids_put(&m->rows, labels, &row))
        return eval_no_memory(m->b->eval, err);
    if (m->n_pairs == m->pairs_cap) {
        size_t cap = m->pairs_cap ? m->pairs_cap * 2 : 64;
        struct pair *grown = arena_array(arena, cap, sizeof *grown);
        if (!grown)
            return eval_no_memory(m->b->eval, err);
        if (m->n_pairs)
            memcpy(grown, m->pairs, m->n_pairs * sizeof *grown);
        m->pairs = grown;
        m->pairs_cap = cap;
    }
    m->pairs[m->n_pairs++] = (struct pair){many, one, row};
    return true;
}

/* Whether some series of the side has a sample where the other side of the group has none. */
static bool is_lonely(const struct match *m, const struct vector *x, uint32_t s, const bool *seen)
{
    for (size_t k = 0; k < m->b->n_steps; k++)
        if (is_present(x, s, k) && !seen[k])
            return true;
    return false;
}

static bool add_filled(struct match *m, size_t g, struct err *err)
{
    const struct side *many = &m->many, *one = &m->one;
    if (m->fill_one.set) {
        note_seen(m, one, g, m->one_seen);
        for (uint32_t i = many->start[g]; i < many->start[g + 1]; i++)
            if (is_lonely(m, many->x, many->order[i], m->one_seen) &&
                !add_pair(m, g, many->order[i], NO_SERIES, err))
                return false;
    }
    if (m->fill_many.set) {
        note_seen(m, many, g, m->many_seen);
        for (uint32_t i = one->start[g]; i < one->start[g + 1]; i++)
            if (is_lonely(m, one->x, one->order[i], m->many_seen) &&
                !add_pair(m, g, NO_SERIES, one->order[i], err))
                return false;
    }
    return true;
}

static bool make_pairs(struct match *m, struct err *err)
{
    const struct side *many = &m->many, *one = &m->one;
    m->group_end = arena_array(m->b->eval->arena, m->n_groups, sizeof *m->group_end);
    if (!m->group_end)
        return eval_no_memory(m->b->eval, err);
    for (size_t g = 0; g < m->n_groups; g++) {
        if (!eval_check(m->b->eval, err) || !check_one_side(m, g, err))
            return false;
        for (uint32_t i = many->start[g]; i < many->start[g + 1]; i++)
            for (uint32_t j = one->start[g]; j < one->start[g + 1]; j++)
                if (!add_pair(m, g, many->order[i], one->order[j], err))
                    return false;
        if (!add_filled(m, g, err))
            return false;
        ensure(m->n_pairs < UINT32_MAX);
        m->group_end[g] = (uint32_t)m->n_pairs;
    }
    return true;
}

/* ---- step 3: values ---- */

static struct row filled_row(const struct fill *fill)
{
    return (struct row){.v = &fill->value};
}

/* Where the pair runs: both have a sample, or the group has none where it is filled. */
static void mark_steps(struct match *m, const struct pair *p)
{
    for (size_t k = 0; k < m->b->n_steps; k++) {
        bool many = p->many == NO_SERIES ? !m->many_seen[k] : is_present(m->many.x, p->many, k);
        bool one = p->one == NO_SERIES ? !m->one_seen[k] : is_present(m->one.x, p->one, k);
        m->at[k] = many && one;
    }
}

/* Two samples of the many side at one step, where the match must be one-to-one, or two results that
 * have the same labels. */
static bool check_point(
    struct match *m, size_t g, size_t k, size_t i, const struct vector *out, struct err *err)
{
    if (m->b->node->u.binary.card == CARD_ONE_TO_ONE) {
        if (m->matched[k])
            return eval_fail(err, "multiple matches for labels: many-to-one matching must be "
                                  "explicit (group_left/group_right)");
        m->matched[k] = true;
    } else if (m->owner) {
        if (m->owner[i] == g + 1)
            return eval_fail(
                err, "multiple matches for labels: grouping labels must ensure unique matches");
        m->owner[i] = (uint32_t)g + 1;
    }
    if (m->result.outcome[k] == OUT_VALUE && out->present[i])
        return eval_fail(err, "vector cannot contain metrics with the same labelset");
    return true;
}

static bool run_pair(
    struct match *m, size_t g, const struct pair *p, struct vector *out, struct err *err)
{
    const struct binary *b = m->b;
    struct row many = p->many == NO_SERIES ? filled_row(&m->fill_many) : row_of(m->many.x, p->many);
    struct row one = p->one == NO_SERIES ? filled_row(&m->fill_one) : row_of(m->one.x, p->one);
    mark_steps(m, p);
    if (!binary_row(b, m->swapped ? one : many, m->swapped ? many : one, m->at, &m->result, err))
        return false;
    bool drop = b->return_bool ||
                (p->many != NO_SERIES && m->many.x->drop_name && m->many.x->drop_name[p->many]);
    for (size_t k = 0; k < b->n_steps; k++) {
        size_t i = p->row * b->n_steps + k;
        if (m->result.outcome[k] == OUT_NONE)
            continue;
        if (!check_point(m, g, k, i, out, err))
            return false;
        if (m->result.outcome[k] != OUT_VALUE)
            continue;
        out->present[i] = true;
        out->v[i] = m->result.v[k];
        if (out->h)
            out->h[i] = m->result.h[k];
        if (out->drop_name && drop)
            out->drop_name[p->row] = true;
    }
    return true;
}

static bool run_pairs(struct match *m, struct vector *out, struct err *err)
{
    size_t p = 0;
    for (size_t g = 0; g < m->n_groups; g++) {
        if (!eval_check(m->b->eval, err))
            return false;
        if (m->fill_many.set)
            note_seen(m, &m->many, g, m->many_seen);
        if (m->fill_one.set)
            note_seen(m, &m->one, g, m->one_seen);
        memset(m->matched, false, m->b->n_steps * sizeof *m->matched);
        for (; p < m->group_end[g]; p++)
            if (!run_pair(m, g, &m->pairs[p], out, err))
                return false;
    }
    return true;
}

static bool make_scratch(struct match *m, struct err *err)
{
    struct arena *arena = m->b->eval->arena;
    size_t n = m->b->n_steps;
    m->at = arena_array(arena, n, sizeof *m->at);
    m->matched = arena_array(arena, n, sizeof *m->matched);
    m->many_seen = arena_array(arena, n, sizeof *m->many_seen);
    m->one_seen = arena_array(arena, n, sizeof *m->one_seen);
    if (!m->at || !m->matched || !m->many_seen || !m->one_seen)
        return eval_no_memory(m->b->eval, err);
    return row_result_new(m->b, m->many.x->h || m->one.x->h, &m->result, err);
}

static bool make_out(struct match *m, struct vector *out, struct err *err)
{
    struct eval *eval = m->b->eval;
    bool names = m->b->return_bool || m->many.x->drop_name;
    if (!vector_new(eval, m->rows.n, m->b->n_steps, m->many.x->h || m->one.x->h, out, err) ||
        (names && !vector_drop_names(eval, out, err)))
        return false;
    for (size_t row = 0; row < m->rows.n; row++)
        out->labels[row] = m->rows.sets[row];
    if (m->rows.n == m->n_pairs || m->b->node->u.binary.card == CARD_ONE_TO_ONE)
        return true;
    m->owner = arena_zalloc(eval->arena, m->rows.n * m->b->n_steps * sizeof *m->owner);
    return m->owner ? true : eval_no_memory(eval, err);
}

bool binary_match(const struct binary *b, const struct vector *lhs, const struct vector *rhs,
    struct vector *out, struct err *err)
{
    struct match m = {
        .b = b,
        .swapped = b->node->u.binary.card == CARD_ONE_TO_MANY,
        .fill_many = b->node->u.binary.fill_left,
        .fill_one = b->node->u.binary.fill_right,
    };
    m.many.x = m.swapped ? rhs : lhs;
    m.one.x = m.swapped ? lhs : rhs;
    label_ids_init(&m.rows, b->eval->arena);
    bool ok = make_scratch(&m, err) && make_match_groups(&m, err) && make_pairs(&m, err) &&
              make_out(&m, out, err) && run_pairs(&m, out, err);
    label_ids_fini(&m.rows);
    return ok;
}
