/*
 * How long a store takes to open: after a clean stop, and after a kill just before a checkpoint.
 *
 *     store_open FOLDER [SERIES [CELLS]]       defaults: 1000000 series, 20 cells of each
 *
 * FOLDER is made and left. Prints one JSON object; times are seconds of the wall clock.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/ensure.h"
#include "base/log.h"
#include "bench/measure.h"
#include "store/store.h"

#define BATCH 100000

static struct metric_def orders = {.name = {"orders_total", 12},
    .kind = KIND_COUNTER,
    .every_ms = 5000,
    .stale_after_ms = 3600000,
    .clock = {"orders", 6}};

static struct store *open_store(const char *path, double *took)
{
    /* No checkpoint but those at the end: the log keeps all that came since. */
    struct store_options options = {.path = path, .checkpoint_bytes = UINT64_MAX};
    struct store *store;
    struct err err = {0};
    double start = seconds(CLOCK_MONOTONIC);
    check(store_open(&options, &store, &err), &err);
    *took = seconds(CLOCK_MONOTONIC) - start;
    return store;
}

/* One cell of each series at the time. */
static void append(struct store *store, uint32_t n_series, int64_t t)
{
    for (uint32_t i = 0; i < n_series;) {
        struct err err = {0};
        struct txn *txn = txn_begin(store);
        uint32_t metric, id;
        check(txn_metric(txn, &orders, &metric, &err), &err);
        for (uint32_t k = 0; k < BATCH && i < n_series; k++, i++) {
            char shop[24], city[24];
            snprintf(shop, sizeof shop, "shop-%u", i);
            snprintf(city, sizeof city, "city-%u", i % 1000);
            struct label l[4] = {{SLICE("__name__"), orders.name},
                {SLICE("city"), slice_from(city)}, {SLICE("kind"), SLICE("delivery")},
                {SLICE("shop"), slice_from(shop)}};
            check(txn_series(txn, metric, (struct labels){l, 4}, &id, &err), &err);
            txn_add(txn, id, t, 1 + (int)((i * 2654435761u + (uint32_t)t) >> 27));
        }
        check(txn_commit(&txn, NULL, &err), &err);
    }
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 4) {
        fprintf(stderr, "usage: store_open FOLDER [SERIES [CELLS]]\n");
        return 2;
    }
    uint32_t n_series = argc > 2 ? (uint32_t)atoi(argv[2]) : 1000000;
    int cells = argc > 3 ? atoi(argv[3]) : 20;
    double took, clean, killed;
    log_set_level(LOG_ERROR);
    struct store *store = open_store(argv[1], &took);
    append(store, n_series, 5000);
    store_close(&store);
    store = open_store(argv[1], &clean);
    for (int i = 2; i <= cells; i++)
        append(store, n_series, 5000 * i);
    store_close(&store);
    store = open_store(argv[1], &clean);
    store_close(&store);
    /* The child dies as by kill -9. */
    pid_t child = fork();
    if (child == 0) {
        store = open_store(argv[1], &took);
        for (int i = 1; i <= cells; i++)
            append(store, n_series, 5000 * (cells + i));
        _exit(0);
    }
    int status;
    ensure(child > 0 && waitpid(child, &status, 0) == child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return 2;
    store = open_store(argv[1], &killed);
    struct store_stats stats;
    store_stats(store, &stats);
    printf("{\"series\": %u, \"cells_in_log\": %llu, \"log_bytes\": %llu, "
           "\"open_clean_s\": %.2f, \"open_killed_s\": %.2f}\n",
        n_series, (unsigned long long)n_series * (unsigned)cells,
        (unsigned long long)stats.wal_bytes, clean, killed);
    store_close(&store);
    return 0;
}
