/*
 * Retention: what goes by age, by metric and by bytes, and that coarser cells and what levels stand
 * at stay those of all cells that ever came, late ones too.
 */
#include "store/retention.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "store/compact.h"
#include "store/read.h"
#include "store/resolution.h"
#include "tests/store/support/folder.h"

#define EVERY  20000
#define HOUR   RESOLUTION_1H
#define DAYS   9
#define CELLS  ((size_t)(DAYS * DAY_MS / EVERY))
#define KINDS  5
#define SERIES 2

static uint64_t rng;

static uint32_t below(uint32_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)(rng >> 33) % n;
}

/* The fourth is a counter with a retention of its own, in the tests that have some. */
static struct metric_def defs[KINDS] = {
    {.name = {"a_total", 7}, .kind = KIND_COUNTER, .every_ms = EVERY},
    {.name = {"b_level", 7}, .kind = KIND_LEVEL, .every_ms = EVERY},
    {.name = {"c_sample", 8}, .kind = KIND_SAMPLE},
    {.name = {"d_total", 7}, .kind = KIND_COUNTER, .every_ms = EVERY},
    {.name = {"e_gauge", 7}, .kind = KIND_GAUGE, .every_ms = EVERY},
};

/* Files whose path has this cannot be removed; NULL: none. It stands in front of the C library's.
 */
static const char *undeletable;

int unlink(const char *path)
{
    if (undeletable && strstr(path, undeletable)) {
        errno = EIO;
        return -1;
    }
    return unlinkat(AT_FDCWD, path, 0);
}

struct fixture {
    char dir[FOLDER_MAX];
    struct store *store;
    struct store_options options;
    int64_t (*cells)[SERIES][CELLS]; /* by kind; 1 for a sample or a reading */
};

static void reopen(struct fixture *f)
{
    struct err err = {0};
    if (f->store)
        store_close(&f->store);
    if (!store_open(&f->options, &f->store, &err))
        fail_msg("%s", err.text);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    undeletable = NULL;
    folder_make("retention", f->dir);
    f->options.path = f->dir;
    f->cells = calloc(KINDS, sizeof *f->cells);
    rng = getenv("LARDER_SEED") ? strtoull(getenv("LARDER_SEED"), NULL, 10) : 88172645463325252u;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    store_close(&f->store);
    folder_remove(f->dir);
    free(f->cells);
    free(f);
    return 0;
}

static void maintain(struct fixture *f, int64_t passed)
{
    struct err err = {0};
    bool more = true;
    for (int steps = 0; more; steps++) {
        assert_true(steps < 2000); /* it comes to an end */
        if (!store_maintain_step(f->store, passed, &more, &err))
            fail_msg("%s", err.text);
    }
}

static void put(struct fixture *f, struct txn *txn, int kind, int s, int64_t t, int64_t v)
{
    char name[16];
    uint32_t metric, id;
    struct err err = {0};
    snprintf(name, sizeof name, "s%d", s);
    struct label l[2] = {{SLICE("__name__"), defs[kind].name}, {SLICE("series"), slice_from(name)}};
    assert_true(txn_metric(txn, &defs[kind], &metric, &err));
    assert_true(txn_series(txn, metric, (struct labels){l, 2}, &id, &err));
    int64_t *cell = &f->cells[kind][s][t / EVERY - 1];
    switch (defs[kind].kind) {
    case KIND_SAMPLE:
        txn_sample(txn, id, t, (double)v);
        *cell = 1;
        break;
    case KIND_GAUGE:
        txn_gauge(txn, id, t, &(struct gauge_cell){v, t, v, v, v, 1});
        *cell += 1;
        break;
    default: txn_add(txn, id, t, v); *cell += v;
    }
}

static void add(struct fixture *f, int kind, int64_t t, int64_t v)
{
    struct err err = {0};
    struct txn *txn = txn_begin(f->store);
    put(f, txn, kind, 0, t, v);
    assert_true(txn_commit(&txn, NULL, &err));
}

/* ---- reading ---- */

/* The amount of a cell, or how many samples or readings it stands for. */
static int64_t weight(const struct columns *c, size_t i)
{
    return c->amount ? (int64_t)c->amount[i] : c->count ? c->count[i] : 1;
}

static size_t series_at(const struct plan *plan, size_t i)
{
    return strtoul(labels_get(plan_labels(plan, i), SLICE("series")).ptr + 1, NULL, 10);
}

