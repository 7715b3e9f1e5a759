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

/* ---- what holds ---- */

static bool overlaps(int64_t a0, int64_t a1, int64_t b0, int64_t b1)
{
    return a0 < b1 && b0 < a1;
}

/* Of raw segments and what is quarantined. */
static uint64_t digest_of(const struct manifest_segment *raw, size_t n,
    const struct manifest *manifest, int64_t t0, int64_t t1, uint64_t lsn)
{
    const char **names = xcalloc(n + manifest->n_quarantined, sizeof *names);
    size_t n_names = 0;
    for (size_t i = 0; i < n + manifest->n_quarantined; i++) {
        const struct manifest_segment *s = i < n ? &raw[i] : &manifest->quarantined[i - n];
        int64_t s0, s1;
        if (!s->derived && s->lsn <= lsn && segment_name_times(s->name, &s0, &s1) &&
            overlaps(s0, s1, t0, t1))
            names[n_names++] = s->name;
    }
    uint64_t digest = resolution_digest(names, n_names);
    free(names);
    return digest;
}

uint64_t derive_inputs(const struct manifest *manifest, int64_t t0, int64_t t1, uint64_t lsn)
{
    return digest_of(manifest->segments, manifest->n_segments, manifest, t0, t1, lsn);
}

/* Derived segment d: says of itself whether it holds, and of the raw ones that it covers them. */
static void refresh(struct attached *all, size_t n, size_t d, const struct manifest *manifest)
{
    struct attached *a = &all[d];
    const struct segment_info *info = segment_info(a->segment);
    int r = resolution_index(info->resolution_ms);
    a->holds = r >= 0 && a->inputs == derive_inputs(manifest, info->t0, info->t1, a->lsn);
    a->later = false;
    for (size_t i = 0; a->holds && i < n; i++) {
        const struct segment_info *raw = segment_info(all[i].segment);
        if (all[i].derived || !overlaps(raw->t0, raw->t1, info->t0, info->t1))
            continue;
        if (all[i].lsn <= a->lsn)
            all[i].cover[r] = (uint32_t)d;
        else
            a->later = true;
    }
    for (size_t i = 0; a->holds && i < n; i++) {
        const struct segment_info *other = segment_info(all[i].segment);
        if (!overlaps(other->t0, other->t1, info->t0, info->t1))
            continue;
        all[i].coarsest = r > all[i].coarsest ? r : all[i].coarsest;
        all[i].finest = all[i].finest < 0 || r < all[i].finest ? r : all[i].finest;
    }
}

void derive_refresh(struct attached *all, size_t n, const struct manifest *manifest)
{
    for (size_t i = 0; i < n; i++) {
        all[i].coarsest = all[i].finest = -1;
        for (int r = 0; r < RESOLUTIONS; r++)
            all[i].cover[r] = NOT_COVERED;
    }
    for (size_t i = 0; i < n; i++)
        if (all[i].derived)
            refresh(all, n, i, manifest);
}

/* ---- what is read ---- */

/* Whether raw cells of the series came for the window after it was derived. */
static bool came_later(const struct derive_reader *reader, const struct attached *d,
    uint32_t series, bool *came, struct err *err)
{
    const struct segment_info *window = segment_info(d->segment);
    *came = reader->in_head(reader->ctx, window->t0, window->t1);
    for (size_t i = 0; d->later && !*came && i < reader->n; i++) {
        const struct attached *a = &reader->all[i];
        const struct segment_info *info = segment_info(a->segment);
        uint32_t ordinal;
        if (a->derived || a->lsn <= d->lsn || !overlaps(info->t0, info->t1, window->t0, window->t1))
            continue;
        if (!attached_find(a, series, &ordinal, err))
            return false;
        *came = ordinal != SEGMENT_NO_ID;
    }
    return true;
}

static bool is_used(const struct derive_reader *reader, const struct attached *d, uint32_t series,
    enum kind kind, bool *used, struct err *err)
{
    uint32_t ordinal;
    bool later;
    *used = !reader->store || !deletion_touches(reader->store, series, d);
    if (kind != KIND_SAMPLE || !*used)
        return true;
    if (!attached_find(d, series, &ordinal, err) || !came_later(reader, d, series, &later, err))
        return false;
    *used = ordinal != SEGMENT_NO_ID && (!later || d->inputs == 0); /* 0: raw cells are gone */
    return true;
}

bool derive_serves(const struct derive_reader *reader, size_t i, uint32_t series, enum kind kind,
    int64_t resolution_ms, bool *serves, struct err *err)
{
    const struct attached *a = &reader->all[i];
    int r = resolution_index(resolution_ms);
    bool covered;
    *serves = !a->derived;
    if (r < 0)
        return true;
    if (a->derived) {
        *serves = a->holds && segment_info(a->segment)->resolution_ms == resolution_ms;
        return !*serves || is_used(reader, a, series, kind, serves, err);
    }
    if (a->cover[r] == NOT_COVERED)
        return true;
    if (!is_used(reader, &reader->all[a->cover[r]], series, kind, &covered, err))
        return false;
    *serves = !covered;
    return true;
}

