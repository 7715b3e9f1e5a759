#include "store/log_replay.h"

#include <inttypes.h>

#include "base/thread.h"
#include "store/store_priv.h"

/* Cells that are applied before readers are let in: about a millisecond's. */
#define SLICE_CELLS 8192
/* Of a range with more blocks each is taken to have cells in no segment. */
#define RANGE_BLOCKS 64

#define WAIT_MS 1000

void replay_init(struct replay *replay)
{
    *replay = (struct replay){.phase = REPLAY_OVER};
    mutex_init(&replay->mutex);
    cond_init(&replay->changed);
    cond_init(&replay->over);
    buf_init(&replay->raw, 0);
    commit_waiter_init(&replay->turn);
}

void replay_fini(struct store *store)
{
    struct replay *r = &store->replay;
    captured_fini(&r->captured);
    buf_fini(&r->raw);
    progress_put(&r->progress);
    commit_waiter_fini(&r->turn);
    pthread_cond_destroy(&r->changed);
    pthread_cond_destroy(&r->over);
    pthread_mutex_destroy(&r->mutex);
}

/* ---- which blocks ---- */

/* Calls each for the blocks of a transaction or group that may have cells in no segment. */
typedef bool range_f(void *ctx, struct block_range range);

static bool each_left(const struct store *store, const struct touched *touched, uint64_t lsn,
    range_f *each, void *ctx)
{
    for (size_t i = 0; i < touched->n; i++) {
        struct block_range range = touched->ranges[i];
        if ((uint64_t)range.last - (uint64_t)range.first >= RANGE_BLOCKS) {
            if (!each(ctx, range))
                return false;
            continue;
        }
        for (struct block_range b = {range.first, range.first};; b.first = ++b.last) {
            if (lsn > manifest_sealed_lsn(&store->manifest, b.first) && !each(ctx, b))
                return false;
            if (b.last == range.last)
                break;
        }
    }
    return true;
}

static bool add_range(void *ctx, struct block_range range)
{
    touched_add(ctx, range);
    return true;
}

void replay_note(struct store *store, const struct touched *touched, uint64_t lsn)
{
    each_left(store, touched, lsn, add_range, &store->replay.left);
}

static bool is_noted(void *ctx, struct block_range range)
{
    return touched_covers(ctx, range);
}

/* What was answered early relied on the fronts. */
static bool check_front(
    struct store *store, const struct transaction *t, uint64_t lsn, struct err *err)
{
    struct touched touched;
    touched_of(&touched, t, store->options.block_ms);
    return each_left(store, &touched, lsn, is_noted, &store->replay.left) ||
           err_set(err, ERR_CORRUPT, "it has cells in time blocks that its front does not name");
}

/* ---- the second pass ---- */

static bool apply(struct store *store, const struct transaction *t, uint64_t lsn, struct err *err)
{
    size_t at = 0;
    if (!store_replay_check(store, t, err))
        return false;
    for (bool whole = transaction_cells(t) == 0; !whole;) {
        gate_close(&store->gate);
        whole = store_replay_cells(store, t, lsn, &at, SLICE_CELLS);
        gate_open(&store->gate);
    }
    mutex_lock(&store->lock);
    store_apply_state(store, t);
    mutex_unlock(&store->lock);
    return state_replay(&store->state, &t->state, lsn, err);
}

static bool bring_back(void *ctx, const struct frame *frame, struct err *err)
{
    struct store *store = ctx;
    struct replay *r = &store->replay;
    struct transaction t;
    struct slice payload;
    if (atomic_load(&r->canceled))
        return err_set(err, ERR_CANCELED, "the store is being closed");
    transaction_init(&t);
    bool ok = frame_payload(frame, &r->raw, &payload, err) &&
              transaction_decode(payload, &t, err) && check_front(store, &t, frame->lsn, err);
    if (ok) {
        captured_drop(&r->captured, &store->catalog, frame->lsn, &t);
        ok = apply(store, &t, frame->lsn, err);
    }
    transaction_fini(&t);
    if (!ok)
        return false;
    atomic_store(&r->lsn, frame->lsn);
    if (store->options.replayed)
        store->options.replayed(store->options.replayed_ctx, frame->lsn, store->lsn);
    return true;
}

