#include "query/instant_fn.h"

#include "base/regex.h"
#include "query/label_set.h"
#include "query/quote.h"
#include "query/select.h"
#include "query/series_set.h"

/*
 * Functions that look at labels or change them: label_replace, label_join, absent. Samples go
 * through as they are, histograms too.
 */

#define LABEL_TEXT_MAX LABEL_VALUE_MAX

static bool is_label_name(struct slice name)
{
    for (size_t i = 0; i < name.len;) {
        int width;
        if (rune_at(name, i, &width) == RUNE_ERROR && width == 1)
            return false;
        i += (size_t)width;
    }
    return name.len > 0;
}

static void copy_points(const struct instant_call *c, const struct vector *in, struct vector *out)
{
    for (size_t s = 0; s < in->n; s++)
        for (size_t k = 0; k < c->n_steps; k++) {
            size_t from = vector_at(in, s, k), to = s * c->n_steps + k;
            out->present[to] = in->present[from];
            out->v[to] = in->v[from];
            if (in->h)
                out->h[to] = in->h[from];
        }
}

/* Sets a label of result series s. A name that is set on purpose stays. */
static bool set_label(const struct instant_call *c, struct vector *out, size_t s, struct slice name,
    struct slice value, struct err *err)
{
    struct slice copy = arena_slice(c->eval->arena, value);
    if (!copy.ptr || !labels_with(c->eval->arena, out->labels[s], name, copy, &out->labels[s]))
        return eval_no_memory(c->eval, err);
    if (out->drop_name && slice_is(name, LABEL_METRIC_NAME))
        out->drop_name[s] = false;
    return true;
}

static bool check_label_name(
    struct slice name, const char *what, const char *function, struct err *err)
{
    if (is_label_name(name))
        return true;
    return eval_fail(err, "invalid %s label name in %s(): %.*s", what, function, SLICE_FMT(name));
}

/* ---- label_replace ---- */

struct replacement {
    const struct regex *regex;
    struct slice template;
    struct slice groups[REGEX_GROUPS_MAX];
    int n_groups; /* with the whole match */
};

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* The number of the group that "1" or "name" means; -1 when there is none. */
static int group_of(const struct replacement *r, struct slice name)
{
    int n = 0;
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] < '0' || name.ptr[i] > '9')
            return regex_group_named(r->regex, name);
        if (n < REGEX_GROUPS_MAX)
            n = n * 10 + (name.ptr[i] - '0');
    }
    return n;
}

/* Reads the reference behind a '$' at t[*at]: $$, $name, ${name}. False: it is none, the '$' stands
 * for itself and *at stays. */
static bool read_reference(struct slice t, size_t *at, struct slice *name)
{
    size_t i = *at + 1;
    bool brace = i < t.len && t.ptr[i] == '{';
    size_t start = i += brace;
    while (i < t.len && is_word(t.ptr[i]))
        i++;
    if (i == start || (brace && (i == t.len || t.ptr[i] != '}')))
        return false;
    *name = slice_of(t.ptr + start, i - start);
    *at = i + brace;
    return true;
}

/* The template with the groups of the match in place of $1, ${1} and ${name}. */
static void expand(const struct replacement *r, struct buf *out)
{
    struct slice t = r->template, name;
    for (size_t i = 0; i < t.len;) {
        if (t.ptr[i] != '$') {
            buf_char(out, t.ptr[i++]);
        } else if (i + 1 < t.len && t.ptr[i + 1] == '$') {
            buf_char(out, '$');
            i += 2;
        } else if (read_reference(t, &i, &name)) {
            int group = group_of(r, name);
            if (group >= 0 && group < r->n_groups)
                buf_slice(out, r->groups[group]);
        } else {
            buf_char(out, '$');
            i++;
        }
    }
}

