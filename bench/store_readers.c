/*
 * What a commit, a freeze and a small reader wait for while somebody reads a million series. Prints
 * one JSON object.
 *
 *     build/bench/store_readers FOLDER [SERIES [SECONDS]]
 *
 * SERIES series have cells in one open block. For SECONDS at a time, first alone, then beside a
 * reader that selects all of them and takes their cells over and over, there are:
 *
 *     a writer       commits of 1000 cells in random series, some in older blocks, with ten new
 *                    series that the reader selects, too
 *     maintenance    seals the older blocks
 *     a small reader ten series, from its moment to its columns
 *
 * Waiting is time in which a thread sleeps for a lock or a condition, told apart by which one it
 * is: what the thread's own work takes, and what its fdatasync does, is no part of it. On a busy
 * machine it includes that who has the lock has no core: hence the same alone, and the longest
 * time, of its own processor, that the large reader had a lock, or was inside the gate. `other` is
 * what commits do not take, as the allocator's.
 */
#include <dlfcn.h>
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
#include "store/read.h"
#include "store/store_priv.h"

#define EVERY_MS    10000
#define BLOCK_MS    600000
#define BIG_BLOCK   1000000ll /* where the million has its cells */
#define CELLS       1000
#define CELLS_OLDER 100
#define NEW_SERIES  10
#define BLOCK_LASTS 50 /* commits */
#define SMALL       10

/* ---- waiting ---- */

enum wait { WAIT_TURN, WAIT_GATE, WAIT_LOCK, WAIT_CATALOG, WAIT_OTHER, WAITS };
static const char *const wait_names[WAITS] = {"turn", "gate", "lock", "catalogue", "other"};

static struct store *store;
static _Thread_local double waited[WAITS];
static _Thread_local bool is_reader;
static _Thread_local int held;
static _Thread_local double held_since;
static _Thread_local enum wait held_what; /* the outermost */
static atomic_ullong longest_hold_ns[WAITS];

