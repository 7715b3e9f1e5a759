#include "store/keep.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/derive.h"
#include "store/inherit.h"
#include "store/resolution.h"
#include "store/store_priv.h"

/* Ascending. */
struct metric_names {
    struct slice *names;
    size_t n;
};

struct keep {
    struct store *store;
    const struct keeping *what;
    bool all;                /* as asked for, or since there are heirs */
    struct segment **inputs; /* the raw ones, the oldest commit first; then room for a kept one,
                              * and for an heir */
    uint64_t *lsns;          /* of the raw ones */
    size_t n;
    uint64_t lsn;                 /* the greatest of theirs */
    struct manifest_segment *raw; /* as they will be */
    size_t n_raw;
    const char **drops;
    struct manifest_segment *adds;
    struct nothing nothing[RESOLUTIONS];
    struct manifest_edit edit;
    const char *bad; /* a segment that is damaged */
    /* Of the resolution that is being made: */
    int64_t resolution_ms;
    struct metric_names kept;                 /* metrics of the kept segment */
    const struct attached *heir;              /* NULL: there is none */
    struct metric_names inherited;            /* its metrics */
    struct metric_names coarser[RESOLUTIONS]; /* of those of coarser resolutions */
    size_t n_coarser;
};

static const struct segment_info *info_of(const struct store *store, size_t i)
{
    return segment_info(store->segments[i].segment);
}

static void keep_init(struct keep *k, struct store *store, const struct keeping *what)
{
    size_t n = store->n_segments;
    *k = (struct keep){
        .store = store, .what = what, .all = what->all || inherit_any(store, what->t0)};
    k->inputs = xcalloc(n + 2, sizeof(struct segment *));
    k->lsns = xcalloc(n, sizeof *k->lsns);
    k->raw = xcalloc(n, sizeof *k->raw);
    k->drops = xcalloc(n + store->n_quarantined, sizeof *k->drops);
    k->adds = xcalloc(n + RESOLUTIONS, sizeof *k->adds);
    k->edit = (struct manifest_edit){.drops = k->drops, .adds = k->adds, .nothing = k->nothing};
    for (size_t i = 0; i < n; i++) {
        const struct attached *a = &store->segments[i];
        if (a->derived || info_of(store, i)->t0 < what->t0 || info_of(store, i)->t1 > what->t1)
            continue;
        k->lsns[k->n] = a->lsn;
        k->inputs[k->n++] = a->segment;
        k->lsn = a->lsn;
    }
}

static void keep_fini(struct keep *k)
{
    free(k->inputs);
    free(k->lsns);
    free(k->raw);
    free(k->drops);
    free(k->adds);
}

static bool goes(const struct keep *k, struct slice metric)
{
    return k->all || retention_takes(
                         &k->store->options.retention, metric, 0, k->what->t1, k->what->newest_ms);
}

/* Whether nothing raw is left. */
static bool all_go(const struct keep *k)
{
    return k->all || k->store->options.retention.n_metrics == 0;
}

static void drop(struct keep *k, const char *name)
{
    k->drops[k->edit.n_drops++] = name;
}

static struct manifest_segment *add(struct keep *k, const char *name, uint64_t lsn)
{
    struct manifest_segment *s = &k->adds[k->edit.n_adds++];
    *s = (struct manifest_segment){.lsn = lsn};
    snprintf(s->name, sizeof s->name, "%s", name);
    return s;
}

/* ---- what is kept ---- */

static bool has_name(const struct metric_names *metrics, struct slice metric)
{
    size_t lo = 0, hi = metrics->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = slice_cmp(metrics->names[mid], metric);
        if (c == 0)
            return true;
        *(c < 0 ? &lo : &hi) = c < 0 ? mid + 1 : mid;
    }
    return false;
}

static bool is_kept(const struct keep *k, struct slice metric)
{
    return has_name(&k->kept, metric);
}

/* Whether finer cells of the metric went before, when their age was shorter, and coarser ones were
 * kept: what comes now would be a part of them that looks like all. */
static bool went_before(const struct keep *k, struct slice metric)
{
    for (size_t i = 0; i < k->n_coarser; i++)
        if (has_name(&k->coarser[i], metric))
            return true;
    return false;
}

static bool wants(void *ctx, const struct metric_def *def)
{
    const struct keep *k = ctx;
    if (is_kept(k, def->name))
        return true;
    return goes(k, def->name) && !went_before(k, def->name) &&
           !retention_takes(&k->store->options.retention, def->name, k->resolution_ms, k->what->t1,
               k->what->newest_ms);
}

/* Behind the raw inputs is what was kept before, and the heir: that has all of its metrics that
 * came by its time. */
