/* What comes out of a segment is what went in: cells of all kinds, aggregates, ids, labels. */
#include "tests/store/segment_kinds.h"

#include <math.h>

#include "base/double_bits.h"
#include "store/segment/chunk.h"
#include "store/segment/page.h"

/* ---- kinds ---- */

static void counters_and_levels(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    fixture_counter(f, &counter, "market=oslo,stage=placed", 1000, T0 + 5000, 5000, 1);
    fixture_counter(f, &counter, "market=oslo,stage=delivered", 700, T0 + 10000, 10000, 1);
    struct columns *c = fixture_counter(f, &level, "market=oslo", 3, T0 + 5000, 5000, -1000);
    c->amount[0] = (int128)INT64_MAX * 1000000;
    c->amount[1] = (int128)INT64_MIN * 1000000;
    c->amount[2] = -1;
    c = fixture_counter(f, &level, "market=riga", 3, T0 + 5000, 5000, 1);
    c->amount[0] = INT64_MAX;
    c->amount[1] = INT64_MIN;
    c->amount[2] = (int128)((uint128)1 << 127); /* the least there is */
    struct segment *s = fixture_round_trip(f, &info);
    assert_int_equal(info.series, 4);
    assert_int_equal(info.chunks, 4);
    assert_int_equal(info.cells, 1706);
    assert_int_equal(info.min_t, T0 + 5000);
    assert_int_equal(info.max_t, T0 + 7000000);
    segment_put(&s);
    assert_null(s);
}

static void gauges(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    struct columns *c = fixture_add(f, &gauge, "fridge=f1", 500, 0);
    for (size_t i = 0; i < c->n; i++) {
        c->t[i] = T0 + 5000 + (int64_t)i * 5000 + (i > 250) * 35000; /* a gap */
        c->last[i] = (int64_t)next_random();
        c->last_ms[i] = c->t[i] - (int64_t)(next_random() % 5000);
        c->min[i] = c->last[i] - 5;
        c->max[i] = c->last[i] < INT64_MAX - 5 ? c->last[i] + 5 : INT64_MAX;
        c->count[i] = 1 + (int64_t)(next_random() % 1000);
        c->sum[i] = (int128)c->last[i] * c->count[i];
    }
    c = fixture_add(f, &gauge, "fridge=f2", 1, 0);
    c->t[0] = T1;
    c->last[0] = c->min[0] = c->max[0] = INT64_MIN;
    c->last_ms[0] = 0;
    c->count[0] = 1;
    c->sum[0] = INT64_MIN;
    struct segment *s = fixture_round_trip(f, &info);
    segment_put(&s);
}

static void bits_of_samples(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    static const uint64_t bits[] = {0x3ff0000000000000, 0, 0x8000000000000000, NAN_BITS, STALE_BITS,
        0x7ff8000000000000, 0xfff8dead0000beef, 0x7ff0000000000000, 0xfff0000000000000, 1,
        0x7fefffffffffffff, 0x7ff0000000000001};
    size_t n = sizeof bits / sizeof *bits;
    struct columns *c = fixture_add(f, &sample, "job=a", n, 0);
    for (size_t i = 0; i < n; i++) {
        c->t[i] = T0 + 1 + (int64_t)(i * i);
        c->bits[i] = bits[i];
    }
    c = fixture_add(f, &sample, "job=b", 2, 0); /* the same times, once in the file */
    c->t[0] = T0 + 1;
    c->t[1] = T0 + 2;
    c->bits[0] = c->bits[1] = STALE_BITS;
    struct segment *s = fixture_round_trip(f, &info);
    struct segment_aggregate chunk =
        fixture_aggregate(f, s, 1); /* markers only: nothing is known */
    assert_int_equal(chunk.has, 0);
    assert_int_equal(chunk.count, 0);
    segment_put(&s);
}

