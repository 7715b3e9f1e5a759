/*
 * Transactions: collecting, committing. See store.h.
 *
 * While a transaction is open its thread is the only one that changes the catalogue, so it looks
 * ids up without the lock; new metrics and series get the ids that they will have once committed.
 */
#include "store/store.h"

#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "base/ensure.h"
#include "base/mem.h"
#include "base/thread.h"
#include "store/bounds.h"
#include "store/store_priv.h"

static struct txn *begin(struct store *store, bool alone)
{
    struct txn *txn = xcalloc(1, sizeof *txn);
    txn->store = store;
    transaction_init(&txn->data);
    buf_init(&txn->payload, 0);
    commit_waiter_init(&txn->waiter);
    txn->waiter.alone = alone;
    bool quiet = commit_turn_take(&store->commit_queue, &txn->waiter);
    /* What a start has held back comes first: it defines what is built upon. */
    if (quiet && !alone && store->tail_held && replay_went_well(store, &txn->err))
        store_release(store, &txn->err);
    txn->data.first_metric = (uint32_t)store->catalog.n_metrics;
    txn->data.first_series = (uint32_t)store->catalog.n_series;
    store->txn = txn;
    overflow_begin(store);
    return txn;
}

struct txn *txn_begin(struct store *store)
{
    return begin(store, false);
}

struct txn *txn_begin_alone(struct store *store)
{
    return begin(store, true);
}

static void txn_free(struct txn **txn)
{
    struct txn *t = *txn;
    struct store *store = t->store;
    *txn = NULL;
    transaction_fini(&t->data);
    buf_fini(&t->payload);
    map_fini(&t->metric_map);
    map_fini(&t->series_map);
    free(t->growth);
    free(t->folds);
    if (t->waiter.has_turn) {
        store->txn = NULL;
        commit_turn_give(&store->commit_queue, &t->waiter);
    }
    commit_waiter_fini(&t->waiter);
    free(t);
}

void txn_abort(struct txn **txn)
{
    ensure((*txn)->phase == TXN_OPEN);
    txn_free(txn);
}

/* ---- definitions ---- */

static bool new_metric_matches(const void *ctx, const void *key, uint32_t i)
{
    const struct transaction *t = ctx;
    return slice_eq(t->metrics[i].name, *(const struct slice *)key);
}

static bool new_series_matches(const void *ctx, const void *key, uint32_t i)
{
    const struct transaction *t = ctx;
    return labels_cmp(t->series[i].labels, *(const struct labels *)key) == 0;
}

static struct metric_def keep_def(struct arena *arena, const struct metric_def *def)
{
    struct metric_def kept = *def;
    kept.name = arena_slice(arena, def->name);
    kept.clock = arena_slice(arena, def->clock);
    kept.help = arena_slice(arena, def->help);
    kept.unit = arena_slice(arena, def->unit);
    return kept;
}

static bool same_shape(const struct metric_def *old, const struct metric_def *def, struct err *err)
{
    if (old->kind != def->kind)
        return err_set(err, ERR_INVALID, "metric %.*s is a %s in this store, and a %s is asked for",
            SLICE_FMT(def->name), kind_name(old->kind), kind_name(def->kind));
    if (old->every_ms != def->every_ms)
        return err_set(err, ERR_INVALID,
            "metric %.*s has windows of %lld ms in this store, and %lld ms are asked for",
            SLICE_FMT(def->name), (long long)old->every_ms, (long long)def->every_ms);
    if (old->digits != def->digits)
        return err_set(err, ERR_INVALID,
            "metric %.*s has %d digits in this store, and %d are asked for", SLICE_FMT(def->name),
            old->digits, def->digits);
    if (old->kind == KIND_HISTOGRAM && old->schema != def->schema)
        return err_set(err, ERR_INVALID,
            "metric %.*s has schema %d in this store, and %d is asked for", SLICE_FMT(def->name),
            old->schema, def->schema);
    return true;
}

static bool same_description(const struct metric_def *old, const struct metric_def *def)
{
    return slice_eq(old->help, def->help) && slice_eq(old->unit, def->unit) &&
           slice_eq(old->clock, def->clock) && old->stale_after_ms == def->stale_after_ms &&
           old->schema == def->schema;
}