static int64_t expected(const struct fixture *f, int kind, size_t s, int64_t from, int64_t to)
{
    int64_t sum = 0;
    for (int64_t t = from + EVERY; t <= to; t += EVERY)
        sum += f->cells[kind][s][t / EVERY - 1];
    return sum;
}

static struct snapshot *read_metric(
    struct fixture *f, int kind, int64_t from, int64_t to, int64_t resolution, struct plan **plan)
{
    struct matcher m = {MATCH_EQUAL, SLICE("__name__"), defs[kind].name, NULL};
    struct snapshot *snap = snapshot_get(f->store);
    struct err err = {0};
    assert_true(plan_new(snap, NULL, &m, 1, NULL, plan, &err));
    for (size_t i = 0; i < plan_n(*plan); i++) {
        plan_range(*plan, i, from, to);
        if (resolution)
            plan_resolution(*plan, i, resolution);
        if (defs[kind].kind == KIND_LEVEL)
            assert_true(plan_opening(*plan, i, to, &err));
    }
    if (!snapshot_fetch(snap, NULL, NULL, &err))
        fail_msg("%s", err.text);
    return snap;
}

/* All cells of all series of a metric in the range, summed. */
static int64_t total(struct fixture *f, int kind, int64_t from, int64_t to, int64_t resolution)
{
    struct plan *plan;
    struct arena arena;
    struct err err = {0};
    int64_t sum = 0;
    arena_init(&arena, 0);
    struct snapshot *snap = read_metric(f, kind, from, to, resolution, &plan);
    for (size_t i = 0; i < plan_n(plan); i++) {
        struct columns c;
        assert_true(plan_columns(plan, i, &arena, &c, &err));
        for (size_t k = 0; k < c.n; k++)
            sum += weight(&c, k);
    }
    snapshot_put(&snap);
    arena_fini(&arena);
    return sum;
}

/* What the first series of the level stands at. */
static int64_t level_at(struct fixture *f, int64_t t)
{
    struct plan *plan;
    struct arena arena;
    struct err err = {0};
    int128 sum = 0;
    arena_init(&arena, 0);
    struct snapshot *snap = read_metric(f, 1, t - 1, t, 0, &plan);
    if (plan_n(plan) > 0)
        assert_true(plan_opening_sum(plan, 0, &arena, &sum, &err));
    snapshot_put(&snap);
    arena_fini(&arena);
    return (int64_t)sum;
}

/* Every bucket of every series is that of all cells that came. */
static void compare(struct fixture *f, int kind, int64_t from, int64_t to, int64_t resolution)
{
    struct plan *plan;
    struct arena arena;
    struct err err = {0};
    arena_init(&arena, 0);
    struct snapshot *snap = read_metric(f, kind, from, to, resolution, &plan);
    for (size_t i = 0; i < plan_n(plan); i++) {
        size_t s = series_at(plan, i), k = 0;
        struct columns c;
        int128 sum;
        assert_true(plan_columns(plan, i, &arena, &c, &err));
        for (int64_t t = from + resolution; t <= to; t += resolution) {
            int64_t want = expected(f, kind, s, t - resolution, t);
            int64_t got = k < c.n && c.t[k] == t ? weight(&c, k++) : 0;
            if (got != want)
                fail_msg("%.*s s%zu, bucket %lld of %lld ms: %lld, not %lld",
                    SLICE_FMT(defs[kind].name), s, (long long)t, (long long)resolution,
                    (long long)got, (long long)want);
        }
        assert_int_equal(k, c.n);
        if (defs[kind].kind != KIND_LEVEL)
            continue;
        assert_true(plan_opening_sum(plan, i, &arena, &sum, &err));
        assert_int_equal((int64_t)sum, expected(f, kind, s, 0, to));
    }
    snapshot_put(&snap);
    arena_fini(&arena);
}

/* ---- by age ---- */