static bool takes(void *ctx, size_t input, const struct metric_def *def)
{
    const struct keep *k = ctx;
    if (input >= k->n)
        return true;
    if (k->heir && k->lsns[input] <= k->heir->lsn && has_name(&k->inherited, def->name))
        return false;
    return goes(k, def->name) && !(def->kind == KIND_SAMPLE && is_kept(k, def->name));
}

static bool load_names(struct keep *k, const struct segment *kept, struct arena *arena,
    struct metric_names *out, struct err *err)
{
    for (size_t name = 0; name < segment_label_names(kept); name++) {
        if (!slice_is(segment_label_name(kept, name), LABEL_METRIC_NAME))
            continue;
        size_t n = segment_label_values(kept, name);
        out->names = arena_array(arena, n, sizeof *out->names);
        for (out->n = 0; out->n < n; out->n++)
            if (!segment_label_value(kept, name, out->n, arena, &out->names[out->n], err)) {
                k->bad = segment_info(kept)->name;
                return false;
            }
    }
    return true;
}

static const struct attached *find_kept(const struct keep *k, int64_t resolution_ms)
{
    for (size_t i = 0; i < k->store->n_segments; i++) {
        const struct attached *a = &k->store->segments[i];
        const struct segment_info *info = info_of(k->store, i);
        if (a->kept && info->resolution_ms == resolution_ms && info->t0 == k->what->t0)
            return a;
    }
    return NULL;
}

static uint64_t greater(uint64_t lsn, const struct attached *a)
{
    return a && a->lsn > lsn ? a->lsn : lsn;
}

static bool keep_cells(struct keep *k, const struct attached *before, struct err *err)
{
    const struct derivation d = {k->what->t0, k->what->t1, k->resolution_ms, k->what->newest_ms};
    const struct derive_choice choice = {.wants = wants, .takes = takes, .ctx = k, .kept = true};
    struct segment_info out;
    size_t n = k->n;
    if (before)
        k->inputs[n++] = before->segment;
    if (k->heir)
        k->inputs[n++] = k->heir->segment;
    if (n == 0)
        return true;
    if (!derive_write(k->store, &d, k->inputs, n, &choice, &out, &k->bad, err))
        return false;
    if (before)
        drop(k, segment_info(before->segment)->name);
    if (out.series)
        add(k, out.name, greater(greater(k->lsn, before), k->heir))->derived = true;
    return true;
}

static bool load_coarser(struct keep *k, struct arena *arena, struct err *err)
{
    k->n_coarser = 0;
    for (int r = resolution_index(k->resolution_ms) + 1; r < RESOLUTIONS; r++) {
        const struct attached *a = find_kept(k, resolutions[r]);
        if (!a)
            continue;
        struct metric_names *out = &k->coarser[k->n_coarser++];
        *out = (struct metric_names){0};
        if (!load_names(k, a->segment, arena, out, err))
            return false;
    }
    return true;
}

static bool keep_resolution(struct keep *k, int64_t resolution_ms, struct err *err)
{
    struct arena arena;
    const struct attached *before = find_kept(k, resolution_ms);
    arena_init(&arena, 0);
    k->resolution_ms = resolution_ms;
    k->kept = k->inherited = (struct metric_names){0};
    k->heir = inherit_from(k->store, k->what->t0, resolution_ms);
    bool ok = (!k->heir || load_names(k, k->heir->segment, &arena, &k->inherited, err)) &&
              (!before || load_names(k, before->segment, &arena, &k->kept, err)) &&
              load_coarser(k, &arena, err) && keep_cells(k, before, err);
    arena_fini(&arena);
    return ok;
}

/* ---- what is left of the rest ---- */

static bool is_left(void *ctx, const struct metric_def *def, struct labels labels,
    const struct merge_range **out, size_t *n)
{
    (void)labels, (void)out, (void)n;
    return !goes(ctx, def->name);
}

/* Writes what is left of a segment; out->series 0: nothing. */
static bool write_left(
    struct keep *k, struct segment *segment, struct segment_info *out, struct err *err)
{
    const struct merge_options options = {
        .filter = is_left, .ctx = k, .catalog = &k->store->catalog};
    const struct segment_info *info = segment_info(segment);
    struct segment_input input;
    struct merge *merge;
    char dir[PATH_BYTES];
    size_t at;
    *out = (struct segment_info){0};
    merge_new(&segment, 1, &options, &merge);
    bool ok = merge_input(merge, &input, err) && path_join(dir, k->store->path, "seg", err);
    input.t0 = info->t0;
    input.t1 = info->t1;
    ok = ok && (segment_write(dir, &input, out, err) || merge_is_empty(merge));
    if (!ok && merge_bad_segment(merge, &at))
        k->bad = info->name;
    merge_free(&merge);
    return ok;
}

