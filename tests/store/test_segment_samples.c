/*
 * Samples that are more than floats: histograms of every schema, custom bounds, start timestamps,
 * stale markers among them, and derived cells. What is written is read, to the bit.
 */
#include "tests/store/segment_fixture.h"

#include <math.h>

#include "base/double_bits.h"
#include "store/segment/hist_layout.h"

#define T0 INT64_C(1700000000000)
#define T1 (T0 + 86400000)

static const struct metric_def sample = {.name = {"request_seconds", 15}, .kind = KIND_SAMPLE};

static uint64_t seed;

static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static uint64_t below(uint64_t n)
{
    return next_random() % n;
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    fixture_init(f, T0, T1);
    seed = 4711;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_fini(*state);
    free(*state);
    return 0;
}

/* ---- histograms ---- */

enum style { WHOLE, FLOATS, ODD };

static double any_double(void)
{
    static const double odd[] = {0.0, -0.0, INFINITY, -INFINITY, NAN, 1e300, -1.5, 5e-324};
    uint64_t bits = next_random();
    return below(2) ? odd[below(8)] : bits_double(bits);
}

static double count_of(enum style style)
{
    if (style == WHOLE)
        return (double)below(50);
    return style == FLOATS ? (double)below(1000) / 8 : any_double();
}

/* Up to `most` buckets, zeros among them. */
static struct hist_fbucket *make_buckets(
    struct fixture *f, enum style style, uint32_t most, int32_t least, uint32_t *n)
{
    struct hist_fbucket *b = arena_array(&f->arena, most, sizeof *b);
    int32_t index = least;
    *n = most ? (uint32_t)below(most + 1) : 0;
    for (uint32_t i = 0; i < *n; i++) {
        index += 1 + (int32_t)below(3);
        b[i] = (struct hist_fbucket){index, count_of(style)};
    }
    return b;
}

static double sum_counts(const struct hist *h)
{
    double sum = h->zero_count;
    for (uint32_t i = 0; i < h->n_positive; i++)
        sum += h->positive[i].count;
    for (uint32_t i = 0; i < h->n_negative; i++)
        sum += h->negative[i].count;
    return sum;
}

static struct hist *make_hist(struct fixture *f, enum style style, int schema)
{
    struct hist *h = arena_zalloc(&f->arena, sizeof *h);
    h->schema = schema;
    h->reset_hint = (enum hist_reset_hint)below(4);
    h->zero_threshold = schema == HIST_SCHEMA_CUSTOM ? 0 : below(4) ? 1e-128 : 0.001;
    h->zero_count = count_of(style);
    h->sum = style == ODD ? any_double() : (double)below(100000) / 1000;
    h->positive =
        make_buckets(f, style, 12, schema == HIST_SCHEMA_CUSTOM ? -1 : -20, &h->n_positive);
    if (schema == HIST_SCHEMA_CUSTOM) {
        double *bounds = arena_array(&f->arena, 40, sizeof *bounds);
        for (int i = 0; i < 40; i++)
            bounds[i] = i * 0.25;
        h->bounds = bounds;
        h->n_bounds = 38 + (uint32_t)below(3);
    } else {
        h->negative = make_buckets(f, style, 4, -3, &h->n_negative);
    }
    h->count = below(8) ? sum_counts(h) : count_of(style);
    return h;
}

static struct columns *add_samples(struct fixture *f, const char *labels, size_t n)
{
    struct columns *c = fixture_add(f, &sample, labels, n, 0);
    c->hist = arena_zalloc(&f->arena, n * sizeof *c->hist);
    for (size_t i = 0; i < n; i++) {
        c->t[i] = T0 + 1000 * (int64_t)(i + 1);
        c->bits[i] = 0;
    }
    return c;
}

static void random_histograms(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    static const int schemas[] = {-4, 0, 3, 5, 8, HIST_SCHEMA_CUSTOM};
    print_message("seed %llu\n", (unsigned long long)seed);
    for (int round = 0; round < 60; round++) {
        char labels[32];
        snprintf(labels, sizeof labels, "i=%02d", round);
        struct columns *c = add_samples(f, labels, 1 + below(2500));
        enum style style = (enum style)(round % 3);
        bool mixed = round % 4 == 0, starts = round % 5 < 2;
        if (starts)
            assert_true(columns_alloc_start(&f->arena, c));
        for (size_t i = 0; i < c->n; i++) {
            if (mixed && below(3) == 0)
                c->bits[i] = below(2) ? STALE_BITS : next_random();
            else
                c->hist[i] = make_hist(f, style, schemas[mixed ? below(6) : (uint64_t)round % 6]);
            if (starts)
                c->start[i] = below(20) ? T0 - 5 : 0;
        }
    }
    struct segment *s = fixture_round_trip(f, &info);
    segment_put(&s);
}

