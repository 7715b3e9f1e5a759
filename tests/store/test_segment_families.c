/*
 * Families of series that differ in `le`: stored as differences where that is smaller, and read to
 * the bit. Members that miss, resets, stale markers, odd values, other times; what is written twice
 * is the same; who is deleted takes nobody along.
 */
#include "tests/store/segment_fixture.h"

#include <math.h>

#include "base/double_bits.h"
#include "store/merge.h"

#define T0 INT64_C(1700000000000)
#define T1 (T0 + 86400000)

static const struct metric_def bucket = {.name = {"latency_bucket", 14}, .kind = KIND_SAMPLE};
static const struct metric_def total = {
    .name = {"orders_total", 12}, .kind = KIND_COUNTER, .every_ms = 1000};

static const char *const bounds[] = {
    "+Inf", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "10", "2.5", "5"};

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

/* ---- families ---- */

/* n samples of a family of k buckets, each the one before and up to `most` more at every step. */
static void add_family(
    struct fixture *f, const char *label, const char *others, size_t n, size_t k, uint64_t most)
{
    uint64_t now[64] = {0};
    struct columns *c[64];
    char labels[160];
    ensure(k <= 64);
    f->cap = f->cap > f->n + k ? f->cap : f->n + k;
    f->series = xreallocarray(f->series, f->cap, sizeof *f->series);
    for (size_t b = 0; b < k; b++) {
        snprintf(labels, sizeof labels, "%s,%s=%02zu", others, label, b);
        c[b] = fixture_add(f, &bucket, labels, n, 0);
    }
    for (size_t i = 0; i < n; i++)
        for (size_t b = 0, sum = 0; b < k; b++) {
            now[b] += sum += below(most + 1);
            c[b]->t[i] = T0 + 1000 * (int64_t)(i + 1);
            c[b]->bits[i] = double_bits((double)now[b]);
        }
}

struct counted {
    size_t chunks, with_base, deepest;
};

static struct counted count(struct fixture *f, const struct segment *s)
{
    struct counted out = {0, 0, 0};
    for (uint32_t i = 0; i < segment_info(s)->series; i++) {
        size_t n;
        const struct segment_chunk *chunks = fixture_chunks(f, s, i, &n);
        for (size_t k = 0; k < n; k++) {
            out.with_base += chunks[k].n_bases > 0;
            out.deepest = chunks[k].n_bases > out.deepest ? chunks[k].n_bases : out.deepest;
        }
        out.chunks += n;
    }
    return out;
}

static void smaller(void **state)
{
    struct fixture *f = *state;
    struct segment_info info, alone;
    uint64_t same = seed;
    add_family(f, "le", "job=a,path=x", 3000, 12, 12);
    struct segment *s = fixture_round_trip(f, &info);
    struct counted counted = count(f, s);
    assert_int_equal(counted.chunks, 24);
    assert_true(counted.with_base >= 20);
    segment_put(&s);
    f->n = 0;
    seed = same;
    add_family(f, "lf", "job=a,path=x", 3000, 12, 12); /* the same, and no family */
    s = fixture_round_trip(f, &alone);
    assert_int_equal(count(f, s).with_base, 0);
    segment_put(&s);
    print_message("%llu bytes, alone %llu\n", (unsigned long long)info.bytes,
        (unsigned long long)alone.bytes);
    assert_true(info.bytes * 10 < alone.bytes * 8);
}

/* Families lie between each other where there are labels behind `le`, and do not where there are
 * none; a metric without the label has none. */
static void between_each_other(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    char labels[64];
    for (int i = 0; i < 5; i++) {
        snprintf(labels, sizeof labels, "job=a,path=/%d", i);
        add_family(f, "le", labels, 500, 8, 20);
        snprintf(labels, sizeof labels, "job=b,id=%d", i);
        add_family(f, "le", labels, 500, 8, 20);
    }
    fixture_counter(f, &total, "le=1", 500, T0 + 1000, 1000, 1);
    fixture_counter(f, &total, "le=2", 500, T0 + 1000, 1000, 1);
    add_family(f, "path", "job=a", 500, 8, 20);
    struct segment *s = fixture_round_trip(f, &info);
    assert_true(count(f, s).with_base >= 60);
    for (uint32_t i = 0; i < f->n; i++) {
        size_t n;
        if (fixture_chunks(f, s, i, &n)->n_bases)
            assert_non_null(labels_get(f->series[i].labels, SLICE("le")).ptr);
    }
    segment_put(&s);
}

