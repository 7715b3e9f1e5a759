#include "store/state/state_reader.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/thread.h"
#include "store/state/memtable.h"
#include "store/state/state_priv.h"
#include "store/store_priv.h"

struct seen_generation {
    int64_t number;
    struct state_view *view;
};

struct state_reader {
    struct state *state;
    size_t n;
    struct seen_generation generations[]; /* newest first */
};

struct state_reader *state_reader_new(struct store *store, uint32_t table, int64_t from, int64_t to)
{
    struct state *state = &store->state;
    mutex_lock(&state->mutex);
    const struct state_table *t = table < state->n_tables ? state->tables[table] : NULL;
    size_t n = t ? t->n : 0;
    struct state_reader *r = xcalloc(1, sizeof *r + n * sizeof r->generations[0]);
    r->state = state;
    for (size_t i = n; i-- > 0;) {
        const struct generation *g = t->generations[i];
        if (g->number >= from && g->number <= to)
            r->generations[r->n++] = (struct seen_generation){g->number, state_view_ref(g->view)};
    }
    mutex_unlock(&state->mutex);
    return r;
}

void state_reader_free(struct state_reader **reader)
{
    struct state_reader *r = *reader;
    *reader = NULL;
    for (size_t i = 0; r && i < r->n; i++)
        state_view_unref(&r->generations[i].view);
    free(r);
}

size_t state_reader_generations(const struct state_reader *reader)
{
    return reader->n;
}

int64_t state_reader_generation(const struct state_reader *reader, size_t i)
{
    return reader->generations[i].number;
}

uint64_t state_reader_keys(const struct state_reader *reader, size_t i)
{
    const struct state_view *view = reader->generations[i].view;
    uint64_t n = (view->mem ? view->mem->n : 0) + (view->frozen ? view->frozen->n : 0);
    for (size_t k = 0; k < view->n_runs; k++)
        n += run_info(view->runs[k])->entries;
    return n;
}

void state_reader_prefetch_in(const struct state_reader *reader, size_t i, struct hash128 key)
{
    const struct state_view *view = reader->generations[i].view;
    if (view->mem)
        memtable_prefetch(view->mem, key);
    for (size_t k = 0; k < view->n_runs; k++)
        run_prefetch(view->runs[k], key);
}

void state_reader_prefetch(const struct state_reader *reader, struct hash128 key)
{
    for (size_t i = 0; i < reader->n; i++)
        state_reader_prefetch_in(reader, i, key);
}

bool state_reader_find_in(struct state_reader *reader, size_t i, struct hash128 key, void *record,
    bool *found, struct err *err)
{
    return state_view_get(
        reader->state, reader->generations[i].view, true, key, record, found, err);
}

bool state_reader_find(struct state_reader *reader, struct hash128 key, void *record,
    int64_t *generation, bool *found, struct err *err)
{
    *found = false;
    for (size_t i = 0; i < reader->n && !*found; i++) {
        if (!state_reader_find_in(reader, i, key, record, found, err))
            return false;
        *generation = reader->generations[i].number;
    }
    return true;
}