static void test_by_age(void **state)
{
    struct fixture *f = *state;
    struct store_stats stats;
    f->options.retention = (struct retention){.raw_ms = 2 * DAY_MS, .minute_ms = 4 * DAY_MS};
    reopen(f);
    for (int d = 0; d < 8; d++)
        add(f, 0, d * DAY_MS + HOUR, 1);
    maintain(f, 7 * DAY_MS + 4 * HOUR);
    /* The newest sealed data end at 7 d 2 h: raw cells from 5 d on are kept, 1m ones from 3 d. */
    for (int round = 0; round < 2; round++) {
        assert_int_equal(total(f, 0, 0, 5 * DAY_MS, 0), 0);
        assert_int_equal(total(f, 0, 5 * DAY_MS, 8 * DAY_MS, 0), 3);
        assert_int_equal(total(f, 0, 0, 3 * DAY_MS, RESOLUTION_1M), 0);
        assert_int_equal(total(f, 0, 3 * DAY_MS, 8 * DAY_MS, RESOLUTION_1M), 5);
        assert_int_equal(total(f, 0, 0, 8 * DAY_MS, RESOLUTION_1H), 8);
        store_stats(f->store, &stats);
        assert_int_equal(stats.derived_segments, 4 + 7); /* 1m of days 3 to 6, 1h of 0 to 6 */
        reopen(f);
        maintain(f, 7 * DAY_MS + 4 * HOUR);
    }
}

/* Late cells lie in a segment beside the day's when its raw cells go. */
static void test_late_cells_are_kept(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    f->options.retention.raw_ms = 3 * DAY_MS;
    reopen(f);
    struct txn *txn = txn_begin(f->store);
    for (int64_t t = EVERY; t <= DAY_MS; t += EVERY)
        for (int kind = 0; kind < 2; kind++)
            put(f, txn, kind, 0, t, 1 + below(100000));
    assert_true(txn_commit(&txn, NULL, &err));
    maintain(f, DAY_MS);
    add(f, 0, EVERY, 7);
    add(f, 1, EVERY, 100);
    maintain(f, DAY_MS + 2 * HOUR);
    maintain(f, DAY_MS + 5 * HOUR); /* the late segment, too small to be merged in */
    add(f, 0, 5 * DAY_MS + EVERY, 1);
    maintain(f, 5 * DAY_MS + 4 * HOUR);
    assert_int_equal(total(f, 0, 0, DAY_MS, 0), 0);
    for (int kind = 0; kind < 2; kind++) {
        compare(f, kind, 0, DAY_MS, RESOLUTION_1M);
        compare(f, kind, 0, DAY_MS, RESOLUTION_1H);
    }
    assert_int_equal(level_at(f, DAY_MS), expected(f, 1, 0, 0, DAY_MS));
}

/* A day that had counters alone gets a level's cell when nothing raw is left of it. */
static void test_late_level(void **state)
{
    struct fixture *f = *state;
    f->options.retention =
        (struct retention){.raw_ms = 2 * DAY_MS, .minute_ms = 3 * DAY_MS, .hour_ms = 4 * DAY_MS};
    reopen(f);
    add(f, 0, EVERY, 1);
    add(f, 1, DAY_MS + EVERY, 10);
    add(f, 0, 3 * DAY_MS + EVERY, 1);
    maintain(f, 3 * DAY_MS + 4 * HOUR);
    add(f, 1, EVERY, 3);
    maintain(f, 3 * DAY_MS + 8 * HOUR);
    maintain(f, 3 * DAY_MS + 12 * HOUR);
    assert_int_equal(level_at(f, HOUR), 3);
    assert_int_equal(level_at(f, 4 * DAY_MS), 13);
    add(f, 0, 8 * DAY_MS + EVERY, 1);
    maintain(f, 8 * DAY_MS + 4 * HOUR);
    assert_int_equal(total(f, 0, 0, DAY_MS, HOUR), 0);
    assert_int_equal(level_at(f, 8 * DAY_MS), 13);
}

/* 1m cells that are to go before the raw ones do are not made again and again. */
static void test_coarse_shorter_than_raw(void **state)
{
    struct fixture *f = *state;
    struct store_stats stats;
    f->options.retention = (struct retention){.minute_ms = 2 * DAY_MS};
    reopen(f);
    for (int d = 0; d < 6; d++)
        add(f, 0, d * DAY_MS + HOUR, 1);
    maintain(f, 6 * DAY_MS);
    store_stats(f->store, &stats);
    assert_int_equal(stats.derived_segments, 2 + 6);
    compare(f, 0, 0, 6 * DAY_MS, RESOLUTION_1M); /* from raw ones */
}

/* 1m cells went while their age was short. What comes later is merged into the coarser ones, and is
 * not kept as 1m cells, which would look like all there are. */
