#include "store/salvage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "store/heirs.h"
#include "store/mark.h"
#include "store/store_priv.h"

struct salvage {
    struct store *store;
    struct quarantined *q;
    struct segment *segment;
    struct segment_info kept; /* series 0: nothing */
    uint64_t lost_series, lost_cells;
    bool lossy, all_lost;
};

/* ---- what is deleted ---- */

/* By times alone; of a coarser cell nobody knows how long it is. */
static bool may_cover(const struct deletion *d, const struct quarantined *q)
{
    int64_t more = q->derived ? RESOLUTION_1D : 0;
    return q->lsn <= d->lsn && d->from < q->t1 &&
           (d->to > INT64_MAX - more || q->t0 < d->to + more);
}

static bool matches(const struct deletion *d, struct labels labels)
{
    for (size_t i = 0; i < d->n_matchers; i++)
        if (!matcher_matches(&d->matchers[i], labels_get(labels, d->matchers[i].name)))
            return false;
    return true;
}

static bool is_deleted(const struct salvage *s, struct labels labels)
{
    for (size_t i = 0; i < s->store->n_deletions; i++)
        if (may_cover(&s->store->deletions[i], s->q) && matches(&s->store->deletions[i], labels))
            return true;
    return false;
}

/* *has: whether the segment has, or may have, series of a deletion. */
static bool has_deleted(const struct salvage *s, bool *has, struct err *err)
{
    struct arena arena;
    bool ok = true;
    *has = false;
    arena_init(&arena, 0);
    for (uint32_t i = 0; ok && !*has && i < segment_info(s->segment)->series; i++) {
        struct labels labels;
        arena_reset(&arena);
        ok = segment_labels(s->segment, i, &arena, &labels, err);
        *has = ok && is_deleted(s, labels);
    }
    arena_fini(&arena);
    if (ok || (err->code != ERR_CORRUPT && err->code != ERR_UNSUPPORTED))
        return ok;
    return *has = true; /* nobody can say that it has not */
}

bool salvage_may_have(struct store *store, struct segment *segment, int64_t t0, int64_t t1)
{
    struct quarantined q = {.t0 = t0, .t1 = t1, .derived = true};
    const struct salvage s = {.store = store, .q = &q, .segment = segment};
    struct err why = {0};
    bool has = false;
    for (size_t i = 0; i < store->n_deletions && !has; i++)
        has = may_cover(&store->deletions[i], &q);
    return has && (!segment || !has_deleted(&s, &has, &why) || has);
}

/* ---- what is kept ---- */

struct keeping {
    struct salvage *s;
    const struct segment *segment;
    struct arena arena;
    struct merge_range ranges[DELETIONS_MAX];
};

/* Ranges of all deletions whose matchers match; the series of the segment may have been forgotten,
 * and others may have their ids. */
static size_t ranges_of(struct keeping *k, struct labels labels, int64_t more_ms)
{
    const struct store *store = k->s->store;
    size_t n = 0;
    for (size_t i = 0; i < store->n_deletions; i++) {
        const struct deletion *d = &store->deletions[i];
        if (k->s->q->lsn <= d->lsn && matches(d, labels))
            k->ranges[n++] = (struct merge_range){
                d->from, d->to > INT64_MAX - more_ms ? INT64_MAX : d->to + more_ms};
    }
    return deletion_join(k->ranges, n);
}

/* Whether the series has the id by which the catalogue knows it: it may have been forgotten since,
 * and begun anew. */
static bool is_known(struct keeping *k, struct labels labels)
{
    struct catalog *catalog = &k->s->store->catalog;
    struct labels own;
    uint32_t ordinal;
    catalog_lock_read(catalog);
    uint32_t id = catalog_find_series(catalog, labels);
    catalog_unlock(catalog);
    if (id == MAP_NONE || !segment_has_ids(k->segment))
        return id != MAP_NONE;
    arena_reset(&k->arena);
    return segment_find(k->segment, id, &ordinal, NULL) && ordinal != SEGMENT_NO_ID &&
           segment_labels(k->segment, ordinal, &k->arena, &own, NULL) &&
           labels_cmp(own, labels) == 0;
}

static bool leave_out(void *ctx, const struct metric_def *def, struct labels labels,
    const struct merge_range **out, size_t *n)
{
    struct keeping *k = ctx;
    int64_t resolution = segment_info(k->s->segment)->resolution_ms;
    bool known = is_known(k, labels);
    (void)def;
    *out = k->ranges;
    *n = ranges_of(k, labels, resolution > 0 ? resolution - 1 : 0);
    if (!known && !is_deleted(k->s, labels)) {
        k->s->lossy = true;
        k->s->lost_series++;
    }
    return known;
}

static void lose(void *ctx, const struct segment_loss *loss)
{
    struct salvage *s = ctx;
    s->lossy = true;
    s->lost_series += loss->cells == 0;
    s->lost_cells += loss->cells;
}

/* Of the repaired file, which stays when it is what is kept. */
static bool keep(struct salvage *s, const char *repaired, struct err *err)
{
    char dir[PATH_BYTES], path[PATH_BYTES];
    struct keeping k = {.s = s};
    struct merge_options options = {.filter = leave_out, .ctx = &k};
    struct segment *segment = NULL;
    const char *bad;
    arena_init(&k.arena, 0);
    bool ok = path_join(dir, s->store->path, "seg", err) && path_join(path, dir, repaired, err) &&
              segment_open(path, NULL, &segment, err);
    k.segment = segment;
    ok = ok && segment_write_kept(s->store, &segment, 1, &options, &s->kept, &bad, err);
    arena_fini(&k.arena);
    if (segment)
        segment_put(&segment);
    if ((!ok || strcmp(s->kept.name, repaired) != 0) &&
        !manifest_names(&s->store->manifest, repaired))
        file_remove(path, NULL);
    return ok;
}

