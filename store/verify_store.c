#include "store/verify_store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/files.h"
#include "store/folder_lock.h"
#include "store/heirs.h"
#include "store/manifest.h"
#include "store/mark.h"
#include "store/put_away.h"
#include "store/quarantine.h"
#include "store/state/run_repair.h"
#include "store/store.h"

struct verification {
    char segments[PATH_BYTES], runs[PATH_BYTES], damaged[PATH_BYTES];
    enum verify_mode mode;
    const struct verify_watch *watch;
    struct verify_result *out;
    struct manifest manifest;
    int lock_fd;
    struct err run_why; /* of the first run that is damaged: a start says the same */
};

static void report(struct verification *v, const struct err *why)
{
    v->out->damaged++;
    if (v->watch->damaged)
        v->watch->damaged(v->watch->ctx, why);
}

/* Damage is a finding; false for what says nothing about the file, such as no memory for it. */
static bool is_finding(const struct err *why)
{
    return why->code == ERR_CORRUPT || why->code == ERR_IO || why->code == ERR_UNSUPPORTED;
}

/* Of a file that does not open: that nothing of it can be read now. */
static bool may_pass(const struct err *why)
{
    return why->code == ERR_IO && why->sys != ENOENT;
}

static bool is_absent(const struct err *why)
{
    return why->code == ERR_IO && why->sys == ENOENT;
}

/* It is left, wherever it is. */
static void tell_absent(struct verification *v, const struct err *why)
{
    v->out->absent++;
    if (v->watch->absent)
        v->watch->absent(v->watch->ctx, why);
}

/* ---- what a start reads ---- */

static bool try_start(struct verification *v, const char *folder, struct err *err)
{
    struct store_options options = {.path = folder, .inspect = true};
    struct store *store;
    struct store_stats stats;
    v->out->starts = store_open(&options, &store, err);
    if (v->out->starts) {
        store_stats(store, &stats);
        v->out->lsn = stats.lsn;
        store_close(&store);
        return true;
    }
    if (!is_finding(err))
        return false;
    if (strcmp(err->text, v->run_why.text) != 0)
        report(v, err);
    return true;
}

/* ---- setting right ---- */

static bool discard(const char *dir, const char *name, struct err *err)
{
    char path[PATH_BYTES];
    return path_join(path, dir, name, err) && file_remove(path, err) && dir_sync(dir, err);
}

/* Another name of the damaged file, under FOLDER/damaged, before the manifest names it no more:
 * whatever happens then, it is not swept away. A file system that knows no links has only the
 * moment of put_away. */
static bool hold(struct verification *v, const char *dir, const char *name, struct err *err)
{
    char from[PATH_BYTES], to[PATH_BYTES];
    if (v->mode & VERIFY_DISCARD)
        return true;
    if (!dir_make(v->damaged, err) || !path_join(from, dir, name, err) ||
        !path_join(to, v->damaged, name, err))
        return false;
    if (access(from, F_OK) != 0)
        return errno == ENOENT || err_sys(err, "cannot find %s", from);
    if (!file_remove(to, err))
        return false;
    if (link(from, to) != 0 && errno != EPERM && errno != EOPNOTSUPP && errno != EMLINK)
        return err_sys(err, "cannot link %s to %s", from, to);
    return dir_sync(v->damaged, err);
}

/* Takes the damaged file from where it was; it is kept under FOLDER/damaged, or not at all. */
static bool put_away(struct verification *v, const char *dir, const char *name, struct err *err)
{
    char from[PATH_BYTES], to[PATH_BYTES];
    if (v->mode & VERIFY_DISCARD)
        return discard(dir, name, err);
    if (!path_join(from, dir, name, err) || !path_join(to, v->damaged, name, err))
        return false;
    if (rename(from, to) != 0 && errno != ENOENT)
        return err_sys(err, "cannot move %s to %s", from, to);
    /* Two names of one file stay two. */
    return file_remove(from, err) && dir_sync(v->damaged, err) && dir_sync(dir, err);
}

static void tell_left(struct verification *v, const char *name, const char *absent)
{
    if (v->watch->left)
        v->watch->left(v->watch->ctx, name, absent);
}

