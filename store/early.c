/*
 * Early snapshots: what is read while the log is being replayed. See replay.h.
 *
 * A snapshot has its moment inside the gate, so whether it is early does not change until it
 * leaves. One that has to wait says so before it leaves: then the turn is not given up before it
 * has come in again, and of what it has noted only the head's blocks, and where sources stand, are
 * another.
 */
#include "base/ensure.h"
#include "base/thread.h"
#include "store/replay.h"
#include "store/snapshot_priv.h"

/* So often it is looked whether the snapshot was canceled. */
#define LOOK_MS 20

bool replay_is_early(struct store *store)
{
    enum replay_phase phase = replay_phase(store);
    return phase == REPLAY_RUNS || phase == REPLAY_FAILED;
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
    if (--r->waiting == 0)
        pthread_cond_broadcast(&r->changed);
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

/* What it has noted of the head, again; inside the gate. */
static void note_again(struct snapshot *s)
{
    mutex_lock(&s->store->lock);
    ensure(s->lsn == s->store->lsn && !s->store->pending);
    snapshot_note_blocks(s);
    mutex_unlock(&s->store->lock);
}

static void note_progress(struct snapshot *s)
{
    struct progress *p = s->store->replay.progress;
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    progress_put(&s->progress);
    s->progress = p;
}

static bool come_again(struct snapshot *s, struct err *err)
{
    struct replay *r = &s->store->replay;
    bool inside = s->inside;
    if (!begin_wait(s->store, err))
        return false;
    snapshot_leave(s);
    bool ok = wait_whole(s, err);
    if (ok && inside) {
        gate_enter(&s->store->gate);
        s->inside = true;
        note_again(s);
    }
    if (ok)
        note_progress(s);
    s->early = !ok;
    end_wait(r);
    return ok;
}

bool replay_await_ranges(struct snapshot *s, struct err *err)
{
    return !s->early || !wants_more(s) || come_again(s, err);
}

bool replay_await_sources(struct snapshot *s, struct err *err)
{
    return !s->early || come_again(s, err);
}
