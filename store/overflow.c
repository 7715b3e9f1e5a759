#include "store/overflow.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "store/bounds.h"
#include "store/catalog/catalog_priv.h"
#include "store/compact.h"
#include "store/store_priv.h"

/* ---- the label with the most values ---- */

/* The distinct pairs of a metric's labels. */
struct pairs {
    uint32_t *known; /* of the catalogue, ascending */
    size_t n_known, known_cap;
    struct label *fresh; /* those that the catalogue does not have, or not for this metric */
    size_t n_fresh, fresh_cap;
};

static int by_text(const void *a, const void *b)
{
    const struct label *x = a, *y = b;
    int c = slice_cmp(x->name, y->name);
    return c ? c : slice_cmp(x->value, y->value);
}

static void add_known(struct pairs *p, const struct catalog *c, struct slice metric)
{
    uint32_t name = catalog_find_name(c, SLICE(LABEL_METRIC_NAME)), id;
    uint32_t pair = name == MAP_NONE ? MAP_NONE : catalog_find_pair(c, name, metric);
    if (pair == MAP_NONE)
        return;
    struct id_cursor cursor = id_cursor_new(&c->pool, &catalog_pair_at(c, pair)->series);
    while (id_cursor_next(&cursor, &id)) {
        struct catalog_row row = catalog_row_of(c, id);
        GROW(p->known, p->known_cap, p->n_known + row.n);
        if (row.n)
            memcpy(p->known + p->n_known, row.pairs, row.n * sizeof *row.pairs);
        p->n_known += row.n;
    }
    if (p->n_known)
        qsort(p->known, p->n_known, sizeof *p->known, id_cmp);
    size_t n = 0;
    for (size_t i = 0; i < p->n_known; i++)
        if (i == 0 || p->known[i] != p->known[n - 1])
            p->known[n++] = p->known[i];
    p->n_known = n;
}

static void add_fresh(struct pairs *p, const struct catalog *c, struct labels labels)
{
    for (size_t i = 0; i < labels.n; i++) {
        const struct label *l = &labels.items[i];
        uint32_t name = catalog_find_name(c, l->name);
        uint32_t pair = name == MAP_NONE ? MAP_NONE : catalog_find_pair(c, name, l->value);
        if (pair != MAP_NONE && p->n_known &&
            bsearch(&pair, p->known, p->n_known, sizeof pair, id_cmp))
            continue;
        GROW(p->fresh, p->fresh_cap, p->n_fresh + 1);
        p->fresh[p->n_fresh++] = *l;
    }
}

static void take_wider(struct fold_entry *out, struct slice label, uint64_t values)
{
    if (values <= out->values || slice_is(label, LABEL_METRIC_NAME))
        return;
    out->label = label;
    out->values = values;
}

/* Counts the pairs by name: those of the catalogue by the name's id, then the others on top. */
static void widest_of(struct pairs *p, const struct catalog *c, struct fold_entry *out)
{
    uint64_t *values = xcalloc(c->n_names + 1, sizeof *values), fresh = 0;
    for (size_t i = 0; i < p->n_known; i++)
        values[catalog_pair_at(c, p->known[i])->name]++;
    for (size_t i = 0; i < c->n_names; i++)
        take_wider(out, c->names[i].name, values[i]);
    if (p->n_fresh)
        qsort(p->fresh, p->n_fresh, sizeof *p->fresh, by_text);
    for (size_t i = 0; i < p->n_fresh; i++) {
        const struct label *l = &p->fresh[i];
        bool same_name = i && slice_eq(l[-1].name, l->name);
        uint32_t name = catalog_find_name(c, l->name);
        fresh = same_name ? fresh : 0;
        fresh += !same_name || !slice_eq(l[-1].value, l->value);
        take_wider(out, l->name, fresh + (name == MAP_NONE ? 0 : values[name]));
    }
    free(values);
}

