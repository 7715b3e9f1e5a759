/*
 * Random operations against a naive model: a plain array of every (series, window). The store
 * appends, seals, checkpoints and is opened anew, cleanly or as a crash leaves it: a copy of the
 * folder taken while it is open. Afterwards every series must read exactly as the model says.
 * LARDER_SEED repeats a run, LARDER_ROUNDS makes it longer.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/thread.h"
#include "store/read.h"
#include "store/store.h"

#define SERIES  12
#define WINDOWS 400
#define EVERY   5000
#define BLOCK   (50 * EVERY)
#define KEYS    6
#define ROUNDS  2500

struct model {
    int64_t amount[SERIES][WINDOWS];
    int64_t hist[SERIES][WINDOWS][KEYS], hist_sum[SERIES][WINDOWS];
    struct gauge_cell gauge[SERIES][WINDOWS]; /* count 0: none */
    int64_t next;
};

static uint64_t rng;

static uint32_t random_below(uint32_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)(rng >> 33) % n;
}

static void seed(void)
{
    const char *text = getenv("LARDER_SEED");
    rng = text ? strtoull(text, NULL, 10) : (uint64_t)time(NULL) * 2654435761u;
    printf("seed %llu\n", (unsigned long long)rng);
    rng |= 1;
}

static struct metric_def defs[3] = {
    {.name = {"m_total", 7}, .kind = KIND_COUNTER, .every_ms = EVERY},
    {.name = {"m_hist", 6}, .kind = KIND_HISTOGRAM, .every_ms = EVERY, .schema = 5},
    {.name = {"m_gauge", 7}, .kind = KIND_GAUGE, .every_ms = EVERY},
};

static uint32_t series_of(struct txn *txn, int which, uint32_t i)
{
    char name[16];
    uint32_t metric, id;
    struct err err;
    snprintf(name, sizeof name, "s%u", i);
    struct label l[2] = {
        {SLICE("__name__"), defs[which].name}, {SLICE("series"), slice_from(name)}};
    assert_true(txn_metric(txn, &defs[which], &metric, &err));
    assert_true(txn_series(txn, metric, (struct labels){l, 2}, &id, &err));
    return id;
}

static void add_amount(struct txn *txn, struct model *m, uint32_t s, uint32_t w)
{
    /* Now and then the inverse of all that is there: the cell must vanish. */
    int64_t v = random_below(5) == 0 ? -m->amount[s][w] : (int64_t)random_below(100) - 20;
    if (v == 0)
        return;
    m->amount[s][w] += v;
    txn_add(txn, series_of(txn, 0, s), (int64_t)(w + 1) * EVERY, v);
}

static void add_hist(struct txn *txn, struct model *m, uint32_t s, uint32_t w)
{
    struct hist_bucket b[KEYS];
    struct hist_cell cell = {0, 0, b};
    bool inverse = random_below(6) == 0;
    for (int32_t k = 0; k < KEYS; k++) {
        int64_t n = inverse ? -m->hist[s][w][k] : (int64_t)random_below(3);
        if (n == 0)
            continue;
        b[cell.n++] = (struct hist_bucket){k, n};
        m->hist[s][w][k] += n;
    }
    cell.sum = inverse ? -m->hist_sum[s][w] : (int64_t)random_below(1000) - 500;
    m->hist_sum[s][w] += (int64_t)cell.sum;
    txn_histogram(txn, series_of(txn, 1, s), (int64_t)(w + 1) * EVERY, &cell);
}

static void add_gauge(struct txn *txn, struct model *m, uint32_t s, uint32_t w)
{
    int64_t v = (int64_t)random_below(1000) - 500;
    int64_t at = (int64_t)w * EVERY + 1 + random_below(EVERY);
    struct gauge_cell c = {v, at, v, v, v, 1};
    if (m->gauge[s][w].count)
        gauge_cell_merge(&m->gauge[s][w], &c);
    else
        m->gauge[s][w] = c;
    txn_gauge(txn, series_of(txn, 2, s), (int64_t)(w + 1) * EVERY, &c);
}

static void append(struct store *store, struct model *m, uint32_t newest)
{
    struct err err;
    struct txn *txn = txn_begin(store);
    for (uint32_t n = random_below(20) + 1; n > 0; n--) {
        uint32_t late = random_below(10) == 0 ? random_below(newest + 1) : random_below(8);
        uint32_t s = random_below(SERIES), w = newest > late ? newest - late : 0;
        switch (random_below(3)) {
        case 0: add_amount(txn, m, s, w); break;
        case 1: add_hist(txn, m, s, w); break;
        default: add_gauge(txn, m, s, w);
        }
    }
    txn_source(txn, SLICE("source"), ++m->next, 0, SLICE("x"));
    if (!txn_commit(&txn, NULL, &err))
        fail_msg("%s", err.text);
}

/* ---- comparing ---- */

static void compare_amounts(const struct model *m, uint32_t s, const struct columns *c)
{
    size_t n = 0;
    for (uint32_t w = 0; w < WINDOWS; w++) {
        if (m->amount[s][w] == 0)
            continue;
        assert_true(n < c->n);
        assert_int_equal(c->t[n], (w + 1) * EVERY);
        assert_int_equal(c->amount[n], m->amount[s][w]);
        n++;
    }
    assert_int_equal(n, c->n);
}

