/*
 * Getting and listing, and what a transaction changes: the calls of state.h.
 */
#include "store/state/state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "base/thread.h"
#include "store/state/state_list.h"
#include "store/state/state_priv.h"
#include "store/store_priv.h"

/* ---- tables ---- */

static bool same_size(const char *name, uint32_t known, uint32_t record_bytes, struct err *err)
{
    return known == record_bytes || err_set(err, ERR_INVALID,
                                        "state table %s has records of %" PRIu32
                                        " bytes in this store, and %" PRIu32 " are asked for",
                                        name, known, record_bytes);
}

bool txn_state_table(
    struct txn *txn, struct slice name, uint32_t record_bytes, uint32_t *table, struct err *err)
{
    const struct state *state = &txn->store->state;
    struct state_changes *changes = &txn->data.state;
    ensure(name.len > 0 && name.len <= STATE_TABLE_NAME_MAX && !memchr(name.ptr, 0, name.len));
    ensure(record_bytes <= STATE_RECORD_BYTES_MAX);
    if (!replay_went_well(txn->store, err))
        return false;
    for (size_t i = 0; i < state->n_tables; i++)
        if (slice_is(name, state->tables[i]->name)) {
            *table = (uint32_t)i;
            return same_size(
                state->tables[i]->name, state->tables[i]->record_bytes, record_bytes, err);
        }
    for (size_t i = 0; i < changes->n_tables; i++)
        if (slice_is(name, changes->tables[i].name)) {
            *table = changes->first_table + (uint32_t)i;
            return same_size(
                changes->tables[i].name, changes->tables[i].record_bytes, record_bytes, err);
        }
    if (state->n_tables + changes->n_tables >= STATE_TABLES_MAX)
        return err_set(err, ERR_LIMIT, "more than %d state tables", STATE_TABLES_MAX);
    changes->first_table = (uint32_t)state->n_tables;
    *table = changes->first_table + (uint32_t)changes->n_tables;
    state_changes_table(changes, name, record_bytes);
    return true;
}

bool store_state_table(struct store *store, struct slice name, uint32_t *table,
    uint32_t *record_bytes, struct err *err)
{
    struct state *state = &store->state;
    bool found = false;
    if (!replay_await(store, err))
        return false;
    mutex_lock(&state->mutex);
    for (size_t i = 0; i < state->n_tables && !found; i++)
        if (slice_is(name, state->tables[i]->name)) {
            found = true;
            *table = (uint32_t)i;
            *record_bytes = state->tables[i]->record_bytes;
        }
    mutex_unlock(&state->mutex);
    return found || err_set(err, ERR_NOT_FOUND, "no state table %.*s", SLICE_FMT(name));
}

static uint32_t record_bytes_of(const struct txn *txn, uint32_t table)
{
    const struct state *state = &txn->store->state;
    const struct state_changes *changes = &txn->data.state;
    if (table < state->n_tables)
        return state->tables[table]->record_bytes;
    ensure(table - state->n_tables < changes->n_tables);
    return changes->tables[table - state->n_tables].record_bytes;
}

/* ---- changing ---- */

static struct state_batch *batch_of(struct txn *txn, uint32_t table, int64_t generation)
{
    struct state_changes *changes = &txn->data.state;
    struct state_batch *b = state_changes_find(changes, table, generation);
    return b ? b : state_changes_batch(changes, table, generation, record_bytes_of(txn, table));
}

/* With the view that the transaction reads from now on, whatever maintenance does. */
static struct state_batch *batch_to_read(struct txn *txn, uint32_t table, int64_t generation)
{
    struct state *state = &txn->store->state;
    struct state_batch *b = batch_of(txn, table, generation);
    if (!b->looked) {
        mutex_lock(&state->mutex);
        const struct generation *g = state_generation(state, table, generation);
        b->view = g ? state_view_ref(g->view) : NULL;
        mutex_unlock(&state->mutex);
        b->looked = true;
    }
    return b;
}

void txn_state_put(
    struct txn *txn, uint32_t table, int64_t generation, struct hash128 key, const void *record)
{
    state_batch_put(batch_of(txn, table, generation), key, record);
}

void txn_state_delete(struct txn *txn, uint32_t table, int64_t generation, struct hash128 key)
{
    state_batch_delete(batch_of(txn, table, generation), key);
}

void txn_state_drop(struct txn *txn, uint32_t table, int64_t generation)
{
    state_batch_drop(batch_of(txn, table, generation));
}

/* ---- getting ---- */

/* Whether the memtable knows the key; *found: and it is not deleted. */
static bool look_into(const struct memtable *m, struct hash128 key, void *record, bool *found)
{
    uint32_t at = m ? memtable_find(m, key) : MEMTABLE_NONE;
    if (at == MEMTABLE_NONE)
        return false;
    *found = !memtable_gone(m, at);
    if (*found && record && m->record_bytes)
        memcpy(record, memtable_record(m, at), m->record_bytes);
    return true;
}