static void test_ages_that_grow(void **state)
{
    struct fixture *f = *state;
    f->options.retention = (struct retention){.raw_ms = DAY_MS, .minute_ms = 2 * DAY_MS};
    reopen(f);
    for (int kind = 0; kind < 2; kind++) {
        add(f, kind, EVERY, 3);
        add(f, kind, 5 * HOUR, 4);
    }
    for (int d = 1; d < 6; d++)
        add(f, 0, d * DAY_MS + HOUR, 1);
    maintain(f, 5 * DAY_MS + 4 * HOUR);
    assert_int_equal(total(f, 0, 0, DAY_MS, RESOLUTION_1M), 0);
    f->options.retention.minute_ms = 30 * DAY_MS;
    reopen(f);
    for (int kind = 0; kind < 2; kind++)
        add(f, kind, 3 * HOUR - EVERY, 10);
    maintain(f, 5 * DAY_MS + 8 * HOUR);
    maintain(f, 5 * DAY_MS + 12 * HOUR);
    assert_int_equal(total(f, 0, 0, DAY_MS, 0), 0);
    assert_int_equal(total(f, 0, 0, DAY_MS, RESOLUTION_1M), 0);
    compare(f, 0, 0, DAY_MS, RESOLUTION_1H);
    assert_int_equal(level_at(f, 3 * HOUR), 13);
    assert_int_equal(level_at(f, 6 * HOUR), 17);
    assert_int_equal(level_at(f, DAY_MS), 17);
}

static int64_t random_time(uint32_t newest, bool late)
{
    uint32_t back = late && below(25) == 0 ? below(newest + 1) : below(20);
    return (int64_t)(back < newest ? newest - back : 0) * EVERY + EVERY;
}

/* Samples do not add up with coarser cells: theirs are never that late. */
static void append(struct fixture *f, uint32_t newest)
{
    struct err err = {0};
    struct txn *txn = txn_begin(f->store);
    for (uint32_t n = 1 + below(40); n > 0; n--) {
        int kind = (int)below(KINDS), s = (int)below(SERIES);
        int64_t t = random_time(newest, defs[kind].kind != KIND_SAMPLE);
        int64_t now = f->cells[kind][s][t / EVERY - 1], v = below(5) ? 1 + below(99) : -now;
        if (v)
            put(f, txn, kind, s, t, v);
    }
    if (!txn_commit(&txn, NULL, &err))
        fail_msg("%s", err.text);
}

/* How long the coarser cells of a kind are kept. */
static int64_t kept_ms(const struct fixture *f, int kind, int64_t resolution)
{
    const struct retention *r = &f->options.retention;
    bool minutes = resolution == RESOLUTION_1M;
    for (size_t i = 0; i < r->n_metrics; i++) {
        int64_t own = minutes ? r->metrics[i].minute_ms : r->metrics[i].hour_ms;
        if (slice_eq(r->metrics[i].metric, defs[kind].name) && own)
            return own == RETENTION_FOR_EVER ? 0 : own;
    }
    return minutes ? r->minute_ms : r->hour_ms;
}

static void check_all(struct fixture *f, uint32_t newest)
{
    int64_t end = ((int64_t)newest * EVERY / HOUR + 1) * HOUR;
    for (int kind = 0; kind < KINDS; kind++)
        for (int64_t r = RESOLUTION_1M; r <= RESOLUTION_1H; r *= 60) {
            int64_t kept = kept_ms(f, kind, r), day = kept ? (end - kept) / DAY_MS + 1 : 0;
            compare(f, kind, day < 0 ? 0 : day * DAY_MS, end, r);
        }
}

/* Goes on with what the folder holds in the middle of maintenance. */
static void crash(struct fixture *f, int64_t passed)
{
    char copy[FOLDER_MAX];
    struct err err = {0};
    bool more = true;
    for (uint32_t steps = below(6); more && steps > 0; steps--)
        assert_true(store_maintain_step(f->store, passed, &more, &err));
    folder_make("retention", copy);
    folder_copy(f->dir, copy);
    store_close(&f->store);
    folder_remove(f->dir);
    memcpy(f->dir, copy, sizeof copy);
    reopen(f);
}

static void run(struct fixture *f, uint32_t rounds)
{
    reopen(f);
    for (uint32_t i = 1; i <= rounds; i++) {
        uint32_t newest = (uint32_t)((uint64_t)(CELLS - 1) * i / rounds);
        append(f, newest);
        if (below(4) == 0)
            maintain(f, (int64_t)newest * EVERY - 30 * EVERY);
        if (below(rounds / 20 + 1) == 0)
            check_all(f, newest);
        if (below(rounds / 10 + 1) == 0)
            reopen(f);
        if (below(rounds / 20 + 1) == 0)
            crash(f, (int64_t)newest * EVERY - 30 * EVERY);
    }
    maintain(f, DAYS * DAY_MS);
    maintain(f, DAYS * DAY_MS + 3 * HOUR); /* late cells of the head are sealed, too */
    check_all(f, CELLS - 1);
}

