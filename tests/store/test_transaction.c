/* Payloads of transactions and the fronts of their frames: every kind of content comes back bit for
 * bit, is small, and what makes no sense is refused. */
#include "store/transaction.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/double_bits.h"
#include "base/mem.h"
#include "store/bounds.h"
#include "store/cell_bytes.h"
#include "store/frame.h"
#include "store/front.h"

static uint64_t seed;

static uint64_t random64(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* Small as a rule, and now and then anything. */
static int64_t random_int(void)
{
    uint64_t r = random64();
    return (int64_t)(random64() >> (r % 64));
}

static int128 random_wide(void)
{
    uint64_t r = random64();
    return r % 4 ? (int128)(r % 17) - 3
                 : (int128)random_int() * ((int128)1 << (r % 32)) - random_int();
}

static double random_double(void)
{
    static const double odd[] = {0.0, -0.0, INFINITY, -INFINITY, NAN, 5e-324,
        1.7976931348623157e308, 9007199254740993.0, -9e15, 9e15, 0.1, 1e-7, 1e22};
    switch (random64() % 8) {
    case 0: return (double)random_int();
    case 1: return (double)(int)(random64() % 200000) / 100;
    case 2: return (double)(int)(random64() % 200000) / 1000000;
    case 3: return bits_double(random64()); /* payloads of NaN among them */
    case 4: return bits_double(STALE_BITS);
    case 5: return odd[random64() % (sizeof odd / sizeof *odd)];
    default: return (double)(random64() % 1000);
    }
}

static uint32_t series_after(uint32_t last)
{
    return random64() % 3 ? last + 1 : (uint32_t)random_int();
}

static int64_t time_after(int64_t last)
{
    switch (random64() % 4) {
    case 0: return last;
    case 1: return last + 10000;
    case 2: return (int64_t)random64() >> 2;
    default: return last + (int64_t)(random64() % 5000);
    }
}

static const struct hist_fbucket *random_buckets(struct arena *arena, uint32_t *n)
{
    *n = (uint32_t)(random64() % 6);
    struct hist_fbucket *b = arena_array(arena, *n, sizeof *b);
    int32_t index = (int32_t)random64();
    for (uint32_t i = 0; i < *n; i++) {
        b[i] = (struct hist_fbucket){index, random_double()};
        if (index > INT32_MAX - 100)
            *n = i + 1;
        else
            index += 1 + (int32_t)(random64() % 90);
    }
    return b;
}

static const struct hist *random_hist(struct arena *arena)
{
    struct hist *h = arena_zalloc(arena, sizeof *h);
    bool custom = random64() % 4 == 0;
    h->schema = custom ? HIST_SCHEMA_CUSTOM : (int)(random64() % 13) - 4;
    h->reset_hint = (enum hist_reset_hint)(random64() % 4);
    h->zero_threshold = random_double();
    h->zero_count = random_double();
    h->count = random_double();
    h->sum = random_double();
    h->positive = random_buckets(arena, &h->n_positive);
    h->negative = random_buckets(arena, &h->n_negative);
    h->n_bounds = custom ? (uint32_t)(random64() % 6) : 0;
    double *bounds = arena_array(arena, h->n_bounds, sizeof *bounds);
    for (uint32_t i = 0; i < h->n_bounds; i++)
        bounds[i] = random_double();
    h->bounds = bounds;
    return h;
}

static void fill_cells(struct transaction *t, size_t n)
{
    uint32_t series = 0;
    int64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        series = series_after(series);
        at = time_after(at);
        GROW(t->adds, t->adds_cap, t->n_adds + 1);
        t->adds[t->n_adds++] = (struct add_cell){series, at, random_wide()};
        GROW(t->gauges, t->gauges_cap, t->n_gauges + 1);
        int64_t v = random_int();
        struct gauge_cell g = {v, at - 100, v, v, v, 1};
        if (random64() % 2)
            g = (struct gauge_cell){v, random_int(), (int64_t)random64(), random_int(),
                random_wide(), 1 + (random_int() & INT32_MAX)};
        t->gauges[t->n_gauges++] = (struct gauge_entry){series, at, g};
        GROW(t->hists, t->hists_cap, t->n_hists + 1);
        uint32_t buckets = (uint32_t)(random64() % 5);
        t->hists[t->n_hists++] =
            (struct hist_entry){series, at, random_wide(), (uint32_t)t->n_buckets, buckets};
        int32_t key = random64() % 2 ? HIST_NEGATIVE(77) : -7;
        for (uint32_t k = 0; k < buckets; k++, key += 1 + (int32_t)(random64() % 9)) {
            GROW(t->buckets, t->buckets_cap, t->n_buckets + 1);
            t->buckets[t->n_buckets++] =
                (struct hist_bucket){key, k % 2 ? -3 : 1 + (int64_t)(random64() >> 25)};
        }
        GROW(t->samples, t->samples_cap, t->n_samples + 1);
        struct sample_entry s = {series, at, 0, double_bits(random_double()), NULL};
        if (random64() % 3 == 0)
            s.start = random_int();
        if (random64() % 4 == 0) {
            s.hist = random_hist(&t->arena);
            s.bits = 0;
        }
        t->samples[t->n_samples++] = s;
    }
}

