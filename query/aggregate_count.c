#include "query/aggregation.h"

#include <string.h>

#include "base/number.h"
#include "query/histogram_stat.h"
#include "query/label_set.h"
#include "query/quote.h"

/*
 * count_values: how many series of a group have each value. The value becomes a label, so groups
 * differ from step to step: first every point is given the number of its group, then points are
 * counted.
 */

#define VALUE_TEXT_MAX (64u << 10)

struct count_values {
    const struct aggregation *a;
    struct label_ids ids;
    struct label_pick pick;
    struct slice label;
    struct buf text;
    uint32_t *group; /* of every point of the input, MAP_NONE: absent */
};

static bool is_utf8(struct slice text)
{
    for (size_t i = 0; i < text.len;) {
        int width;
        if (rune_at(text, i, &width) == RUNE_ERROR && width == 1)
            return false;
        i += (size_t)width;
    }
    return text.len > 0;
}

static bool value_group(struct count_values *c, size_t s, size_t i, struct err *err)
{
    const struct vector *in = c->a->in;
    buf_clear(&c->text);
    if (vector_hist(in, i)) {
        hist_text(in->h[i], &c->text);
    } else {
        char number[NUMBER_MAX];
        number_format_f(in->v[i], number);
        buf_str(&c->text, number);
    }
    struct arena *arena = c->a->eval->arena;
    struct slice value = arena_slice(arena, buf_view(&c->text));
    struct labels labels;
    if (c->text.failed || !value.ptr ||
        !labels_with(arena, in->labels[s], c->label, value, &labels) ||
        !label_ids_pick(&c->ids, labels, &c->pick, &c->group[i]))
        return eval_no_memory(c->a->eval, err);
    return true;
}

/* A series often has the value that it had: its group is known then. */
static bool series_groups(struct count_values *c, size_t s, struct err *err)
{
    const struct vector *in = c->a->in;
    size_t last = SIZE_MAX;
    for (size_t i = s * in->n_steps; i < (s + 1) * in->n_steps; i++) {
        c->group[i] = MAP_NONE;
        if (!in->present[i])
            continue;
        bool same = last != SIZE_MAX && vector_hist(in, i) == vector_hist(in, last) &&
                    (vector_hist(in, i) || memcmp(&in->v[i], &in->v[last], sizeof *in->v) == 0);
        if (same)
            c->group[i] = c->group[last];
        else if (!value_group(c, s, i, err))
            return false;
        last = i;
    }
    return true;
}

static bool count_points(struct count_values *c, struct vector *out, struct err *err)
{
    const struct aggregation *a = c->a;
    for (size_t s = 0; s < a->in->n; s++)
        if (!eval_check(a->eval, err) || !series_groups(c, s, err))
            return false;
    if (!vector_new(a->eval, c->ids.n, a->n_steps, false, out, err))
        return false;
    out->invariant = a->invariant;
    for (size_t g = 0; g < out->n; g++)
        out->labels[g] = c->ids.sets[g];
    for (size_t s = 0; s < a->in->n; s++)
        for (size_t k = 0; k < a->n_steps; k++) {
            uint32_t g = c->group[vector_at(a->in, s, k)];
            if (g == MAP_NONE)
                continue;
            size_t i = g * a->n_steps + k;
            out->v[i] = out->present[i] ? out->v[i] + 1 : 1;
            out->present[i] = true;
        }
    return true;
}

/* by(...) and the value's label; without(...) and the value's label all the same. */
static bool make_pick(struct count_values *c, struct err *err)
{
    const struct node *node = c->a->node;
    size_t n = node->u.aggregate.n_labels;
    struct slice *names = arena_array(c->a->eval->arena, n + 1, sizeof *names);
    if (!names)
        return eval_no_memory(c->a->eval, err);
    for (size_t i = 0; i < n; i++)
        names[i] = node->u.aggregate.labels[i];
    names[n] = c->label;
    c->pick.names = names;
    c->pick.keep = !node->u.aggregate.without;
    c->pick.drop_name = !c->pick.keep;
    c->pick.n = c->pick.keep ? n + 1 : n;
    return true;
}

bool aggregate_count_values(const struct aggregation *a, struct vector *out, struct err *err)
{
    struct count_values c = {.a = a, .label = a->param->string};
    if (!is_utf8(c.label)) {
        struct buf quoted;
        buf_init(&quoted, 256);
        quote_text(c.label, &quoted);
        eval_fail(err, "invalid label name %s", buf_cstr(&quoted));
        buf_fini(&quoted);
        return false;
    }
    c.group = arena_array(a->eval->arena, a->in->n * a->in->n_steps, sizeof *c.group);
    if (!c.group)
        return eval_no_memory(a->eval, err);
    if (!make_pick(&c, err))
        return false;
    label_ids_init(&c.ids, a->eval->arena);
    buf_init(&c.text, VALUE_TEXT_MAX);
    bool ok = count_points(&c, out, err);
    buf_fini(&c.text);
    label_ids_fini(&c.ids);
    return ok;
}
