/*
 * Committed changes: into memtables, and from there into checkpoints. See state_priv.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "base/thread.h"
#include "store/state/memtable.h"
#include "store/state/state.h"
#include "store/state/state_priv.h"

/* Keys that are asked for ahead of the one that is put. */
#define AHEAD 16

/* ---- checking ---- */

static bool bad(struct err *err, const char *what, uint32_t id)
{
    return err_set(err, ERR_CORRUPT, "transaction refers to %s, number %" PRIu32, what, id);
}

/* A table that comes a second time, out of checkpoint and log or of a run's header, is the same. */
static bool check_table(
    const struct state *state, uint32_t id, const struct state_table_def *def, struct err *err)
{
    if (id >= STATE_TABLES_MAX)
        return bad(err, "a state table beyond all bounds", id);
    if (id >= state->n_tables || !state->tables[id]->name[0])
        return true;
    const struct state_table *t = state->tables[id];
    return (strcmp(t->name, def->name) == 0 && t->record_bytes == def->record_bytes) ||
           bad(err, "a state table that is another one already", id);
}

static bool check_batch(const struct state *state, const struct state_changes *changes,
    const struct state_batch *b, struct err *err)
{
    uint32_t record_bytes;
    if (b->table < state->n_tables && state->tables[b->table]->defined)
        record_bytes = state->tables[b->table]->record_bytes;
    else if (b->table >= changes->first_table &&
             b->table - changes->first_table < changes->n_tables)
        record_bytes = changes->tables[b->table - changes->first_table].record_bytes;
    else
        return bad(err, "an unknown state table", b->table);
    if (b->changes && b->record_bytes != record_bytes)
        return bad(err, "a state table with records of another size", b->table);
    const struct generation *g = state_generation(state, b->table, b->generation);
    if (b->changes && g && g->view->mem && b->changes->n > MEMTABLE_ENTRIES_MAX - g->view->mem->n)
        return err_set(err, ERR_LIMIT,
            "state table %s: more than %u keys of one generation wait to be written to disk",
            state->tables[b->table]->name, MEMTABLE_ENTRIES_MAX);
    return true;
}

bool state_check(struct state *state, const struct state_changes *changes, struct err *err)
{
    size_t defined = 0;
    if (!changes->n_tables && !changes->n_batches)
        return true;
    mutex_lock(&state->mutex);
    while (defined < state->n_tables && state->tables[defined]->defined)
        defined++;
    bool ok = !changes->n_tables || changes->first_table <= defined ||
              bad(err, "first new state table", changes->first_table);
    for (size_t i = 0; ok && i < changes->n_tables; i++)
        ok = check_table(state, changes->first_table + (uint32_t)i, &changes->tables[i], err);
    for (size_t i = 0; ok && i < changes->n_batches; i++)
        ok = check_batch(state, changes, &changes->batches[i], err);
    mutex_unlock(&state->mutex);
    return ok;
}

/* ---- applying ---- */

static void define(struct state *state, uint32_t id, const struct state_table_def *def)
{
    struct state_table *t = state_add_table(state, id);
    snprintf(t->name, sizeof t->name, "%s", def->name);
    t->record_bytes = def->record_bytes;
    t->defined = true;
}

static size_t view_bytes(const struct state_view *v)
{
    return (v->mem ? memtable_bytes(v->mem) : 0) + (v->frozen ? memtable_bytes(v->frozen) : 0);
}

/* The generation goes at once; what it leaves in the manifest goes with the next maintenance. */
static void drop(struct state *state, uint32_t table, int64_t number)
{
    struct generation *g = state_generation(state, table, number);
    struct state_table *t = state->tables[table];
    if (!g)
        return;
    size_t i = 0;
    while (t->generations[i] != g)
        i++;
    memmove(&t->generations[i], &t->generations[i + 1], (t->n - i - 1) * sizeof *t->generations);
    t->n--;
    state->mem_bytes -= view_bytes(g->view);
    if (state->dir && (g->view->n_runs || g->view->frozen)) {
        GROW(state->drops, state->drops_cap, state->n_drops + 1);
        state->drops[state->n_drops++] = (struct state_drop){table, number, g->view};
        g->view = NULL;
    }
    state_view_unref(&g->view);
    free(g);
}

