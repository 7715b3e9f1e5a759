/*
 * Appending to a store on disk: how fast, and what a series costs in memory. Prints one JSON
 * object.
 *
 *     taskset -c 0 build/bench/store_append FOLDER [SERIES [PASSES [counter|sample|gauge]]]
 *
 * A million series with six labels each; every pass gives each of them one cell, 10 s later, in a
 * new random order, in transactions of 100,000 cells. The time is that of everything: adding the
 * cells to the transaction, encoding, writing and syncing the log, applying. Counters: a quarter of
 * the cells is 0, else up to 19. Samples: running sums of these. Gauges: random walks in
 * hundredths.
 *
 * Memory is what the allocator holds (jemalloc's stats.allocated) above what an empty store takes,
 * divided by the number of series: with the catalogue, after the passes, at their end.
 */
#include <jemalloc/jemalloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "bench/measure.h"
#include "store/store.h"

#define STEP_MS 10000
#define PER_TXN 100000

struct bench {
    struct store *store;
    enum kind kind;
    uint32_t n, *order;
    int64_t *value;
    uint64_t rng;
};

/* Only where jemalloc is: the sanitizers bring their own allocator. */
#pragma weak mallctl

static size_t allocated(void)
{
    uint64_t epoch = 1;
    size_t bytes = 0, len = sizeof bytes;
    if (!mallctl)
        return 0;
    mallctl("epoch", NULL, NULL, &epoch, sizeof epoch);
    mallctl("stats.allocated", &bytes, &len, NULL, 0);
    return bytes;
}

static size_t rss_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;
    if (f && fscanf(f, "%*u %lu", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return pages * 4096;
}

static uint32_t below(struct bench *b, uint32_t n)
{
    b->rng ^= b->rng << 13;
    b->rng ^= b->rng >> 7;
    b->rng ^= b->rng << 17;
    return (uint32_t)((b->rng >> 32) * n >> 32);
}

static void commit(struct txn *txn)
{
    struct err err;
    if (!txn_commit(&txn, NULL, &err)) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
}

static void define(struct bench *b)
{
    struct metric_def def = {.name = SLICE("bench_total"),
        .kind = b->kind,
        .digits = b->kind == KIND_GAUGE ? 2 : 0,
        .every_ms = b->kind == KIND_SAMPLE ? 0 : STEP_MS};
    static const char *const names[5] = {"category", "fridge", "kind", "region", "store"};
    struct txn *txn = txn_begin(b->store);
    for (uint32_t i = 0; i < b->n; i++) {
        char text[5][24];
        struct label labels[6] = {{SLICE("__name__"), def.name}};
        uint32_t metric, id;
        struct err err;
        const uint32_t of[5] = {i % 50, i / 10, i % 20, i / 100 % 10, i % 1000};
        for (int k = 0; k < 5; k++) {
            snprintf(text[k], sizeof text[k], "%s-%u", names[k], of[k]);
            labels[k + 1] = (struct label){slice_from(names[k]), slice_from(text[k])};
        }
        ensure(txn_metric(txn, &def, &metric, &err) &&
               txn_series(txn, metric, (struct labels){labels, 6}, &id, &err) && id == i);
        if (i % PER_TXN == PER_TXN - 1) {
            commit(txn);
            txn = txn_begin(b->store);
        }
    }
    commit(txn);
}

static void put(struct bench *b, struct txn *txn, uint32_t s, int64_t t)
{
    int64_t step = below(b, 4) ? (int64_t)below(b, 20) : 0;
    if (b->kind == KIND_COUNTER) {
        txn_add(txn, s, t, step);
    } else if (b->kind == KIND_SAMPLE) {
        b->value[s] += step;
        txn_sample(txn, s, t, (double)b->value[s]);
    } else {
        int64_t v = b->value[s] += (int64_t)below(b, 101) - 50;
        struct gauge_cell g = {v, t - below(b, STEP_MS), v, v, v, 1};
        txn_gauge(txn, s, t, &g);
    }
}

static void shuffle(struct bench *b)
{
    for (uint32_t i = b->n - 1; i > 0; i--) {
        uint32_t k = below(b, i + 1), x = b->order[i];
        b->order[i] = b->order[k];
        b->order[k] = x;
    }
}

/* One cell of every series; the shuffling does not count. */
static void pass(struct bench *b, int64_t t, double *wall, double *cpu)
{
    shuffle(b);
    double begin = seconds(CLOCK_MONOTONIC), cpu_begin = seconds(CLOCK_PROCESS_CPUTIME_ID);
    for (uint32_t i = 0; i < b->n;) {
        struct txn *txn = txn_begin(b->store);
        for (uint32_t end = i + PER_TXN; i < b->n && i < end; i++)
            put(b, txn, b->order[i], t);
        commit(txn);
    }
    *wall += seconds(CLOCK_MONOTONIC) - begin;
    *cpu += seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu_begin;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: store_append FOLDER [SERIES [PASSES [counter|sample|gauge]]]\n");
        return 2;
    }
    struct bench b = {.n = argc > 2 ? (uint32_t)atoi(argv[2]) : 1000000, .rng = 88172645463325252u};
    int passes = argc > 3 ? atoi(argv[3]) : 60;
    const char *kind = argc > 4 ? argv[4] : "counter";
    b.kind = strcmp(kind, "gauge") == 0    ? KIND_GAUGE
             : strcmp(kind, "sample") == 0 ? KIND_SAMPLE
                                           : KIND_COUNTER;
    struct store_options options = {.path = argv[1], .checkpoint_bytes = 1ull << 40};
    struct err err;
    log_set_level(LOG_ERROR);
    b.order = xreallocarray(NULL, b.n, sizeof *b.order);
    b.value = xcalloc(b.n, sizeof *b.value);
    for (uint32_t i = 0; i < b.n; i++)
        b.order[i] = i;
    if (!store_open(&options, &b.store, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    size_t empty = allocated(), rss_empty = rss_bytes();
    define(&b);
    size_t defined = allocated();
    double seconds = 0, cpu = 0;
    int64_t t = 7200000ll * 200000;
    for (int i = 0; i < passes; i++)
        pass(&b, t += STEP_MS, &seconds, &cpu);
    struct store_stats stats;
    store_stats(b.store, &stats);
    printf("{\"kind\":\"%s\",\"series\":%u,\"cells_per_series\":%d,\"cells_per_s\":%.0f,\"cells_"
           "per_cpu_s\":%.0f",
        kind, b.n, passes, (double)b.n * passes / seconds, (double)b.n * passes / cpu);
    printf(",\"bytes_per_series\":%.1f,\"of_catalogue\":%.1f,\"of_head\":%.1f,\"rss_mb\":%.0f,"
           "\"rss_of_bench_mb\":%.0f",
        (double)(allocated() - empty) / b.n, (double)(defined - empty) / b.n,
        (double)stats.head_bytes / b.n, (double)rss_bytes() / 1e6, (double)rss_empty / 1e6);
    printf("}\n");
    store_close(&b.store);
    free(b.order);
    free(b.value);
    return 0;
}