static double clock_s(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double now_s(void)
{
    return clock_s(CLOCK_MONOTONIC);
}

static bool inside(const void *p, const void *object, size_t size)
{
    return (const char *)p >= (const char *)object && (const char *)p < (const char *)object + size;
}

static enum wait wait_of(const void *lock)
{
    if (!store)
        return WAIT_OTHER;
    if (inside(lock, &store->gate, sizeof store->gate))
        return WAIT_GATE;
    if (lock == &store->lock)
        return WAIT_LOCK;
    if (inside(lock, &store->catalog, sizeof store->catalog))
        return WAIT_CATALOG;
    if (lock == &store->commit_queue.mutex)
        return WAIT_TURN;
    return WAIT_OTHER;
}

static void hold(const void *lock)
{
    if (!is_reader || held++ > 0)
        return;
    held_what = wait_of(lock);
    held_since = clock_s(CLOCK_THREAD_CPUTIME_ID);
}

/* Who enters the gate has it until he leaves; what its mutex guards says which it was. */
static _Thread_local unsigned gate_was;

static unsigned gate_is(void)
{
    return store->gate.readers + store->gate.closed;
}

static void let_go(void)
{
    if (!is_reader || held == 0 || --held > 0)
        return;
    unsigned long long ns =
        (unsigned long long)((clock_s(CLOCK_THREAD_CPUTIME_ID) - held_since) * 1e9);
    atomic_ullong *longest = &longest_hold_ns[held_what];
    unsigned long long before = atomic_load(longest);
    while (ns > before && !atomic_compare_exchange_weak(longest, &before, ns))
        ;
}

/* The library's function of that name, looked up once. */
typedef int lock_f(void *lock);
typedef int cond_f(void *cond, void *mutex);
#define REAL(type, name)                                                                           \
    static type *_Atomic real;                                                                     \
    if (!real) {                                                                                   \
        void *found = dlsym(RTLD_NEXT, name);                                                      \
        __typeof__(*real) *f; /* real is of type */                                                \
        memcpy(&f, &found, sizeof f);                                                              \
        real = f;                                                                                  \
    }

static int timed(lock_f *f, void *lock)
{
    double begin = now_s();
    int result = f(lock);
    waited[wait_of(lock)] += now_s() - begin;
    hold(lock);
    if (wait_of(lock) == WAIT_GATE)
        gate_was = gate_is();
    return result;
}

int pthread_mutex_lock(pthread_mutex_t *lock)
{
    REAL(lock_f, "pthread_mutex_lock");
    return timed(real, lock);
}

/* The allocator takes its own locks so. */
int pthread_mutex_trylock(pthread_mutex_t *lock)
{
    REAL(lock_f, "pthread_mutex_trylock");
    int result = real(lock);
    if (result == 0)
        hold(lock);
    return result;
}

int pthread_rwlock_rdlock(pthread_rwlock_t *lock)
{
    REAL(lock_f, "pthread_rwlock_rdlock");
    return timed(real, lock);
}

int pthread_rwlock_wrlock(pthread_rwlock_t *lock)
{
    REAL(lock_f, "pthread_rwlock_wrlock");
    return timed(real, lock);
}

int pthread_mutex_unlock(pthread_mutex_t *lock)
{
    REAL(lock_f, "pthread_mutex_unlock");
    if (wait_of(lock) == WAIT_GATE && gate_is() > gate_was)
        hold(lock);
    if (wait_of(lock) == WAIT_GATE && gate_is() < gate_was)
        let_go();
    let_go();
    return real(lock);
}

int pthread_rwlock_unlock(pthread_rwlock_t *lock)
{
    REAL(lock_f, "pthread_rwlock_unlock");
    let_go();
    return real(lock);
}

int pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    REAL(cond_f, "pthread_cond_wait");
    int had = held;
    held = 0;
    double begin = now_s();
    int result = real(cond, mutex);
    waited[wait_of(mutex)] += now_s() - begin;
    held = had;
    held_since = clock_s(CLOCK_THREAD_CPUTIME_ID);
    if (wait_of(mutex) == WAIT_GATE)
        gate_was = gate_is();
    return result;
}

/* ---- figures ---- */

struct figures {
    double *ms;
    size_t n, cap;
};

