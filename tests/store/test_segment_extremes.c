/*
 * Segments at their bounds: what a transaction may commit is written, whatever it is, and reads
 * back to the bit.
 */
#include "tests/store/segment_fixture.h"

#include <math.h>
#include <time.h>

#include "store/bounds.h"
#include "store/segment/chunk.h"
#include "store/segment/chunk_hist.h"
#include "store/segment/hist_layout.h"
#include "store/segment/segment_reader.h"
#include "store/segment/stream.h"

#define T0 INT64_C(1700000000000)
#define T1 (T0 + 86400000)

static const struct metric_def sample = {.name = {"request_seconds", 15}, .kind = KIND_SAMPLE};
static const struct metric_def histogram = {
    .name = {"window_seconds", 14}, .kind = KIND_HISTOGRAM, .schema = 3, .every_ms = 1000};

static uint64_t seed;

static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
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

static struct columns *add_samples(struct fixture *f, size_t n)
{
    struct columns *c = fixture_add(f, &sample, "", n, 0);
    c->hist = arena_zalloc(&f->arena, n * sizeof *c->hist);
    for (size_t i = 0; i < n; i++) {
        c->t[i] = T0 + (int64_t)i + 1;
        c->bits[i] = 0;
    }
    return c;
}

/* Counts of which no bit repeats, in buckets as far apart as can be. */
static const struct hist *wide_hist(
    struct fixture *f, uint32_t n_positive, uint32_t n_negative, double threshold)
{
    struct hist *h = arena_zalloc(&f->arena, sizeof *h);
    uint32_t n = n_positive + n_negative, most = n_positive > n_negative ? n_positive : n_negative;
    struct hist_fbucket *b = arena_array(&f->arena, n, sizeof *b);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t bits = UINT64_C(0x4000000000000000) | next_random() >> 3;
        int64_t place = i < n_positive ? i : i - n_positive;
        b[i].index = (int32_t)(INT32_MIN + place * (INT64_C(4294967295) / most));
        memcpy(&b[i].count, &bits, sizeof bits);
    }
    *h = (struct hist){.schema = 3,
        .zero_threshold = threshold,
        .zero_count = 1.25,
        .count = 3.3,
        .sum = 4.4,
        .positive = b,
        .n_positive = n_positive,
        .negative = b + n_positive,
        .n_negative = n_negative};
    return h;
}

/* As many counts as a chunk may have, each in a stream of its own: 17 bytes for 8. */
static void counts_in_streams_of_one(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    struct columns *c = add_samples(f, LAYOUTS_MAX);
    for (size_t i = 0; i < c->n; i++)
        c->hist[i] = wide_hist(f, LAYOUT_COUNTS_MAX / LAYOUTS_MAX, 0, (double)i * 1e-6);
    struct segment *s = fixture_round_trip(f, &info);
    assert_true(info.chunks > 1);
    segment_put(&s);
}

/* The widest histogram that may enter is less than a page. */
static void the_widest_histogram(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    struct err err = {0};
    struct columns *c = add_samples(f, 3);
    c->hist[0] = wide_hist(f, LAYOUT_KEYS_MAX / 2, LAYOUT_KEYS_MAX - LAYOUT_KEYS_MAX / 2, 0);
    c->hist[1] = wide_hist(f, LAYOUT_KEYS_MAX, 0, 0);
    c->hist[2] = wide_hist(f, 0, LAYOUT_KEYS_MAX, 1);
    for (size_t i = 0; i < c->n; i++)
        assert_true(hist_check(c->hist[i], &err));
    struct segment *s = fixture_round_trip(f, &info);
    segment_put(&s);
}