static void histograms(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    struct columns *c = fixture_add(f, &histogram, "market=a", 1400, 1400 * 30);
    fill_histogram(c, 1400, -40, 300, 30);
    c = fixture_add(f, &histogram, "market=b", 3, 8);
    memcpy(c->t, (int64_t[]){T0 + 5000, T0 + 10000, T0 + 20000}, 3 * sizeof *c->t);
    struct hist_bucket b[] = {{HIST_NEGATIVE(HIST_INDEX_MAX - 1), 1}, {HIST_NEGATIVE(-3), -2},
        {HIST_ZERO, INT64_MAX}, {5, INT64_MIN}, {HIST_INDEX_MAX - 1, 7}, {-9, 1}};
    memcpy(c->bucket, b, sizeof b);
    memcpy(c->bucket_at, (uint32_t[]){0, 5, 5, 6}, 4 * sizeof *c->bucket_at); /* one without any */
    c->sum[0] = (int128)1 << 100;
    c->sum[1] = -1;
    c->sum[2] = 0;
    struct segment *s = fixture_round_trip(f, &info);
    size_t n;
    fixture_chunks(f, s, 0, &n);
    assert_true(n >= 3); /* 1400 cells of 300 keys: no page is past its bound */
    assert_int_equal(fixture_chunks(f, s, 1, &n)->n, 3);
    struct segment_aggregate chunk = fixture_aggregate(f, s, 1);
    assert_true(chunk.has & SEGMENT_HAS_SUM);
    assert_true(chunk.sum == ((int128)1 << 100) - 1);
    segment_put(&s);
}

static void widest_histogram(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    struct err err;
    struct columns *c = fixture_add(f, &histogram, "", 3, 3 * (HIST_KEYS_MAX + 1));
    fill_histogram(c, 3, -30000, HIST_KEYS_MAX, HIST_KEYS_MAX);
    struct segment *s = fixture_round_trip(f, &info);
    for (uint32_t p = 0; p < segment_pages(s); p++) {
        struct segment_page page;
        segment_page(s, p, &page);
        assert_true(page.raw_bytes <= PAGE_RAW_MAX);
    }
    segment_put(&s);
    c = &f->series[0].columns;
    c->n = 1;
    for (uint32_t k = 0; k <= HIST_KEYS_MAX; k++)
        c->bucket[k] = (struct hist_bucket){(int32_t)k, 1};
    c->bucket_at[1] = HIST_KEYS_MAX + 1;
    assert_false(fixture_write(f, &info, &err));
    assert_int_equal(err.code, ERR_INVALID);
}

/* ---- chunks and times ---- */

static void chunk_borders(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    static const size_t sizes[] = {1, 2047, 2048, 2049, 4096, 4097, 5000};
    for (size_t i = 0; i < 7; i++) {
        char labels[32];
        snprintf(labels, sizeof labels, "n=%05zu,grid=y", sizes[i]);
        fixture_counter(f, &counter, labels, sizes[i], T0 + 1, 1, 1);
        snprintf(labels, sizeof labels, "n=%05zu,grid=no", sizes[i]);
        struct columns *c = fixture_counter(f, &counter, labels, sizes[i], T0 + 1, 3, 1);
        for (size_t k = 0; k < c->n; k++)
            c->t[k] += (int64_t)(next_random() % 3);
    }
    struct segment *s = fixture_round_trip(f, &info);
    static const size_t chunks[] = {1, 1, 1, 2, 2, 3, 3};
    size_t n;
    for (uint32_t i = 0; i < 14; i++) {
        fixture_chunks(f, s, i, &n);
        assert_int_equal(n, chunks[i % 7]); /* grid=no sorts before grid=y */
    }
    assert_int_equal(fixture_chunks(f, s, 9, &n)->n, 2048);
    const struct segment_chunk *second = fixture_chunks(f, s, 10, &n) + 1;
    assert_int_equal(second->n, 1);
    assert_int_equal(second->min_t, T0 + 2049);
    assert_int_equal(second->max_t, T0 + 2049);
    /* Only those that overlap (from, to] are given. */
    const struct segment_chunk *some;
    assert_true(segment_chunks(s, 13, T0 + 2048, T0 + 2049, &f->arena, &some, &n, NULL));
    assert_int_equal(n, 1);
    assert_int_equal(some->min_t, T0 + 2049);
    assert_true(segment_chunks(s, 13, T0 + 5000, T1, &f->arena, &some, &n, NULL));
    assert_int_equal(n, 0);
    segment_put(&s);
}