/* ---- what is due ---- */

/* or_later: what came later need not be in it. */
static bool is_derived(const struct store *store, const struct derivation *d, bool or_later)
{
    for (size_t i = 0; i < store->n_segments; i++) {
        const struct attached *a = &store->segments[i];
        const struct segment_info *info = segment_info(a->segment);
        if (a->holds && (or_later || !a->later) && info->t0 == d->t0 && info->t1 == d->t1 &&
            info->resolution_ms == d->resolution_ms)
            return true;
    }
    uint64_t inputs = derive_inputs(&store->manifest, d->t0, d->t1, UINT64_MAX);
    const struct maintenance *m = &store->maintenance;
    for (size_t i = 0; i < m->n_nothing; i++)
        if (m->nothing[i].t0 == d->t0 && m->nothing[i].resolution_ms == d->resolution_ms &&
            m->nothing[i].inputs == inputs)
            return true;
    return false;
}

static bool due_in_window(
    const struct store *store, int64_t t0, int64_t t1, bool or_later, struct derivation *out)
{
    for (int r = 0; r < RESOLUTIONS; r++) {
        *out = (struct derivation){t0, t1, resolutions[r]};
        if (t0 % resolutions[r] == 0 && (t1 - t0) % resolutions[r] == 0 &&
            !is_derived(store, out, or_later))
            return true;
    }
    return false;
}

bool derive_due(struct store *store, int64_t passed_ms, struct derivation *out)
{
    int64_t window = window_ms(store->options.block_ms);
    for (size_t i = 0; i < store->n_segments; i++) {
        if (store->segments[i].derived)
            continue;
        int64_t start = window_start(segment_info(store->segments[i].segment)->t1, window);
        if (start <= INT64_MAX - window && passed_ms >= start + window &&
            due_in_window(store, start, start + window, true, out))
            return true;
    }
    return false;
}

/* ---- doing it ---- */

static bool wanted(void *ctx, const struct metric_def *def, struct labels labels,
    const struct merge_range **out, size_t *n)
{
    const struct derivation *d = ctx;
    (void)labels, (void)out, (void)n;
    return resolution_fits(def, d->resolution_ms);
}

static bool coarsen(void *ctx, const struct metric_def *def, struct labels labels,
    struct arena *arena, struct columns *columns, struct err *err)
{
    const struct derivation *d = ctx;
    struct columns coarse;
    (void)def, (void)labels;
    if (columns->first) /* samples that were derived before */
        return true;
    if (!resolution_derive(arena, columns, d->resolution_ms, &coarse))
        return err_set(err, ERR_LIMIT, "no memory for coarser cells");
    *columns = coarse;
    return true;
}

/* The segments of the window: raw, or those of the resolution; *lsn is the greatest of theirs. */
static size_t segments_of(const struct store *store, const struct derivation *d,
    int64_t resolution_ms, struct segment **out, uint64_t *lsn)
{
    size_t n = 0;
    *lsn = 0;
    for (size_t i = 0; i < store->n_segments; i++) {
        const struct attached *a = &store->segments[i];
        const struct segment_info *info = segment_info(a->segment);
        if (info->resolution_ms != resolution_ms || !overlaps(info->t0, info->t1, d->t0, d->t1))
            continue;
        out[n++] = a->segment;
        *lsn = a->lsn > *lsn ? a->lsn : *lsn;
    }
    return n;
}

bool derive_write(struct store *store, const struct derivation *derivation,
    struct segment *const *inputs, size_t n, merge_takes *takes, struct segment_info *out,
    const char **bad, struct err *err)
{
    size_t at;
    struct derivation d = *derivation;
    struct merge_options options = {.filter = wanted, .takes = takes, .map = coarsen, .ctx = &d};
    struct segment_input input;
    struct merge *merge;
    char dir[PATH_BYTES];
    merge_new(inputs, n, &options, &merge);
    *out = (struct segment_info){0};
    bool ok = merge_input(merge, &input, err) && path_join(dir, store->path, "seg", err);
    input.t0 = d.t0;
    input.t1 = d.t1;
    input.resolution_ms = d.resolution_ms;
    ok = ok && (segment_write(dir, &input, out, err) || merge_is_empty(merge));
    *bad = !ok && merge_bad_segment(merge, &at) ? segment_info(inputs[at])->name : NULL;
    merge_free(&merge);
    return ok;
}

static void remember_nothing(struct store *store, const struct derivation *d, uint64_t inputs)
{
    struct maintenance *m = &store->maintenance;
    GROW(m->nothing, m->nothing_cap, m->n_nothing + 1);
    m->nothing[m->n_nothing++] = (struct derived_nothing){d->t0, d->resolution_ms, inputs};
}

