/*
 * A store of a million series: appending in random order, memory, opening, selecting.
 *
 *     store_million counter|sample|gauge|level FOLDER [SERIES]       1000000; the folder is made
 *
 * A child makes the series, then adds a cell to every one of them in random order, round by round,
 * 100,000 to a transaction; every commit is synced. It ends like a killed one, with as much log as
 * there may be before the next checkpoint. Then the store is opened, selected from, closed, and
 * opened again. Prints one JSON object.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/ensure.h"
#include "base/log.h"
#include "base/mem.h"
#include "bench/measure.h"
#include "store/read.h"
#include "store/store.h"

#define BATCH      100000
#define EVERY      10000
#define T0         (19675ll * 86400000)
#define ROUNDS_MAX 40
#define CHECKPOINT (128ull << 20)
#define REPEAT     20
#define FRIDGES    100000

struct result {
    double append_s, append_cpu_s;
    uint64_t cells, rss_base, rss;
};

static uint64_t rng = 88172645463325252u;
static struct metric_def def = {.name = {"cells", 5}, .every_ms = EVERY, .stale_after_ms = 3600000};

static uint64_t next_random(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng >> 11;
}

static uint64_t rss_bytes(void)
{
    unsigned long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    ensure(f && fscanf(f, "%lu %lu", &size, &resident) == 2);
    fclose(f);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* A hundred metrics; ten series a fridge, a thousand shelves: two matchers select a thousand. */
static uint32_t make_series(struct txn *txn, uint32_t i)
{
    char text[4][24];
    uint32_t metric, series;
    struct err err;
    struct metric_def mine = def;
    snprintf(text[0], 24, "metric_%02u", i % 100);
    snprintf(text[1], 24, "city-%u", i / 100 % 10);
    snprintf(text[2], 24, "fridge-%06u", i / 10 % FRIDGES);
    snprintf(text[3], 24, "kind-%u", i % 10);
    mine.name = slice_from(text[0]);
    struct label l[4] = {{SLICE("__name__"), mine.name}, {SLICE("city"), slice_from(text[1])},
        {SLICE("fridge"), slice_from(text[2])}, {SLICE("kind"), slice_from(text[3])}};
    check(txn_metric(txn, &mine, &metric, &err), &err);
    check(txn_series(txn, metric, (struct labels){l, 4}, &series, &err), &err);
    return series;
}

static void put(struct txn *txn, uint32_t series, int64_t t)
{
    int64_t v = (int64_t)(next_random() % 200);
    struct gauge_cell gauge = {v, t - 1, v, v, v, 1};
    if (def.kind == KIND_GAUGE)
        txn_gauge(txn, series, t, &gauge);
    else if (def.kind == KIND_SAMPLE)
        txn_sample(txn, series, t, (double)v);
    else
        txn_add(txn, series, t, v + 1);
}

static void shuffle(uint32_t *ids, uint32_t n)
{
    for (uint32_t i = n; i-- > 1;) {
        uint32_t k = (uint32_t)(next_random() % (i + 1)), id = ids[i];
        ids[i] = ids[k];
        ids[k] = id;
    }
}

static void make_all(struct store *store, uint32_t *ids, uint32_t n)
{
    struct err err;
    for (uint32_t i = 0; i < n;) {
        struct txn *txn = txn_begin(store);
        for (uint32_t end = i + BATCH < n ? i + BATCH : n; i < end; i++)
            ids[i] = make_series(txn, i);
        check(txn_commit(&txn, NULL, &err), &err);
    }
    check(store_maintain(store, INT64_MIN, &err), &err);
}

static void append(struct store *store, uint32_t n, struct result *r)
{
    uint32_t *ids = xcalloc(n, sizeof *ids);
    struct store_stats stats;
    struct err err;
    make_all(store, ids, n);
    for (int round = 0; round < ROUNDS_MAX; round++) {
        shuffle(ids, n);
        for (uint32_t i = 0; i < n;) {
            double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_THREAD_CPUTIME_ID);
            struct txn *txn = txn_begin(store);
            uint32_t end = i + BATCH < n ? i + BATCH : n;
            r->cells += end - i;
            for (; i < end; i++)
                put(txn, ids[i], T0 + (round + 1ll) * EVERY);
            check(txn_commit(&txn, NULL, &err), &err);
            r->append_s += seconds(CLOCK_MONOTONIC) - wall;
            r->append_cpu_s += seconds(CLOCK_THREAD_CPUTIME_ID) - cpu;
            store_stats(store, &stats);
            if (round > 3 && stats.wal_bytes > CHECKPOINT - CHECKPOINT / 16)
                round = ROUNDS_MAX, i = n; /* just before a checkpoint */
        }
        store_stats(store, &stats);
        if (stats.wal_bytes > CHECKPOINT)
            check(store_maintain(store, INT64_MIN, &err), &err);
    }
    free(ids);
    r->rss = rss_bytes();
}

