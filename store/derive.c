#include "store/derive.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/compact.h"
#include "store/merge.h"
#include "store/resolution.h"
#include "store/store_priv.h"
#include "store/timeline.h"

/* ---- what is due ---- */

/* A window, and what there is of it. */
struct window {
    int64_t t0;
    bool raw;
    unsigned held; /* resolutions that hold, a bit for each; what is kept is apart */
};

static int by_start(const void *a, const void *b)
{
    const struct window *x = a, *y = b;
    return (x->t0 > y->t0) - (x->t0 < y->t0);
}

/* The windows with segments, the oldest first. */
static struct window *windows_of(const struct store *store, size_t *n)
{
    int64_t window = window_ms(store->options.block_ms);
    struct window *all = xcalloc(store->n_segments, sizeof *all);
    size_t k = 0;
    for (size_t i = 0; i < store->n_segments; i++) {
        const struct attached *a = &store->segments[i];
        const struct segment_info *info = segment_info(a->segment);
        all[i] = (struct window){.t0 = window_start(info->t1, window), .raw = !a->derived};
        if (a->holds && !a->kept && info->t0 == all[i].t0 && info->t1 - info->t0 == window)
            all[i].held = 1u << resolution_index(info->resolution_ms);
    }
    if (store->n_segments)
        qsort(all, store->n_segments, sizeof *all, by_start);
    for (size_t i = 0; i < store->n_segments; i++) {
        if (k == 0 || all[k - 1].t0 != all[i].t0) {
            all[k++] = all[i];
            continue;
        }
        all[k - 1].raw |= all[i].raw;
        all[k - 1].held |= all[i].held;
    }
    *n = k;
    return all;
}

bool derive_fits(int64_t t0, int64_t t1, int64_t resolution_ms)
{
    return t0 % resolution_ms == 0 && (t1 - t0) % resolution_ms == 0;
}

/* Whether nothing came of it the last time, and would again; as with what is derived, what came
 * later does not matter, nor what was set aside since. */
static bool comes_to_nothing(
    const struct store *store, const struct timeline *timeline, const struct derivation *d)
{
    const struct nothing *last = nothing_find(&store->manifest.nothing, d->t0, d->resolution_ms);
    return last && (last->inputs == timeline_digest(timeline, d->t0, d->t1, last->lsn, false) ||
                       last->inputs == timeline_digest(timeline, d->t0, d->t1, last->lsn, true));
}

/* The coarsest first: what a level stands at is taken from those. */
static bool due_in_window(const struct store *store, const struct timeline *timeline,
    const struct window *window, struct derivation *d)
{
    for (int r = RESOLUTIONS - 1; r >= 0; r--) {
        d->resolution_ms = resolutions[r];
        if (!(window->held >> r & 1) && derive_fits(d->t0, d->t1, resolutions[r]) &&
            !retention_takes_all(&store->options.retention, resolutions[r], d->t1, d->newest_ms) &&
            !comes_to_nothing(store, timeline, d))
            return true;
    }
    return false;
}

static bool look(struct store *store, int64_t passed_ms, struct derivation *out)
{
    int64_t window = window_ms(store->options.block_ms);
    struct timeline timeline;
    size_t n;
    bool due = false;
    struct window *all = windows_of(store, &n);
    timeline_init(&timeline, store->segments, store->n_segments, &store->manifest);
    for (size_t i = 0; i < n && !due; i++) {
        int64_t t0 = all[i].t0;
        if (!all[i].raw || t0 > INT64_MAX - window || passed_ms < t0 + window ||
            skips_find(&store->maintenance.skips, t0, t0 + window))
            continue;
        out->t0 = t0;
        out->t1 = t0 + window;
        if (retention_takes_all(&store->options.retention, 0, out->t1, out->newest_ms))
            continue; /* all raw cells go, and what is kept is made then */
        due = due_in_window(store, &timeline, &all[i], out);
    }
    timeline_fini(&timeline);
    free(all);
    return due;
}

bool derive_due(struct store *store, int64_t passed_ms, struct derivation *out)
{
    struct derive_look *last = &store->maintenance.looked;
    struct derive_look now = {.edits = store->manifest.edits,
        .window = window_start(passed_ms, window_ms(store->options.block_ms)),
        .newest_ms = retention_newest(store, passed_ms),
        .number = store->manifest.number};
    if (last->nothing_due && last->number == now.number && last->edits == now.edits &&
        last->window == now.window && last->newest_ms == now.newest_ms)
        return false;
    *out = (struct derivation){.newest_ms = now.newest_ms};
    bool due = look(store, passed_ms, out);
    now.nothing_due = !due && store->maintenance.skips.n == 0;
    *last = now;
    return due;
}

/* ---- doing it ---- */

struct deriving {
    const struct derivation *derivation;
    const struct derive_choice *choice;
};

static bool wanted(void *ctx, const struct metric_def *def, struct labels labels,
    const struct merge_range **out, size_t *n)
{
    const struct deriving *d = ctx;
    (void)labels, (void)out, (void)n;
    bool (*fits)(const struct metric_def *, int64_t) =
        d->choice->kept ? resolution_fits : resolution_coarsens;
    return fits(def, d->derivation->resolution_ms) && d->choice->wants(d->choice->ctx, def);
}

static bool taken(void *ctx, size_t input, const struct metric_def *def)
{
    const struct deriving *d = ctx;
    return d->choice->takes(d->choice->ctx, input, def);
}

