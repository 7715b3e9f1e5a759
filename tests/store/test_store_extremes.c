/*
 * Random samples at the bounds of what may enter (wide histograms, a layout for each, long bounds,
 * odd doubles), early and late, against a list of them: every commit is sealed, compacted and found
 * again, to the bit. Nothing that was committed stops the store.
 *
 * LARDER_STEPS says how much is tried, LARDER_SEED repeats a run.
 */
#include <math.h>
#include <time.h>

#include "base/log.h"
#include "store/bounds.h"
#include "store/read.h"
#include "store/segment/chunk.h"
#include "store/segment/hist_layout.h"
#include "store/verify_store.h"
#include "tests/store/segment_fixture.h"
#include "tests/store/support/folder.h"

#define HOUR   INT64_C(3600000)
#define DAY    (INT64_C(20000) * 24 * HOUR)
#define SERIES 4
#define ROUNDS 60
/* Of as many histograms as there are layouts in a chunk, all that a chunk may have. */
#define STREAM_KEYS (LAYOUT_COUNTS_MAX / LAYOUTS_MAX)
#define TIMES       (3 * 24) /* hours of which samples are */

static const struct metric_def sample = {.name = {"request_seconds", 15}, .kind = KIND_SAMPLE};

struct point {
    int64_t t;
    uint64_t bits;
    const struct hist *hist;
    size_t order; /* of commits; the last wins */
};

struct model {
    char folder[FOLDER_MAX], path[FOLDER_MAX];
    struct arena arena;
    struct store *store;
    uint64_t seed, random;
    struct points {
        struct point *items;
        size_t n, cap;
    } series[SERIES];
    int64_t newest;
    size_t order;
};

static uint64_t below(struct model *m, uint64_t n)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return (m->random * UINT64_C(2685821657736338717) >> 11) % n;
}

static uint64_t any_bits(struct model *m)
{
    return below(m, UINT64_C(1) << 32) << 32 | below(m, UINT64_C(1) << 32);
}

