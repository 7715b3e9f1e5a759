#include "query/histogram_group.h"

#include <math.h>
#include <stdlib.h>

#include "base/number.h"
#include "base/rfc3339.h"

/* Where the counts of one metric were raised; one annotation for all its samples. */
struct fix_note {
    struct fix_note *next;
    struct slice name;
    struct monotonic_fix fix;
    int64_t first_ms, last_ms;
    uint64_t samples;
};

/* ---- annotations ---- */

static struct slice metric_name(const struct histogram_group *x, struct labels labels)
{
    bool certain = x->eval->options && x->eval->options->delayed_name_removal;
    return certain ? labels_get(labels, SLICE(LABEL_METRIC_NAME)) : (struct slice){NULL, 0};
}

/* " for metric name "x"", or nothing. */
static const char *of_metric(const struct histogram_group *x, struct slice name)
{
    if (name.len == 0)
        return "";
    const char *text =
        arena_printf(x->eval->arena, " for metric name %s", eval_quote(x->eval, name));
    return text ? text : "";
}

void histogram_group_info(const struct histogram_group *x, struct labels labels, const char *text)
{
    eval_info(x->eval, x->place, "%s%s", text, of_metric(x, metric_name(x, labels)));
}

static void warn_bound(const struct histogram_group *x, struct labels labels, struct slice le)
{
    eval_warn(x->eval, x->place, "bucket label \"le\" is missing or has a malformed value of %s%s",
        eval_quote(x->eval, le), of_metric(x, metric_name(x, labels)));
}

bool histogram_group_fixed(struct histogram_group *x, size_t g, size_t step,
    const struct monotonic_fix *fix, struct err *err)
{
    struct slice name = metric_name(x, x->ids.sets[g]);
    int64_t t = eval_time(x->eval, step);
    struct fix_note *note = x->fixes;
    while (note && !slice_eq(note->name, name))
        note = note->next;
    if (!note) {
        note = arena_alloc(x->eval->arena, sizeof *note);
        if (!note)
            return eval_no_memory(x->eval, err);
        *note = (struct fix_note){x->fixes, name, *fix, t, t, 0};
        x->fixes = note;
    }
    note->samples++;
    note->fix.min_bound = fmin(note->fix.min_bound, fix->min_bound);
    note->fix.max_bound = fmax(note->fix.max_bound, fix->max_bound);
    note->fix.max_diff = fmax(note->fix.max_diff, fix->max_diff);
    note->first_ms = t < note->first_ms ? t : note->first_ms;
    note->last_ms = t > note->last_ms ? t : note->last_ms;
    return true;
}

void histogram_group_tell(const struct histogram_group *x)
{
    for (const struct fix_note *note = x->fixes; note; note = note->next) {
        char low[NUMBER_MAX], high[NUMBER_MAX], first[RFC3339_MAX], last[RFC3339_MAX];
        number_format_g(note->fix.min_bound, low);
        number_format_g(note->fix.max_bound, high);
        rfc3339_format(note->first_ms, first);
        rfc3339_format(note->last_ms, last);
        eval_info(x->eval, x->place,
            "input to histogram_quantile needed to be fixed for monotonicity (see "
            "https://prometheus.io/docs/prometheus/latest/querying/functions/"
            "#histogram_quantile)%s, from buckets %s to %s, with a max diff of %.2g, over %llu "
            "samples from %s to %s",
            of_metric(x, note->name), low, high, note->fix.max_diff,
            (unsigned long long)note->samples, first, last);
    }
}

/* ---- sorting series into histograms ---- */

static bool has_samples(const struct vector *in, size_t s, bool native)
{
    for (size_t i = s * in->n_steps; i < (s + 1) * in->n_steps; i++)
        if (in->present[i] && (vector_hist(in, i) != NULL) == native)
            return true;
    return false;
}

static int by_group_and_bound(const void *a, const void *b)
{
    const struct histogram_member *x = a, *y = b;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    if (x->upper != y->upper)
        return x->upper < y->upper ? -1 : 1;
    return (x->series > y->series) - (x->series < y->series);
}