static bool replace_labels(const struct instant_call *c, struct replacement *r, struct buf *text,
    struct vector *out, struct err *err)
{
    struct slice to = c->args[1].string, from = c->args[3].string;
    for (size_t s = 0; s < out->n; s++) {
        struct slice value = labels_get(out->labels[s], from);
        if (!eval_check(c->eval, err))
            return false;
        if (!regex_capture(r->regex, value, r->groups, r->n_groups))
            continue;
        buf_clear(text);
        expand(r, text);
        if (text->failed)
            return err_set(
                err, ERR_LIMIT, "label_replace: a label's value may have %d bytes", LABEL_TEXT_MAX);
        if (!set_label(c, out, s, to, buf_view(text), err))
            return false;
    }
    return true;
}

bool fn_label_replace(const struct instant_call *c, struct vector *out, struct err *err)
{
    const struct vector *in = &c->args[0];
    struct replacement r = {.template = c->args[2].string};
    struct regex *regex = NULL;
    struct err bad = {0};
    if (!regex_new(c->args[4].string, &regex, &bad))
        return eval_fail(err, "invalid regular expression in label_replace(): %.*s",
            SLICE_FMT(c->args[4].string));
    r.regex = regex;
    r.n_groups = regex_groups(regex) + 1;
    if (r.n_groups > REGEX_GROUPS_MAX)
        r.n_groups = REGEX_GROUPS_MAX;
    struct buf text;
    buf_init(&text, LABEL_TEXT_MAX);
    bool ok = check_label_name(c->args[1].string, "destination", "label_replace", err) &&
              call_like(c, in, in->h != NULL, out, err) && replace_labels(c, &r, &text, out, err);
    buf_fini(&text);
    regex_free(&regex);
    if (!ok)
        return false;
    copy_points(c, in, out);
    return series_merge_same(c->eval, out, err);
}

/* ---- label_join ---- */

static bool join_labels(
    const struct instant_call *c, struct buf *text, struct vector *out, struct err *err)
{
    for (size_t s = 0; s < out->n; s++) {
        struct labels labels = out->labels[s];
        if (!eval_check(c->eval, err))
            return false;
        buf_clear(text);
        for (size_t i = 3; i < c->n_args; i++) {
            if (i > 3)
                buf_slice(text, c->args[2].string);
            buf_slice(text, labels_get(labels, c->args[i].string));
        }
        if (text->failed)
            return err_set(
                err, ERR_LIMIT, "label_join: a label's value may have %d bytes", LABEL_TEXT_MAX);
        if (!set_label(c, out, s, c->args[1].string, buf_view(text), err))
            return false;
    }
    return true;
}

bool fn_label_join(const struct instant_call *c, struct vector *out, struct err *err)
{
    const struct vector *in = &c->args[0];
    if (!check_label_name(c->args[1].string, "destination", "label_join", err))
        return false;
    for (size_t i = 3; i < c->n_args; i++)
        if (!check_label_name(c->args[i].string, "source", "label_join", err))
            return false;
    if (!call_like(c, in, in->h != NULL, out, err))
        return false;
    struct buf text;
    buf_init(&text, LABEL_TEXT_MAX);
    bool ok = join_labels(c, &text, out, err);
    buf_fini(&text);
    if (!ok)
        return false;
    copy_points(c, in, out);
    return series_merge_same(c->eval, out, err);
}

/* ---- absent ---- */

bool fn_absent(const struct instant_call *c, struct vector *out, struct err *err)
{
    const struct vector *in = &c->args[0];
    if (!vector_new(c->eval, 1, c->n_steps, false, out, err))
        return false;
    out->invariant = c->invariant;
    if (!absent_labels(c->eval, call_arg(c, 0), &out->labels[0], err))
        return false;
    for (size_t k = 0; k < c->n_steps; k++) {
        out->v[k] = 1;
        out->present[k] = true;
        for (size_t s = 0; s < in->n && out->present[k]; s++)
            out->present[k] = !in->present[vector_at(in, s, k)];
    }
    return true;
}