static void compare_hists(const struct model *m, uint32_t s, const struct columns *c)
{
    size_t n = 0;
    for (uint32_t w = 0; w < WINDOWS; w++) {
        bool zero = m->hist_sum[s][w] == 0;
        for (int k = 0; k < KEYS; k++)
            zero = zero && m->hist[s][w][k] == 0;
        if (zero)
            continue;
        assert_true(n < c->n);
        assert_int_equal(c->t[n], (w + 1) * EVERY);
        assert_int_equal(c->sum[n], m->hist_sum[s][w]);
        uint32_t at = c->bucket_at[n];
        for (int32_t k = 0; k < KEYS; k++) {
            if (m->hist[s][w][k] == 0)
                continue;
            assert_true(at < c->bucket_at[n + 1]);
            assert_int_equal(c->bucket[at].key, k);
            assert_int_equal(c->bucket[at].count, m->hist[s][w][k]);
            at++;
        }
        assert_int_equal(at, c->bucket_at[n + 1]);
        n++;
    }
    assert_int_equal(n, c->n);
}

static void compare_gauges(const struct model *m, uint32_t s, const struct columns *c)
{
    size_t n = 0;
    for (uint32_t w = 0; w < WINDOWS; w++) {
        const struct gauge_cell *g = &m->gauge[s][w];
        if (g->count == 0)
            continue;
        assert_true(n < c->n);
        assert_int_equal(c->t[n], (w + 1) * EVERY);
        assert_int_equal(c->last[n], g->last);
        assert_int_equal(c->last_ms[n], g->last_ms);
        assert_int_equal(c->min[n], g->min);
        assert_int_equal(c->max[n], g->max);
        assert_int_equal(c->sum[n], g->sum);
        assert_int_equal(c->count[n], g->count);
        n++;
    }
    assert_int_equal(n, c->n);
}

static void compare(struct store *store, const struct model *m)
{
    struct matcher all = {MATCH_NOT_EQUAL, SLICE("__name__"), SLICE(""), NULL};
    struct snapshot *snap = snapshot_get(store);
    struct plan *plan;
    struct arena arena;
    struct err err;
    struct source_state source;
    arena_init(&arena, 0);
    assert_true(plan_new(snap, NULL, &all, 1, NULL, &plan, &err));
    for (size_t i = 0; i < plan_n(plan); i++)
        plan_range(plan, i, INT64_MIN, INT64_MAX);
    if (!snapshot_fetch(snap, NULL, NULL, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < plan_n(plan); i++) {
        struct columns c;
        uint32_t s = (uint32_t)atoi(labels_get(plan_labels(plan, i), SLICE("series")).ptr + 1);
        arena_reset(&arena);
        assert_true(plan_columns(plan, i, &arena, &c, &err));
        switch (plan_metric(plan, i)->kind) {
        case KIND_COUNTER: compare_amounts(m, s, &c); break;
        case KIND_HISTOGRAM: compare_hists(m, s, &c); break;
        default: compare_gauges(m, s, &c);
        }
    }
    snapshot_put(&snap);
    arena_fini(&arena);
    if (m->next) {
        assert_true(store_source(store, SLICE("source"), &source));
        assert_int_equal(source.next, m->next);
    }
}

/* ---- the run ---- */

static void shell(const char *fmt, const char *a, const char *b)
{
    char cmd[256];
    snprintf(cmd, sizeof cmd, "%s %s %s", fmt, a, b);
    assert_int_equal(system(cmd), 0);
}

static struct store *open_small(const char *dir)
{
    struct store_options options = {
        .path = dir, .block_ms = BLOCK, .wal_file_bytes = 3000, .checkpoint_bytes = 20000};
    struct store *store;
    struct err err;
    if (!store_open(&options, &store, &err))
        fail_msg("%s", err.text);
    return store;
}

static void test_random_operations(void **state)
{
    (void)state;
    char dir[64] = "/tmp/larder-model-XXXXXX", copy[80];
    struct model *m = calloc(1, sizeof *m);
    const char *text = getenv("LARDER_ROUNDS");
    uint32_t rounds = text ? (uint32_t)atoi(text) : ROUNDS;
    struct err err;
    seed();
    assert_non_null(mkdtemp(dir));
    snprintf(copy, sizeof copy, "%s.copy", dir);
    struct store *store = open_small(dir);
    for (uint32_t i = 0; i < rounds; i++) {
        uint32_t newest = (uint32_t)((uint64_t)i * (WINDOWS - 1) / rounds);
        append(store, m, newest);
        if (random_below(15) == 0) {
            int64_t passed = ((int64_t)newest - random_below(60)) * EVERY;
            if (!store_maintain(store, passed, &err))
                fail_msg("%s", err.text);
        }
        if (random_below(60) == 0)
            compare(store, m);
        if (random_below(80) == 0) { /* as a crash leaves it */
            shell("rm -rf", copy, "");
            shell("cp -r", dir, copy);
            struct store *crashed = open_small(copy);
            compare(crashed, m);
            store_close(&crashed);
        }
        if (random_below(80) == 0) {
            store_close(&store);
            store = open_small(dir);
            compare(store, m);
        }
    }
    compare(store, m);
    struct store_stats stats;
    store_stats(store, &stats);
    assert_true(stats.segments > 3); /* the run has sealed: it tried what it is for */
    store_close(&store);
    shell("rm -rf", dir, copy);
    free(m);
}

/* A child commits and says so; it is killed; nothing that it said is missing, and nothing else but
 * the one in flight is there. */
static void test_kill(void **state)
{
    (void)state;
    char dir[64] = "/tmp/larder-kill-XXXXXX";
    struct model *m = calloc(1, sizeof *m);
    assert_non_null(mkdtemp(dir));
    for (int round = 0; round < 12; round++) {
        int said[2];
        assert_int_equal(pipe(said), 0);
        uint64_t start = rng;
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            struct store *store = open_small(dir);
            struct err err;
            close(said[0]);
            for (uint32_t i = 0;; i++) {
                append(store, m, 100);
                if (write(said[1], "+", 1) != 1)
                    _exit(1);
                if (i % 7 == 6 && !store_maintain(store, 60 * EVERY, &err))
                    _exit(1);
            }
        }
        close(said[1]);
        struct timespec ts = {0, (long)(random_below(60) + 5) * 1000000};
        nanosleep(&ts, NULL);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        int acked = 0;
        for (char c; read(said[0], &c, 1) == 1; acked++)
            ;
        close(said[0]);
        struct store *store = open_small(dir);
        struct source_state source = {0};
        store_source(store, SLICE("source"), &source);
        int64_t here = source.next - m->next;
        assert_true(here == acked || here == acked + 1);
        /* The model does what the child did, in memory. */
        struct store_options memory = {.path = NULL, .block_ms = BLOCK};
        struct store *shadow;
        struct err err;
        assert_true(store_open(&memory, &shadow, &err));
        uint64_t after = rng;
        rng = start;
        for (int64_t i = 0; i < here; i++)
            append(shadow, m, 100);
        rng = after;
        store_close(&shadow);
        compare(store, m);
        store_close(&store);
    }
    shell("rm -rf", dir, "");
    free(m);
}

