#include "store/limits.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "store/catalog/catalog_priv.h"
#include "store/compact.h"
#include "store/store_priv.h"

#define OVERFLOW_LABEL "overflow"

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

/* ---- folding ---- */

static int by_id(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* The label of the metric with the most distinct values: the pairs of all its series, each once,
 * counted by name. The writer calls. */
static void find_widest(const struct catalog *c, struct slice metric, struct folding *out)
{
    uint32_t name = catalog_find_name(c, SLICE(LABEL_METRIC_NAME)), id;
    uint32_t pair = name == MAP_NONE ? MAP_NONE : catalog_find_pair(c, name, metric);
    uint32_t *pairs = NULL;
    size_t n = 0, cap = 0;
    if (pair == MAP_NONE)
        return;
    struct id_cursor cursor = id_cursor_new(&c->pool, &catalog_pair_at(c, pair)->series);
    while (id_cursor_next(&cursor, &id)) {
        struct catalog_row row = catalog_row_of(c, id);
        GROW(pairs, cap, n + row.n);
        for (uint32_t i = 0; i < row.n; i++)
            pairs[n++] = row.pairs[i];
    }
    uint64_t *values = xcalloc(c->n_names, sizeof *values);
    if (n)
        qsort(pairs, n, sizeof *pairs, by_id);
    for (size_t i = 0; i < n; i++) {
        uint32_t of = catalog_pair_at(c, pairs[i])->name;
        if ((i == 0 || pairs[i] != pairs[i - 1]) && ++values[of] > out->values) {
            out->values = values[of];
            out->label = c->names[of].name;
        }
    }
    free(values);
    free(pairs);
}

/* The greatest event time that a source has read: it says which day it is. */
static int64_t event_time(const struct store *store)
{
    int64_t newest = INT64_MIN;
    for (size_t i = 0; i < store->n_sources; i++)
        if (store->sources[i].newest_ms > newest)
            newest = store->sources[i].newest_ms;
    return newest;
}

static int64_t next_day(int64_t t)
{
    return t < 0 || t > INT64_MAX - 2 * DAY_MS ? INT64_MAX : (t / DAY_MS + 1) * DAY_MS;
}

static uint64_t series_of(const struct txn *txn, uint32_t metric)
{
    uint64_t n = metric < txn->data.first_metric
                     ? catalog_series_of_metric(&txn->store->catalog, metric)
                     : 0;
    return n + (metric < txn->added_cap ? txn->added[metric] : 0);
}

static bool over(const struct txn *txn, uint32_t metric)
{
    const struct limits *l = &txn->store->options.limits;
    const struct catalog *c = &txn->store->catalog;
    return (l->series && c->n_series - c->n_dead + txn->data.n_series >= l->series) ||
           (l->series_per_metric && series_of(txn, metric) >= l->series_per_metric);
}

static void begin_fold(struct txn *txn, uint32_t metric, const struct metric_def *def)
{
    struct store *store = txn->store;
    struct folding fold = {.until_ms = next_day(event_time(store))};
    find_widest(&store->catalog, def->name, &fold);
    struct limit_state *s = &store->limits;
    mutex_lock(&store->limits.mutex);
    s->of_metric[metric] = fold;
    s->stats.folding_metrics++;
    mutex_unlock(&store->limits.mutex);
    log_warn("metric %.*s has reached its number of series: new label sets are %s; label %.*s has "
             "%" PRIu64 " values",
        SLICE_FMT(def->name),
        def->kind == KIND_SAMPLE ? "refused" : "counted in {" OVERFLOW_LABEL "=\"true\"}",
        SLICE_FMT(fold.label), fold.values);
}

static void reserve(struct txn *txn, uint32_t metric)
{
    struct limit_state *s = &txn->store->limits;
    if (metric < s->n)
        return;
    mutex_lock(&txn->store->limits.mutex);
    GROW(s->of_metric, s->cap, metric + 1);
    while (s->n <= metric)
        s->of_metric[s->n++] = (struct folding){0};
    mutex_unlock(&txn->store->limits.mutex);
}

void limits_begin(struct store *store)
{
    struct limit_state *s = &store->limits;
    if (s->n <= store->catalog.n_metrics && s->stats.folding_metrics == 0)
        return;
    int64_t now = event_time(store);
    mutex_lock(&store->limits.mutex);
    for (size_t i = 0; i < s->n; i++) {
        bool aborted = i >= store->catalog.n_metrics; /* the transaction that defined it */
        if (!s->of_metric[i].until_ms || (!aborted && now < s->of_metric[i].until_ms))
            continue;
        s->of_metric[i] = (struct folding){0};
        s->stats.folding_metrics--;
        s->ended++;
    }
    mutex_unlock(&store->limits.mutex);
}

/* Whether the metric folds now. */
static bool folds(struct txn *txn, uint32_t metric, const struct metric_def *def)
{
    struct store *store = txn->store;
    reserve(txn, metric);
    const struct folding *f = &store->limits.of_metric[metric];
    if (!f->until_ms && over(txn, metric))
        begin_fold(txn, metric, def);
    return f->until_ms != 0;
}

/* Counts; false, for who refuses. */
static bool count(struct store *store, uint64_t *counter)
{
    mutex_lock(&store->limits.mutex);
    ++*counter;
    mutex_unlock(&store->limits.mutex);
    return false;
}

bool limits_admit(struct txn *txn, uint32_t metric, const struct metric_def *def,
    struct labels labels, bool *fold, struct label *out, struct err *err)
{
    struct store *store = txn->store;
    const struct limits *l = &store->options.limits;
    *fold = false;
    if (!check_labels(l, labels, err))
        return count(store, &store->limits.stats.refused_series);
    if ((!l->series && !l->series_per_metric) || !folds(txn, metric, def))
        return true;
    if (def->kind == KIND_SAMPLE) {
        err_set(err, ERR_LIMIT,
            "metric %.*s has reached its number of series; label %.*s has %" PRIu64 " values",
            SLICE_FMT(def->name), SLICE_FMT(store->limits.of_metric[metric].label),
            store->limits.of_metric[metric].values);
        return count(store, &store->limits.stats.refused_series);
    }
    out[0] = (struct label){SLICE(LABEL_METRIC_NAME), def->name};
    out[1] = (struct label){SLICE(OVERFLOW_LABEL), SLICE("true")};
    *fold = true;
    count(store, &store->limits.stats.folded);
    return true;
}

bool txn_accepts(struct txn *txn, int64_t t_ms, int64_t now_ms)
{
    struct store *store = txn->store;
    const struct limits *l = &store->options.limits;
    if (l->sample_age_ms && t_ms < now_ms - l->sample_age_ms)
        return count(store, &store->limits.stats.refused_old);
    if (l->sample_ahead_ms && t_ms > now_ms + l->sample_ahead_ms)
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
    catalog_lock_read(&store->catalog);
    mutex_lock(&store->limits.mutex);
    const struct limit_state *s = &store->limits;
    for (size_t i = 0; i < s->n; i++) {
        const struct folding *f = &s->of_metric[i];
        if (f->until_ms && i < store->catalog.n_metrics &&
            !each(ctx, &(struct folded_metric){
                           store->catalog.metrics[i]->name, f->label, f->values, f->until_ms}))
            break;
    }
    mutex_unlock(&store->limits.mutex);
    catalog_unlock(&store->catalog);
}
