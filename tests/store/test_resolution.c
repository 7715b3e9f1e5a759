/*
 * Resolutions: for what may be answered from coarser cells, the answer is that of the raw ones,
 * over random aligned windows of a store that compacts and derives while late cells land.
 */
#include "store/resolution.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/double_bits.h"
#include "base/log.h"
#include "store/compact.h"
#include "store/read.h"
#include "tests/store/support/folder.h"

#define EVERY  20000
#define DAYS   2
#define SERIES 3
#define KINDS  5

static uint64_t rng;
static size_t exact_sums; /* of samples, that were compared */

static uint32_t below(uint32_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)(rng >> 33) % n;
}

static struct metric_def defs[KINDS] = {
    {.name = {"a_total", 7}, .kind = KIND_COUNTER, .every_ms = EVERY},
    {.name = {"b_level", 7}, .kind = KIND_LEVEL, .every_ms = EVERY},
    {.name = {"c_gauge", 7}, .kind = KIND_GAUGE, .every_ms = EVERY, .digits = 2},
    {.name = {"d_hist", 6}, .kind = KIND_HISTOGRAM, .every_ms = EVERY, .schema = 5},
    {.name = {"e", 1}, .kind = KIND_SAMPLE},
};

static uint32_t series_of(struct txn *txn, int kind, uint32_t i)
{
    char name[16];
    uint32_t metric, id;
    struct err err = {0};
    snprintf(name, sizeof name, "s%u", i);
    struct label l[2] = {{SLICE("__name__"), defs[kind].name}, {SLICE("series"), slice_from(name)}};
    assert_true(txn_metric(txn, &defs[kind], &metric, &err));
    assert_true(txn_series(txn, metric, (struct labels){l, 2}, &id, &err));
    return id;
}

/* Most series are of integers, of hundredths, or of neither; what has no exact sum is rare. */
static double sample_value(uint32_t series)
{
    switch (below(300)) {
    case 0: return -0.0;
    case 1: return NAN;
    case 2: return INFINITY;
    default: break;
    }
    int64_t v = (int64_t)below(100000) - 20000;
    return series == 0 ? (double)v : series == 1 ? (double)v / 100 : (double)v * 0.1234567;
}

static void add_cell(struct txn *txn, int64_t t)
{
    uint32_t kind = below(KINDS), series = below(SERIES), id = series_of(txn, (int)kind, series);
    int64_t v = (int64_t)below(200) - 100;
    struct hist_bucket b[2] = {
        {(int32_t)below(3), below(2) ? 1 : -1}, {(int32_t)below(3) + 3, (int64_t)below(9) + 1}};
    double marker = bits_double(STALE_BITS);
    switch (kind) {
    case 0:
    case 1: txn_add(txn, id, t, v ? v : 1); break;
    case 2:
        txn_gauge(txn, id, t, &(struct gauge_cell){v, t - below(EVERY), v - 3, v + 3, 2 * v, 2});
        break;
    case 3: txn_histogram(txn, id, t, &(struct hist_cell){v, 2, b}); break;
    default:
        txn_sample(txn, id, t - below(2) * below(EVERY), below(9) ? sample_value(series) : marker);
    }
}

static void commit(struct txn *txn)
{
    struct err err = {0};
    if (!txn_commit(&txn, NULL, &err))
        fail_msg("%s", err.text);
}

static void append(struct store *store, int64_t newest, uint32_t cells)
{
    struct txn *txn = txn_begin(store);
    for (; cells > 0; cells--) {
        int64_t back = below(20) ? below(10) : below((uint32_t)(newest / EVERY) + 1);
        int64_t t = newest / EVERY * EVERY - back * EVERY;
        add_cell(txn, t > EVERY ? t : EVERY);
    }
    commit(txn);
}

/* ---- reading ---- */

struct read {
    struct snapshot *snapshot;
    struct plan *plan;
};

