#include "store/state/state_job.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "store/files.h"
#include "store/state/memtable.h"
#include "store/state/run_writer.h"
#include "store/state/state_merge.h"

/* Of maintenance, in which runs that could not be read are left alone: 4, 8, ... */
#define ROUNDS_MIN 4
#define DOUBLINGS  8

/* ---- drops ---- */

bool state_write_drops(struct state *state, struct manifest *manifest, struct err *err)
{
    for (;;) {
        mutex_lock(&state->mutex);
        struct state_drop d = {0};
        bool any = state->n_drops > 0;
        if (any)
            d = state->drops[0];
        uint64_t lsn = state->lsn;
        mutex_unlock(&state->mutex);
        if (!any)
            return true;
        struct manifest_run_edit runs = {
            .drop_generation = true, .table = d.table, .generation = d.generation};
        struct manifest_edit edit = {.runs = &runs, .committed_lsn = lsn};
        if (!manifest_apply(manifest, &edit, err))
            return false;
        for (size_t i = 0; i < d.view->n_runs; i++)
            run_doom(d.view->runs[i]);
        mutex_lock(&state->mutex);
        state->n_drops--;
        memmove(state->drops, state->drops + 1, state->n_drops * sizeof *state->drops);
        mutex_unlock(&state->mutex);
        state_view_unref(&d.view);
    }
}

/* ---- writing a run ---- */

static bool add_sources(
    const struct state_job *job, struct state_merge *merge, uint32_t *order, struct err *err)
{
    if (job->frozen) {
        memtable_order(job->frozen, order);
        state_merge_memtable(merge, job->frozen, order, job->frozen->n);
    }
    for (size_t i = 0; i < job->n_runs; i++)
        if (!state_merge_run(merge, job->view->runs[i], (struct hash128){0}, err))
            return false;
    return true;
}

static bool copy(struct state_merge *merge, bool oldest, struct run_writer *writer, struct err *err)
{
    struct state_entry e;
    for (bool end;;) {
        if (!state_merge_next(merge, &e, &end, err))
            return false;
        if (end)
            return true;
        /* A deletion hides what is older; there is nothing older. */
        if (e.deleted && oldest)
            continue;
        if (!run_writer_add(writer, e.key, e.deleted, e.record, err))
            return false;
    }
}

/* An empty name: nothing is left. */
static bool write_run(
    struct state *state, const struct state_job *job, char name[RUN_NAME_MAX], struct err *err)
{
    struct run_plan plan = {.table = job->name,
        .record_bytes = job->record_bytes,
        .level = job->level,
        .generation = job->generation,
        .lsn = job->lsn,
        .keys_max = job->keys_max};
    struct run_writer *writer = NULL;
    struct state_merge *merge = state_merge_new();
    uint32_t *order = job->frozen ? xcalloc(job->frozen->n, sizeof *order) : NULL;
    if (!state->dir_made)
        state->dir_made = dir_make(state->dir, err);
    bool ok = state->dir_made && run_writer_new(state->dir, &plan, &writer, err) &&
              add_sources(job, merge, order, err) &&
              copy(merge, job->n_runs == job->view->n_runs, writer, err) &&
              run_writer_finish(writer, name, err);
    run_writer_free(&writer);
    state_merge_free(&merge);
    free(order);
    return ok;
}

/* The view after the job: the new run is newer than those that are not merged. The caller holds the
 * mutex. */
static void install(
    struct state *state, struct generation *g, const struct state_job *job, struct run *run)
{
    const struct state_view *old = g->view;
    size_t n = 0;
    struct run **runs = xcalloc(old->n_runs + 1, sizeof *runs);
    if (run)
        runs[n++] = run;
    for (size_t i = job->n_runs; i < old->n_runs; i++)
        runs[n++] = old->runs[i];
    if (job->frozen)
        state->mem_bytes -= memtable_bytes(job->frozen);
    state_set_view(g, state_view_new(old->mem, job->frozen ? NULL : old->frozen, runs, n));
    if (job->n_runs)
        g->unread = 0;
    free(runs);
}

/* Whether the generation is still the one that the job began with; mutex held. */
static struct generation *still_there(const struct state *state, const struct state_job *job)
{
    struct generation *g = state_generation(state, job->table, job->generation);
    if (!g)
        return NULL;
    bool same = job->frozen ? g->view->frozen == job->frozen
                            : g->view->n_runs && g->view->runs[0] == job->view->runs[0];
    return same ? g : NULL;
}

