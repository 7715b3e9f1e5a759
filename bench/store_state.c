/*
 * State tables at size: ids of events in hourly generations, looked up and put as an ingestion that
 * dedupes does, and entities with records; then opened anew and asked. One thread writes, another
 * maintains. Prints one JSON object; progress goes to standard error.
 *
 *     build/bench/store_state FOLDER [IDS [ENTITIES [GENERATIONS]]]      100000000 10000000 30
 *
 * The folder must be absent or empty; what is in it afterwards may be removed. CPU times are those
 * of the thread, so that a busy machine does not change them much; wall times say so in their
 * names.
 */
#include <stdatomic.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/thread.h"
#include "bench/measure.h"
#include "store/state/state.h"
#include "store/store.h"

#define RECORD 96
#define BATCH  50000
#define GETS   2000000
#define AHEAD  32

static struct store *store;
static struct err err;
static atomic_bool stop;
static double maintenance_cpu;

static void must(bool ok)
{
    if (!ok) {
        fprintf(stderr, "bench/store_state: %s\n", err.text);
        exit(1);
    }
}

/* kB of a line of /proc/self/status. */
static uint64_t process_kb(const char *field)
{
    char line[256];
    unsigned long long kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, field, strlen(field)) == 0)
            sscanf(line + strlen(field), ": %llu", &kb);
    if (f)
        fclose(f);
    return kb;
}

static struct hash128 key_of(uint64_t i)
{
    return hash128(&i, sizeof i);
}

static void *maintain(void *arg)
{
    struct err mine;
    (void)arg;
    while (!atomic_load(&stop)) {
        if (!store_maintain(store, 0, &mine)) {
            fprintf(stderr, "bench/store_state: maintenance: %s\n", mine.text);
            exit(1);
        }
        struct timespec pause = {0, 20000000};
        nanosleep(&pause, NULL);
    }
    maintenance_cpu = seconds(CLOCK_THREAD_CPUTIME_ID);
    return NULL;
}

struct load {
    const char *table;
    uint32_t record_bytes;
    uint64_t n, base; /* keys base .. base + n */
    uint32_t generations;
};

/* Time goes on; one event of 16 is late by up to 4 generations. */
static int64_t generation_of(const struct load *l, uint64_t i)
{
    int64_t g = (int64_t)(i * l->generations / l->n);
    if (i % 16 == 7)
        g -= (int64_t)(i / 16 % 4) + 1;
    return g < 0 ? 0 : g;
}

struct figures {
    double get_ns, put_ns, commit_ns, wall_seconds;
};

/* Keys and generations of a batch, made before the clock runs. */
static struct hash128 keys[BATCH + AHEAD];
static int64_t generations_of[BATCH + AHEAD];

static void prepare(const struct load *l, uint64_t from, uint64_t n, uint64_t away)
{
    for (uint64_t i = 0; i < n; i++) {
        keys[i] = key_of(l->base + away + from + i);
        generations_of[i] = generation_of(l, from + i);
    }
}

static void load_batch(const struct load *l, uint64_t from, uint64_t n, struct figures *f)
{
    uint8_t record[RECORD] = {0};
    uint32_t table;
    bool found;
    struct txn *txn = txn_begin(store);
    must(txn_state_table(txn, slice_from(l->table), l->record_bytes, &table, &err));
    prepare(l, from, n, 0);
    double t0 = seconds(CLOCK_THREAD_CPUTIME_ID);
    for (uint64_t i = 0; i < n; i++) {
        if (i + AHEAD < n)
            txn_state_prefetch(txn, table, generations_of[i + AHEAD], keys[i + AHEAD]);
        must(txn_state_get(txn, table, generations_of[i], keys[i], NULL, &found, &err));
        if (found)
            fprintf(stderr, "bench/store_state: key %" PRIu64 " is there already\n", from + i);
    }
    double t1 = seconds(CLOCK_THREAD_CPUTIME_ID);
    for (uint64_t i = 0; i < n; i++) {
        memcpy(record, &i, sizeof i);
        txn_state_put(txn, table, generations_of[i], keys[i], record);
    }
    double t2 = seconds(CLOCK_THREAD_CPUTIME_ID);
    must(txn_commit(&txn, NULL, &err));
    double t3 = seconds(CLOCK_THREAD_CPUTIME_ID);
    f->get_ns += (t1 - t0) * 1e9;
    f->put_ns += (t2 - t1) * 1e9;
    f->commit_ns += (t3 - t2) * 1e9;
}

static struct figures load(const struct load *l)
{
    struct figures f = {0};
    double start = seconds(CLOCK_MONOTONIC);
    for (uint64_t at = 0; at < l->n; at += BATCH) {
        load_batch(l, at, l->n - at < BATCH ? l->n - at : BATCH, &f);
        if (at / BATCH % 200 == 0)
            fprintf(stderr, "%s: %llu of %llu, %.0f s, RSS %llu MB\n", l->table,
                (unsigned long long)at, (unsigned long long)l->n, seconds(CLOCK_MONOTONIC) - start,
                (unsigned long long)process_kb("VmRSS") / 1024);
    }
    f.wall_seconds = seconds(CLOCK_MONOTONIC) - start;
    f.get_ns /= (double)l->n;
    f.put_ns /= (double)l->n;
    f.commit_ns /= (double)l->n;
    return f;
}

