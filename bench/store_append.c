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
 *
 * Then commits of one cell while four readers select everything and copy the newest cells of
 * 100,000 series over and over. What these can hold up is told apart from what the disk and the
 * neighbours do: the longest commit, less its fdatasync; and the longest that a reader had a lock
 * that commits take, in time of its processor.
 */
#include <dlfcn.h>
#include <inttypes.h>
#include <jemalloc/jemalloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "bench/measure.h"
#include "store/read.h"
#include "store/store.h"

#define STEP_MS  10000
#define PER_TXN  100000
#define READERS  4
#define COMMITS  200
#define READS    12
#define READ_MAX 100000

struct bench {
    struct store *store;
    enum kind kind;
    uint32_t n, *order;
    int64_t *value;
    uint64_t rng;
    atomic_bool stop;
    atomic_llong reads;
};

/* ---- what commits wait for ---- */

/* The library's calls of these come here. */
static _Thread_local double synced_s;   /* in fdatasync, by this thread */
static _Thread_local double held_since; /* 0: no lock */
static _Thread_local unsigned held;     /* locks */
static _Thread_local bool is_reader;
static atomic_ullong longest_hold_ns;

int fdatasync(int fd)
{
    double begin = seconds(CLOCK_MONOTONIC);
    long result = syscall(SYS_fdatasync, fd);
    synced_s += seconds(CLOCK_MONOTONIC) - begin;
    return (int)result;
}

static void lock_taken(void)
{
    if (is_reader && held++ == 0)
        held_since = seconds(CLOCK_THREAD_CPUTIME_ID);
}

static void lock_left(void)
{
    if (!is_reader || held == 0 || --held > 0)
        return;
    unsigned long long ns =
        (unsigned long long)((seconds(CLOCK_THREAD_CPUTIME_ID) - held_since) * 1e9);
    unsigned long long before = atomic_load(&longest_hold_ns);
    while (ns > before && !atomic_compare_exchange_weak(&longest_hold_ns, &before, ns))
        ;
}

/* The real function of that name, looked up once. */
typedef int lock_f(void *lock);
#define REAL(name)                                                                                 \
    static lock_f *_Atomic real;                                                                   \
    if (!real) {                                                                                   \
        void *found = dlsym(RTLD_NEXT, name);                                                      \
        lock_f *f;                                                                                 \
        memcpy(&f, &found, sizeof f);                                                              \
        real = f;                                                                                  \
    }

int pthread_rwlock_rdlock(pthread_rwlock_t *lock)
{
    REAL("pthread_rwlock_rdlock");
    int result = real(lock);
    lock_taken();
    return result;
}

int pthread_rwlock_unlock(pthread_rwlock_t *lock)
{
    REAL("pthread_rwlock_unlock");
    lock_left();
    return real(lock);
}

int pthread_mutex_lock(pthread_mutex_t *lock)
{
    REAL("pthread_mutex_lock");
    int result = real(lock);
    lock_taken();
    return result;
}

int pthread_mutex_unlock(pthread_mutex_t *lock)
{
    REAL("pthread_mutex_unlock");
    lock_left();
    return real(lock);
}

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
    /* CPU of this process, all threads: what another process takes away does not count. */
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

/* ---- readers ---- */

static void *read_much(void *arg)
{
    struct bench *b = arg;
    is_reader = true;
    struct matcher all = {MATCH_EQUAL, SLICE("__name__"), SLICE("bench_total"), NULL};
    while (!atomic_load(&b->stop)) {
        struct snapshot *s = snapshot_get(b->store);
        struct plan *plan;
        struct err err;
        ensure(plan_new(s, NULL, &all, 1, NULL, &plan, &err));
        for (size_t i = 0; i < plan_n(plan) && i < READ_MAX; i++)
            plan_range(plan, i, 0, INT64_MAX);
        ensure(snapshot_fetch(s, NULL, NULL, &err));
        snapshot_put(&s);
        atomic_fetch_add(&b->reads, 1);
    }
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Milliseconds of small commits without their fdatasync. */
struct commits {
    double *ms;
    size_t n, cap;
};

/* Commits, and pauses, until there were COMMITS and the readers have read so often. */
static void small_commits(struct bench *b, int64_t t, long long reads, struct commits *out)
{
    const struct timespec pause = {0, 1000000};
    while (out->n < COMMITS || atomic_load(&b->reads) < reads) {
        struct txn *txn = txn_begin(b->store);
        put(b, txn, (uint32_t)(out->n % b->n), t + (int64_t)(out->n / b->n) * STEP_MS);
        double begin = seconds(CLOCK_MONOTONIC), synced = synced_s;
        commit(txn);
        GROW(out->ms, out->cap, out->n + 1);
        out->ms[out->n++] = (seconds(CLOCK_MONOTONIC) - begin - (synced_s - synced)) * 1e3;
        nanosleep(&pause, NULL);
    }
    qsort(out->ms, out->n, sizeof *out->ms, by_value);
}

static void wait_for_readers(struct bench *b, int64_t t)
{
    struct commits alone = {0}, beside = {0};
    pthread_t readers[READERS];
    struct store_stats stats;
    small_commits(b, t, 0, &alone);
    for (int i = 0; i < READERS; i++)
        thread_start(&readers[i], "reader", read_much, b);
    small_commits(b, t + STEP_MS, READS, &beside);
    atomic_store(&b->stop, true);
    for (int i = 0; i < READERS; i++)
        thread_join(readers[i]);
    store_stats(b->store, &stats);
    printf(",\"commit_ms_alone\":{\"p50\":%.2f,\"max\":%.2f},\"commit_ms_beside_readers\":{\"p50\":"
           "%.2f,"
           "\"max\":%.2f},\"longest_hold_by_a_reader_ms\":%.3f,\"reads\":%lld,\"pending_waits\":"
           "%" PRIu64,
        alone.ms[alone.n / 2], alone.ms[alone.n - 1], beside.ms[beside.n / 2],
        beside.ms[beside.n - 1], (double)atomic_load(&longest_hold_ns) / 1e6,
        (long long)atomic_load(&b->reads), stats.pending_waits);
    free(alone.ms);
    free(beside.ms);
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
    wait_for_readers(&b, t + STEP_MS);
    printf("}\n");
    store_close(&b.store);
    free(b.order);
    free(b.value);
    return 0;
}