/* Cumulative histograms of delivery times: what a scrape of a busy service looks like. */
static void sizes_of_histograms(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    enum { KEYS = 60, N = 1440 };
    double counts[KEYS] = {0};
    struct columns *c = add_samples(f, "", N);
    for (size_t i = 0; i < N; i++) {
        struct hist *h = arena_zalloc(&f->arena, sizeof *h);
        struct hist_fbucket *b = arena_array(&f->arena, KEYS, sizeof *b);
        for (int k = 0; k < 10; k++)
            counts[(below(KEYS) + below(KEYS) + below(KEYS)) / 3]++;
        for (int32_t k = 0; k < KEYS; k++)
            b[k] = (struct hist_fbucket){k, counts[k]};
        *h = (struct hist){.schema = 3, .positive = b, .n_positive = KEYS};
        h->count = sum_counts(h);
        h->sum = h->count * 2;
        c->hist[i] = h;
    }
    struct segment *s = fixture_round_trip(f, &info);
    print_message("%.3f bytes per bucket of a sample\n", (double)info.bytes / (N * KEYS));
    segment_put(&s);
}

static void too_wide(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    struct err err = {0};
    uint32_t n = LAYOUT_KEYS_MAX + 1;
    struct hist_fbucket *b = arena_array(&f->arena, n, sizeof *b);
    for (uint32_t i = 0; i < n; i++)
        b[i] = (struct hist_fbucket){(int32_t)i, 1};
    struct hist h = {.positive = b, .n_positive = n - 1, .count = n - 1};
    struct columns *c = add_samples(f, "", 3);
    c->hist[0] = c->hist[1] = c->hist[2] = &h;
    struct segment *s = fixture_round_trip(f, &info); /* the widest there is */
    segment_put(&s);
    h.n_positive = n;
    assert_false(fixture_write(f, &info, &err));
    assert_int_equal(err.code, ERR_INVALID);
}

/* ---- the rest ---- */

static void starts(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    struct columns *c = fixture_add(f, &sample, "a=1", 1500, 0);
    assert_true(columns_alloc_start(&f->arena, c));
    for (size_t i = 0; i < c->n; i++) {
        c->t[i] = T0 + 15000 + (int64_t)i * 15000;
        c->start[i] = i < 700 ? T0 - 1 : i < 1100 ? c->t[700] - 7 : 0;
        c->bits[i] = i == 500 ? STALE_BITS : 0x4000000000000000 + i;
    }
    c = fixture_add(f, &sample, "a=2", 3, 0);
    assert_true(columns_alloc_start(&f->arena, c)); /* room for starts, and none */
    for (size_t i = 0; i < c->n; i++) {
        c->t[i] = T0 + 1 + (int64_t)i;
        c->bits[i] = 0;
    }
    struct segment *s = fixture_round_trip(f, &info);
    segment_put(&s);
}

static void derived(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    struct columns *c = fixture_add(f, &sample, "", 1440, 0);
    f->resolution_ms = 60000;
    assert_true(columns_alloc_derived(&f->arena, 1440, c));
    for (size_t i = 0; i < c->n; i++) {
        double v = (double)i * 1.5, w = v + (double)below(9);
        c->t[i] = T0 + 60000 * ((int64_t)i + 1);
        c->count[i] = 6;
        c->first[i] = (int64_t)double_bits(v);
        c->last[i] = (int64_t)double_bits(w);
        c->min[i] = c->first[i];
        c->max[i] = i % 100 == 3 ? (int64_t)next_random() : c->last[i];
        c->first_ms[i] = c->t[i] - 50000;
        c->last_ms[i] = c->t[i];
        c->digits[i] = i % 10 == 9 ? (int64_t)below(10) : DIGITS_INEXACT;
        c->sum[i] = (int128)((uint128)(i % 7 ? 0 : next_random()) << 64 | next_random());
        c->reset_sum[i] = i % 50 ? 0 : c->first[i];
        c->resets[i] = i % 50 == 0;
    }
    struct segment *s = fixture_round_trip(f, &info);
    struct segment_aggregate a = fixture_aggregate(f, s, 0);
    assert_int_equal(a.has, 0);
    segment_put(&s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(random_histograms), TEST(sizes_of_histograms),
        TEST(too_wide), TEST(starts), TEST(derived)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