static bool edit_manifest(
    struct manifest *manifest, const struct state_job *job, const char *name, struct err *err)
{
    const char **drops = xcalloc(job->n_runs + 1, sizeof *drops);
    struct manifest_run add = {.table = job->table, .generation = job->generation, .lsn = job->lsn};
    snprintf(add.name, sizeof add.name, "%s", name);
    for (size_t i = 0; i < job->n_runs; i++)
        drops[i] = run_info(job->view->runs[i])->name;
    struct manifest_run_edit runs = {
        .drops = drops, .n_drops = job->n_runs, .add = name[0] ? &add : NULL};
    struct manifest_edit edit = {.runs = &runs};
    bool ok = manifest_apply(manifest, &edit, err);
    free(drops);
    return ok;
}

/* Adds the run to the manifest, and puts it in the place of what it was made from. *used: it was.
 */
static bool adopt(struct state *state, struct manifest *manifest, const struct state_job *job,
    struct run *run, bool *used, struct err *err)
{
    if (!edit_manifest(manifest, job, run ? run_info(run)->name : "", err)) {
        *used = !manifest_works(manifest); /* nobody knows whether it is named */
        return false;
    }
    *used = true;
    mutex_lock(&state->mutex);
    struct generation *g = still_there(state, job);
    if (g)
        install(state, g, job, run);
    mutex_unlock(&state->mutex);
    for (size_t i = 0; i < job->n_runs; i++)
        run_doom(job->view->runs[i]);
    if (g)
        return true;
    /* It was dropped just now: the drop stands behind the new run in the manifest. */
    bool ok = state_write_drops(state, manifest, err);
    *used = !ok;
    return ok;
}

/*
 * Drops that wait are older than the new run, also when they are of its generation, which has begun
 * anew since: they go into the manifest first, or they would take the run away. A generation that
 * was dropped while its run was written has no use for it.
 */
bool state_job_run(
    struct state *state, struct manifest *manifest, const struct state_job *job, struct err *err)
{
    char name[RUN_NAME_MAX] = "";
    struct run *run = NULL;
    bool used = false;
    if (!write_run(state, job, name, err) || (name[0] && !run_open(state->dir, name, &run, err)))
        return false;
    bool ok = state_write_drops(state, manifest, err);
    mutex_lock(&state->mutex);
    bool there = still_there(state, job) != NULL;
    mutex_unlock(&state->mutex);
    if (ok && there)
        ok = adopt(state, manifest, job, run, &used, err);
    if (run && !used)
        run_doom(run);
    run_unref(&run);
    return ok;
}

void state_job_fill(
    const struct state *state, size_t table, const struct generation *g, struct state_job *job)
{
    const struct state_table *t = state->tables[table];
    job->table = (uint32_t)table;
    job->record_bytes = t->record_bytes;
    memcpy(job->name, t->name, sizeof job->name);
    job->generation = g->number;
    job->view = state_view_ref(g->view);
}

void state_job_merges(struct state_job *job, size_t n)
{
    job->n_runs = n;
    for (size_t i = 0; i < n; i++) {
        const struct run_info *info = run_info(job->view->runs[i]);
        job->keys_max += info->entries;
        if (info->level >= job->level)
            job->level = info->level + 1;
        if (info->lsn > job->lsn)
            job->lsn = info->lsn;
    }
}

bool state_is_left(const struct state *state, const struct generation *g)
{
    return g->damaged || g->until > state->rounds;
}

static void leave(const struct state *state, struct generation *g, bool damaged)
{
    unsigned n = g->unread < DOUBLINGS ? g->unread : DOUBLINGS;
    g->damaged = g->damaged || damaged;
    g->until = state->rounds + ((uint64_t)ROUNDS_MIN << n);
    g->unread++;
}

bool state_job_leave(struct state *state, const struct state_job *job, const struct err *why)
{
    bool damaged = why->code == ERR_CORRUPT, first = false;
    if (job->n_runs == 0 || (!damaged && !(why->code == ERR_IO && why->sys == EIO)))
        return false;
    mutex_lock(&state->mutex);
    struct generation *g = still_there(state, job);
    if (g) {
        first = g->unread == 0 || damaged;
        leave(state, g, damaged);
    }
    mutex_unlock(&state->mutex);
    if (first)
        log_error("state table %s, generation %" PRId64 ": runs are not merged %s: %s", job->name,
            job->generation, damaged ? "any more" : "for now", why->text);
    return true;
}
