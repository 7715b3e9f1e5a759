#include "store/rewrite.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "store/coarse_cut.h"
#include "store/deletion_file.h"
#include "store/forget.h"
#include "store/heirs.h"
#include "store/salvage.h"
#include "store/seal.h"
#include "store/store_priv.h"

/* ---- writing a segment anew ---- */

struct rewriting {
    const struct merge_options *options;
    const struct coarse_cut *cut; /* that is part of them, or NULL */
    struct segment_info out;
};

bool segment_write_kept(struct store *store, struct segment *const *inputs, size_t n,
    const struct merge_options *options, struct segment_info *out, const char **bad,
    struct err *err)
{
    struct segment_input input;
    struct merge *merge;
    char dir[PATH_BYTES];
    size_t at;
    *out = (struct segment_info){0};
    struct merge_options with_ids = *options;
    with_ids.catalog = &store->catalog;
    merge_new(inputs, n, &with_ids, &merge);
    bool ok = merge_input(merge, &input, err) && path_join(dir, store->path, "seg", err);
    ok = ok && (segment_write(dir, &input, out, err) || merge_is_empty(merge));
    *bad = !ok && merge_bad_segment(merge, &at) ? segment_info(inputs[at])->name : NULL;
    merge_free(&merge);
    return ok;
}

/* The output takes the place of segment `a`, in what heirs are made from too. */
static bool replace(
    struct store *store, const struct attached *a, const struct segment_info *out, struct err *err)
{
    const struct segment_info *info = segment_info(a->segment);
    struct manifest_segment add = {.lsn = a->lsn, .derived = a->derived, .inputs = a->inputs};
    const char *drop = info->name;
    struct heirs heirs;
    if (strcmp(out->name, info->name) == 0)
        return true;
    snprintf(add.name, sizeof add.name, "%s", out->name);
    const struct manifest_edit edit = {
        .drops = &drop, .n_drops = 1, .adds = &add, .n_adds = out->series ? 1 : 0};
    log_info(
        "rewriting %s: %" PRIu64 " of %" PRIu64 " cells are left", drop, out->cells, info->cells);
    heirs_init(&heirs, &store->manifest, &edit);
    bool ok = segments_change(store, &heirs.edit, err);
    heirs_fini(&heirs);
    return ok;
}

/* *done false: the input could not be read; that has been seen to. */
static bool rewrite(
    struct store *store, size_t at, struct rewriting *w, bool *done, struct err *err)
{
    const struct attached *a = &store->segments[at];
    const struct segment_info *info = segment_info(a->segment);
    struct err why = {0};
    const char *bad;
    *done = segment_write_kept(store, &a->segment, 1, w->options, &w->out, &bad, &why);
    if (*done)
        return replace(store, a, &w->out, err);
    if (w->cut && w->cut->bad)
        bad = segment_info(w->cut->bad->segment)->name;
    if (bad)
        return input_set_aside(store, bad, info->t0, info->t1, &why, err);
    *err = why;
    return false;
}

bool segment_rewrite(struct store *store, size_t at, const struct merge_options *options,
    char name[SEGMENT_NAME_MAX], struct err *err)
{
    struct rewriting w = {.options = options};
    bool done;
    snprintf(name, SEGMENT_NAME_MAX, "%s", segment_info(store->segments[at].segment)->name);
    if (!rewrite(store, at, &w, &done, err))
        return false;
    if (done)
        snprintf(name, SEGMENT_NAME_MAX, "%s", w.out.name);
    return true;
}

/* ---- without what was deleted ---- */

/* Of raw segments; cells of others are cut. */
struct cleaning {
    struct store *store;
    uint64_t lsn;
    struct merge_range ranges[DELETIONS_MAX];
};

static bool leave_out(void *ctx, const struct metric_def *def, struct labels labels,
    const struct merge_range **out, size_t *n)
{
    struct cleaning *c = ctx;
    (void)def;
    catalog_lock_read(&c->store->catalog);
    uint32_t id = catalog_find_series(&c->store->catalog, labels);
    catalog_unlock(&c->store->catalog);
    *n = id == MAP_NONE ? 0 : deleted_ranges(c->store, id, c->lsn, 0, c->ranges);
    *out = c->ranges;
    return true;
}

/* Snapshots copy the list meanwhile. */
static void set_clean(struct store *store, struct attached *a)
{
    mutex_lock(&store->lock);
    a->clean = store->deletions_made;
    mutex_unlock(&store->lock);
}

static void mark_clean(struct store *store, const char *name)
{
    for (size_t i = 0; i < store->n_segments; i++)
        if (strcmp(segment_info(store->segments[i].segment)->name, name) == 0)
            set_clean(store, &store->segments[i]);
}

static bool drop(struct store *store, const struct attached *a, struct err *err)
{
    const char *name = segment_info(a->segment)->name;
    log_info("dropping %s: it is derived anew without what was deleted", name);
    return segments_change(store, &(struct manifest_edit){.drops = &name, .n_drops = 1}, err);
}

