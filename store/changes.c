#include "store/changes.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "base/thread.h"
#include "store/change_ranges.h"
#include "store/snapshot_priv.h"

void change_log_init(struct change_log *log)
{
    *log = (struct change_log){0};
    mutex_init(&log->mutex);
    ensure(getrandom(&log->life, sizeof log->life, 0) == (ssize_t)sizeof log->life);
    log->life |= 1; /* the point of who has seen nothing is 0 */
}

void change_log_fini(struct change_log *log)
{
    free(log->entries);
    pthread_mutex_destroy(&log->mutex);
}

/* ---- bounds ---- */

static int by_place(const void *a, const void *b)
{
    const struct change_entry *x = a, *y = b;
    return change_compare(&x->change, &y->change);
}

/* Takes the entries of a metric together whose ranges are near. Returns how many are left, sorted
 * by metric. */
static size_t join_entries(struct change_entry *entries, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        entries[i].change.series = CHANGE_ALL;
    qsort(entries, n, sizeof *entries, by_place);
    for (size_t i = 0; i < n; i++) {
        struct change_entry *last = kept ? &entries[kept - 1] : NULL;
        if (!last || !change_join(&last->change, &entries[i].change, CHANGE_NEAR_MS)) {
            entries[kept++] = entries[i];
            continue;
        }
        last->first = entries[i].first < last->first ? entries[i].first : last->first;
        last->last = entries[i].last > last->last ? entries[i].last : last->last;
    }
    return kept;
}

static int by_last(const void *a, const void *b)
{
    const struct change_entry *x = a, *y = b;
    return (x->last > y->last) - (x->last < y->last);
}

/* The older half becomes coarser; when that does not help, it is forgotten. */
static void shrink(struct change_log *log)
{
    size_t half = log->n / 2;
    uint64_t newest = log->entries[half - 1].last;
    size_t kept = join_entries(log->entries, half);
    if (kept > half / 2) {
        kept = 0;
        log->reach = newest;
    }
    if (kept)
        qsort(log->entries, kept, sizeof *log->entries, by_last);
    memmove(log->entries + kept, log->entries + half, (log->n - half) * sizeof *log->entries);
    log->n -= half - kept;
}

void change_log_reserve(struct change_log *log, size_t n)
{
    mutex_lock(&log->mutex);
    while (log->n > 1 && log->n + n > CHANGES_MAX)
        shrink(log);
    GROW(log->entries, log->cap, log->n + n);
    mutex_unlock(&log->mutex);
}

void change_log_append(struct change_log *log, const struct change *changes, size_t n)
{
    mutex_lock(&log->mutex);
    log->number++;
    GROW(log->entries, log->cap, log->n + n);
    for (size_t i = 0; i < n; i++)
        log->entries[log->n++] = (struct change_entry){changes[i], log->number, log->number};
    mutex_unlock(&log->mutex);
}

struct change_point change_log_point(struct change_log *log)
{
    mutex_lock(&log->mutex);
    struct change_point point = {log->life, log->number};
    mutex_unlock(&log->mutex);
    return point;
}

/* ---- asking ---- */

/* The entries of the numbers after since up to until, on the heap; false when it does not reach. */
static bool copy_entries(struct change_log *log, struct change_point since,
    struct change_point until, struct change **out, size_t *n)
{
    *out = NULL;
    *n = 0;
    mutex_lock(&log->mutex);
    bool known = since.life == log->life && until.life == log->life && since.number >= log->reach;
    size_t at = log->n;
    while (known && at > 0 && log->entries[at - 1].last > since.number)
        at--;
    if (known)
        *out = xcalloc(log->n - at, sizeof **out);
    for (; known && at < log->n; at++)
        if (log->entries[at].first <= until.number)
            (*out)[(*n)++] = log->entries[at].change;
    mutex_unlock(&log->mutex);
    return known;
}

bool change_log_between(struct change_log *log, struct change_point since,
    struct change_point until, change_f *each, void *ctx)
{
    struct change *changes;
    size_t n;
    bool known = copy_entries(log, since, until, &changes, &n);
    n = changes_join(changes, n);
    for (size_t i = 0; i < n; i++)
        each(ctx, &changes[i]);
    free(changes);
    return known;
}

struct change_point snapshot_point(struct snapshot *snapshot)
{
    snapshot_settle(snapshot);
    return snapshot->point;
}

bool snapshot_changes(
    struct snapshot *snapshot, struct change_point since, change_f *each, void *ctx)
{
    return change_log_between(
        &snapshot->store->changes, since, snapshot_point(snapshot), each, ctx);
}

struct slice store_metric_name(struct store *store, uint32_t metric)
{
    struct slice name = {"", 0};
    catalog_lock_read(&store->catalog);
    if (metric < store->catalog.n_metrics)
        name = store->catalog.metrics[metric]->name;
    catalog_unlock(&store->catalog);
    return name;
}

void changes_note(
    struct store *store, const uint32_t *ids, size_t n, int64_t from_ms, int64_t to_ms)
{
    struct change_set set = {0};
    const struct change all = {CHANGE_ALL, CHANGE_ALL, from_ms, to_ms};
    if (ids) {
        catalog_lock_read(&store->catalog);
        change_set_series(&set, &store->catalog, ids, n, from_ms, to_ms);
        catalog_unlock(&store->catalog);
    }
    change_log_reserve(&store->changes, ids ? set.n : 1);
    change_log_append(&store->changes, ids ? set.items : &all, ids ? set.n : 1);
    change_set_fini(&set);
}
