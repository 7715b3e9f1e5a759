#include "store/maintain.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "store/checkpoint.h"
#include "store/compact.h"
#include "store/derive.h"
#include "store/seal.h"
#include "store/store_priv.h"
#include "store/unread.h"

/* When late cells of a sealed block make a segment. */
#define LATE_CELLS 100000
#define LATE_BYTES (8u << 20)

/* At so many times its bound of memory the head slows the writer down. */
#define HEAD_SLOW 2
/* The writer is never asked to wait longer, for one transaction. */
#define THROTTLE_MS_MAX 1000

/* ---- sealing ---- */

static bool has_passed(const struct store *store, const struct head_block *b, int64_t passed_ms)
{
    return b->number < INT64_MAX / store->options.block_ms - 1 &&
           (b->number + 1) * store->options.block_ms <= passed_ms;
}

/* ---- late cells ---- */

static bool is_late(const struct store *store, const struct head_block *b, int64_t passed_ms)
{
    return manifest_sealed_lsn(&store->manifest, b->number) != 0 && has_passed(store, b, passed_ms);
}

static bool moved_on(const struct store *store, int64_t since_ms, int64_t passed_ms)
{
    return since_ms <= INT64_MAX - store->options.block_ms &&
           passed_ms >= since_ms + store->options.block_ms;
}

static bool late_is_due(const struct store *store, const struct head_block *b, int64_t passed_ms)
{
    const struct late_mark *late = late_marks_find(&store->manifest.late, b->number);
    return b->cells >= LATE_CELLS || head_block_bytes(b) >= LATE_BYTES ||
           (late && moved_on(store, late->since_ms, passed_ms));
}

/* Says in the manifest which blocks have late cells now that had none. */
static bool mark_late(struct store *store, int64_t passed_ms, struct err *err)
{
    struct manifest_edit edit = {0};
    struct late_mark *late = NULL;
    size_t cap = 0;
    store_lock_read(store);
    for (size_t i = 0; i < store->head.n_blocks; i++) {
        const struct head_block *b = store->head.blocks[i];
        if (!is_late(store, b, passed_ms) || late_marks_find(&store->manifest.late, b->number))
            continue;
        GROW(late, cap, edit.n_late + 1);
        late[edit.n_late++] = (struct late_mark){b->number, passed_ms};
    }
    store_unlock(store);
    edit.late = late;
    bool ok = edit.n_late == 0 || manifest_apply(&store->manifest, &edit, err);
    free(late);
    return ok;
}

/* A mark whose block is no more: all its late cells were deleted, and a start has not made the
 * block again. It goes when the block would have been sealed. */
static bool forget_mark(struct store *store, int64_t passed_ms, bool *did, struct err *err)
{
    struct manifest *m = &store->manifest;
    const struct late_marks *late = &m->late;
    struct manifest_edit edit = {.seal = true};
    *did = false;
    store_lock_read(store);
    for (size_t i = 0; !*did && i < late->n; i++) {
        edit.sealed = (struct manifest_sealed){
            late->items[i].block, manifest_sealed_lsn(m, late->items[i].block)};
        *did = moved_on(store, late->items[i].since_ms, passed_ms) &&
               !head_find_block(&store->head, late->items[i].block);
    }
    store_unlock(store);
    return !*did || manifest_apply(m, &edit, err);
}

/* ---- what is due ---- */

enum urgency { IN_TIME, LATE };

/* The next block to be sealed, oldest first. */
static bool due_block(struct store *store, enum urgency urgency, int64_t passed_ms, int64_t *block)
{
    const struct head *head = &store->head;
    bool due = false;
    store_lock_read(store);
    bool over = head_bytes(head) > store->options.head_bytes;
    if (store->frozen) { /* an earlier attempt did not end */
        *block = store->frozen->block->number;
        due = true;
    }
    for (size_t i = 0; !due && i < head->n_blocks; i++) {
        const struct head_block *b = head->blocks[i];
        *block = b->number;
        if (urgency == LATE)
            due = is_late(store, b, passed_ms) && late_is_due(store, b, passed_ms);
        else
            due = over || (manifest_sealed_lsn(&store->manifest, b->number) == 0 &&
                              has_passed(store, b, passed_ms));
    }
    store_unlock(store);
    return due;
}

/* ---- compaction ---- */

/* What is due, and the debt. */
static bool find_compaction(struct store *store, int64_t passed_ms, struct compaction *out)
{
    struct compact_debt debt;
    bool due = compact_due(store, passed_ms, out, &debt);
    store->maintenance.debt_bytes = debt.bytes;
    store->maintenance.debt_segments = debt.segments;
    return due;
}

/* After every step, whatever came of it. */
static void count_debt(struct store *store, int64_t passed_ms)
{
    struct compaction next;
    if (find_compaction(store, passed_ms, &next))
        compaction_fini(&next);
}

static bool compact(struct store *store, int64_t passed_ms, bool *did, struct err *err)
{
    struct maintenance *m = &store->maintenance;
    struct compaction compaction;
    uint64_t compacted;
    *did = find_compaction(store, passed_ms, &compaction);
    if (!*did)
        return true;
    bool ok = compact_run(store, &compaction, &compacted, err);
    m->compactions += compacted > 0;
    m->compacted_bytes += compacted;
    compaction_fini(&compaction);
    return ok;
}

