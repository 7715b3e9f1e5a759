#include "store/rewrite.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "store/deletion_file.h"
#include "store/forget.h"
#include "store/salvage.h"
#include "store/seal.h"
#include "store/store_priv.h"

/* ---- writing a segment anew ---- */

/* Two inputs at most: the segment itself, and a finer one of its window. */
struct rewriting {
    struct segment *inputs[2];
    size_t n;
    const struct merge_options *options;
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

/* The output takes the place of segment `a`. */
static bool replace(
    struct store *store, const struct attached *a, const struct segment_info *out, struct err *err)
{
    const struct segment_info *info = segment_info(a->segment);
    struct manifest_segment add = {.lsn = a->lsn, .derived = a->derived, .inputs = a->inputs};
    const char *drop = info->name;
    if (strcmp(out->name, info->name) == 0)
        return true;
    snprintf(add.name, sizeof add.name, "%s", out->name);
    struct manifest_edit edit = {
        .drops = &drop, .n_drops = 1, .adds = &add, .n_adds = out->series ? 1 : 0};
    log_info(
        "rewriting %s: %" PRIu64 " of %" PRIu64 " cells are left", drop, out->cells, info->cells);
    return segments_change(store, &edit, err);
}

/* *done false: the input could not be read; that has been seen to. */
static bool rewrite(
    struct store *store, size_t at, struct rewriting *w, bool *done, struct err *err)
{
    const struct attached *a = &store->segments[at];
    const struct segment_info *info = segment_info(a->segment);
    struct err why = {0};
    const char *bad;
    *done = segment_write_kept(store, w->inputs, w->n, w->options, &w->out, &bad, &why);
    if (*done)
        return replace(store, a, &w->out, err);
    if (bad)
        return input_set_aside(store, bad, info->t0, info->t1, &why, err);
    *err = why;
    return false;
}

bool segment_rewrite(struct store *store, size_t at, const struct merge_options *options,
    char name[SEGMENT_NAME_MAX], struct err *err)
{
    struct segment *segment = store->segments[at].segment;
    struct rewriting w = {.inputs = {segment}, .n = 1, .options = options};
    bool done;
    snprintf(name, SEGMENT_NAME_MAX, "%s", segment_info(segment)->name);
    if (!rewrite(store, at, &w, &done, err))
        return false;
    if (done)
        snprintf(name, SEGMENT_NAME_MAX, "%s", w.out.name);
    return true;
}

/* ---- without what was deleted ---- */

struct cleaning {
    struct store *store;
    uint64_t lsn;
    int64_t resolution_ms;        /* 0: raw */
    const struct attached *finer; /* the second input; NULL: there is none */
    struct slice metric;          /* that was asked for last, in the finer segment */
    bool has_metric;
    struct arena arena;
    struct err err; /* of asking */
    struct merge_range ranges[DELETIONS_MAX];
};

/* Whether cells of the metric are made from those of the finer segment: it has all of its series,
 * or none, since ages are those of metrics. */
static bool from_finer(struct cleaning *c, const struct metric_def *def)
{
    if (!c->finer || def->kind == KIND_SAMPLE ||
        !resolution_fits(def, segment_info(c->finer->segment)->resolution_ms))
        return false;
    if (c->metric.ptr && slice_eq(c->metric, def->name))
        return c->has_metric;
    arena_reset(&c->arena);
    c->metric = arena_slice(&c->arena, def->name);
    if (!attached_has_metric(c->finer, def->name, &c->has_metric, &c->err))
        c->has_metric = false; /* coarsen says so */
    return c->has_metric;
}

static bool takes(void *ctx, size_t input, const struct metric_def *def)
{
    return (input == 1) == from_finer(ctx, def);
}

static bool leave_out(void *ctx, const struct metric_def *def, struct labels labels,
    const struct merge_range **out, size_t *n)
{
    struct cleaning *c = ctx;
    *n = 0;
    if (c->resolution_ms && !resolution_fits(def, c->resolution_ms))
        return false; /* of the finer segment */
    if (from_finer(c, def))
        return true; /* that one was cleaned before */
    catalog_lock_read(&c->store->catalog);
    uint32_t id = catalog_find_series(&c->store->catalog, labels);
    catalog_unlock(&c->store->catalog);
    const struct deletion_list all = {c->store->deletions, c->store->n_deletions};
    if (id != MAP_NONE)
        *n = deleted_ranges(&all, id, c->lsn, c->resolution_ms, c->ranges);
    *out = c->ranges;
    return true;
}

static bool coarsen(void *ctx, const struct metric_def *def, struct labels labels,
    struct arena *arena, struct columns *columns, struct err *err)
{
    struct cleaning *c = ctx;
    struct columns coarse;
    (void)labels;
    bool finer = from_finer(c, def);
    if (c->err.code != ERR_OK)
        *err = c->err;
    if (!finer)
        return c->err.code == ERR_OK;
    if (!resolution_derive(arena, columns, c->resolution_ms, &coarse))
        return err_set(err, ERR_LIMIT, "no memory for coarser cells");
    *columns = coarse;
    return true;
}

/* The coarsest of the segments that are finer than this one and stand, as it does, for raw cells of
 * the window that are not attached; NULL: there is none. */
static const struct attached *finer_of(const struct store *store, const struct attached *a)
{
    const struct segment_info *info = segment_info(a->segment);
    const struct attached *finer = NULL;
    for (size_t i = 0; i < store->n_segments; i++) {
        const struct attached *b = &store->segments[i];
        const struct segment_info *o = segment_info(b->segment);
        if (b->derived && b->holds && !b->backed && b->kept == a->kept && o->t0 == info->t0 &&
            o->t1 == info->t1 && o->resolution_ms < info->resolution_ms &&
            (!finer || o->resolution_ms > segment_info(finer->segment)->resolution_ms))
            finer = b;
    }
    return finer;
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
    const struct segment_info *info = segment_info(a->segment);
    struct cleaning c = {.store = store, .lsn = a->lsn, .resolution_ms = info->resolution_ms};
    struct merge_options options = {.filter = leave_out, .takes = takes, .map = coarsen, .ctx = &c};
    struct rewriting w = {.inputs = {a->segment}, .n = 1, .options = &options};
    bool done;
    if (a->derived && !a->holds)
        return drop(store, a, err);
    c.finer = a->derived ? finer_of(store, a) : NULL;
    if (c.finer)
        w.inputs[w.n++] = c.finer->segment;
    int64_t t0 = info->t0, t1 = info->t1;
    arena_init(&c.arena, 0);
    bool ok = rewrite(store, at, &w, &done, err);
    arena_fini(&c.arena);
    if (!ok)
        return false;
    if (done)
        mark_clean(store, w.out.name);
    if (done && c.finer) /* readers left out more than what is gone now */
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

/* Raw segments first, then the derived ones from fine to coarse. */
static bool clean_attached(struct store *store, bool *did, bool *waits, struct err *err)
{
    for (int r = -1; r < RESOLUTIONS; r++)
        for (size_t i = 0; i < store->n_segments; i++) {
            if (segment_info(store->segments[i].segment)->resolution_ms !=
                (r < 0 ? 0 : resolutions[r]))
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
    if (!replay_await(store, err))
        return false;
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
