#include "store/limits.h"

#include <inttypes.h>

#include "base/thread.h"
#include "store/segment/layout.h"
#include "store/store_priv.h"

/* The hard bounds are those of labels_check. */
static bool check_labels(const struct limits *l, struct labels labels, struct err *err)
{
    if (l->labels_per_series && labels.n > l->labels_per_series)
        return err_set(err, ERR_LIMIT, "a series with %zu labels; at most %" PRIu32 " are allowed",
            labels.n, l->labels_per_series);
    for (size_t i = 0; i < labels.n; i++) {
        const struct label *x = &labels.items[i];
        if (l->label_name_bytes && x->name.len > l->label_name_bytes)
            return err_set(err, ERR_LIMIT,
                "a label name of %zu bytes; 1 to %" PRIu32 " are allowed", x->name.len,
                l->label_name_bytes);
        if (l->label_value_bytes && x->value.len > l->label_value_bytes)
            return err_set(err, ERR_LIMIT,
                "label %.*s has a value of %zu bytes; 1 to %" PRIu32 " are allowed",
                SLICE_FMT(x->name), x->value.len, l->label_value_bytes);
    }
    return true;
}

/* ---- new label sets ---- */

static uint64_t series_of(struct txn *txn, uint32_t metric)
{
    uint64_t n = metric < txn->data.first_metric
                     ? catalog_series_of_metric(&txn->store->catalog, metric)
                     : 0;
    return n + overflow_growth(txn, metric)->series;
}

static uint64_t series_of_store(const struct txn *txn)
{
    const struct catalog *c = &txn->store->catalog;
    return c->n_series - c->n_dead + txn->data.n_series;
}

static bool over(struct txn *txn, uint32_t metric)
{
    const struct limits *l = &txn->store->options.limits;
    return (l->series && series_of_store(txn) >= l->series) ||
           (l->series_per_metric && series_of(txn, metric) >= l->series_per_metric);
}

/* Counts; false, for who refuses. */
static bool count(struct store *store, uint64_t *counter)
{
    mutex_lock(&store->limits.mutex);
    ++*counter;
    mutex_unlock(&store->limits.mutex);
    return false;
}

static bool refuse(struct store *store)
{
    return count(store, &store->limits.stats.refused_series);
}

/* What holds without any setting. */
static bool has_room(const struct txn *txn, struct err *err)
{
    uint64_t ids = txn->store->catalog.n_series + txn->data.n_series;
    if (series_of_store(txn) < SEGMENT_SERIES_MAX && ids < MAP_NONE - 1)
        return true;
    return err_set(err, ERR_LIMIT, "the store has %" PRIu64 " series, and takes no more",
        series_of_store(txn));
}

static bool check_reserved(const struct metric_def *def, struct labels labels, struct err *err)
{
    if (def->kind == KIND_SAMPLE || !labels_get(labels, SLICE(LABEL_OVERFLOW)).ptr)
        return true;
    return err_set(err, ERR_INVALID,
        "a series of metric %.*s with the label " LABEL_OVERFLOW ", which is the store's own",
        SLICE_FMT(def->name));
}

void overflow_labels(const struct metric_def *def, struct label out[OVERFLOW_LABELS])
{
    out[0] = (struct label){SLICE(LABEL_METRIC_NAME), def->name};
    out[1] = (struct label){SLICE(LABEL_OVERFLOW), SLICE("true")};
}

bool limits_admit(struct txn *txn, uint32_t metric, const struct metric_def *def,
    struct labels labels, bool *fold, struct label *out, struct err *err)
{
    struct store *store = txn->store;
    const struct limits *l = &store->options.limits;
    *fold = false;
    if (!check_labels(l, labels, err) || !check_reserved(def, labels, err) || !has_room(txn, err))
        return refuse(store);
    if (!l->series && !l->series_per_metric)
        return true;
    const struct fold_entry *why = overflow_of(txn, metric, def, labels, over(txn, metric));
    if (!why)
        return true;
    if (def->kind == KIND_SAMPLE) {
        err_set(err, ERR_LIMIT,
            "metric %.*s has reached its number of series; label %.*s has %" PRIu64 " values",
            SLICE_FMT(def->name), SLICE_FMT(why->label), why->values);
        return refuse(store);
    }
    overflow_labels(def, out);
    *fold = true;
    return true;
}

bool limits_reserve(struct txn *txn, const struct metric_def *def, struct err *err)
{
    struct store *store = txn->store;
    uint64_t most = store->options.limits.series;
    if (!most || series_of_store(txn) < most + OVERFLOW_SERIES_MAX)
        return true;
    err_set(err, ERR_LIMIT,
        "the store has its %" PRIu64 " series, and %d overflow series: none is left for metric "
        "%.*s",
        most, OVERFLOW_SERIES_MAX, SLICE_FMT(def->name));
    return refuse(store);
}

/* ---- pushed samples ---- */

bool txn_accepts(struct txn *txn, int64_t t_ms, int64_t now_ms)
{
    struct store *store = txn->store;
    const struct limits *l = &store->options.limits;
    int128 age = (int128)now_ms - t_ms;
    if (l->sample_age_ms && age > l->sample_age_ms)
        return count(store, &store->limits.stats.refused_old);
    if (l->sample_ahead_ms && -age > l->sample_ahead_ms)
        return count(store, &store->limits.stats.refused_ahead);
    return true;
}

void limits_stats(struct store *store, struct limit_stats *out)
{
    mutex_lock(&store->limits.mutex);
    *out = store->limits.stats;
    mutex_unlock(&store->limits.mutex);
}

void store_each_fold(struct store *store, fold_f *each, void *ctx)
{
    replay_await(store, NULL);
    catalog_lock_read(&store->catalog);
    mutex_lock(&store->limits.mutex);
    const struct limit_state *s = &store->limits;
    for (size_t i = 0; i < s->n; i++) {
        const struct fold_entry *f = &s->of_metric[i].what;
        if (s->of_metric[i].now &&
            !each(ctx, &(struct folded_metric){
                           store->catalog.metrics[i]->name, f->label, f->values, f->until_ms}))
            break;
    }
    mutex_unlock(&store->limits.mutex);
    catalog_unlock(&store->catalog);
}