static bool clean(struct store *store, size_t at, struct err *err)
{
    const struct attached *a = &store->segments[at];
    struct cleaning c = {.store = store, .lsn = a->lsn};
    struct coarse_cut cut;
    const struct merge_options raw = {.filter = leave_out, .ctx = &c};
    const struct merge_options coarse = {.map = coarse_cut_cells, .ctx = &cut};
    struct rewriting w = {.options = a->derived ? &coarse : &raw};
    int64_t t0 = segment_info(a->segment)->t0, t1 = segment_info(a->segment)->t1;
    bool done;
    if (a->derived && !a->holds)
        return drop(store, a, err);
    coarse_cut_init(&cut, store, a);
    if (a->derived)
        w.cut = &cut;
    if (!rewrite(store, at, &w, &done, err))
        return false;
    if (done)
        mark_clean(store, w.out.name);
    if (done && cut.n > 0) /* readers left out more than what is gone now */
        changes_note(store, NULL, 0, t0, t1);
    return true;
}

/* ---- what is left to do ---- */

bool deletion_overlaps(const struct deletion *deletion, const struct attached *segment)
{
    const struct deletion *d = deletion;
    const struct segment_info *info = segment_info(segment->segment);
    int64_t more = info->resolution_ms > 0 ? info->resolution_ms - 1 : 0;
    return segment->lsn <= d->lsn && info->max_t > d->from &&
           (d->to > INT64_MAX - more || info->min_t <= d->to + more);
}

/* Whether the deletion may have something to do in the segment. */
static bool is_due(const struct deletion *d, const struct attached *a)
{
    return a->clean < d->number && deletion_overlaps(d, a);
}

static bool any_due(const struct store *store, const struct attached *a)
{
    for (size_t k = 0; k < store->n_deletions; k++)
        if (is_due(&store->deletions[k], a))
            return true;
    return false;
}

/* *dirty: whether the segment has series of a deletion that is not carried out in it yet. */
static bool is_dirty(struct store *store, const struct attached *a, bool *dirty, struct err *err)
{
    uint32_t *ids;
    size_t n;
    *dirty = false;
    if (a->backed)
        return true; /* its raw cells were seen to, and it is what comes of them */
    if (!attached_ids(a, &ids, &n, err))
        return false;
    for (size_t k = 0; k < store->n_deletions && !*dirty; k++)
        for (size_t i = 0; is_due(&store->deletions[k], a) && i < n && !*dirty; i++)
            *dirty = deletion_covers(&store->deletions[k], ids[i]);
    free(ids);
    return true;
}

/* Segment i. *did: it was rewritten, or set aside; *waits: it cannot be read now, and must be. */
static bool look_at(struct store *store, size_t i, bool *did, bool *waits, struct err *err)
{
    struct attached *a = &store->segments[i];
    const struct segment_info *info = segment_info(a->segment);
    struct err why = {0};
    bool dirty = false, due = any_due(store, a);
    *did = false;
    if (due && skips_find(&store->maintenance.skips, info->t0, info->t1)) {
        *waits = true;
        return true;
    }
    if (due && !is_dirty(store, a, &dirty, &why)) {
        *did = true;
        return input_set_aside(store, info->name, info->t0, info->t1, &why, err);
    }
    *did = dirty;
    if (dirty)
        return clean(store, i, err);
    if (a->clean < store->deletions_made)
        set_clean(store, a);
    return true;
}

/* After everything is rewritten: the last traces, then the deletions themselves. The file says so
 * first: what fails afterwards is done again. */
static bool finish(struct store *store, bool *did, struct err *err)
{
    size_t n = store->n_deletions;
    if (!forget_deleted(store, err) || !put_away_delete(store, err) ||
        !deletions_save(store, 0, err))
        return false;
    struct deletion *done = store->deletions;
    *did = true;
    store_lock_write(store);
    store->deletions = NULL;
    store->n_deletions = 0;
    store->deletions_done += n;
    store_unlock(store);
    for (size_t i = 0; i < n; i++)
        deletion_fini(&done[i]);
    free(done);
    log_info("%zu deletions are complete", n);
    return true;
}

/* Raw segments first, then the derived ones from coarse to fine. */
static bool clean_attached(struct store *store, bool *did, bool *waits, struct err *err)
{
    for (int r = RESOLUTIONS; r >= 0; r--)
        for (size_t i = 0; i < store->n_segments; i++) {
            if (segment_info(store->segments[i].segment)->resolution_ms !=
                (r == RESOLUTIONS ? 0 : resolutions[r]))
                continue;
            if (!look_at(store, i, did, waits, err))
                return false;
            if (*did)
                return true;
        }
    return true;
}

bool deletions_step(struct store *store, bool *did, struct err *err)
{
    bool waits = false;
    *did = false;
    if (store->n_deletions == 0)
        return true;
    if (!clean_attached(store, did, &waits, err) ||
        (!*did && !salvage_step(store, did, &waits, err)))
        return false;
    return *did || waits || finish(store, did, err);
}

bool store_delete_finish(struct store *store, struct err *err)
{
    bool did = true, ok = true;
    mutex_lock(&store->seal);
    if (store->frozen)
        ok = seal_block(store, store->frozen->block->number, err);
    while (ok && did && store->path)
        ok = deletions_step(store, &did, err);
    const struct skips *skips = &store->maintenance.skips;
    if (ok && store->n_deletions > 0)
        ok = err_set(err, ERR_UNAVAILABLE, "%zu deletions wait for what cannot be read now: %s",
            store->n_deletions, skips->n ? skips->all[0].why.text : "a segment is set aside");
    mutex_unlock(&store->seal);
    return ok;
}