bool state_view_get(struct state *state, const struct state_view *view, bool with_mem,
    struct hash128 key, void *record, bool *found, struct err *err)
{
    *found = false;
    for (size_t i = 0; i < view->n_runs; i++)
        run_prefetch(view->runs[i], key);
    if ((with_mem && look_into(view->mem, key, record, found)) ||
        look_into(view->frozen, key, record, found))
        return true;
    enum run_answer answer = RUN_ABSENT;
    for (size_t i = 0; i < view->n_runs && answer == RUN_ABSENT; i++)
        if (run_may_have(view->runs[i], key) &&
            !run_get(view->runs[i], &state->cache, key, record, &answer, err))
            return false;
    *found = answer == RUN_PRESENT;
    return true;
}

bool txn_state_get(struct txn *txn, uint32_t table, int64_t generation, struct hash128 key,
    void *record, bool *found, struct err *err)
{
    const struct state_batch *b = batch_to_read(txn, table, generation);
    *found = false;
    if (look_into(b->changes, key, record, found) || b->dropped || !b->view)
        return true;
    return state_view_get(&txn->store->state, b->view, true, key, record, found, err);
}

void txn_state_prefetch(struct txn *txn, uint32_t table, int64_t generation, struct hash128 key)
{
    const struct state_batch *b = batch_to_read(txn, table, generation);
    if (b->changes)
        memtable_prefetch(b->changes, key);
    if (b->dropped || !b->view)
        return;
    if (b->view->mem)
        memtable_prefetch(b->view->mem, key);
    for (size_t i = 0; i < b->view->n_runs; i++)
        run_prefetch(b->view->runs[i], key);
}

bool txn_state_find(struct txn *txn, uint32_t table, int64_t from, int64_t to, struct hash128 key,
    void *record, int64_t *generation, bool *found, struct err *err)
{
    *found = false;
    ensure(from > to || (uint64_t)to - (uint64_t)from < STATE_FIND_MAX);
    uint64_t n = from > to ? 0 : (uint64_t)to - (uint64_t)from + 1; /* the ends are any numbers */
    for (uint64_t i = 0; i < n; i++)
        txn_state_prefetch(txn, table, from + (int64_t)i, key);
    for (uint64_t i = 0; i < n && !*found; i++) {
        if (!txn_state_get(txn, table, to - (int64_t)i, key, record, found, err))
            return false;
        *generation = to - (int64_t)i;
    }
    return true;
}

bool store_state_get(struct store *store, uint32_t table, int64_t generation, struct hash128 key,
    void *record, bool *found, struct err *err)
{
    struct state *state = &store->state;
    *found = false;
    if (!replay_await(store, err))
        return false;
    mutex_lock(&state->mutex);
    const struct generation *g = state_generation(state, table, generation);
    struct state_view *view = g ? state_view_ref(g->view) : NULL;
    bool known = view && look_into(view->mem, key, record, found);
    mutex_unlock(&state->mutex);
    bool ok = !view || known || state_view_get(state, view, false, key, record, found, err);
    state_view_unref(&view);
    return ok;
}

/* ---- listing ---- */

bool txn_state_list(struct txn *txn, uint32_t table, int64_t generation, struct hash128 *from,
    size_t max, struct hash128 *keys, void *records, size_t *n, bool *end, struct err *err)
{
    const struct state_batch *b = batch_to_read(txn, table, generation);
    struct state_list list = {.max = max,
        .keys = keys,
        .records = records,
        .record_bytes = b->record_bytes,
        .changes = b->changes,
        .view = b->dropped ? NULL : b->view};
    ensure(max > 0);
    bool ok = state_list_next(&list, from, end, err);
    *n = list.n;
    return ok;
}

static size_t list_generations(const struct state *state, uint32_t table, int64_t *out, size_t max)
{
    if (table >= state->n_tables)
        return 0;
    const struct state_table *t = state->tables[table];
    for (size_t i = 0; i < t->n && i < max; i++)
        out[i] = t->generations[i]->number;
    return t->n;
}

size_t txn_state_generations(struct txn *txn, uint32_t table, int64_t *out, size_t max)
{
    return list_generations(&txn->store->state, table, out, max); /* only the writer changes it */
}

size_t store_state_generations(struct store *store, uint32_t table, int64_t *out, size_t max)
{
    struct state *state = &store->state;
    mutex_lock(&state->mutex);
    size_t n = list_generations(state, table, out, max);
    mutex_unlock(&state->mutex);
    return n;
}

void txn_state_drop_below(struct txn *txn, uint32_t table, int64_t below)
{
    struct state *state = &txn->store->state;
    if (table >= state->n_tables)
        return;
    const struct state_table *t = state->tables[table];
    for (size_t i = 0; i < t->n && t->generations[i]->number < below; i++)
        txn_state_drop(txn, table, t->generations[i]->number);
}