/* ---- its end ---- */

static bool is_over(enum replay_phase phase)
{
    return phase == REPLAY_OVER || phase == REPLAY_FAILED;
}

static void set_phase(struct replay *r, enum replay_phase phase)
{
    mutex_lock(&r->mutex);
    r->phase = phase;
    pthread_cond_broadcast(&r->changed);
    if (is_over(phase))
        pthread_cond_broadcast(&r->over);
    mutex_unlock(&r->mutex);
}

/* From here on new snapshots are of the whole head, and so are the views of early ones. */
static void become_whole(struct store *store)
{
    struct replay *r = &store->replay;
    gate_close(&store->gate);
    mutex_lock(&store->lock);
    r->progress = progress_get(store);
    mutex_unlock(&store->lock);
    replay_give_views(store);
    set_phase(r, REPLAY_WHOLE);
    gate_open(&store->gate);
}

static bool run(struct store *store, struct err *err)
{
    struct replay *r = &store->replay;
    bool ok = wal_replay(store->wal, bring_back, store, err) &&
              state_loaded(&store->state, store->lsn, err);
    captured_fini(&r->captured);
    buf_fini(&r->raw);
    if (ok) {
        become_whole(store);
        store_settle_start(store);
    } else {
        r->err = *err;
    }
    set_phase(r, ok ? REPLAY_OVER : REPLAY_FAILED);
    commit_turn_give(&store->commit_queue, &r->turn);
    return ok;
}

static void *run_thread(void *arg)
{
    struct err err = {0};
    run(arg, &err);
    return NULL;
}

bool replay_begin(struct store *store, struct err *err)
{
    struct replay *r = &store->replay;
    set_phase(r, REPLAY_RUNS);
    atomic_store(&r->lsn, store->manifest.checkpoint_lsn);
    commit_turn_take(&store->commit_queue, &r->turn);
    if (!store->options.answer_early)
        return run(store, err);
    r->threaded = true;
    thread_start(&r->thread, "replay", run_thread, store);
    return true;
}

void replay_stop(struct store *store)
{
    struct replay *r = &store->replay;
    if (!r->threaded)
        return;
    atomic_store(&r->canceled, true);
    thread_join(r->thread);
    r->threaded = false;
}

/* ---- waiting for it ---- */

enum replay_phase replay_phase(struct store *store)
{
    struct replay *r = &store->replay;
    mutex_lock(&r->mutex);
    enum replay_phase phase = r->phase;
    mutex_unlock(&r->mutex);
    return phase;
}

uint64_t replay_lsn(struct store *store)
{
    return replay_phase(store) == REPLAY_OVER ? store->lsn : atomic_load(&store->replay.lsn);
}

bool replay_went_well(struct store *store, struct err *err)
{
    struct replay *r = &store->replay;
    mutex_lock(&r->mutex);
    bool ok = r->phase != REPLAY_FAILED;
    if (!ok && err)
        *err = r->err;
    mutex_unlock(&r->mutex);
    return ok;
}

bool store_await_replay(struct store *store, int64_t ms, struct err *err)
{
    struct replay *r = &store->replay;
    mutex_lock(&r->mutex);
    if (!is_over(r->phase))
        cond_wait_ms(&r->over, &r->mutex, ms);
    bool over = is_over(r->phase);
    mutex_unlock(&r->mutex);
    return over ? replay_went_well(store, err)
                : err_set(err, ERR_TIMEOUT, "the log is being replayed");
}

bool replay_await(struct store *store, struct err *err)
{
    struct replay *r = &store->replay;
    mutex_lock(&r->mutex);
    while (!is_over(r->phase))
        cond_wait_ms(&r->over, &r->mutex, WAIT_MS);
    mutex_unlock(&r->mutex);
    return replay_went_well(store, err);
}
