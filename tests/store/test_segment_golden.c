/*
 * Segments as earlier versions wrote them, kept under tests/golden/: what this program reads from
 * them is what the series below say.
 *
 *     segment-vN-kinds.seg     every kind, wide numbers, shared and uneven times
 *     segment-vN-labels.seg    dictionaries of several blocks, chunks, LZ4; in version 1 postings
 *                              in three shapes
 *     segment-v2-samples.seg   histogram samples, start timestamps, derived cells of form 1
 *     segment-v2.1-coarse.seg  derived cells of form 4: decimals, and some that are not
 *     segment-v2-section-*.seg kinds, with a section that this version does not know, before and
 *                              behind the index
 *     segment-v2-pages.seg     kinds, with pages and columns of tables that it does not know
 *     segment-vN-flipped.seg   kinds with one bit flipped in a page of values
 *     segment-vN-cut.seg       kinds without its last byte
 *     segment-v2.1-families.seg   chunks of differences, two deep
 *     segment-v2.1-flipped.seg    families with one bit flipped in the page of values
 *     segment-v3-groups.seg    a series in three groups of chunks, by a writer whose groups hold 4
 *
 * Run from the root of the tree. With LARDER_WRITE_GOLDEN set it writes those of this version
 * first: for a new version's files only.
 */
#include "tests/store/segment_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/double_bits.h"
#include "store/segment/postings.h"
#include "store/segment/scaled.h"
#include "store/segment/segment_reader.h"
#include "tests/fuzz/segment_mutate.h"
#include "tests/store/support/folder.h"

#define T0 INT64_C(1700000000000)
#define T1 (T0 + 7200000)

static const struct metric_def counter = {.name = {"orders_total", 12},
    .kind = KIND_COUNTER,
    .digits = 0,
    .every_ms = 5000,
    .stale_after_ms = 3600000,
    .clock = {"orders", 6},
    .help = {"Orders, by stage.", 17},
    .unit = {"orders", 6}};
static const struct metric_def amount = {
    .name = {"order_amount_total", 18}, .kind = KIND_COUNTER, .digits = 2, .every_ms = 5000};
static const struct metric_def level = {
    .name = {"orders_open", 11}, .kind = KIND_LEVEL, .every_ms = 5000};
static const struct metric_def gauge = {
    .name = {"fridge_temperature_celsius", 26}, .kind = KIND_GAUGE, .digits = 3, .every_ms = 5000};
static const struct metric_def histogram = {.name = {"eta_error_seconds", 17},
    .kind = KIND_HISTOGRAM,
    .digits = 3,
    .schema = -4,
    .every_ms = 60000};
static const struct metric_def sample = {.name = {"up", 2}, .kind = KIND_SAMPLE};

static void fill_gauge(struct columns *c)
{
    for (size_t i = 0; i < c->n; i++) {
        int64_t k = (int64_t)i;
        c->t[i] = T0 + 5000 * (k * k + 1);
        c->last_ms[i] = c->t[i] - 7;
        c->last[i] = 3500 - 900 * k;
        c->min[i] = c->last[i] - 20;
        c->max[i] = c->last[i] + 20;
        c->count[i] = k + 1;
        c->sum[i] = (int128)c->last[i] * c->count[i];
    }
}

