/*
 * Purging: what was deleted from a table, or put over, goes from its files. See state.h.
 *
 * Every generation is flushed once and then merged into one run, in which nothing is left that a
 * newer entry hides; the oldest run keeps no deletions. One generation at a time does one of these.
 * One with a damaged run stays as it is; one that cannot be read now is purged later.
 */
#include "base/mem.h"
#include "base/thread.h"
#include "store/state/memtable.h"
#include "store/state/state.h"
#include "store/state/state_job.h"
#include "store/state/state_priv.h"
#include "store/store_priv.h"

bool store_state_purge(struct store *store, uint32_t table, struct err *err)
{
    struct state *state = &store->state;
    if (!replay_await(store, err))
        return false;
    mutex_lock(&store->seal);
    mutex_lock(&state->mutex);
    bool found = table < state->n_tables;
    for (size_t i = 0; found && i < state->tables[table]->n; i++)
        state->tables[table]->generations[i]->purge = PURGE_FLUSH;
    mutex_unlock(&state->mutex);
    store->purging = store->purging || (found && store->path);
    mutex_unlock(&store->seal);
    return found || err_set(err, ERR_NOT_FOUND, "no state table %u", (unsigned)table);
}

bool store_state_purging(struct store *store)
{
    if (!replay_await(store, NULL))
        return false;
    mutex_lock(&store->seal);
    bool purging = store->purging;
    mutex_unlock(&store->seal);
    return purging;
}

static bool is_due(const struct state *state, const struct generation *g)
{
    return g->purge == PURGE_FLUSH ||
           (g->purge == PURGE_MERGE && (g->damaged || !state_is_left(state, g)));
}

/* A generation that is to be purged, now or ever; NULL: none. The mutex is held. */
static struct generation *next(const struct state *state, bool now, size_t *table)
{
    for (*table = 0; *table < state->n_tables; ++*table)
        for (size_t i = 0; i < state->tables[*table]->n; i++) {
            struct generation *g = state->tables[*table]->generations[i];
            if (now ? is_due(state, g) : g->purge != PURGE_NONE)
                return g;
        }
    return NULL;
}

bool state_purges(struct state *state)
{
    size_t table;
    mutex_lock(&state->mutex);
    bool any = next(state, false, &table) != NULL;
    mutex_unlock(&state->mutex);
    return any;
}

/* What comes next for the generation, as a job; false: it was passed by, or is done. */
static bool plan(const struct state *state, size_t table, struct generation *g,
    struct state_job *job, enum purge *then)
{
    *job = (struct state_job){0};
    *then = PURGE_NONE;
    if (g->purge == PURGE_FLUSH) {
        /* A frozen one that an earlier attempt has left goes first. */
        *then = g->view->frozen && g->view->mem ? PURGE_FLUSH : PURGE_MERGE;
        if (!g->view->frozen && g->view->mem)
            state_freeze(state, g);
        job->lsn = g->frozen_lsn;
    }
    state_job_fill(state, table, g, job);
    if (g->purge == PURGE_FLUSH && job->view->frozen) {
        job->frozen = job->view->frozen;
        job->keys_max = job->frozen->n;
        return true;
    }
    if (g->purge == PURGE_MERGE && job->view->n_runs > 1 && !g->damaged) {
        state_job_merges(job, job->view->n_runs);
        return true;
    }
    g->purge = *then;
    state_view_unref(&job->view);
    return false;
}

bool state_purge_step(struct state *state, struct manifest *manifest, bool *did, struct err *err)
{
    struct state_job job;
    enum purge then = PURGE_NONE;
    struct generation *g;
    size_t table;
    *did = false;
    mutex_lock(&state->mutex);
    while (!*did && (g = next(state, true, &table)))
        *did = plan(state, table, g, &job, &then);
    mutex_unlock(&state->mutex);
    if (!*did)
        return true;
    struct err why = {0};
    bool ok = state_job_run(state, manifest, &job, &why);
    bool left = !ok && state_job_leave(state, &job, &why);
    mutex_lock(&state->mutex);
    g = state_generation(state, job.table, job.generation);
    if (g && g->purge != PURGE_NONE && (ok || (left && g->damaged)))
        g->purge = ok ? then : PURGE_NONE;
    mutex_unlock(&state->mutex);
    state_view_unref(&job.view);
    if (!ok && !left && err)
        *err = why;
    return ok || left;
}
