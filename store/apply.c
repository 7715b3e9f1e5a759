/*
 * Applying: what a durable transaction changes in memory. A commit applies what it has just synced,
 * recovery what it reads from a checkpoint or the log; the payload's ids are checked against the
 * catalogue before anything is changed.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "store/store_priv.h"

static bool bad(struct err *err, const char *what, uint64_t id)
{
    return err_set(err, ERR_CORRUPT, "transaction refers to %s %" PRIu64, what, id);
}

static bool check_cell(
    const struct store *store, uint32_t series, enum kind kind, enum kind or_kind, struct err *err)
{
    const struct catalog *c = &store->catalog;
    if (!catalog_has(c, series))
        return bad(err, "unknown series", series);
    enum kind k = catalog_def(c, series)->kind;
    return k == kind || k == or_kind || bad(err, "a cell of another kind than its series", series);
}

/* Everything in a payload that the catalogue has to know about, before anything is changed. */
static bool check_transaction(
    const struct store *store, const struct transaction *t, struct err *err)
{
    for (size_t i = 0; i < t->n_adds; i++)
        if (!check_cell(store, t->adds[i].series, KIND_COUNTER, KIND_LEVEL, err))
            return false;
    for (size_t i = 0; i < t->n_gauges; i++)
        if (!check_cell(store, t->gauges[i].series, KIND_GAUGE, KIND_GAUGE, err))
            return false;
    for (size_t i = 0; i < t->n_hists; i++)
        if (!check_cell(store, t->hists[i].series, KIND_HISTOGRAM, KIND_HISTOGRAM, err))
            return false;
    for (size_t i = 0; i < t->n_samples; i++)
        if (!check_cell(store, t->samples[i].series, KIND_SAMPLE, KIND_SAMPLE, err))
            return false;
    return true;
}

static bool define_metric(
    struct store *store, uint32_t id, const struct metric_def *def, struct err *err)
{
    struct catalog *c = &store->catalog;
    uint32_t known = catalog_find_metric(c, def->name);
    if (id == c->n_metrics && known == MAP_NONE) {
        catalog_add_metric(c, def);
        return true;
    }
    return (known == id && c->metrics[id]->kind == def->kind) || bad(err, "another metric", id);
}

/* Labels of a new series that an older one has: that one was removed, and the catalogue's file did
 * not say so yet when the program ended. All of those for whom series from i on come back go. */
static void remove_returned(struct catalog *c, const struct transaction *t, size_t i)
{
    uint32_t *ids = NULL;
    size_t n = 0, cap = 0, kept = 0;
    for (; i < t->n_series; i++) {
        uint32_t known = catalog_find_series(c, t->series[i].labels);
        if (known < t->first_series) {
            GROW(ids, cap, n + 1);
            ids[n++] = known;
        }
    }
    if (!ids)
        return;
    qsort(ids, n, sizeof *ids, id_cmp);
    for (size_t k = 0; k < n; k++)
        if (kept == 0 || ids[kept - 1] != ids[k])
            ids[kept++] = ids[k];
    catalog_remove(c, ids, kept);
    free(ids);
}

static bool define_series(
    struct store *store, const struct transaction *t, size_t i, struct err *err)
{
    struct catalog *c = &store->catalog;
    const struct series_def *def = &t->series[i];
    uint32_t id = t->first_series + (uint32_t)i;
    if (def->labels.n == 0 && id == c->n_series) { /* stands for one that was removed */
        catalog_add_dead(c);
        return true;
    }
    if (id < c->n_series && !catalog_has(c, id)) /* removed since this was written */
        return true;
    if (def->metric >= c->n_metrics)
        return bad(err, "unknown metric", def->metric);
    uint32_t known = catalog_find_series(c, def->labels);
    if (id == c->n_series && known < t->first_series) {
        remove_returned(c, t, i);
        known = MAP_NONE;
    }
    if (id == c->n_series && known == MAP_NONE && def->labels.n > 0) {
        catalog_add_series(c, def->metric, def->labels);
        return true;
    }
    return (known == id && catalog_metric_of(c, id) == def->metric) ||
           bad(err, "another series", id);
}