static void tell_repaired(struct verification *v, const char *name, const char *by, bool anew)
{
    v->out->repaired++;
    if (v->watch->repaired)
        v->watch->repaired(v->watch->ctx, name, by, anew);
}

/* A new file of the manifest is begun with the first edit. */
static bool edit(struct verification *v, const struct manifest_edit *edit, struct err *err)
{
    return (manifest_works(&v->manifest) || manifest_begin(&v->manifest, err)) &&
           manifest_apply(&v->manifest, edit, err);
}

static void no_loss(void *ctx, const struct segment *segment, const struct segment_loss *loss)
{
    (void)ctx, (void)segment, (void)loss;
}

struct losing {
    struct verification *v;
    const struct segment *segment;
};

static void lose(void *ctx, const struct segment_loss *loss)
{
    const struct losing *l = ctx;
    const struct verify_watch *w = l->v->watch;
    (w->lost_cells ? w->lost_cells : no_loss)(w->ctx, l->segment, loss);
}

/* What can be read becomes a segment of its own. segment NULL: it does not open, so nothing can. */
static bool write_rest(struct verification *v, const struct segment *segment, bool set_aside,
    struct segment_repaired *made, struct err *err)
{
    struct losing losing = {v, segment};
    const struct segment_repair_how how = {
        .lost = lose, .ctx = &losing, .without_ids = set_aside, .disk_errors = true};
    *made = (struct segment_repaired){0};
    if (!segment || segment_repair(segment, v->segments, &how, made, err))
        return true;
    *made = (struct segment_repaired){0};
    return err->code == ERR_CORRUPT || err->code == ERR_UNSUPPORTED;
}

/* A raw segment of which nothing is left, beside no other: what was derived of it is kept. *done
 * false: it is another sort. */
static bool keep_heirs(
    struct verification *v, const struct manifest_segment *old, bool *done, struct err *err)
{
    struct manifest_segment *adds = xcalloc(v->manifest.n_segments, sizeof *adds);
    const char **drops = xcalloc(v->manifest.n_segments + 1, sizeof *drops);
    struct manifest_edit kept = {.drops = drops, .n_drops = 1, .adds = adds};
    kept.n_adds = heirs_of(&v->manifest, old, adds);
    drops[0] = old->name;
    for (size_t i = 0; i < kept.n_adds; i++)
        drops[kept.n_drops++] = adds[i].name;
    *done = kept.n_adds > 0;
    bool ok = !*done || edit(v, &kept, err);
    free(adds);
    free(drops);
    return ok;
}

/* One edit, in which what was derived of a raw segment goes on holding: a mark says that there was
 * more than what is left. *any: something was. */
static bool replace_with(struct verification *v, const struct manifest_segment *old,
    const struct manifest_segment *add, bool lossy, bool *any, struct err *err)
{
    struct manifest_segment adds[2];
    struct manifest_edit change = {
        .drops = (const char *[]){old->name}, .n_drops = 1, .adds = adds};
    struct heirs heirs;
    if (add)
        adds[change.n_adds++] = *add;
    if (lossy) {
        adds[change.n_adds] = (struct manifest_segment){.lsn = old->lsn};
        mark_gone(old->name, adds[change.n_adds].name);
        change.quarantine = adds[change.n_adds++].name;
    }
    heirs_init(&heirs, &v->manifest, &change);
    *any = heirs.edit.n_adds > change.n_adds;
    bool ok = (lossy && !*any) || edit(v, &heirs.edit, err);
    heirs_fini(&heirs);
    return ok;
}

/* add NULL: nothing takes its place but heirs. */
static bool replace_segment(struct verification *v, const struct manifest_segment *old,
    const struct manifest_segment *add, bool lossy, struct err *err)
{
    bool done = false;
    if (!add && !keep_heirs(v, old, &done, err))
        return false;
    if (!done && lossy && !old->derived && !replace_with(v, old, add, true, &done, err))
        return false;
    return done || replace_with(v, old, add, false, &done, err);
}

/* The first of the raw segments of a derived one that is not in the folder, NULL when all are:
 * without it nobody makes the same cells again. */
