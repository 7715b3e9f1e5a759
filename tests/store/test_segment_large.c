/* A segment of more series than go without posting lists, with many names of labels: the three
 * shapes of a list, and labels read in order, against the series that it was written from. */
#include "tests/store/segment_fixture.h"

#include "store/segment/label_walk.h"
#include "store/segment/postings.h"
#include "store/segment/segment_reader.h"

#define T0     INT64_C(1700000000000)
#define SERIES 70000
#define NAMES  400

static const struct metric_def first = {
    .name = {"a_total", 7}, .kind = KIND_COUNTER, .every_ms = 5000};
static const struct metric_def second = {
    .name = {"b_total", 7}, .kind = KIND_COUNTER, .every_ms = 5000};

struct made {
    struct fixture fixture;
    struct segment *segment;
};

static int setup(void **state)
{
    struct made *m = xcalloc(1, sizeof *m);
    struct fixture *f = &m->fixture;
    struct segment_info info;
    struct err err = {0};
    char path[PATH_BYTES], text[128];
    fixture_init(f, T0, T0 + 7200000);
    for (int i = 0; i < SERIES; i++) {
        int n = snprintf(text, sizeof text, "key=%05d,n%03d=v%d", i, i % NAMES, i % 7);
        if (i / 20000 == 1)
            n += snprintf(text + n, sizeof text - (size_t)n, ",range=r");
        if (i % 8 != 0)
            n += snprintf(text + n, sizeof text - (size_t)n, ",odd=%d",
                (int)((uint32_t)i * 2654435761u >> 20 & 1));
        if (i % 9973 == 0)
            snprintf(text + n, sizeof text - (size_t)n, ",rare=x");
        fixture_counter(f, i < 40000 ? &first : &second, text, 1, T0 + 5, 5, i + 1);
        f->series[f->n - 1].id = (uint32_t)(SERIES - i);
    }
    ensure(fixture_write(f, &info, &err));
    fixture_path(f, &info, path);
    ensure(segment_open(path, NULL, &m->segment, &err));
    *state = m;
    return 0;
}

static int teardown(void **state)
{
    struct made *m = *state;
    segment_put(&m->segment);
    fixture_fini(&m->fixture);
    free(m);
    return 0;
}

static void it_is_whole(void **state)
{
    struct made *m = *state;
    struct err err = {0};
    if (!segment_verify(m->segment, &err))
        fail_msg("%s", err.text);
}

static void labels_in_order_and_out_of_order(void **state)
{
    struct made *m = *state;
    struct label_walk *walk = label_walk_new(m->segment);
    struct arena arena;
    struct labels labels;
    struct err err = {0};
    arena_init(&arena, 0);
    for (uint32_t i = 0; i < SERIES; i++) {
        arena_reset(&arena);
        assert_true(label_walk_labels(walk, i, &arena, &labels, &err));
        assert_int_equal(labels_cmp(labels, m->fixture.series[i].labels), 0);
    }
    for (uint32_t i = SERIES; i > 30000; i -= 9000) {
        arena_reset(&arena);
        assert_true(label_walk_labels(walk, i - 1, &arena, &labels, &err));
        assert_int_equal(labels_cmp(labels, m->fixture.series[i - 1].labels), 0);
        assert_true(segment_labels(m->segment, i - 1, &arena, &labels, &err));
        assert_int_equal(labels_cmp(labels, m->fixture.series[i - 1].labels), 0);
    }
    arena_fini(&arena);
    label_walk_free(&walk);
}

static uint8_t shape_of(const struct segment *s, const char *name, uint32_t value)
{
    uint32_t rank = dict_find(&s->names, slice_from(name));
    const struct page_ref *ref = page_index_find(&s->index, PAGE_POSTINGS, rank, value);
    assert_non_null(ref);
    struct cache_entry *entry = segment_hold(s, ref, NULL);
    assert_non_null(entry);
    uint8_t shape = (uint8_t)postings_list(entry->value, value - ref->first).ptr[0];
    segment_release(s, entry);
    return shape;
}

static struct slice value_of(struct labels labels, const char *name)
{
    for (size_t i = 0; i < labels.n; i++)
        if (slice_is(labels.items[i].name, name))
            return labels.items[i].value;
    return SLICE("");
}

static void expect_list(struct made *m, const char *name, const char *value)
{
    struct err err = {0};
    size_t n = SERIES, at = 0;
    uint32_t *got = xcalloc(SERIES, sizeof *got);
    assert_true(segment_postings(m->segment, slice_from(name), slice_from(value), got, &n, &err));
    for (uint32_t i = 0; i < SERIES; i++)
        if (slice_is(value_of(m->fixture.series[i].labels, name), value)) {
            assert_true(at < n);
            assert_int_equal(got[at++], i);
        }
    assert_int_equal(at, n);
    assert_true(n > 0);
    free(got);
}

static void lists_of_every_shape(void **state)
{
    struct made *m = *state;
    assert_int_equal(shape_of(m->segment, "range", 0), POSTINGS_RANGE);
    assert_int_equal(shape_of(m->segment, "rare", 0), POSTINGS_DELTA);
    assert_int_equal(shape_of(m->segment, "odd", 1), POSTINGS_BITMAP);
    expect_list(m, "range", "r");
    expect_list(m, "rare", "x");
    expect_list(m, "odd", "0");
    expect_list(m, "odd", "1");
    expect_list(m, "odd", "");
    expect_list(m, "n123", "v2");
    expect_list(m, "__name__", "b_total");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_whole),
        cmocka_unit_test(labels_in_order_and_out_of_order),
        cmocka_unit_test(lists_of_every_shape),
    };
    return cmocka_run_group_tests_name("segment_large", tests, setup, teardown);
}