/* What was derived before goes in the same edit. */
static bool change(struct store *store, const struct derivation *d, struct segment **scratch,
    const struct manifest_segment *add, struct err *err)
{
    uint64_t ignored;
    size_t n = segments_of(store, d, d->resolution_ms, scratch, &ignored);
    const char **drops = xcalloc(n, sizeof *drops);
    struct manifest_edit edit = {.drops = drops, .adds = add, .n_adds = add ? 1 : 0};
    for (size_t i = 0; i < n; i++)
        drops[edit.n_drops++] = segment_info(scratch[i])->name;
    bool ok = (!edit.n_drops && !add) || segments_change(store, &edit, err);
    free(drops);
    return ok;
}

bool derive_run(struct store *store, const struct derivation *derivation, struct err *err)
{
    const struct derivation *d = derivation;
    struct segment_info info;
    struct manifest_segment add = {.derived = true};
    struct segment **list = xcalloc(store->n_segments, sizeof(struct segment *));
    size_t n = segments_of(store, d, 0, list, &add.lsn);
    const char *bad;
    struct err why = {0};
    bool ok = derive_write(store, d, list, n, NULL, &info, &bad, &why);
    if (!ok && bad && why.code == ERR_CORRUPT) {
        free(list);
        return quarantine_segment(store, bad, &why, err);
    }
    if (!ok)
        err_set(err, why.code, "%s", why.text);
    add.inputs = derive_inputs(&store->manifest, d->t0, d->t1, add.lsn);
    snprintf(add.name, sizeof add.name, "%s", info.name);
    ok = ok && change(store, d, list, info.series ? &add : NULL, err);
    if (ok && info.series)
        log_info("derived %s from %zu segments: %" PRIu64 " cells every %" PRId64 " s, %" PRIu64
                 " bytes",
            info.name, n, info.cells, d->resolution_ms / 1000, info.bytes);
    else if (ok)
        remember_nothing(store, d, add.inputs);
    free(list);
    return ok;
}

bool derive_complete(struct store *store, int64_t t0, int64_t t1, bool *did, struct err *err)
{
    struct derivation d;
    *did = due_in_window(store, t0, t1, false, &d);
    return !*did || derive_run(store, &d, err);
}

/* ---- keeping ---- */

/* The inputs of derived segment `a` as they will be after the edit; false when cells come for it
 * that it does not have. */
static bool inputs_after(const struct store *store, const struct manifest_edit *edit,
    const struct attached *a, uint64_t *inputs)
{
    const struct segment_info *info = segment_info(a->segment);
    struct manifest_segment *all = xcalloc(store->n_segments + edit->n_adds, sizeof *all);
    size_t n = 0;
    bool kept = true;
    for (size_t i = 0; i < store->n_segments; i++) {
        const struct attached *raw = &store->segments[i];
        snprintf(all[n].name, sizeof all[n].name, "%s", segment_info(raw->segment)->name);
        all[n].lsn = raw->lsn;
        n += !raw->derived && !manifest_edit_drops(edit, all[n].name);
    }
    for (size_t i = 0; i < edit->n_adds; i++) {
        int64_t t0, t1;
        bool over = segment_name_times(edit->adds[i].name, &t0, &t1) &&
                    overlaps(t0, t1, info->t0, info->t1);
        kept = kept && (edit->adds[i].derived || !over || edit->adds[i].lsn <= a->lsn);
        all[n] = edit->adds[i];
        n += !edit->adds[i].derived;
    }
    *inputs = digest_of(all, n, &store->manifest, info->t0, info->t1, a->lsn);
    free(all);
    return kept;
}

bool derive_change_kept(struct store *store, const struct manifest_edit *edit, struct err *err)
{
    const char **drops = xcalloc(edit->n_drops + store->n_segments, sizeof *drops);
    struct manifest_segment *adds = xcalloc(edit->n_adds + store->n_segments, sizeof *adds);
    struct manifest_edit more = *edit;
    for (size_t i = 0; i < edit->n_drops; i++)
        drops[i] = edit->drops[i];
    for (size_t i = 0; i < edit->n_adds; i++)
        adds[i] = edit->adds[i];
    for (size_t i = 0; i < store->n_segments; i++) {
        const struct attached *a = &store->segments[i];
        const char *name = segment_info(a->segment)->name;
        uint64_t inputs;
        if (!a->holds || manifest_edit_drops(edit, name) ||
            !inputs_after(store, edit, a, &inputs) || inputs == a->inputs)
            continue;
        drops[more.n_drops++] = name;
        struct manifest_segment *add = &adds[more.n_adds++];
        *add = (struct manifest_segment){.lsn = a->lsn, .derived = true, .inputs = inputs};
        snprintf(add->name, sizeof add->name, "%s", name);
    }
    more.drops = drops;
    more.adds = adds;
    bool ok = segments_change(store, &more, err);
    free(drops);
    free(adds);
    return ok;
}