static uint32_t rounds_of(void)
{
    const char *text = getenv("LARDER_STEPS");
    uint32_t n = text ? (uint32_t)atoi(text) / 40 : 1500;
    return n < 400 ? 400 : n;
}

static void test_random(void **state)
{
    struct fixture *f = *state;
    f->options.retention = (struct retention){.raw_ms = 2 * DAY_MS, .minute_ms = 4 * DAY_MS};
    run(f, rounds_of());
    for (int kind = 0; kind < KINDS; kind++) {
        assert_int_equal(total(f, kind, 0, 7 * DAY_MS, 0), 0); /* raw ones did go */
        assert_int_equal(total(f, kind, 0, 5 * DAY_MS, RESOLUTION_1M), 0);
    }
}

/* ---- by metric ---- */

static void test_random_by_metric(void **state)
{
    struct fixture *f = *state;
    const struct metric_retention metrics[] = {
        {.metric = defs[3].name, .raw_ms = DAY_MS, .minute_ms = 2 * DAY_MS},
        {.metric = defs[2].name, .raw_ms = 4 * DAY_MS, .minute_ms = 3 * DAY_MS},
        {.metric = defs[1].name, .hour_ms = RETENTION_FOR_EVER},
    };
    f->options.retention = (struct retention){.raw_ms = 2 * DAY_MS,
        .minute_ms = 4 * DAY_MS,
        .hour_ms = 6 * DAY_MS,
        .metrics = metrics,
        .n_metrics = 3};
    run(f, rounds_of());
    const int64_t raw[KINDS] = {2, 2, 4, 1, 2}, minutes[KINDS] = {4, 4, 4, 2, 4};
    for (int kind = 0; kind < KINDS; kind++) {
        int64_t day = (DAYS - raw[kind]) * DAY_MS;
        assert_int_equal(total(f, kind, 0, day, 0), 0);
        assert_true(total(f, kind, day, day + DAY_MS, 0) != 0);
        day = (DAYS - minutes[kind]) * DAY_MS;
        assert_int_equal(total(f, kind, 0, day, RESOLUTION_1M), 0);
        assert_true(total(f, kind, day, day + DAY_MS, RESOLUTION_1M) != 0);
    }
    assert_int_equal(total(f, 0, 0, 3 * DAY_MS, HOUR), 0);
    assert_true(total(f, 1, 0, 3 * DAY_MS, HOUR) != 0);
}

/* A metric whose raw cells stay longer than all others' is alone in its segments then. */
static void test_metric_for_ever(void **state)
{
    struct fixture *f = *state;
    const struct metric_retention own = {.metric = defs[3].name, .raw_ms = RETENTION_FOR_EVER};
    f->options.retention = (struct retention){
        .raw_ms = DAY_MS, .minute_ms = DAY_MS, .hour_ms = DAY_MS, .metrics = &own, .n_metrics = 1};
    reopen(f);
    for (int d = 0; d < 6; d++) {
        add(f, 0, d * DAY_MS + HOUR, 1);
        add(f, 3, d * DAY_MS + HOUR, 1);
    }
    maintain(f, 6 * DAY_MS);
    assert_int_equal(total(f, 0, 0, 6 * DAY_MS, HOUR), 1);
    assert_int_equal(total(f, 0, 0, 6 * DAY_MS, 0), 1);
    assert_int_equal(total(f, 3, 0, 6 * DAY_MS, 0), 6);
    compare(f, 3, 0, 6 * DAY_MS, RESOLUTION_1M);
}

/* ---- what a reader can have ---- */

static unsigned whole_of(struct fixture *f, int kind, int64_t from, int64_t to)
{
    struct matcher m = {MATCH_EQUAL, SLICE("__name__"), defs[kind].name, NULL};
    struct snapshot *snap = snapshot_get(f->store);
    struct plan *plan;
    struct err err = {0};
    unsigned whole;
    assert_true(plan_new(snap, NULL, &m, 1, NULL, &plan, &err));
    assert_int_equal(plan_n(plan), 1);
    assert_true(plan_whole(plan, 0, from, to, &whole, &err));
    snapshot_put(&snap);
    return whole;
}

