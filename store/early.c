/*
 * Early snapshots: what is read while the log is being replayed. See log_replay.h.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/thread.h"
#include "store/head/block_view.h"
#include "store/log_replay.h"
#include "store/snapshot_priv.h"

/* So often it is looked whether the snapshot was canceled. */
#define LOOK_MS 20

/* ---- the list ---- */

void replay_meet(struct snapshot *s)
{
    struct replay *r = &s->store->replay;
    mutex_lock(&r->mutex);
    s->early = r->phase == REPLAY_RUNS || r->phase == REPLAY_FAILED;
    if (r->phase == REPLAY_RUNS) {
        s->later = (struct early_views){.next = r->early, .at = &r->early};
        if (r->early)
            r->early->later.at = &s->later.next;
        r->early = s;
    }
    mutex_unlock(&r->mutex);
}

/* Others change where it stands in the list, and not whether it does. */
static bool is_listed(struct snapshot *s)
{
    mutex_lock(&s->store->replay.mutex);
    bool listed = s->later.at != NULL;
    mutex_unlock(&s->store->replay.mutex);
    return listed;
}

static void unlist(struct snapshot *s)
{
    struct early_views *later = &s->later;
    mutex_lock(&s->store->replay.mutex);
    *later->at = later->next;
    if (later->next)
        later->next->later.at = later->at;
    later->at = NULL;
    mutex_unlock(&s->store->replay.mutex);
}

void replay_part(struct snapshot *s)
{
    if (!s->early || !is_listed(s))
        return;
    unlist(s);
    for (size_t i = 0; i < s->later.n; i++) {
        block_view_put(&s->later.views[i]);
        head_block_put(&s->later.blocks[i]);
    }
    free(s->later.views);
    free(s->later.blocks);
    s->later = (struct early_views){0};
}

void replay_give_views(struct store *store)
{
    struct replay *r = &store->replay;
    const struct head *head = &store->head;
    mutex_lock(&r->mutex);
    for (struct snapshot *s = r->early; s; s = s->later.next) {
        s->later.views = xcalloc(head->n_blocks, sizeof *s->later.views);
        s->later.blocks = xcalloc(head->n_blocks, sizeof *s->later.blocks);
        for (; s->later.n < head->n_blocks; s->later.n++) {
            struct head_block *block = head->blocks[s->later.n];
            s->later.views[s->later.n] = block_view_get(block);
            s->later.blocks[s->later.n] = head_block_get(block);
        }
    }
    mutex_unlock(&r->mutex);
}

/* In the place of what it has noted of the head. */
static void take_views(struct snapshot *s)
{
    if (!is_listed(s))
        return;
    unlist(s);
    for (size_t i = 0; i < s->n_blocks; i++)
        head_block_put(&s->blocks[i]);
    free(s->blocks);
    free(s->views);
    s->blocks = s->later.blocks;
    s->n_blocks = s->later.n;
    s->views = s->later.views;
    s->n_views = s->later.n;
    s->later = (struct early_views){0};
}

/* ---- what it wants ---- */

/* Whether the log may have cells of the range that are not in the head yet. */
static bool is_open(const struct store *store, const struct planned *series)
{
    int64_t ms = store->options.block_ms;
    return series->wanted && series->from < series->to &&
           touched_has(&store->replay.left,
               (struct block_range){block_of(series->from + 1, ms), block_of(series->to, ms)});
}

static bool wants_more(const struct snapshot *s)
{
    if (s->store->replay.left.n == 0)
        return false;
    for (const struct plan *plan = s->plans; plan; plan = plan->next)
        for (size_t i = 0; i < plan->n; i++)
            for (const struct planned *x = &plan->series[i]; x; x = x->opening)
                if (is_open(s->store, x))
                    return true;
    return false;
}

/* ---- waiting ---- */

static bool begin_wait(struct store *store, struct err *err)
{
    struct replay *r = &store->replay;
    unsigned most = store->options.early_waiters;
    mutex_lock(&r->mutex);
    bool ok = most == 0 || r->waiting < most;
    r->waiting += ok;
    mutex_unlock(&r->mutex);
    return ok || err_set(err, ERR_UNAVAILABLE,
                     "starting: the log is being replayed, and %u queries wait for it", most);
}

static void end_wait(struct replay *r)
{
    mutex_lock(&r->mutex);
    r->waiting--;
    mutex_unlock(&r->mutex);
}

static bool wait_whole(struct snapshot *s, struct err *err)
{
    struct replay *r = &s->store->replay;
    int64_t left_ms = s->patience_ms;
    bool ok = true;
    mutex_lock(&r->mutex);
    for (; ok && r->phase == REPLAY_RUNS; left_ms -= LOOK_MS) {
        ok = snapshot_go_on(s, err);
        if (ok && s->patience_ms && left_ms <= 0)
            ok = err_set(err, ERR_TIMEOUT, "the query timed out while the log was replayed");
        if (ok)
            cond_wait_ms(&r->changed, &r->mutex, LOOK_MS);
    }
    bool failed = r->phase == REPLAY_FAILED;
    mutex_unlock(&r->mutex);
    return ok && (!failed || replay_went_well(s->store, err));
}

static void note_progress(struct snapshot *s)
{
    struct progress *p = s->store->replay.progress;
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    progress_put(&s->progress);
    s->progress = p;
}

static bool become_late(struct snapshot *s, struct err *err)
{
    if (!begin_wait(s->store, err))
        return false;
    snapshot_unview(s); /* it gets others */
    bool ok = wait_whole(s, err);
    end_wait(&s->store->replay);
    if (!ok)
        return false;
    take_views(s);
    note_progress(s);
    s->early = false;
    return true;
}

bool replay_await_ranges(struct snapshot *s, struct err *err)
{
    return !s->early || !wants_more(s) || become_late(s, err);
}

bool replay_await_sources(struct snapshot *s, struct err *err)
{
    return !s->early || become_late(s, err);
}