/* Wall and CPU seconds: the second does not hang on the neighbours. */
static struct store *open_store(const char *path, double took[2])
{
    struct store_options options = {.path = path, .checkpoint_bytes = CHECKPOINT};
    struct store *store;
    struct err err;
    double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    check(store_open(&options, &store, &err), &err);
    took[0] = seconds(CLOCK_MONOTONIC) - wall;
    took[1] = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    return store;
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* The median, ms of this thread. */
static double select_ms(struct store *store, const struct matcher *m, size_t n, size_t *found)
{
    double took[REPEAT];
    for (int i = 0; i < REPEAT; i++) {
        struct snapshot *snap = snapshot_get(store);
        struct plan *plan;
        struct err err;
        double begin = seconds(CLOCK_THREAD_CPUTIME_ID);
        check(plan_new(snap, NULL, m, n, NULL, &plan, &err), &err);
        took[i] = (seconds(CLOCK_THREAD_CPUTIME_ID) - begin) * 1e3;
        *found = plan_n(plan);
        snapshot_put(&snap);
    }
    qsort(took, REPEAT, sizeof *took, by_value);
    return took[REPEAT / 2];
}

static void report_selection(struct store *store)
{
    struct regex *regex;
    struct err err;
    size_t two, some;
    check(regex_new(SLICE("fridge-0[0-4]2.*[13]"), &regex, &err), &err);
    struct matcher equal[2] = {{MATCH_EQUAL, SLICE("__name__"), SLICE("metric_07"), NULL},
        {MATCH_EQUAL, SLICE("city"), SLICE("city-3"), NULL}};
    struct matcher pattern = {MATCH_REGEX, SLICE("fridge"), SLICE("fridge-0[0-4]2.*[13]"), regex};
    double two_ms = select_ms(store, equal, 2, &two);
    double regex_ms = select_ms(store, &pattern, 1, &some);
    printf("\"two_matchers_ms\": %.3f, \"two_matchers_series\": %zu, \"regex_ms\": %.3f, "
           "\"regex_series\": %zu, ",
        two_ms, two, regex_ms, some);
    regex_free(&regex);
}

int main(int argc, char **argv)
{
    static const char *const kinds[] = {"", "counter", "histogram", "level", "gauge", "sample"};
    for (int k = 1; argc > 2 && k <= 5; k++)
        if (strcmp(argv[1], kinds[k]) == 0)
            def.kind = (enum kind)k;
    if (!def.kind || def.kind == KIND_HISTOGRAM) {
        fprintf(stderr, "usage: %s counter|sample|gauge|level FOLDER [SERIES]\n", argv[0]);
        return 2;
    }
    if (def.kind == KIND_SAMPLE)
        def.every_ms = 0;
    uint32_t n = argc > 3 ? (uint32_t)atoi(argv[3]) : 1000000;
    struct result *r =
        mmap(NULL, sizeof *r, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    double kill_s[2], clean_s[2], ignored[2];
    int status;
    ensure(r != MAP_FAILED);
    log_set_level(LOG_WARN);
    pid_t child = fork();
    if (child == 0) {
        r->rss_base = rss_bytes();
        append(open_store(argv[2], ignored), n, r);
        _exit(0); /* no stop: as if killed */
    }
    ensure(child > 0 && waitpid(child, &status, 0) == child);
    if (status != 0)
        return 2;
    struct store *store = open_store(argv[2], kill_s);
    struct store_stats stats;
    store_stats(store, &stats);
    printf("{\"kind\": \"%s\", \"series\": %" PRIu64 ", ", argv[1], stats.series);
    report_selection(store);
    uint64_t head_cells = stats.head_cells;
    store_close(&store);
    store = open_store(argv[2], clean_s);
    store_stats(store, &stats);
    ensure(stats.head_cells == head_cells);
    printf("\"cells\": %" PRIu64
           ", \"append_cells_per_s\": %.0f, \"append_cells_per_cpu_s\": %.0f, "
           "\"rss_mb\": %.1f, \"rss_bytes_per_series\": %.1f, \"open_after_kill_s\": %.3f, "
           "\"open_after_kill_cpu_s\": %.3f, \"open_clean_s\": %.3f, \"open_clean_cpu_s\": %.3f}\n",
        r->cells, (double)r->cells / r->append_s, (double)r->cells / r->append_cpu_s,
        (double)r->rss / 1e6, (double)(r->rss - r->rss_base) / n, kill_s[0], kill_s[1], clean_s[0],
        clean_s[1]);
    store_close(&store);
    return 0;
}
