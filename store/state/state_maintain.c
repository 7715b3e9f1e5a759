/*
 * Flushing and merging. See state_priv.h.
 *
 * The runs of a generation are ordered by age, and only the newest ones are merged with one
 * another, so the order never changes: when the MERGE_RUNS newest or more are of similar size (each
 * at most SIMILAR times the largest of those that are newer), they become one. A key is rewritten
 * about once per power of four between the size of a flush and that of its generation. RUNS_MERGED
 * runs become one whatever their sizes. A generation that nothing was flushed to for QUIET_ROUNDS
 * rounds of flushing ends as one run.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "store/files.h"
#include "store/state/memtable.h"
#include "store/state/run_writer.h"
#include "store/state/state.h"
#include "store/state/state_merge.h"
#include "store/state/state_priv.h"

#define MERGE_RUNS   4
#define SIMILAR      3
#define RUNS_MERGED  16
#define QUIET_ROUNDS 4
/* Runs of one generation past which the writer helps. */
#define RUNS_MAX 32

/* ---- drops ---- */

static bool write_drops(struct state *state, struct manifest *manifest, struct err *err)
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

struct job {
    uint32_t table, record_bytes, level;
    char name[STATE_TABLE_NAME_MAX + 1];
    int64_t generation;
    uint64_t lsn, keys_max;
    struct state_view *view; /* as it was when the job began */
    size_t n_runs;           /* of it that are merged; 0: frozen is flushed */
    struct memtable *frozen; /* borrowed from the view */
};

static bool add_sources(
    const struct job *job, struct state_merge *merge, uint32_t *order, struct err *err)
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
    struct state *state, const struct job *job, char name[RUN_NAME_MAX], struct err *err)
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
    struct state *state, struct generation *g, const struct job *job, struct run *run)
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
    free(runs);
}

/* Whether the generation is still the one that the job began with; mutex held. */
static struct generation *still_there(const struct state *state, const struct job *job)
{
    struct generation *g = state_generation(state, job->table, job->generation);
    if (!g)
        return NULL;
    bool same = job->frozen ? g->view->frozen == job->frozen
                            : g->view->n_runs && g->view->runs[0] == job->view->runs[0];
    return same ? g : NULL;
}

static bool edit_manifest(
    struct manifest *manifest, const struct job *job, const char *name, struct err *err)
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
static bool adopt(struct state *state, struct manifest *manifest, const struct job *job,
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
    bool ok = write_drops(state, manifest, err);
    *used = !ok;
    return ok;
}

/*
 * Drops that wait are older than the new run, also when they are of its generation, which has begun
 * anew since: they go into the manifest first, or they would take the run away. A generation that
 * was dropped while its run was written has no use for it.
 */