static struct read read_range(
    struct store *store, int64_t from, int64_t to, int64_t resolution, bool levels)
{
    struct matcher all = {MATCH_NOT_EQUAL, SLICE("__name__"), SLICE(""), NULL};
    struct matcher level = {MATCH_EQUAL, SLICE("__name__"), defs[1].name, NULL};
    struct read r = {snapshot_get(store), NULL};
    struct err err = {0};
    assert_true(plan_new(r.snapshot, NULL, levels ? &level : &all, 1, NULL, &r.plan, &err));
    for (size_t i = 0; i < plan_n(r.plan); i++) {
        plan_range(r.plan, i, from, to);
        if (resolution)
            plan_resolution(r.plan, i, resolution);
    }
    if (!snapshot_fetch(r.snapshot, NULL, NULL, &err))
        fail_msg("%s", err.text);
    return r;
}

static struct read read_all(struct store *store, int64_t from, int64_t to, int64_t resolution)
{
    return read_range(store, from, to, resolution, false);
}

static struct columns columns_of(const struct read *r, size_t i, struct arena *arena)
{
    struct columns c;
    struct err err = {0};
    if (!plan_columns(r->plan, i, arena, &c, &err))
        fail_msg("%s", err.text);
    return c;
}

static double number(int64_t bits)
{
    return bits_double((uint64_t)bits);
}

/* What functions over a range are made of. Samples' sums are integers over 10^SCALE, when they are
 * exact. */
#define SCALE 9
struct answer {
    bool inexact;
    int128 sum, reset_sum;
    int64_t count, min, max, last, last_ms, first, first_ms, resets, buckets[6];
};

/* Whether v is k / 10^SCALE, by way of text: nothing of the store's own. */
static bool is_exact(double v, int64_t *k)
{
    char text[400], *end;
    if (!isfinite(v) || (v == 0 && signbit(v)))
        return false;
    snprintf(text, sizeof text, "%.*f", SCALE, v);
    if (strtod(text, &end) != v)
        return false;
    char *dot = strchr(text, '.');
    memmove(dot, dot + 1, strlen(dot));
    *k = strtoll(text, NULL, 10);
    return true;
}

static void add_reset(struct answer *a)
{
    int64_t k = 0;
    a->inexact = a->inexact || !is_exact(number(a->last), &k);
    a->reset_sum += k;
    a->resets++;
}

static void add_sample(struct answer *a, int64_t first, int64_t first_ms, int64_t last,
    int64_t last_ms, int64_t min, int64_t max, int64_t count)
{
    if (a->count == 0) {
        a->first = first;
        a->first_ms = first_ms;
        a->min = min;
        a->max = max;
    } else if (number(first) < number(a->last)) {
        add_reset(a);
    }
    if (number(min) < number(a->min) || isnan(number(a->min)))
        a->min = min;
    if (number(max) > number(a->max) || isnan(number(a->max)))
        a->max = max;
    a->last = last;
    a->last_ms = last_ms;
    a->count += count;
}

static void add_raw(struct answer *a, int64_t bits, int64_t t)
{
    int64_t k = 0;
    if (bits == (int64_t)STALE_BITS)
        return;
    add_sample(a, bits, t, bits, t, bits, bits, 1);
    a->inexact = a->inexact || !is_exact(number(bits), &k);
    a->sum += k;
}

static void add_derived(struct answer *a, const struct columns *c, size_t i)
{
    struct columns one = columns_slice(c, c->t[i] - 1, c->t[i]);
    int128 sum, reset_sum;
    int digits;
    add_sample(a, c->first[i], c->first_ms[i], c->last[i], c->last_ms[i], c->min[i], c->max[i],
        c->count[i]);
    a->resets += c->resets[i];
    a->inexact = a->inexact || !columns_exact_sums(&one, &digits, &sum, &reset_sum);
    if (a->inexact)
        return;
    a->sum += sum * pow10_int(SCALE - digits);
    a->reset_sum += reset_sum * pow10_int(SCALE - digits);
}