static bool find_absent_input(struct verification *v, const struct manifest_segment *derived,
    const char **absent, struct err *err)
{
    const struct manifest *m = &v->manifest;
    char path[PATH_BYTES];
    *absent = NULL;
    for (size_t i = 0; i < m->n_segments && !*absent; i++) {
        const char *name = m->segments[i].name;
        if (!heirs_is_input(&m->segments[i], derived))
            continue;
        if (!path_join(path, v->segments, name, err))
            return false;
        if (access(path, F_OK) != 0)
            *absent = name;
    }
    return true;
}

static bool repair_segment(struct verification *v, const struct segment *segment,
    const struct manifest_segment *old, bool set_aside, struct err *err)
{
    struct manifest_segment add = *old;
    struct segment_repaired made = {0};
    const char *absent = NULL;
    bool anew = heirs_can_be_made(&v->manifest, old);
    if (anew && !find_absent_input(v, old, &absent, err))
        return false;
    if (absent) {
        tell_left(v, old->name, absent);
        return true;
    }
    if (!anew && !write_rest(v, segment, set_aside, &made, err))
        return false;
    bool kept = made.info.series > 0;
    bool lossy = !kept || made.lost_series || made.lost_chunks || made.lost_cells;
    if (kept)
        snprintf(add.name, sizeof add.name, "%s", made.info.name);
    bool same = kept && strcmp(add.name, old->name) == 0;
    if ((!same && !hold(v, v->segments, old->name, err)) ||
        !replace_segment(v, old, kept ? &add : NULL, lossy, err) ||
        (!same && !put_away(v, v->segments, old->name, err)))
        return false;
    tell_repaired(v, old->name, kept ? add.name : NULL, anew);
    return true;
}

static bool repair_run(struct verification *v, const struct manifest_run *old, struct err *err)
{
    struct run_repaired made;
    struct manifest_run add = *old;
    const char *drops[1] = {old->name};
    if (!run_repair(v->runs, old->name, &made, err) && !is_finding(err))
        return false;
    bool kept = made.name[0] != 0;
    if (kept)
        snprintf(add.name, sizeof add.name, "%s", made.name);
    struct manifest_run_edit runs = {.drops = drops, .n_drops = 1, .add = kept ? &add : NULL};
    bool same = kept && strcmp(add.name, old->name) == 0;
    if ((!same && !hold(v, v->runs, old->name, err)) ||
        !edit(v, &(struct manifest_edit){.runs = &runs}, err) ||
        (!same && !put_away(v, v->runs, old->name, err)))
        return false;
    if (v->watch->lost_keys)
        v->watch->lost_keys(v->watch->ctx, old->name, made.lost_entries, made.entries);
    tell_repaired(v, old->name, kept ? add.name : NULL, false);
    return true;
}

/* ---- looking ---- */

/* There is no file: what it stood for was lost when something of it was deleted. */
static bool check_mark(
    struct verification *v, const struct manifest_segment *named, struct err *err)
{
    int64_t t0 = INT64_MIN, t1 = INT64_MAX;
    struct err why = {0};
    if (!mark_is_lost(named->name))
        return true; /* somebody knows */
    segment_name_times(named->name, &t0, &t1);
    err_set(&why, ERR_CORRUPT,
        "%s is a mark: cells from %" PRId64 " to %" PRId64
        " ms were in a damaged file that is gone, since something of it was deleted",
        named->name, t0, t1);
    report(v, &why);
    return v->mode == VERIFY_ONLY || repair_segment(v, NULL, named, true, err);
}

static bool check_segment(
    struct verification *v, const struct manifest_segment *named, bool set_aside, struct err *err)
{
    struct segment *segment = NULL;
    char path[PATH_BYTES];
    struct err why = {0};
    bool ok = path_join(path, v->segments, named->name, err);
    if (!ok)
        return false;
    if (set_aside && mark_is(named->name))
        return check_mark(v, named, err);
    bool whole = segment_open(path, NULL, &segment, &why) && segment_verify(segment, &why);
    if (whole && !set_aside) {
        v->out->segments++;
        v->out->series += segment_info(segment)->series;
        v->out->cells += segment_info(segment)->cells;
    } else if (!whole && is_absent(&why) && !(v->mode & VERIFY_GIVE_UP)) {
        tell_absent(v, &why);
    } else if (!whole && !is_finding(&why)) {
        *err = why;
        ok = false;
    } else {
        if (whole)
            err_set(&why, ERR_CORRUPT, "%s is whole, and was set aside when it was not", path);
        report(v, &why);
        if (v->mode != VERIFY_ONLY && !segment)
            segment_open_damaged(path, named->derived ? -1 : 0, &segment, &why, &(struct err){0});
        if (v->mode != VERIFY_ONLY && !segment && !whole && may_pass(&why)) {
            *err = why; /* it says nothing of what is in the file */
            return false;
        }
        ok = v->mode == VERIFY_ONLY || repair_segment(v, segment, named, set_aside, err);
    }
    segment_put(&segment);
    return ok;
}

