#include "store/delete.h"

#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "base/thread.h"
#include "store/deletion_file.h"
#include "store/seal.h"
#include "store/store_priv.h"

void deletions_fini(struct store *store)
{
    for (size_t i = 0; i < store->n_deletions; i++)
        deletion_fini(&store->deletions[i]);
    free(store->deletions);
    store->deletions = NULL;
    store->n_deletions = 0;
}

/* ---- what somebody sees ---- */

struct deletion_list deletions_get(const struct store *store)
{
    struct deletion_list list = {.n = store->n_deletions};
    struct deletion *all = xcalloc(list.n, sizeof *all);
    for (size_t i = 0; i < list.n; i++) {
        const struct deletion *d = &store->deletions[i];
        all[i] = (struct deletion){.lsn = d->lsn, .from = d->from, .to = d->to, .ids = d->ids};
        if (d->ids)
            atomic_fetch_add_explicit(&d->ids->refs, 1, memory_order_relaxed);
    }
    list.all = all;
    return list;
}

void deletions_put(struct deletion_list *list)
{
    struct deletion *all = (struct deletion *)(uintptr_t)list->all;
    for (size_t i = 0; i < list->n; i++)
        deleted_ids_put(&all[i].ids);
    free(all);
    *list = (struct deletion_list){0};
}

/* ---- what is left out ---- */

bool deletion_covers(const struct deletion *deletion, uint32_t series)
{
    const struct deletion *d = deletion;
    size_t n = d->ids ? d->ids->n : 0, lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (d->ids->ids[mid] < series)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n && d->ids->ids[lo] == series;
}

static int by_from(const void *a, const void *b)
{
    const struct merge_range *x = a, *y = b;
    return (x->from > y->from) - (x->from < y->from);
}

size_t deletion_join(struct merge_range *ranges, size_t n)
{
    size_t kept = 0;
    if (n > 1)
        qsort(ranges, n, sizeof *ranges, by_from);
    for (size_t i = 0; i < n; i++) {
        if (kept > 0 && ranges[i].from <= ranges[kept - 1].to) {
            if (ranges[i].to > ranges[kept - 1].to)
                ranges[kept - 1].to = ranges[i].to;
        } else {
            ranges[kept++] = ranges[i];
        }
    }
    return kept;
}

size_t deleted_ranges(const struct deletion_list *list, uint32_t series, uint64_t lsn,
    int64_t resolution_ms, struct merge_range *out)
{
    int64_t more_ms = resolution_ms > 0 ? resolution_ms - 1 : 0;
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++) {
        const struct deletion *d = &list->all[i];
        if (lsn <= d->lsn && deletion_covers(d, series))
            out[n++] = (struct merge_range){
                d->from, d->to > INT64_MAX - more_ms ? INT64_MAX : d->to + more_ms};
    }
    return deletion_join(out, n);
}

bool deletion_touches(
    const struct deletion_list *list, uint32_t series, const struct attached *segment)
{
    for (size_t i = 0; i < list->n; i++)
        if (deletion_overlaps(&list->all[i], segment) && deletion_covers(&list->all[i], series))
            return true;
    return false;
}

bool deletion_in_window(const struct deletion_list *list, uint32_t series, int64_t t0, int64_t t1)
{
    for (size_t i = 0; i < list->n; i++) {
        const struct deletion *d = &list->all[i];
        if (d->from < t1 && t0 < d->to && deletion_covers(d, series))
            return true;
    }
    return false;
}

bool columns_without(
    struct arena *arena, const struct merge_range *ranges, size_t n, struct columns *columns)
{
    struct columns kept[DELETIONS_MAX + 1];
    size_t k = 0;
    int64_t from = INT64_MIN;
    ensure(n <= DELETIONS_MAX);
    for (size_t i = 0; i <= n; i++) {
        int64_t to = i < n ? ranges[i].from : INT64_MAX;
        if (from < to)
            kept[k] = columns_slice(columns, from, to);
        if (from < to && kept[k].n > 0)
            k++;
        from = i < n ? ranges[i].to : from;
    }
    if (k > 0)
        return columns_merge(arena, kept, k, INT64_MIN, INT64_MAX, columns);
    *columns = (struct columns){.kind = columns->kind};
    return true;
}