/* Sixty buckets: nobody is read through more than CHUNK_BASES_MAX others. */
static void not_too_deep(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    add_family(f, "le", "job=a", 2000, 60, 3);
    struct segment *s = fixture_round_trip(f, &info);
    struct counted counted = count(f, s);
    assert_true(counted.deepest > 2 && counted.deepest <= CHUNK_BASES_MAX);
    assert_true(counted.with_base >= 50);
    segment_put(&s);
}

/* ---- at random ---- */

/* What a member has in the place of its count. */
static uint64_t odd_value(void)
{
    static const double odd[] = {-0.0, 0.5, 1e300, INFINITY, 0x1p51, -0x1p51, 0x1p53, -3, 1e-300};
    return below(3) ? double_bits(odd[below(9)]) : below(2) ? STALE_BITS : next_random();
}

struct style {
    bool resets, gaps, odd, stale, starts;
};

/* The counts of a family at its times; n of each bucket. */
static void make_counts(uint64_t *bits, size_t n, size_t k, const struct style *style)
{
    uint64_t most = 1 + below(3) * 40, now[64] = {0};
    for (size_t i = 0; i < n; i++) {
        bool reset = style->resets && below(200) == 0, stale = style->stale && below(100) == 0;
        if (reset)
            memset(now, 0, sizeof now);
        for (size_t b = 0, sum = 0; b < k; b++) {
            now[b] += sum += below(most + 1);
            bits[b * n + i] = stale ? STALE_BITS : double_bits((double)now[b]);
        }
    }
}

static void add_member(struct fixture *f, const char *labels, const uint64_t *bits,
    const int64_t *t, size_t n, const struct style *style)
{
    size_t from = style->gaps && below(4) == 0 ? below(n) : 0;
    size_t to = style->gaps && below(4) == 0 ? from + 1 + below(n - from) : n;
    bool skips = style->gaps && below(3) == 0;
    struct columns *c = fixture_add(f, &bucket, labels, to - from, 0);
    if (style->starts && below(2))
        ensure(columns_alloc_start(&f->arena, c));
    size_t m = 0;
    for (size_t i = from; i < to; i++) {
        if (skips && m > 0 && below(500) == 0)
            continue;
        c->t[m] = t[i];
        if (c->start)
            c->start[m] = T0 - (int64_t)below(2);
        c->bits[m++] = style->odd && below(400) == 0 ? odd_value() : bits[i];
    }
    c->n = m;
}

static void add_random_family(struct fixture *f, int number)
{
    struct style style = {below(2), below(2), below(2), below(2), below(4) == 0};
    size_t n = 1 + below(below(3) ? 300 : 6000), k = 1 + below(12);
    uint64_t *bits = arena_array(&f->arena, n * k, sizeof *bits);
    int64_t *t = arena_array(&f->arena, n, sizeof *t), at = T0 + 1 + (int64_t)below(1000);
    bool uneven = below(3) == 0;
    const char *where = below(2) ? "job=a,zone" : "job=b,id";
    make_counts(bits, n, k, &style);
    for (size_t i = 0; i < n; i++, at += 5000 + (uneven ? (int64_t)below(40) : 0))
        t[i] = at;
    for (size_t b = 0; b < k; b++) {
        char labels[96];
        snprintf(labels, sizeof labels, "%s=%03d,le=%s", where, number, bounds[below(12)]);
        struct labels set = fixture_labels(f, &bucket, labels);
        bool twice = false;
        for (size_t i = 0; i < f->n; i++)
            twice |= labels_cmp(f->series[i].labels, set) == 0;
        if (!twice && below(12))
            add_member(f, labels, bits + b * n, t, n, &style);
    }
}

/* A segment of what another one holds: the same, for bytes follow from cells alone. */
static void expect_rewritten(struct fixture *f, const struct segment *s, const char *name)
{
    struct segment *in[1] = {segment_get((struct segment *)(uintptr_t)s)};
    struct merge *merge;
    struct segment_input input;
    struct segment_info info;
    struct err err = {0};
    merge_new(in, 1, NULL, &merge);
    expect_ok(merge_input(merge, &input, &err), &err);
    expect_ok(segment_write(f->dir, &input, &info, &err), &err);
    assert_string_equal(info.name, name);
    merge_free(&merge);
    segment_put(&in[0]);
}