static bool check_run(struct verification *v, const struct manifest_run *named, struct err *err)
{
    struct run *run = NULL;
    struct err why = {0};
    bool ok = true;
    if (run_open(v->runs, named->name, &run, &why) && run_verify(run, &why)) {
        v->out->runs++;
        v->out->keys += run_info(run)->entries;
    } else if (!is_finding(&why)) {
        *err = why;
        ok = false;
    } else {
        report(v, &why);
        if (v->run_why.code == ERR_OK)
            v->run_why = why;
        ok = v->mode == VERIFY_ONLY || repair_run(v, named, err);
    }
    run_unref(&run);
    return ok;
}

/* A repair before may have changed it: it is kept, say. */
static bool check_named(struct verification *v, const char *name, bool set_aside, struct err *err)
{
    const struct manifest *m = &v->manifest;
    const struct manifest_segment *all = set_aside ? m->quarantined : m->segments;
    struct manifest_segment named;
    for (size_t i = 0; i < (set_aside ? m->n_quarantined : m->n_segments); i++) {
        if (strcmp(all[i].name, name) != 0)
            continue;
        named = all[i];
        return check_segment(v, &named, set_aside, err);
    }
    return true;
}

/* Repairs change the manifest's lists, so the names are walked through as they were. */
static bool check_files(struct verification *v, struct err *err)
{
    const struct manifest *m = &v->manifest;
    size_t n = m->n_segments, n_aside = m->n_quarantined, n_runs = m->runs.n, done = 0;
    struct manifest_segment *segments = xcalloc(n + n_aside, sizeof *segments);
    struct manifest_run *runs = xcalloc(n_runs, sizeof *runs);
    for (size_t i = 0; i < n + n_aside; i++)
        segments[i] = i < n ? m->segments[i] : m->quarantined[i - n];
    for (size_t i = 0; i < n_runs; i++)
        runs[i] = m->runs.items[i];
    bool ok = true;
    for (size_t i = 0; ok && i < n + n_aside + n_runs; i++) {
        if (v->watch->progress)
            v->watch->progress(v->watch->ctx, done++, n + n_aside + n_runs);
        ok = i < n + n_aside ? check_named(v, segments[i].name, i >= n, err)
                             : check_run(v, &runs[i - n - n_aside], err);
    }
    free(segments);
    free(runs);
    return ok;
}

bool store_verify(const char *folder, enum verify_mode mode, const struct verify_watch *watch,
    struct verify_result *out, struct err *err)
{
    static const struct verify_watch nobody;
    struct verification v = {
        .mode = mode, .watch = watch ? watch : &nobody, .out = out, .lock_fd = -1};
    char current[PATH_BYTES];
    *out = (struct verify_result){0};
    v.manifest.fd = -1;
    if (!path_join(current, folder, "CURRENT", err) || !path_join(v.segments, folder, "seg", err) ||
        !path_join(v.runs, folder, "state", err) ||
        !path_join(v.damaged, folder, PUT_AWAY_FOLDER, err))
        return false;
    if (access(current, R_OK) != 0)
        return err_set(err, ERR_NOT_FOUND, "%s holds no store: there is no %s", folder, current);
    bool ok = folder_lock(folder, &v.lock_fd, err) && manifest_open(folder, 0, &v.manifest, err) &&
              check_files(&v, err) && (!(mode & VERIFY_DISCARD) || put_away_discard(folder, err)) &&
              put_away_count(folder, &out->put_away, err);
    manifest_close(&v.manifest);
    if (v.lock_fd >= 0)
        close(v.lock_fd);
    return ok && try_start(&v, folder, err);
}
