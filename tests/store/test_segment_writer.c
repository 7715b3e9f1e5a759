/* The file as a whole: its bytes and its name come from what is in it; what is refused leaves none.
 */
#include "tests/store/segment_kinds.h"

static void fill_mix(struct fixture *f)
{
    for (int i = 0; i < 30; i++) {
        char labels[64];
        snprintf(labels, sizeof labels, "market=m%d,stage=s%d", i % 7, i);
        struct columns *c = fixture_counter(f, &counter, labels, 100, T0 + 1, 5, 1);
        for (size_t k = 0; k < c->n; k++)
            c->t[k] += (int64_t)(next_random() % 5);
        fill_histogram(fixture_add(f, &histogram, labels, 20, 20 * 10), 20, -5, 50, 10);
    }
    f->sources[0] = (struct segment_source){SLICE("orders/1"), 12345};
    f->sources[1] = (struct segment_source){SLICE("orders/0"), 0};
    f->n_sources = 2;
}

static void read_all(const char *path, struct buf *out)
{
    buf_init(out, 0);
    assert_true(file_read(path, SIZE_MAX / 2, out, NULL));
}

/* The same input gives the same file under the same name; anything else another name. */
static void deterministic(void **state)
{
    struct fixture *f = *state;
    struct segment_info a, b;
    char path[PATH_BYTES];
    struct buf before, after;
    fill_mix(f);
    struct segment *s = fixture_round_trip(f, &a);
    segment_put(&s);
    fixture_path(f, &a, path);
    read_all(path, &before);
    struct segment_source swap = f->sources[0]; /* their order is no content */
    f->sources[0] = f->sources[1];
    f->sources[1] = swap;
    assert_true(fixture_write(f, &b, NULL));
    read_all(path, &after);
    assert_string_equal(a.name, b.name);
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.ptr, after.ptr, before.len);
    assert_int_equal(fixture_files(f), 1);
    char start[64];
    snprintf(start, sizeof start, "%lld-%lld.", (long long)T0, (long long)T1);
    assert_memory_equal(a.name, start, strlen(start));
    assert_int_equal(strlen(a.name), strlen(start) + 32 + 4);

    f->series[3].columns.amount ? (f->series[3].columns.amount[5] += 1)
                                : (f->series[3].columns.sum[5] += 1);
    assert_true(fixture_write(f, &b, NULL));
    assert_string_not_equal(a.name, b.name);
    strcpy(a.name, b.name);
    f->sources[0].next++;
    assert_true(fixture_write(f, &b, NULL));
    assert_string_not_equal(a.name, b.name);
    strcpy(a.name, b.name);
    f->t1++;
    assert_true(fixture_write(f, &b, NULL));
    assert_string_not_equal(a.name, b.name);
    assert_int_equal(fixture_files(f), 4);
    buf_fini(&before);
    buf_fini(&after);
}

static void sources(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    struct err err;
    size_t n;
    fill_mix(f);
    struct segment *s = fixture_round_trip(f, &info);
    const struct segment_source *got;
    assert_true(segment_sources(s, &got, &n, NULL));
    assert_int_equal(n, 2);
    assert_true(slice_is(got[0].name, "orders/0"));
    assert_int_equal(got[0].next, 0);
    assert_true(slice_is(got[1].name, "orders/1"));
    assert_int_equal(got[1].next, 12345);
    segment_put(&s);
    f->sources[1] = f->sources[0];
    assert_false(fixture_write(f, &info, &err));
    assert_int_equal(err.code, ERR_INVALID);
}