static void add_gauge(struct answer *a, const struct columns *c, size_t i)
{
    bool first = a->count == 0;
    a->min = first || c->min[i] < a->min ? c->min[i] : a->min;
    a->max = first || c->max[i] > a->max ? c->max[i] : a->max;
    if (first || c->last_ms[i] > a->last_ms ||
        (c->last_ms[i] == a->last_ms && c->last[i] > a->last)) {
        a->last = c->last[i];
        a->last_ms = c->last_ms[i];
    }
    a->sum += c->sum[i];
    a->count += c->count[i];
}

static struct answer answer_of(const struct columns *c)
{
    struct answer a = {0};
    for (size_t i = 0; i < c->n; i++)
        switch (c->kind) {
        case KIND_COUNTER:
        case KIND_LEVEL: a.sum += c->amount[i]; break;
        case KIND_GAUGE: add_gauge(&a, c, i); break;
        case KIND_HISTOGRAM:
            a.sum += c->sum[i];
            for (uint32_t b = c->bucket_at[i]; b < c->bucket_at[i + 1]; b++)
                a.buckets[c->bucket[b].key] += c->bucket[b].count;
            break;
        case KIND_SAMPLE:
            if (c->first)
                add_derived(&a, c, i);
            else
                add_raw(&a, (int64_t)c->bits[i], c->t[i]);
        }
    return a;
}

static bool same_bits_or_nan(int64_t a, int64_t b)
{
    return a == b || (isnan(number(a)) && isnan(number(b)));
}

/* Coarse, then raw. */
static void compare_answers(enum kind kind, const struct answer *a, const struct answer *b)
{
    assert_int_equal(a->inexact, b->inexact);
    if (!a->inexact) {
        double x = scaled_to_double(a->sum, SCALE), y = scaled_to_double(b->sum, SCALE);
        assert_true(a->sum == b->sum);
        assert_true(a->reset_sum == b->reset_sum);
        assert_memory_equal(&x, &y, sizeof x);
        exact_sums += kind == KIND_SAMPLE && a->count > 0;
    }
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->last, b->last);
    assert_int_equal(a->last_ms, b->last_ms);
    assert_int_equal(a->first, b->first);
    assert_int_equal(a->first_ms, b->first_ms);
    assert_int_equal(a->resets, b->resets);
    assert_memory_equal(a->buckets, b->buckets, sizeof a->buckets);
    if (kind == KIND_SAMPLE) {
        assert_true(same_bits_or_nan(a->min, b->min));
        assert_true(same_bits_or_nan(a->max, b->max));
    } else {
        assert_int_equal(a->min, b->min);
        assert_int_equal(a->max, b->max);
    }
}

/* One random window at one resolution. */
static void compare_window(struct store *store, int64_t end, int64_t resolution)
{
    struct arena arena;
    int64_t n = end / resolution;
    int64_t from = below((uint32_t)n) * resolution;
    int64_t to = from + (1 + below((uint32_t)(n - from / resolution))) * resolution;
    struct read raw = read_range(store, from, to, 0, resolution == RESOLUTION_1D);
    struct read coarse = read_range(store, from, to, resolution, resolution == RESOLUTION_1D);
    arena_init(&arena, 0);
    for (size_t i = 0; i < plan_n(raw.plan); i++) {
        struct columns r = columns_of(&raw, i, &arena), c = columns_of(&coarse, i, &arena);
        struct answer a = answer_of(&c), b = answer_of(&r);
        for (size_t k = 0; k < c.n; k++) {
            assert_true(c.t[k] > from && c.t[k] <= to && c.t[k] % resolution == 0);
            assert_true(k == 0 || c.t[k - 1] < c.t[k]);
        }
        compare_answers(r.kind, &a, &b);
    }
    arena_fini(&arena);
    snapshot_put(&raw.snapshot);
    snapshot_put(&coarse.snapshot);
}