static void fill_rest(struct transaction *t)
{
    static struct label labels[] = {{SLICE("__name__"), SLICE("a")}, {SLICE("city"), SLICE("B")}};
    static struct metric_def def = {
        .name = SLICE("a"), .kind = KIND_GAUGE, .digits = 3, .every_ms = 5000};
    t->first_metric = 7;
    t->first_series = 70000;
    GROW(t->metrics, t->metrics_cap, 1);
    t->metrics[t->n_metrics++] = def;
    GROW(t->updates, t->updates_cap, 1);
    t->updates[t->n_updates++] = def;
    GROW(t->series, t->series_cap, 1);
    t->series[t->n_series++] = (struct series_def){7, {labels, 2}};
    GROW(t->sources, t->sources_cap, 1);
    t->sources[t->n_sources++] =
        (struct source_entry){SLICE("orders/0"), random_int(), random_int() / 4, SLICE("state")};
    GROW(t->clocks, t->clocks_cap, 1);
    t->clocks[t->n_clocks++] = (struct clock_entry){SLICE("orders"), INT64_MIN, INT64_MAX};
    GROW(t->folds, t->folds_cap, 1);
    t->folds[t->n_folds++] = (struct fold_entry){7, -86400000, SLICE("city"), 70000};
}

static bool same_buckets(
    const struct hist_fbucket *a, const struct hist_fbucket *b, uint32_t n_a, uint32_t n_b)
{
    bool same = n_a == n_b;
    for (uint32_t i = 0; same && i < n_a; i++)
        same = a[i].index == b[i].index && double_bits(a[i].count) == double_bits(b[i].count);
    return same;
}

static void assert_same_hist(const struct hist *a, const struct hist *b)
{
    assert_int_equal(a->schema, b->schema);
    assert_int_equal(a->reset_hint, b->reset_hint);
    assert_true(double_bits(a->zero_threshold) == double_bits(b->zero_threshold));
    assert_true(double_bits(a->zero_count) == double_bits(b->zero_count));
    assert_true(double_bits(a->count) == double_bits(b->count));
    assert_true(double_bits(a->sum) == double_bits(b->sum));
    assert_true(same_buckets(a->positive, b->positive, a->n_positive, b->n_positive));
    assert_true(same_buckets(a->negative, b->negative, a->n_negative, b->n_negative));
    assert_int_equal(a->n_bounds, b->n_bounds);
    for (uint32_t i = 0; i < a->n_bounds; i++)
        assert_true(double_bits(a->bounds[i]) == double_bits(b->bounds[i]));
}

