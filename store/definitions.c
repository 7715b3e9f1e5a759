#include "store/definitions.h"

#include "base/mem.h"
#include "store/store_priv.h"

#define METRICS_AT_ONCE 256
/* Of labels. The part that passes it is the last: a frame has room for 256 MiB. */
#define LABEL_BYTES_AT_ONCE (16u << 20)

static void put_metrics(const struct store *store, struct definitions *left, struct transaction *t)
{
    const struct metric_def **metrics = store->catalog.metrics;
    t->first_metric = (uint32_t)left->metric;
    for (; left->metric < left->metrics_end && t->n_metrics < METRICS_AT_ONCE; left->metric++) {
        GROW(t->metrics, t->metrics_cap, t->n_metrics + 1);
        t->metrics[t->n_metrics++] = *metrics[left->metric];
    }
    /* Descriptions that have changed: the last ones first, in any order. */
    while (left->updates_end > 0 && t->n_metrics + t->n_updates < METRICS_AT_ONCE) {
        GROW(t->updates, t->updates_cap, t->n_updates + 1);
        t->updates[t->n_updates++] = *metrics[--left->updates_end];
    }
}

static size_t label_bytes(struct labels labels)
{
    size_t bytes = 0;
    for (size_t i = 0; i < labels.n; i++)
        bytes += labels.items[i].name.len + labels.items[i].value.len;
    return bytes;
}

static void put_series(
    const struct store *store, struct definitions *left, size_t max, struct transaction *t)
{
    const struct catalog *c = &store->catalog;
    size_t bytes = 0;
    t->first_series = (uint32_t)left->series;
    for (; left->series < left->series_end && t->n_series < max && bytes < LABEL_BYTES_AT_ONCE;
         left->series++) {
        uint32_t id = (uint32_t)left->series;
        struct series_def def = {0}; /* one that was removed keeps its place, without labels */
        if (catalog_has(c, id))
            def = (struct series_def){catalog_metric_of(c, id), catalog_labels(c, id, &t->arena)};
        GROW(t->series, t->series_cap, t->n_series + 1);
        t->series[t->n_series++] = def;
        bytes += label_bytes(def.labels);
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
    transaction_encode(&t, payload);
    transaction_fini(&t);
    return payload->len > 0;
}