static void change(struct state *state, const struct state_batch *b, uint64_t lsn)
{
    const struct memtable *from = b->changes;
    struct generation *g = state_add_generation(state->tables[b->table], b->generation);
    const struct state_view *v = g->view;
    size_t before = v->mem ? memtable_bytes(v->mem) : 0;
    if (!v->mem) {
        struct memtable *fresh = memtable_new(state->tables[b->table]->record_bytes);
        state_set_view(g, state_view_new(fresh, v->frozen, v->runs, v->n_runs));
        memtable_unref(&fresh);
    }
    struct memtable *to = g->view->mem;
    for (uint32_t at = 0; at < from->n; at++) {
        if (at + AHEAD < from->n)
            memtable_prefetch(to, memtable_key(from, at + AHEAD));
        if (memtable_gone(from, at))
            memtable_delete(to, memtable_key(from, at));
        else
            memtable_put(to, memtable_key(from, at), memtable_record(from, at));
    }
    state->mem_bytes += memtable_bytes(to) - before;
    g->changed_lsn = lsn;
}

static bool in_runs(const struct state *state, const struct state_batch *b, uint64_t lsn)
{
    const struct generation *g = state_generation(state, b->table, b->generation);
    return g && g->view->n_runs && lsn <= run_info(g->view->runs[0])->lsn;
}

void state_apply(
    struct state *state, const struct state_changes *changes, uint64_t lsn, bool replay)
{
    mutex_lock(&state->mutex);
    state->lsn = lsn;
    for (size_t i = 0; i < changes->n_tables; i++)
        define(state, changes->first_table + (uint32_t)i, &changes->tables[i]);
    for (size_t i = 0; i < changes->n_batches; i++) {
        const struct state_batch *b = &changes->batches[i];
        if (replay && in_runs(state, b, lsn))
            continue;
        if (b->dropped)
            drop(state, b->table, b->generation);
        if (b->changes && b->changes->n)
            change(state, b, lsn);
    }
    mutex_unlock(&state->mutex);
}

bool state_replay(
    struct state *state, const struct state_changes *changes, uint64_t lsn, struct err *err)
{
    if (!state_check(state, changes, err))
        return false;
    state_apply(state, changes, lsn, true);
    return true;
}

/* ---- carrying ---- */

static void carry_tables(const struct state *state, struct state_changes *changes)
{
    for (size_t i = 0; i < state->n_tables; i++)
        state_changes_table(
            changes, slice_from(state->tables[i]->name), state->tables[i]->record_bytes);
    for (size_t i = 0; i < state->n_drops; i++) {
        const struct state_drop *d = &state->drops[i];
        state_batch_drop(state_changes_batch(
            changes, d->table, d->generation, state->tables[d->table]->record_bytes));
    }
}

/* Entries of one memtable from *at on, while there is room for them; the room that is left. */
static size_t carry_memtable(
    const struct memtable *m, uint32_t *at, size_t room, struct state_batch *b)
{
    for (; *at < m->n && room >= m->entry_bytes; (*at)++, room -= m->entry_bytes) {
        if (memtable_gone(m, *at))
            state_batch_delete(b, memtable_key(m, *at));
        else
            state_batch_put(b, memtable_key(m, *at), memtable_record(m, *at));
    }
    return *at < m->n ? 0 : room;
}

/* What is older comes first; a generation is done when the room did not end before it. */
static size_t carry_generation(
    struct state_cursor *cursor, const struct state_view *v, size_t room, struct state_batch *b)
{
    if (v->frozen && !cursor->frozen_done) {
        room = carry_memtable(v->frozen, &cursor->at, room, b);
        if (cursor->at < v->frozen->n)
            return 0;
        cursor->at = 0;
    }
    cursor->frozen_done = true;
    if (v->mem) {
        room = carry_memtable(v->mem, &cursor->at, room, b);
        if (cursor->at < v->mem->n)
            return 0;
    }
    cursor->at = 0;
    cursor->frozen_done = false;
    cursor->generation++;
    return room;
}

bool state_carry(
    struct state *state, struct state_cursor *cursor, size_t bytes, struct state_changes *changes)
{
    size_t room = bytes > STATE_RECORD_BYTES_MAX * 2 ? bytes : STATE_RECORD_BYTES_MAX * 2;
    bool any = false;
    mutex_lock(&state->mutex);
    if (!cursor->drops_done) {
        cursor->drops_done = true;
        carry_tables(state, changes);
        any = changes->n_tables > 0;
    }
    while (cursor->table < state->n_tables && room >= STATE_RECORD_BYTES_MAX + STATE_KEY_BYTES) {
        const struct state_table *t = state->tables[cursor->table];
        if (cursor->generation == t->n) {
            cursor->table++;
            cursor->generation = 0;
            continue;
        }
        const struct generation *g = t->generations[cursor->generation];
        if (!g->view->mem && !g->view->frozen) {
            cursor->generation++;
            continue;
        }
        room = carry_generation(cursor, g->view, room,
            state_changes_batch(changes, (uint32_t)cursor->table, g->number, t->record_bytes));
        any = true;
    }
    mutex_unlock(&state->mutex);
    return any;
}
