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
    if (quiet && !alone && store->tail_held)
        store_release(store, &txn->err);
    txn->data.first_metric = (uint32_t)store->catalog.n_metrics;
    txn->data.first_series = (uint32_t)store->catalog.n_series;
    store->txn = txn;
    limits_begin(store);
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
    free(t->added);
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
           slice_eq(old->clock, def->clock) && old->stale_after_ms == def->stale_after_ms;
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

static const struct metric_def *metric_of(const struct txn *txn, uint32_t metric)
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
    size_t cap = txn->added_cap;
    GROW(txn->added, txn->added_cap, metric + 1);
    memset(txn->added + cap, 0, (txn->added_cap - cap) * sizeof *txn->added);
    txn->added[metric]++;
    return t->first_series + id;
}

bool txn_series(
    struct txn *txn, uint32_t metric, struct labels labels, uint32_t *series, struct err *err)
{
    const struct metric_def *def = metric_of(txn, metric);
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
    if (!fold || !find_series(txn, labels, series))
        *series = add_series(txn, metric, labels);
    return true;
}

uint64_t txn_removals(const struct txn *txn)
{
    return txn->store->catalog.removals + txn->store->limits.ended;
}

/* ---- cells ---- */

/* Ends a check that failed. The first one is kept. */
static bool refuse(struct txn *txn, const struct err *err)
{
    if (!txn->refused)
        txn->refusal = *err;
    txn->refused = true;
    return false;
}

bool txn_refused(struct txn *txn, struct err *err)
{
    bool refused = txn->refused;
    if (refused)
        *err = txn->refusal;
    txn->refused = false;
    return refused;
}

/* Whether a cell may have this time; ensures that the series is there, and of the kind. */
static inline bool may_add(struct txn *txn, uint32_t series, int64_t t_ms, enum kind kind)
{
    const struct transaction *t = &txn->data;
    const struct catalog *c = &txn->store->catalog;
    uint32_t metric;
    if (series < t->first_series) {
        metric = catalog_metric_of(c, series);
    } else {
        ensure(series - t->first_series < t->n_series);
        metric = t->series[series - t->first_series].metric;
    }
    enum kind is = metric_of(txn, metric)->kind;
    ensure(is == kind || (is == KIND_LEVEL && kind == KIND_COUNTER));
    if (time_fits(t_ms))
        return true;
    struct err err;
    time_check(t_ms, &err);
    return refuse(txn, &err);
}

bool txn_add(struct txn *txn, uint32_t series, int64_t end_ms, int128 amount)
{
    struct transaction *t = &txn->data;
    if (!may_add(txn, series, end_ms, KIND_COUNTER))
        return false;
    GROW(t->adds, t->adds_cap, t->n_adds + 1);
    t->adds[t->n_adds++] = (struct add_cell){series, end_ms, amount};
    return true;
}

bool txn_gauge(struct txn *txn, uint32_t series, int64_t end_ms, const struct gauge_cell *cell)
{
    struct transaction *t = &txn->data;
    ensure(cell->count >= 1);
    if (!may_add(txn, series, end_ms, KIND_GAUGE))
        return false;
    GROW(t->gauges, t->gauges_cap, t->n_gauges + 1);
    t->gauges[t->n_gauges++] = (struct gauge_entry){series, end_ms, *cell};
    return true;
}

bool txn_histogram(struct txn *txn, uint32_t series, int64_t end_ms, const struct hist_cell *cell)
{
    struct transaction *t = &txn->data;
    struct err err;
    if (!may_add(txn, series, end_ms, KIND_HISTOGRAM))
        return false;
    if (!hist_cell_check(cell, &err))
        return refuse(txn, &err);
    ensure(t->n_buckets + cell->n <= UINT32_MAX);
    GROW(t->hists, t->hists_cap, t->n_hists + 1);
    GROW(t->buckets, t->buckets_cap, t->n_buckets + cell->n);
    t->hists[t->n_hists++] =
        (struct hist_entry){series, end_ms, cell->sum, (uint32_t)t->n_buckets, cell->n};
    if (cell->n)
        memcpy(t->buckets + t->n_buckets, cell->buckets, cell->n * sizeof *cell->buckets);
    t->n_buckets += cell->n;
    return true;
}

bool txn_sample(struct txn *txn, uint32_t series, int64_t t_ms, double v)
{
    struct transaction *t = &txn->data;
    uint64_t bits;
    if (!may_add(txn, series, t_ms, KIND_SAMPLE))
        return false;
    memcpy(&bits, &v, sizeof bits);
    GROW(t->samples, t->samples_cap, t->n_samples + 1);
    t->samples[t->n_samples++] = (struct sample_entry){series, t_ms, 0, bits, NULL};
    return true;
}

bool txn_sample_histogram(
    struct txn *txn, uint32_t series, int64_t t_ms, const struct hist *histogram)
{
    struct transaction *t = &txn->data;
    struct err err;
    if (!may_add(txn, series, t_ms, KIND_SAMPLE))
        return false;
    if (!hist_check(histogram, &err))
        return refuse(txn, &err);
    GROW(t->samples, t->samples_cap, t->n_samples + 1);
    t->samples[t->n_samples++] =
        (struct sample_entry){series, t_ms, 0, 0, hist_copy(&t->arena, histogram)};
    return true;
}

void txn_sample_start(struct txn *txn, int64_t start_ms)
{
    struct transaction *t = &txn->data;
    ensure(t->n_samples > 0);
    t->samples[t->n_samples - 1].start = start_ms;
}

/* ---- sources and clocks ---- */

bool txn_source(
    struct txn *txn, struct slice name, int64_t next, int64_t newest_ms, struct slice state)
{
    struct transaction *t = &txn->data;
    struct err err;
    if (!source_check(name, newest_ms, state, &err))
        return refuse(txn, &err);
    GROW(t->sources, t->sources_cap, t->n_sources + 1);
    t->sources[t->n_sources++] = (struct source_entry){
        arena_slice(&t->arena, name), next, newest_ms, arena_slice(&t->arena, state)};
    return true;
}

bool txn_clock(struct txn *txn, struct slice name, int64_t frontier_ms, int64_t watermark_ms)
{
    struct transaction *t = &txn->data;
    struct err err;
    if (!clock_check(name, &err))
        return refuse(txn, &err);
    GROW(t->clocks, t->clocks_cap, t->n_clocks + 1);
    t->clocks[t->n_clocks++] =
        (struct clock_entry){arena_slice(&t->arena, name), frontier_ms, watermark_ms};
    return true;
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

bool txn_commit(struct txn **txn, uint64_t *lsn, struct err *err)
{
    return txn_make_ready(*txn, err) && txn_finish(txn, lsn, err);
}
