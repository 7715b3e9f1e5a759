#include "ingest/replay/replay_net.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/ensure.h"
#include "base/mem.h"
#include "store/columns.h"
#include "store/read.h"

#define NET_BYTES (512u << 20)

/* One series, in both stores. */
struct side {
    struct labels labels;
    struct columns columns;
};

struct sides {
    struct side *items;
    size_t n;
};

struct difference {
    struct labels labels;
    struct columns columns; /* amounts and buckets may be negative */
};

struct replay_net {
    struct arena arena;
    struct metric_def def;
    struct difference *items;
    size_t n, cap, cells;
};

static bool full(struct err *err)
{
    return err_set(err, ERR_LIMIT, "the cells of the span take more than %u MiB", NET_BYTES >> 20);
}

/* ---- reading ---- */

/* Where retention has taken raw cells and keeps coarser ones, what is missing cannot be told. */
static bool is_raw(struct plan *plan, size_t i, const struct metric_def *def, int64_t after_ms,
    int64_t until_ms, struct err *err)
{
    unsigned whole;
    return plan_whole(plan, i, after_ms, until_ms, &whole, err) &&
           ((whole & WHOLE_RAW) ||
               err_set(err, ERR_UNSUPPORTED,
                   "retention has taken cells of '%.*s' and keeps coarser ones, which cannot be "
                   "made anew: leave those windows alone, with --from",
                   SLICE_FMT(def->name)));
}

static bool read_sides(struct store *store, const struct metric_def *def, int64_t after_ms,
    int64_t until_ms, struct arena *arena, struct sides *out, struct err *err)
{
    struct matcher matcher = {MATCH_EQUAL, SLICE(LABEL_METRIC_NAME), def->name, NULL};
    struct snapshot *snapshot = snapshot_get(store);
    struct plan *plan;
    snapshot_limit(snapshot, NET_BYTES);
    bool ok = plan_new(snapshot, NULL, &matcher, 1, NULL, &plan, err);
    size_t n = ok ? plan_n(plan) : 0;
    for (size_t i = 0; ok && i < n; i++) {
        ok = is_raw(plan, i, def, after_ms, until_ms, err);
        plan_range(plan, i, after_ms, until_ms);
    }
    ok = ok && snapshot_fetch(snapshot, NULL, NULL, err);
    out->items = arena_array(arena, n + 1, sizeof *out->items);
    if (ok && !out->items) {
        full(err);
        ok = false;
    }
    for (out->n = 0; ok && out->n < n; out->n += ok) {
        struct side *side = &out->items[out->n];
        side->labels = labels_copy(arena, plan_labels(plan, out->n));
        ok = (side->labels.items || full(err)) &&
             plan_columns(plan, out->n, arena, &side->columns, err);
    }
    snapshot_put(&snapshot);
    return ok;
}

/* ---- differences ---- */

/* All of them with the opposite sign, in place. */
static void invert(struct columns *c)
{
    for (size_t i = 0; i < c->n; i++) {
        if (c->amount)
            c->amount[i] = -c->amount[i];
        if (c->sum)
            c->sum[i] = -c->sum[i];
    }
    for (uint32_t i = 0; c->bucket_at && i < c->bucket_at[c->n]; i++)
        c->bucket[i].count = -c->bucket[i].count;
}

/* have, want: one of them may be NULL, when the store has no such series. Merged they are what is
 * missing. */
static bool add_difference(struct replay_net *net, struct side *have, struct side *want,
    int64_t after_ms, int64_t until_ms, struct err *err)
{
    struct columns both[2], merged;
    size_t k = 0;
    ensure(have || want);
    if (have) {
        invert(&have->columns);
        both[k++] = have->columns;
    }
    if (want)
        both[k++] = want->columns;
    if (!columns_merge(&net->arena, both, k, after_ms, until_ms, &merged))
        return full(err);
    if (merged.n == 0)
        return true;
    GROW(net->items, net->cap, net->n + 1);
    net->items[net->n++] = (struct difference){have ? have->labels : want->labels, merged};
    net->cells += merged.n;
    return true;
}

/* Both are in order of labels. */
static bool compare(struct replay_net *net, struct sides *have, struct sides *want,
    int64_t after_ms, int64_t until_ms, struct err *err)
{
    bool ok = true;
    for (size_t i = 0, k = 0; ok && (i < have->n || k < want->n);) {
        int order = i == have->n   ? 1
                    : k == want->n ? -1
                                   : labels_cmp(have->items[i].labels, want->items[k].labels);
        ok = add_difference(net, order <= 0 ? &have->items[i] : NULL,
            order >= 0 ? &want->items[k] : NULL, after_ms, until_ms, err);
        i += order <= 0;
        k += order >= 0;
    }
    return ok;
}

bool replay_net_new(struct store *store, struct store *like, const struct metric_def *def,
    int64_t after_ms, int64_t until_ms, struct replay_net **out, struct err *err)
{
    struct replay_net *net = xcalloc(1, sizeof *net);
    struct sides have, want;
    ensure(def->kind != KIND_GAUGE);
    *out = NULL;
    net->def = *def;
    arena_init(&net->arena, NET_BYTES);
    if (read_sides(store, def, after_ms, until_ms, &net->arena, &have, err) &&
        read_sides(like, def, after_ms, until_ms, &net->arena, &want, err) &&
        compare(net, &have, &want, after_ms, until_ms, err))
        *out = net;
    else
        replay_net_free(&net);
    return *out != NULL;
}

void replay_net_free(struct replay_net **net)
{
    struct replay_net *n = *net;
    *net = NULL;
    if (!n)
        return;
    free(n->items);
    arena_fini(&n->arena);
    free(n);
}

size_t replay_net_cells(const struct replay_net *net)
{
    return net->cells;
}

/* ---- writing ---- */

static void write_cells(const struct columns *c, struct txn *txn, uint32_t series)
{
    for (size_t i = 0; i < c->n; i++) {
        if (c->kind != KIND_HISTOGRAM) {
            txn_add(txn, series, c->t[i], c->amount[i]);
            continue;
        }
        uint32_t at = c->bucket_at[i];
        struct hist_cell cell = {c->sum[i], c->bucket_at[i + 1] - at, &c->bucket[at]};
        txn_histogram(txn, series, c->t[i], &cell);
    }
}

bool replay_net_write(
    const struct replay_net *net, struct txn *txn, uint64_t *refused, struct err *err)
{
    uint32_t metric, series;
    *refused = 0;
    if (!txn_metric(txn, &net->def, &metric, err))
        return false;
    for (size_t i = 0; i < net->n; i++) {
        const struct difference *d = &net->items[i];
        if (txn_series(txn, metric, d->labels, &series, err))
            write_cells(&d->columns, txn, series);
        else if (err->code == ERR_LIMIT)
            *refused += d->columns.n;
        else
            return false;
    }
    return true;
}