/* A regular grid costs nothing, and series with the same times share them. */
static void shared_times(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    uint32_t pages[CHUNK_PAGES_MAX], other[CHUNK_PAGES_MAX];
    size_t n;
    for (int i = 0; i < 20; i++) {
        char labels[32];
        snprintf(labels, sizeof labels, "i=%02d,grid=%c", i, i < 10 ? 'a' : 'b');
        struct columns *c = fixture_counter(f, &counter, labels, 1000, T0 + 1, 7, 1);
        for (size_t k = 0; i >= 10 && k < c->n; k++)
            c->t[k] += (int64_t)(k % 3);
    }
    struct segment *s = fixture_round_trip(f, &info);
    assert_int_equal(segment_chunk_pages(fixture_chunks(f, s, 0, &n), pages), 1);
    assert_int_equal(segment_chunk_pages(fixture_chunks(f, s, 19, &n), other), 2);
    assert_int_equal(segment_chunk_pages(fixture_chunks(f, s, 10, &n), pages), 2);
    assert_int_equal(pages[1], other[1]);
    struct segment_page page;
    segment_page(s, pages[1], &page);
    assert_in_range(page.raw_bytes, 1, 8000); /* one vector for ten series */
    segment_put(&s);
}

/* Times at the ends of 64 bits. */
static void extreme_times(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    f->t0 = INT64_MIN;
    f->t1 = INT64_MAX;
    struct columns *c = fixture_counter(f, &counter, "a=1", 3, 0, 1, 1);
    memcpy(c->t, (int64_t[]){INT64_MIN + 1, 0, INT64_MAX}, 3 * sizeof *c->t);
    c = fixture_counter(f, &counter, "a=2", 2, 0, 1, 1);
    memcpy(c->t, (int64_t[]){INT64_MIN + 1, INT64_MAX}, 2 * sizeof *c->t);
    c = fixture_counter(f, &counter, "a=3", 2, INT64_MAX - 1, 1, 1);
    struct segment *s = fixture_round_trip(f, &info);
    segment_put(&s);
}

/* ---- aggregates ---- */

static void aggregates(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    struct segment_aggregate a;
    struct columns *c = fixture_counter(f, &counter, "a=1", 3, T0 + 1, 1, 1);
    memcpy(c->amount, (int128[]){7, -3, 5}, 3 * sizeof *c->amount);
    c = fixture_counter(f, &counter, "a=2", 2, T0 + 1, 1, 1);
    memcpy(c->amount, (int128[]){(int128)1 << 70, 1}, 2 * sizeof *c->amount);
    c = fixture_add(f, &sample, "", 40, 0);
    static const double v[40] = {1e100, 1, NAN, 5, 2, -1e100, 3, 0};
    for (size_t i = 0; i < 40; i++) {
        c->t[i] = T0 + 1 + (int64_t)i;
        c->bits[i] = double_bits(v[i]);
    }
    c->bits[2] = STALE_BITS;
    struct segment *s = fixture_round_trip(f, &info);
    a = fixture_aggregate(f, s, 0);
    assert_int_equal(a.has, SEGMENT_HAS_SUM | SEGMENT_HAS_MIN_MAX | SEGMENT_HAS_FIRST_LAST);
    assert_int_equal(a.min, -3);
    assert_int_equal(a.max, 7);
    assert_int_equal(a.first, 7);
    assert_int_equal(a.last, 5);
    assert_int_equal(a.count, 3);
    assert_true(a.sum == 9);
    a = fixture_aggregate(f, s, 1);
    assert_int_equal(a.has, SEGMENT_HAS_SUM); /* the others do not fit 64 bits */
    assert_true(a.sum == ((int128)1 << 70) + 1);
    a = fixture_aggregate(f, s, 2);
    assert_int_equal(a.has, 15);
    assert_int_equal(a.count, 39);
    assert_int_equal(a.min, double_bits(-1e100));
    assert_int_equal(a.max, double_bits(1e100));
    assert_int_equal(a.first, double_bits(1e100));
    assert_int_equal(a.last, double_bits(0));
    assert_int_equal(a.resets, 4);
    assert_int_equal(a.reset_sum, double_bits(1e100 + 5 + 2 + 3));
    uint64_t lo = (uint64_t)a.sum, hi = (uint64_t)(a.sum >> 64);
    assert_true(bits_double(lo) + bits_double(hi) == 11); /* nothing is lost beside 1e100 */
    segment_put(&s);
}