static void fill_kinds(struct fixture *f)
{
    static const struct hist_bucket buckets[] = {{HIST_NEGATIVE(3), 1}, {HIST_NEGATIVE(-2), 4},
        {HIST_ZERO, 2}, {-1, 9}, {0, -3}, {7, 1000000007}, {HIST_INDEX_MAX - 1, 1}};
    static const uint64_t bits[] = {0x3ff8000000000000, 0x8000000000000000, 0x7ff8000000000001,
        0x7ff0000000000002, 0x7ff0000000000000, 0x4000000000000000};
    fixture_counter(f, &counter, "market=oslo,stage=placed", 12, T0 + 5000, 5000, 1);
    fixture_counter(f, &counter, "market=riga,stage=placed", 12, T0 + 5000, 5000, 100);
    struct columns *c = fixture_counter(f, &amount, "market=oslo", 3, T0 + 5000, 10000, 1);
    memcpy(c->amount, (int128[]){1, (int128)1 << 64, -((int128)1 << 90)}, 3 * sizeof *c->amount);
    c->t[2] += 5000;
    c = fixture_counter(f, &level, "market=oslo", 2, T0 + 5000, 5000, 1);
    c->amount[1] = -4;
    fill_gauge(fixture_add(f, &gauge, "fridge=f1", 5, 0));
    c = fixture_add(f, &histogram, "market=oslo", 3, 7);
    memcpy(c->t, (int64_t[]){T0 + 60000, T0 + 120000, T0 + 300000}, 3 * sizeof *c->t);
    memcpy(c->bucket, buckets, sizeof buckets);
    memcpy(c->bucket_at, (uint32_t[]){0, 3, 3, 7}, 4 * sizeof *c->bucket_at);
    memcpy(c->sum, (int128[]){-5, 1, (int128)3 << 70}, 3 * sizeof *c->sum);
    c = fixture_add(f, &sample, "job=a", 6, 0);
    memcpy(c->bits, bits, sizeof bits);
    for (size_t i = 0; i < c->n; i++)
        c->t[i] = T0 + 1 + (int64_t)(i * i * i);
    f->sources[0] = (struct segment_source){SLICE("orders/0"), 815};
    f->sources[1] = (struct segment_source){SLICE("orders/1"), 4711};
    f->n_sources = 2;
}

/* Histograms, starts and derived cells. */
static void fill_samples(struct fixture *f)
{
    static const struct metric_def request = {.name = {"request_seconds", 15}, .kind = KIND_SAMPLE};
    static const double bounds[] = {0.1, 0.5, 2.5};
    static const struct hist_fbucket some[] = {{-3, 1}, {0, 0}, {7, 4}}, other[] = {{0, 2.5}};
    static const struct hist hist[] = {{.schema = 3,
                                           .zero_threshold = 1e-128,
                                           .zero_count = 2,
                                           .count = 7,
                                           .sum = 1.25,
                                           .n_positive = 3,
                                           .positive = some},
        {.schema = -53,
            .reset_hint = HIST_GAUGE,
            .count = 2.5,
            .sum = -1,
            .n_positive = 1,
            .positive = other,
            .n_bounds = 3,
            .bounds = bounds},
        {.schema = 3, .zero_threshold = 1e-128, .count = 9, .n_negative = 3, .negative = some}};
    struct columns *c = fixture_add(f, &request, "a=hist", 6, 0);
    ensure(columns_alloc_start(&f->arena, c));
    c->hist = arena_zalloc(&f->arena, c->n * sizeof *c->hist);
    for (size_t i = 0; i < c->n; i++) {
        c->t[i] = T0 + 1000 * (int64_t)(i + 1);
        c->hist[i] = i % 2 ? NULL : &hist[i / 2];
        c->bits[i] = STALE_BITS;
        c->start[i] = i < 3 ? T0 : 0;
    }
    c = fixture_add(f, &request, "a=derived", 4, 0);
    ensure(columns_alloc_derived(&f->arena, c->n, c));
    for (size_t i = 0; i < c->n; i++) {
        c->t[i] = T0 + 60000 * (int64_t)(i + 1);
        c->count[i] = 6;
        c->first[i] = c->min[i] = 0x3ff0000000000000 + (int64_t)i;
        c->last[i] = c->max[i] = 0x4000000000000000 + (int64_t)i;
        c->first_ms[i] = c->t[i] - 50000;
        c->last_ms[i] = c->t[i];
        c->digits[i] = DIGITS_INEXACT;
        c->sum[i] = 0x4010000000000000;
        c->reset_sum[i] = 0;
        c->resets[i] = 0;
    }
    c = fixture_add(f, &request, "a=start", 2, 0);
    ensure(columns_alloc_start(&f->arena, c));
    for (size_t i = 0; i < c->n; i++) {
        c->t[i] = T0 + 1 + (int64_t)i;
        c->bits[i] = 0x3ff8000000000000;
        c->start[i] = T0 - 5;
    }
}

