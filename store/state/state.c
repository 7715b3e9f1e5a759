/*
 * The tables and their generations; opening and closing. See state.h and state_priv.h.
 */
#include "store/state/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "base/thread.h"
#include "store/files.h"
#include "store/state/memtable.h"
#include "store/state/state_priv.h"

#define STATE_DIR "state"
/* Of the limit, for pages that were read. */
#define CACHE_PART 4

void state_init(struct state *state, const char *path, size_t limit_bytes)
{
    *state = (struct state){.limit_bytes = limit_bytes ? limit_bytes : STATE_BYTES};
    mutex_init(&state->mutex);
    run_cache_init(&state->cache, state->limit_bytes / CACHE_PART);
    if (path) {
        size_t len = strlen(path) + sizeof STATE_DIR + 1;
        state->dir = xmalloc(len);
        snprintf(state->dir, len, "%s/" STATE_DIR, path);
    }
}

static void table_free(struct state_table *t)
{
    for (size_t i = 0; i < t->n; i++) {
        state_view_unref(&t->generations[i]->view);
        free(t->generations[i]);
    }
    free(t->generations);
    free(t);
}

void state_fini(struct state *state)
{
    for (size_t i = 0; i < state->n_tables; i++)
        table_free(state->tables[i]);
    for (size_t i = 0; i < state->n_drops; i++)
        state_view_unref(&state->drops[i].view);
    free(state->tables);
    free(state->drops);
    free(state->dir);
    run_cache_fini(&state->cache);
    pthread_mutex_destroy(&state->mutex);
}

/* ---- tables and generations ---- */

struct state_table *state_add_table(struct state *state, uint32_t id)
{
    while (state->n_tables <= id) {
        GROW(state->tables, state->tables_cap, state->n_tables + 1);
        state->tables[state->n_tables++] = xcalloc(1, sizeof **state->tables);
    }
    return state->tables[id];
}

