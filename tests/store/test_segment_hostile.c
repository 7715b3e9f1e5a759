/*
 * Segments that somebody made to do harm: all checksums are right, and one thing is what no writer
 * would write. Verifying and reading them ends in an error that names the file, in bounded memory.
 */
#define PARTS_MAX 8192
#include "tests/store/segment_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "store/resolution.h"
#include "store/segment/chunk.h"
#include "store/segment/label_walk.h"
#include "store/segment/segment_reader.h"
#include "tests/fuzz/segment_mutate.h"
#include "tests/store/support/folder.h"

#define T0 INT64_C(1700000000000)
#define T1 (T0 + 7200000)

static const struct metric_def counter = {.name = {"c_total", 7},
                                   .kind = KIND_COUNTER,
                                   .every_ms = 1000},
                               sample = {.name = {"s", 1}, .kind = KIND_SAMPLE};

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

/* ---- making them ---- */

struct change {
    enum page_type type; /* of the table's first page */
    size_t column, row;
    int64_t value;
    int64_t resolution_ms; /* of the header */
    void (*all)(struct segment_parts *parts);
    size_t page; /* of the table, from 0 */
};

static size_t page_of(const struct segment_parts *parts, enum page_type type, size_t page)
{
    size_t i = 0;
    while (parts->pages[i].type != type || page-- > 0)
        ensure(++i < parts->n_pages);
    return i;
}

static void put_value(struct segment_parts *parts, size_t page, const struct change *change)
{
    struct buf *raw = &parts->pages[page].raw;
    struct table table;
    ensure(table_take(&table, (uint8_t)change->type, raw) && change->row < table.n_rows);
    table.values[change->column][change->row] = change->value;
    buf_clear(raw);
    table_put(&table, raw);
    table_fini(&table);
}

/* The file with that change, opened. */
static struct segment *open_file_changed(
    struct fixture *f, const char *from, const struct change *change)
{
    enum { ROOM = 1 << 22 };
    struct segment_parts *parts = xcalloc(1, sizeof *parts);
    struct segment *segment = NULL;
    struct err err = {0};
    char path[PATH_BYTES];
    struct content content = content_of(from);
    ensure(parts_take(parts, (uint8_t *)content.ptr, content.len));
    parts->header.resolution_ms = change->resolution_ms;
    if (change->all)
        change->all(parts);
    if (change->type)
        put_value(parts, page_of(parts, change->type, change->page), change);
    uint8_t *out = xmalloc(ROOM);
    size_t size = parts_put(parts, SIZE_MAX, out, ROOM);
    ensure(size > 0);
    ensure(path_join(path, f->dir, "changed.seg", NULL));
    content_put(path, (char *)out, size);
    expect_ok(segment_open(path, NULL, &segment, &err), &err);
    free(out);
    free(content.ptr);
    parts_fini(parts);
    free(parts);
    return segment;
}

/* The same of the fixture's segment. */
static struct segment *open_changed(struct fixture *f, const struct change *change)
{
    struct segment_info info;
    struct err err = {0};
    char path[PATH_BYTES];
    expect_ok(fixture_write(f, &info, &err), &err);
    fixture_path(f, &info, path);
    return open_file_changed(f, path, change);
}

/* Verifying refuses it, and names the file. Puts the segment. */
static void expect_damage(struct fixture *f, struct segment *segment, enum err_code code)
{
    struct err err = {0};
    assert_false(segment_verify(segment, &err));
    assert_int_equal(err.code, code);
    assert_non_null(strstr(err.file, f->dir));
    segment_put(&segment);
}

static void expect_refused(struct fixture *f, const struct change *change, enum err_code code)
{
    expect_damage(f, open_changed(f, change), code);
}

/* ---- chunks ---- */

static int64_t codecs_with_form(uint8_t form)
{
    uint8_t codecs[CHUNK_STREAMS_MAX];
    memset(codecs, 255, sizeof codecs);
    codecs[0] = 1;
    codecs[CHUNK_FORM] = form;
    return (int64_t)le64_get(codecs);
}

static void forms_of_counters(void **state)
{
    static const uint8_t forms[] = {
        FORM_DERIVED, FORM_HISTOGRAMS, FORM_COARSE, FORM_COARSE + 1, 0, 254};
    struct fixture *f = *state;
    fixture_counter(f, &counter, "a=b", 100, T0 + 1000, 1000, 1);
    for (size_t i = 0; i < sizeof forms; i++)
        expect_refused(f,
            &(struct change){PAGE_CHUNKS, CHUNK_CODECS, 0, codecs_with_form(forms[i]), 0, NULL, 0},
            ERR_UNSUPPORTED);
    expect_refused(f,
        &(struct change){
            PAGE_CHUNKS, CHUNK_CODECS, 0, codecs_with_form(FORM_DIFFERENCES), 0, NULL, 0},
        ERR_CORRUPT);
}

static void add_samples(struct fixture *f, bool derived)
{
    struct columns *c = fixture_add(f, &sample, "a=b", 10, 0);
    struct columns raw = *c;
    for (size_t i = 0; i < raw.n; i++) {
        double v = (double)i;
        raw.t[i] = T0 + 1000 * (int64_t)(i + 1);
        memcpy(&raw.bits[i], &v, sizeof v);
    }
    if (derived)
        assert_true(resolution_derive(&f->arena, &raw, RESOLUTION_1M, c));
    f->resolution_ms = derived ? RESOLUTION_1M : 0;
}

/* Who derives coarser cells counts on it that raw segments hold none. */
static void derived_cells_in_a_raw_segment(void **state)
{
    struct fixture *f = *state;
    add_samples(f, true);
    expect_refused(f, &(struct change){.resolution_ms = 0}, ERR_CORRUPT);
}