static bool add_members(struct histogram_group *x, struct err *err)
{
    static const struct slice le = {"le", 2};
    struct label_pick pick = {.names = &le, .n = 1};
    for (size_t s = 0; s < x->in->n; s++) {
        struct histogram_member m = {.series = (uint32_t)s};
        if (!has_samples(x->in, s, false))
            continue;
        struct slice bound = labels_get(x->in->labels[s], le);
        if (!classic_bound(bound, &m.upper)) {
            warn_bound(x, x->in->labels[s], bound);
            continue;
        }
        if (!label_ids_pick(&x->ids, x->in->labels[s], &pick, &m.group))
            return eval_no_memory(x->eval, err);
        x->members[x->n_members++] = m;
    }
    x->n_classic = x->ids.n;
    if (x->n_members)
        qsort(x->members, x->n_members, sizeof *x->members, by_group_and_bound);
    return true;
}

static bool pair_natives(struct histogram_group *x, struct err *err)
{
    for (size_t g = 0; g < x->n_classic; g++)
        x->native_first[g] = MAP_NONE;
    for (size_t s = 0; s < x->in->n; s++) {
        uint32_t g = MAP_NONE;
        if (x->in->h && has_samples(x->in, s, true) &&
            !label_ids_put(&x->ids, x->in->labels[s], &g))
            return eval_no_memory(x->eval, err);
        x->native[s] = g < x->n_classic ? g : MAP_NONE;
        if (x->native[s] == MAP_NONE)
            continue;
        x->native_next[s] = x->native_first[g];
        x->native_first[g] = (uint32_t)s;
    }
    return true;
}

bool histogram_group_init(struct histogram_group *x, struct eval *eval, const struct vector *in,
    const struct node *place, struct err *err)
{
    *x = (struct histogram_group){.eval = eval, .in = in, .place = place};
    label_ids_init(&x->ids, eval->arena);
    x->members = arena_array(eval->arena, in->n, sizeof *x->members);
    x->buckets = arena_array(eval->arena, in->n, sizeof *x->buckets);
    x->native = arena_array(eval->arena, in->n, sizeof *x->native);
    x->native_next = arena_array(eval->arena, in->n, sizeof *x->native_next);
    if (!x->members || !x->buckets || !x->native || !x->native_next)
        return eval_no_memory(eval, err);
    if (!add_members(x, err))
        return false;
    x->native_first = arena_array(eval->arena, x->n_classic, sizeof *x->native_first);
    if (!x->native_first)
        return eval_no_memory(eval, err);
    if (!pair_natives(x, err))
        return false;
    x->start = arena_zalloc(eval->arena, (x->n_classic + 1) * sizeof *x->start);
    if (!x->start)
        return eval_no_memory(eval, err);
    for (size_t i = 0; i < x->n_members; i++)
        x->start[x->members[i].group + 1] = (uint32_t)i + 1;
    return true;
}

void histogram_group_fini(struct histogram_group *x)
{
    label_ids_fini(&x->ids);
}

/* ---- at one step ---- */

static bool has_bucket(const struct histogram_group *x, size_t g, size_t step)
{
    for (size_t i = x->start[g]; i < x->start[g + 1]; i++) {
        size_t at = vector_at(x->in, x->members[i].series, step);
        if (x->in->present[at] && !vector_hist(x->in, at))
            return true;
    }
    return false;
}

const struct hist *histogram_group_native(const struct histogram_group *x, size_t s, size_t step)
{
    size_t at = vector_at(x->in, s, step);
    if (!x->in->h || !x->in->present[at] || !x->in->h[at])
        return NULL;
    bool mixed = x->native[s] != MAP_NONE && has_bucket(x, x->native[s], step);
    return mixed ? NULL : x->in->h[at];
}

static bool has_native(const struct histogram_group *x, size_t g, size_t step)
{
    for (uint32_t s = x->native_first[g]; s != MAP_NONE; s = x->native_next[s]) {
        size_t at = vector_at(x->in, s, step);
        if (x->in->present[at] && vector_hist(x->in, at))
            return true;
    }
    return false;
}

size_t histogram_group_pick(struct histogram_group *x, size_t g, size_t step)
{
    size_t n = 0;
    for (size_t i = x->start[g]; i < x->start[g + 1]; i++) {
        size_t at = vector_at(x->in, x->members[i].series, step);
        if (x->in->present[at] && !vector_hist(x->in, at))
            x->buckets[n++] = (struct classic_bucket){x->members[i].upper, x->in->v[at]};
    }
    if (n == 0 || !has_native(x, g, step))
        return n;
    eval_warn(x->eval, x->place, "vector contains a mix of classic and native histograms%s",
        of_metric(x, metric_name(x, x->ids.sets[g])));
    return 0;
}