/* Of all series that the metric has, those of the transaction and the one that does not fit too. */
static void find_widest(const struct txn *txn, const struct metric_def *def, struct labels labels,
    struct fold_entry *out)
{
    const struct catalog *c = &txn->store->catalog;
    const struct transaction *t = &txn->data;
    struct pairs p = {0};
    add_known(&p, c, def->name);
    for (size_t i = 0; i < t->n_series; i++)
        if (t->series[i].metric == out->metric)
            add_fresh(&p, c, t->series[i].labels);
    add_fresh(&p, c, labels);
    widest_of(&p, c, out);
    free(p.known);
    free(p.fresh);
}

/* ---- in a transaction ---- */

struct metric_growth *overflow_growth(struct txn *txn, uint32_t metric)
{
    size_t cap = txn->growth_cap;
    GROW(txn->growth, txn->growth_cap, metric + 1);
    if (txn->growth_cap > cap)
        memset(txn->growth + cap, 0, (txn->growth_cap - cap) * sizeof *txn->growth);
    return &txn->growth[metric];
}

const struct fold_entry *overflow_of(
    struct txn *txn, uint32_t metric, const struct metric_def *def, struct labels labels, bool over)
{
    const struct limit_state *s = &txn->store->limits;
    struct metric_growth *growth = overflow_growth(txn, metric);
    if (metric < s->n && s->of_metric[metric].now)
        return &s->of_metric[metric].what;
    if (!growth->fold && over) {
        struct fold_entry fold = {.metric = metric};
        find_widest(txn, def, labels, &fold);
        fold.label = arena_slice(&txn->data.arena, fold.label);
        GROW(txn->folds, txn->folds_cap, txn->n_folds + 1);
        txn->folds[txn->n_folds++] = fold;
        growth->fold = (uint32_t)txn->n_folds;
    }
    return growth->fold ? &txn->folds[growth->fold - 1] : NULL;
}

/* ---- the day ---- */

static int64_t newest_cell(const struct transaction *t)
{
    int64_t newest = INT64_MIN;
    for (size_t i = 0; i < t->n_adds; i++)
        newest = t->adds[i].t > newest ? t->adds[i].t : newest;
    for (size_t i = 0; i < t->n_gauges; i++)
        newest = t->gauges[i].t > newest ? t->gauges[i].t : newest;
    for (size_t i = 0; i < t->n_hists; i++)
        newest = t->hists[i].t > newest ? t->hists[i].t : newest;
    for (size_t i = 0; i < t->n_samples; i++)
        newest = t->samples[i].t > newest ? t->samples[i].t : newest;
    return newest;
}

/* Clocks may stand at the ends of time. */
static void later(int64_t *newest, int64_t t)
{
    if (time_fits(t) && t > *newest)
        *newest = t;
}

/* What sources, or else clocks, say; t NULL: as of the last commit. INT64_MIN: nothing. */
static int64_t positions_time(const struct store *store, const struct transaction *t)
{
    int64_t newest = INT64_MIN;
    for (size_t i = 0; i < store->n_sources; i++)
        later(&newest, store->sources[i].newest_ms);
    for (size_t i = 0; t && i < t->n_sources; i++)
        later(&newest, t->sources[i].newest_ms);
    if (newest != INT64_MIN)
        return newest;
    for (size_t i = 0; i < store->n_clocks; i++)
        later(&newest, store->clocks[i].frontier_ms);
    for (size_t i = 0; t && i < t->n_clocks; i++)
        later(&newest, t->clocks[i].frontier_ms);
    return newest;
}

static int64_t event_time(const struct store *store, const struct transaction *t)
{
    int64_t newest = positions_time(store, t);
    if (newest != INT64_MIN)
        return newest;
    newest = atomic_load_explicit(&store->limits.newest_cell_ms, memory_order_relaxed);
    if (t)
        later(&newest, newest_cell(t));
    return newest;
}

/* The first midnight, UTC, behind t. */
static int64_t next_day(int64_t t)
{
    int64_t day = t / DAY_MS - (t % DAY_MS < 0);
    return (day + 1) * DAY_MS;
}