static void test_whole(void **state)
{
    struct fixture *f = *state;
    const struct metric_retention own = {.metric = defs[3].name, .raw_ms = RETENTION_FOR_EVER};
    f->options.retention = (struct retention){.raw_ms = 2 * DAY_MS,
        .minute_ms = 4 * DAY_MS,
        .hour_ms = 6 * DAY_MS,
        .metrics = &own,
        .n_metrics = 1};
    reopen(f);
    for (int d = 0; d < 8; d++)
        for (int kind = 0; kind < KINDS; kind++)
            add(f, kind, d * DAY_MS + HOUR, 1);
    maintain(f, 8 * DAY_MS);
    const unsigned coarse = WHOLE_1M | WHOLE_1H, all = WHOLE_RAW | coarse;
    for (int kind = 0; kind < KINDS; kind++) {
        bool level = defs[kind].kind == KIND_LEVEL, ever = kind == 3;
        unsigned day = level ? WHOLE_1D : 0;
        assert_int_equal(whole_of(f, kind, 6 * DAY_MS, 8 * DAY_MS), all | day);
        assert_int_equal(whole_of(f, kind, 6 * DAY_MS - 1, 8 * DAY_MS), ever ? all : coarse | day);
        assert_int_equal(
            whole_of(f, kind, 4 * DAY_MS - 1, 8 * DAY_MS), ever ? all : WHOLE_1H | day);
        assert_int_equal(
            whole_of(f, kind, 4 * DAY_MS - 1, 4 * DAY_MS), ever ? all : WHOLE_1H | day);
        /* Days 0 and 1 are gone altogether, but for the cells of a day. */
        assert_int_equal(whole_of(f, kind, 0, 2 * DAY_MS), level ? WHOLE_1D : all);
    }
}

/* ---- by bytes ---- */

/* All but the lock, which says which process has the folder. */
static void add_size(void *ctx, const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    if (strcmp(strrchr(path, '/'), "/LOCK") != 0)
        *(uint64_t *)ctx += (uint64_t)st.st_size;
}

static uint64_t weigh(const struct fixture *f)
{
    uint64_t bytes = 0;
    folder_each(f->dir, add_size, &bytes);
    return bytes;
}

/* Three days and a bit, of which the last is not passed. */
static void fill(struct fixture *f)
{
    struct err err = {0};
    for (int d = 0; d < 4; d++) {
        struct txn *txn = txn_begin(f->store);
        for (int64_t t = EVERY; t <= DAY_MS / 2; t += EVERY)
            for (int s = 0; s < SERIES; s++)
                put(f, txn, 0, s, d * DAY_MS + t, 1 + below(1000000));
        assert_true(txn_commit(&txn, NULL, &err));
        maintain(f, (d + 1) * DAY_MS - 4 * HOUR);
    }
    store_close(&f->store); /* a checkpoint empties the log */
}

/* A cell far ahead makes nothing old, in the head or sealed, until time has passed it. */
static void test_a_cell_far_ahead(void **state)
{
    struct fixture *f = *state;
    f->options.retention = (struct retention){.raw_ms = DAY_MS, .minute_ms = DAY_MS};
    reopen(f);
    for (int64_t t = EVERY; t <= DAY_MS; t += 100 * EVERY)
        add(f, 0, t, 1 + below(1000));
    add(f, 0, DAYS * DAY_MS, 7);
    f->options.head_bytes = 1; /* everything is sealed */
    reopen(f);
    for (int64_t day = 1; day < 3; day++) {
        maintain(f, day * DAY_MS);
        assert_int_equal(total(f, 0, 0, DAYS * DAY_MS, 0), expected(f, 0, 0, 0, DAYS * DAY_MS));
    }
    maintain(f, DAYS * DAY_MS);
    assert_int_equal(total(f, 0, 0, DAY_MS, 0), 0);
    compare(f, 0, 0, DAYS * DAY_MS, HOUR);
}

static void test_by_bytes(void **state)
{
    struct fixture *f = *state;
    reopen(f);
    fill(f);
    reopen(f);
    maintain(f, 3 * DAY_MS + 4 * HOUR);
    f->options.retention.max_bytes = weigh(f) * 4 / 5;
    reopen(f);
    maintain(f, 3 * DAY_MS + 4 * HOUR);
    assert_true(weigh(f) <= f->options.retention.max_bytes);
    assert_int_equal(total(f, 0, 0, DAY_MS, 0), 0); /* the oldest raw cells, and no others */
    for (int d = 0; d < 4; d++) {
        if (d > 0)
            assert_true(total(f, 0, d * DAY_MS, (d + 1) * DAY_MS, 0) != 0);
        compare(f, 0, d * DAY_MS, (d + 1) * DAY_MS, HOUR);
    }
}