/* ---- deleting ---- */

/* Seals the open blocks that the range touches; the writer is stopped. */
static bool seal_range(struct store *store, int64_t from, int64_t to, struct err *err)
{
    if (store->frozen && !seal_block(store, store->frozen->block->number, err))
        return false;
    for (bool more = true; more;) {
        int64_t number = 0;
        more = false;
        store_lock_settled(store);
        for (size_t i = 0; !more && i < store->head.n_blocks; i++) {
            const struct head_block *b = store->head.blocks[i];
            more = b->start < to && b->start + store->options.block_ms > from;
            number = b->number;
        }
        store_unlock(store);
        if (more && !seal_block(store, number, err))
            return false;
    }
    return true;
}

/* *take is empty when it was taken: when it is durable; and when that failed, but the file may say
 * it, so that the next start would find it. Then it holds, as the file says. */
static bool add(struct store *store, struct deletion *take, struct err *err)
{
    if (!store->deletions)
        store->deletions = xcalloc(DELETIONS_MAX, sizeof *store->deletions);
    store_lock_write(store);
    store->deletions[store->n_deletions] = *take;
    store->deletions[store->n_deletions++].number = ++store->deletions_made;
    store_unlock(store);
    bool ok = deletions_save(store, store->n_deletions, err);
    changes_note(store, take->ids ? take->ids->ids : NULL, take->ids ? take->ids->n : 0, take->from,
        take->to); /* for a moment, if it failed */
    if (ok || deletions_may_be_saved(store, store->n_deletions)) {
        *take = (struct deletion){0};
        return ok || err_wrap(err, "it is deleted, and may be back after a loss of power");
    }
    store_lock_write(store);
    store->n_deletions--;
    store_unlock(store);
    return false;
}

/* `seal` is held, and the writer is stopped. */
static bool delete_now(struct store *store, struct deletion *d, uint64_t *series, struct err *err)
{
    if (!deletion_select(store, d, err))
        return false;
    if (!d->ids && store->n_quarantined == 0 && store->put_away.n == 0)
        return true;
    if (!seal_range(store, d->from, d->to, err))
        return false;
    d->lsn = store->lsn;
    *series = d->ids ? d->ids->n : 0;
    /* A start that doubts the last transaction must not bring it back behind the deletion. */
    struct manifest_edit edit = {.committed_lsn = d->lsn};
    return manifest_apply(&store->manifest, &edit, err) && add(store, d, err);
}

bool store_delete(struct store *store, const struct matcher *matchers, size_t n, int64_t from_ms,
    int64_t to_ms, uint64_t *series, struct err *err)
{
    struct deletion d = {.from = from_ms, .to = to_ms};
    *series = 0;
    if (!store->path)
        return err_set(err, ERR_UNSUPPORTED, "a store in memory only deletes nothing");
    if (from_ms >= to_ms)
        return true;
    if (n > MATCHERS_MAX)
        return err_set(err, ERR_LIMIT, "%zu matchers; %d are allowed", n, MATCHERS_MAX);
    if (!replay_await(store, err))
        return false;
    arena_init(&d.arena, 0);
    d.matchers = arena_array(&d.arena, n, sizeof *d.matchers);
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++)
        ok = deletion_add_matcher(&d, matchers[i].op, matchers[i].name, matchers[i].value, err);
    mutex_lock(&store->seal);
    ok = ok && store_settle(store, err);
    if (ok && store->n_deletions == DELETIONS_MAX)
        ok = err_set(err, ERR_LIMIT, "%d deletions wait for maintenance already", DELETIONS_MAX);
    if (ok) {
        struct txn *none = txn_begin_alone(store);
        ok = delete_now(store, &d, series, err);
        txn_abort(&none);
    }
    mutex_unlock(&store->seal);
    deletion_fini(&d); /* what add has not taken */
    return ok;
}