static double random_double(struct model *m)
{
    uint64_t bits = any_bits(m);
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static double any_double(struct model *m)
{
    static const double odd[] = {0.0, -0.0, INFINITY, -INFINITY, NAN, 1e300, -1.5, 5e-324, 1, 3};
    return below(m, 3) ? random_double(m) : odd[below(m, 10)];
}

/* ---- histograms ---- */

/* n buckets over all indexes, with counts that do not pack, or side by side from `least` on. */
static const struct hist_fbucket *buckets(struct model *m, uint32_t n, int64_t least, bool apart)
{
    struct hist_fbucket *b = arena_array(&m->arena, n, sizeof *b);
    int64_t step = apart && n ? INT64_C(4294967295) / n : 1;
    for (uint32_t i = 0; i < n; i++) {
        int64_t more = step > 1 ? (int64_t)below(m, (uint64_t)step) : 0;
        b[i].index = (int32_t)((apart ? INT32_MIN : least) + i * step + more);
        b[i].count = apart ? random_double(m) : any_double(m);
    }
    return b;
}

static const struct hist *exponential(struct model *m, uint32_t n, double threshold)
{
    struct hist *h = arena_zalloc(&m->arena, sizeof *h);
    bool apart = n == STREAM_KEYS || below(m, 2);
    h->schema = (int)below(m, 13) - 4;
    h->reset_hint = (enum hist_reset_hint)below(m, 4);
    h->zero_threshold = threshold;
    h->zero_count = any_double(m);
    h->sum = any_double(m);
    h->n_negative = below(m, 2) ? (uint32_t)below(m, n + 1) : 0;
    h->n_positive = n - h->n_negative;
    h->positive = buckets(m, h->n_positive, (int64_t)below(m, 100000), apart);
    h->negative = buckets(m, h->n_negative, -(int64_t)below(m, 100000), apart);
    h->count = any_double(m);
    return h;
}

static const struct hist *custom(struct model *m, uint32_t n_bounds)
{
    struct hist *h = arena_zalloc(&m->arena, sizeof *h);
    double *bounds = arena_array(&m->arena, n_bounds, sizeof *bounds);
    double at = -(double)below(m, 1000);
    for (uint32_t i = 0; i < n_bounds; i++)
        bounds[i] = at += 1 + (double)below(m, 8) / 8;
    h->schema = HIST_SCHEMA_CUSTOM;
    h->bounds = bounds;
    h->n_bounds = n_bounds;
    h->n_positive = (uint32_t)below(m, n_bounds + 2);
    h->positive = buckets(m, h->n_positive, 0, false);
    h->sum = any_double(m);
    h->count = any_double(m);
    return h;
}

/* ---- what is committed ---- */

enum style { WIDE, LAYOUTS, STREAMS_OF_ONE, BOUNDS, MIXED, STYLES };

static size_t how_many(struct model *m, enum style style)
{
    switch (style) {
    case WIDE: return 1 + below(m, 3);
    case LAYOUTS: return 1 + below(m, 6000);
    case STREAMS_OF_ONE: return LAYOUTS_MAX;
    case BOUNDS: return 1 + below(m, 6);
    default: return 1 + below(m, 3000);
    }
}

static const struct hist *make_hist(struct model *m, enum style style, size_t i)
{
    switch (style) {
    case WIDE: return exponential(m, LAYOUT_KEYS_MAX - (uint32_t)below(m, 2) * 1000, any_double(m));
    case LAYOUTS: return exponential(m, (uint32_t)below(m, 3), (double)(i + 1));
    case STREAMS_OF_ONE: return exponential(m, STREAM_KEYS, (double)i);
    case BOUNDS: return custom(m, (uint32_t)below(m, LAYOUT_BOUNDS_MAX + 1));
    default: break;
    }
    if (below(m, 3) == 0)
        return below(m, 2) ? custom(m, (uint32_t)below(m, 4)) : exponential(m, 5, 0.001);
    return NULL;
}

static void add(struct model *m, struct txn *txn, size_t s, uint32_t id, struct point p)
{
    struct points *points = &m->series[s];
    double v;
    memcpy(&v, &p.bits, sizeof v);
    p.order = m->order++;
    ensure(p.hist ? txn_sample_histogram(txn, id, p.t, p.hist) : txn_sample(txn, id, p.t, v));
    GROW(points->items, points->cap, points->n + 1);
    points->items[points->n++] = p;
    m->newest = p.t > m->newest ? p.t : m->newest;
}

static void commit_some(struct model *m)
{
    struct txn *txn = txn_begin(m->store);
    size_t s = below(m, SERIES);
    enum style style = (enum style)below(m, STYLES);
    int64_t t = DAY + (int64_t)below(m, TIMES) * HOUR, step = 1 + (int64_t)below(m, 900);
    char name[16];
    struct err err = {0};
    uint32_t metric, id;
    snprintf(name, sizeof name, "s%zu", s);
    struct label l[2] = {{SLICE("__name__"), sample.name}, {SLICE("x"), slice_from(name)}};
    ensure(txn_metric(txn, &sample, &metric, &err));
    ensure(txn_series(txn, metric, (struct labels){l, 2}, &id, &err));
    for (size_t i = 0, n = how_many(m, style); i < n; i++, t += step)
        add(m, txn, s, id,
            (struct point){.t = t, .bits = any_bits(m), .hist = make_hist(m, style, i)});
    expect_ok(txn_commit(&txn, NULL, &err), &err);
}

/* ---- what is found ---- */

static int by_time(const void *a, const void *b)
{
    const struct point *x = a, *y = b;
    return x->t != y->t ? (x->t > y->t) - (x->t < y->t)
                        : (x->order > y->order) - (x->order < y->order);
}

/* Of each time the last one. */
static void settle(struct points *points)
{
    size_t n = 0;
    if (points->n)
        qsort(points->items, points->n, sizeof *points->items, by_time);
    for (size_t i = 0; i < points->n; i++)
        if (i + 1 == points->n || points->items[i + 1].t != points->items[i].t)
            points->items[n++] = points->items[i];
    points->n = n;
}

static void expect_points(struct model *m, const struct points *points, const struct columns *c)
{
    if (c->n != points->n)
        fail_msg("seed %llu: %zu samples of %zu", (unsigned long long)m->seed, c->n, points->n);
    for (size_t i = 0; i < c->n; i++) {
        const struct point *p = &points->items[i];
        const struct hist *h = c->hist ? c->hist[i] : NULL;
        if (c->t[i] != p->t || !hist_eq(h, p->hist) || (!h && c->bits[i] != p->bits))
            fail_msg("seed %llu: sample %zu differs", (unsigned long long)m->seed, i);
    }
}

static void compare(struct model *m)
{
    struct snapshot *snap = snapshot_get(m->store);
    struct err err = {0};
    struct plan *plan;
    for (size_t s = 0; s < SERIES; s++) {
        char name[16];
        struct columns c;
        struct arena arena;
        snprintf(name, sizeof name, "s%zu", s);
        struct matcher matcher = {MATCH_EQUAL, SLICE("x"), slice_from(name), NULL};
        settle(&m->series[s]);
        arena_init(&arena, 0);
        expect_ok(plan_new(snap, NULL, &matcher, 1, NULL, &plan, &err), &err);
        assert_int_equal(plan_n(plan), m->series[s].n > 0);
        if (plan_n(plan)) {
            plan_range(plan, 0, DAY - 1, DAY + 100 * 24 * HOUR);
            expect_ok(snapshot_fetch(snap, NULL, NULL, &err), &err);
            expect_ok(plan_columns(plan, 0, &arena, &c, &err), &err);
            expect_points(m, &m->series[s], &c);
        }
        arena_fini(&arena);
        snapshot_put(&snap);
        snap = snapshot_get(m->store);
    }
    snapshot_put(&snap);
}

static void reopen(struct model *m)
{
    struct store_options options = {.path = m->path};
    struct err err = {0};
    if (m->store)
        store_close(&m->store);
    expect_ok(store_open(&options, &m->store, &err), &err);
}

static void maintain(struct model *m, int64_t passed)
{
    struct err err = {0};
    if (!store_maintain(m->store, passed, &err))
        fail_msg("seed %llu: %s", (unsigned long long)m->seed, err.text);
}

static void step(struct model *m)
{
    switch (below(m, 6)) {
    case 0: maintain(m, DAY + (int64_t)below(m, TIMES) * HOUR); break;
    case 1: reopen(m); break;
    case 2: maintain(m, m->newest + 48 * HOUR); break;
    default: commit_some(m);
    }
}

static void whatever_is_committed_is_kept(void **state)
{
    const char *seed = getenv("LARDER_SEED"), *steps = getenv("LARDER_STEPS");
    uint64_t rounds = ROUNDS * (steps ? strtoull(steps, NULL, 10) : 1000000) / 1000000 + 1;
    struct model *m = xcalloc(1, sizeof *m);
    struct verify_result result;
    struct err err = {0};
    (void)state;
    m->seed = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
    m->random = m->seed * 2654435761u | 1;
    m->newest = DAY;
    printf("# LARDER_SEED=%llu\n", (unsigned long long)m->seed);
    arena_init(&m->arena, 0);
    folder_make("extremes", m->folder);
    snprintf(m->path, sizeof m->path, "%.400s/store", m->folder);
    reopen(m);
    for (uint64_t i = 0; i < rounds; i++) {
        step(m);
        if (i % 10 == 9)
            compare(m);
    }
    maintain(m, m->newest + 48 * HOUR);
    compare(m);
    reopen(m);
    compare(m);
    store_close(&m->store);
    expect_ok(store_verify(m->path, false, NULL, &result, &err), &err);
    assert_int_equal(result.damaged, 0);
    for (size_t s = 0; s < SERIES; s++)
        free(m->series[s].items);
    arena_fini(&m->arena);
    folder_remove(m->folder);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(whatever_is_committed_is_kept)};
    setvbuf(stdout, NULL, _IOLBF, 0);
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