/* What has failed before is not left alone now. */
static void maintain_again(struct fixture *f, int64_t passed)
{
    struct err err = {0};
    if (!store_maintain(f->store, passed, &err))
        fail_msg("%s", err.text);
}

static void expect_not_removed(struct fixture *f, int64_t passed, const char *what)
{
    struct err err = {0};
    if (store_maintain(f->store, passed, &err))
        fail_msg("what cannot be removed was not missed");
    assert_non_null(strstr(err.text, what));
    assert_true(weigh(f) > f->options.retention.max_bytes);
}

/* Which process has the folder, in however many digits, is no reason for anything to go. */
static void test_the_lock_counts_for_nothing(void **state)
{
    struct fixture *f = *state;
    const int64_t passed = 3 * DAY_MS + 4 * HOUR;
    reopen(f);
    fill(f);
    reopen(f);
    maintain(f, passed);
    f->options.retention.max_bytes = weigh(f);
    reopen(f);
    maintain(f, passed);
    assert_int_equal(weigh(f), f->options.retention.max_bytes);
    assert_true(total(f, 0, 0, DAY_MS, 0) != 0);
}

/* A file that cannot be removed takes its room still, and nothing else goes in its place: the call
 * fails, and the next one tries again. */
static void test_a_file_that_cannot_be_removed(void **state)
{
    struct fixture *f = *state;
    const int64_t passed = 3 * DAY_MS + 4 * HOUR;
    reopen(f);
    fill(f);
    reopen(f);
    maintain(f, passed);
    f->options.retention.max_bytes = weigh(f) - 1;
    reopen(f);
    undeletable = ".seg";
    for (int round = 0; round < 3; round++) {
        expect_not_removed(f, passed, ".seg");
        assert_int_equal(total(f, 0, 0, DAY_MS, 0), 0);
        compare(f, 0, 0, 4 * DAY_MS, HOUR);
        assert_true(total(f, 0, DAY_MS, 2 * DAY_MS, 0) != 0);
    }
    undeletable = NULL;
    maintain_again(f, passed);
    assert_true(weigh(f) <= f->options.retention.max_bytes);
    compare(f, 0, 0, 4 * DAY_MS, HOUR);
    assert_true(total(f, 0, DAY_MS, 2 * DAY_MS, 0) != 0);
}

/* Nor do they because of a log that is in the checkpoint. */
static void test_a_log_that_cannot_be_removed(void **state)
{
    struct fixture *f = *state;
    const int64_t passed = 3 * DAY_MS + 4 * HOUR;
    reopen(f);
    fill(f);
    reopen(f);
    maintain(f, passed);
    f->options.retention.max_bytes = weigh(f) + 50000;
    f->options.wal_file_bytes = 4096;
    f->options.checkpoint_bytes = 4000;
    reopen(f);
    maintain(f, passed);
    for (int i = 0; weigh(f) <= f->options.retention.max_bytes; i++)
        for (int k = 0; k < 5; k++)
            add(f, 0, 3 * DAY_MS + HOUR + (k + i * 5) % 500 * EVERY, 1 + below(1000000));
    undeletable = ".wal";
    for (int round = 0; round < 3; round++) {
        expect_not_removed(f, passed, ".wal");
        assert_true(total(f, 0, 0, DAY_MS, 0) != 0);
    }
    undeletable = NULL;
    maintain_again(f, passed);
    assert_true(weigh(f) <= f->options.retention.max_bytes);
    assert_true(total(f, 0, 0, DAY_MS, 0) != 0);
}

/* How often a folder was walked through; it stands in front of the C library's. */
static unsigned walks;

DIR *opendir(const char *path)
{
    static DIR *(*next)(const char *);
    if (!next)
        next = (DIR * (*)(const char *)) dlsym(RTLD_NEXT, "opendir");
    walks++;
    return next(path);
}