static void samples_in_a_coarse_segment(void **state)
{
    struct fixture *f = *state;
    add_samples(f, false);
    expect_refused(f, &(struct change){.resolution_ms = RESOLUTION_1M}, ERR_CORRUPT);
}

/* And no writer gives them. */
static void writers_refuse_both(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    struct err err = {0};
    for (int derived = 0; derived < 2; derived++) {
        f->n = 0;
        add_samples(f, derived);
        f->resolution_ms = derived ? 0 : RESOLUTION_1M;
        assert_false(fixture_write(f, &info, &err));
        assert_int_equal(err.code, ERR_INVALID);
    }
}

/* ---- groups of chunks ---- */

#define GROUPS "tests/golden/segment-v3-groups.seg"

static void make_version_2(struct segment_parts *parts)
{
    parts->header.major = 2;
}

/* Programs of version 2 would miss the first groups of a series. */
static void a_series_in_several_groups_of_version_2(void **state)
{
    struct fixture *f = *state;
    struct change change = {.all = make_version_2};
    expect_damage(f, open_file_changed(f, GROUPS, &change), ERR_CORRUPT);
}

/* The first chunk of the series' second group is where that of its first group is. */
static void chunks_out_of_order(void **state)
{
    struct fixture *f = *state;
    struct change change = {
        .type = PAGE_CHUNKS, .column = CHUNK_VECTOR, .row = 0, .value = 1, .page = 2};
    struct segment *segment = open_file_changed(f, GROUPS, &change);
    const struct segment_chunk *chunks;
    struct err err = {0};
    size_t n;
    assert_false(segment_chunks(segment, 1, INT64_MIN, INT64_MAX, &f->arena, &chunks, &n, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    char place[128];
    snprintf(place, sizeof place,
        "segment section chunkdir at byte %llu: chunks of a series do not",
        (unsigned long long)footer_section(&segment->footer, SECTION_CHUNKDIR)->offset);
    assert_memory_equal(err.text, place, strlen(place));
    expect_damage(f, segment, ERR_CORRUPT);
}

/* ---- aggregates ---- */

static void aggregates_out_of_bounds(void **state)
{
    static const struct change changes[] = {{PAGE_AGGREGATES, AGGREGATE_DIGITS, 0, 10, 0, NULL, 0},
        {PAGE_AGGREGATES, AGGREGATE_DIGITS, 0, 256, 0, NULL, 0},
        {PAGE_AGGREGATES, AGGREGATE_DIGITS, 0, -1, 0, NULL, 0},
        {PAGE_AGGREGATES, AGGREGATE_HAS, 0, 32 | SEGMENT_HAS_SUM, 0, NULL, 0},
        {PAGE_AGGREGATES, AGGREGATE_HAS, 0, INT64_C(1) << 32 | SEGMENT_HAS_SUM, 0, NULL, 0},
        {PAGE_AGGREGATES, AGGREGATE_HAS, 0, -1, 0, NULL, 0},
        {PAGE_AGGREGATES, AGGREGATE_HAS, 0, SEGMENT_DECIMAL | SEGMENT_HAS_MIN_MAX, 0, NULL, 0}};
    struct fixture *f = *state;
    add_samples(f, false);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct segment *segment = open_changed(f, &changes[i]);
        struct segment_aggregate aggregate;
        struct err err = {0};
        size_t n;
        assert_false(
            segment_aggregate(segment, fixture_chunks(f, segment, 0, &n), &aggregate, &err));
        assert_int_equal(err.code, ERR_CORRUPT);
        segment_put(&segment);
    }
}

/* ---- labels ---- */

static size_t resident_kb(void)
{
    struct rusage usage;
    ensure(getrusage(RUSAGE_SELF, &usage) == 0);
    return (size_t)usage.ru_maxrss;
}

/* The codes of every column become 1: each series has every label. */
static void fill_columns(struct segment_parts *parts)
{
    static const uint8_t ones[] = {1, 0, 0, 0, 1 << 4}; /* codec, 0 * 3, a constant */
    for (size_t i = 0; i < parts->n_pages; i++) {
        struct buf *raw = &parts->pages[i].raw;
        if (parts->pages[i].type != PAGE_COLUMN)
            continue;
        raw->len = 12; /* name, first, n */
        buf_add(raw, ones, sizeof ones);
    }
}

/* 1,500 label names, and every one of 8,192 series has them all: a few bytes a page. */
static void labels_without_end(void **state)
{
    enum { NAMES = 1500, SERIES = 8192, MORE_KB = 64 << 10 };
    struct fixture *f = *state;
    struct labels labels;
    struct err err = {0};
    for (int i = 0; i < SERIES; i++) {
        char text[32];
        snprintf(text, sizeof text, "a=%05d,n%05d=v", i, i % NAMES);
        fixture_counter(f, &counter, text, 1, T0 + 1000, 1000, 1);
    }
    struct segment *segment = open_changed(f, &(struct change){.all = fill_columns});
    struct label_walk *walk = label_walk_new(segment);
    size_t before = resident_kb();
    assert_false(label_walk_labels(walk, 0, &f->arena, &labels, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_in_range(resident_kb() - before, 0, MORE_KB);
    label_walk_free(&walk);
    segment_put(&segment);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(forms_of_counters),
        TEST(derived_cells_in_a_raw_segment), TEST(samples_in_a_coarse_segment),
        TEST(writers_refuse_both), TEST(a_series_in_several_groups_of_version_2),
        TEST(chunks_out_of_order), TEST(aggregates_out_of_bounds), TEST(labels_without_end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