static void assert_same_cells(const struct transaction *a, const struct transaction *b)
{
    assert_int_equal(a->n_adds, b->n_adds);
    assert_int_equal(a->n_gauges, b->n_gauges);
    assert_int_equal(a->n_hists, b->n_hists);
    assert_int_equal(a->n_buckets, b->n_buckets);
    assert_int_equal(a->n_samples, b->n_samples);
    for (size_t i = 0; i < a->n_adds; i++)
        assert_true(a->adds[i].series == b->adds[i].series && a->adds[i].t == b->adds[i].t &&
                    a->adds[i].amount == b->adds[i].amount);
    for (size_t i = 0; i < a->n_gauges; i++) {
        const struct gauge_entry *x = &a->gauges[i], *y = &b->gauges[i];
        assert_true(x->series == y->series && x->t == y->t && x->cell.last == y->cell.last &&
                    x->cell.last_ms == y->cell.last_ms && x->cell.min == y->cell.min &&
                    x->cell.max == y->cell.max && x->cell.count == y->cell.count &&
                    x->cell.sum == y->cell.sum);
    }
    for (size_t i = 0; i < a->n_hists; i++) {
        const struct hist_entry *x = &a->hists[i], *y = &b->hists[i];
        assert_true(x->series == y->series && x->t == y->t && x->sum == y->sum &&
                    x->first == y->first && x->n == y->n);
    }
    for (size_t i = 0; i < a->n_buckets; i++)
        assert_true(
            a->buckets[i].key == b->buckets[i].key && a->buckets[i].count == b->buckets[i].count);
    for (size_t i = 0; i < a->n_samples; i++) {
        const struct sample_entry *x = &a->samples[i], *y = &b->samples[i];
        assert_true(x->series == y->series && x->t == y->t && x->start == y->start &&
                    x->bits == y->bits && !x->hist == !y->hist);
        if (x->hist)
            assert_same_hist(x->hist, y->hist);
    }
}

static void empty(struct transaction *t)
{
    transaction_fini(t);
    transaction_init(t);
}

static void test_everything_comes_back(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        struct transaction t, back;
        struct buf payload;
        struct err err = {0};
        seed = 88172645463325252u + (uint64_t)round;
        transaction_init(&t);
        transaction_init(&back);
        buf_init(&payload, 0);
        fill_cells(&t, random64() % 400);
        fill_rest(&t);
        transaction_encode(&t, &payload);
        if (!transaction_decode(buf_view(&payload), &back, &err))
            fail_msg("round %d: %s", round, err.text);
        assert_same_cells(&t, &back);
        assert_int_equal(back.first_series, 70000);
        assert_true(labels_cmp(back.series[0].labels, t.series[0].labels) == 0);
        assert_true(slice_is(back.metrics[0].name, "a"));
        assert_true(slice_is(back.sources[0].state, "state"));
        assert_true(back.clocks[0].watermark_ms == INT64_MAX);
        assert_int_equal(back.n_folds, 1);
        assert_true(back.folds[0].metric == 7 && back.folds[0].until_ms == -86400000);
        assert_true(slice_is(back.folds[0].label, "city") && back.folds[0].values == 70000);

        empty(&back);
        assert_true(transaction_decode_definitions(buf_view(&payload), &back, &err));
        assert_int_equal(back.n_series, 1);
        assert_int_equal(transaction_cells(&back), 0);
        transaction_fini(&t);
        transaction_fini(&back);
        buf_fini(&payload);
    }
}

/* A payload cut anywhere, or with a bit turned, is refused or decodes to something: it never reads
 * outside (the sanitizers look on). Cut, it is refused or the rest is whole sections. */
static void test_damage_is_survived(void **state)
{
    (void)state;
    struct transaction t, back;
    struct buf payload;
    struct err err = {0};
    seed = 4711;
    transaction_init(&t);
    transaction_init(&back);
    buf_init(&payload, 0);
    fill_cells(&t, 20);
    fill_rest(&t);
    transaction_encode(&t, &payload);
    for (size_t i = 0; i < payload.len; i++) {
        char *exact = malloc(i);
        if (i)
            memcpy(exact, payload.ptr, i);
        empty(&back);
        if (!transaction_decode(slice_of(exact, i), &back, &err))
            assert_int_equal(err.code, ERR_CORRUPT);
        free(exact);
        for (int bit = 0; bit < 8; bit++) {
            payload.ptr[i] ^= (char)(1 << bit);
            empty(&back);
            if (!transaction_decode(buf_view(&payload), &back, &err))
                assert_int_equal(err.code, ERR_CORRUPT);
            payload.ptr[i] ^= (char)(1 << bit);
        }
    }
    transaction_fini(&t);
    transaction_fini(&back);
    buf_fini(&payload);
}