/* Where the generation is, or would be. */
static size_t place_of(const struct state_table *t, int64_t number)
{
    size_t lo = 0, hi = t->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (t->generations[mid]->number < number)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct generation *state_generation(const struct state *state, uint32_t table, int64_t generation)
{
    if (table >= state->n_tables)
        return NULL;
    const struct state_table *t = state->tables[table];
    size_t i = place_of(t, generation);
    return i < t->n && t->generations[i]->number == generation ? t->generations[i] : NULL;
}

struct generation *state_add_generation(struct state_table *t, int64_t number)
{
    size_t i = place_of(t, number);
    if (i < t->n && t->generations[i]->number == number)
        return t->generations[i];
    struct generation *g = xcalloc(1, sizeof *g);
    g->number = number;
    g->view = state_view_new(NULL, NULL, NULL, 0);
    GROW(t->generations, t->cap, t->n + 1);
    memmove(&t->generations[i + 1], &t->generations[i], (t->n - i) * sizeof *t->generations);
    t->generations[i] = g;
    t->n++;
    return g;
}

void state_set_view(struct generation *generation, struct state_view *view_take)
{
    state_view_unref(&generation->view);
    generation->view = view_take;
}

/* ---- opening ---- */

/* Newest first. */
static void insert_run(struct generation *g, struct run *run)
{
    const struct state_view *old = g->view;
    size_t n = old->n_runs, at = 0;
    struct run **runs = xcalloc(n + 1, sizeof *runs);
    while (at < n && run_info(old->runs[at])->lsn > run_info(run)->lsn)
        at++;
    memcpy(runs, old->runs, at * sizeof *runs);
    runs[at] = run;
    memcpy(runs + at + 1, old->runs + at, (n - at) * sizeof *runs);
    state_set_view(g, state_view_new(NULL, NULL, runs, n + 1));
    free(runs);
}

static bool fits_table(struct state_table *t, const struct run *run, struct err *err)
{
    const struct run_info *info = run_info(run);
    if (!t->name[0]) {
        snprintf(t->name, sizeof t->name, "%s", info->table);
        t->record_bytes = info->record_bytes;
    }
    if (strcmp(t->name, info->table) != 0 || t->record_bytes != info->record_bytes)
        return err_set(err, ERR_CORRUPT,
            "%s is of state table %s with records of %" PRIu32
            " bytes, other runs are of %s with %" PRIu32,
            run_path(run), info->table, info->record_bytes, t->name, t->record_bytes);
    return true;
}

static bool load_run(struct state *state, const struct manifest_run *named, struct err *err)
{
    struct run *run;
    if (named->table >= STATE_TABLES_MAX)
        return err_set(err, ERR_CORRUPT,
            "the manifest names a run of state table %" PRIu32 ": there are at most %d",
            named->table, STATE_TABLES_MAX);
    if (!run_open(state->dir, named->name, &run, err))
        return false;
    struct state_table *t = state_add_table(state, named->table);
    bool ok = fits_table(t, run, err);
    if (ok && (run_info(run)->generation != named->generation || run_info(run)->lsn != named->lsn))
        ok = err_set(err, ERR_CORRUPT, "%s is of another generation or LSN than the manifest says",
            run_path(run));
    if (ok)
        insert_run(state_add_generation(t, named->generation), run);
    run_unref(&run); /* the view has its own */
    return ok;
}

bool state_load(struct state *state, const struct manifest *manifest, struct err *err)
{
    for (size_t i = 0; i < manifest->runs.n; i++)
        if (!load_run(state, &manifest->runs.items[i], err))
            return false;
    return true;
}

bool state_loaded(struct state *state, uint64_t last_lsn, struct err *err)
{
    for (size_t i = 0; i < state->n_tables; i++) {
        const struct state_table *t = state->tables[i];
        if (!t->defined)
            return err_set(err, ERR_CORRUPT,
                "%s holds runs of state table %zu, which neither checkpoint nor log define",
                state->dir, i);
        for (size_t k = 0; k < t->n; k++) {
            const struct state_view *v = t->generations[k]->view;
            if (v->n_runs && run_info(v->runs[0])->lsn > last_lsn)
                return err_set(err, ERR_CORRUPT,
                    "%s holds changes up to LSN %" PRIu64 ", and the log ends at %" PRIu64,
                    run_path(v->runs[0]), run_info(v->runs[0])->lsn, last_lsn);
        }
    }
    return true;
}

struct sweep {
    const struct state *state;
    const struct manifest *manifest;
};

static bool sweep_file(void *ctx, const char *name, struct err *err)
{
    const struct sweep *s = ctx;
    char path[PATH_BYTES];
    return manifest_runs_name(&s->manifest->runs, name) ||
           (path_join(path, s->state->dir, name, err) && file_remove(path, err));
}

bool state_sweep(struct state *state, const struct manifest *manifest, struct err *err)
{
    struct sweep sweep = {state, manifest};
    struct stat st;
    if (stat(state->dir, &st) != 0)
        return true; /* made with the first run */
    return dir_each(state->dir, sweep_file, &sweep, err);
}

/* ---- figures ---- */

static void add_view(const struct state_view *v, struct state_stats *out)
{
    out->keys += (v->mem ? v->mem->n : 0) + (v->frozen ? v->frozen->n : 0);
    for (size_t i = 0; i < v->n_runs; i++) {
        out->runs++;
        out->keys += run_info(v->runs[i])->entries;
        out->memory_bytes += run_memory(v->runs[i]);
        out->disk_bytes += run_info(v->runs[i])->bytes;
    }
}

void state_stats(struct state *state, struct state_stats *out)
{
    *out = (struct state_stats){.memory_bytes = run_cache_bytes(&state->cache)};
    mutex_lock(&state->mutex);
    out->tables = state->n_tables;
    out->memory_bytes += state->mem_bytes;
    for (size_t i = 0; i < state->n_tables; i++) {
        const struct state_table *t = state->tables[i];
        out->generations += t->n;
        for (size_t k = 0; k < t->n; k++) {
            out->damaged += t->generations[k]->damaged;
            add_view(t->generations[k]->view, out);
        }
    }
    mutex_unlock(&state->mutex);
}
