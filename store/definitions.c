#include "store/definitions.h"

#include "base/mem.h"
#include "store/store_priv.h"

#define METRICS_AT_ONCE 256

/* Texts can be long: a part is cut by their bytes as well. */
static size_t metric_bytes(const struct metric_def *def)
{
    return def->name.len + def->clock.len + def->help.len + def->unit.len;
}

static size_t labels_bytes(struct labels labels)
{
    size_t bytes = 0;
    for (size_t i = 0; i < labels.n; i++)
        bytes += labels.items[i].name.len + labels.items[i].value.len;
    return bytes;
}

static void put_metrics(const struct store *store, struct definitions *left, struct transaction *t)
{
    const struct metric_def **metrics = store->catalog.metrics;
    size_t bytes = 0;
    t->first_metric = (uint32_t)left->metric;
    for (; left->metric < left->metrics_end && t->n_metrics < METRICS_AT_ONCE &&
           bytes < DEFINITIONS_BYTES;
         left->metric++) {
        GROW(t->metrics, t->metrics_cap, t->n_metrics + 1);
        t->metrics[t->n_metrics++] = *metrics[left->metric];
        bytes += metric_bytes(metrics[left->metric]);
    }
    /* Descriptions that have changed: the last ones first, in any order. */
    while (left->updates_end > 0 && t->n_metrics + t->n_updates < METRICS_AT_ONCE &&
           bytes < DEFINITIONS_BYTES) {
        size_t id = --left->updates_end;
        if (store->catalog.metric_described[id] <= left->described)
            continue;
        GROW(t->updates, t->updates_cap, t->n_updates + 1);
        t->updates[t->n_updates++] = *metrics[id];
        bytes += metric_bytes(metrics[id]);
    }
}

static void put_series(
    const struct store *store, struct definitions *left, size_t max, struct transaction *t)
{
    const struct catalog *c = &store->catalog;
    size_t bytes = 0;
    t->first_series = (uint32_t)left->series;
    for (; left->series < left->series_end && t->n_series < max && bytes < DEFINITIONS_BYTES;
         left->series++) {
        uint32_t id = (uint32_t)left->series;
        GROW(t->series, t->series_cap, t->n_series + 1);
        /* One that was removed keeps its place, without labels. */
        t->series[t->n_series++] =
            catalog_has(c, id)
                ? (struct series_def){catalog_metric_of(c, id), catalog_labels(c, id, &t->arena)}
                : (struct series_def){0};
        bytes += labels_bytes(t->series[t->n_series - 1].labels);
    }
}

static void put_tables(const struct store *store, struct definitions *left, struct transaction *t)
{
    t->state.first_table = (uint32_t)left->table;
    for (; left->table < left->tables_end; left->table++) {
        const struct state_table *table = store->state.tables[left->table];
        state_changes_table(&t->state, slice_from(table->name), table->record_bytes);
    }
}

bool definitions_next(
    const struct store *store, struct definitions *left, size_t max_series, struct buf *payload)
{
    struct transaction t;
    transaction_init(&t);
    put_metrics(store, left, &t);
    /* Series come when all metrics are there. */
    if (left->metric == left->metrics_end)
        put_series(store, left, max_series, &t);
    if (left->series == left->series_end)
        put_tables(store, left, &t);
    transaction_encode(&t, payload);
    transaction_fini(&t);
    return payload->len > 0;
}
