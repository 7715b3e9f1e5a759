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
#include "base/mem.h"
#include "base/thread.h"
#include "store/state/memtable.h"
#include "store/state/state_job.h"
#include "store/state/state_priv.h"

#define MERGE_RUNS   4
#define SIMILAR      3
#define RUNS_MERGED  16
#define QUIET_ROUNDS 4
/* Runs of one generation past which the writer helps. */
#define RUNS_MAX 32

/* ---- flushing ---- */

void state_freeze(const struct state *state, struct generation *generation)
{
    const struct state_view *v = generation->view;
    state_set_view(generation, state_view_new(NULL, v->mem, v->runs, v->n_runs));
    generation->frozen_lsn = state->lsn;
    generation->quiet = 0;
}

/* Freezes the largest memtable, when more than keep bytes are in memtables. A frozen one that an
 * earlier attempt has left goes first. */
static bool next_flush(struct state *state, size_t keep, struct state_job *job)
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
    if (due && !best->view->frozen)
        state_freeze(state, best);
    if (due) {
        *job = (struct state_job){.lsn = best->frozen_lsn};
        state_job_fill(state, best_table, best, job);
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
    struct state_job job;
    if (!state->dir)
        return true;
    bool ok = state_write_drops(state, manifest, err);
    count_round(state);
    while (ok && next_flush(state, keep, &job)) {
        ok = state_job_run(state, manifest, &job, err);
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
static bool next_merge(struct state *state, struct state_job *job)
{
    const struct generation *best = NULL;
    size_t best_table = 0, width = 0;
    mutex_lock(&state->mutex);
    state->runs_most = 0;
    for (size_t i = 0; i < state->n_tables; i++)
        for (size_t k = 0; k < state->tables[i]->n; k++) {
            const struct generation *g = state->tables[i]->generations[k];
            bool left = state_is_left(state, g);
            size_t n = left ? 0 : merge_width(g);
            if (g->view->n_runs > state->runs_most && !left)
                state->runs_most = g->view->n_runs;
            if (n && (!best || g->view->n_runs > best->view->n_runs)) {
                best = g;
                best_table = i;
                width = n;
            }
        }
    if (best) {
        *job = (struct state_job){0};
        state_job_fill(state, best_table, best, job);
    }
    mutex_unlock(&state->mutex);
    if (best)
        state_job_merges(job, width);
    return best != NULL;
}

/* Of memtables; mutex held. */
static size_t memtables_max(const struct state *state)
{
    size_t others = state->run_bytes / 2, least = state->limit_bytes / 4;
    return others + least < state->limit_bytes ? state->limit_bytes - others : least;
}

static size_t run_bytes(const struct state *state)
{
    size_t bytes = 0;
    for (size_t i = 0; i < state->n_tables; i++)
        for (size_t k = 0; k < state->tables[i]->n; k++) {
            const struct state_view *v = state->tables[i]->generations[k]->view;
            for (size_t r = 0; r < v->n_runs; r++)
                bytes += run_memory(v->runs[r]);
        }
    return bytes;
}

bool state_step(struct state *state, struct manifest *manifest, bool *did, struct err *err)
{
    struct state_job job;
    size_t cache = run_cache_bytes(&state->cache);
    *did = false;
    if (!state->dir)
        return true;
    mutex_lock(&state->mutex);
    state->run_bytes = run_bytes(state) + cache;
    size_t max = memtables_max(state);
    bool drops = state->n_drops > 0, over = state->mem_bytes > max;
    mutex_unlock(&state->mutex);
    *did = drops || over;
    if (over)
        return state_flush(state, manifest, max / 2, err);
    if (drops)
        return state_write_drops(state, manifest, err);
    if (!state_purge_step(state, manifest, did, err))
        return false;
    if (*did || !next_merge(state, &job))
        return true;
    *did = true;
    struct err why = {0};
    bool ok = state_job_run(state, manifest, &job, &why) || state_job_leave(state, &job, &why);
    if (!ok && err)
        *err = why;
    state_view_unref(&job.view);
    return ok;
}

void state_end_round(struct state *state)
{
    mutex_lock(&state->mutex);
    state->rounds++;
    mutex_unlock(&state->mutex);
}

bool state_behind(struct state *state)
{
    mutex_lock(&state->mutex);
    bool behind =
        state->dir && (state->mem_bytes > 2 * memtables_max(state) || state->runs_most > RUNS_MAX);
    mutex_unlock(&state->mutex);
    return behind;
}