bool txn_metric(struct txn *txn, const struct metric_def *def, uint32_t *metric, struct err *err)
{
    struct transaction *t = &txn->data;
    const struct catalog *c = &txn->store->catalog;
    if (!metric_def_check(def, err))
        return false;
    uint64_t hash = hash64(def->name.ptr, def->name.len);
    uint32_t id = catalog_find_metric(c, def->name);
    if (id != MAP_NONE) {
        *metric = id;
        if (!same_shape(c->metrics[id], def, err))
            return false;
        if (!same_description(c->metrics[id], def)) {
            GROW(t->updates, t->updates_cap, t->n_updates + 1);
            t->updates[t->n_updates++] = keep_def(&t->arena, def);
        }
        return true;
    }
    id = map_find(&txn->metric_map, hash, new_metric_matches, t, &def->name);
    if (id == MAP_NONE) {
        if (c->n_metrics + t->n_metrics >= CATALOG_METRICS_MAX)
            return err_set(
                err, ERR_LIMIT, "the store has %u metrics, and takes no more", CATALOG_METRICS_MAX);
        id = (uint32_t)t->n_metrics;
        GROW(t->metrics, t->metrics_cap, t->n_metrics + 1);
        t->metrics[t->n_metrics++] = keep_def(&t->arena, def);
        map_insert(&txn->metric_map, hash, id);
    } else if (!same_shape(&t->metrics[id], def, err)) {
        return false;
    }
    *metric = t->first_metric + id;
    return true;
}

const struct metric_def *txn_metric_of(const struct txn *txn, uint32_t metric)
{
    const struct transaction *t = &txn->data;
    return metric < t->first_metric ? txn->store->catalog.metrics[metric]
                                    : &t->metrics[metric - t->first_metric];
}

static bool find_series(const struct txn *txn, struct labels labels, uint32_t *series)
{
    uint32_t id = catalog_find_series(&txn->store->catalog, labels);
    if (id == MAP_NONE) {
        id = map_find(
            &txn->series_map, labels_hash(labels), new_series_matches, &txn->data, &labels);
        id = id == MAP_NONE ? id : txn->data.first_series + id;
    }
    *series = id;
    return id != MAP_NONE;
}

static uint32_t add_series(struct txn *txn, uint32_t metric, struct labels labels)
{
    struct transaction *t = &txn->data;
    uint32_t id = (uint32_t)t->n_series;
    GROW(t->series, t->series_cap, t->n_series + 1);
    t->series[t->n_series++] = (struct series_def){metric, labels_copy(&t->arena, labels)};
    map_insert(&txn->series_map, labels_hash(labels), id);
    overflow_growth(txn, metric)->series++;
    return t->first_series + id;
}

bool txn_series(
    struct txn *txn, uint32_t metric, struct labels labels, uint32_t *series, struct err *err)
{
    const struct metric_def *def = txn_metric_of(txn, metric);
    struct slice name = labels_get(labels, SLICE(LABEL_METRIC_NAME));
    struct label overflow[OVERFLOW_LABELS];
    bool fold;
    if (!name.ptr || !slice_eq(name, def->name))
        return err_set(err, ERR_INVALID,
            "a series of metric %.*s with " LABEL_METRIC_NAME "=\"%.*s\"", SLICE_FMT(def->name),
            SLICE_FMT(name));
    if (find_series(txn, labels, series))
        return true;
    if (!labels_check(labels, err) || !limits_admit(txn, metric, def, labels, &fold, overflow, err))
        return false;
    if (fold)
        labels = (struct labels){overflow, OVERFLOW_LABELS};
    if (fold && find_series(txn, labels, series)) {
        txn->folded++;
        return true;
    }
    if (fold && !limits_reserve(txn, def, err))
        return false;
    *series = add_series(txn, metric, labels);
    txn->folded += fold;
    return true;
}

bool txn_overflow(const struct txn *txn, uint32_t metric, uint32_t *series)
{
    struct label overflow[OVERFLOW_LABELS];
    overflow_labels(txn_metric_of(txn, metric), overflow);
    return find_series(txn, (struct labels){overflow, OVERFLOW_LABELS}, series);
}

uint64_t txn_removals(const struct txn *txn)
{
    return txn->store->catalog.removals + txn->store->limits.ended;
}

/* ---- commit ---- */

/* State tables wait to be flushed or merged, and maintenance cannot keep up: the writer does it.
 * What fails here fails again, and is said, in store_maintain. */
static void help(struct store *store)
{
    mutex_lock(&store->seal);
    bool ok = manifest_works(&store->manifest), did = true;
    while (ok && did && state_behind(&store->state))
        ok = state_step(&store->state, &store->manifest, &did, NULL);
    mutex_unlock(&store->seal);
}

bool txn_finish(struct txn **txn, uint64_t *lsn, struct err *err)
{
    struct store *store = (*txn)->store;
    if (!commit_await(*txn, err))
        return false;
    if (lsn)
        *lsn = (*txn)->lsn;
    txn_free(txn);
    if (state_behind(&store->state))
        help(store);
    return true;
}

void txn_leave_cells(struct txn *txn)
{
    txn->leave = true;
}

bool txn_commit(struct txn **txn, uint64_t *lsn, struct err *err)
{
    return txn_make_ready(*txn, err) && txn_finish(txn, lsn, err);
}