static void pages_in_two_steps(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    struct err err;
    struct arena arena;
    fill_mix(f);
    struct segment *s = fixture_round_trip(f, &info);
    struct segment *second = segment_get(s);
    arena_init(&arena, 0);
    struct slice *raw = xcalloc(segment_pages(s), sizeof *raw);
    for (uint32_t p = 0; p < segment_pages(s); p++)
        assert_true(segment_fetch(s, p, &arena, &raw[p], &err));
    segment_put(&s);
    const struct segment_chunk *chunks = NULL;
    size_t n_chunks;
    for (uint32_t i = 0; i < f->n; i++) {
        chunks = fixture_chunks(f, second, i, &n_chunks);
        for (size_t k = 0, at = 0; k < n_chunks; k++) {
            uint32_t pages[CHUNK_PAGES_MAX];
            struct slice its[CHUNK_PAGES_MAX];
            struct columns c;
            size_t n = segment_chunk_pages(&chunks[k], pages);
            for (size_t j = 0; j < n; j++)
                its[j] = raw[pages[j]];
            assert_true(segment_decode(second, &chunks[k], its, &arena, &c, &err));
            for (size_t j = 0; j < c.n; j++)
                assert_true(cell_eq(&c, j, &f->series[i].columns, at + j));
            at += c.n;
        }
    }
    arena_fini(&arena);
    /* A full arena is a limit, no damage. */
    struct columns c;
    arena_init(&arena, 100);
    assert_false(segment_read(second, chunks, &arena, &c, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    assert_false(segment_fetch(second, 0, &arena, &raw[0], &err));
    assert_int_equal(err.code, ERR_LIMIT);
    arena_fini(&arena);
    free(raw);
    segment_put(&second);
}

/* ---- what is refused ---- */

static void expect_refused(struct fixture *f, enum err_code code)
{
    struct err err = {0};
    struct segment_info info;
    assert_false(fixture_write_unsorted(f, &info, &err));
    assert_int_equal(err.code, code);
    assert_true(err.text[0]);
    assert_int_equal(fixture_files(f), 0); /* nothing is left */
}

static void bad_input(void **state)
{
    struct fixture *f = *state;
    expect_refused(f, ERR_INVALID); /* no series */
    struct columns *c = fixture_counter(f, &counter, "a=1", 3, T0 + 1, 1, 1);
    struct segment_series good = f->series[0];
    c->t[1] = c->t[0];
    expect_refused(f, ERR_INVALID); /* times do not ascend */
    c->t[0] = T0;
    c->t[1] = T0 + 2;
    expect_refused(f, ERR_INVALID); /* t0 itself is outside */
    c->t[0] = T0 + 1;
    c->t[2] = T1 + 1;
    expect_refused(f, ERR_INVALID);
    c->t[2] = T1;
    c->amount[1] = 0;
    expect_refused(f, ERR_INVALID); /* not canonical */
    c->amount[1] = 1;
    f->series[0].columns.n = 0;
    expect_refused(f, ERR_INVALID);
    f->series[0].columns.n = 3;
    f->series[0].columns.kind = KIND_LEVEL;
    expect_refused(f, ERR_INVALID);
    f->series[0] = good;
    fixture_counter(f, &counter, "a=1", 1, T0 + 1, 1, 1);
    expect_refused(f, ERR_INVALID); /* the same labels again */
    f->series[1].labels = fixture_labels(f, &counter, "a=0");
    expect_refused(f, ERR_INVALID); /* out of order */
    struct metric_def other = counter;
    other.digits = 3;
    f->series[1].labels = fixture_labels(f, &counter, "a=2");
    f->series[1].def = &other;
    expect_refused(f, ERR_INVALID); /* two definitions of a name */
    f->series[1].def = &counter;
    f->series[1].labels = fixture_labels(f, &level, "a=2");
    expect_refused(f, ERR_INVALID); /* labels of another metric */
    f->n = 1;
    other = counter;
    other.every_ms = 0;
    f->series[0].def = &other;
    expect_refused(f, ERR_INVALID);
    f->series[0] = good;
    f->t1 = f->t0;
    expect_refused(f, ERR_INVALID);
}

/* What is refused names the series and the time. */
static void errors_name_their_place(void **state)
{
    struct fixture *f = *state;
    struct segment_info info;
    struct err err = {0};
    char expected[256];
    struct columns *c = fixture_counter(f, &counter, "a=1,b=x", 3, T0 + 1, 1, 1);
    c->amount[1] = 0;
    assert_false(fixture_write(f, &info, &err));
    snprintf(expected, sizeof expected,
        "a cell that is zero at %lld ms: series %.*s{a=\"1\", b=\"x\"}", (long long)T0 + 2,
        SLICE_FMT(counter.name));
    assert_string_equal(err.text, expected);
    char *big = arena_alloc(&f->arena, LABEL_VALUE_MAX);
    memset(big, 'y', LABEL_VALUE_MAX);
    struct label *items = arena_array(&f->arena, 2, sizeof *items);
    items[0] = (struct label){SLICE(LABEL_METRIC_NAME), counter.name};
    items[1] = (struct label){SLICE("a"), slice_of(big, LABEL_VALUE_MAX)};
    f->series[0].labels = (struct labels){items, 2};
    assert_false(fixture_write(f, &info, &err));
    assert_memory_equal(err.text, expected, 40); /* the labels are cut */
}

static bool failing_next(void *ctx, struct segment_series *out)
{
    struct fixture *f = ctx;
    return f->at < 3 && fixture_next(f, out);
}

static bool has_failed(void *ctx, struct err *err)
{
    (void)ctx;
    err_set(err, ERR_CORRUPT, "the input broke");
    return true;
}

static void failing_input(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    struct segment_info info;
    fill_mix(f);
    qsort(f->series, f->n, sizeof *f->series, fixture_cmp);
    struct segment_input input = {
        .t0 = T0, .t1 = T1, .next = failing_next, .failed = has_failed, .ctx = f};
    assert_false(segment_write(f->dir, &input, &info, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
    assert_string_equal(err.text, "the input broke");
    assert_int_equal(fixture_files(f), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(deterministic),
        TEST(sources),
        TEST(pages_in_two_steps),
        TEST(bad_input),
        TEST(errors_name_their_place),
        TEST(failing_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