/* The buckets of a histogram, with a stale marker, a reset and starts; one cell of one is missing.
 */
static void fill_families(struct fixture *f)
{
    static const struct metric_def bucket = {.name = {"latency_bucket", 14}, .kind = KIND_SAMPLE};
    static const char *const bounds[] = {"+Inf", "0.1", "0.5", "1", "2.5"};
    static const uint64_t part[] = {1000, 50, 300, 700, 720}; /* of 1000 */
    for (size_t b = 0; b < 5; b++) {
        char labels[32];
        uint64_t seed = 12345;
        snprintf(labels, sizeof labels, "job=a,le=%s,path=/", bounds[b]);
        struct columns *c = fixture_add(f, &bucket, labels, 100, 0);
        double count = 0;
        if (b == 2)
            ensure(columns_alloc_start(&f->arena, c));
        for (size_t i = 0; i < c->n; i++) {
            count = i == 60 ? 0 : count;
            for (int k = 0; k < 40; k++) {
                seed = seed * 6364136223846793005u + 1442695040888963407u;
                count += (seed >> 33) % 1000 < part[b];
            }
            c->t[i] = T0 + 10000 * (int64_t)(i + 1);
            c->bits[i] = double_bits(count);
            if (i == 59)
                c->bits[i] = STALE_BITS;
            if (c->start)
                c->start[i] = i < 60 ? T0 : T0 + 600000;
        }
        c->n -= b == 1;
    }
}

/* Two hours of a meter in hundredths; the second one has a cell in the middle that is inexact. */
static void fill_coarse(struct fixture *f)
{
    static const char *const labels[] = {"a=exact", "a=mixed"};
    for (int s = 0; s < 2; s++) {
        struct columns *c = fixture_add(f, &sample, labels[s], 120, 0);
        ensure(columns_alloc_derived(&f->arena, c->n, c));
        for (size_t i = 0; i < c->n; i++) {
            int64_t first = 2000 + (int64_t)(i * 37 % 101), last = first - 25 + (int64_t)(i % 50);
            bool inexact = s == 1 && i == 60;
            c->t[i] = T0 + 60000 * (int64_t)(i + 1);
            c->count[i] = 60 - (i % 40 == 7);
            c->first[i] = (int64_t)scaled_bits(first, 2);
            c->last[i] = (int64_t)scaled_bits(last, 2);
            c->min[i] = (int64_t)scaled_bits((first < last ? first : last) - (int64_t)(i % 3), 2);
            c->max[i] = inexact ? 0x7ff0000000000000 : c->last[i];
            c->first_ms[i] = c->t[i] - 59000;
            c->last_ms[i] = c->t[i] - (int64_t)(i % 2);
            c->digits[i] = inexact ? DIGITS_INEXACT : 2;
            c->sum[i] = inexact ? 0x7ff0000000000000 : (int128)c->count[i] * (first + last) / 2 + 3;
            c->reset_sum[i] = inexact ? 0x4034000000000000 : (int64_t)(i % 5) * first;
            c->resets[i] = (int64_t)(i % 5);
        }
    }
}

static void fill_labels(struct fixture *f)
{
    for (int i = 0; i < 300; i++) {
        char labels[96];
        int n = snprintf(labels, sizeof labels, "id=order-%04d,odd=%s,third=%d", i,
            i * 37 % 7 < 3 ? "yes" : "no", i / 100);
        if (i % 61 == 5)
            snprintf(labels + n, sizeof labels - (size_t)n, ",rare=r");
        fixture_counter(f, &counter, labels, i == 7 ? 1030 : 1, T0 + 5000, 5000, 1 + i / 10);
        f->series[f->n - 1].id = 1000 - (uint32_t)i;
    }
}

