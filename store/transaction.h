/*
 * The contents of a transaction, and their bytes: what a WAL frame carries, and a checkpoint too.
 * docs/format/wal.md has the layout. A decoded transaction borrows its strings from the payload.
 *
 * Series and metrics that a transaction defines get the next ids, in order: ids are dense, and the
 * payload says the first one so that a replay out of place is noticed.
 */
#ifndef STORE_TRANSACTION_H
#define STORE_TRANSACTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "store/cell.h"
#include "store/histogram.h"
#include "store/labels.h"
#include "store/overflow.h"
#include "store/state/state_changes.h"

struct series_def {
    uint32_t metric;
    struct labels labels; /* with __name__ */
};

struct add_cell {
    uint32_t series;
    int64_t t;
    int128 amount;
};

struct gauge_entry {
    uint32_t series;
    int64_t t;
    struct gauge_cell cell;
};

struct hist_entry {
    uint32_t series;
    int64_t t;
    int128 sum;
    uint32_t first, n; /* in buckets */
};

struct sample_entry {
    uint32_t series;
    int64_t t;
    int64_t start; /* when its counter began, ms; 0: unknown */
    uint64_t bits;
    const struct hist *hist; /* NULL: a float; in the transaction's arena */
};

struct source_entry {
    struct slice name;
    int64_t next, newest_ms;
    struct slice state;
};

struct clock_entry {
    struct slice name;
    int64_t frontier_ms, watermark_ms;
};

/* Growing heap arrays; strings live in the arena (building) or in the payload (decoded). */
struct transaction {
    struct arena arena;
    uint32_t first_metric, first_series;
    struct metric_def *metrics;
    size_t n_metrics, metrics_cap;
    struct metric_def *updates; /* known metrics whose description changed */
    size_t n_updates, updates_cap;
    struct series_def *series;
    size_t n_series, series_cap;
    struct add_cell *adds;
    size_t n_adds, adds_cap;
    struct gauge_entry *gauges;
    size_t n_gauges, gauges_cap;
    struct hist_entry *hists;
    size_t n_hists, hists_cap;
    struct hist_bucket *buckets;
    size_t n_buckets, buckets_cap;
    struct sample_entry *samples;
    size_t n_samples, samples_cap;
    struct source_entry *sources;
    size_t n_sources, sources_cap;
    struct clock_entry *clocks;
    size_t n_clocks, clocks_cap;
    struct fold_entry *folds;
    size_t n_folds, folds_cap;
    struct state_changes state;
};

/* More cells than that, or a payload of more bytes, are refused. */
#define TRANSACTION_CELLS_MAX (8u << 20)
#define TRANSACTION_BYTES_MAX (64u << 20)

void transaction_init(struct transaction *t);
void transaction_fini(struct transaction *t);

void transaction_encode(const struct transaction *t, struct buf *out);
/* Into an initialised, empty transaction. ERR_CORRUPT says what and at which byte of the payload;
 * every count is checked against the bytes that are left before anything is allocated. Ids of
 * series and metrics are checked by whoever applies it. */
bool transaction_decode(struct slice payload, struct transaction *out, struct err *err);
/* New metrics, their updates and new series alone, which stand in front: what comes after them is
 * not even looked at. */
bool transaction_decode_definitions(struct slice payload, struct transaction *out, struct err *err);

/* Cells of all kinds. */
size_t transaction_cells(const struct transaction *t);
/* Memory that it holds. */
size_t transaction_bytes(const struct transaction *t);

#endif