/* ns per get: of keys that are there or not, with the key asked for ahead or not. */
static double get_many(const struct load *l, bool present, bool ahead, uint64_t gets)
{
    uint32_t table;
    bool found;
    uint8_t record[RECORD];
    double spent = 0;
    uint64_t away = present ? 0 : UINT64_C(1) << 50, wrong = 0;
    struct txn *txn = txn_begin(store);
    must(txn_state_table(txn, slice_from(l->table), l->record_bytes, &table, &err));
    for (uint64_t done = 0; done < gets; done += BATCH) {
        for (uint64_t k = 0; k < BATCH + AHEAD; k++) {
            uint64_t i = (done + k) * 2654435761u % l->n;
            keys[k] = key_of(l->base + away + i);
            generations_of[k] = generation_of(l, i);
        }
        double start = seconds(CLOCK_THREAD_CPUTIME_ID);
        for (uint64_t k = 0; k < BATCH; k++) {
            if (ahead)
                txn_state_prefetch(txn, table, generations_of[k + AHEAD], keys[k + AHEAD]);
            must(txn_state_get(txn, table, generations_of[k], keys[k], record, &found, &err));
            wrong += found != present;
        }
        spent += seconds(CLOCK_THREAD_CPUTIME_ID) - start;
    }
    txn_abort(&txn);
    if (wrong) {
        fprintf(stderr, "bench/store_state: %llu wrong answers\n", (unsigned long long)wrong);
        exit(1);
    }
    uint64_t asked = (gets + BATCH - 1) / BATCH * BATCH;
    return spent * 1e9 / (double)asked;
}

static double open_store(const char *dir)
{
    struct store_options options = {.path = dir};
    double start = seconds(CLOCK_MONOTONIC);
    must(store_open(&options, &store, &err));
    return seconds(CLOCK_MONOTONIC) - start;
}

static void print_load(const struct load *l, const struct figures *f)
{
    printf("  \"%s\": {\"keys\": %llu, \"record_bytes\": %u, \"generations\": %u, "
           "\"get_absent_ahead_ns\": %.0f, \"put_ns\": %.0f, \"commit_ns\": %.0f, "
           "\"load_wall_seconds\": %.1f},\n",
        l->table, (unsigned long long)l->n, l->record_bytes, l->generations, f->get_ns, f->put_ns,
        f->commit_ns, f->wall_seconds);
}

/* In a process of its own, so that the memory of the other begins afresh. */
static void load_all(const char *dir, const struct load *ids, const struct load *entities)
{
    pthread_t thread;
    open_store(dir);
    thread_start(&thread, "maintenance", maintain, NULL);
    struct figures f_ids = load(ids), f_entities = load(entities);
    atomic_store(&stop, true);
    thread_join(thread);
    double before = seconds(CLOCK_THREAD_CPUTIME_ID);
    must(store_maintain(store, 0, &err));
    maintenance_cpu += seconds(CLOCK_THREAD_CPUTIME_ID) - before;
    print_load(ids, &f_ids);
    print_load(entities, &f_entities);
    printf("  \"maintenance_cpu_ns_per_key\": %.0f,\n  \"rss_most_while_loading_mb\": %llu,\n",
        maintenance_cpu * 1e9 / (double)(ids->n + entities->n),
        (unsigned long long)process_kb("VmHWM") / 1024);
    fflush(stdout);
    store_close(&store);
}

static void ask_all(const char *dir, const struct load *ids, const struct load *entities)
{
    struct store_stats stats;
    double open_seconds = open_store(dir);
    uint64_t open_kb = process_kb("VmRSS");
    double single = get_many(ids, false, false, GETS), ahead = get_many(ids, false, true, GETS);
    double there = get_many(ids, true, false, GETS / 20);
    double entity = get_many(entities, true, false, GETS / 20);
    store_stats(store, &stats);
    printf("  \"after_open\": {\"open_wall_seconds\": %.2f, \"get_absent_ns\": %.0f, "
           "\"get_absent_ahead_ns\": %.0f, \"get_present_ns\": %.0f, \"get_entity_ns\": %.0f},\n",
        open_seconds, single, ahead, there, entity);
    printf("  \"runs\": %llu, \"disk_bytes\": %llu, \"counted_memory_bytes\": %llu,\n",
        (unsigned long long)stats.state_runs, (unsigned long long)stats.state_disk_bytes,
        (unsigned long long)stats.state_memory_bytes);
    printf("  \"rss_after_open_mb\": %llu, \"rss_after_gets_mb\": %llu\n",
        (unsigned long long)open_kb / 1024, (unsigned long long)process_kb("VmRSS") / 1024);
    store_close(&store);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s FOLDER [IDS [ENTITIES [GENERATIONS]]]\n", argv[0]);
        return 2;
    }
    uint32_t generations = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 30;
    struct load ids = {
        "ids", 0, argc > 2 ? strtoull(argv[2], NULL, 10) : 100000000, 0, generations};
    struct load entities = {"entities", RECORD, argc > 3 ? strtoull(argv[3], NULL, 10) : 10000000,
        UINT64_C(1) << 40, generations};
    int status = 1;
    log_set_level(LOG_WARN);
    printf("{\n");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        load_all(argv[1], &ids, &entities);
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        return 1;
    ask_all(argv[1], &ids, &entities);
    printf("}\n");
    return 0;
}