static struct segment_aggregate aggregate_of_samples(struct fixture *f, const double *v, size_t n)
{
    struct segment_info info;
    f->n = 0;
    struct columns *c = fixture_add(f, &sample, "", n, 0);
    for (size_t i = 0; i < n; i++) {
        c->t[i] = T0 + 1 + (int64_t)i;
        c->bits[i] = double_bits(v[i]);
    }
    struct segment *s = fixture_round_trip(f, &info);
    struct segment_aggregate a = fixture_aggregate(f, s, 0);
    segment_put(&s);
    return a;
}

/* Sums of decimals are exact, whatever the doubles make of them. */
static void decimal_aggregates(void **state)
{
    struct segment_aggregate a = aggregate_of_samples(*state, (double[]){0.1, 0.2, 0.35}, 3);
    assert_int_equal(a.has, SEGMENT_HAS_SUM | SEGMENT_HAS_MIN_MAX | SEGMENT_HAS_FIRST_LAST |
                                SEGMENT_HAS_RESETS | SEGMENT_DECIMAL);
    assert_int_equal(a.digits, 2);
    assert_true(a.sum == 65);
    double counter_values[] = {5, 7, 8, 9, 1, 2, 3, 4, 5};
    a = aggregate_of_samples(*state, counter_values, 9);
    assert_int_equal(a.digits, 0);
    assert_true(a.sum == 44);
    assert_int_equal(a.resets, 1);
    assert_int_equal(a.reset_sum, 9);
    a = aggregate_of_samples(*state, (double[]){3, 2, 1}, 3);
    assert_int_equal(a.has & SEGMENT_HAS_RESETS, 0); /* no counter */
    assert_int_equal(a.resets, 0);
    a = aggregate_of_samples(*state, (double[]){9007199254740991, 0.5}, 2);
    assert_int_equal(a.has & SEGMENT_DECIMAL, 0); /* one digit more passes 2^53 */
    a = aggregate_of_samples(*state, (double[]){1, -0.0}, 2);
    assert_int_equal(a.has & SEGMENT_DECIMAL, 0);
    a = aggregate_of_samples(*state, (double[]){1, 1.0 / 3}, 2);
    assert_int_equal(a.has & SEGMENT_DECIMAL, 0);
    assert_int_equal((uint64_t)a.sum, double_bits(1 + 1.0 / 3));
}

/* ---- ids ---- */

static void ids(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    struct err err = {0};
    uint32_t ordinal, by_ordinal[20];
    for (uint32_t i = 0; i < 20; i++) {
        char labels[32];
        snprintf(labels, sizeof labels, "i=%02u", i);
        fixture_counter(f, &counter, labels, 1, T0 + 1, 1, 1);
        f->series[i].id = i == 7 ? SEGMENT_NO_ID : 1000000 - i * 37;
    }
    struct segment *s = fixture_round_trip(f, &info);
    assert_true(segment_ids(s, by_ordinal, &err));
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_equal(by_ordinal[i], f->series[i].id);
        assert_true(segment_find(s, 1000000 - i * 37, &ordinal, &err));
        assert_int_equal(ordinal, i == 7 ? SEGMENT_NO_ID : i);
        assert_true(segment_find(s, 1000001 - i * 37, &ordinal, &err));
        assert_int_equal(ordinal, SEGMENT_NO_ID);
    }
    segment_put(&s);
    f->series[3].id = f->series[4].id;
    assert_false(fixture_write(f, &info, &err));
    assert_int_equal(err.code, ERR_INVALID);
}

/* ---- labels ---- */