static void path_of(const char *name, char out[PATH_BYTES])
{
    ensure(path_join(out, "tests/golden", name, NULL));
}

static void write_golden(const char *name, const void *bytes, size_t len)
{
    char path[PATH_BYTES];
    path_of(name, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    ensure(fd >= 0 && file_write_at(fd, path, 0, bytes, len, NULL));
    close(fd);
}

/* The flipped bit is in the first page of the data, behind its header. */
#define FLIPPED_AT (64 + 16 + 3)

static void write_again(struct fixture *f, const char *name, const char *flipped)
{
    char path[PATH_BYTES];
    struct segment_info info;
    struct buf bytes;
    struct err err = {0};
    expect_ok(fixture_write(f, &info, &err), &err);
    buf_init(&bytes, 0);
    fixture_path(f, &info, path);
    ensure(file_read(path, 1u << 20, &bytes, NULL));
    write_golden(name, bytes.ptr, bytes.len);
    bytes.ptr[FLIPPED_AT] ^= 1;
    write_golden(flipped, bytes.ptr, bytes.len);
    buf_fini(&bytes);
}

static struct segment *open_golden(struct fixture *f, const char *name)
{
    char path[PATH_BYTES];
    struct segment *segment = NULL;
    struct err err = {0};
    qsort(f->series, f->n, sizeof *f->series, fixture_cmp);
    if (getenv("LARDER_WRITE_GOLDEN") && strstr(name, "-v2.1-"))
        write_again(f, name, "segment-v2.1-flipped.seg");
    path_of(name, path);
    expect_ok(segment_open(path, NULL, &segment, &err), &err);
    expect_ok(segment_verify(segment, &err), &err);
    expect_ok(fixture_eq(f, segment, &err), &err);
    return segment;
}

static void kinds(struct fixture *f, const char *name)
{
    const struct segment_source *sources;
    size_t n;
    fill_kinds(f);
    struct segment *segment = open_golden(f, name);
    assert_true(segment_sources(segment, &sources, &n, NULL));
    assert_int_equal(n, 2);
    assert_int_equal(sources[1].next, 4711);
    segment_put(&segment);
}

static void kinds_v1(void **state)
{
    kinds(*state, "segment-v1-kinds.seg");
}

static void kinds_v2(void **state)
{
    kinds(*state, "segment-v2-kinds.seg");
}

/* A later writer adds what this program does not know; the files cannot be written anew here. */
static void unknown(struct fixture *f, const char *name)
{
    char path[PATH_BYTES];
    struct segment *segment = NULL;
    struct err err = {0};
    fill_kinds(f);
    qsort(f->series, f->n, sizeof *f->series, fixture_cmp);
    path_of(name, path);
    expect_ok(segment_open(path, NULL, &segment, &err), &err);
    expect_ok(segment_verify(segment, &err), &err);
    expect_ok(fixture_eq(f, segment, &err), &err);
    segment_put(&segment);
}

static void unknown_section_before(void **state)
{
    unknown(*state, "segment-v2-section-before.seg");
}

static void unknown_section_behind(void **state)
{
    unknown(*state, "segment-v2-section-behind.seg");
}

static void unknown_pages(void **state)
{
    unknown(*state, "segment-v2-pages.seg");
}

/* Files with derived cells were made here, by hand, with the resolution of raw ones, which no store
 * has ever written. This is such a file with a resolution in its header. */
static struct segment *open_as_minutes(struct fixture *f, const char *name)
{
    struct segment_parts *parts = xcalloc(1, sizeof *parts);
    struct segment *segment = NULL;
    struct err err = {0};
    uint8_t out[16384];
    char path[PATH_BYTES];
    path_of(name, path);
    struct content content = content_of(path);
    ensure(parts_take(parts, (uint8_t *)content.ptr, content.len));
    parts->header.resolution_ms = 60000;
    size_t size = parts_put(parts, SIZE_MAX, out, sizeof out);
    ensure(size > 0 && path_join(path, f->dir, "minutes.seg", NULL));
    content_put(path, (char *)out, size);
    expect_ok(segment_open(path, NULL, &segment, &err), &err);
    qsort(f->series, f->n, sizeof *f->series, fixture_cmp);
    free(content.ptr);
    parts_fini(parts);
    free(parts);
    return segment;
}

/* Of a file with samples of both sorts those are read that fit the resolution. */
static void expect_some(struct fixture *f, const struct segment *segment, bool derived)
{
    for (uint32_t i = 0; i < f->n; i++) {
        struct err err = {0};
        bool fits = (f->series[i].columns.first != NULL) == derived;
        bool ok = fixture_series_eq(f, segment, i, &f->arena, &err);
        assert_int_equal(ok, fits);
        assert_int_equal(err.code, fits ? ERR_OK : ERR_CORRUPT);
    }
}

static void samples_v2(void **state)
{
    struct fixture *f = *state;
    struct segment *segment = NULL;
    struct err err = {0};
    char path[PATH_BYTES];
    fill_samples(f);
    path_of("segment-v2-samples.seg", path);
    expect_ok(segment_open(path, NULL, &segment, &err), &err);
    qsort(f->series, f->n, sizeof *f->series, fixture_cmp);
    expect_some(f, segment, false);
    segment_put(&segment);
    segment = open_as_minutes(f, "segment-v2-samples.seg");
    expect_some(f, segment, true);
    segment_put(&segment);
}

static void families_v2_1(void **state)
{
    static const uint32_t depths[] = {0, 0, 1, 1, 2};
    struct fixture *f = *state;
    struct segment *segment, *flipped = NULL;
    struct err err = {0};
    char path[PATH_BYTES];
    size_t n;
    fill_families(f);
    segment = open_golden(f, "segment-v2.1-families.seg");
    assert_int_equal(segment->header.minor, 1);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(fixture_chunks(f, segment, i, &n)->n_bases, depths[i]);
    segment_put(&segment);
    path_of("segment-v2.1-flipped.seg", path);
    expect_ok(segment_open(path, NULL, &flipped, &err), &err);
    assert_false(fixture_eq(f, flipped, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    segment_put(&flipped);
}

static void coarse_v2_1(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    fill_coarse(f);
    struct segment *segment = open_as_minutes(f, "segment-v2.1-coarse.seg");
    expect_ok(segment_verify(segment, &err), &err);
    expect_ok(fixture_eq(f, segment, &err), &err);
    segment_put(&segment);
}

static void fill_groups(struct fixture *f)
{
    fixture_counter(f, &counter, "market=oslo", 3, T0 + 5000, 5000, 1);
    for (size_t i = 0; i < 2; i++) {
        struct columns *c = fixture_counter(f, &counter, i ? "market=riga" : "market=pori",
            i ? 3 * CHUNK_CELLS_MAX : 9 * CHUNK_CELLS_MAX, T0 + 100, 100, 1);
        for (size_t k = 0; k < c->n; k++)
            c->amount[k] = (int64_t)(k / 1000) + 1;
    }
    fixture_counter(f, &counter, "market=turku", 3, T0 + 5000, 5000, 1);
}

/* Which groups there are, by the first series of each; and pieces of the series in several. */
static void groups_v3(void **state)
{
    static const uint32_t first[] = {0, 1, 1, 1};
    struct fixture *f = *state;
    const struct segment_chunk *chunks;
    struct err err = {0};
    size_t n;
    fill_groups(f);
    struct segment *segment = open_golden(f, "segment-v3-groups.seg");
    const struct page_range range = segment->index.types[PAGE_CHUNKS];
    assert_int_equal(segment->header.major, 3);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(segment->index.pages[range.begin + i].key, first[i]);
    fixture_chunks(f, segment, 1, &n);
    assert_int_equal(n, 9);
    int64_t from = T0 + 100 * 3 * CHUNK_CELLS_MAX, to = T0 + 100 * 5 * CHUNK_CELLS_MAX;
    expect_ok(segment_chunks(segment, 1, from, to, &f->arena, &chunks, &n, &err), &err);
    assert_int_equal(n, 2); /* the last of a group, and the first of the next */
    assert_true(chunks[0].min_t == from + 100 && chunks[1].max_t == to);
    segment_put(&segment);
}

static void expect_lists(const struct segment *segment)
{
    uint32_t got[300];
    size_t n = 300;
    assert_true(segment_postings(segment, SLICE("rare"), SLICE("r"), got, &n, NULL));
    assert_int_equal(n, 5);
    n = 300;
    assert_true(segment_postings(segment, SLICE("third"), SLICE("1"), got, &n, NULL));
    assert_int_equal(n, 100);
    assert_int_equal(got[0], 100);
    n = 300;
    assert_true(segment_postings(segment, SLICE("rare"), SLICE(""), got, &n, NULL));
    assert_int_equal(n, 295);
    assert_int_equal(segment_label_values(segment, 1), 300);
}

static uint8_t shape_of(const struct segment *segment, const char *name, uint32_t value)
{
    uint32_t rank = dict_find(&segment->names, slice_from(name));
    const struct page_ref *ref = page_index_find(&segment->index, PAGE_POSTINGS, rank, value);
    struct cache_entry *entry = segment_hold(segment, ref, NULL);
    ensure(entry);
    uint8_t shape = (uint8_t)postings_list(entry->value, value - ref->first).ptr[0];
    segment_release(segment, entry);
    return shape;
}

static void labels_v1(void **state)
{
    struct fixture *f = *state;
    fill_labels(f);
    struct segment *segment = open_golden(f, "segment-v1-labels.seg");
    assert_int_equal(shape_of(segment, "third", 1), POSTINGS_RANGE);
    assert_int_equal(shape_of(segment, "rare", 0), POSTINGS_DELTA);
    assert_int_equal(shape_of(segment, "odd", 1), POSTINGS_BITMAP);
    expect_lists(segment);
    assert_false(segment_has_ids(segment));
    segment_put(&segment);
}

static void labels_v2(void **state)
{
    struct fixture *f = *state;
    uint32_t ordinal;
    fill_labels(f);
    struct segment *segment = open_golden(f, "segment-v2-labels.seg");
    expect_lists(segment);
    assert_true(segment_has_ids(segment));
    assert_true(segment_find(segment, 1000 - 7, &ordinal, NULL));
    assert_int_equal(ordinal, 7);
    segment_put(&segment);
}

static void damaged(struct fixture *f, const char *flipped, const char *cut)
{
    struct segment *segment = NULL;
    struct err err = {0};
    char path[PATH_BYTES];
    fill_kinds(f);
    qsort(f->series, f->n, sizeof *f->series, fixture_cmp);
    path_of(flipped, path);
    expect_ok(segment_open(path, NULL, &segment, &err), &err); /* data is read on demand */
    assert_false(fixture_eq(f, segment, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_string_equal(err.file, path);
    assert_string_equal(err.text, "segment page at byte 64: checksum does not match");
    assert_false(segment_verify(segment, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    segment_put(&segment);
    path_of(cut, path);
    assert_false(segment_open(path, NULL, &segment, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_string_equal(err.file, path);
    assert_non_null(strstr(err.text, "the end of the file is not there"));
}

static void damaged_v1(void **state)
{
    damaged(*state, "segment-v1-flipped.seg", "segment-v1-cut.seg");
}

static void damaged_v2(void **state)
{
    damaged(*state, "segment-v2-flipped.seg", "segment-v2-cut.seg");
}

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(kinds_v1), TEST(kinds_v2), TEST(labels_v1),
        TEST(labels_v2), TEST(samples_v2), TEST(families_v2_1), TEST(coarse_v2_1), TEST(damaged_v1),
        TEST(damaged_v2), TEST(unknown_section_before), TEST(unknown_section_behind),
        TEST(unknown_pages), TEST(groups_v3)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