static bool repair(struct salvage *s, struct err *err)
{
    const struct segment_repair_how how = {.lost = lose, .ctx = s};
    struct segment_repaired repaired;
    char dir[PATH_BYTES];
    return path_join(dir, s->store->path, "seg", err) &&
           segment_repair(s->segment, dir, &how, &repaired, err) &&
           (repaired.info.series == 0 || keep(s, repaired.info.name, err));
}

/* ---- the edit ---- */

static void say(const struct salvage *s)
{
    if (s->all_lost)
        log_warn("%s is gone with all its cells, since something is deleted in it, or may be",
            s->q->name);
    else
        log_warn("%s gives way to what is left of it: %" PRIu64 " cells; %" PRIu64
                 " series as a whole and %" PRIu64 " cells of others could not be read",
            s->q->name, s->kept.cells, s->lost_series, s->lost_cells);
}

static int64_t resolution_of(const struct salvage *s)
{
    if (!s->q->derived)
        return 0;
    return s->segment ? segment_info(s->segment)->resolution_ms : MARK_ANY_RESOLUTION;
}

static bool replace(struct salvage *s, struct err *err)
{
    struct manifest_segment adds[2];
    struct manifest_edit edit = {.drops = (const char *[]){s->q->name}, .n_drops = 1, .adds = adds};
    const struct manifest_segment as_before = {.lsn = s->q->lsn, .derived = s->q->derived};
    int64_t t0 = s->q->t0, t1 = s->q->t1;
    struct heirs heirs;
    if (s->kept.series) {
        adds[edit.n_adds] = as_before;
        snprintf(adds[edit.n_adds++].name, SEGMENT_NAME_MAX, "%s", s->kept.name);
    }
    if (s->lossy || s->all_lost) {
        adds[edit.n_adds] = as_before;
        mark_lost(s->q->name, resolution_of(s), adds[edit.n_adds].name);
        edit.quarantine = adds[edit.n_adds++].name;
    }
    say(s);
    heirs_init(&heirs, &s->store->manifest, &edit);
    bool ok = segments_change(s->store, &heirs.edit, err);
    heirs_fini(&heirs);
    changes_note(s->store, NULL, 0, t0, t1);
    return ok;
}

/* Not damage: it may pass, so the window waits, and the deletion with it. */
static bool leave(struct salvage *s, const struct err *why, struct err *err)
{
    if (why->code == ERR_CORRUPT || why->code == ERR_UNSUPPORTED)
        return replace(s, err);
    return input_set_aside(s->store, s->q->name, s->q->t0, s->q->t1, why, err);
}

/* Though its frame is damaged. */
static bool open_damaged(struct salvage *s)
{
    char dir[PATH_BYTES], path[PATH_BYTES];
    struct err why, err;
    return path_join(dir, s->store->path, "seg", &err) && path_join(path, dir, s->q->name, &err) &&
           segment_open_damaged(path, s->q->derived ? -1 : 0, &s->segment, &why, &err);
}

static bool open_file(struct salvage *s, struct err *err)
{
    if (attach_open(s->store, s->q->name, &s->segment, err) ||
        (err->code == ERR_CORRUPT && open_damaged(s)))
        return true;
    if (err->code == ERR_IO && err->sys == ENOENT)
        err->code = ERR_CORRUPT; /* not there: nothing can be read */
    return false;
}

/* ---- one segment ---- */

static bool salvage(struct store *store, struct quarantined *q, struct err *err)
{
    struct salvage s = {.store = store, .q = q};
    struct err why = {0};
    bool has = false, ok;
    if (q->derived && !q->kept)
        return segments_change(
            store, &(struct manifest_edit){.drops = &(const char *){q->name}, .n_drops = 1}, err);
    if (!open_file(&s, &why) || !has_deleted(&s, &has, &why)) {
        s.all_lost = true;
        ok = leave(&s, &why, err);
    } else if (!has) {
        mutex_lock(&store->lock); /* snapshots copy the list meanwhile */
        q->clean = store->deletions_made;
        mutex_unlock(&store->lock);
        ok = true;
    } else if (!repair(&s, &why)) {
        s.kept = (struct segment_info){0};
        s.all_lost = true;
        ok = leave(&s, &why, err);
    } else {
        ok = replace(&s, err);
    }
    if (s.segment)
        segment_put(&s.segment);
    return ok;
}

static bool is_due(const struct store *store, const struct quarantined *q)
{
    for (size_t i = 0; q->clean < store->deletions_made && i < store->n_deletions; i++)
        if (q->clean < store->deletions[i].number && may_cover(&store->deletions[i], q))
            return !q->mark;
    return false;
}

bool salvage_step(struct store *store, bool *did, bool *waits, struct err *err)
{
    *did = false;
    for (size_t i = 0; i < store->n_quarantined; i++) {
        struct quarantined *q = &store->quarantined[i];
        if (!is_due(store, q))
            continue;
        if (q->unread || skips_find(&store->maintenance.skips, q->t0, q->t1)) {
            *waits = true;
            continue;
        }
        *did = true;
        return salvage(store, q, err);
    }
    return true;
}