static void is_refused(const struct transaction *t, const char *why)
{
    struct transaction back;
    struct buf payload;
    struct err err = {0};
    transaction_init(&back);
    buf_init(&payload, 0);
    transaction_encode(t, &payload);
    assert_false(transaction_decode(buf_view(&payload), &back, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    if (!strstr(err.text, why))
        fail_msg("%s: not %s", err.text, why);
    transaction_fini(&back);
    buf_fini(&payload);
}

/* What the store does not take in is not read either. */
static void test_bounds_hold_for_readers(void **state)
{
    (void)state;
    struct hist_bucket bucket = {HIST_INDEX_BOUND, 1};
    struct add_cell add = {1, TIME_BOUND_MS, 1};
    struct gauge_entry gauge = {1, -TIME_BOUND_MS, {1, 1, 1, 1, 1, 1}};
    struct hist_entry window = {1, 5000, 1, 0, 1};
    struct hist hist = {.schema = 9};
    struct sample_entry sample = {1, 5000, 0, 0, &hist};
    struct source_entry source = {SLICE("k/0"), 1, TIME_BOUND_MS, SLICE("")};
    struct clock_entry clock = {SLICE(""), 1, 1};
    struct metric_def def = {.name = SLICE("a"), .kind = KIND_GAUGE};
    is_refused(&(struct transaction){.adds = &add, .n_adds = 1}, "section 16");
    is_refused(&(struct transaction){.gauges = &gauge, .n_gauges = 1}, "section 17");
    is_refused(
        &(struct transaction){.hists = &window, .n_hists = 1, .buckets = &bucket}, "section 18");
    is_refused(&(struct transaction){.samples = &sample, .n_samples = 1}, "section 19");
    hist.schema = 3;
    hist.reset_hint = 4;
    is_refused(&(struct transaction){.samples = &sample, .n_samples = 1}, "section 19");
    is_refused(&(struct transaction){.sources = &source, .n_sources = 1}, "section 8");
    is_refused(&(struct transaction){.clocks = &clock, .n_clocks = 1}, "section 9");
    is_refused(&(struct transaction){.metrics = &def, .n_metrics = 1}, "section 1");
    is_refused(&(struct transaction){.updates = &def, .n_updates = 1}, "section 2");
}

static void test_unknown_sections_are_refused(void **state)
{
    (void)state;
    struct transaction t;
    struct err err = {0};
    transaction_init(&t);
    assert_false(transaction_decode(SLICE("\x0f\x01zz"), &t, &err));
    assert_non_null(strstr(err.text, "section 15 at byte 0 is not known"));
    /* A count that the bytes cannot hold, and a section that comes twice. */
    assert_false(transaction_decode(SLICE("\x10\xff\xff\x03\x10"), &t, &err));
    assert_false(transaction_decode(SLICE("\x10\x01\x40\x10\x01\x40"), &t, &err));
    transaction_fini(&t);
}

/* Cells as version 1 wrote them: counters {5: 3 at 10 s}, a sample 1.5. */
static void test_old_cells_are_read(void **state)
{
    (void)state;
    static const char payload[] = "\x04\x01\x0a\xa0\x9c\x01\x06"
                                  "\x07\x01\x0c\xa0\x9c\x01\x00\x00\x00\x00\x00\x00\xf8\x3f";
    struct transaction t;
    struct err err = {0};
    transaction_init(&t);
    assert_true(transaction_decode(slice_of(payload, sizeof payload - 1), &t, &err));
    assert_int_equal(t.n_adds, 1);
    assert_int_equal(t.adds[0].series, 5);
    assert_int_equal(t.adds[0].t, 10000);
    assert_int_equal((int)t.adds[0].amount, 3);
    assert_int_equal(t.n_samples, 1);
    assert_int_equal(t.samples[0].series, 6);
    assert_true(t.samples[0].bits == double_bits(1.5));
    transaction_fini(&t);
}

static void old_front(struct buf *out, unsigned section)
{
    buf_clear(out);
    buf_u8(out, (uint8_t)section);
    buf_varint(out, 1);
    buf_svarint(out, 5);
    buf_svarint(out, 10000);
}

static void add_int128(struct buf *out, int128 v)
{
    uint8_t *p = (uint8_t *)buf_reserve(out, INT128_BYTES);
    out->len += (size_t)(int128_at(p, v) - p);
}

static bool old_reads(const struct buf *payload)
{
    struct transaction t;
    struct err err = {0};
    transaction_init(&t);
    bool ok = transaction_decode(buf_view(payload), &t, &err);
    assert_true(ok || strstr(err.text, "section"));
    transaction_fini(&t);
    return ok;
}

static bool old_add_reads(struct buf *b, int128 amount)
{
    old_front(b, 4);
    add_int128(b, amount);
    return old_reads(b);
}

static bool old_gauge_reads(struct buf *b, int64_t count, int128 sum)
{
    old_front(b, 5);
    for (int i = 0; i < 4; i++) /* last, its time, min, max */
        buf_svarint(b, 1);
    buf_svarint(b, count);
    add_int128(b, sum);
    return old_reads(b);
}

static bool old_hist_reads(struct buf *b, int128 sum, int64_t count)
{
    old_front(b, 6);
    add_int128(b, sum);
    buf_varint(b, 1);
    buf_svarint(b, 3);
    buf_svarint(b, count);
    return old_reads(b);
}

/* What today's sums cannot take is refused in yesterday's cells too. */
static void test_old_cells_have_bounds(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 0);
    assert_true(old_add_reads(&b, SUM_BOUND - 1));
    assert_false(old_add_reads(&b, SUM_BOUND));
    assert_false(old_add_reads(&b, -SUM_BOUND));
    assert_true(old_gauge_reads(&b, COUNT_BOUND - 1, SUM_BOUND - 1));
    assert_false(old_gauge_reads(&b, COUNT_BOUND, 1));
    assert_false(old_gauge_reads(&b, 1, SUM_BOUND));
    assert_false(old_gauge_reads(&b, 0, 1));
    assert_true(old_hist_reads(&b, SUM_BOUND - 1, COUNT_BOUND - 1));
    assert_false(old_hist_reads(&b, SUM_BOUND, 1));
    assert_false(old_hist_reads(&b, 1, COUNT_BOUND));
    assert_false(old_hist_reads(&b, 1, -COUNT_BOUND));
    buf_fini(&b);
}

/* A scrape of n series: one time, ids in order, values by `value`. */
static double bytes_per_sample(double (*value)(uint32_t i), uint32_t n)
{
    struct transaction t;
    struct buf payload;
    transaction_init(&t);
    buf_init(&payload, 0);
    GROW(t.samples, t.samples_cap, n);
    for (uint32_t i = 0; i < n; i++)
        t.samples[t.n_samples++] =
            (struct sample_entry){i, 1763690000000, 0, double_bits(value(i)), NULL};
    transaction_encode(&t, &payload);
    double bytes = (double)payload.len / n;
    transaction_fini(&t);
    buf_fini(&payload);
    return bytes;
}

static double constant_value(uint32_t i)
{
    (void)i;
    return 1;
}

static double counter_value(uint32_t i)
{
    return (double)((i * 2654435761u) % 1000000);
}

static double decimal_value(uint32_t i)
{
    return (double)((i * 2654435761u) % 10000) / 100;
}

static double float_value(uint32_t i)
{
    return sqrt((double)i + 2);
}

static void test_cells_are_small(void **state)
{
    (void)state;
    assert_true(bytes_per_sample(constant_value, 10000) < 1.01);
    assert_true(bytes_per_sample(counter_value, 10000) < 4.1);
    assert_true(bytes_per_sample(decimal_value, 10000) < 4.1);
    assert_true(bytes_per_sample(float_value, 10000) < 9.1);
}

/* ---- blocks ---- */

/* As many cells as are allowed, and something else beside them. */
static void test_a_full_transaction_is_read_again(void **state)
{
    struct transaction t, back;
    struct buf payload;
    struct err err = {0};
    (void)state;
    transaction_init(&t);
    transaction_init(&back);
    buf_init(&payload, 0);
    t.adds = xcalloc(TRANSACTION_CELLS_MAX, sizeof *t.adds);
    t.n_adds = t.adds_cap = TRANSACTION_CELLS_MAX;
    for (size_t i = 0; i < t.n_adds; i++)
        t.adds[i] = (struct add_cell){0, 5000 * (int64_t)i, 1};
    t.folds = xcalloc(1, sizeof *t.folds);
    t.n_folds = t.folds_cap = 1;
    transaction_encode(&t, &payload);
    assert_true(transaction_check(&t, payload.len, &err));
    if (!transaction_decode(buf_view(&payload), &back, &err))
        fail_msg("%s", err.text);
    assert_int_equal(back.n_adds, TRANSACTION_CELLS_MAX);
    assert_int_equal(back.n_folds, 1);
    buf_fini(&payload);
    transaction_fini(&back);
    transaction_fini(&t);
}

/* What a reader would refuse is refused before: of each section, and of cells together. */
static void test_too_much_is_refused(void **state)
{
    struct transaction t;
    (void)state;
    transaction_init(&t);
    size_t *const counts[] = {&t.n_metrics, &t.n_updates, &t.n_series, &t.n_adds, &t.n_gauges,
        &t.n_hists, &t.n_samples, &t.n_sources, &t.n_clocks, &t.n_folds, &t.state.n_tables,
        &t.state.n_batches};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct err err = {0};
        *counts[i] = TRANSACTION_CELLS_MAX;
        assert_true(transaction_check(&t, TRANSACTION_BYTES_MAX, NULL));
        assert_false(transaction_check(&t, TRANSACTION_BYTES_MAX + 1, &err));
        assert_int_equal(err.code, ERR_LIMIT);
        ++*counts[i];
        assert_false(transaction_check(&t, TRANSACTION_BYTES_MAX, NULL));
        *counts[i] = 0;
    }
    t.n_adds = TRANSACTION_CELLS_MAX;
    t.n_hists = 1;
    assert_false(transaction_check(&t, TRANSACTION_BYTES_MAX, NULL));
    t.n_adds = t.n_hists = 0;
    transaction_fini(&t);
}