/* raw_ms: 0, or how long raw cells are kept. */
static struct store *open_with(const char *dir, int64_t raw_ms)
{
    struct store_options options = {.path = dir, .retention.raw_ms = raw_ms};
    struct store *store;
    struct err err = {0};
    if (!store_open(&options, &store, &err))
        fail_msg("%s", err.text);
    return store;
}

static struct store *open_store(const char *dir)
{
    return open_with(dir, 0);
}

static void remove_folder(const char *dir)
{
    folder_remove(dir);
}

static void test_coarser_cells_answer_as_raw_ones(void **state)
{
    char dir[64];
    struct err err = {0};
    struct store_stats stats;
    (void)state;
    rng = getenv("LARDER_SEED") ? strtoull(getenv("LARDER_SEED"), NULL, 10) : 88172645463325252u;
    printf("seed %llu\n", (unsigned long long)rng);
    const char *text = getenv("LARDER_STEPS");
    int rounds = text ? atoi(text) / 200 : 300; /* a step of others is a cell */
    folder_new("resolution", dir, sizeof dir);
    struct store *store = open_store(dir);
    for (int i = 1; i <= rounds; i++) {
        int64_t newest = (DAYS * DAY_MS + DAY_MS / 8) * i / rounds;
        append(store, newest, 60);
        if (below(3) == 0 && !store_maintain(store, newest - 10 * EVERY, &err))
            fail_msg("%s", err.text);
        int64_t resolution = resolutions[below(RESOLUTIONS)];
        if (newest > resolution)
            compare_window(store, newest, resolution);
        if (below(50) == 0) {
            store_close(&store);
            store = open_store(dir);
        }
    }
    assert_true(store_maintain(store, DAYS * DAY_MS + DAY_MS / 8, &err));
    for (int i = 0; i < 100; i++)
        compare_window(store, DAYS * DAY_MS, resolutions[below(RESOLUTIONS)]);
    store_stats(store, &stats);
    assert_true(stats.derived_segments >= 2 * DAYS); /* not all was computed on the fly */
    assert_true(exact_sums > 20);
    store_close(&store);
    remove_folder(dir);
}

static void put_one(struct txn *txn, int kind, int64_t t, int64_t v)
{
    uint32_t id = series_of(txn, kind, 0);
    if (defs[kind].kind == KIND_SAMPLE)
        txn_sample(txn, id, t, (double)v);
    else
        txn_add(txn, id, t, v);
}

/* What a reader fetches is the derived cells; a late cell is added to them, but samples do not add
 * up: then they are read raw. */
static void read_derived(int kind)
{
    char dir[64];
    struct err err = {0};
    struct arena arena;
    bool samples = defs[kind].kind == KIND_SAMPLE;
    folder_new("resolution", dir, sizeof dir);
    struct store *store = open_store(dir);
    struct txn *txn = txn_begin(store);
    for (int64_t t = EVERY; t <= DAY_MS; t += EVERY)
        put_one(txn, kind, t, 1);
    commit(txn);
    arena_init(&arena, 0);
    int64_t late = 0;
    for (int round = 0; round < 4; round++) {
        struct read r = read_all(store, 0, DAY_MS, RESOLUTION_1H);
        struct columns c = columns_of(&r, 0, &arena);
        assert_int_equal(c.n, 24);
        if (samples) {
            assert_int_equal(c.count[0], 3600000 / EVERY);
            assert_true(number(c.max[0]) == (late ? (double)late : 1.0));
            assert_true(number(c.max[1]) == 1);
        } else {
            assert_int_equal(c.amount[0], 3600000 / EVERY + late);
            assert_int_equal(c.amount[1], 3600000 / EVERY);
        }
        uint64_t cells = snapshot_cells(r.snapshot);
        if (round == 0 || (round == 2 && samples))
            assert_true(cells >= DAY_MS / EVERY);
        else if (round == 3) /* merged and derived anew, or a segment of its own */
            assert_true(cells <= 25 || samples);
        else
            assert_int_equal(cells, round == 1 ? 24 : 25);
        snapshot_put(&r.snapshot);
        if (round == 1) { /* in the head */
            txn = txn_begin(store);
            put_one(txn, kind, EVERY, late = 7);
            commit(txn);
        }
        /* first derived; then the late cell waits; then it is a segment of its own */
        int64_t passed = round == 2 ? DAY_MS + 2 * 7200000 : DAY_MS;
        assert_true(store_maintain(store, passed, &err));
    }
    arena_fini(&arena);
    store_close(&store);
    remove_folder(dir);
}