static bool run_job(
    struct state *state, struct manifest *manifest, const struct job *job, struct err *err)
{
    char name[RUN_NAME_MAX] = "";
    struct run *run = NULL;
    bool used = false;
    if (!write_run(state, job, name, err) || (name[0] && !run_open(state->dir, name, &run, err)))
        return false;
    bool ok = write_drops(state, manifest, err);
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

static void fill_job(
    const struct state *state, size_t table, const struct generation *g, struct job *job)
{
    const struct state_table *t = state->tables[table];
    job->table = (uint32_t)table;
    job->record_bytes = t->record_bytes;
    memcpy(job->name, t->name, sizeof job->name);
    job->generation = g->number;
    job->view = state_view_ref(g->view);
}

/* ---- flushing ---- */

/* Freezes the largest memtable, when more than keep bytes are in memtables. A frozen one that an
 * earlier attempt has left goes first. */
static bool next_flush(struct state *state, size_t keep, struct job *job)
{
    struct generation *best = NULL;
    size_t best_table = 0, best_bytes = 0;
    mutex_lock(&state->mutex);
    for (size_t i = 0; i < state->n_tables; i++)
        for (size_t k = 0; k < state->tables[i]->n; k++) {
            struct generation *g = state->tables[i]->generations[k];
            size_t bytes = g->view->frozen ? SIZE_MAX
                           : g->view->mem  ? memtable_bytes(g->view->mem)
                                           : 0;
            if (bytes > best_bytes) {
                best = g;
                best_table = i;
                best_bytes = bytes;
            }
        }
    bool due = best && (state->mem_bytes > keep || best->view->frozen);
    if (due && !best->view->frozen) {
        const struct state_view *v = best->view;
        state_set_view(best, state_view_new(NULL, v->mem, v->runs, v->n_runs));
        best->frozen_lsn = state->lsn;
        best->quiet = 0;
    }
    if (due) {
        *job = (struct job){.lsn = best->frozen_lsn};
        fill_job(state, best_table, best, job);
        job->frozen = job->view->frozen;
        job->keys_max = job->frozen->n;
    }
    mutex_unlock(&state->mutex);
    return due;
}

static void count_round(struct state *state)
{
    mutex_lock(&state->mutex);
    for (size_t i = 0; i < state->n_tables; i++)
        for (size_t k = 0; k < state->tables[i]->n; k++)
            state->tables[i]->generations[k]->quiet++;
    mutex_unlock(&state->mutex);
}

bool state_flush(struct state *state, struct manifest *manifest, size_t keep, struct err *err)
{
    struct job job;
    if (!state->dir)
        return true;
    bool ok = write_drops(state, manifest, err);
    count_round(state);
    while (ok && next_flush(state, keep, &job)) {
        ok = run_job(state, manifest, &job, err);
        state_view_unref(&job.view);
    }
    return ok;
}

/* ---- merging ---- */

/* How many of the newest runs become one now; 0: none. */
static size_t merge_width(const struct generation *g)
{
    const struct state_view *v = g->view;
    uint64_t largest = 0;
    size_t n = 0;
    if (v->n_runs >= RUNS_MERGED || (g->quiet >= QUIET_ROUNDS && v->n_runs > 1))
        return v->n_runs;
    for (; n < v->n_runs; n++) {
        uint64_t bytes = run_info(v->runs[n])->bytes;
        if (n && bytes > largest * SIMILAR)
            break;
        if (bytes > largest)
            largest = bytes;
    }
    return n >= MERGE_RUNS ? n : 0;
}

/* The generation with the most runs of those where merging is due. */
static bool next_merge(struct state *state, struct job *job)
{
    const struct generation *best = NULL;
    size_t best_table = 0, width = 0;
    mutex_lock(&state->mutex);
    state->runs_most = 0;
    for (size_t i = 0; i < state->n_tables; i++)
        for (size_t k = 0; k < state->tables[i]->n; k++) {
            const struct generation *g = state->tables[i]->generations[k];
            size_t n = g->damaged ? 0 : merge_width(g);
            if (g->view->n_runs > state->runs_most && !g->damaged)
                state->runs_most = g->view->n_runs;
            if (n && (!best || g->view->n_runs > best->view->n_runs)) {
                best = g;
                best_table = i;
                width = n;
            }
        }
    if (best) {
        *job = (struct job){.n_runs = width};
        fill_job(state, best_table, best, job);
    }
    mutex_unlock(&state->mutex);
    for (size_t i = 0; best && i < width; i++) {
        const struct run_info *info = run_info(job->view->runs[i]);
        job->keys_max += info->entries;
        if (info->level >= job->level)
            job->level = info->level + 1;
        if (info->lsn > job->lsn)
            job->lsn = info->lsn;
    }
    return best != NULL;
}

/* A run of the generation is damaged: its runs are not merged any more, and the rest goes on.
 * Lookups of keys in the damaged page fail; `larder verify --repair` drops that page. */
static void leave_alone(struct state *state, const struct job *job, const struct err *why)
{
    mutex_lock(&state->mutex);
    struct generation *g = still_there(state, job);
    if (g)
        g->damaged = true;
    mutex_unlock(&state->mutex);
    log_error("state table %s, generation %" PRId64 ": runs are not merged any more: %s", job->name,
        job->generation, why->text);
}

bool state_step(struct state *state, struct manifest *manifest, bool *did, struct err *err)
{
    struct job job;
    *did = false;
    if (!state->dir)
        return true;
    mutex_lock(&state->mutex);
    bool drops = state->n_drops > 0, over = state->mem_bytes > state->limit_bytes;
    mutex_unlock(&state->mutex);
    *did = drops || over;
    if (over)
        return state_flush(state, manifest, state->limit_bytes / 2, err);
    if (drops)
        return write_drops(state, manifest, err);
    if (!next_merge(state, &job))
        return true;
    *did = true;
    bool ok = run_job(state, manifest, &job, err);
    if (!ok && err->code == ERR_CORRUPT) {
        leave_alone(state, &job, err);
        ok = true;
    }
    state_view_unref(&job.view);
    return ok;
}

bool state_behind(struct state *state)
{
    mutex_lock(&state->mutex);
    bool behind =
        state->dir && (state->mem_bytes > 2 * state->limit_bytes || state->runs_most > RUNS_MAX);
    mutex_unlock(&state->mutex);
    return behind;
}