/* Many chunks of few histograms each: more than a chunk has layouts, in turn. */
static struct columns *add_layouts(struct fixture *f, const char *labels, size_t chunks)
{
    static const struct hist_fbucket bucket = {3, 2};
    enum { LAYOUTS = LAYOUTS_MAX + 1 };
    size_t n = chunks * LAYOUTS_MAX;
    struct hist *hists = arena_zalloc(&f->arena, LAYOUTS * sizeof *hists);
    struct columns *c = fixture_add(f, &sample, labels, n, 0);
    c->hist = arena_array(&f->arena, n, sizeof *c->hist);
    for (size_t i = 0; i < LAYOUTS; i++)
        hists[i] = (struct hist){.schema = 3,
            .zero_threshold = (double)i * 1e-6,
            .count = 2,
            .n_positive = 1,
            .positive = &bucket};
    for (size_t i = 0; i < n; i++) {
        c->t[i] = T0 + (int64_t)i + 1;
        c->bits[i] = 0;
        c->hist[i] = &hists[i % LAYOUTS];
    }
    return c;
}

/* A series of more chunks than a group may have, between others. */
static void a_series_in_several_groups(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    size_t n;
    add_layouts(f, "a=0", 2);
    add_layouts(f, "a=1", CHUNK_GROUP_FULL + 10);
    add_layouts(f, "a=2", 2);
    struct segment *s = fixture_round_trip(f, &info);
    assert_int_equal(s->header.major, SEGMENT_MAJOR);
    fixture_chunks(f, s, 1, &n);
    assert_true(n > CHUNK_GROUP_FULL);
    segment_put(&s);
}

/* Up to there it is in one, and programs of before read it. */
static void a_series_that_fills_a_group(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    size_t n;
    add_layouts(f, "a=0", 2);
    add_layouts(f, "a=1", CHUNK_GROUP_FULL);
    add_layouts(f, "a=2", 2);
    struct segment *s = fixture_round_trip(f, &info);
    fixture_chunks(f, s, 1, &n);
    assert_int_equal(n, CHUNK_GROUP_FULL);
    assert_int_equal(s->header.major, SEGMENT_MAJOR_WHOLE);
    segment_put(&s);
}

/* ---- what it takes ---- */

/* CPU time of encoding a chunk, the least of some. */
static double seconds_of(const struct columns *c)
{
    double least = 1e9;
    for (int i = 0; i < 3; i++) {
        uint8_t codecs[CHUNK_STREAMS_MAX];
        struct buf out;
        buf_init(&out, 0);
        clock_t begin = clock();
        assert_int_equal(chunk_cells(c, 0, c->n), c->n);
        chunk_encode(c, 0, c->n, &out, codecs);
        double took = (double)(clock() - begin) / CLOCKS_PER_SEC;
        least = took < least ? took : least;
        buf_fini(&out);
    }
    return least;
}

static const struct hist *bounded_hist(struct fixture *f, uint32_t n_bounds, double last)
{
    static const struct hist_fbucket bucket = {0, 1};
    struct hist *h = arena_zalloc(&f->arena, sizeof *h);
    double *bounds = arena_array(&f->arena, n_bounds, sizeof *bounds);
    for (uint32_t i = 0; i < n_bounds; i++)
        bounds[i] = i;
    bounds[n_bounds - 1] += last;
    *h = (struct hist){.schema = HIST_SCHEMA_CUSTOM,
        .count = 1,
        .positive = &bucket,
        .n_positive = 1,
        .bounds = bounds,
        .n_bounds = n_bounds};
    return h;
}

/* Layouts that differ in their last bound alone take little more than layouts that differ in their
 * number of bounds do. */
static void long_bounds_are_looked_at_once(void **state)
{
    struct fixture *f = *state;
    const struct hist *alike[LAYOUTS_MAX], *other[LAYOUTS_MAX];
    struct columns *c = add_samples(f, CHUNK_CELLS_MAX);
    for (uint32_t i = 0; i < LAYOUTS_MAX; i++) {
        alike[i] = bounded_hist(f, LAYOUT_BOUNDS_MAX / LAYOUTS_MAX, 0.5 * i / LAYOUTS_MAX);
        other[i] = bounded_hist(f, 1 + i, 0);
    }
    for (size_t i = 0; i < c->n; i++)
        c->hist[i] = other[i % LAYOUTS_MAX];
    double quick = seconds_of(c);
    for (size_t i = 0; i < c->n; i++)
        c->hist[i] = alike[i % LAYOUTS_MAX];
    double slow = seconds_of(c);
    print_message("%.4f s; alike but for the last of 512 bounds %.4f s\n", quick, slow);
    assert_true(slow < 20 * quick + 0.02);
}