static bool leave_raw(struct keep *k, size_t i, struct err *err)
{
    const struct attached *a = &k->store->segments[i];
    const struct segment_info *info = info_of(k->store, i);
    struct segment_info out = {0};
    if (!all_go(k) && !write_left(k, a->segment, &out, err))
        return false;
    bool same = strcmp(out.name, info->name) == 0;
    if (!same)
        drop(k, info->name);
    if (!out.series)
        return true;
    if (!same)
        add(k, out.name, a->lsn);
    struct manifest_segment *raw = &k->raw[k->n_raw++];
    raw->lsn = a->lsn;
    snprintf(raw->name, sizeof raw->name, "%s", out.name);
    return true;
}

/* The digest of what is raw after the edit, for a derived segment. */
static uint64_t inputs_after(const struct keep *k, const struct attached *a)
{
    uint64_t lsn = a->lsn;
    const struct manifest *m = &k->store->manifest;
    const char **names = xcalloc(k->n_raw + m->n_quarantined, sizeof *names);
    size_t n = 0;
    for (size_t i = 0; i < k->n_raw; i++)
        if (k->raw[i].lsn <= lsn)
            names[n++] = k->raw[i].name;
    for (size_t i = 0; a->whole && i < m->n_quarantined; i++) {
        const struct manifest_segment *q = &m->quarantined[i];
        int64_t t0, t1;
        if (!q->derived && q->lsn <= lsn && segment_name_times(q->name, &t0, &t1) &&
            t0 >= k->what->t0 && t1 <= k->what->t1)
            names[n++] = q->name;
    }
    uint64_t digest = resolution_digest(names, n);
    free(names);
    return digest;
}

/* A derived segment of the window, which is not kept. */
static bool leave_derived(struct keep *k, size_t i, struct err *err)
{
    const struct attached *a = &k->store->segments[i];
    struct segment_info out = {0};
    bool some = a->holds && k->n_raw > 0;
    if (some && !write_left(k, a->segment, &out, err))
        return false;
    drop(k, info_of(k->store, i)->name);
    if (!out.series)
        return true;
    struct manifest_segment *s = add(k, out.name, a->lsn);
    s->derived = true;
    s->inputs = inputs_after(k, a);
    return true;
}

static bool leave_rest(struct keep *k, struct err *err)
{
    struct store *store = k->store;
    for (size_t i = 0; i < store->n_segments; i++)
        if (!store->segments[i].derived && info_of(store, i)->t0 >= k->what->t0 &&
            info_of(store, i)->t1 <= k->what->t1 && !leave_raw(k, i, err))
            return false;
    for (size_t i = 0; i < store->n_segments; i++)
        if (store->segments[i].derived && !store->segments[i].kept &&
            info_of(store, i)->t0 == k->what->t0 && !leave_derived(k, i, err))
            return false;
    for (int r = 0; k->n_raw == 0 && r < RESOLUTIONS; r++)
        if (nothing_find(&store->manifest.nothing, k->what->t0, resolutions[r]))
            k->nothing[k->edit.n_nothing++] =
                (struct nothing){.t0 = k->what->t0, .resolution_ms = resolutions[r]};
    return true;
}

/* What is set aside, and in the heirs. */
static void drop_inherited(struct keep *k)
{
    for (size_t i = 0; i < k->store->n_quarantined; i++)
        if (inherit_has(k->store, k->what, &k->store->quarantined[i]))
            drop(k, k->store->quarantined[i].name);
}

static bool keep_all(struct keep *k, struct err *err)
{
    for (int r = 0; r < RESOLUTIONS; r++)
        if (derive_fits(k->what->t0, k->what->t1, resolutions[r]) &&
            !keep_resolution(k, resolutions[r], err))
            return false;
    drop_inherited(k);
    return leave_rest(k, err) && segments_change(k->store, &k->edit, err);
}

bool keep_window(struct store *store, const struct keeping *keeping, struct err *err)
{
    struct keep k;
    struct err why = {0};
    if (!inherit_mark_lost(store, keeping, err))
        return false;
    keep_init(&k, store, keeping);
    bool ok = keep_all(&k, &why);
    if (ok)
        log_info("retention: raw cells of (%" PRId64 ", %" PRId64 "] are gone, %zu of %zu segments "
                 "are left",
            keeping->t0, keeping->t1, k.n_raw, k.n);
    else if (k.bad)
        ok = input_set_aside(store, k.bad, keeping->t0, keeping->t1, &why, err);
    else
        *err = why;
    keep_fini(&k);
    return ok;
}
