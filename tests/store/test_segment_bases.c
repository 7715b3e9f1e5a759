/*
 * Chunks and their bases: which values have differences, and references that are wrong, which are
 * refused.
 */
#include "tests/store/segment_fixture.h"

#include <math.h>

#include "base/double_bits.h"
#include "store/segment/chunk_differences.h"
#include "store/segment/segment_reader.h"

#define T0 INT64_C(1700000000000)
#define T1 (T0 + 86400000)

static const struct metric_def bucket = {.name = {"latency_bucket", 14}, .kind = KIND_SAMPLE};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    fixture_init(f, T0, T1);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_fini(*state);
    free(*state);
    return 0;
}

/* n samples of k buckets, each a little more than the one before. */
static void add_family(struct fixture *f, const char *others, size_t n, int k)
{
    for (int b = 0; b < k; b++) {
        char labels[64];
        double count = 0;
        snprintf(labels, sizeof labels, "%s,le=%02d", others, b);
        struct columns *c = fixture_add(f, &bucket, labels, n, 0);
        for (size_t i = 0; i < n; i++) {
            count += (double)((i * 7919 + 13) % 31 + (size_t)b * ((i * 104729) % 5));
            c->t[i] = T0 + 1000 * (int64_t)(i + 1);
            c->bits[i] = double_bits(count);
        }
    }
}

/* ---- single values ---- */

static void edges(void **state)
{
    (void)state;
    const uint64_t base[] = {double_bits(0), double_bits(-0x1p51), double_bits(0x1p51 - 1),
        STALE_BITS, double_bits(7), double_bits(-0.0), double_bits(0x1p51), double_bits(0.5)};
    const uint64_t fits[] = {double_bits(-0x1p51), double_bits(0x1p51 - 1), double_bits(-0x1p51),
        STALE_BITS, double_bits(7), double_bits(-0.0), double_bits(0x1p51), double_bits(0.5)};
    const double others[] = {
        -0.0, 0x1p51, -0x1p51 - 1, 0.5, NAN, INFINITY, 0x1p52, 0x1.8p52, 0x1p63, 1e300};
    int64_t out[8], v;
    assert_true(differences_of(fits, base, 8, out));
    assert_int_equal(out[1], (INT64_C(1) << 52) - 1);
    assert_int_equal(out[2], -(INT64_C(1) << 52) + 1);
    assert_int_equal(out[3], out[2]); /* goes on */
    assert_int_equal(out[7], 0);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        uint64_t bits = double_bits(others[i]);
        assert_false(differences_count(bits, &v));
        assert_false(differences_of(&bits, &base[4], 1, out));
        assert_false(differences_of(&base[4], &bits, 1, out));
        assert_true(differences_of(&bits, &bits, 1, out));
    }
    assert_true(differences_count(double_bits(-12345), &v));
    assert_int_equal(v, -12345);
}

/* ---- wrong references ---- */

/* The directory's rows as they lie in the cache, to be changed. */
static struct segment_chunk *rows_of(const struct segment *s, struct cache_entry **entry)
{
    *entry = segment_hold(s, &s->index.pages[s->index.types[PAGE_CHUNKS].begin], NULL);
    ensure(*entry);
    return ((const struct chunk_group *)(*entry)->value)->rows;
}

static void expect_refused(const struct segment *s, uint32_t ordinal, const char *text)
{
    const struct segment_chunk *chunks;
    struct arena arena;
    struct err err = {0};
    size_t n;
    arena_init(&arena, 0);
    assert_false(segment_chunks(s, ordinal, INT64_MIN, INT64_MAX, &arena, &chunks, &n, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    if (!strstr(err.text, text))
        fail_msg("%s", err.text);
    arena_fini(&arena);
}

/* A base of another kind, of other times, of the same series; a chain that is too long. */
static void wrong_bases(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    struct cache_entry *entry;
    size_t n;
    static const struct metric_def first = {
        .name = {"a", 1}, .kind = KIND_COUNTER, .every_ms = 1000};
    add_family(f, "job=a", 300, 12);
    fixture_counter(f, &first, "", 300, T0 + 1000, 1000, 1);
    add_family(f, "job=A", 299, 1);
    add_family(f, "job=c", 3000, 1);
    struct segment *s = fixture_round_trip(f, &info);
    struct segment_chunk *rows = rows_of(s, &entry);
    uint32_t last = 13; /* of the family whose first row is 2 */
    uint32_t back = rows[last].back;
    assert_true(back > 0);
    rows[last].back = last;
    expect_refused(s, last, "chunk 13 is stored as differences to chunk 0, which cannot be");
    rows[last].back = last - 1;
    expect_refused(s, last, "to chunk 1, which cannot be");
    rows[last].back = back;
    for (uint32_t row = 3; row <= last; row++)
        rows[row].back = 1;
    expect_refused(s, last, "to chunk 4, which cannot be"); /* the ninth */
    rows[5].back = 0;
    assert_int_equal(fixture_chunks(f, s, last, &n)->n_bases, CHUNK_BASES_MAX);
    rows[last + 2].back = 1;
    expect_refused(s, rows[last + 2].ordinal, "to chunk 14, which cannot be");
    segment_release(s, entry);
    segment_put(&s);
}

/* Who is asked to decode differences alone says so. */
static void without_base(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    struct err err = {0};
    struct columns c;
    size_t n;
    add_family(f, "job=a", 300, 12);
    struct segment *s = fixture_round_trip(f, &info);
    struct segment_chunk chunk = *fixture_chunks(f, s, 11, &n);
    assert_true(chunk.n_bases > 0);
    chunk.n_bases = 0;
    assert_false(segment_read(s, &chunk, &f->arena, &c, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_non_null(strstr(err.text, "a chunk of differences without its base"));
    segment_put(&s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(edges), TEST(wrong_bases), TEST(without_base)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
