/*
 * How long the ingestion waits for the end of a replay: the net of two stores' cells, and the
 * transaction that it becomes, when every cell changes.
 *
 *     build/bench/replay_swap FOLDER [SERIES [WINDOWS]]        190 10000
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/ensure.h"
#include "ingest/replay/replay_net.h"
#include "store/store.h"

#define T0    INT64_C(1700006400000)
#define EVERY 60000
#define BATCH 200 /* windows of a transaction */

static const struct metric_def def = {.name = {"orders_total", 12},
    .kind = KIND_COUNTER,
    .every_ms = EVERY,
    .stale_after_ms = 3600000};

static struct store *open_store(const char *folder, const char *name)
{
    char path[1024];
    struct err err;
    struct store *store;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    struct store_options options = {.path = path};
    if (!store_open(&options, &store, &err)) {
        fprintf(stderr, "%s\n", err.text);
        exit(2);
    }
    return store;
}

static void put_windows(struct store *store, int n_series, int first, int last, int64_t amount)
{
    struct err err;
    struct txn *txn = txn_begin(store);
    uint32_t metric, series;
    ensure(txn_metric(txn, &def, &metric, &err));
    for (int s = 0; s < n_series; s++) {
        char value[16];
        snprintf(value, sizeof value, "m%04d", s);
        struct label labels[] = {
            {SLICE(LABEL_METRIC_NAME), def.name}, {SLICE("market"), slice_from(value)}};
        ensure(txn_series(txn, metric, (struct labels){labels, 2}, &series, &err));
        for (int w = first; w < last; w++)
            txn_add(txn, series, T0 + (int64_t)w * EVERY, amount + (w * 7 + s) % 50);
    }
    ensure(txn_commit(&txn, NULL, &err));
}

static void fill(struct store *store, int n_series, int windows, int64_t amount)
{
    struct err err;
    bool more = true;
    for (int w = 0; w < windows; w += BATCH)
        put_windows(store, n_series, w, w + BATCH < windows ? w + BATCH : windows, amount);
    while (more && store_maintain_step(store, T0 + (int64_t)windows * EVERY, &more, &err))
        ;
}

int main(int argc, char **argv)
{
    int n_series = argc > 2 ? atoi(argv[2]) : 190, windows = argc > 3 ? atoi(argv[3]) : 10000;
    struct replay_net *net;
    struct err err;
    uint64_t refused;
    if (argc < 2 || n_series < 1 || windows < 1)
        return 2;
    struct store *first = open_store(argv[1], "first"), *second = open_store(argv[1], "second");
    fill(first, n_series, windows, 1);
    fill(second, n_series, windows, 2);
    int64_t t0 = clock_mono_ns();
    ensure(replay_net_new(first, second, &def, INT64_MIN, INT64_MAX, &net, &err));
    int64_t t1 = clock_mono_ns();
    struct txn *txn = txn_begin(first);
    ensure(replay_net_write(net, txn, &refused, &err) && txn_commit(&txn, NULL, &err));
    int64_t t2 = clock_mono_ns();
    printf("%zu cells: net %.0f ms, transaction %.0f ms\n", replay_net_cells(net),
        (double)(t1 - t0) / 1e6, (double)(t2 - t1) / 1e6);
    replay_net_free(&net);
    store_close(&first);
    store_close(&second);
    return 0;
}