static void test_derived_segments_are_read(void **state)
{
    (void)state;
    read_derived(0);
    read_derived(4);
}

static void check_first_hour(struct store *store, int64_t amount, int64_t resolution)
{
    struct arena arena;
    arena_init(&arena, 0);
    struct read r = read_all(store, 0, DAY_MS, resolution);
    for (size_t i = 0; i < plan_n(r.plan); i++) {
        struct columns c = columns_of(&r, i, &arena), hour = columns_slice(&c, 0, RESOLUTION_1H);
        struct answer a = answer_of(&hour);
        if (c.kind == KIND_COUNTER)
            assert_int_equal(a.sum, amount);
        else
            assert_int_equal(a.count, RESOLUTION_1H / EVERY);
        assert_int_equal(c.n, DAY_MS / resolution);
    }
    arena_fini(&arena);
    snapshot_put(&r.snapshot);
}

/* Three samples a minute are not worth a stored cell of eleven numbers, 180 an hour are; a start
 * does not find that out again. */
static void test_samples_are_stored_where_it_pays(void **state)
{
    char dir[64];
    struct err err = {0};
    struct store_stats stats;
    struct arena arena;
    (void)state;
    folder_new("resolution", dir, sizeof dir);
    struct store *store = open_store(dir);
    struct txn *txn = txn_begin(store);
    for (int64_t t = EVERY; t <= DAY_MS; t += EVERY)
        put_one(txn, 4, t, 1);
    commit(txn);
    assert_true(store_maintain(store, DAY_MS, &err));
    arena_init(&arena, 0);
    for (int round = 0; round < 2; round++) {
        store_stats(store, &stats);
        assert_int_equal(stats.segments, 2);
        assert_int_equal(stats.derived_segments, 1);
        for (int64_t resolution = RESOLUTION_1M; resolution <= RESOLUTION_1H; resolution *= 60) {
            struct read r = read_all(store, 0, DAY_MS, resolution);
            struct columns c = columns_of(&r, 0, &arena);
            assert_int_equal(c.n, DAY_MS / resolution);
            assert_int_equal(c.count[7], resolution / EVERY);
            assert_int_equal(snapshot_cells(r.snapshot),
                resolution == RESOLUTION_1H ? DAY_MS / resolution : DAY_MS / EVERY);
            snapshot_put(&r.snapshot);
        }
        bool more;
        store_close(&store);
        store = open_store(dir);
        assert_true(store_maintain_step(store, DAY_MS, &more, &err));
        assert_false(more);
    }
    arena_fini(&arena);
    store_close(&store);
    remove_folder(dir);
}