/* ---- threads ---- */

struct shared {
    struct store *store;
    atomic_bool stop;
};

/* Every transaction adds 1 to two series: a reader must never see them differ. */
static void *read_pairs(void *arg)
{
    struct shared *s = arg;
    struct matcher m = {MATCH_EQUAL, SLICE("__name__"), SLICE("m_total"), NULL};
    struct arena arena;
    arena_init(&arena, 0);
    while (!atomic_load(&s->stop)) {
        struct snapshot *snap = snapshot_get(s->store);
        struct plan *plan;
        struct err err;
        int64_t sum[2] = {0, 0};
        assert_true(plan_new(snap, NULL, &m, 1, NULL, &plan, &err));
        for (size_t i = 0; i < plan_n(plan); i++)
            plan_range(plan, i, INT64_MIN, INT64_MAX);
        bool fetched = snapshot_fetch(snap, NULL, NULL, &err);
        assert_true(fetched || snapshot_stale(snap));
        for (size_t i = 0; fetched && i < plan_n(plan); i++) {
            struct columns c;
            assert_true(plan_columns(plan, i, &arena, &c, &err));
            for (size_t k = 0; k < c.n; k++)
                sum[i] += (int64_t)c.amount[k];
        }
        assert_int_equal(sum[0], sum[1]);
        snapshot_put(&snap);
        arena_reset(&arena);
    }
    arena_fini(&arena);
    return NULL;
}

static void *maintain(void *arg)
{
    struct shared *s = arg;
    struct err err;
    for (int64_t passed = 0; !atomic_load(&s->stop); passed += 10 * EVERY)
        assert_true(store_maintain(s->store, passed, &err));
    return NULL;
}

static void test_readers_see_whole_transactions(void **state)
{
    (void)state;
    char dir[64] = "/tmp/larder-threads-XXXXXX";
    pthread_t readers[2], keeper;
    struct shared s = {0};
    struct err err;
    assert_non_null(mkdtemp(dir));
    s.store = open_small(dir);
    for (int i = 0; i < 2; i++)
        thread_start(&readers[i], "reader", read_pairs, &s);
    thread_start(&keeper, "maintain", maintain, &s);
    for (uint32_t i = 0; i < 600; i++) {
        struct txn *txn = txn_begin(s.store);
        int64_t end = (int64_t)(i / 2 + 1) * EVERY;
        txn_add(txn, series_of(txn, 0, 0), end, 1);
        txn_add(txn, series_of(txn, 0, 1), end, 1);
        assert_true(txn_commit(&txn, NULL, &err));
    }
    atomic_store(&s.stop, true);
    for (int i = 0; i < 2; i++)
        thread_join(readers[i]);
    thread_join(keeper);
    store_close(&s.store);
    shell("rm -rf", dir, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_operations),
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_readers_see_whole_transactions),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