static void note(struct figures *f, double s)
{
    GROW(f->ms, f->cap, f->n + 1);
    f->ms[f->n++] = s * 1e3;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print(const char *what, struct figures *f)
{
    if (f->n == 0)
        note(f, 0);
    qsort(f->ms, f->n, sizeof *f->ms, by_value);
    printf("\"%s\":{\"n\":%zu,\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f},", what, f->n,
        f->ms[f->n / 2], f->ms[f->n * 99 / 100], f->ms[f->n - 1]);
}

/* What was waited since, all kinds and each. */
struct waits {
    struct figures all, each[WAITS];
};

static void waits_begin(void)
{
    memset(waited, 0, sizeof waited);
}

static void waits_end(struct waits *w)
{
    double sum = 0;
    for (int i = 0; i < WAITS; i++) {
        sum += waited[i];
        note(&w->each[i], waited[i]);
    }
    note(&w->all, sum);
}

static void waits_print(const char *who, struct waits *w)
{
    char what[64];
    snprintf(what, sizeof what, "%s_waits_ms", who);
    print(what, &w->all);
    for (int i = 0; i < WAITS; i++) {
        snprintf(what, sizeof what, "%s_waits_%s_ms", who, wait_names[i]);
        print(what, &w->each[i]);
        free(w->each[i].ms);
    }
    free(w->all.ms);
}

/* ---- the threads ---- */

struct bench {
    uint32_t n;
    uint64_t rng;
    atomic_bool stop;
    atomic_llong block; /* the older block that is written */
    atomic_llong t;
    int64_t commits, made; /* series */
    struct waits commit, freeze, small;
    struct figures commit_cpu, small_ms, large_ms;
};

static uint32_t below(struct bench *b, uint32_t n)
{
    b->rng ^= b->rng << 13;
    b->rng ^= b->rng >> 7;
    b->rng ^= b->rng << 17;
    return (uint32_t)((b->rng >> 32) * n >> 32);
}

static const struct metric_def bench_def = {
    .name = {"bench_total", 11}, .kind = KIND_COUNTER, .every_ms = EVERY_MS};

static void add_series(struct txn *txn, uint32_t i)
{
    char text[24], group[24];
    uint32_t metric, id;
    struct err err;
    snprintf(text, sizeof text, "i-%u", i);
    snprintf(group, sizeof group, "g-%u", i / SMALL);
    struct label labels[3] = {{SLICE("__name__"), bench_def.name},
        {SLICE("group"), slice_from(group)}, {SLICE("instance"), slice_from(text)}};
    ensure(txn_metric(txn, &bench_def, &metric, &err) &&
           txn_series(txn, metric, (struct labels){labels, 3}, &id, &err) && id == i);
}

static void commit(struct txn *txn)
{
    struct err err;
    if (!txn_commit(&txn, NULL, &err)) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
}

static int64_t big_end(int64_t i)
{
    return BIG_BLOCK * BLOCK_MS + (i + 1) * EVERY_MS;
}

static void fill(struct bench *b)
{
    for (int pass = 0; pass < 3; pass++)
        for (uint32_t i = 0; i < b->n;) {
            struct txn *txn = txn_begin(store);
            for (uint32_t end = i + 100000; i < b->n && i < end; i++) {
                if (pass == 0)
                    add_series(txn, i);
                txn_add(txn, i, big_end(pass), below(b, 20) + 1);
            }
            commit(txn);
        }
    b->made = b->n;
}

static void write_batch(struct bench *b)
{
    double cpu = clock_s(CLOCK_THREAD_CPUTIME_ID);
    waits_begin();
    struct txn *txn = txn_begin(store);
    for (int i = 0; i < NEW_SERIES; i++)
        add_series(txn, (uint32_t)b->made++);
    for (int i = 0; i < CELLS - CELLS_OLDER; i++)
        txn_add(txn, below(b, (uint32_t)b->made), big_end(3 + b->commits / 500 % 50), 1);
    int64_t older = atomic_load(&b->block);
    for (int i = 0; i < CELLS_OLDER; i++)
        txn_add(txn, below(b, b->n), older * BLOCK_MS + EVERY_MS, 1);
    commit(txn);
    waits_end(&b->commit);
    note(&b->commit_cpu, clock_s(CLOCK_THREAD_CPUTIME_ID) - cpu);
    if (++b->commits % BLOCK_LASTS == 0)
        atomic_store(&b->block, older + 1);
}

static void *maintain(void *arg)
{
    struct bench *b = arg;
    const struct timespec pause = {0, 2000000};
    while (!atomic_load(&b->stop)) {
        struct err err;
        int64_t block = atomic_load(&b->block);
        bool more;
        waits_begin();
        ensure(store_maintain_step(store, block * BLOCK_MS, &more, &err));
        waits_end(&b->freeze);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void read_all(const struct matcher *m, size_t n, struct arena *arena)
{
    struct snapshot *s = snapshot_get(store);
    struct plan *plan;
    struct err err;
    ensure(plan_new(s, NULL, m, n, NULL, &plan, &err));
    for (size_t i = 0; i < plan_n(plan); i++)
        plan_range(plan, i, BIG_BLOCK * BLOCK_MS, INT64_MAX);
    ensure(snapshot_fetch(s, NULL, NULL, &err));
    for (size_t i = 0; arena && i < plan_n(plan); i++) {
        struct columns c;
        arena_reset(arena);
        ensure(plan_columns(plan, i, arena, &c, &err));
    }
    snapshot_put(&s);
}

static const struct matcher all_series = {MATCH_EQUAL, {"__name__", 8}, {"bench_total", 11}, NULL};

static void *read_large(void *arg)
{
    struct bench *b = arg;
    is_reader = true;
    while (!atomic_load(&b->stop)) {
        double begin = now_s();
        read_all(&all_series, 1, NULL);
        note(&b->large_ms, now_s() - begin);
    }
    return NULL;
}

static void *read_small(void *arg)
{
    struct bench *b = arg;
    struct arena arena;
    const struct timespec pause = {0, 1000000};
    arena_init(&arena, 0);
    for (uint32_t i = 0; !atomic_load(&b->stop); i++) {
        char group[24];
        snprintf(group, sizeof group, "g-%u", i * 7919 % (b->n / SMALL));
        const struct matcher m[2] = {
            all_series, {MATCH_EQUAL, SLICE("group"), slice_from(group), NULL}};
        double begin = now_s();
        waits_begin();
        read_all(m, 2, &arena);
        waits_end(&b->small);
        note(&b->small_ms, now_s() - begin);
        nanosleep(&pause, NULL);
    }
    arena_fini(&arena);
    return NULL;
}

/* ---- a phase ---- */

static void phase(struct bench *b, const char *name, double seconds, bool beside)
{
    const struct timespec pause = {0, 1000000};
    pthread_t keeper, small, large;
    struct store_stats stats;
    atomic_store(&b->stop, false);
    for (int i = 0; i < WAITS; i++)
        atomic_store(&longest_hold_ns[i], 0);
    thread_start(&keeper, "maintenance", maintain, b);
    thread_start(&small, "small", read_small, b);
    if (beside)
        thread_start(&large, "large", read_large, b);
    for (double end = now_s() + seconds; now_s() < end;) {
        write_batch(b);
        nanosleep(&pause, NULL);
    }
    atomic_store(&b->stop, true);
    thread_join(keeper);
    thread_join(small);
    if (beside)
        thread_join(large);
    store_stats(store, &stats);
    printf("\"%s\":{", name);
    waits_print("commit", &b->commit);
    waits_print("maintenance", &b->freeze);
    waits_print("small_reader", &b->small);
    print("commit_cpu_ms", &b->commit_cpu);
    print("small_read_ms", &b->small_ms);
    print("large_read_ms", &b->large_ms);
    printf("\"longest_hold_by_the_reader_cpu_ms\":{");
    for (int i = 0; i < WAITS; i++)
        printf("%s\"%s\":%.3f", i ? "," : "", wait_names[i],
            (double)atomic_load(&longest_hold_ns[i]) / 1e6);
    printf("},\"pending_waits\":%llu}", (unsigned long long)stats.pending_waits);
    free(b->commit_cpu.ms);
    free(b->small_ms.ms);
    free(b->large_ms.ms);
    b->commit_cpu = b->small_ms = b->large_ms = (struct figures){0};
    b->commit = b->freeze = b->small = (struct waits){0};
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: store_readers FOLDER [SERIES [SECONDS]]\n");
        return 2;
    }
    struct bench b = {.n = argc > 2 ? (uint32_t)atoi(argv[2]) : 1000000, .rng = 88172645463325252u};
    double seconds = argc > 3 ? atof(argv[3]) : 10;
    struct store_options options = {
        .path = argv[1], .checkpoint_bytes = 1ull << 40, .block_ms = BLOCK_MS};
    struct err err;
    log_set_level(LOG_ERROR);
    atomic_init(&b.block, 1000);
    if (!store_open(&options, &store, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    fill(&b);
    printf("{\"series\":%u,", b.n);
    phase(&b, "alone", seconds, false);
    printf(",");
    phase(&b, "beside_a_reader_of_all", seconds, true);
    printf("}\n");
    store_close(&store);
    return 0;
}