static bool coarsen(void *ctx, const struct metric_def *def, struct labels labels,
    struct arena *arena, struct columns *columns, struct err *err)
{
    const struct deriving *d = ctx;
    struct columns coarse;
    (void)labels;
    if (columns->first) /* samples that were derived before */
        return true;
    int64_t resolution = d->derivation->resolution_ms;
    if (def->kind == KIND_SAMPLE && !d->choice->kept &&
        columns->n / DERIVE_PAYS < resolution_buckets(columns, resolution)) {
        columns->n = 0;
        return true;
    }
    if (!resolution_derive(arena, columns, resolution, &coarse))
        return err_set(err, ERR_LIMIT, "no memory for coarser cells");
    *columns = coarse;
    return true;
}

bool derive_write(struct store *store, const struct derivation *derivation,
    struct segment *const *inputs, size_t n, const struct derive_choice *choice,
    struct segment_info *out, const char **bad, struct err *err)
{
    size_t at;
    struct deriving d = {derivation, choice};
    struct merge_options options = {.filter = wanted,
        .takes = choice->takes ? taken : NULL,
        .map = coarsen,
        .ctx = &d,
        .catalog = &store->catalog};
    struct segment_input input;
    struct merge *merge;
    char dir[PATH_BYTES];
    merge_new(inputs, n, &options, &merge);
    *out = (struct segment_info){0};
    bool ok = merge_input(merge, &input, err) && path_join(dir, store->path, "seg", err);
    input.t0 = derivation->t0;
    input.t1 = derivation->t1;
    input.resolution_ms = derivation->resolution_ms;
    ok = ok && (segment_write(dir, &input, out, err) || merge_is_empty(merge));
    *bad = !ok && merge_bad_segment(merge, &at) ? segment_info(inputs[at])->name : NULL;
    merge_free(&merge);
    return ok;
}

/* The raw segments of the window; *lsn is the greatest of theirs. */
static size_t inputs_of(const struct store *store, const struct derivation *d,
    const struct timeline *timeline, struct segment **out, uint64_t *lsn)
{
    size_t n_entries, n = 0;
    const struct timeline_entry *e = timeline_window(timeline, d->t0, d->t1, &n_entries);
    bool *in = xcalloc(store->n_segments, sizeof *in);
    *lsn = 0;
    for (size_t i = 0; i < n_entries; i++)
        if (e[i].at != NOT_ATTACHED)
            in[e[i].at] = true;
    for (size_t i = 0; i < store->n_segments; i++) { /* in the order of their commits */
        if (!in[i])
            continue;
        out[n++] = store->segments[i].segment;
        *lsn = store->segments[i].lsn;
    }
    free(in);
    return n;
}

/* What was derived before goes in the same edit. name empty: nothing came of it. */
static bool change(struct store *store, const struct derivation *d,
    const struct manifest_segment *add, struct err *err)
{
    const struct nothing nothing = {d->t0, d->resolution_ms, add->lsn, add->inputs};
    const char **drops = xcalloc(store->n_segments, sizeof *drops);
    struct manifest_edit edit = {.drops = drops,
        .adds = add,
        .n_adds = *add->name ? 1 : 0,
        .nothing = &nothing,
        .n_nothing = *add->name ? 0 : 1};
    for (size_t i = 0; i < store->n_segments; i++) {
        const struct attached *a = &store->segments[i];
        const struct segment_info *info = segment_info(a->segment);
        if (a->derived && !a->kept && info->resolution_ms == d->resolution_ms && info->t0 == d->t0)
            drops[edit.n_drops++] = info->name;
    }
    bool ok = segments_change(store, &edit, err);
    free(drops);
    return ok;
}

struct staying {
    const struct retention *retention;
    const struct derivation *derivation;
};

static bool stays(void *ctx, const struct metric_def *def)
{
    const struct staying *s = ctx;
    const struct derivation *d = s->derivation;
    return !retention_takes(s->retention, def->name, d->resolution_ms, d->t1, d->newest_ms);
}

/* *out: what is added; its name is empty when nothing came of it. */
static bool write_derived(struct store *store, const struct derivation *d,
    struct manifest_segment *out, struct segment_info *info, const char **bad, struct err *err)
{
    struct staying staying = {&store->options.retention, d};
    const struct derive_choice choice = {.wants = stays, .ctx = &staying};
    struct timeline timeline;
    struct segment **list = xcalloc(store->n_segments, sizeof(struct segment *));
    *out = (struct manifest_segment){.derived = true};
    timeline_init(&timeline, store->segments, store->n_segments, &store->manifest);
    size_t n = inputs_of(store, d, &timeline, list, &out->lsn);
    out->inputs = timeline_digest(&timeline, d->t0, d->t1, out->lsn, false);
    timeline_fini(&timeline);
    bool ok = derive_write(store, d, list, n, &choice, info, bad, err);
    snprintf(out->name, sizeof out->name, "%s", info->name);
    free(list);
    return ok;
}

bool derive_run(struct store *store, const struct derivation *derivation, struct err *err)
{
    const struct derivation *d = derivation;
    struct segment_info info;
    struct manifest_segment add;
    const char *bad;
    struct err why = {0};
    if (!write_derived(store, d, &add, &info, &bad, &why)) {
        if (bad)
            return input_set_aside(store, bad, d->t0, d->t1, &why, err);
        *err = why;
        return false;
    }
    bool ok = change(store, d, &add, err);
    if (ok && info.series)
        log_info("derived %s: %" PRIu64 " cells every %" PRId64 " s, %" PRIu64 " bytes", info.name,
            info.cells, d->resolution_ms / 1000, info.bytes);
    return ok;
}