static bool derive(struct store *store, int64_t passed_ms, bool *did, struct err *err)
{
    struct derivation derivation;
    *did = derive_due(store, passed_ms, &derivation);
    return !*did || derive_run(store, &derivation, err);
}

/* State tables have nothing left to purge: now the log. */
static bool end_purge(struct store *store, int64_t passed_ms, bool *did, struct err *err)
{
    (void)passed_ms;
    *did = store->purging && !state_purges(&store->state);
    if (!*did)
        return true;
    if (!checkpoint_write(store, err) || !put_away_purge(store, err))
        return false;
    store->purging = false;
    return true;
}

/* ---- steps ---- */

static bool may_try(struct store *store, enum work work)
{
    return setback_is_over(&store->maintenance.setbacks[work]);
}

static bool tried(struct store *store, enum work work, bool ok)
{
    return setback_note(&store->maintenance.setbacks[work], ok);
}

static bool seal(struct store *store, int64_t block, struct err *err)
{
    return tried(store, WORK_SEAL, seal_block(store, block, err));
}

static bool change_state(struct store *store, int64_t passed_ms, bool *did, struct err *err)
{
    (void)passed_ms;
    return state_step(&store->state, &store->manifest, did, err);
}

static bool delete (struct store *store, int64_t passed_ms, bool *did, struct err *err)
{
    (void)passed_ms;
    return deletions_step(store, did, err);
}

static bool read_again(struct store *store, int64_t passed_ms, bool *did, struct err *err)
{
    (void)passed_ms;
    return unread_step(store, did, err);
}

/* A step of the first that has something to do, of those that are not left alone. */
static bool work_in_turn(struct store *store, int64_t passed_ms, bool *did, struct err *err)
{
    static const struct {
        enum work work;
        bool (*run)(struct store *store, int64_t passed_ms, bool *did, struct err *err);
    } works[] = {
        {WORK_STATE, change_state},
        {WORK_PURGE, end_purge},
        {WORK_UNREAD, read_again},
        {WORK_DELETE, delete},
        {WORK_COMPACT, compact},
        {WORK_DERIVE, derive},
        {WORK_AGE, retention_by_age},
        {WORK_BYTES, retention_by_bytes},
        {WORK_PUT_AWAY, retention_put_away},
        {WORK_FORGET, retention_forget},
    };
    bool ok = true;
    *did = false;
    for (size_t i = 0; ok && !*did && i < sizeof works / sizeof *works; i++)
        if (may_try(store, works[i].work))
            ok = tried(store, works[i].work, works[i].run(store, passed_ms, did, err));
    return ok;
}

/* `seal` is held. *did: there was something to do. */
static bool step(struct store *store, int64_t passed_ms, bool *did, struct err *err)
{
    int64_t block;
    *did = true;
    bool may_seal = may_try(store, WORK_SEAL);
    if (may_seal && due_block(store, IN_TIME, passed_ms, &block))
        return seal(store, block, err);
    if (checkpoint_due(store))
        return checkpoint_write(store, err);
    if (!mark_late(store, passed_ms, err))
        return false;
    if (may_seal && due_block(store, LATE, passed_ms, &block))
        return seal(store, block, err);
    if (!forget_mark(store, passed_ms, did, err))
        return false;
    return *did || work_in_turn(store, passed_ms, did, err);
}

bool store_maintain_step(struct store *store, int64_t passed_ms, bool *more, struct err *err)
{
    *more = false;
    if (!store->path)
        return true;
    if (replay_phase(store) != REPLAY_OVER)
        return replay_went_well(store, err);
    mutex_lock(&store->seal);
    bool ok = !manifest_failed(&store->manifest);
    if (ok) {
        ok = store_settle(store, err) && step(store, passed_ms, more, err);
        count_debt(store, passed_ms);
        if (ok && !*more) {
            skips_end_round(&store->maintenance.skips);
            state_end_round(&store->state);
        }
        store->maintenance.unreadable = store->maintenance.skips.n;
    } else {
        store_lock_write(store);
        store->failed = true;
        store_unlock(store);
        err_set(err, ERR_IO, "the manifest failed: nothing is sealed until the restart");
    }
    mutex_unlock(&store->seal);
    return ok;
}

bool store_maintain(struct store *store, int64_t passed_ms, struct err *err)
{
    bool more = true;
    if (!replay_await(store, err))
        return false;
    mutex_lock(&store->seal);
    memset(store->maintenance.setbacks, 0, sizeof store->maintenance.setbacks);
    mutex_unlock(&store->seal);
    while (more)
        if (!store_maintain_step(store, passed_ms, &more, err))
            return false;
    return true;
}

/* ---- slowing down ---- */

/* 0 up to the bound, then in proportion, the longest wait at twice the bound. */
static uint64_t wait_ms(uint64_t there, uint64_t bound)
{
    if (there <= bound)
        return 0;
    double over = (double)(there - bound) / (double)bound;
    return over >= 1 ? THROTTLE_MS_MAX : (uint64_t)(over * THROTTLE_MS_MAX);
}

int store_throttle_ms(struct store *store)
{
    store_lock_read(store);
    uint64_t head =
        head_bytes(&store->head) + (store->frozen ? head_block_bytes(store->frozen->block) : 0);
    store_unlock(store);
    uint64_t debt = wait_ms(store->maintenance.debt_bytes, store->options.debt_bytes);
    uint64_t memory = wait_ms(head, HEAD_SLOW * store->options.head_bytes);
    return (int)(debt > memory ? debt : memory);
}
