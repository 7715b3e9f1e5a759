/*
 * Snapshots: what a reader sees. See read.h.
 *
 * In its moment (moment.c) a snapshot goes through the gate and notes everything that is visible:
 * the LSN, clocks, segments, deletions, views of the blocks, and transactions that are pending.
 * None of that changes afterwards: the writer goes on, and copies the pages of a block that a view
 * looks at before it changes them, until the fetch has taken the tails that it needs. So there is
 * exactly one moment, and nothing to be done over.
 */
#include "store/read.h"

#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "store/snapshot_priv.h"

/* ---- making ---- */

struct snapshot *snapshot_get(struct store *store)
{
    struct snapshot *s = xcalloc(1, sizeof *s);
    s->store = store;
    s->last = &s->plans;
    arena_init(&s->arena, 0);
    s->pin = catalog_pin(&store->catalog);
    head_init(&s->overlay, store->options.block_ms, store->head.shape, store->head.shape_ctx);
    return s;
}

void snapshot_put(struct snapshot **snapshot)
{
    struct snapshot *s = *snapshot;
    *snapshot = NULL;
    if (!s)
        return;
    snapshot_unview(s);
    replay_part(s);
    for (size_t i = 0; i < s->n_segments; i++)
        attached_fini(&s->segments[i]);
    for (size_t i = 0; i < s->n_blocks; i++)
        head_block_put(&s->blocks[i]);
    for (size_t i = 0; i < s->n_pending; i++)
        pending_put(&s->pending[i].pending);
    deletions_put(&s->deletions);
    head_fini(&s->overlay);
    catalog_unpin(&s->store->catalog, s->pin);
    progress_put(&s->progress);
    free(s->segments);
    free(s->seen);
    free(s->quarantined);
    free(s->blocks);
    free(s->views);
    free(s->pending);
    free(s->warnings);
    arena_fini(&s->arena);
    free(s);
}

void snapshot_limit(struct snapshot *snapshot, size_t bytes)
{
    snapshot->arena.limit_bytes = bytes;
}

void snapshot_cancel(struct snapshot *snapshot, const atomic_bool *cancel)
{
    snapshot->cancel = cancel;
}

void snapshot_patience(struct snapshot *snapshot, int64_t ms)
{
    snapshot->patience_ms = ms;
}

void snapshot_partial(struct snapshot *snapshot)
{
    snapshot->partial = true;
}

/* ---- asking ---- */

uint64_t snapshot_lsn(struct snapshot *snapshot)
{
    snapshot_settle(snapshot);
    return snapshot->lsn;
}

uint64_t snapshot_cells(const struct snapshot *snapshot)
{
    return snapshot->cells;
}

bool snapshot_clock(
    struct snapshot *snapshot, struct slice name, int64_t *frontier_ms, int64_t *watermark_ms)
{
    snapshot_settle(snapshot);
    const struct progress *p = snapshot->progress;
    for (size_t i = 0; i < p->n_clocks; i++)
        if (slice_eq(p->clocks[i].name, name)) {
            *frontier_ms = p->clocks[i].frontier_ms;
            *watermark_ms = p->clocks[i].watermark_ms;
            return true;
        }
    return false;
}

const struct source_position *snapshot_sources(struct snapshot *snapshot, size_t *n)
{
    struct err err;
    snapshot_settle(snapshot);
    *n = 0;
    if (!replay_await_sources(snapshot, &err)) {
        if (!snapshot->failed)
            snapshot->failure = err;
        snapshot->failed = true;
        return NULL;
    }
    *n = snapshot->progress->n_sources;
    return snapshot->progress->sources;
}

const struct read_warning *snapshot_warnings(const struct snapshot *snapshot, size_t *n)
{
    *n = snapshot->n_warnings;
    return snapshot->warnings;
}

bool snapshot_full(struct err *err)
{
    return err_set(err, ERR_LIMIT, "the query needs more memory than it is allowed");
}

bool snapshot_go_on(const struct snapshot *snapshot, struct err *err)
{
    return !snapshot->cancel || !atomic_load_explicit(snapshot->cancel, memory_order_relaxed) ||
           err_set(err, ERR_CANCELED, "query was canceled");
}

bool snapshot_lacks(struct snapshot *s, int64_t from, int64_t to, const struct err *why)
{
    for (size_t i = 0; i < s->n_warnings; i++)
        if (s->warnings[i].from_ms == from && s->warnings[i].to_ms == to &&
            strcmp(s->warnings[i].err.text, why->text) == 0)
            return s->partial;
    if (!s->partial)
        return false;
    GROW(s->warnings, s->warnings_cap, s->n_warnings + 1);
    s->warnings[s->n_warnings++] = (struct read_warning){from, to, *why};
    return true;
}

bool snapshot_without(struct snapshot *s, size_t segment, const struct err *why)
{
    bool of_segment = why->code == ERR_CORRUPT || why->code == ERR_IO ||
                      why->code == ERR_UNSUPPORTED || why->code == ERR_UNAVAILABLE ||
                      why->code == ERR_TIMEOUT || why->code == ERR_NOT_FOUND;
    const struct segment_info *info = segment_info(s->segments[segment].segment);
    if (!of_segment || !snapshot_lacks(s, info->t0, info->t1, why))
        return false;
    s->seen[segment].failed = true;
    return true;
}

/* ---- fetch ---- */

static bool check_budget(const struct snapshot *s, const struct read_budget *b, struct err *err)
{
    if (b && b->max_cells && s->cells > b->max_cells)
        return err_set(err, ERR_LIMIT,
            "the query would read %llu samples; %llu are allowed: ask for less time, fewer series, "
            "or raise the limit",
            (unsigned long long)s->cells, (unsigned long long)b->max_cells);
    if (b && b->max_bytes && s->bytes > b->max_bytes)
        return err_set(err, ERR_LIMIT, "the query would read %llu bytes; %llu are allowed",
            (unsigned long long)s->bytes, (unsigned long long)b->max_bytes);
    return true;
}

bool snapshot_fetch(struct snapshot *snapshot, const struct read_budget *budget,
    const atomic_bool *cancel, struct err *err)
{
    ensure(!snapshot->fetched);
    snapshot->fetched = true;
    if (cancel)
        snapshot->cancel = cancel;
    bool ok = plans_take_parts(snapshot, err) && check_budget(snapshot, budget, err) &&
              plans_fetch(snapshot, err);
    publish_some(snapshot->store); /* a writer that has gone quiet left something, perhaps */
    return ok;
}
