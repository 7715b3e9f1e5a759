#include "tests/store/support/workload.h"

#include <string.h>

#include "base/ensure.h"
#include "store/state/state.h"

void workload_init(struct workload *w, uint64_t seed, uint32_t series, int64_t history)
{
    *w = (struct workload){.rng = seed | 1, .series = series, .history = history, .newest = 8};
    w->naive = naive_new((size_t)WORKLOAD_METRICS * series);
}

void workload_fini(struct workload *w)
{
    naive_free(&w->naive);
}

uint64_t workload_bits(struct workload *w)
{
    w->rng ^= w->rng << 13;
    w->rng ^= w->rng >> 7;
    w->rng ^= w->rng << 17;
    return w->rng * 2685821657736338717ull;
}

uint32_t workload_below(struct workload *w, uint32_t n)
{
    return (uint32_t)((workload_bits(w) >> 32) * n >> 32);
}

int64_t workload_end(int64_t window)
{
    return WORKLOAD_T0 + (window + 1) * WORKLOAD_EVERY;
}

static void forget(struct naive_state *state, size_t t, size_t g, size_t k)
{
    if (t == 1 && state->there[t][g][k])
        state->forgotten = state->record[t][g][k];
    state->there[t][g][k] = false;
}

static void put_state(struct workload *w, struct txn *txn)
{
    uint32_t tables[NAIVE_TABLES] = {0};
    struct naive_state *state = &w->naive->state;
    struct err err;
    size_t t = workload_below(w, NAIVE_TABLES), g = workload_below(w, NAIVE_GENERATIONS);
    state->known[t] = true;
    if (txn)
        ensure(txn_state_table(txn, naive_table_name(t), t ? 8 : 0, &tables[t], &err));
    if (workload_below(w, 10) == 0) {
        for (size_t k = 0; k < NAIVE_KEYS; k++)
            forget(state, t, g, k);
        w->wrote[WROTE_STATE]++;
        if (txn)
            txn_state_drop(txn, tables[t], (int64_t)g);
    }
    for (uint32_t n = workload_below(w, 8); n > 0; n--) {
        size_t k = workload_below(w, NAIVE_KEYS);
        uint64_t record = workload_bits(w);
        bool put = workload_below(w, 3) != 0;
        forget(state, t, g, k);
        state->there[t][g][k] = put;
        state->record[t][g][k] = record;
        w->wrote[WROTE_STATE]++;
        if (txn && put)
            txn_state_put(txn, tables[t], (int64_t)g, naive_key(k), t ? &record : NULL);
        else if (txn)
            txn_state_delete(txn, tables[t], (int64_t)g, naive_key(k));
    }
}

static void put_positions(struct workload *w, struct txn *txn)
{
    static const char *const names[2] = {"orders", "fridges"};
    char bytes[sizeof w->naive->sources->state];
    struct slice state = {bytes, workload_below(w, 8) ? 5 : workload_below(w, sizeof bytes + 1)};
    size_t i = workload_below(w, 2);
    int64_t frontier = workload_end(w->newest), watermark = frontier - 3 * WORKLOAD_EVERY;
    w->commits++;
    for (size_t k = 0; k < state.len; k++)
        bytes[k] = (char)workload_below(w, 256);
    /* The first source counts the transactions; the second one comes and goes. */
    naive_source(w->naive, 0, "commits", w->commits, frontier, state);
    naive_source(w->naive, 1 + i, names[i], w->commits * 10, frontier - 1, SLICE(""));
    naive_clock(w->naive, i, names[i], frontier, watermark);
    if (!txn)
        return;
    txn_source(txn, SLICE("commits"), w->commits, frontier, state);
    txn_source(txn, slice_from(names[i]), w->commits * 10, frontier - 1, SLICE(""));
    txn_clock(txn, slice_from(names[i]), frontier, watermark);
}

void workload_fill(struct workload *w, struct txn *txn, uint32_t max)
{
    if (workload_below(w, 200) == 0)
        w->new_help = !w->new_help;
    for (uint32_t n = workload_below(w, max) + 1; n > 0; n--)
        workload_put_cell(w, txn);
    if (workload_below(w, 2) == 0)
        put_state(w, txn);
    put_positions(w, txn);
}