static void test_blocks_are_left_open(void **state)
{
    (void)state;
    assert_int_equal(block_of(0, 100), -1);
    assert_int_equal(block_of(1, 100), 0);
    assert_int_equal(block_of(100, 100), 0);
    assert_int_equal(block_of(101, 100), 1);
    assert_int_equal(block_of(-100, 100), -2);
    assert_int_equal(block_of(-99, 100), -1);
}

/* Whatever is added is found again, also after a trip through bytes; few blocks are exact. */
static void test_touched_blocks(void **state)
{
    (void)state;
    seed = 31337;
    for (int round = 0; round < 500; round++) {
        struct touched t = {.n = 0}, back;
        struct buf front;
        int64_t blocks[100];
        size_t n = 1 + random64() % (round % 2 ? 100 : 10);
        uint64_t spread = round % 7 == 0 ? UINT64_MAX : 60;
        buf_init(&front, 0);
        for (size_t i = 0; i < n; i++) {
            blocks[i] = (int64_t)(random64() % spread) - 30;
            touched_add(&t, (struct block_range){blocks[i], blocks[i]});
            assert_true(t.n <= TOUCHED_MAX);
        }
        touched_encode(&t, &front);
        struct reader r = reader_of(buf_view(&front));
        assert_true(touched_decode(&r, &back) && reader_left(&r) == 0);
        for (size_t i = 0; i < n; i++)
            assert_true(touched_has(&back, (struct block_range){blocks[i], blocks[i]}));
        for (size_t i = 0; i < back.n; i++) {
            struct block_range one = back.ranges[i], more = {one.first, one.last + 1};
            assert_true(touched_covers(&back, one));
            assert_false(one.last < INT64_MAX && touched_covers(&back, more));
        }
        for (int64_t b = -40; n <= 10 && spread == 60 && b < 40; b++) {
            bool in = false;
            for (size_t i = 0; i < n; i++)
                in = in || blocks[i] == b;
            assert_int_equal(touched_has(&back, (struct block_range){b, b}), in);
        }
        buf_fini(&front);
    }
}