void overflow_settle(struct txn *txn)
{
    struct transaction *t = &txn->data;
    int64_t now = txn->n_folds ? event_time(txn->store, t) : INT64_MIN;
    t->n_folds = 0;
    if (now == INT64_MIN)
        return;
    GROW(t->folds, t->folds_cap, txn->n_folds);
    for (; t->n_folds < txn->n_folds; t->n_folds++) {
        t->folds[t->n_folds] = txn->folds[t->n_folds];
        t->folds[t->n_folds].until_ms = next_day(now);
    }
}

/* ---- what is durable ---- */

/* The mutex is held. */
static void begin_fold(struct store *store, const struct fold_entry *e)
{
    struct limit_state *s = &store->limits;
    GROW(s->of_metric, s->cap, e->metric + 1);
    while (s->n <= e->metric)
        s->of_metric[s->n++] = (struct folding){0};
    struct folding *fold = &s->of_metric[e->metric];
    s->stats.folding_metrics += !fold->now;
    /* Labels of the catalogue are never freed; one that it does not know is that of a label set
     * that was not let in. */
    uint32_t name = catalog_find_name(&store->catalog, e->label);
    *fold = (struct folding){true, *e};
    fold->what.label = name != MAP_NONE ? store->catalog.names[name].name
                                        : arena_slice(&store->catalog.strings, e->label);
}

static void apply(struct store *store, const struct transaction *t)
{
    struct limit_state *s = &store->limits;
    if (positions_time(store, t) == INT64_MIN) {
        int64_t newest = atomic_load_explicit(&s->newest_cell_ms, memory_order_relaxed);
        later(&newest, newest_cell(t));
        atomic_store_explicit(&s->newest_cell_ms, newest, memory_order_relaxed);
    }
    if (t->n_folds == 0)
        return;
    mutex_lock(&s->mutex);
    for (size_t i = 0; i < t->n_folds; i++)
        begin_fold(store, &t->folds[i]);
    mutex_unlock(&s->mutex);
}

void overflow_commit(struct txn *txn)
{
    struct store *store = txn->store;
    const struct transaction *t = &txn->data;
    apply(store, t);
    mutex_lock(&store->limits.mutex);
    store->limits.stats.folded += txn->folded;
    mutex_unlock(&store->limits.mutex);
    for (size_t i = 0; i < t->n_folds; i++) {
        const struct fold_entry *e = &t->folds[i];
        const struct metric_def *def = store->catalog.metrics[e->metric];
        log_warn("metric %.*s has reached its number of series: new label sets are %s; label %.*s "
                 "has %" PRIu64 " values",
            SLICE_FMT(def->name),
            def->kind == KIND_SAMPLE ? "refused" : "counted in {" LABEL_OVERFLOW "=\"true\"}",
            SLICE_FMT(e->label), e->values);
    }
}

bool overflow_replay(struct store *store, const struct transaction *t, struct err *err)
{
    for (size_t i = 0; i < t->n_folds; i++)
        if (t->folds[i].metric >= store->catalog.n_metrics)
            return err_set(
                err, ERR_CORRUPT, "transaction folds unknown metric %" PRIu32, t->folds[i].metric);
    apply(store, t);
    return true;
}

void overflow_begin(struct store *store)
{
    struct limit_state *s = &store->limits;
    if (s->stats.folding_metrics == 0)
        return;
    int64_t now = event_time(store, NULL);
    mutex_lock(&s->mutex);
    for (size_t i = 0; i < s->n; i++) {
        if (!s->of_metric[i].now || now < s->of_metric[i].what.until_ms)
            continue;
        s->of_metric[i] = (struct folding){0};
        s->stats.folding_metrics--;
        s->ended++;
    }
    mutex_unlock(&s->mutex);
}

void overflow_put(struct store *store, struct transaction *out)
{
    const struct limit_state *s = &store->limits;
    for (size_t i = 0; i < s->n; i++) {
        if (!s->of_metric[i].now)
            continue;
        GROW(out->folds, out->folds_cap, out->n_folds + 1);
        out->folds[out->n_folds++] = s->of_metric[i].what;
    }
}