/* Maintenance that finds nothing to do does not walk through the folder, and misses nothing. */
static void test_bytes_are_counted_cheaply(void **state)
{
    struct fixture *f = *state;
    const int64_t passed = 3 * DAY_MS + 4 * HOUR;
    char path[FOLDER_MAX + 16];
    reopen(f);
    fill(f);
    reopen(f);
    maintain(f, passed);
    f->options.retention.max_bytes = weigh(f) + 50000;
    f->options.wal_file_bytes = 4096; /* and so it is allocated in pieces of this size */
    reopen(f);
    maintain(f, passed);
    walks = 0;
    for (int i = 0; i < 50; i++)
        maintain(f, passed);
    assert_int_equal(walks, 0);
    assert_true(total(f, 0, 0, DAY_MS, 0) != 0);
    /* The log grows, and no edit says so. */
    for (int i = 0; weigh(f) <= f->options.retention.max_bytes; i++)
        for (int k = 0; k < 5; k++)
            add(f, 0, 3 * DAY_MS + HOUR + (k + i * 5) % 500 * EVERY, 1 + below(1000000));
    maintain(f, passed);
    assert_int_equal(total(f, 0, 0, DAY_MS, 0), 0);
    assert_true(total(f, 0, DAY_MS, 2 * DAY_MS, 0) != 0);
    /* A file that comes from elsewhere is found after a while. */
    f->options.retention.max_bytes = weigh(f) + 50000;
    reopen(f);
    maintain(f, passed);
    snprintf(path, sizeof path, "%s/stray", f->dir);
    FILE *stray = fopen(path, "w");
    assert_non_null(stray);
    assert_int_equal(fseek(stray, 300000, SEEK_SET), 0);
    assert_int_equal(fputc('x', stray), 'x');
    assert_int_equal(fclose(stray), 0);
    for (int i = 0; i < 300; i++)
        maintain(f, passed);
    assert_int_equal(total(f, 0, DAY_MS, 2 * DAY_MS, 0), 0);
    compare(f, 0, 3 * DAY_MS, 4 * DAY_MS, HOUR);
}

static void damage(void *ctx, const char *path)
{
    int *left = ctx;
    if (!strstr(path, ".seg") || (*left)-- != 1)
        return;
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, 20, SEEK_SET), 0);
    assert_true(fputs("damage", file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* What is kept cannot be made anew: without it an answer would be wrong, and readers are told. */
static void test_damage_of_what_is_kept(void **state)
{
    struct fixture *f = *state;
    struct matcher m = {MATCH_EQUAL, SLICE("__name__"), defs[0].name, NULL};
    struct plan *plan;
    struct err err = {0};
    int first = 1;
    f->options.retention = (struct retention){.raw_ms = DAY_MS, .minute_ms = DAY_MS};
    reopen(f);
    add(f, 0, HOUR, 1);
    add(f, 0, 3 * DAY_MS, 1);
    maintain(f, 3 * DAY_MS);
    store_close(&f->store);
    folder_each(f->dir, damage, &first); /* the first by name is that of the first day */
    reopen(f);
    struct snapshot *snap = snapshot_get(f->store);
    assert_true(plan_new(snap, NULL, &m, 1, NULL, &plan, &err));
    plan_range(plan, 0, 0, DAY_MS);
    plan_resolution(plan, 0, HOUR);
    assert_false(snapshot_fetch(snap, NULL, NULL, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    snapshot_put(&snap);
}

/* A bound that nothing fits under: what is passed goes with what was set aside, the rest stays. */
static void test_by_bytes_all(void **state)
{
    struct fixture *f = *state;
    struct store_stats stats;
    int first = 1;
    reopen(f);
    fill(f);
    folder_each(f->dir, damage, &first);
    reopen(f);
    store_stats(f->store, &stats);
    assert_int_equal(stats.quarantined, 1);
    f->options.retention.max_bytes = 1;
    reopen(f);
    maintain(f, 3 * DAY_MS + 4 * HOUR);
    store_stats(f->store, &stats);
    assert_int_equal(stats.quarantined, 0);
    assert_int_equal(total(f, 0, 0, 3 * DAY_MS, HOUR), 0);
    compare(f, 0, 3 * DAY_MS, 4 * DAY_MS, HOUR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_by_age, setup, teardown),
        cmocka_unit_test_setup_teardown(test_late_cells_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_late_level, setup, teardown),
        cmocka_unit_test_setup_teardown(test_coarse_shorter_than_raw, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ages_that_grow, setup, teardown),
        cmocka_unit_test_setup_teardown(test_metric_for_ever, setup, teardown),
        cmocka_unit_test_setup_teardown(test_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_cell_far_ahead, setup, teardown),
        cmocka_unit_test_setup_teardown(test_by_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_lock_counts_for_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_file_that_cannot_be_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_log_that_cannot_be_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bytes_are_counted_cheaply, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage_of_what_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_by_bytes_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random_by_metric, setup, teardown),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