static void add_clock(struct transaction *t, const char *name, int64_t frontier, int64_t watermark)
{
    GROW(t->clocks, t->clocks_cap, t->n_clocks + 1);
    t->clocks[t->n_clocks++] = (struct clock_entry){slice_from(name), frontier, watermark};
}

/* A front says of a group what the first pass of a start would learn from its payloads. */
static void test_a_front_says_blocks_and_clocks(void **state)
{
    (void)state;
    struct transaction one, two;
    struct frame_front front = {.n_clocks = 0}, back;
    struct buf bytes;
    transaction_init(&one);
    transaction_init(&two);
    buf_init(&bytes, 0);
    add_clock(&one, "orders", 100, INT64_MIN);
    add_clock(&one, "fridges", INT64_MIN, 7);
    add_clock(&two, "orders", 90, 50);
    GROW(two.adds, two.adds_cap, 1);
    two.adds[two.n_adds++] = (struct add_cell){0, 1001, 1};
    front_add(&front, &one, 100);
    front_add(&front, &two, 100);
    front_encode(&front, &bytes);
    assert_true(front_decode(buf_view(&bytes), &back));
    assert_true(!back.definitions && !back.without_clocks && back.n_clocks == 2);
    assert_true(slice_is(back.clocks[0].name, "orders") && back.clocks[0].frontier_ms == 100 &&
                back.clocks[0].watermark_ms == 50);
    assert_true(slice_is(back.clocks[1].name, "fridges") &&
                back.clocks[1].frontier_ms == INT64_MIN && back.clocks[1].watermark_ms == 7);
    assert_true(touched_has(&back.touched, (struct block_range){10, 10}));
    assert_false(touched_has(&back.touched, (struct block_range){INT64_MIN, 9}));
    transaction_fini(&one);
    transaction_fini(&two);
    buf_fini(&bytes);
}