bool store_define(struct store *store, const struct transaction *t, struct err *err)
{
    struct catalog *c = &store->catalog;
    for (size_t i = 0; i < t->n_metrics; i++)
        if (!define_metric(store, t->first_metric + (uint32_t)i, &t->metrics[i], err))
            return false;
    for (size_t i = 0; i < t->n_updates; i++) {
        uint32_t id = catalog_find_metric(c, t->updates[i].name);
        if (id == MAP_NONE)
            return bad(err, "an unknown metric, number", i);
        catalog_update_metric(c, id, &t->updates[i]);
    }
    for (size_t i = 0; i < t->n_series; i++)
        if (!define_series(store, t, i, err))
            return false;
    return true;
}

/* Which blocks' cells a replay applies: those of the others are in segments already. */
struct sealed {
    const struct store *store;
    uint64_t lsn;
};

static bool not_in_segment(void *ctx, int64_t block)
{
    const struct sealed *s = ctx;
    return s->lsn > manifest_sealed_lsn(&s->store->manifest, block);
}

struct source *store_source_find(struct store *store, struct slice name)
{
    for (size_t i = 0; i < store->n_sources; i++)
        if (slice_eq(store->sources[i].name, name))
            return &store->sources[i];
    return NULL;
}

static void apply_source(struct store *store, const struct source_entry *e)
{
    struct source *s = store_source_find(store, e->name);
    if (!s) {
        GROW(store->sources, store->sources_cap, store->n_sources + 1);
        s = &store->sources[store->n_sources++];
        *s = (struct source){.name = arena_slice(&store->catalog.strings, e->name)};
    }
    s->next = e->next;
    s->newest_ms = e->newest_ms;
    s->state = xrealloc(s->state, e->state.len);
    if (e->state.len)
        memcpy(s->state, e->state.ptr, e->state.len);
    s->state_len = e->state.len;
}

struct stream_clock *store_clock_find(struct store *store, struct slice name)
{
    for (size_t i = 0; i < store->n_clocks; i++)
        if (slice_eq(store->clocks[i].name, name))
            return &store->clocks[i];
    return NULL;
}

static void apply_clock(struct store *store, const struct clock_entry *e)
{
    struct stream_clock *c = store_clock_find(store, e->name);
    if (!c) {
        GROW(store->clocks, store->clocks_cap, store->n_clocks + 1);
        c = &store->clocks[store->n_clocks++];
        *c = (struct stream_clock){
            arena_slice(&store->catalog.strings, e->name), INT64_MIN, INT64_MIN};
    }
    if (e->frontier_ms > c->frontier_ms)
        c->frontier_ms = e->frontier_ms;
    if (e->watermark_ms > c->watermark_ms)
        c->watermark_ms = e->watermark_ms;
}

void store_apply_clocks(struct store *store, const struct clock_entry *clocks, size_t n)
{
    if (n > 0)
        progress_moved(store);
    for (size_t i = 0; i < n; i++)
        apply_clock(store, &clocks[i]);
}

void store_apply_state(struct store *store, const struct transaction *t)
{
    if (t->n_sources > 0)
        progress_moved(store);
    for (size_t i = 0; i < t->n_sources; i++)
        apply_source(store, &t->sources[i]);
    store_apply_clocks(store, t->clocks, t->n_clocks);
    store->cells += transaction_cells(t);
}

bool store_replay_check(struct store *store, const struct transaction *t, struct err *err)
{
    return check_transaction(store, t, err) && overflow_replay(store, t, err);
}

bool store_replay_cells(
    struct store *store, const struct transaction *t, uint64_t lsn, size_t *at, size_t max)
{
    struct sealed sealed = {store, lsn};
    struct head_filter filter = {.block = not_in_segment, .ctx = &sealed};
    return head_apply(&store->head, t, at, max, store->manifest.n_sealed ? &filter : NULL);
}

bool store_replay(struct store *store, const struct transaction *t, uint64_t lsn, struct err *err)
{
    size_t at = 0;
    if (!store_replay_check(store, t, err))
        return false;
    store_replay_cells(store, t, lsn, &at, SIZE_MAX);
    store_apply_state(store, t);
    return true;
}