static void expect_postings(
    const struct segment *s, const char *name, const char *value, const char *want)
{
    uint32_t got[64];
    char text[512] = "";
    size_t n = 64, len = 0;
    assert_true(segment_postings(s, slice_from(name), slice_from(value), got, &n, NULL));
    for (size_t i = 0; i < n; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%u ", got[i]);
    assert_string_equal(text, want);
}

static void label_queries(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    struct err err;
    static const char *const sets[] = {
        "market=oslo,stage=a", "market=oslo,stage=b", "market=riga,stage=a", "stage=c", ""};
    for (size_t i = 0; i < 5; i++)
        fixture_counter(f, &counter, sets[i], 2, T0 + 1, 1, 1);
    fixture_counter(f, &level, "market=riga", 2, T0 + 1, 1, 1);
    struct segment *s = fixture_round_trip(f, &info);
    /* Order: orders_open{riga}, orders_total{}, {oslo,a}, {oslo,b}, {riga,a}, {stage=c}. */
    expect_postings(s, "__name__", "orders_open", "0 ");
    expect_postings(s, "__name__", "orders_total", "1 2 3 4 5 ");
    expect_postings(s, "market", "riga", "0 4 ");
    expect_postings(s, "market", "oslo", "2 3 ");
    expect_postings(s, "market", "", "1 5 "); /* those that do not have it */
    expect_postings(s, "stage", "a", "2 4 ");
    expect_postings(s, "stage", "", "0 1 ");
    expect_postings(s, "market", "paris", "");
    expect_postings(s, "city", "oslo", "");
    expect_postings(s, "city", "", "0 1 2 3 4 5 ");
    uint32_t one[1];
    size_t n = 1;
    assert_true(segment_postings(s, SLICE("__name__"), SLICE("orders_total"), one, &n, &err));
    assert_int_equal(n, 5); /* the number there are, past the room */
    assert_int_equal(one[0], 1);
    assert_int_equal(segment_label_names(s), 3);
    assert_true(slice_is(segment_label_name(s, 1), "market"));
    assert_int_equal(segment_label_values(s, 1), 2);
    struct slice value;
    assert_true(segment_label_value(s, 1, 1, &f->arena, &value, &err));
    assert_true(slice_is(value, "riga"));
    segment_put(&s);
    /* A label with an empty value is a label that is not there; who writes one has made a mistake.
     */
    struct label *items = arena_array(&f->arena, 2, sizeof *items);
    items[0] = (struct label){SLICE("__name__"), counter.name};
    items[1] = (struct label){SLICE("market"), {"", 0}};
    f->n = 1;
    f->series[0].def = &counter;
    f->series[0].labels = (struct labels){items, 2};
    assert_false(fixture_write(f, &info, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_int_equal(fixture_files(f), 1); /* the one from before */
}

/* Every value once, and long ones with long common beginnings. */
static void big_dictionaries(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    for (uint32_t i = 0; i < 20000; i++) {
        char labels[128];
        snprintf(labels, sizeof labels, "order=order-%u,shop=%u,zone=%llu", i * 7919, i % 97,
            (unsigned long long)(next_random() % 3));
        fixture_counter(f, i % 2 ? &counter : &level, labels, 1, T0 + 1 + i, 1, 1 + i);
    }
    char *text = xmalloc(5 + LABEL_VALUE_MAX);
    for (int i = 0; i < 40; i++) {
        memset(text, 'x', 4 + LABEL_VALUE_MAX);
        memcpy(text, "url=", 4);
        text[4 + LABEL_VALUE_MAX - i] = 0;
        fixture_counter(f, &counter, text, 1, T0 + 1, 1, 1);
    }
    free(text);
    struct segment *s = fixture_round_trip(f, &info);
    uint32_t *got = xreallocarray(NULL, f->n, sizeof *got);
    for (uint32_t i = 0; i < f->n; i += 61) {
        size_t n = f->n;
        struct slice value = labels_get(f->series[i].labels, SLICE("order"));
        if (!value.ptr)
            continue;
        assert_true(segment_postings(s, SLICE("order"), value, got, &n, NULL));
        assert_int_equal(n, 1);
        assert_int_equal(got[0], i);
    }
    size_t n = f->n, want = 0;
    assert_true(segment_postings(s, SLICE("shop"), SLICE("13"), got, &n, NULL));
    for (uint32_t i = 0; i < f->n; i++)
        if (slice_is(labels_get(f->series[i].labels, SLICE("shop")), "13")) {
            assert_true(want < n);
            assert_int_equal(got[want++], i);
        }
    assert_int_equal(n, want);
    free(got);
    segment_put(&s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(counters_and_levels),
        TEST(gauges),
        TEST(bits_of_samples),
        TEST(histograms),
        TEST(widest_histogram),
        TEST(chunk_borders),
        TEST(shared_times),
        TEST(extreme_times),
        TEST(aggregates),
        TEST(decimal_aggregates),
        TEST(ids),
        TEST(label_queries),
        TEST(big_dictionaries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