/* Raw cells go after two days; coarser ones stay, and late cells find them. */
static void test_coarser_cells_outlive_raw_ones(void **state)
{
    char dir[64];
    struct err err = {0};
    struct store_stats stats;
    (void)state;
    folder_new("resolution", dir, sizeof dir);
    struct store *store = open_with(dir, 2 * DAY_MS);
    struct txn *txn = txn_begin(store);
    for (int64_t t = EVERY; t <= DAY_MS; t += EVERY) {
        put_one(txn, 0, t, 1);
        put_one(txn, 4, t, 1);
    }
    put_one(txn, 0, 4 * DAY_MS, 1);
    commit(txn);
    assert_true(store_maintain(store, 4 * DAY_MS, &err));
    int64_t amount = RESOLUTION_1H / EVERY;
    for (int round = 0; round < 6; round++) {
        check_first_hour(store, amount, RESOLUTION_1H);
        check_first_hour(store, amount, RESOLUTION_1M);
        txn = txn_begin(store);
        put_one(txn, 0, EVERY, round + 1);
        put_one(txn, 4, EVERY, 99); /* samples do not add up: it does not count */
        commit(txn);
        amount += round + 1;
        check_first_hour(store, amount, RESOLUTION_1H);
        /* Every second round it waits in the head for another; then it is merged in. */
        int64_t passed = 4 * DAY_MS + (round / 2) * 4 * INT64_C(7200000);
        assert_true(store_maintain(store, passed, &err));
        if (round % 3 == 2) {
            store_close(&store);
            store = open_with(dir, 2 * DAY_MS);
        }
    }
    assert_true(store_maintain(store, 5 * DAY_MS, &err));
    assert_true(store_maintain(store, 6 * DAY_MS, &err));
    check_first_hour(store, amount, RESOLUTION_1M);
    store_stats(store, &stats);
    assert_int_equal(stats.segments, stats.derived_segments + 1);
    assert_int_equal(stats.head_cells, 0);
    store_close(&store);
    remove_folder(dir);
}

/* ---- alone ---- */

static void test_buckets_are_left_open(void **state)
{
    (void)state;
    assert_int_equal(bucket_end(60000, 60000), 60000);
    assert_int_equal(bucket_end(60001, 60000), 120000);
    assert_int_equal(bucket_end(1, 60000), 60000);
    assert_int_equal(bucket_end(0, 60000), 0);
    assert_int_equal(bucket_end(-1, 60000), 0);
    assert_int_equal(bucket_end(-60000, 60000), -60000);
    assert_int_equal(bucket_end(-60001, 60000), -60000);
}

static void test_which_metrics_have_which(void **state)
{
    struct metric_def def = {.kind = KIND_COUNTER, .every_ms = 5000};
    (void)state;
    assert_true(resolution_fits(&def, RESOLUTION_1M));
    assert_true(resolution_fits(&def, RESOLUTION_1H));
    assert_false(resolution_fits(&def, RESOLUTION_1D));
    def.every_ms = RESOLUTION_1M;
    assert_true(resolution_fits(&def, RESOLUTION_1M));
    assert_false(resolution_coarsens(&def, RESOLUTION_1M));
    assert_true(resolution_coarsens(&def, RESOLUTION_1H));
    def.every_ms = RESOLUTION_1M + 1;
    assert_false(resolution_fits(&def, RESOLUTION_1M));
    def.every_ms = RESOLUTION_1M;
    assert_true(resolution_fits(&def, RESOLUTION_1H));
    def.kind = KIND_LEVEL;
    assert_true(resolution_fits(&def, RESOLUTION_1D));
    def = (struct metric_def){.kind = KIND_SAMPLE};
    assert_true(resolution_fits(&def, RESOLUTION_1M));
}

static void test_what_cancels_out_is_not_there(void **state)
{
    struct arena arena;
    struct columns raw, out;
    (void)state;
    arena_init(&arena, 0);
    assert_true(columns_alloc(&arena, KIND_LEVEL, 3, 0, false, &raw));
    int64_t t[3] = {5000, 60000, 65000};
    int64_t v[3] = {4, -4, 9};
    for (int i = 0; i < 3; i++) {
        raw.t[i] = t[i];
        raw.amount[i] = v[i];
    }
    assert_true(resolution_derive(&arena, &raw, RESOLUTION_1M, &out));
    assert_int_equal(out.n, 1);
    assert_int_equal(out.t[0], 120000);
    assert_int_equal(out.amount[0], 9);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buckets_are_left_open),
        cmocka_unit_test(test_which_metrics_have_which),
        cmocka_unit_test(test_what_cancels_out_is_not_there),
        cmocka_unit_test(test_derived_segments_are_read),
        cmocka_unit_test(test_samples_are_stored_where_it_pays),
        cmocka_unit_test(test_coarser_cells_outlive_raw_ones),
        cmocka_unit_test(test_coarser_cells_answer_as_raw_ones),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
