#include "ingest/replay/replay_exchange.h"

#include "base/log.h"
#include "base/rfc3339.h"
#include "ingest/follow.h"
#include "ingest/lifecycle/lifecycle.h"
#include "ingest/lifecycle/lifecycle_run.h"
#include "ingest/replay/replay_net.h"
#include "ingest/rollup_history.h"
#include "ingest/rollup_run.h"
#include "store/metadata.h"
#include "store/transaction.h"

#define DAY_MS INT64_C(86400000)

bool replay_exchange_is_even(const struct replay_exchange *x)
{
    if (x->rollup->stream >= 0)
        return true;
    struct slice name = x->streams->lifecycles[x->rollup->lifecycle].name;
    struct expiry a = lifecycle_expiry(x->first, name), b = lifecycle_expiry(x->second, name);
    return a.minute == b.minute && a.key == b.key;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Retention takes raw cells, and counts from what is sealed, which the frontier has passed. */
static int64_t retention_after(const struct replay_exchange *x)
{
    const struct retention *all = x->retention;
    int64_t raw_ms = all->raw_ms, frontier, watermark;
    for (size_t i = 0; i < all->n_metrics; i++)
        if (slice_eq(all->metrics[i].metric, x->rollup->def.name) && all->metrics[i].raw_ms)
            raw_ms = all->metrics[i].raw_ms;
    if (raw_ms == 0 || raw_ms == RETENTION_FOR_EVER ||
        !store_clock(x->first, x->rollup->def.clock, &frontier, &watermark) ||
        frontier == INT64_MIN)
        return INT64_MIN;
    return window_end(frontier - raw_ms, DAY_MS);
}

/* Windows with later ends are whole: in the topics, and in what retention leaves raw. A lifecycle's
 * are when all that was open then began within what is there. */
static int64_t whole_after(
    const struct replay_exchange *x, const struct follow_span *span, int64_t from_ms)
{
    int64_t after = span->whole_after_ms;
    if (x->rollup->stream < 0 && after != INT64_MIN &&
        __builtin_add_overflow(
            after, x->streams->lifecycles[x->rollup->lifecycle].rules.expire_ms, &after))
        return INT64_MAX;
    after = later(after, from_ms);
    if (after > INT64_MAX - DAY_MS)
        return INT64_MAX;
    if (after != INT64_MIN)
        after = window_end(after, x->rollup->def.every_ms);
    return later(after, retention_after(x));
}

static bool note_one(void *ctx, struct labels labels, const struct metric_def *def)
{
    (void)labels, (void)def;
    *(bool *)ctx = true;
    return false;
}

/* A life of before the boundary is counted up there and down behind it: by two definitions, in
 * series that would never come to zero again. */
static bool fits_open(
    const struct replay_exchange *x, struct store *store, int64_t after_ms, struct err *err)
{
    bool has = false;
    struct matcher matcher = {MATCH_EQUAL, SLICE(LABEL_METRIC_NAME), x->rollup->def.name, NULL};
    struct listing listing = {
        .matchers = &matcher, .n_matchers = 1, .from_ms = INT64_MIN, .to_ms = after_ms};
    if (x->rollup->at != ROLLUP_AT_OPEN || after_ms == INT64_MIN)
        return true;
    if (!store_list_series(store, &listing, note_one, &has, err))
        return false;
    char at[RFC3339_MAX];
    rfc3339_format(after_ms, at);
    return !has || err_set(err, ERR_UNSUPPORTED,
                       "%.*s counts lives from their beginning to their end (at: open): it is made "
                       "anew only as a whole, and windows up to %s would stay as they are",
                       SLICE_FMT(x->rollup->def.name), at);
}

static bool too_many(struct err *err)
{
    return err_set(err, ERR_LIMIT,
        "more cells would change than one transaction holds (%u, of %u MiB): leave older windows "
        "alone, with --from",
        TRANSACTION_CELLS_MAX, TRANSACTION_BYTES_MAX >> 20);
}

/* One transaction: the cells, whose windows they are, and that the replay is over. */
static bool commit_net(const struct replay_exchange *x, const struct replay_net *net,
    struct rollup_history *history, int64_t after_ms, struct replay_order *order, struct err *err)
{
    uint64_t refused;
    struct replay_order done = *order;
    if (replay_net_cells(net) > TRANSACTION_CELLS_MAX)
        return too_many(err);
    done.state = REPLAY_DONE;
    done.whole_after_ms = after_ms;
    done.cells = replay_net_cells(net);
    struct txn *txn = txn_begin(x->first);
    rollup_history_extend(history, after_ms);
    rollup_history_write(history, txn);
    replay_order_write(&done, txn);
    if (!replay_net_write(net, txn, &refused, err) || !txn_commit(&txn, NULL, err)) {
        txn_abort(&txn);
        return err->code == ERR_LIMIT ? too_many(err) : false;
    }
    *order = done;
    if (refused)
        log_warn("replay of %s: a limit refused the label sets of %llu cells", order->rollup,
            (unsigned long long)refused);
    return true;
}

bool replay_exchange_may(const struct replay_exchange *x, int64_t from_ms, struct err *err)
{
    return fits_open(x, x->first, later(from_ms, retention_after(x)), err);
}

bool replay_exchange_do(
    const struct replay_exchange *x, struct replay_order *order, struct err *err)
{
    struct follow_span span = follow_span_of(x->second, x->first, x->streams);
    struct rollup_histories all;
    struct replay_net *net = NULL;
    int64_t after = whole_after(x, &span, order->from_ms);
    if (span.newest_ms == INT64_MIN || after >= span.newest_ms)
        return err_set(err, ERR_NOT_FOUND,
            "nothing to replay: of no window do the topics still hold all that was read");
    if (!fits_open(x, x->first, after, err) || !fits_open(x, x->second, after, err) ||
        !rollup_histories_read(x->first, &all, err))
        return false;
    struct rollup_history *h = rollup_history_find(&all, slice_from(order->rollup));
    bool ok = (h && hash128_eq(h->items[h->n - 1].meaning, x->rollup->meaning)) ||
              err_set(err, ERR_INVALID, "the store does not know the rollup as it is in force");
    ok = ok && replay_net_new(x->first, x->second, &x->rollup->def, after, INT64_MAX, &net, err) &&
         commit_net(x, net, h, after, order, err);
    replay_net_free(&net);
    rollup_histories_fini(&all);
    return ok;
}

size_t replay_exchange_rehearse(const struct replay_exchange *x, const struct replay_order *order)
{
    struct follow_span span = follow_span_of(x->second, x->first, x->streams);
    struct replay_net *net;
    struct err ignored; /* it is judged when both are level */
    int64_t after = whole_after(x, &span, order->from_ms);
    if (after >= span.newest_ms ||
        !replay_net_new(x->first, x->second, &x->rollup->def, after, INT64_MAX, &net, &ignored))
        return 0;
    size_t cells = replay_net_cells(net);
    replay_net_free(&net);
    return cells;
}
