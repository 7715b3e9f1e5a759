/*
 * What a transaction is given, checked on the way in: cells, sources, clocks. See store.h.
 */
#include <string.h>

#include "base/double_bits.h"
#include "base/ensure.h"
#include "base/mem.h"
#include "store/bounds.h"
#include "store/store_priv.h"

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
    enum kind is = txn_metric_of(txn, metric)->kind;
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
    if (!may_add(txn, series, t_ms, KIND_SAMPLE))
        return false;
    GROW(t->samples, t->samples_cap, t->n_samples + 1);
    t->samples[t->n_samples++] = (struct sample_entry){series, t_ms, 0, double_bits(v), NULL};
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
