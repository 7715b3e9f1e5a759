#include "query/instant_fn.h"

#include <math.h>
#include <stdlib.h>

/*
 * Sorting of an instant query's result. Answers of range queries are in order of labels whatever is
 * asked for, so there the series stay as they are and a warning says so. sort and sort_desc leave
 * out histograms, which have no order, and put NaN last.
 */

struct item {
    double v;
    uint32_t series;
    const struct instant_call *call; /* for the labels to sort by */
    bool descending;
};

static int by_value(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    if (isnan(x->v) || isnan(y->v)) {
        int nan = isnan(x->v) - isnan(y->v);
        return nan ? nan : (x->series > y->series) - (x->series < y->series);
    }
    int order = (x->v > y->v) - (x->v < y->v);
    if (order)
        return x->descending ? -order : order;
    return (x->series > y->series) - (x->series < y->series);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The run of digits, or of other bytes, that text begins with. */
static struct slice take_chunk(struct slice *text)
{
    size_t n = 1;
    while (n < text->len && is_digit(text->ptr[n]) == is_digit(text->ptr[0]))
        n++;
    struct slice chunk = slice_of(text->ptr, n);
    *text = slice_of(text->ptr + n, text->len - n);
    return chunk;
}

static int compare_digits(struct slice a, struct slice b)
{
    while (a.len && a.ptr[0] == '0')
        a = slice_of(a.ptr + 1, a.len - 1);
    while (b.len && b.ptr[0] == '0')
        b = slice_of(b.ptr + 1, b.len - 1);
    if (a.len != b.len)
        return a.len < b.len ? -1 : 1;
    return slice_cmp(a, b);
}

/* Natural order: runs of digits compare as numbers, so that "9" comes before "10". */
static int compare_natural(struct slice a, struct slice b)
{
    while (a.len && b.len) {
        struct slice x = take_chunk(&a), y = take_chunk(&b);
        int order =
            is_digit(x.ptr[0]) && is_digit(y.ptr[0]) ? compare_digits(x, y) : slice_cmp(x, y);
        if (order)
            return order;
    }
    return (a.len > 0) - (b.len > 0);
}

static int by_labels(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    const struct instant_call *c = x->call;
    struct labels l = c->args[0].labels[x->series], r = c->args[0].labels[y->series];
    int order = 0;
    for (size_t i = 1; i < c->n_args && order == 0; i++)
        order = compare_natural(labels_get(l, c->args[i].string), labels_get(r, c->args[i].string));
    if (order == 0)
        order = labels_cmp(l, r);
    return x->descending ? -order : order;
}

typedef int compare_f(const void *, const void *);

static bool sorted(const struct instant_call *c, compare_f *compare, bool floats, bool descending,
    struct vector *out, struct err *err)
{
    const struct vector *in = &c->args[0];
    struct item *items = arena_array(c->eval->arena, in->n, sizeof *items);
    if (!items)
        return eval_no_memory(c->eval, err);
    size_t n = 0;
    for (size_t s = 0; s < in->n; s++)
        if (in->present[s] && !(floats && vector_hist(in, s)))
            items[n++] = (struct item){in->v[s], (uint32_t)s, c, descending};
    if (n)
        qsort(items, n, sizeof *items, compare);
    if (!call_like(c, in, in->h != NULL, out, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        uint32_t s = items[i].series;
        out->labels[i] = in->labels[s];
        if (out->drop_name)
            out->drop_name[i] = in->drop_name[s];
        out->present[i] = true;
        out->v[i] = in->v[s];
        if (in->h)
            out->h[i] = in->h[s];
    }
    out->n = n;
    return true;
}

static bool unsorted(const struct instant_call *c, bool floats, struct vector *out, struct err *err)
{
    const struct vector *in = &c->args[0];
    eval_warn(c->eval, c->node,
        "sort is ineffective for range queries since results are always ordered by labels");
    if (!call_like(c, in, in->h != NULL, out, err))
        return false;
    for (size_t i = 0; i < in->n * in->n_steps; i++) {
        out->present[i] = in->present[i] && !(floats && vector_hist(in, i));
        out->v[i] = in->v[i];
        if (in->h)
            out->h[i] = in->h[i];
    }
    return true;
}

static bool sort_by(const struct instant_call *c, compare_f *compare, bool floats, bool descending,
    struct vector *out, struct err *err)
{
    if (c->eval->n_steps > 1 && !c->invariant)
        return unsorted(c, floats, out, err);
    return sorted(c, compare, floats, descending, out, err);
}

bool fn_sort(const struct instant_call *c, struct vector *out, struct err *err)
{
    return sort_by(c, by_value, true, false, out, err);
}

bool fn_sort_desc(const struct instant_call *c, struct vector *out, struct err *err)
{
    return sort_by(c, by_value, true, true, out, err);
}

bool fn_sort_by_label(const struct instant_call *c, struct vector *out, struct err *err)
{
    return sort_by(c, by_labels, false, false, out, err);
}

bool fn_sort_by_label_desc(const struct instant_call *c, struct vector *out, struct err *err)
{
    return sort_by(c, by_labels, false, true, out, err);
}