static void random_families(void **state)
{
    struct fixture *f = *state;
    size_t with_base = 0, chunks = 0;
    for (int round = 0; round < 40; round++) {
        struct segment_info info;
        f->n = 0;
        arena_reset(&f->arena);
        for (uint64_t i = 1 + below(8); i > 0; i--)
            add_random_family(f, (int)i);
        if (f->n == 0)
            continue;
        struct segment *s = fixture_round_trip(f, &info);
        struct counted counted = count(f, s);
        with_base += counted.with_base;
        chunks += counted.chunks;
        expect_rewritten(f, s, info.name);
        segment_put(&s);
    }
    print_message("%zu chunks, %zu with a base\n", chunks, with_base);
    assert_true(with_base > 200);
}

/* The times of bases need not be a grid: a page of them is fetched, and those of bases. */
static void uneven_times(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    uint32_t pages[CHUNK_PAGES_MAX];
    size_t n;
    add_family(f, "le", "job=a", 500, 8, 20);
    for (size_t i = 0; i < f->n; i++)
        f->series[i].columns.t[7]++;
    struct segment *s = fixture_round_trip(f, &info);
    const struct segment_chunk *chunk = fixture_chunks(f, s, 7, &n);
    assert_true(chunk->n_bases > 0);
    assert_int_equal(segment_chunk_pages(chunk, pages), 2 + chunk->n_bases);
    segment_put(&s);
}

/* ---- what is remembered is bounded ---- */

/* Counts of 51 bits cannot be made small: 5000 chunks of them are more than is remembered. Those of
 * the first `le` are forgotten when the second comes, and nothing but space is lost. */
static void forgotten(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    for (int i = 0; i < 10600; i++) {
        char labels[64];
        snprintf(labels, sizeof labels, "le=%d,path=%04d", i % 2, i / 2);
        seed = (uint64_t)(i / 2 + 1) * UINT64_C(0x9e3779b97f4a7c15);
        struct columns *c = fixture_add(f, &bucket, labels, i < 2 ? 200 : 2048, 0);
        for (size_t k = 0; k < c->n; k++) {
            c->t[k] = T0 + 1000 * (int64_t)(k + 1);
            c->bits[k] = double_bits((double)(next_random() >> 14));
        }
    }
    struct segment *s = fixture_round_trip(f, &info);
    assert_int_equal(count(f, s).with_base, 0);
    segment_put(&s);
    for (size_t i = 0; i < f->n; i++) /* so few that they are not */
        if (i % 5300 < 4000)
            f->series[i % 5300 + i / 5300 * 4000] = f->series[i];
    f->n = 8000;
    s = fixture_round_trip(f, &info);
    assert_int_equal(count(f, s).with_base, 4000);
    segment_put(&s);
}

/* ---- deleting ---- */

static bool without_first(void *ctx, const struct metric_def *def, struct labels labels,
    const struct merge_range **out, size_t *n)
{
    (void)def;
    *out = NULL;
    *n = 0;
    return !slice_eq(labels_get(labels, SLICE("le")), *(const struct slice *)ctx);
}

/* Each member in turn is left out, and the others are what they were. */
static void deleted_bases(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    add_family(f, "le", "job=a,path=x", 3000, 12, 12);
    struct segment *s = fixture_round_trip(f, &info);
    struct fixture left = *f;
    left.series = xreallocarray(NULL, f->n, sizeof *f->series);
    for (size_t without = 0; without < f->n; without++) {
        struct slice le = labels_get(f->series[without].labels, SLICE("le"));
        struct merge_options options = {.filter = without_first, .ctx = &le};
        struct merge *merge;
        struct segment_input input;
        struct segment *rest;
        struct err err = {0};
        char path[PATH_BYTES];
        merge_new(&s, 1, &options, &merge);
        expect_ok(merge_input(merge, &input, &err), &err);
        expect_ok(segment_write(f->dir, &input, &info, &err), &err);
        merge_free(&merge);
        fixture_path(f, &info, path);
        expect_ok(segment_open(path, NULL, &rest, &err), &err);
        expect_ok(segment_verify(rest, &err), &err);
        left.n = 0;
        for (size_t i = 0; i < f->n; i++)
            if (i != without)
                left.series[left.n++] = f->series[i];
        expect_ok(fixture_eq(&left, rest, &err), &err);
        assert_true(count(f, rest).with_base >= 14);
        segment_put(&rest);
    }
    free(left.series);
    segment_put(&s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(smaller), TEST(between_each_other), TEST(not_too_deep),
        TEST(random_families), TEST(uneven_times), TEST(forgotten), TEST(deleted_bases)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