/* Keys between those that are there, all of them, against keys behind them. */
static void interleaved_keys_are_merged(void **state)
{
    struct fixture *f = *state;
    enum { N = LAYOUT_KEYS_MAX / 2 };
    struct hist_fbucket *b = arena_array(&f->arena, 3 * N, sizeof *b);
    struct hist h[3];
    struct columns *c = add_samples(f, 2);
    for (int32_t i = 0; i < N; i++) {
        b[i] = (struct hist_fbucket){2 * i, 1};
        b[N + i] = (struct hist_fbucket){2 * i + 1, 1};
        b[2 * N + i] = (struct hist_fbucket){2 * N + i, 1};
    }
    for (int i = 0; i < 3; i++)
        h[i] = (struct hist){.positive = b + i * N, .n_positive = N, .count = N};
    c->hist[0] = &h[0];
    c->hist[1] = &h[2];
    double quick = seconds_of(c);
    c->hist[0] = &h[1];
    c->hist[1] = &h[0];
    double slow = seconds_of(c);
    print_message("%.4f s; keys that take turns %.4f s\n", quick, slow);
    assert_true(slow < 3 * quick + 0.01);
}

/* ---- bits ---- */

/* How the histograms of the only layout of a chunk are stored. */
static unsigned how_of(const struct hist *h)
{
    struct columns c = {.kind = KIND_SAMPLE, .n = 1, .hist = &h, .bits = (uint64_t[]){0}};
    struct hist_layouts layouts = {0};
    struct place place = {"test", "page", 0};
    struct err err;
    struct buf out;
    int64_t kind;
    buf_init(&out, 0);
    chunk_hist_encode(&c, 0, 1, &out);
    struct reader in = reader_of(buf_view(&out));
    assert_int_equal(read_u8(&in), 0);
    assert_true(layouts_get(&layouts, &in));
    assert_true(stream_get(&in, 1, &kind, &place, &err));
    unsigned how = read_u8(&in);
    layouts_fini(&layouts);
    buf_fini(&out);
    return how;
}

/* Infinities cancel to a NaN, and which one that is depends on the processor. */
static void a_nan_is_never_computed_anew(void **state)
{
    enum { SUMMED = 2 };
    struct hist_fbucket down = {0, -INFINITY};
    struct hist h = {.zero_count = INFINITY, .n_positive = 1, .positive = &down};
    (void)state;
    h.count = h.zero_count + down.count;
    assert_true(isnan(h.count));
    assert_false(how_of(&h) & SUMMED);
    h.count = NAN;
    assert_false(how_of(&h) & SUMMED);
    h.zero_count = 4;
    down.count = 2;
    h.count = 6;
    assert_true(how_of(&h) & SUMMED);
}

/* Windows: as many counts, of 64 bits each, in streams of one, two and three. */
static void the_widest_windows(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    enum { KEYS = HIST_KEYS_MAX, CELLS = 6 };
    struct columns *c = fixture_add(f, &histogram, "", CELLS, (size_t)KEYS * CELLS);
    uint32_t at = 0;
    for (size_t i = 0; i < CELLS; i++) {
        c->t[i] = T0 + 1000 * ((int64_t)i + 1);
        c->sum[i] = (int128)((uint128)next_random() << 64 | next_random());
        c->bucket_at[i] = at;
        for (int32_t k = 0; k < (i < 3 ? KEYS : KEYS / 2); k++)
            c->bucket[at++] = (struct hist_bucket){
                INT32_MIN + k * 32768 + (int32_t)(next_random() % 32768), (int64_t)next_random()};
    }
    c->bucket_at[CELLS] = at;
    struct segment *s = fixture_round_trip(f, &info);
    segment_put(&s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(counts_in_streams_of_one), TEST(the_widest_histogram),
        TEST(the_widest_windows), TEST(a_series_in_several_groups),
        TEST(a_series_that_fills_a_group), TEST(long_bounds_are_looked_at_once),
        TEST(interleaved_keys_are_merged), TEST(a_nan_is_never_computed_anew)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