/* Clocks that do not fit are left to the payload, and the front says so. */
static void test_a_front_is_bounded(void **state)
{
    (void)state;
    char names[FRONT_CLOCKS_MAX + 1][20], *longest = calloc(1, 1001);
    memset(longest, 'x', 1000);
    for (int round = 0; round < 3; round++) {
        struct transaction t;
        struct frame_front front = {.n_clocks = 0}, back;
        struct buf bytes;
        transaction_init(&t);
        buf_init(&bytes, 0);
        for (int i = 0; round < 2 && i < FRONT_CLOCKS_MAX + round; i++) {
            snprintf(names[i], sizeof names[i], "c%d", i);
            add_clock(&t, names[i], 1, 1);
        }
        if (round == 2)
            add_clock(&t, longest, 1, 1);
        front_add(&front, &t, 100);
        for (int i = 0; i < 40; i++)
            touched_add(
                &front.touched, (struct block_range){INT64_MIN / 100 * i, INT64_MIN / 100 * i});
        front_encode(&front, &bytes);
        assert_true(bytes.len <= FRAME_FRONT_MAX);
        assert_true(front_decode(buf_view(&bytes), &back));
        assert_int_equal(back.without_clocks, round > 0);
        assert_int_equal(back.n_clocks, round > 0 ? 0 : FRONT_CLOCKS_MAX);
        assert_int_equal(back.touched.n, TOUCHED_MAX);
        transaction_fini(&t);
        buf_fini(&bytes);
    }
    free(longest);
}

static void test_fronts_of_older_programs(void **state)
{
    (void)state;
    struct frame_front front;
    assert_true(front_decode(SLICE(""), &front)); /* says nothing: anything may be there */
    assert_true(touched_has(&front.touched, (struct block_range){5, 5}));
    assert_true(front.definitions && front.without_clocks);
    assert_true(front_decode(SLICE("\x01\x01\x02\x00"), &front));
    assert_true(front.definitions && front.without_clocks && front.touched.n == 1);
    assert_true(front_decode(SLICE("\x02\x00\x00"), &front));
    assert_true(!front.definitions && !front.without_clocks && front.n_clocks == 0);
    assert_false(front_decode(SLICE("\x00\x02\x02\x00\x01\x00"), &front)); /* does not ascend */
    assert_false(front_decode(SLICE("\x02\x00"), &front));
    assert_false(front_decode(SLICE("\x04\x00"), &front));
    assert_false(front_decode(SLICE("\x00\x01\x02\x00\x00"), &front));
    assert_false(front_decode(SLICE("\x02\x00\x01\x00\x00\x00"), &front)); /* no name */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_comes_back),
        cmocka_unit_test(test_damage_is_survived),
        cmocka_unit_test(test_bounds_hold_for_readers),
        cmocka_unit_test(test_unknown_sections_are_refused),
        cmocka_unit_test(test_old_cells_are_read),
        cmocka_unit_test(test_old_cells_have_bounds),
        cmocka_unit_test(test_cells_are_small),
        cmocka_unit_test(test_a_full_transaction_is_read_again),
        cmocka_unit_test(test_too_much_is_refused),
        cmocka_unit_test(test_blocks_are_left_open),
        cmocka_unit_test(test_touched_blocks),
        cmocka_unit_test(test_a_front_says_blocks_and_clocks),
        cmocka_unit_test(test_a_front_is_bounded),
        cmocka_unit_test(test_fronts_of_older_programs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
