/*
 * Recovery: from a folder to a store. Manifest, catalogue, log, checkpoint, segments are read in
 * this order, and the log once more (log_replay.h). Nothing is changed before everything was found
 * whole: a start that stops leaves the folder as it was, but for a torn last frame.
 */
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "base/thread.h"
#include "store/catalog_file.h"
#include "store/checkpoint.h"
#include "store/definitions.h"
#include "store/derive.h"
#include "store/folder_lock.h"
#include "store/front.h"
#include "store/segment/outfile.h"
#include "store/store_priv.h"
#include "store/unread.h"

/* Files that no manifest names: what a crash left behind, or could not be removed. */
static bool sweep_segment(void *ctx, const char *name, struct err *err)
{
    struct store *store = ctx;
    char dir[PATH_BYTES], path[PATH_BYTES];
    if (manifest_names(&store->manifest, name))
        return true;
    return path_join(dir, store->path, "seg", err) && path_join(path, dir, name, err) &&
           file_remove(path, err);
}

static bool begins(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool sweep_file(void *ctx, const char *name, struct err *err)
{
    struct store *store = ctx;
    char checkpoint[CHECKPOINT_NAME_MAX], catalog[CATALOG_NAME_MAX], path[PATH_BYTES];
    checkpoint_name(store->manifest.checkpoint_lsn, checkpoint);
    catalog_file_name(store->manifest.catalog.number, catalog);
    bool ours = begins(name, "checkpoint-") || begins(name, "catalog-") ||
                begins(name, OUTFILE_PREFIX) || strcmp(name, "CURRENT.tmp") == 0 ||
                strcmp(name, "deletions.tmp") == 0 || begins(name, "manifest-");
    bool counts = strcmp(name, checkpoint) == 0 || strcmp(name, catalog) == 0 ||
                  manifest_is(&store->manifest, name);
    if (!ours || counts)
        return true;
    return path_join(path, store->path, name, err) && file_remove(path, err);
}

bool store_sweep(struct store *store, struct err *err)
{
    char dir[PATH_BYTES];
    return path_join(dir, store->path, "seg", err) && dir_each(dir, sweep_segment, store, err) &&
           dir_each(store->path, sweep_file, store, err);
}

/* When a peer has not given so many, it is not asked for those that are left. */
#define AWAY_MAX 3
struct away {
    unsigned n;
    struct err why; /* the last one */
};

static bool open_segment(
    struct store *store, struct manifest_segment *s, struct away *away, struct err *err)
{
    if (away->n >= AWAY_MAX && !attach_is_here(store, s->name)) {
        *err = away->why;
        return false;
    }
    if (attach_recover(store, s, err))
        return true;
    if (unread_is_away(err)) {
        away->n++;
        away->why = *err;
    }
    return false;
}

static bool open_segments(struct store *store, struct err *err)
{
    char dir[PATH_BYTES];
    struct away away = {0};
    if (!path_join(dir, store->path, "seg", err) || !(store->options.inspect || dir_make(dir, err)))
        return false;
    for (size_t i = 0; i < store->manifest.n_segments;) {
        struct manifest_segment *s = &store->manifest.segments[i];
        if (open_segment(store, s, &away, err)) {
            i++;
            continue;
        }
        if (unread_is_lost(err)) {
            log_error("segment %s is set aside, its file is kept: %s", s->name, err->text);
            manifest_set_aside(&store->manifest, i);
        } else if (unread_may_pass(err)) {
            unread_leave(store, s, err);
            i++;
        } else {
            return false;
        }
    }
    derive_refresh(store->segments, store->n_segments, &store->manifest);
    store->quarantined = quarantine_list(&store->manifest, NULL, 0, &store->n_quarantined);
    return true;
}

/* ---- the log ---- */

/* Series in one frame of definitions. */
#define DEFINED_AT_ONCE 10000

/* What is unpacked while the log is read. */
struct pass {
    struct store *store;
    struct buf raw, group;
    bool clocks; /* the front of the frame says nothing of them */
};

static bool define_frame(void *ctx, const struct frame *frame, struct err *err)
{
    struct pass *p = ctx;
    struct transaction t;
    struct slice payload;
    transaction_init(&t);
    bool ok = frame_payload(frame, &p->raw, &payload, err) &&
              (p->clocks ? transaction_decode_clocks(payload, &t, err)
                         : transaction_decode_definitions(payload, &t, err)) &&
              store_define(p->store, &t, err);
    if (ok)
        store_apply_clocks(p->store, t.clocks, t.n_clocks);
    transaction_fini(&t);
    return ok;
}

/* The first pass: what is defined, where the clocks stand, and which time blocks have cells in the
 * log. */
static bool first_frame(void *ctx, const struct frame *frame, struct err *err)
{
    struct pass *p = ctx;
    struct frame_front front = {.definitions = true};
    if (frame->type != FRAME_DEFINITIONS && !front_decode(frame->front, &front))
        return err_set(err, ERR_CORRUPT, "the front makes no sense");
    replay_note(p->store, &front.touched, frame->lsn);
    store_apply_clocks(p->store, front.clocks, front.n_clocks);
    p->store->wal_written += frame->front.len + frame->body.len;
    p->clocks = front.without_clocks;
    /* What a file began with before the checkpoint is in it, and in the catalogue's file, perhaps
     * described anew since: a kill may leave such a file behind. */
    if (frame->type == FRAME_DEFINITIONS && frame->lsn < p->store->manifest.checkpoint_lsn)
        return true;
    if (!front.definitions && !front.without_clocks)
        return true;
    return frame->type == FRAME_GROUP ? wal_group_each(frame, &p->group, define_frame, p, err)
                                      : define_frame(p, frame, err);
}

/* A file of the log begins with what neither the catalogue's file nor the checkpoint holds. Nobody
 * changes the catalogue, nor the list of state tables, while a transaction is written. */
static bool put_definitions(void *ctx, struct wal *wal, struct err *err)
{
    struct store *store = ctx;
    struct buf payload;
    mutex_lock(&store->lock);
    struct definitions left = {.metric = store->defined.metrics,
        .metrics_end = store->catalog.n_metrics,
        .series = store->defined.series,
        .series_end = store->catalog.n_series,
        .updates_end =
            store->catalog.descriptions != store->described_written ? store->defined.metrics : 0,
        .described = store->described_written,
        .table = store->tables_checkpointed,
        .tables_end = store->state.n_tables};
    mutex_unlock(&store->lock);
    buf_init(&payload, 0);
    bool ok = true;
    while (ok && definitions_next(store, &left, DEFINED_AT_ONCE, &payload)) {
        ok = wal_define(wal, buf_view(&payload), err);
        buf_clear(&payload);
    }
    buf_fini(&payload);
    return ok;
}

/* What the manifest names was on disk before it was named. */
static uint64_t proven_lsn(const struct manifest *m)
{
    uint64_t lsn = m->checkpoint_lsn > m->committed_lsn ? m->checkpoint_lsn : m->committed_lsn;
    for (size_t i = 0; i < m->n_sealed; i++)
        lsn = m->sealed[i].lsn > lsn ? m->sealed[i].lsn : lsn;
    for (size_t i = 0; i < m->runs.n; i++)
        lsn = m->runs.items[i].lsn > lsn ? m->runs.items[i].lsn : lsn;
    return lsn;
}

static bool read_log(struct store *store, struct err *err)
{
    struct pass pass = {.store = store};
    struct wal_options options = {.dir = store->path,
        .inspect = store->options.inspect,
        .after_lsn = store->manifest.checkpoint_lsn,
        .proven_lsn = store->options.inspect ? UINT64_MAX : proven_lsn(&store->manifest),
        .file_bytes = store->options.wal_file_bytes,
        .first = first_frame,
        .first_ctx = &pass,
        .define = put_definitions,
        .define_ctx = store};
    buf_init(&pass.raw, 0);
    buf_init(&pass.group, 0);
    bool ok = wal_open(&options, &store->wal, err);
    buf_fini(&pass.raw);
    buf_fini(&pass.group);
    return ok;
}

/* What segments hold, or the manifest says otherwise, is in the log, or was: when the log ends
 * before, its last transaction was acknowledged, and counting it as torn would read it again beside
 * what has come of it. */
static bool log_reaches_manifest(const struct store *store, struct err *err)
{
    const struct manifest *m = &store->manifest;
    uint64_t last = wal_last_lsn(store->wal), sealed = 0, proven = proven_lsn(m);
    for (size_t i = 0; i < m->n_sealed; i++)
        sealed = m->sealed[i].lsn > sealed ? m->sealed[i].lsn : sealed;
    for (size_t i = 0; i < m->n_segments; i++)
        sealed = m->segments[i].lsn > sealed ? m->segments[i].lsn : sealed;
    if (last < sealed)
        return err_set(err, ERR_CORRUPT,
            "%s/wal ends at lsn %" PRIu64 ", and segments hold cells of lsn %" PRIu64, store->path,
            last, sealed);
    return last >= proven ||
           err_set(err, ERR_CORRUPT,
               "%s/wal ends at lsn %" PRIu64 ", and the manifest has what came of lsn %" PRIu64,
               store->path, last, proven);
}

/* Definitions first: cells in the checkpoint may be of series that the log defines, since they were
 * copied after the log was cut. Version 1 of the checkpoint held all definitions itself. */
static bool read_content(struct store *store, struct err *err)
{
    struct captured *captured = &store->replay.captured;
    bool old = store->manifest.catalog.number == 0;
    if (!(old ? checkpoint_load(store, captured, err) && read_log(store, err)
              : catalog_file_load(store, err) && read_log(store, err) &&
                    checkpoint_load(store, captured, err)))
        return false;
    store->tables_checkpointed = store->state.n_tables;
    if (wal_last_lsn(store->wal) < captured->greatest)
        return err_set(err, wal_holds(store->wal) ? ERR_IO : ERR_CORRUPT,
            "%s/wal ends at lsn %" PRIu64 "%s, and the checkpoint has seen lsn %" PRIu64,
            store->path, wal_last_lsn(store->wal),
            wal_holds(store->wal) ? " until its last frame can be written" : "",
            captured->greatest);
    if (!log_reaches_manifest(store, err))
        return false;
    store->torn_frames = wal_torn(store->wal);
    store->lsn = wal_last_lsn(store->wal);
    store->tail_held = wal_holds(store->wal);
    return true;
}

bool store_recover(struct store *store, struct err *err)
{
    bool inspect = store->options.inspect;
    if (!(inspect || dir_make(store->path, err)) ||
        !folder_lock(store->path, &store->lock_fd, err) ||
        !manifest_open(store->path, store->options.block_ms, &store->manifest, err) ||
        !state_load(&store->state, &store->manifest, err))
        return false;
    if (store->manifest.number == 0 && inspect)
        return err_set(err, ERR_NOT_FOUND, "%s holds no store", store->path);
    /* An empty folder gets its manifest before anything else, so that what comes later is never
     * without. */
    if (store->manifest.number == 0 && !manifest_begin(&store->manifest, err))
        return false;
    return read_content(store, err) && open_segments(store, err) && deletions_load(store, err) &&
           (store->options.inspect || put_away_load(store, err));
}

/* ---- the frame that was held ---- */

/* The gate is closed for definitions, since one may take the place of a removed series. */
static bool define_held(struct store *store, const struct transaction *t, struct err *err)
{
    gate_close(&store->gate);
    bool ok = store_define(store, t, err);
    gate_open(&store->gate);
    return ok;
}

static bool replay_held(
    struct store *store, const struct transaction *t, uint64_t lsn, struct err *err)
{
    store_lock_write(store);
    bool ok = store_replay(store, t, lsn, err) && state_replay(&store->state, &t->state, lsn, err);
    if (ok)
        store->lsn = lsn;
    store_unlock(store);
    if (!ok)
        return false;
    change_set_of(&store->changed, &store->catalog, t);
    change_log_reserve(&store->changes, store->changed.n);
    mutex_lock(&store->lock);
    change_log_append(&store->changes, store->changed.items, store->changed.n);
    mutex_unlock(&store->lock);
    return true;
}

/* A transaction of it, as if it were committed now. */
static bool release_frame(void *ctx, const struct frame *frame, struct err *err)
{
    struct pass *p = ctx;
    const struct captured none = {0};
    struct transaction t;
    struct slice payload;
    transaction_init(&t);
    bool ok = frame_payload(frame, &p->raw, &payload, err) &&
              transaction_decode(payload, &t, err) && define_held(p->store, &t, err);
    if (ok)
        captured_drop(&none, &p->store->catalog, frame->lsn, &t);
    ok = ok && replay_held(p->store, &t, frame->lsn, err);
    transaction_fini(&t);
    return ok;
}

bool store_release(struct store *store, struct err *err)
{
    struct pass pass = {.store = store};
    buf_init(&pass.raw, 0);
    bool ok = wal_release(store->wal, release_frame, &pass, err);
    buf_fini(&pass.raw);
    mutex_lock(&store->lock);
    store->tail_held = wal_holds(store->wal);
    if (!ok)
        store->held = *err;
    mutex_unlock(&store->lock);
    return ok;
}

static bool settle_log(struct store *store, struct err *err)
{
    mutex_lock(&store->lock);
    bool held = store->tail_held;
    mutex_unlock(&store->lock);
    if (!held)
        return true;
    struct txn *none = txn_begin_alone(store);
    bool ok = store_release(store, err);
    txn_abort(&none);
    return ok;
}

static bool settle_files(struct store *store, struct err *err)
{
    if (!store->unsettled)
        return true;
    if (!manifest_works(&store->manifest) && !manifest_begin(&store->manifest, err))
        return false;
    if (!store_sweep(store, err) || !state_sweep(&store->state, &store->manifest, err))
        return false;
    store->unsettled = false;
    return true;
}

bool store_settle(struct store *store, struct err *err)
{
    return settle_log(store, err) && settle_files(store, err);
}

/* Everything was found whole: only now something is written or swept away. What cannot be written
 * now, on a full disk say, is tried again before the first change. */
void store_settle_start(struct store *store)
{
    struct err err = {0};
    if (store->options.inspect)
        return;
    mutex_lock(&store->seal);
    store->unsettled = true;
    if (!store_release(store, &err) || !settle_files(store, &err) || !wal_begin(store->wal, &err))
        log_warn("the store answers, and takes nothing until this has passed: %s", err.text);
    mutex_unlock(&store->seal);
}
